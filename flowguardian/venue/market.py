"""The venue's view of its market: where market time stands, what was shown so far, and what comes next.

Rule: nothing at or after `now_ns` is ever told, neither over sockets nor over REST, except the funding rate
that the exchange announces as well. Times are rounded down to milliseconds where they leave.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from flowguardian.feeds.markets import Market
from flowguardian.market.funding import FUNDING_INTERVAL_NS
from flowguardian.market.instruments import Instrument
from flowguardian.market.records import MINUTE_NS, ROW, SECOND_NS, Kind
from flowguardian.venue.books import ladder
from flowguardian.venue.candles import INTERVALS, Span, base_of_history, base_of_trades, candle_of, joined
from flowguardian.venue.shapes import MILLISECOND_NS, Candle, Day, Form, form_of, text
from flowguardian.venue.trades import Trades

Rows = npt.NDArray[np.void]
Side = list[tuple[int, int]]
"""Price and quantity per level, best first."""
RowTuple = tuple[int, int, int, int, int, int, int, int, int, int, int]
"""One ROW: kind, flags, symbol, aux, ts_ns, venue_ns, a, b, c, d, id."""

USUAL_RATE = 10_000
"""0.01 %: what is announced where nothing is known."""
_REMEMBERED_NS = 30 * MINUTE_NS
_DAY_BARS = 1440
_TRADE, _TOP, _MARK = int(Kind.TRADE), int(Kind.TOP), int(Kind.MARK)


class Top(NamedTuple):
    """The best bid and ask of a symbol."""

    number: int
    venue_ns: int
    bid: int
    bid_qty: int
    ask: int
    ask_qty: int


class Funding(NamedTuple):
    """A settlement: when, at which rate, at which price; the price is 0 where none is known yet."""

    time_ns: int
    rate: int
    price: int
    next_ns: int


class Rewriter(Protocol):
    """What may change rows on their way out (the faults of the market)."""

    @property
    def rewrites(self) -> bool: ...
    def rows(self, rows: list[RowTuple]) -> list[RowTuple]: ...
    def went_back(self, to_ns: int) -> None: ...


class VenueMarket:
    """One market in progress."""

    def __init__(
        self, market: Market, *, rewriter: Rewriter | None = None, has_funding: bool = False
    ) -> None:
        self.symbols = market.symbols
        self.instruments: list[Instrument] = list(market.instruments)
        self.forms: list[Form] = [form_of(instrument) for instrument in market.instruments]
        self.index = {symbol: number for number, symbol in enumerate(market.symbols)}
        self.feed_kind = market.feed_kind
        self.start_ns, self.end_ns = market.start_ns, market.end_ns
        self.now_ns = market.start_ns
        """Market time: everything before it has been shown."""
        self.ticking: Callable[[], int] | None = None
        """Market time by the clock that moves it, between two of its steps; None while nothing moves it."""
        self.print_kinds: Mapping[tuple[int, int], str] = getattr(market, "print_kinds", {})
        """(symbol, id) of prints that are no trades between traders, with the exchange's word for them."""
        self.trades = [Trades() for _ in market.symbols]
        self.last: list[int] = [0] * len(market.symbols)
        self.tops: list[Top | None] = [None] * len(market.symbols)
        self._market, self._rewriter, self._has_funding = market, rewriter, has_funding
        self._base = Span("base", getattr(market, "interval_ns", MINUTE_NS) // MINUTE_NS)
        self._funding: dict[int, dict[int, Funding]] = {}
        self._bars: tuple[int, Rows] = (-1, np.zeros(0, ROW))
        self.jump(market.start_ns)

    # ---- market time

    def jump(self, to_ns: int) -> None:
        """Stand at a time as if everything before it had been shown."""
        to_ns = min(max(to_ns, self.start_ns), self.end_ns)
        if self._rewriter is not None:
            self._rewriter.went_back(to_ns)
        for trades in self.trades:
            trades.cut(0)
        closes = self._market.history(to_ns, 1)
        self.last = [0] * len(self.symbols)
        for row in closes:
            self.last[int(row["symbol"])] = int(row["d"])
        self.tops = [None] * len(self.symbols)
        self.now_ns = max(self.start_ns, to_ns - _REMEMBERED_NS)
        for row in self.advance(to_ns):
            self.took(row)

    def advance(self, to_ns: int) -> list[RowTuple]:
        """The rows up to a time, which is then market time; `took` each while it is shown."""
        to_ns = min(to_ns, self.end_ns)
        if to_ns <= self.now_ns:
            return []
        rows = self._market.rows(self.now_ns, to_ns)
        self.now_ns = to_ns
        if self._rewriter is not None and self._rewriter.rewrites:
            changed = self._rewriter.rows(rows.tolist())
            rows = np.array(changed, ROW) if changed else rows[:0]
        trades = rows[rows["kind"] == _TRADE]
        for index in np.unique(trades["symbol"]).tolist():
            self.trades[index].add(trades[trades["symbol"] == index])
        shown: list[RowTuple] = rows.tolist()
        return shown

    def recorded(self, from_ns: int, to_ns: int) -> list[RowTuple]:
        """Rows of a span as they lie in the market, without faults: for who was away meanwhile."""
        rows: list[RowTuple] = self._market.rows(from_ns, min(to_ns, self.end_ns)).tolist()
        return rows

    def time_ns(self) -> int:
        """Market time as a client may ask it: steps are short, and a clock must not lag by one."""
        return self.now_ns if self.ticking is None else min(max(self.now_ns, self.ticking()), self.end_ns)

    def took(self, row: RowTuple) -> None:
        """Prices as they stand after a row."""
        if row[0] == _TRADE:
            if row[6]:
                self.last[row[2]] = row[6]
        elif row[0] == _TOP:
            self.tops[row[2]] = Top(row[10], row[5], row[6], row[7], row[8], row[9])

    def set_instrument(self, index: int, **changed: int) -> None:
        self.instruments[index] = msgspec.structs.replace(self.instruments[index], **changed)
        self.forms[index] = form_of(self.instruments[index])

    # ---- funding

    def settlement(self, index: int, time_ns: int) -> Funding | None:
        """What settles at exactly a time, if anything does."""
        window_ns = time_ns // FUNDING_INTERVAL_NS * FUNDING_INTERVAL_NS
        if not self._has_funding or time_ns - window_ns >= SECOND_NS:
            return None
        found = self._settlements(window_ns).get(index)
        return found if found is not None and found.time_ns == time_ns else None

    def next_funding(self, index: int, after_ns: int) -> Funding:
        """The settlement announced at a time; where none comes, one beyond the end of the market."""
        first = after_ns // FUNDING_INTERVAL_NS * FUNDING_INTERVAL_NS
        if self._has_funding:
            for window_ns in range(first, self.end_ns, FUNDING_INTERVAL_NS):
                found = self._settlements(window_ns).get(index)
                if found is not None and found.time_ns > after_ns:
                    return found
        beyond = (max(after_ns, self.end_ns - 1) // FUNDING_INTERVAL_NS + 1) * FUNDING_INTERVAL_NS
        return Funding(beyond, USUAL_RATE, 0, beyond)

    def settled(self, index: int) -> list[Funding]:
        """Settlements so far, oldest first."""
        if not self._has_funding:
            return []
        first = self.start_ns // FUNDING_INTERVAL_NS * FUNDING_INTERVAL_NS
        windows = range(first, self.now_ns, FUNDING_INTERVAL_NS)
        found = (self._settlements(window_ns).get(index) for window_ns in windows)
        return [one for one in found if one is not None and one.time_ns < self.now_ns]

    def _settlements(self, window_ns: int) -> dict[int, Funding]:
        """What settles in the second after a funding time: recorded times are a few milliseconds late."""
        if window_ns not in self._funding:
            rows = self._market.rows(window_ns, window_ns + SECOND_NS)
            marks = rows[rows["kind"] == _MARK]
            self._funding[window_ns] = {
                int(row["symbol"]): Funding(int(row["venue_ns"]), int(row["c"]), int(row["a"]), int(row["d"]))
                for row in marks
            }
        return self._funding[window_ns]

    # ---- bars

    def candles(
        self,
        index: int,
        interval: str,
        *,
        start_ns: int | None = None,
        end_ns: int | None = None,
        limit: int = 500,
        now_ns: int | None = None,
    ) -> list[Candle]:
        """Candles that open in [start, end], the open one included; the last ones without a start.

        `now_ns` is an earlier moment as which to answer.
        """
        span = Span(interval, INTERVALS[interval])
        until_ns = self.now_ns if now_ns is None else min(now_ns, self.now_ns)
        if end_ns is not None:
            until_ns = min(until_ns, span.end(end_ns))
        base = self._base_bars(index, span, start_ns, until_ns, limit)
        bars = joined(base, span)
        if start_ns is not None:
            bars = bars[bars["open_ns"] >= start_ns]
        if end_ns is not None:
            bars = bars[bars["open_ns"] <= end_ns]
        bars = bars[:limit] if start_ns is not None else bars[max(0, len(bars) - limit) :]
        return [candle_of(self.forms[index], bar, span, self._ids(index, bar, span)) for bar in bars]

    def _base_bars(self, index: int, span: Span, start_ns: int | None, until_ns: int, limit: int) -> Rows:
        trades = self.trades[index]
        if span.minutes and span.minutes < self._base.minutes:
            return base_of_trades(trades.between(0, until_ns), span)
        per_bar = (span.minutes or 31 * _DAY_BARS) // self._base.minutes
        many = (limit + 1) * per_bar
        if start_ns is not None:
            until_ns = min(until_ns, start_ns + many * self._base.minutes * MINUTE_NS)
        closed = self._market.history(max(0, until_ns), many)
        closed = base_of_history(closed[closed["symbol"] == index])
        after_ns = self._base.end(int(closed["open_ns"][-1])) if len(closed) else 0
        opened = base_of_trades(trades.between(after_ns, until_ns), self._base)
        return np.concatenate([closed, opened])

    def _ids(self, index: int, bar: Rows, span: Span) -> tuple[int, int]:
        open_ns = int(bar["open_ns"])
        found = self.trades[index].between(open_ns, span.end(open_ns))
        return (int(found["id"][0]), int(found["id"][-1])) if len(found) else (-1, -1)

    def day(self, index: int, now_ns: int | None = None) -> Day:
        """The last 24 hours at a moment, by whole bars and the open one."""
        now_ns = self.now_ns if now_ns is None else now_ns
        minute = now_ns // MINUTE_NS
        if self._bars[0] != minute:
            self._bars = (minute, self._market.history(minute * MINUTE_NS, _DAY_BARS // self._base.minutes))
        rows = self._bars[1]
        bars = base_of_history(rows[rows["symbol"] == index])
        after_ns = self._base.end(int(bars["open_ns"][-1])) if len(bars) else 0
        trades = self.trades[index]
        bars = np.concatenate([bars, base_of_trades(trades.between(after_ns, now_ns), self._base)])
        return _day(bars, self.forms[index], trades.last(1), now_ns)


def _day(bars: Rows, form: Form, last: Rows, now_ns: int) -> Day:
    close_ms = now_ns // MILLISECOND_NS
    if not len(bars):
        zero = text(0, form.price)
        return Day(zero, "0.000", zero, zero, text(0, form.qty), zero, zero, zero, text(0, form.qty), "0.00",
                   close_ms - 86_400_000, close_ms, 0, 0, 0)  # fmt: skip
    opened, closed = int(bars["open"][0]), int(bars["close"][-1])
    volume, quote = float(bars["volume"].sum()), float(bars["quote"].sum())
    average = round(quote / volume * 10**form.price) * 10 ** (8 - form.price) if volume else closed
    number, qty = (int(last["id"][0]), int(last["b"][0])) if len(last) else (0, 0)
    count = int(bars["trades"].sum())
    return Day(
        change=text(closed - opened, form.price),
        change_pct=f"{(closed - opened) / opened * 100:.3f}" if opened else "0.000",
        average=text(average, form.price),
        last=text(closed, form.price),
        last_qty=text(qty, form.qty),
        open=text(opened, form.price),
        high=text(int(bars["high"].max()), form.price),
        low=text(int(bars["low"].min()), form.price),
        volume=f"{volume:.{form.qty}f}",
        quote=f"{quote:.2f}",
        open_ms=int(bars["open_ns"][0]) // MILLISECOND_NS,
        close_ms=close_ms,
        first_id=max(0, number - count + 1),
        last_id=number,
        trades=count,
    )


def book_levels(top: Top, tick: int, step: int, depth: int) -> tuple[Side, Side]:
    """A book derived from its top: one level per tick behind it, sizes by a fixed pattern of the touch."""
    bids = ladder((top.bid, top.bid_qty), tick, step, side=-1, depth=depth)
    return bids, ladder((top.ask, top.ask_qty), tick, step, side=1, depth=depth)


def slice_end(from_ns: int, slice_ns: int, end_ns: int) -> int:
    """Slices end at multiples of their length, so that no quote interval straddles two of them."""
    return min((from_ns // slice_ns + 1) * slice_ns, end_ns)
