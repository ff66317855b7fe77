"""A commit of the engine waits for nobody: not for a long reader of its journal, not for a stalled command.

Each of them is a process of its own that holds its transaction during all commits that are timed. The bound
is far above any commit and far below the five seconds that SQLite waits for a lock before it gives up; that a
holder of the wrong lock is seen by it is tried, too.
"""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from statistics import median

import numpy as np
import pytest

from flowguardian.execution import events as ev
from flowguardian.journal.journal import JOURNAL, Recorder, read_rows
from flowguardian.market.records import ROW, Kind
from flowguardian.ops.commands import FILE_NAME as COMMANDS
from flowguardian.ops.commands import CommandInbox, ask, is_acknowledged

COMMITS = 200
BLOCKED_SECONDS = 1.0
HOLD_SECONDS = 1.5
HOLDS = """\
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
for statement in sys.argv[2:]:
    db.execute(statement).fetchall()
print("held", flush=True)
sys.stdin.read()
"""
READS = ("BEGIN", "SELECT count(*) FROM rows")
COMMANDS_STALL = (
    "BEGIN IMMEDIATE", "INSERT INTO commands (command, asked_by, asked_ns) VALUES ('halt', 'a test', 1)",
)  # fmt: skip
WRITES_THE_JOURNAL = ("BEGIN IMMEDIATE",)


@contextmanager
def holding(path: Path, statements: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
    """A process in the middle of a transaction, for the time of the block."""
    pipe = subprocess.PIPE
    argv = [sys.executable, "-c", HOLDS, str(path), *statements]
    with subprocess.Popen(argv, stdin=pipe, stdout=pipe, encoding="utf-8") as process:
        try:
            assert process.stdout is not None and process.stdout.readline() == "held\n"
            yield process
        finally:
            process.kill()


class Turns:
    """What the engine does for each wake: look for commands, tape, then journal, on disk before an order."""

    def __init__(self, run_dir: Path) -> None:
        self.run_dir = run_dir
        self.recorder, self.inbox = Recorder(run_dir), CommandInbox(run_dir)
        self._row = np.zeros(1, ROW)
        self._row["kind"] = int(Kind.TRADE)
        self.turn()

    def turn(self) -> tuple[float, float]:
        """Seconds of the whole turn, and of the commit in it."""
        began = time.perf_counter()
        self.inbox.pending()
        self._row["ts_ns"] += 1
        self.recorder.market(self._row)
        committing = time.perf_counter()
        self.recorder.commit([ev.ClockMeasured(int(self._row["ts_ns"][0]), 0)], durable=True)
        ended = time.perf_counter()
        if self.recorder.journal.seq % 20 == 0:
            # As the engine does now and then; it must not wait for the reader either.
            self.recorder.journal.checkpoint()
        return time.perf_counter() - began, ended - committing

    def timed(self) -> list[tuple[float, float]]:
        return [self.turn() for _ in range(COMMITS)]

    def close(self) -> None:
        self.recorder.close()
        self.inbox.close()


@pytest.fixture
def turns(tmp_path) -> Iterator[Turns]:
    with closing(Turns(tmp_path)) as made:
        yield made


def test_neither_a_long_reader_nor_a_stalled_command_delays_a_commit(turns, capsys) -> None:
    journal, commands = turns.run_dir / JOURNAL, turns.run_dir / COMMANDS
    number = ask(turns.run_dir, ev.Command.RESUME, "operator")
    cases = {
        "nobody else": (),
        "a long reader": ((journal, READS),),
        "a stalled command": ((commands, COMMANDS_STALL),),
        "both": ((journal, READS), (commands, COMMANDS_STALL)),
        "nobody again": (),
    }
    told, slowest = [], {}
    for name, holders in cases.items():
        with ExitStack() as stack:
            held = [stack.enter_context(holding(path, statements)) for path, statements in holders]
            if name == "a stalled command":
                # It was done and cannot be noted now: that is tried again in each turn, and waits for nobody.
                turns.inbox.acknowledge(number, 1)
            taken = turns.timed()
            assert all(process.poll() is None for process in held), "held to the end"
        wholes, commits = zip(*taken, strict=True)
        slowest[name] = max(wholes)
        told.append(
            f"{name:18} commit median {median(commits) * 1e3:6.2f} ms, longest {max(commits) * 1e3:6.2f} ms;"
            f" whole turn median {median(wholes) * 1e3:6.2f} ms, longest {max(wholes) * 1e3:6.2f} ms"
        )
    with capsys.disabled():
        sys.stdout.write("\n" + "\n".join(told) + "\n")
    assert max(slowest.values()) < BLOCKED_SECONDS, "\n".join(told)
    turns.inbox.pending()
    assert is_acknowledged(turns.run_dir, number)
    assert not [asked for asked in turns.inbox.pending() if asked.by == "a test"], "it never ended its write"
    assert sum(1 for _ in read_rows(journal)) == len(cases) * COMMITS + 1


def test_the_bound_sees_a_commit_that_does_wait(turns) -> None:
    with holding(turns.run_dir / JOURNAL, WRITES_THE_JOURNAL) as process:
        assert process.stdin is not None
        release = threading.Timer(HOLD_SECONDS, process.stdin.close)
        release.start()
        _, commit = turns.turn()
        release.join()
    assert commit > BLOCKED_SECONDS
