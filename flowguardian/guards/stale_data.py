"""No entry on old market data.

Rule: data that never came (-1) is as stale as data can be; tops are looked at only when they have a limit.
"""

from __future__ import annotations

from flowguardian.execution.events import Reason, Signal
from flowguardian.execution.limits import Limits
from flowguardian.guards.base import Refused, Release, Stateless, View
from flowguardian.market.records import SECOND_NS


class StaleData(Stateless):
    """Refuses when the last trade or top of the symbol is older than its limit; scope: symbol.

    `max_top_age_ns` 0 means that tops are not looked at.
    """

    __slots__ = ("_top_ns", "_trade_ns")
    code = Reason.STALE_DATA

    def __init__(self, limits: Limits) -> None:
        self._trade_ns = limits.guards.max_trade_age_ns
        self._top_ns = limits.guards.max_top_age_ns

    def review(self, signal: Signal, view: View) -> Refused | None:
        if not 0 <= signal.trade_age_ns <= self._trade_ns:
            return _stale(self._trade_ns, signal.trade_age_ns)
        if self._top_ns > 0 and not 0 <= signal.top_age_ns <= self._top_ns:
            return _stale(self._top_ns, signal.top_age_ns)
        return None


def _stale(limit_ns: int, age_ns: int) -> Refused:
    value = age_ns / SECOND_NS if age_ns >= 0 else -1.0
    return Refused(Reason.STALE_DATA, limit_ns / SECOND_NS, value, Release.FRESH_DATA, 0)
