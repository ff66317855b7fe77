"""Candles of any interval of the exchange out of closed bars and the trades of the bar that is open.

Rule: pure; closed bars are the market's own, digit for digit. Quote volume and the taker's share of a closed
bar are not recorded: they are derived (volume × mean of the four prices, and one half) and only shapes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from flowguardian.market.records import MINUTE_NS, UNITS, Flag
from flowguardian.venue.shapes import MILLISECOND_NS, Candle, Form, text

Rows = npt.NDArray[np.void]
Ints = npt.NDArray[np.int64]

_DAY_NS = 1440 * MINUTE_NS
_MONDAY_NS = 4 * _DAY_NS
"""1970-01-05 was the first Monday."""
INTERVALS: dict[str, int] = {
    "1m": 1, "3m": 3, "5m": 5, "15m": 15, "30m": 30, "1h": 60, "2h": 120, "4h": 240, "6h": 360,
    "8h": 480, "12h": 720, "1d": 1440, "3d": 4320, "1w": 10080, "1M": 0,
}  # fmt: skip
"""Minutes per interval; a month is as long as it is."""

BASE = np.dtype(
    [
        ("open_ns", "i8"),
        ("open", "i8"),
        ("high", "i8"),
        ("low", "i8"),
        ("close", "i8"),
        ("volume", "f8"),
        ("quote", "f8"),
        ("buy", "f8"),
        ("buy_quote", "f8"),
        ("trades", "i8"),
    ]
)


class Span(NamedTuple):
    """One interval."""

    name: str
    minutes: int

    def opens(self, times: Ints) -> Ints:
        """The open of the interval in which each time lies."""
        if not self.minutes:
            months = times.astype("datetime64[ns]").astype("datetime64[M]")
            return months.astype("datetime64[ns]").astype(np.int64)
        length = self.minutes * MINUTE_NS
        shift = _MONDAY_NS if self.name == "1w" else 0
        return (times - shift) // length * length + shift

    def end(self, open_ns: int) -> int:
        if self.minutes:
            return open_ns + self.minutes * MINUTE_NS
        month = np.datetime64(open_ns, "ns").astype("datetime64[M]") + 1
        return int(month.astype("datetime64[ns]").astype(np.int64))


def base_of_history(rows: Rows) -> Rows:
    """Closed bars (HISTORY rows of one symbol)."""
    bars = np.zeros(len(rows), BASE)
    bars["open_ns"] = rows["venue_ns"]
    for field, name in zip(("open", "high", "low", "close"), "abcd", strict=True):
        bars[field] = rows[name]
    bars["volume"] = np.ascontiguousarray(rows["id"]).view(np.float64)
    mean = (rows["a"] + rows["b"] + rows["c"] + rows["d"]) / (4 * UNITS)
    bars["quote"] = bars["volume"] * mean
    bars["buy"], bars["buy_quote"] = bars["volume"] / 2, bars["quote"] / 2
    bars["trades"] = rows["aux"]
    return bars


def base_of_trades(trades: Rows, span: Span) -> Rows:
    """Bars of trades (one symbol, sorted); prints without a price are no part of them."""
    trades = trades[(trades["a"] > 0) & (trades["b"] > 0)]
    if not len(trades):
        return np.zeros(0, BASE)
    opens = span.opens(trades["venue_ns"])
    first = np.flatnonzero(np.diff(opens, prepend=opens[0] - 1))
    last = np.append(first[1:], len(trades)) - 1
    bars = np.zeros(len(first), BASE)
    bars["open_ns"] = opens[first]
    bars["open"], bars["close"] = trades["a"][first], trades["a"][last]
    bars["high"] = np.maximum.reduceat(trades["a"], first)
    bars["low"] = np.minimum.reduceat(trades["a"], first)
    qty = trades["b"] / UNITS
    quote = qty * (trades["a"] / UNITS)
    bought = (trades["flags"] & int(Flag.SELLER_TAKER)) == 0
    bars["volume"] = np.add.reduceat(trades["b"], first) / UNITS
    bars["quote"] = np.add.reduceat(quote, first)
    bars["buy"] = np.add.reduceat(qty * bought, first)
    bars["buy_quote"] = np.add.reduceat(quote * bought, first)
    bars["trades"] = last - first + 1
    return bars


def joined(bars: Rows, span: Span) -> Rows:
    """Bars of a longer interval out of shorter ones."""
    if not len(bars):
        return bars
    opens = span.opens(bars["open_ns"])
    first = np.flatnonzero(np.diff(opens, prepend=opens[0] - 1))
    if len(first) == len(bars):
        return bars
    last = np.append(first[1:], len(bars)) - 1
    out = np.zeros(len(first), BASE)
    out["open_ns"] = opens[first]
    out["open"], out["close"] = bars["open"][first], bars["close"][last]
    out["high"] = np.maximum.reduceat(bars["high"], first)
    out["low"] = np.minimum.reduceat(bars["low"], first)
    for name in ("volume", "quote", "buy", "buy_quote", "trades"):
        out[name] = np.add.reduceat(bars[name], first)
    return out


def amount(value: float, decimals: int) -> str:
    """A float as its shortest exact text, with at least so many decimals."""
    digits = np.format_float_positional(value, trim="-")
    whole, _, part = digits.partition(".")
    return f"{whole}.{part.ljust(decimals, '0')}" if decimals or part else whole


def candle_of(form: Form, bar: Rows, span: Span, ids: tuple[int, int] = (-1, -1)) -> Candle:
    open_ns = int(bar["open_ns"])
    return Candle(
        open_ms=open_ns // MILLISECOND_NS,
        close_ms=span.end(open_ns) // MILLISECOND_NS - 1,
        open=text(int(bar["open"]), form.price),
        high=text(int(bar["high"]), form.price),
        low=text(int(bar["low"]), form.price),
        close=text(int(bar["close"]), form.price),
        volume=amount(float(bar["volume"]), form.qty),
        quote=f"{float(bar['quote']):.5f}",
        trades=int(bar["trades"]),
        buy_volume=f"{float(bar['buy']):.{form.qty}f}",
        buy_quote=f"{float(bar['buy_quote']):.5f}",
        first_id=ids[0],
        last_id=ids[1],
    )
