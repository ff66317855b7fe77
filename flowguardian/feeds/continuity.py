"""The released order of one symbol: trade ids follow each other, or everything of the symbol waits.

Rule: after an id gap all rows of the symbol wait for the back-fill, at most `gap_deadline`; then a Lost says
what is missing and the rows go on. A trade leaves once, in the order of ids. Nothing here reads a clock.

open     the next id goes out at once; an id seen before is dropped and counted.
waiting  rows are held in the order of arrival. Ids that are missing come late over the stream, or over REST
         (flagged BACKFILLED), or the venue's own list shows that they do not exist (voids).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from flowguardian.feeds.quality import Counters
from flowguardian.market.records import SECOND_NS, Flag

RowTuple = tuple[int, int, int, int, int, int, int, int, int, int, int]
"""One record in the order of ROW's fields."""
Numbered = tuple[int, RowTuple | None]
"""A trade id and its row; None for a print that is no trade of the market and only fills its id."""
FLAGS, VENUE_NS = 1, 5
NO_ID = -1

_RESET_NS = SECOND_NS
"""An id that went back while the venue's time went on this far is a new numbering, not a repetition."""
_ASK_EVERY_NS = SECOND_NS // 4


class Lost(msgspec.Struct, frozen=True):
    """Trades of a symbol are missing for good; stands in the released order where they are missing."""

    symbol: int
    from_ns: int
    to_ns: int
    lost: int


Emit = Callable[[RowTuple | Lost], None]


class Line:
    """The rows of one symbol on their way out."""

    def __init__(
        self,
        symbol: int,
        emit: Emit,
        counts: Counters,
        *,
        gap_deadline_ns: int,
        max_held: int,
        last_id: int = NO_ID,
        last_ns: int = 0,
    ) -> None:
        self.symbol = symbol
        self.last_id = last_id
        """The id up to which everything was emitted; NO_ID before the first trade."""
        self._last_ns = last_ns
        self._emit, self._counts = emit, counts
        self._gap_deadline_ns, self._max_held = gap_deadline_ns, max_held
        self._since_ns: int | None = None
        self._asked_ns = 0
        self._held: list[RowTuple | None] = []
        self._live: dict[int, RowTuple | None] = {}
        self._filled: dict[int, RowTuple] = {}
        self._through = 0
        self._highest = 0
        self._voids = 0

    @property
    def waiting(self) -> bool:
        return self._since_ns is not None

    def trade(self, number: int, row: RowTuple | None, venue_ns: int, now_ns: int) -> None:
        """A trade of the stream."""
        last = self.last_id
        if self._since_ns is None and (number == last + 1 or last == NO_ID):
            self.last_id, self._last_ns = number, venue_ns
            if row is not None:
                self._emit(row)
            return
        if number <= last:
            self._behind(number, row, venue_ns)
            return
        if number in self._live:
            self._counts.duplicates += 1
            return
        self._hold_trade(number, row, now_ns)

    def other(self, row: RowTuple, now_ns: int) -> None:
        """A quote or mark: at once, or in its place among the rows that wait."""
        if self._since_ns is None:
            self._emit(row)
            return
        self._held.append(row)
        if len(self._held) > self._max_held:
            self._counts.overflows += 1
            self._give_up()

    def _behind(self, number: int, row: RowTuple | None, venue_ns: int) -> None:
        if venue_ns > self._last_ns + _RESET_NS and self._since_ns is None:
            self._counts.id_resets += 1
            self._counts.feed_gaps += 1
            self._emit(Lost(self.symbol, self._last_ns, venue_ns, 0))
            self.last_id, self._last_ns = number, venue_ns
            if row is not None:
                self._emit(row)
        elif venue_ns < self._last_ns:
            self._counts.out_of_order += 1
        else:
            self._counts.duplicates += 1

    def _hold_trade(self, number: int, row: RowTuple | None, now_ns: int) -> None:
        if self._since_ns is None:
            self._since_ns, self._asked_ns = now_ns, 0
            self._through = self._highest = self._voids = 0
            self._counts.id_gaps += 1
        elif number < self._highest:
            self._counts.out_of_order += 1
            self._voids -= number <= self._through and number not in self._filled
        self._filled.pop(number, None)
        self._live[number] = row
        self._highest = max(self._highest, number)
        # The place of a trade among the rows that wait; which trade takes it is decided by id.
        self._held.append(None)
        if self._complete():
            self._release()
        elif len(self._held) > self._max_held:
            self._counts.overflows += 1
            self._give_up()

    # ---- the back-fill

    def wants(self, now_ns: int) -> int | None:
        """The first missing id when it is time to ask the venue for it (again), else None."""
        if self._since_ns is None:
            return None
        if self._asked_ns and now_ns - self._asked_ns < _ASK_EVERY_NS:
            return None
        self._asked_ns = max(now_ns, 1)
        return self.first_missing()

    def first_missing(self) -> int:
        """The first id that is neither out nor here."""
        number = self.last_id + 1
        while self._since_ns is not None and (
            number in self._live or number in self._filled or number <= self._through
        ):
            number += 1
        return number

    def fill(self, trades: Sequence[Numbered], now_ns: int) -> None:
        """The venue's list from the first missing id on, in order; what it skips does not exist."""
        if self._since_ns is None:
            self._counts.late += sum(number <= self.last_id for number, _ in trades)
            return
        for number, row in trades:
            if row is None or number <= self.last_id or number in self._live or number in self._filled:
                continue
            if number < self._highest:
                self._filled[number] = (row[0], row[FLAGS] | Flag.BACKFILLED, *row[2:])
        if trades:
            self._through = max(self._through, trades[-1][0])
            upto = min(self._through, self._highest)
            here = sum(n <= upto for n in self._live) + sum(n <= upto for n in self._filled)
            self._voids = max(0, upto - self.last_id - here)
        self._asked_ns = 0  # Whatever is still missing is asked for at once.
        if self._complete():
            self._release()

    def expire(self, now_ns: int) -> None:
        """Past the deadline the rows go on without what is missing."""
        if self._since_ns is not None and now_ns - self._since_ns >= self._gap_deadline_ns:
            self._give_up()

    def give_up(self) -> None:
        """Whatever waits goes on now: the slice or the run ends."""
        if self._since_ns is not None:
            self._give_up()

    # ---- the end of a gap

    def _missing(self) -> int:
        """How many ids between the last one out and the highest held are neither here nor void."""
        return self._highest - self.last_id - len(self._live) - len(self._filled) - self._voids

    def _complete(self) -> bool:
        return self._missing() == 0

    def _give_up(self) -> None:
        lost = self._missing()
        if lost > 0:
            self._counts.lost += lost
            self._counts.feed_gaps += 1
            row = self._live[min(self._live)]
            to_ns = row[VENUE_NS] if row is not None else self._last_ns
            self._emit(Lost(self.symbol, self._last_ns, to_ns, lost))
        self._release()

    def _release(self) -> None:
        self._counts.id_voids += self._voids
        self._counts.backfilled += len(self._filled)
        live, filled = sorted(self._live), sorted(self._filled)
        next_live = next_filled = 0
        for held in self._held:
            if held is not None:
                self._emit(held)
                continue
            number = live[next_live]
            while next_filled < len(filled) and filled[next_filled] < number:
                self._emit(self._filled[filled[next_filled]])
                next_filled += 1
            next_live += 1
            row = self._live[number]
            if row is not None:
                self._emit(row)
                self._last_ns = max(self._last_ns, row[VENUE_NS])
        self.last_id = self._highest
        self._held.clear()
        self._live.clear()
        self._filled.clear()
        self._since_ns = None
