"""Follows a chained file while somebody else writes it: the rows after a cursor, a batch at a time.

Rule: one read is one short transaction of at most READ_BATCH rows on a connection of its own, so that a
reader that hangs between two reads holds nothing that a commit could wait for.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TypeVar

import msgspec

from flowguardian.journal.chain import READ_BATCH, ChainError, Record

Decoded = TypeVar("Decoded")


class Follower:
    """The rows of one chained file, in order; `seq` is the last one handed out."""

    def __init__(self, path: Path, after_seq: int = 0, *, batch: int = READ_BATCH) -> None:
        self.path, self.seq, self.batch = path, after_seq, min(batch, READ_BATCH)

    def read(self) -> list[Record]:
        """The next rows, none when there are none yet; fewer than `batch` means it is at the end.

        Raises ChainError when the file is there and cannot be read.
        """
        if not self.path.is_file():
            return []
        try:
            with closing(sqlite3.connect(self.path.absolute().as_uri() + "?mode=ro", uri=True)) as db:
                if db.execute("SELECT 1 FROM sqlite_master WHERE name = 'rows'").fetchone() is None:
                    return []
                found = db.execute(
                    "SELECT seq, ts_ns, kind, body, hash FROM rows WHERE seq > ? ORDER BY seq LIMIT ?",
                    (self.seq, self.batch),
                ).fetchall()
        except sqlite3.Error as error:
            raise ChainError(f"{self.path}: not readable as a journal: {error}") from error
        if found:
            self.seq = found[-1][0]
        return [Record(seq, ts_ns, kind, body.encode(), digest) for seq, ts_ns, kind, body, digest in found]


def readable(
    records: Sequence[Record],
    decode: Callable[[str, bytes], Decoded],
    on_unreadable: Callable[[Record, Exception], None],
) -> Iterator[tuple[int, Decoded]]:
    """Rows with their seq; one that this version does not know is reported and passed over."""
    for record in records:
        try:
            yield record.seq, decode(record.kind, record.body)
        except (KeyError, ValueError, msgspec.MsgspecError) as error:
            on_unreadable(record, error)
