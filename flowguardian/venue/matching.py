"""The one fill rule: what a taker order gets at one moment of the market.

Rule: pure and shared by the paper broker and the local venue. An order takes the touch up to its size; what
is left walks the book, which is modelled as one deeper level at touch ± slippage. Without quotes the last
trade ± slippage stands in for the book. An IOC limit takes nothing beyond its limit.
"""

from __future__ import annotations

from typing import NamedTuple

from flowguardian.execution.money import SCALE, ceil_div


class Quote(NamedTuple):
    """What the market showed at a stamp (1e-8 units); zeros = no such side."""

    price: int
    bid: int
    bid_qty: int
    ask: int
    ask_qty: int


class Part(NamedTuple):
    """One fill of an order."""

    qty: int
    price: int


def slipped(price: int, side: int, slippage: int, tick: int) -> int:
    """`price` made worse for the taker by `slippage` (1e-8 ratio), outward to the tick grid."""
    if side > 0:
        return ceil_div(price * (SCALE + slippage), SCALE * tick) * tick
    return price * (SCALE - slippage) // (SCALE * tick) * tick


def match_taker(
    *, side: int, qty: int, limit_price: int, quote: Quote, slippage: int, tick: int
) -> tuple[Part, ...]:
    """The fills of a taker order against `quote`; `limit_price` 0 is a market order."""
    touch, size = (quote.ask, quote.ask_qty) if side > 0 else (quote.bid, quote.bid_qty)
    parts: tuple[Part, ...] = ()
    left = qty
    if touch:
        if not _reaches(side, limit_price, touch):
            return ()
        taken = min(left, size)
        parts = (Part(taken, touch),) if taken else ()
        left -= taken
    deeper = slipped(touch or quote.price, side, slippage, tick)
    if left and deeper > 0 and _reaches(side, limit_price, deeper):
        parts = (*parts, Part(left, deeper))
    return parts


def _reaches(side: int, limit_price: int, price: int) -> bool:
    return limit_price == 0 or (price - limit_price) * side <= 0


def latency_ns(seed: int, order_id: int, least_ns: int, most_ns: int) -> int:
    """The modelled way of an order to the venue: uniform, a function of run seed and order id alone."""
    mixed = (seed * 0x9E3779B97F4A7C15 + order_id * 0xD1B54A32D192ED03 + 1) & 0xFFFFFFFFFFFFFFFF
    for factor in (0xBF58476D1CE4E5B9, 0x94D049BB133111EB):
        mixed = ((mixed ^ (mixed >> 30)) * factor) & 0xFFFFFFFFFFFFFFFF
    mixed ^= mixed >> 31
    return least_ns + (mixed * (most_ns - least_ns + 1) >> 64)
