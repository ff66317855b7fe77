"""The supervisor's side of `ops.db`: append rows, keep them while the disk refuses, read them back.

Rule: one writer, the supervisor's loop; a refused append is kept and tried again, because evidence about a
full disk is worth most while the disk is full.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections import deque
from pathlib import Path

from flowguardian.journal.chain import ChainError, ChainWriter, read_chain
from flowguardian.journal.ops_events import HostSampled, OpsRow, decode_ops, encode_ops

FILE_NAME = "ops.db"
KEPT_ROWS = 2000
"""Rows held in memory while the file cannot be written."""


class OpsJournal:
    """Writes ops rows in order."""

    def __init__(self, path: Path) -> None:
        self._writer = ChainWriter(path)
        self._waiting: deque[OpsRow] = deque()
        self.lost = 0
        self.refused: str = ""
        """Why the last append was refused, "" when it was not."""

    def write(self, row: OpsRow) -> None:
        """Append a row and wait for the disk (samples do not wait)."""
        if len(self._waiting) >= KEPT_ROWS:
            self._waiting.popleft()
            self.lost += 1
        self._waiting.append(row)
        self.flush()

    def flush(self) -> bool:
        """Append what waits; False while the file cannot be written."""
        if not self._waiting:
            return True
        batch = [(row.ts_ns, type(row).__name__, encode_ops(row)) for row in self._waiting]
        try:
            self._writer.append(batch, durable=not isinstance(self._waiting[-1], HostSampled))
        except ChainError as error:
            self.refused = str(error)
            return False
        self._waiting.clear()
        self.refused = ""
        return True

    def checkpoint(self) -> None:
        """Fold the write-ahead log into the file; a refusal costs nothing but space until the next time."""
        with contextlib.suppress(sqlite3.Error):
            self._writer.checkpoint()

    def close(self) -> None:
        """Write what waits and close; raises ChainError when rows are still refused."""
        written = self.flush()
        with contextlib.suppress(sqlite3.Error):
            # Closing only tidies; the next one who opens the file does it again.
            self._writer.close()
        if not written or self.lost:
            count = len(self._waiting) + self.lost
            raise ChainError(f"{self._writer.path}: {count} rows could not be written: {self.refused}")


def read_ops(path: Path) -> list[OpsRow]:
    """All rows of an ops journal, oldest first; an empty list when there is none yet.

    A writer killed between creating the file and its table leaves a journal without rows, not a broken one.
    """
    if not path.is_file() or not _has_table(path):
        return []
    return [decode_ops(record.kind, record.body) for record in read_chain(path)]


def _has_table(path: Path) -> bool:
    db = sqlite3.connect(path.absolute().as_uri() + "?mode=ro", uri=True)
    try:
        found = db.execute("SELECT 1 FROM sqlite_master WHERE name = 'rows'").fetchone()
    except sqlite3.Error as error:
        raise ChainError(f"{path}: not readable as an ops journal: {error}") from error
    finally:
        db.close()
    return found is not None
