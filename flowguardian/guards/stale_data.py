"""No entry on old market data.

Rule: data that never came (-1) is as stale as data can be; tops are looked at only when they have a limit.
A stream that the feed calls silent makes its symbol stale whatever the ages say.
"""

from __future__ import annotations

from flowguardian.execution.events import (
    Reason,
    Row,
    SegmentStarted,
    Signal,
    StreamRecovered,
    StreamWentSilent,
)
from flowguardian.execution.limits import Limits
from flowguardian.guards.base import Refused, Release, View
from flowguardian.market.records import SECOND_NS


class StaleData:
    """Refuses when the last trade or top is older than its limit, or a stream is silent; scope: symbol.

    `max_top_age_ns` 0 means that tops are not looked at.
    """

    __slots__ = ("_silent", "_top_ns", "_trade_ns")
    code = Reason.STALE_DATA
    rows: tuple[type[Row], ...] = (StreamWentSilent, StreamRecovered, SegmentStarted)

    def __init__(self, limits: Limits) -> None:
        self._trade_ns = limits.guards.max_trade_age_ns
        self._top_ns = limits.guards.max_top_age_ns
        self._silent: dict[str, dict[str, StreamWentSilent]] = {}

    def apply(self, row: Row) -> None:
        if isinstance(row, StreamWentSilent):
            self._silent.setdefault(row.symbol, {})[row.stream] = row
        elif isinstance(row, StreamRecovered):
            streams = self._silent.get(row.symbol, {})
            streams.pop(row.stream, None)
            if not streams:
                self._silent.pop(row.symbol, None)
        else:
            # A new process proves every stream before it goes on.
            self._silent.clear()

    def review(self, signal: Signal, view: View) -> Refused | None:
        for silent in self._silent.get(signal.symbol, {}).values():
            return _stale(silent.limit_ns, signal.ts_ns - silent.since_ns)
        if not 0 <= signal.trade_age_ns <= self._trade_ns:
            return _stale(self._trade_ns, signal.trade_age_ns)
        if self._top_ns > 0 and not 0 <= signal.top_age_ns <= self._top_ns:
            return _stale(self._top_ns, signal.top_age_ns)
        return None

    def snapshot(self) -> object:
        return [row for streams in self._silent.values() for row in streams.values()]


def _stale(limit_ns: int, age_ns: int) -> Refused:
    value = age_ns / SECOND_NS if age_ns >= 0 else -1.0
    return Refused(Reason.STALE_DATA, limit_ns / SECOND_NS, value, Release.FRESH_DATA, 0)
