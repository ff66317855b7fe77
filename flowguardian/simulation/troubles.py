"""The kinds of trouble the venue can make, each with how often it may come and how its details are drawn.

Rule: every kind is a fault of the venue's own plans (venue/faults.py); nothing new is invented here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import NamedTuple

from flowguardian.venue.faults import REPLIES, Fault


class Trouble(NamedTuple):
    """`per_hour` are the lowest and highest mean; `most` is how often at all."""

    per_hour: tuple[float, float]
    make: Callable[[Random, Sequence[str]], Fault]
    most: int = 10_000


def _streams(draw: Random, symbols: Sequence[str]) -> str:
    kind = draw.choice(("*", "aggTrade", "bookTicker", "markPrice@1s"))
    return f"{draw.choice(symbols).lower()}@{kind}" if draw.random() < 0.6 else f"*usdt@{kind}"


def _span(draw: Random, *choices: float) -> float:
    return draw.choice(choices) * (0.5 + draw.random())


_DEFINITE = ("unavailable_503", "throttled_503")
"""Replies that mean by the exchange's documents that nothing was executed: it does not lie about that."""


def _replies(draw: Random, symbols: Sequence[str]) -> Fault:
    path = draw.choice(("*", "POST /fapi/v1/order", "POST /fapi/v1/order", "POST /fapi/v1/algoOrder"))
    variant, executed = draw.choice(REPLIES), draw.choice((None, 0.0, 0.5, 1.0))
    if variant in _DEFINITE:
        executed = None
    return Fault(
        "order_reply", for_seconds=_span(draw, 20, 120, 900), path=path, variant=variant,
        rate=draw.choice((0.05, 0.3, 1.0)), executed=executed, seconds=draw.choice((0.3, 2.0, 8.0, 30.0)),
    )  # fmt: skip


def _refusals(draw: Random, symbols: Sequence[str]) -> Fault:
    path = draw.choice(("POST /fapi/v1/order", "POST /fapi/v1/order", "POST /fapi/v1/algoOrder"))
    code = draw.choice((-2019, -2010, -1008, -4131))
    rate = draw.choice((0.05, 0.3))
    return Fault("order_refused", for_seconds=_span(draw, 20, 120), path=path, code=code, rate=rate)


def _rest(draw: Random, symbols: Sequence[str]) -> Fault:
    status = draw.choice((500, 502, 503, 0))
    path = draw.choice(("*", "/fapi/v1/aggTrades", "/fapi/v1/userTrades", "/fapi/v1/order", "/fapi/v1/time"))
    text = "<html>Bad Gateway</html>" if status == 502 else ""
    return Fault(
        "rest", for_seconds=_span(draw, 5, 30, 120), path=path, rate=draw.choice((0.1, 0.5, 1.0)),
        status=status, seconds=_span(draw, 1, 20), text=text,
    )  # fmt: skip


