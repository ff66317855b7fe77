"""What every command says and how it ends: UTF-8, tables, errors with what, where, why and fix, exit codes.

Rule: results go to stdout, progress and errors to stderr; with --json the last line of stdout is one object.
"""

from __future__ import annotations

import io
import sys
import unicodedata
from collections.abc import Sequence
from typing import Any

EXIT_OK = 0
EXIT_FAIL = 1
EXIT_USAGE = 2
EXIT_PREFLIGHT = 3
EXIT_INCONCLUSIVE = 4
EXIT_DEFECT = 5
EXIT_INTERRUPTED = 130
EXIT_BROKEN_PIPE = 141

EXIT_CODES: dict[int, str] = {
    EXIT_OK: "PASS, or the command did what it was asked",
    EXIT_FAIL: "FAIL: the run did not pass, or does not verify",
    EXIT_USAGE: "the configuration, an argument or an input file cannot be used",
    EXIT_PREFLIGHT: "preflight is red: nothing was started",
    EXIT_INCONCLUSIVE: "INCONCLUSIVE",
    EXIT_DEFECT: "a defect of this program; never a verdict",
    EXIT_INTERRUPTED: "interrupted (Ctrl-C)",
    EXIT_BROKEN_PIPE: "the reader of the output went away (`| head`)",
}
"""The documented meaning of each exit code."""

_WORDS = {
    "en": {"error": "error", "why": "why", "fix": "fix"},
    "ko": {"error": "오류", "why": "이유", "fix": "해결"},
}


class CliError(Exception):
    """Something a person can put right: what happened, where, why, and how to go on."""

    def __init__(
        self, what: str, *, where: str = "", why: str = "", fix: str = "", code: int = EXIT_USAGE
    ) -> None:
        super().__init__(what)
        self.what, self.where, self.why, self.fix, self.code = what, where, why, fix, code

    def as_object(self) -> dict[str, Any]:
        """The error as the last line of a --json output."""
        parts = {"what": self.what, "where": self.where, "why": self.why, "fix": self.fix}
        return {"error": {**parts, "exit_code": self.code}}


def force_utf8() -> None:
    """Hangul and box characters must not depend on the code page of the console."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")


def print_error(error: CliError, language: str = "en") -> None:
    """An error on stderr."""
    words = _WORDS.get(language, _WORDS["en"])
    lines = [f"{words['error']}: {error.what}"]
    if error.where:
        lines.append(f"  --> {error.where}")
    for key in ("why", "fix"):
        text = getattr(error, key)
        lines += [
            f"  {words[key] if number == 0 else '...'}: {line}"
            for number, line in enumerate(text.splitlines())
        ]
    print("\n".join(lines), file=sys.stderr, flush=True)


def progress(text: str) -> None:
    """One line about what is going on."""
    print(text, file=sys.stderr, flush=True)


def print_json(answer: Any) -> None:
    """One object on one line of stdout; exact decimals stay exact numbers."""
    import msgspec

    print(msgspec.json.Encoder(decimal_format="number").encode(answer).decode(), flush=True)


def width(text: str) -> int:
    """Columns of a text on a terminal: Hangul takes two."""
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in text)


def table(rows: Sequence[Sequence[str]], *, right: Sequence[int] = (), indent: str = "  ") -> str:
    """Rows in aligned columns; `right` names the columns of numbers."""
    if not rows:
        return ""
    widths = [max(width(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = []
        for column, cell in enumerate(row):
            space = " " * (widths[column] - width(cell))
            cells.append(space + cell if column in right else cell + space)
        lines.append(indent + "  ".join(cells).rstrip())
    return "\n".join(lines)
