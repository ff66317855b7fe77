"""The figures of a run as they follow from its rows, one row after the other, in bounded memory.

Rule: rows only: a figure here equals what `status`, `why` and the report count from the same rows.
"""

from __future__ import annotations

import json
from collections import Counter
from decimal import Decimal
from typing import NamedTuple

from flowguardian.cli.books import Books
from flowguardian.execution import events as ev
from flowguardian.execution.money import SCALE
from flowguardian.journal.ops_events import (
    HostSampled,
    Incident,
    OpsRow,
    ProcessExited,
    ProcessStarted,
    SegmentClosed,
    SegmentOpened,
)
from flowguardian.ops.run_result import ENGINE
from flowguardian.ops.segments import run_time_ns, segment_spans

REQUESTS_KEPT = 10_000
"""Entry orders without a fill that are remembered: a fill may come after an order's end."""


class Budget(NamedTuple):
    """Sums over the active strategies, in USDT."""

    allocated: float = 0.0
    used: float = 0.0
    reserved: float = 0.0
    available: float = 0.0


class Figures:
    """Fed with rows in order; money is in USDT as a float, times in seconds."""

    def __init__(self) -> None:
        self._books: Books | None = None
        self._strategies: tuple[str, ...] = ()
        self._unfilled: dict[int, None] = {}
        self._segment: list[OpsRow] = []
        self._past_ns = 0
        self._engine_broke = False
        self._sample: HostSampled | None = None
        self.refusals: Counter[str] = Counter()
        self.incidents: Counter[str] = Counter()
        self.signals = self.entries = self.budget_caps = self.closed = self.starvations = 0
        self.restarts = self.seq = 0
        self.market_seconds = self.beat_seconds = 0.0

    # ---- rows in

    def row(self, seq: int, row: ev.Row) -> None:
        """Take a row of the journal."""
        self.seq, self.market_seconds = seq, row.ts_ns / 1e9
        if isinstance(row, ev.RunStarted):
            config = json.loads(bytes(row.config), parse_float=Decimal)
            self._books = Books.of(row, config)
            self._strategies = tuple(
                name for name, block in config["strategies"].items() if block.get("enabled", True)
            )
        if self._books is not None:
            self._books.apply(seq, row)
            # The books keep every order for `explain`; here only those that live matter.
            self._books.requests.clear()
        self._count(row)

    def _count(self, row: ev.Row) -> None:
        match row:
            case ev.Signal():
                self.signals += 1
            case ev.EntryRefused():
                self.refusals[row.code] += 1
            case ev.BudgetCapped():
                self.budget_caps += 1
            case ev.OrderRequested(purpose=ev.Purpose.ENTRY):
                self._unfilled[row.order_id] = None
                if len(self._unfilled) > REQUESTS_KEPT:
                    del self._unfilled[next(iter(self._unfilled))]
            case ev.OrderFilled() if row.order_id in self._unfilled:
                del self._unfilled[row.order_id]
                self.entries += 1
            case ev.PositionClosed():
                self.closed += 1
            case ev.GuardStarvation():
                self.starvations += 1

    def ops(self, row: OpsRow) -> None:
        """Take a row of the ops journal."""
        match row:
            case Incident():
                self.incidents[row.severity] += 1
            case SegmentOpened():
                self._past_ns += run_time_ns(segment_spans(self._segment))
                self._segment = [row]
            case HostSampled():
                # The opening and the newest sample say how long a segment has lasted.
                self._sample, self._segment[1:] = row, [row]
            case SegmentClosed():
                self._segment.append(row)
            case ProcessStarted(name=name) if name == ENGINE:
                self.restarts += self._engine_broke
                self._engine_broke = False
            case ProcessExited(name=name) if name == ENGINE:
                self._engine_broke = row.abnormal

    # ---- figures out

    @property
    def equity(self) -> float:
        """As the engine saw it at the last signal or timer."""
        return self._books.equity / SCALE if self._books else 0.0

    @property
    def balance(self) -> float:
        return self._books.balance / SCALE if self._books else 0.0

    @property
    def drawdown(self) -> float:
        books = self._books
        return (books.peak - books.equity) / books.peak if books and books.peak else 0.0

    @property
    def budget(self) -> Budget:
        books = self._books
        if books is None:
            return Budget()
        sums = [0, 0, 0, 0]
        for name in self._strategies:
            allocated, used = books.allocated(name), books.used(name)
            parts = (allocated, used, books.reserved(name), max(0, allocated - used))
            sums = [total + part for total, part in zip(sums, parts, strict=True)]
        return Budget(*(total / SCALE for total in sums))

    @property
    def open_positions(self) -> int:
        return len(self._books.positions) if self._books else 0

    @property
    def trading_state(self) -> str:
        return self._books.trading if self._books else ""

    @property
    def run_seconds(self) -> float:
        return (self._past_ns + run_time_ns(segment_spans(self._segment))) / 1e9

    @property
    def rss_bytes(self) -> int:
        return self._sample.rss_bytes if self._sample else 0

    @property
    def handles(self) -> int:
        return self._sample.handles if self._sample else 0

    @property
    def lag_seconds(self) -> float:
        return self._sample.loop_lag_p99_ms / 1e3 if self._sample else 0.0

    @property
    def journal_bytes(self) -> int:
        return self._sample.journal_bytes if self._sample else 0

    @property
    def tape_bytes(self) -> int:
        return self._sample.tape_bytes if self._sample else 0
