"""Views: copies of the journal in stores outside the trading process, and how they read it.

Rule: a view only reads, in transactions of at most READ_BATCH rows; it holds nothing that the journal does
not, so it may be dropped at any time and is rebuilt from the first row.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple, Protocol

import msgspec

from flowguardian.journal.chain import GENESIS, READ_BATCH, Record
from flowguardian.journal.journal import JOURNAL

OPS = "ops.db"
BUSY_SECONDS = 1.0
"""How long a read waits for another process to recover the file; then it is tried again later."""
NUL, NUL_SHOWN = "\0", "\N{SYMBOL FOR NULL}"


class StoreTrouble(Exception):
    """A store cannot take rows now; the message says why and never holds an address."""


class Source(StrEnum):
    """The files a view follows."""

    JOURNAL = "journal"
    OPS = "ops"


FILES: Mapping[Source, str] = {Source.JOURNAL: JOURNAL, Source.OPS: OPS}


class Mark(NamedTuple):
    """How far a view has come in one source: the last row it holds, and that row's hash."""

    seq: int
    hash: str


START = Mark(0, GENESIS)
Marks = dict[Source, Mark]


class Identity(NamedTuple):
    """Whose rows these are: the environment (a word of the settings) and the run."""

    env: str
    run_id: str


class View(Protocol):
    """One store. Every method may raise StoreTrouble; then nothing of that call was kept."""

    def connect(self) -> Marks:
        """Connect, bring the store's structure up to date, say how far it has come."""

    def deliver(self, source: Source, records: Sequence[Record]) -> None:
        """Take rows that follow the mark, all or none; rows it holds already change nothing."""

    def beat(self, seq: int, market_ns: int) -> None:
        """Say that the view is alive."""

    def drop(self) -> int:
        """Remove everything of this run and nothing else; returns how much that was."""

    def abort(self) -> None:
        """Called by another thread: end a call that waits for a silent server."""

    def close(self) -> None:
        """Disconnect; never fails."""


class Tail:
    """Reads a chained file that another process writes."""

    def __init__(self, path: Path, batch_rows: int = READ_BATCH) -> None:
        self._path, self._batch = path, min(batch_rows, READ_BATCH)
        self._db: sqlite3.Connection | None = None

    def after(self, seq: int) -> list[Record]:
        """The next rows, at most one batch; none while the file is not there yet. Raises sqlite3.Error."""
        rows = self._all("WHERE seq > ? ORDER BY seq LIMIT ?", seq, self._batch)
        return [
            Record(number, ts_ns, kind, body.encode(), digest) for number, ts_ns, kind, body, digest in rows
        ]

    def last(self) -> Record | None:
        """The last row."""
        rows = self._all("ORDER BY seq DESC LIMIT 1")
        return Record(*rows[0][:3], rows[0][3].encode(), rows[0][4]) if rows else None

    def holds(self, mark: Mark) -> bool:
        """Whether the row of a mark is in this file, and is that row."""
        if mark.seq == 0:
            return True
        rows = self._all("WHERE seq = ?", mark.seq)
        return bool(rows) and rows[0][4] == mark.hash

    def close(self) -> None:
        """Disconnect."""
        if self._db is not None:
            self._db.close()
            self._db = None

    def _all(self, where: str, *values: int) -> list[tuple[int, int, str, str, str]]:
        if self._db is None:
            if not self._path.is_file():
                return []
            self._db = self._connect()
        if self._db.execute("SELECT 1 FROM sqlite_master WHERE name = 'rows'").fetchone() is None:
            return []
        # fetchall ends the read transaction before anybody waits for a store.
        return self._db.execute(f"SELECT seq, ts_ns, kind, body, hash FROM rows {where}", values).fetchall()  # noqa: S608  (own text)

    def _connect(self) -> sqlite3.Connection:
        address = self._path.absolute().as_uri() + "?mode=ro"
        # Opened and closed by the thread that reads, looked at by no other.
        return sqlite3.connect(address, uri=True, timeout=BUSY_SECONDS, isolation_level=None)


class _Ended(msgspec.Struct):
    reason: str


def is_complete(journal: Tail, ops: Tail) -> bool:
    """Whether nothing will follow: the engine came to its planned end, and its supervisor."""
    last, last_ops = journal.last(), ops.last()
    if last is None or last.kind != "SegmentEnded":
        return False
    if msgspec.json.decode(last.body, type=_Ended).reason != "completed":
        return False
    return last_ops is None or last_ops.kind == "RunFinished"


def storable(text: str) -> str:
    """A text without NUL, which Postgres cannot hold: shown by its symbol instead."""
    return text.replace(NUL, NUL_SHOWN)


def storable_tree(value: object) -> object:
    """The same for every text of a JSON value."""
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, dict):
        return {storable(key): storable_tree(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [storable_tree(inner) for inner in value]
    return value


def without_secrets(text: str, address: str) -> str:
    """A message of a client without the password of its address, however badly that was written."""
    login = address.partition("://")[2].rpartition("@")[0]
    for piece in re.split(r"[:@/]", login)[1:]:
        text = text.replace(piece, "***") if piece else text
    return text.replace(address, "***") if address else text
