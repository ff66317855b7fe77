"""A wide spread makes every entry start with a loss.

Rule: exact integers; an entry without a known top of the book is refused, not waved through.
"""

from __future__ import annotations

from flowguardian.execution.events import Reason, Signal
from flowguardian.execution.limits import Limits
from flowguardian.execution.money import SCALE
from flowguardian.guards.base import Refused, Release, Stateless, View


class Spread(Stateless):
    """Refuses when (ask - bid) / mid is over `max_spread` or there is no top; scope: symbol."""

    __slots__ = ("_spread",)
    code = Reason.SPREAD

    def __init__(self, limits: Limits) -> None:
        self._spread = limits.guards.max_spread

    def review(self, signal: Signal, view: View) -> Refused | None:
        bid, ask = signal.bid, signal.ask
        if bid <= 0 or ask <= 0:
            return Refused(Reason.SPREAD, self._spread / SCALE, -1.0, Release.FRESH_DATA, 0)
        # The mid is (bid + ask) / 2; both sides are multiplied out so that nothing is rounded.
        if (ask - bid) * 2 * SCALE <= self._spread * (bid + ask):
            return None
        value = (ask - bid) * 2 / (bid + ask)
        return Refused(Reason.SPREAD, self._spread / SCALE, value, Release.SPREAD_NARROWS, 0)
