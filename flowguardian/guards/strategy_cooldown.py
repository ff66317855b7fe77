"""A strategy does not fire entries in bursts.

Rule: armed by the request of an entry, by nothing else; over at exactly entry + cooldown.
"""

from __future__ import annotations

from flowguardian.execution.events import OrderRequested, Purpose, Reason, Row, Signal
from flowguardian.execution.limits import Limits
from flowguardian.guards.base import Refused, Release, View
from flowguardian.market.records import SECOND_NS

_ENTRY = Purpose.ENTRY


class StrategyCooldown:
    """Refuses for `entry_cooldown_ns` after an entry of the strategy in any symbol; scope: strategy."""

    __slots__ = ("_cooldown_ns", "_entered")
    code = Reason.STRATEGY_COOLDOWN
    rows: tuple[type[Row], ...] = (OrderRequested,)

    def __init__(self, limits: Limits) -> None:
        self._cooldown_ns = limits.guards.entry_cooldown_ns
        self._entered: dict[str, int] = {}

    def review(self, signal: Signal, view: View) -> Refused | None:
        entered_ns = self._entered.get(signal.strategy)
        if entered_ns is None:
            return None
        cooldown_ns = self._cooldown_ns
        passed_ns = signal.ts_ns - entered_ns
        if passed_ns >= cooldown_ns:
            return None
        return Refused(
            Reason.STRATEGY_COOLDOWN,
            cooldown_ns / SECOND_NS,
            passed_ns / SECOND_NS,
            Release.TIME,
            entered_ns + cooldown_ns,
        )

    def apply(self, row: Row) -> None:
        if isinstance(row, OrderRequested) and row.purpose is _ENTRY:
            self._entered[row.strategy] = row.ts_ns

    def snapshot(self) -> object:
        return [[strategy, entered_ns] for strategy, entered_ns in sorted(self._entered.items())]
