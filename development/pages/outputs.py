"""The output that pages quote: run for real, cut to what says something, and put back into the page.

Rule: a block under `<!-- real output -->` or a query with its answer is never written by hand. One
rehearsal is made per language; what differs from machine to machine (process ids, disk, clocks, seconds) is
left out.
"""

from __future__ import annotations

import os
import re
import shlex
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RUN_ID = "20261124-213051-448-rehearsal"
"""The id of the quoted run, in the form of a real one."""
DIRECT = ["--venue", "direct"]
LEAKING_ID = "20261124-213204-102-rehearsal"

PAGES = (
    Path("README.md"),
    Path("README.ko.md"),
    Path("docs/guides/first-run.md"),
    Path("docs/guides/first-run.ko.md"),
    Path("docs/guides/reading-the-budget.md"),
    Path("docs/guides/reading-the-budget.ko.md"),
    Path("docs/guides/your-strategy-in-25-lines.md"),
    Path("docs/guides/read-the-journal-with-sqlite.md"),
    Path("docs/guides/read-the-journal-with-sqlite.ko.md"),
)

BLOCK = re.compile(
    r"(?P<head><!-- real output(?: until: (?P<until>.+?))? -->\n```console\n)"
    r"\$ (?P<command>[^\n]+)\n.*?(?P<tail>```)",
    re.DOTALL,
)
QUERY = re.compile(r"```sql\n(?P<query>.+?)```\n\n```text\n.*?```", re.DOTALL)

SOURCE = re.compile(r"<!-- source: (?P<path>\S+) -->\n```python\n.*?```", re.DOTALL)

DIFFERS = re.compile(
    r"^(\S (ok|warn|fixed) |          → |dashboard: |Engine: |\[[A-Z]+\d+\] |! |엔진: |  (Engine|엔진) )"
)
"""Lines that say something about this machine and moment, or that another place explains."""
LONGEST_LINE = 150


class CommandFailed(Exception):
    """A quoted command did not end as the page says."""


class Rehearsals:
    """Runs made once in a folder and asked many times."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._printed: dict[str, str] = {}
        """What `accept` printed, by language."""

    def run_dir(self, language: str = "en") -> Path:
        """The rehearsal in a language, made when it is first asked for."""
        run_dir = self._folder / language / "runs" / RUN_ID
        if language not in self._printed:
            arguments = ["accept", "--run-dir", str(run_dir), "--lang", language]
            # One rehearsal goes over sockets. The others decide the same rows from the same market (a test
            # compares them) and are spared the minute that takes.
            arguments += [] if language == "en" else DIRECT
            self._printed[language] = self._call(arguments, run_dir.parent)
        return run_dir

    def output(self, command: str) -> str:
        """What a command prints, as a page quotes it; raises CommandFailed."""
        words = shlex.split(command)
        arguments = words[2:] if words[:2] == ["python", "dev.py"] else words[1:]
        language = arguments[arguments.index("--lang") + 1] if "--lang" in arguments else "en"
        if "--lang" not in arguments and arguments[0] != "backtest":
            arguments += ["--lang", "en"]
        if arguments[0] == "accept" and "--break" in arguments:
            runs = self._folder / "leaking" / "runs"
            arguments += ["--run-dir", str(runs / LEAKING_ID), *DIRECT]
            return self._shown(self._call(arguments, runs, expected=1), runs)
        runs = self.run_dir(language).parent
        text = self._printed[language] if arguments[0] == "accept" else self._call(arguments, runs)
        return self._shown(text, runs)

    def answer(self, query: str) -> str:
        """The rows of a query over the journal, as the sqlite3 program prints them."""
        journal = self.run_dir() / "journal.db"
        with closing(sqlite3.connect(journal.as_uri() + "?mode=ro", uri=True)) as db:
            rows = db.execute(query).fetchall()
        return "".join("|".join("" if cell is None else str(cell) for cell in row) + "\n" for row in rows)

    def _call(self, arguments: list[str], runs: Path, expected: int = 0) -> str:
        environment = os.environ | {
            "PYTHONPATH": str(ROOT),
            "PYTHONUTF8": "1",
            "FLOWGUARDIAN_RUNS": str(runs),
            "COLUMNS": "200",
        }
        done = subprocess.run(
            [sys.executable, "-m", "flowguardian", *arguments],
            cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
        )  # fmt: skip
        text = done.stdout.decode("utf-8")
        if done.returncode != expected:
            raise CommandFailed(f"{arguments} ended with {done.returncode}, not {expected}:\n{text[-2000:]}")
        return text

    @staticmethod
    def _shown(text: str, runs: Path) -> str:
        """Without paths of this machine; `...` stands for lines that were left out."""
        text = text.replace(f"{runs.parent}{os.sep}", "").replace("\\", "/")
        kept: list[str] = []
        for line in text.splitlines():
            shown = "..." if DIFFERS.match(line) else line.rstrip()
            if len(shown) > LONGEST_LINE:
                shown = shown[: LONGEST_LINE - 4] + " ..."
            if shown != "..." or kept[-1:] != ["..."]:
                kept.append(shown)
        return "\n".join(kept).strip("\n") + "\n"


def refreshed(text: str, rehearsals: Rehearsals) -> str:
    """A page with every quoted output made anew."""

    def block(found: re.Match[str]) -> str:
        output = rehearsals.output(found["command"])
        if found["until"]:
            output = cut_after(output, found["until"])
        return f"{found['head']}$ {found['command']}\n{output}{found['tail']}"

    def query(found: re.Match[str]) -> str:
        return f"```sql\n{found['query']}```\n\n```text\n{rehearsals.answer(found['query'])}```"

    def source(found: re.Match[str]) -> str:
        code = (ROOT / found["path"]).read_text(encoding="utf-8")
        return f"<!-- source: {found['path']} -->\n```python\n{code}```"

    return SOURCE.sub(source, QUERY.sub(query, BLOCK.sub(block, text)))


def cut_after(output: str, last: str) -> str:
    """The lines of an output up to the first that contains `last`; raises CommandFailed without one."""
    lines = output.splitlines()
    for place, line in enumerate(lines):
        if last in line:
            return "\n".join([*lines[: place + 1], *(["..."] if lines[place + 1 :] else []), ""])
    raise CommandFailed(f"{last!r} is not printed any more:\n{output}")
