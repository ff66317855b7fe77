"""The price an entry is decided at must be one the book agrees with.

Rule: exact integers; a crossed or one-sided book is invalid, not "probably fine".
"""

from __future__ import annotations

from flowguardian.execution.events import Reason, Signal
from flowguardian.execution.limits import Limits
from flowguardian.execution.money import SCALE
from flowguardian.guards.base import Refused, Release, Stateless, View


class PriceSanity(Stateless):
    """Refuses a price that is not positive or off the mid by more than `max_price_deviation`; scope: symbol.

    Without any top only the sign of the price is known; `spread` refuses missing tops where they are wanted.
    """

    __slots__ = ("_deviation",)
    code = Reason.PRICE_SANITY

    def __init__(self, limits: Limits) -> None:
        self._deviation = limits.guards.max_price_deviation

    def review(self, signal: Signal, view: View) -> Refused | None:
        price, bid, ask = signal.price, signal.bid, signal.ask
        if price <= 0:
            return Refused(Reason.PRICE_SANITY, 0.0, price / SCALE, Release.PRICE_NORMAL, 0)
        if bid <= 0 and ask <= 0:
            return None
        if bid <= 0 or bid >= ask:
            return Refused(Reason.PRICE_SANITY, 0.0, (ask - bid) / SCALE, Release.FRESH_DATA, 0)
        both = bid + ask
        # |price - mid| / mid with mid = both / 2, multiplied out so that nothing is rounded.
        if abs(2 * price - both) * SCALE <= self._deviation * both:
            return None
        value = (2 * price - both) / both
        return Refused(Reason.PRICE_SANITY, self._deviation / SCALE, value, Release.PRICE_NORMAL, 0)
