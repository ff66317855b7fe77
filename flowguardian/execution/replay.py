"""Re-deciding a recorded run: the tape and the exogenous facts in, every row reproduced.

Rule: resume and verify are this one path. A row that differs is an error that names it; where the journal
ends, a resumed run goes on writing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from flowguardian.execution.events import EXOGENOUS, FROM_VENUE, OF_AN_ACCOUNT, Row, RunStarted, encode
from flowguardian.execution.loop import MarketLoop
from flowguardian.execution.recorder import Recorder
from flowguardian.journal.chain import Record
from flowguardian.market.records import Kind

Rows = npt.NDArray[np.void]
CHUNK_ROWS = 200_000


class ReplayDiverged(Exception):
    """A re-decided row is not the recorded one."""

    def __init__(self, seq: int, recorded: str, decided: str) -> None:
        self.seq, self.recorded, self.decided = seq, recorded, decided
        super().__init__(f"row {seq} differs: recorded {recorded}, decided again {decided}")


class ComparingRecorder:
    """Compares rows with recorded ones; after the last of them rows go on to `onward`."""

    def __init__(self, records: Iterable[Record], onward: Recorder | None = None) -> None:
        self._records = iter(records)
        self._onward = onward
        self.compared = 0
        self.done = False
        """Every recorded row was seen again."""
        self.beyond = 0
        """Rows decided again that the journal does not hold."""

    def market(self, rows: Rows) -> None:
        """Rows of a replay are on the tape already."""

    def commit(self, rows: Sequence[Row], *, durable: bool) -> None:
        """Compare a batch, or pass it on once the journal has ended."""
        if not self.done:
            fresh = [row for row in rows if not self._same(row)]
            if not fresh:
                return
            if len(fresh) < len(rows):
                raise ReplayDiverged(self.compared + 1, "the end of the journal", _show(fresh[0]))
        self.beyond += len(rows)
        if self._onward is not None:
            self._onward.commit(rows, durable=durable)

    def _same(self, row: Row) -> bool:
        """True when the next record is this row; False when there is no next record."""
        record = next(self._records, None)
        if record is None:
            self.done = True
            return False
        body = encode(row)
        if record.kind != type(row).__name__ or record.ts_ns != row.ts_ns or record.body != body:
            raise ReplayDiverged(record.seq, *_differing(record, row))
        self.compared += 1
        return True

    def finish(self) -> None:
        """Raise ReplayDiverged when recorded rows are left that were not decided again."""
        if not self.done and (record := next(self._records, None)) is not None:
            raise ReplayDiverged(record.seq, f"{record.kind} {record.body.decode()}", "nothing")
        self.done = True


def _differing(record: Record, row: Row) -> tuple[str, str]:
    """The recorded and the new row, cut down to the fields that differ where the kind is the same."""
    recorded = record.body.decode("utf-8", "replace")
    if record.kind != type(row).__name__:
        return f"{record.kind} {recorded}", _show(row)
    try:
        was = msgspec.json.decode(record.body, type=dict[str, Any])
    except msgspec.DecodeError:
        return f"{record.kind} {recorded}", _show(row)
    now = msgspec.json.decode(encode(row), type=dict[str, Any])
    keys = [key for key in {**was, **now} if was.get(key) != now.get(key)]
    texts = (", ".join(f"{key}={side.get(key)}" for key in keys) for side in (was, now))
    old, new = (f"{record.kind} {text or 'at another stamp or spelling'}" for text in texts)
    return old, new


def _show(row: Row) -> str:
    return f"{type(row).__name__} {encode(row).decode()}"


def replay(loop: MarketLoop, blocks: Iterable[Rows], facts: Iterable[Row]) -> None:
    """Feed a tape and the exogenous facts of its journal to a fresh loop; a fact follows rows up to it."""
    waiting = iter(facts)
    fact = next(waiting, None)
    for chunk in _chunks(blocks):
        rest = chunk
        while fact is not None and len(rest) and fact.ts_ns < int(rest["ts_ns"][-1]):
            cut = int(np.searchsorted(rest["ts_ns"], fact.ts_ns, side="right"))
            if cut:
                loop.turn(rest[:cut])
                rest = rest[cut:]
            loop.fact(fact)
            fact = next(waiting, None)
        if len(rest):
            loop.turn(rest)
    while fact is not None:
        loop.fact(fact)
        fact = next(waiting, None)


def _chunks(blocks: Iterable[Rows]) -> Iterator[Rows]:
    """Blocks joined into larger chunks; history stays apart from the market."""
    held: list[Rows] = []
    size = 0
    for block in blocks:
        history = bool(block["kind"][0] == Kind.HISTORY)
        if held and (history or size + len(block) > CHUNK_ROWS):
            yield np.concatenate(held)
            held, size = [], 0
        if history:
            yield block
        else:
            held.append(block)
            size += len(block)
    if held:
        yield np.concatenate(held)


def exogenous(rows: Iterable[Row]) -> list[Row]:
    """The facts of a journal that came from outside; in a live run the venue's word on orders is one."""
    kinds, found = EXOGENOUS, []
    for row in rows:
        if isinstance(row, RunStarted) and row.mode in OF_AN_ACCOUNT:
            kinds = (*EXOGENOUS, *FROM_VENUE)
        if isinstance(row, kinds):
            found.append(row)
    return found
