"""Runs of the real command line as processes of their own, and what they leave behind.

Rule: nothing here decides what is right; every wait has a deadline, and a started process is always ended.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from flowguardian.execution import events as ev
from flowguardian.journal.chain import ChainError
from flowguardian.journal.journal import JOURNAL, read_rows
from flowguardian.ops.ops_journal import FILE_NAME, read_ops
from flowguardian.ops.registry import STATE_DIRECTORY

ROOT = Path(__file__).resolve().parents[2]
DEADLINE_SECONDS = 300.0
"""A rehearsal of 12 hours over sockets takes a minute and a half on two idle cores; this only ends a hang."""
OWN_TO_A_RUN = ("RunStarted", "SegmentStarted", "SegmentEnded", "CommandReceived")
"""Rows that say which process lived when; all others are decided by the market alone."""


class Ended(NamedTuple):
    """A command that came to its end."""

    code: int
    out: str
    err: str

    @property
    def answer(self) -> dict[str, Any]:
        """The one object on the last line of stdout."""
        found: dict[str, Any] = json.loads(self.out.splitlines()[-1])
        return found


def argv(*arguments: object) -> list[str]:
    """The command line of flowguardian."""
    return [sys.executable, "-m", "flowguardian", *map(str, arguments)]


def surroundings(state: Path) -> dict[str, str]:
    """The environment of a process, with a registry of its own."""
    return {**os.environ, STATE_DIRECTORY: str(state), "PYTHONUTF8": "1", "PYTHONPATH": str(ROOT)}


def run(*arguments: object, state: Path, program: Sequence[str] = ()) -> Ended:
    """A command from start to end."""
    done = subprocess.run(
        [*program, *map(str, arguments)] if program else argv(*arguments),
        cwd=ROOT, env=surroundings(state), capture_output=True, encoding="utf-8",
        timeout=DEADLINE_SECONDS, check=False,
    )  # fmt: skip
    return Ended(done.returncode, done.stdout, done.stderr)


@contextmanager
def started(*arguments: object, state: Path) -> Iterator[subprocess.Popen[str]]:
    """A command that goes on while the caller looks; it is ended with the block."""
    process = subprocess.Popen(
        argv(*arguments), cwd=ROOT, env=surroundings(state), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        encoding="utf-8", start_new_session=sys.platform != "win32",
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def ended(process: subprocess.Popen[str]) -> Ended:
    """Wait for the end of a started command."""
    out, err = process.communicate(timeout=DEADLINE_SECONDS)
    return Ended(process.returncode, out, err)


def wait_until(condition: Callable[[], object], what: str) -> None:
    """Poll with a deadline: the only way to see another process."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < deadline, f"no {what} after {DEADLINE_SECONDS} s"
        pause.wait(0.05)


def rows(run_dir: Path) -> list[ev.Row]:
    """The journal so far; empty before there is one."""
    try:
        return [row for _, row in read_rows(run_dir / JOURNAL)]
    except ChainError:
        return []


def decided(run_dir: Path) -> list[tuple[int, str, bytes]]:
    """The rows that two runs over one market must share."""
    return [
        (record.ts_ns, record.kind, record.body)
        for record, _ in read_rows(run_dir / JOURNAL)
        if record.kind not in OWN_TO_A_RUN
    ]


def ops(run_dir: Path, kind: type) -> list[Any]:
    """Rows of a kind in the ops journal."""
    return [row for row in read_ops(run_dir / FILE_NAME) if isinstance(row, kind)]
