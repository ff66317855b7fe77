"""The journal of a run: every fact with its decisions, one transaction each, on disk before orders leave.

Rule: the engine process alone writes it. Every batch waits for the tape, so that a loss of power never leaves
rows without the market they were decided on; a batch with an order waits for the journal too. One that cannot
be written ends the process, and recovery continues from what is there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from flowguardian.execution.events import Row, decode, encode
from flowguardian.journal.chain import ChainWriter, Record, read_chain, verify_chain
from flowguardian.market.tape import TapeError, TapeWriter

JOURNAL = "journal.db"
TAPE = "tape"


class Recorder:
    """Tape and journal of one run, written in order."""

    def __init__(self, run_dir: Path) -> None:
        self.journal = ChainWriter(run_dir / JOURNAL)
        try:
            self.tape = TapeWriter(run_dir / TAPE)
        except TapeError:
            self.journal.close()
            raise

    def market(self, rows: npt.NDArray[np.void]) -> None:
        """Put market rows on the tape."""
        self.tape.append(rows)

    def commit(self, rows: Sequence[Row], *, durable: bool) -> None:
        """Write one fact and its decisions in one transaction."""
        self.tape.sync()
        self.journal.append([(row.ts_ns, type(row).__name__, encode(row)) for row in rows], durable=durable)

    def close(self) -> None:
        """Everything on disk, nothing left open."""
        self.tape.close()
        self.journal.close()


class MemoryRecorder:
    """Keeps rows in memory: backtests that need no journal, tests."""

    def __init__(self) -> None:
        self.rows: list[Row] = []

    def market(self, rows: npt.NDArray[np.void]) -> None:
        """The data is on disk already."""

    def commit(self, rows: Sequence[Row], *, durable: bool) -> None:
        """Keep the rows."""
        self.rows.extend(rows)


class BatchRecorder:
    """A journal written in large transactions: backtests, where a crash only costs the time of a new run."""

    def __init__(self, path: Path, batch: int = 20_000) -> None:
        self.journal = ChainWriter(path)
        self._batch = batch
        self._rows: list[tuple[int, str, bytes]] = []

    def market(self, rows: npt.NDArray[np.void]) -> None:
        """The data is on disk already."""

    def commit(self, rows: Sequence[Row], *, durable: bool) -> None:
        """Keep the rows until a batch is full."""
        self._rows.extend([(row.ts_ns, type(row).__name__, encode(row)) for row in rows])
        if len(self._rows) >= self._batch:
            self.flush()

    def flush(self) -> None:
        """Write what is waiting."""
        self.journal.append(self._rows, durable=False)
        self._rows.clear()

    def close(self) -> None:
        """Write the rest and close."""
        self.flush()
        self.journal.close()


def read_rows(path: Path, *, check: bool = True) -> Iterator[tuple[Record, Row]]:
    """Records and their decoded rows, in order; with `check` the hash chain is verified on the way."""
    records = read_chain(path)
    for record in verify_chain(records) if check else records:
        yield record, decode(record.kind, record.body)
