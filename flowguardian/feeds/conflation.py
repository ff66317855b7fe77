"""Fewer rows without losing what decides: the last quote of each interval, the mark that settles funding.

Rule: intervals are multiples of venue time, so the same frames give the same rows however they arrive in
slices, as long as no slice ends inside an interval. Trades are never conflated.
"""

from __future__ import annotations

from flowguardian.feeds.continuity import VENUE_NS, RowTuple
from flowguardian.feeds.quality import Counters
from flowguardian.feeds.wire import MILLISECOND_NS, MarkPrice, nanoseconds, signed_units, units
from flowguardian.market.records import SECOND_NS, Flag, Kind

_RESET_NS = 5 * SECOND_NS
_TOP, _MARK, _FUNDING = int(Kind.TOP), int(Kind.MARK), int(Flag.FUNDING)


class Quotes:
    """Quotes of one symbol; the last one of an interval leaves when the interval is over."""

    def __init__(self, interval_ns: int, counts: Counters) -> None:
        self._interval_ns, self._counts = interval_ns, counts
        self._last_id = -1
        self._last_ns = 0
        self._pending: RowTuple | None = None
        self._until_ns = 0

    def fresh(self, number: int, venue_ns: int) -> bool:
        """Whether a quote is new: update ids increase, unless the venue began to count anew."""
        if number <= self._last_id and venue_ns <= self._last_ns + _RESET_NS:
            self._counts.duplicates += 1
            return False
        if number <= self._last_id:
            self._counts.id_resets += 1
        self._last_id, self._last_ns = number, max(self._last_ns, venue_ns)
        return True

    def put(self, row: RowTuple) -> RowTuple | None:
        """Take a fresh quote; returns the one before it when that one's interval is over."""
        if self._interval_ns <= 0:
            return row
        done = self._pending
        at_ns = row[VENUE_NS]
        if done is not None and at_ns < self._until_ns:
            self._counts.conflated += 1
            done = None
        else:
            self._until_ns = (at_ns // self._interval_ns + 1) * self._interval_ns
        self._pending = row
        return done

    def due(self, now_ns: int) -> RowTuple | None:
        """The waiting quote when its interval is over by venue time `now_ns`."""
        if self._pending is None or now_ns < self._until_ns:
            return None
        row, self._pending = self._pending, None
        return row


class Marks:
    """Marks of one symbol; the first one after a funding time becomes the row that settles it."""

    def __init__(self, symbol: int) -> None:
        self._symbol = symbol
        self._last_ms = 0
        self._rate = 0
        self._next_ms = 0

    def fresh(self, mark: MarkPrice) -> bool:
        return mark.time_ms > self._last_ms

    def settled(self, mark: MarkPrice) -> RowTuple | None:
        """The FUNDING row when this mark is the first at or after the funding time announced before.

        Price and index are this mark's, the rate is the last one announced for that time.
        Raises UnreadableFrame, and then nothing has changed.
        """
        price, index = units(mark.price), units(mark.index)
        rate = signed_units(mark.rate) if mark.rate else 0
        nanoseconds(mark.time_ms)
        next_ns = nanoseconds(mark.next_funding_ms) if mark.next_funding_ms else 0
        due_ms, settled_rate = self._next_ms, self._rate
        self._last_ms, self._rate, self._next_ms = mark.time_ms, rate, mark.next_funding_ms
        if not due_ms or mark.time_ms < due_ms or mark.next_funding_ms <= due_ms or price <= 0:
            return None
        due_ns = due_ms * MILLISECOND_NS
        return (_MARK, _FUNDING, self._symbol, 0, 0, due_ns, price, index, settled_rate, next_ns, 0)
