"""After a position has closed, its symbol rests.

Rule: armed by the close of a position, by nothing else; over at exactly close + cooldown. The close that
turns a position round arms nothing: it is half of one decision, and the other half could never enter.
"""

from __future__ import annotations

from flowguardian.execution.events import ExitReason, PositionClosed, Reason, Row, Signal
from flowguardian.execution.limits import Limits
from flowguardian.guards.base import Refused, Release, View
from flowguardian.market.records import SECOND_NS


class SymbolCooldown:
    """Refuses for `symbol_cooldown_ns` after a close; scope: symbol."""

    __slots__ = ("_closed", "_cooldown_ns")
    code = Reason.SYMBOL_COOLDOWN
    rows: tuple[type[Row], ...] = (PositionClosed,)

    def __init__(self, limits: Limits) -> None:
        self._cooldown_ns = limits.guards.symbol_cooldown_ns
        self._closed: dict[str, int] = {}

    def review(self, signal: Signal, view: View) -> Refused | None:
        closed_ns = self._closed.get(signal.symbol)
        if closed_ns is None:
            return None
        cooldown_ns = self._cooldown_ns
        passed_ns = signal.ts_ns - closed_ns
        if passed_ns >= cooldown_ns:
            return None
        return Refused(
            Reason.SYMBOL_COOLDOWN,
            cooldown_ns / SECOND_NS,
            passed_ns / SECOND_NS,
            Release.TIME,
            closed_ns + cooldown_ns,
        )

    def apply(self, row: Row) -> None:
        if isinstance(row, PositionClosed) and row.reason is not ExitReason.OPPOSITE:
            self._closed[row.symbol] = row.ts_ns

    def snapshot(self) -> object:
        return [[symbol, closed_ns] for symbol, closed_ns in sorted(self._closed.items())]
