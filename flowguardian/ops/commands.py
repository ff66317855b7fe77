"""Operator commands of a run: `commands.db`, written by anybody, read by the engine once per loop.

Rule: no transaction lasts longer than one statement, and the engine's side waits for nobody: while another
process holds the file it sees no news and asks again at the next loop.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from flowguardian.execution.events import Command

FILE_NAME = "commands.db"
ASK_TIMEOUT_SECONDS = 5.0
POLL_TIMEOUT_SECONDS = 0.002
"""How long the engine waits for another process: less than one loop may lag."""
BATCH = 100

_SCHEMA = (
    "CREATE TABLE IF NOT EXISTS commands (id INTEGER PRIMARY KEY AUTOINCREMENT, command TEXT NOT NULL,"
    " asked_by TEXT NOT NULL, asked_ns INTEGER NOT NULL, acknowledged_ns INTEGER)"
)


class CommandError(Exception):
    """A command could not be written."""


class Asked(NamedTuple):
    """One command of the table; `asked_ns` is host UTC."""

    id: int
    command: Command
    by: str
    asked_ns: int


def ask(run_dir: Path, command: Command, by: str) -> int:
    """Write a command and return its id; the same command still waiting keeps its id (idempotent).

    Raises CommandError when the run does not exist or its file is blocked.
    """
    if not run_dir.is_dir():
        raise CommandError(f"{run_dir}: no such run, so `{command}` reaches nobody. Check the path.")
    try:
        with _opened(run_dir, ASK_TIMEOUT_SECONDS) as db:
            db.execute("BEGIN IMMEDIATE")
            waiting = db.execute(
                "SELECT id FROM commands WHERE command = ? AND acknowledged_ns IS NULL", (command,)
            ).fetchone()
            if waiting is None:
                added = db.execute(
                    "INSERT INTO commands (command, asked_by, asked_ns) VALUES (?, ?, ?)",
                    (command, by, time.time_ns()),
                )
                number = int(added.lastrowid or 0)
            else:
                number = int(waiting[0])
            db.execute("COMMIT")
    except sqlite3.Error as error:
        where = run_dir / FILE_NAME
        raise CommandError(f"{where}: `{command}` could not be written: {error}. Ask again.") from error
    return number


def withdraw(run_dir: Path, command: Command, by: str) -> int:
    """Take back what `by` asked and nobody has done, so that a resumed run does not stop at once."""
    if not (run_dir / FILE_NAME).is_file():
        return 0
    with _opened(run_dir, ASK_TIMEOUT_SECONDS) as db:
        return db.execute(
            "UPDATE commands SET acknowledged_ns = ? WHERE command = ? AND asked_by = ?"
            " AND acknowledged_ns IS NULL",
            (time.time_ns(), command, by),
        ).rowcount


def is_acknowledged(run_dir: Path, number: int) -> bool:
    """Whether the engine has made the command a fact."""
    with _opened(run_dir, ASK_TIMEOUT_SECONDS) as db:
        row = db.execute("SELECT acknowledged_ns FROM commands WHERE id = ?", (number,)).fetchone()
    return row is not None and row[0] is not None


class CommandInbox:
    """The engine's side: one open connection, polled each loop."""

    def __init__(self, run_dir: Path) -> None:
        with _opened(run_dir, ASK_TIMEOUT_SECONDS):
            # The table now exists; from here on this side never waits.
            self._path = run_dir / FILE_NAME
        self._db = _connect(self._path, POLL_TIMEOUT_SECONDS)
        self._unacknowledged: dict[int, int] = {}

    def pending(self, after_id: int = 0) -> list[Asked]:
        """Commands with a larger id that wait to be done, oldest first; empty while the file is blocked."""
        self._acknowledge_rest()
        try:
            rows = self._db.execute(
                "SELECT id, command, asked_by, asked_ns FROM commands"
                " WHERE id > ? AND acknowledged_ns IS NULL ORDER BY id LIMIT ?",
                (after_id, BATCH),
            ).fetchall()
        except sqlite3.OperationalError as error:
            if not _is_busy(error):
                raise
            return []
        known = {command.value for command in Command}
        return [
            Asked(number, Command(command), by, asked_ns)
            for number, command, by, asked_ns in rows
            if command in known and number not in self._unacknowledged
        ]

    def acknowledge(self, number: int, ts_ns: int) -> None:
        """Note that the fact of this command is durable; tried again at the next poll while blocked."""
        self._unacknowledged[number] = ts_ns
        self._acknowledge_rest()

    def close(self) -> None:
        """Close the connection."""
        self._acknowledge_rest()
        self._db.close()

    def _acknowledge_rest(self) -> None:
        if not self._unacknowledged:
            return
        try:
            for number, ts_ns in list(self._unacknowledged.items()):
                self._db.execute("UPDATE commands SET acknowledged_ns = ? WHERE id = ?", (ts_ns, number))
                del self._unacknowledged[number]
        except sqlite3.OperationalError as error:
            if not _is_busy(error):
                raise


def _connect(path: Path, timeout_seconds: float) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=timeout_seconds, isolation_level=None)


def _is_busy(error: sqlite3.OperationalError) -> bool:
    return (error.sqlite_errorcode & 0xFF) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


@contextmanager
def _opened(run_dir: Path, timeout_seconds: float) -> Iterator[sqlite3.Connection]:
    db = _connect(run_dir / FILE_NAME, timeout_seconds)
    try:
        # WAL: a writer that stalls in its transaction does not keep the engine from reading.
        db.execute("PRAGMA journal_mode=WAL")
        db.execute(_SCHEMA)
        yield db
    finally:
        db.close()
