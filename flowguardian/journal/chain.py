"""An append-only, hash-chained table in SQLite: the form of the journal and of the ops journal.

Rule: one writer; a row is written once and never changed; every row's hash covers all rows before it.
`hash = sha256(previous hash + "seq|ts_ns|kind|" + body)`, hex; the first row follows sixty-four zeros.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

GENESIS = "0" * 64
READ_BATCH = 1000
"""Rows per read transaction: a long reader lets the WAL grow and stalls a commit."""


class ChainError(Exception):
    """A chained file cannot be read or written."""


class ChainBroken(ChainError):
    """A row does not carry the hash its content and predecessors demand."""


class Record(NamedTuple):
    """One stored row."""

    seq: int
    ts_ns: int
    kind: str
    body: bytes
    hash: str


def link(previous: str, seq: int, ts_ns: int, kind: str, body: bytes) -> str:
    """The hash of a row."""
    return hashlib.sha256(f"{previous}{seq}|{ts_ns}|{kind}|".encode() + body).hexdigest()


class ChainWriter:
    """The one writer of a chained file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._db = sqlite3.connect(path, isolation_level=None)
        try:
            last = self._opened()
        except sqlite3.Error as error:
            self._db.close()
            raise ChainError(f"{path}: not usable as a journal: {error}") from error
        self.seq: int = last[0] if last else 0
        self.hash: str = last[1] if last else GENESIS
        self._durable: bool | None = None

    def _opened(self) -> tuple[int, str] | None:
        """The number and hash of the last row."""
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA wal_autocheckpoint=0")
        self._db.execute(
            "CREATE TABLE IF NOT EXISTS rows (seq INTEGER PRIMARY KEY, ts_ns INTEGER NOT NULL,"
            " kind TEXT NOT NULL, body TEXT NOT NULL, hash TEXT NOT NULL)"
        )
        last: tuple[int, str] | None = self._db.execute(
            "SELECT seq, hash FROM rows ORDER BY seq DESC LIMIT 1"
        ).fetchone()
        return last

    def append(self, rows: Sequence[tuple[int, str, bytes]], *, durable: bool) -> None:
        """Write `(ts_ns, kind, body)` rows in one transaction; `durable` waits for the disk.

        Raises ChainError; then nothing of the batch was kept.
        """
        if durable is not self._durable:
            self._db.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
            self._durable = durable
        seq, previous = self.seq, self.hash
        batch = []
        for ts_ns, kind, body in rows:
            seq += 1
            previous = link(previous, seq, ts_ns, kind, body)
            batch.append((seq, ts_ns, kind, body.decode(), previous))
        try:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany("INSERT INTO rows VALUES (?,?,?,?,?)", batch)
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise ChainError(f"{self.path}: could not append row {self.seq + 1}: {error}") from error
        self.seq, self.hash = seq, previous

    def checkpoint(self) -> None:
        """Fold the write-ahead log into the file; called when idle, never waits for readers."""
        self._db.execute("PRAGMA wal_checkpoint(PASSIVE)")

    def close(self) -> None:
        """Checkpoint and close."""
        self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._db.close()


def read_chain(path: Path, after_seq: int = 0) -> Iterator[Record]:
    """All records after `after_seq`, in order, in short transactions; raises ChainError when unreadable."""
    if not path.is_file():
        raise ChainError(f"{path}: no such file. Is this a run directory?")
    db = sqlite3.connect(path.absolute().as_uri() + "?mode=ro", uri=True)
    try:
        while True:
            rows = db.execute(
                "SELECT seq, ts_ns, kind, body, hash FROM rows WHERE seq > ? ORDER BY seq LIMIT ?",
                (after_seq, READ_BATCH),
            ).fetchall()
            for seq, ts_ns, kind, body, digest in rows:
                yield Record(seq, ts_ns, kind, body.encode(), digest)
            if len(rows) < READ_BATCH:
                return
            after_seq = rows[-1][0]
    except sqlite3.Error as error:
        raise ChainError(f"{path}: not readable as a journal: {error}") from error
    finally:
        db.close()


def verify_chain(records: Iterator[Record]) -> Iterator[Record]:
    """Pass records on, raising ChainBroken at the first whose seq or hash is not the next one."""
    previous, expected = GENESIS, 1
    for record in records:
        if record.seq != expected:
            raise ChainBroken(f"row {expected} is missing (found {record.seq})")
        if link(previous, record.seq, record.ts_ns, record.kind, record.body) != record.hash:
            raise ChainBroken(f"row {record.seq} ({record.kind}) does not match its hash")
        previous, expected = record.hash, expected + 1
        yield record
