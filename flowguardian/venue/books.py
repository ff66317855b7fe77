"""The prices an order meets: the book around each top as it was published, and the last trades.

Rule: pure; the book is the one that depth streams show, less what was taken from it since its top came.
Without quotes the last trade ± one tick stands in, of any size.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from flowguardian.market.instruments import Instrument

BOOK_DEPTH = 20
Level = tuple[int, int]


class Listing(Protocol):
    """What is traded: symbols, their numbers in rows, and their filters as they are now."""

    symbols: tuple[str, ...]
    instruments: list[Instrument]
    index: dict[str, int]


def ladder(touch: Level, tick: int, step: int, *, side: int, depth: int = BOOK_DEPTH) -> list[Level]:
    """The levels of one side from its touch, best first: side +1 for asks, −1 for bids (1e-8 units).

    One level per tick; sizes are a fixed pattern of the touch, never below one step.
    """
    price, qty = touch
    levels = [touch]
    for level in range(1, depth):
        at = price + side * level * tick
        if at > 0:
            levels.append((at, max(step, qty * (1 + (level * 7) % 5) // 3 // step * step)))
    return levels


class Books:
    """Best bid and ask, last price, and what was taken, by number of the symbol."""

    def __init__(self, listing: Listing) -> None:
        count = len(listing.symbols)
        self._listing = listing
        self.last = [0] * count
        self._numbers = [-1] * count
        self._bids: list[Level] = [(0, 0)] * count
        self._asks: list[Level] = [(0, 0)] * count
        self._taken: list[dict[int, int]] = [{} for _ in range(count)]

    def top(self, index: int, number: int, bid: Level, ask: Level) -> None:
        """A quote with its update id was published; prices of 0 mean that there is none."""
        if number != self._numbers[index]:
            self._numbers[index], self._bids[index], self._asks[index] = number, bid, ask
            self._taken[index].clear()

    def touch(self, index: int, side: int) -> int:
        """The price at which an order of a side would begin to trade; 0 while nothing is known."""
        price = (self._asks if side > 0 else self._bids)[index][0]
        if price or not self.last[index]:
            return price
        return max(1, self.last[index] + side * self._listing.instruments[index].tick_size)

    def levels(self, index: int, side: int, limit: int) -> Iterator[Level]:
        """What an order of a side may take up to its limit (0 = none), best first, sizes as left."""
        instrument = self._listing.instruments[index]
        shown = (self._asks if side > 0 else self._bids)[index]
        if shown[0]:
            found: Sequence[Level] = ladder(shown, instrument.tick_size, instrument.step_size, side=side)
        else:
            touch = self.touch(index, side)
            found = [(touch, instrument.max_qty * 1000)] if touch else []
        taken = self._taken[index]
        for at, size in found:
            if limit and (at - limit) * side > 0:
                return
            left = size - taken.get(at, 0)
            if left > 0:
                yield at, left

    def take(self, index: int, price: int, qty: int) -> None:
        """Somebody took so much at a price: it is gone until the next quote."""
        taken = self._taken[index]
        taken[price] = taken.get(price, 0) + qty

    def available(self, index: int, side: int, limit: int) -> int:
        return sum(size for _, size in self.levels(index, side, limit))
