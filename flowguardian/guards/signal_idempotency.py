"""One bar makes at most one entry per symbol, strategy and side.

Rule: a bar is burned by the request of an entry, never by a signal that was refused.
"""

from __future__ import annotations

from flowguardian.execution.events import OrderRequested, Purpose, Reason, Row, Signal
from flowguardian.execution.limits import Limits
from flowguardian.guards.base import Refused, Release, View

_ENTRY = Purpose.ENTRY


class SignalIdempotency:
    """Refuses a signal of a bar that already made an entry; scope: symbol, strategy and side.

    Only the latest burned bar is kept, so a bar before it counts as burned too: bars only move forward.
    """

    __slots__ = ("_burned",)
    code = Reason.SIGNAL_IDEMPOTENCY
    rows: tuple[type[Row], ...] = (OrderRequested,)

    def __init__(self, limits: Limits) -> None:
        self._burned: dict[tuple[str, str, int], int] = {}

    def review(self, signal: Signal, view: View) -> Refused | None:
        burned_ns = self._burned.get((signal.symbol, signal.strategy, signal.side))
        if burned_ns is None or signal.bar_ns > burned_ns:
            return None
        return Refused(Reason.SIGNAL_IDEMPOTENCY, 1.0, 1.0, Release.NEXT_SIGNAL, 0)

    def apply(self, row: Row) -> None:
        if isinstance(row, OrderRequested) and row.purpose is _ENTRY:
            key = (row.symbol, row.strategy, row.side)
            if row.bar_ns > self._burned.get(key, -1):
                self._burned[key] = row.bar_ns

    def snapshot(self) -> object:
        return [[*key, bar_ns] for key, bar_ns in sorted(self._burned.items())]
