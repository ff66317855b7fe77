"""The prices an order meets: the book around each top as it was published, and the last trades.

Rule: pure; the book is the one that depth streams show, or the one of the fill rule in venue/matching.py,
less what was taken from it since its top came. Without quotes the last trade ± a step stands in, of any size.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from flowguardian.market.instruments import Instrument
from flowguardian.venue.matching import slipped

BOOK_DEPTH = 20
_ENDLESS = 1000
"""So many times the largest order is any size."""
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

    def __init__(self, listing: Listing, slippage: int | None = None) -> None:
        """With a slippage (1e-8 ratio) one level of any size lies behind the touch, at touch ± slippage."""
        count = len(listing.symbols)
        self._listing, self._slippage = listing, slippage
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
        return max(1, self._deeper(index, self.last[index], side))

    def _deeper(self, index: int, price: int, side: int) -> int:
        """The one level behind the touch, or what stands in for a touch: ± slippage, else ± one tick."""
        tick = self._listing.instruments[index].tick_size
        if self._slippage is None:
            return price + side * tick
        return slipped(price, side, self._slippage, tick)

    def _ladder(self, index: int, side: int) -> list[Level]:
        """The levels of a side as they were published, or as the fill rule of the paper broker has them."""
        instrument = self._listing.instruments[index]
        shown = (self._asks if side > 0 else self._bids)[index]
        endless = instrument.max_qty * _ENDLESS
        if not shown[0]:
            touch = self.touch(index, side)
            return [(touch, endless)] if touch else []
        if self._slippage is None:
            return ladder(shown, instrument.tick_size, instrument.step_size, side=side)
        deeper = self._deeper(index, shown[0], side)
        return [(shown[0], endless)] if deeper == shown[0] else [shown, (deeper, endless)]

    def levels(self, index: int, side: int, limit: int) -> Iterator[Level]:
        """What an order of a side may take up to its limit (0 = none), best first, sizes as left."""
        taken = self._taken[index]
        for at, size in self._ladder(index, side):
            if at <= 0 or (limit and (at - limit) * side > 0):
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
