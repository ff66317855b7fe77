"""What a feed in slices must release, by another way: the market's own rows, quotes conflated, stamped.

Rule: nothing of the feed is in it but `stamp`, which is the market's own.
"""

import json
from typing import Any

import numpy as np

from flowguardian.feeds.recorded import stamp
from flowguardian.market.records import SECOND_NS, UNITS, Flag, Kind

QUOTE_NS = 100_000_000
_CARRIED = ~np.uint8(Flag.DERIVED)
"""That a row was made from a bar does not travel over a socket."""


def conflated(rows: Any) -> Any:
    """Rows with only the last quote of each symbol and interval."""
    keep = np.ones(len(rows), bool)
    for symbol in np.unique(rows["symbol"][rows["kind"] == Kind.TOP]):
        places = np.flatnonzero((rows["kind"] == Kind.TOP) & (rows["symbol"] == symbol))
        bucket = rows["venue_ns"][places] // QUOTE_NS
        keep[places[:-1][np.diff(bucket) == 0]] = False
    return rows[keep]


def expected(market: Any, from_ns: int, to_ns: int) -> Any:
    """The tape of a span of a market that is read without sockets."""
    rows = conflated(market.rows(from_ns, to_ns))
    rows["flags"] &= _CARRIED
    return stamp(rows, from_ns - 1)


def text(units: int) -> str:
    sign = "-" if units < 0 else ""
    return f"{sign}{abs(units) // UNITS}.{abs(units) % UNITS:08d}"


def frames_of(market: Any, from_ns: int, to_ns: int, funding: Any) -> tuple[list[str], list[str]]:
    """The frames of one slice on the public and on the market socket, written by hand."""
    rows = market.rows(from_ns, to_ns)
    public: list[str] = []
    on_market: list[str] = []
    for symbol_index, symbol in enumerate(market.symbols):
        on_market.append(_mark(symbol, from_ns, funding[funding["symbol"] == symbol_index]))
    for row in rows:
        if row["kind"] not in (Kind.TRADE, Kind.TOP):
            continue
        symbol, ms = market.symbols[row["symbol"]], int(row["venue_ns"]) // 1_000_000
        a, b, c, d = (text(int(row[name])) for name in "abcd")
        if row["kind"] == Kind.TRADE:
            seller = bool(row["flags"] & Flag.SELLER_TAKER)
            body = {
                "e": "aggTrade",
                "E": ms,
                "s": symbol,
                "a": int(row["id"]),
                "p": a,
                "q": b,
                "T": ms,
                "m": seller,
            }
            on_market.append(json.dumps({"stream": f"{symbol.lower()}@aggTrade", "data": body}))
        else:
            body = {
                "e": "bookTicker",
                "u": int(row["id"]),
                "s": symbol,
                "b": a,
                "B": b,
                "a": c,
                "A": d,
                "T": ms,
            }
            public.append(json.dumps({"stream": f"{symbol.lower()}@bookTicker", "data": body | {"E": ms}}))
    return public, on_market


def _mark(symbol: str, at_ns: int, settlements: Any) -> str:
    coming = settlements[settlements["venue_ns"] > at_ns]
    now = settlements[settlements["venue_ns"] == at_ns]
    price = text(int(now["a"][0])) if len(now) else "1.0"
    next_ns = int(coming["venue_ns"][0]) if len(coming) else int(settlements["d"][-1])
    rate = text(int(coming["c"][0])) if len(coming) else "0.0"
    body = {"e": "markPriceUpdate", "E": at_ns // 1_000_000, "s": symbol, "p": price, "i": price, "r": rate}
    return json.dumps(
        {"stream": f"{symbol.lower()}@markPrice@1s", "data": body | {"T": next_ns // 1_000_000}}
    )


def slices_of(market: Any) -> list[tuple[int, int, dict[str, list[str]]]]:
    """Every second of a market as a slice of the hand-made venue."""
    made = []
    rows = market.rows(market.start_ns, market.end_ns)
    funding = rows[rows["kind"] == Kind.MARK]
    for from_ns in range(market.start_ns, market.end_ns, SECOND_NS):
        public, on_market = frames_of(market, from_ns, from_ns + SECOND_NS, funding)
        made.append((from_ns, from_ns + SECOND_NS, {"public0": public, "market0": on_market}))
    return made