TROUBLES: Mapping[str, Trouble] = {
    # ---- the market over its sockets
    "drop": Trouble((0.5, 6), lambda d, s: Fault(
        "drop", for_seconds=_span(d, 5, 30, 120), streams=_streams(d, s), rate=d.choice((0.05, 0.5)))),
    "stall": Trouble((0.3, 4), lambda d, s: Fault(
        "stall", for_seconds=_span(d, 5, 30, 120), streams=_streams(d, s))),
    "delay": Trouble((0.3, 4), lambda d, s: Fault(
        "delay", for_seconds=_span(d, 5, 60), streams=_streams(d, s), seconds=_span(d, 0.3, 3, 10))),
    "duplicate": Trouble((0.3, 4), lambda d, s: Fault(
        "duplicate", for_seconds=_span(d, 10, 120), streams=_streams(d, s), rate=d.choice((0.1, 1.0)),
        count=d.choice((1, 3)))),
    "reorder": Trouble((0.3, 4), lambda d, s: Fault(
        "reorder", for_seconds=_span(d, 10, 120), streams=_streams(d, s), seconds=_span(d, 0.5, 2))),
    "malformed": Trouble((0.2, 2), lambda d, s: Fault(
        "malformed", for_seconds=_span(d, 10, 60), streams=_streams(d, s), rate=d.choice((0.05, 0.5)))),
    "unknown": Trouble((0.2, 2), lambda d, s: Fault(
        "unknown", for_seconds=_span(d, 10, 60), streams=_streams(d, s), rate=0.2)),
    "id_gap": Trouble((0.2, 2), lambda d, s: Fault(
        "id_gap", symbols=d.choice(s), count=d.choice((1, 7, 200)))),
    "burst": Trouble((0.2, 1), lambda d, s: Fault(
        "burst", for_seconds=_span(d, 5, 20), count=d.choice((3, 20)))),
    "non_market": Trouble((0.2, 1), lambda d, s: Fault("non_market", for_seconds=_span(d, 10, 60), rate=0.3)),
    "cut": Trouble((0.3, 4), lambda d, s: Fault("cut", path=d.choice(("*", "market", "public", "private")))),
    "half_open": Trouble((0.2, 1), lambda d, s: Fault(
        "half_open", for_seconds=_span(d, 20, 90), path=d.choice(("*", "market", "public", "private")))),
    # ---- the venue itself
    "rest": Trouble((0.3, 3), _rest),
    "maintenance": Trouble((0.1, 0.5), lambda d, s: Fault("maintenance", for_seconds=_span(d, 3, 60, 300))),
    "clock_skew": Trouble((0.1, 1), lambda d, s: Fault(
        "clock_skew", for_seconds=_span(d, 60, 900), seconds=d.choice((-3, -0.8, 0.8, 3)))),
    "tick_size": Trouble((0.02, 0.2), lambda d, s: Fault("tick_size", symbols=d.choice(s), tick="0.1"), 1),
    "delist": Trouble((0.02, 0.2), lambda d, s: Fault("delist", symbols=s[0]), 1),
    # ---- orders and the account
    "order_reply": Trouble((0.5, 6), _replies),
    "order_refused": Trouble((0.3, 3), _refusals),
    "partial_then_cancel": Trouble((0.3, 3), lambda d, s: Fault(
        "partial_then_cancel", for_seconds=_span(d, 30, 300), rate=d.choice((0.2, 1.0)), share=d.random())),
    # Not longer than the time after which "not found" is taken for a proof (DESIGN 3c).
    "invisible": Trouble((0.2, 2), lambda d, s: Fault(
        "invisible", for_seconds=_span(d, 30, 300), seconds=_span(d, 0.5, 3))),
    "stale": Trouble((0.2, 2), lambda d, s: Fault(
        "stale", for_seconds=_span(d, 30, 300), seconds=_span(d, 0.5, 3, 20))),
    "fill_first": Trouble((0.2, 2), lambda d, s: Fault("fill_first", for_seconds=_span(d, 60, 600))),
    "keepalive_refused": Trouble((0.1, 1), lambda d, s: Fault("keepalive_refused", for_seconds=1300.0), 3),
    "key_expiry": Trouble((0.1, 1), lambda d, s: Fault("key_expiry", silent=d.random() < 0.5)),
    "stop_cancelled": Trouble((0.2, 3), lambda d, s: Fault(
        "stop_cancelled", symbols=d.choice(("*", *s)), silent=d.random() < 0.3)),
    "outside_trade": Trouble((0.2, 3), lambda d, s: Fault("outside_trade", symbols=d.choice(s))),
    "adl": Trouble((0.1, 1), lambda d, s: Fault("adl", symbols=d.choice(s), share=d.choice((0.3, 1.0)))),
    "liquidation": Trouble((0.05, 0.3), lambda d, s: Fault("liquidation")),
    # ---- the stream of the account
    "user_drop": Trouble((0.3, 4), lambda d, s: Fault(
        "drop", for_seconds=_span(d, 10, 120, 600), streams="user@*", rate=d.choice((0.1, 1.0)))),
    "user_delay": Trouble((0.3, 3), lambda d, s: Fault(
        "delay", for_seconds=_span(d, 10, 120), streams="user@*", seconds=_span(d, 0.3, 3, 20))),
    "user_duplicate": Trouble((0.3, 3), lambda d, s: Fault(
        "duplicate", for_seconds=_span(d, 10, 600), streams="user@*", count=d.choice((1, 2)))),
    "user_reorder": Trouble((0.3, 3), lambda d, s: Fault(
        "reorder", for_seconds=_span(d, 10, 300), streams="user@*", seconds=_span(d, 0.5, 3))),
}  # fmt: skip
