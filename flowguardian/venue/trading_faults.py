"""Faults of the trading side: what becomes of requests, fills and the user stream.

Rule: pure; which request is hit depends on (plan seed, fault, place of the request) alone, and a fault that
happens at a moment happens once. Kinds and fields stand in venue/faults.py; sockets and replies are not here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from flowguardian.market.records import SECOND_NS
from flowguardian.venue.errors import Refusal
from flowguardian.venue.faults import TRADING_MOMENTS, Active, Fault, Faults, matches
from flowguardian.venue.orders import Order
from flowguardian.venue.refusals import TEXTS, refuse
from flowguardian.venue.user_events import ORDER


class Variant(NamedTuple):
    """How an answer that is none looks, and whether the request is executed behind it by default."""

    status: int
    body: str
    code: int = 0
    executed: float = 1.0


VARIANTS: Mapping[str, Variant] = {
    "timeout": Variant(408, "", -1007),
    "unknown_503": Variant(503, "Unknown error, please check your request or try again later."),
    "unavailable_503": Variant(503, "Service Unavailable.", executed=0.0),
    "internal_503": Variant(503, "", -1001, executed=0.0),
    "throttled_503": Variant(503, "", -1008, executed=0.0),
    "gateway_504": Variant(504, "<html><head><title>504 Gateway Time-out</title></head></html>"),
    "dropped": Variant(0, ""),
    "late": Variant(200, ""),
}
"""Source: general information of the exchange: what a 5xx says about the execution of a request."""
CHANGING = ("/fapi/v1/order", "/fapi/v1/batchOrders", "/fapi/v1/algoOrder", "/fapi/v1/allOpenOrders",
            "/fapi/v1/algoOpenOrders")  # fmt: skip
Events = list[tuple[str, dict[str, Any]]]


class Fate(NamedTuple):
    """What happens to one request."""

    variant: str
    executed: bool
    seconds: float


class TradingFaults:
    """Asks the plan on behalf of the desk."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._done: set[int] = set()
        self.matches = matches

    # ---- moments

    @property
    def pending(self) -> bool:
        """Whether a fault of a moment is still to come."""
        return any(True for _ in self._to_come())

    def _to_come(self) -> Iterator[Active]:
        for kind in TRADING_MOMENTS:
            for one in self._faults.kind(kind):
                if one.number not in self._done and one.to_ns > one.from_ns:
                    yield one

    def due(self, at_ns: int) -> list[Active]:
        """Faults of a moment that has come, each once."""
        found = [one for one in self._to_come() if one.from_ns <= at_ns]
        self._done.update(one.number for one in found)
        return found

    def skip_before(self, at_ns: int) -> None:
        """What was due before a venue was started again has happened already."""
        self.due(at_ns - 1)

    def is_delisted(self, symbol: str, at_ns: int) -> bool:
        return self._faults.delisted(symbol, at_ns)

    # ---- requests

    def fate(self, method: str, path: str, at_ns: int, number: int, *, reduces: bool) -> Fate | None:
        """What happens to a request that changes orders; None = nothing out of the ordinary."""
        if method == "GET" or path not in CHANGING:
            return None
        for one in self._hit("order_reply", f"{method} {path}", at_ns, number):
            variant = VARIANTS[one.fault.variant]
            if one.fault.variant == "throttled_503" and (reduces or method != "POST"):
                continue
            share = variant.executed if one.fault.executed is None else one.fault.executed
            executed = self._faults.draw(one, f"{method} {path}/executed", number) < share
            return Fate(
                one.fault.variant, executed, one.fault.seconds if one.fault.variant == "late" else 0.0
            )
        return None

    def refusal(self, method: str, path: str, at_ns: int, number: int) -> Refusal | None:
        """A request is refused though nothing is wrong with it."""
        if method == "POST" and path in CHANGING:
            for one in self._hit("order_refused", f"{method} {path}", at_ns, number):
                fault = one.fault
                if fault.text or fault.code not in TEXTS:
                    return Refusal(400, fault.code, fault.text or "Order is rejected.")
                return refuse(fault.code, *["100"] * TEXTS[fault.code].count("{}"))
        if method == "PUT" and path == "/fapi/v1/listenKey":
            for _ in self._hit("keepalive_refused", f"{method} {path}", at_ns, number):
                return refuse(-1125)
        return None

    def race(self, at_ns: int, number: int) -> Fault | None:
        """A resting order fills just before it is cancelled or amended."""
        return next((one.fault for one in self._hit("race", "", at_ns, number)), None)

    def races_stop(self, request: str, symbol: str, at_ns: int, number: int) -> bool:
        """Whether the stops of a symbol are triggered just before a request ("METHOD path") is handled."""
        return any(
            matches(one.fault.symbols, symbol) for one in self._hit("stop_race", request, at_ns, number)
        )

    def fill_share(self, order: Order, at_ns: int) -> float | None:
        """The share of a new order that fills before the venue cancels the rest."""
        for one in self._hit("partial_then_cancel", "", at_ns, order.id):
            if matches(one.fault.symbols, order.symbol):
                return one.fault.share
        return None

    def longest_ns(self, kind: str, at_ns: int) -> int:
        """For how long queries are wrong: `invisible` hides new orders, `stale` shows old states."""
        longest = max((one.fault.seconds for one in self._faults.of(kind, at_ns)), default=0.0)
        return round(longest * SECOND_NS)

    def _hit(self, kind: str, name: str, at_ns: int, number: int) -> list[Active]:
        return [
            one
            for one in self._faults.of(kind, at_ns)
            if (not name or matches(one.fault.path, name) or matches(one.fault.path, name.split(" ")[1]))
            and (one.fault.rate >= 1.0 or self._faults.draw(one, name, number) < one.fault.rate)
        ]

    # ---- the user stream

    def ordered(self, events: Events, at_ns: int) -> Events:
        """Events of one change in the order in which they leave: a fault lets fills overtake their NEW."""
        if not self._faults.of("fill_first", at_ns):
            return events
        return sorted(events, key=lambda event: event[0] == f"{ORDER}@NEW")
