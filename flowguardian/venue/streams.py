"""Market rows become frames: every stream that somebody listens to, and no other.

Rule: one pass over the rows of a slice, in their order; a payload is made once and given to all listeners.
Depth and liquidations are derived (a book of ticks around the top; every 997th trade id is a liquidation).
"""

from __future__ import annotations

from typing import NamedTuple

from flowguardian.market.records import NO_SYMBOL, SECOND_NS, Flag, Kind
from flowguardian.venue import shapes
from flowguardian.venue.books import BOOK_DEPTH
from flowguardian.venue.candles import INTERVALS, Span
from flowguardian.venue.faults import Faults
from flowguardian.venue.market import RowTuple, Top, VenueMarket, book_levels
from flowguardian.venue.shapes import MILLISECOND_NS
from flowguardian.venue.subscriptions import Hub

MARKET_PRINT = "MARKET"
_LIQUIDATED_EVERY = 997
_TRADE, _TOP, _MARK, _CLOCK = int(Kind.TRADE), int(Kind.TOP), int(Kind.MARK), int(Kind.CLOCK)
_SELLER = int(Flag.SELLER_TAKER)
_SLOW_MARK = 3 * SECOND_NS
_ALL_TOPS, _ALL_FORCED = "!bookTicker", "!forceOrder@arr"
_ALL_MARKS, _ALL_MARKS_1S = "!markPrice@arr", "!markPrice@arr@1s"
_ALL_DAYS, _ALL_MINI = "!ticker@arr", "!miniTicker@arr"


class Names(NamedTuple):
    """The streams of one symbol that every row looks up."""

    agg: str
    trade: str
    top: str
    forced: str
    mark: str
    mark_1s: str
    day: str
    mini: str


class Depth(NamedTuple):
    """A depth stream that somebody listens to; `levels` 0 = changes instead of the whole book."""

    stream: str
    levels: int
    interval_ns: int


class Klines(NamedTuple):
    """A kline stream that somebody listens to."""

    stream: str
    symbol: int
    interval: str


class Publisher:
    """Makes the frames of rows and puts them before the sockets they are for."""

    def __init__(self, market: VenueMarket, hub: Hub, faults: Faults) -> None:
        self._market, self._hub, self._faults = market, hub, faults
        self._names = [_names(symbol.lower()) for symbol in market.symbols]
        self._version = -1
        self._depth: list[list[Depth]] = [[] for _ in market.symbols]
        self._klines: list[Klines] = []
        self._shown: dict[str, Top] = {}
        """The book that a depth stream last told."""
        self._faulty = False

    def show(self, rows: list[RowTuple], from_ns: int, to_ns: int) -> None:
        """Frames of the rows of [from, to) into the sockets' `out`."""
        if self._hub.version != self._version:
            self._look_at_routes()
        self._faulty = self._faults.touches_frames(from_ns, to_ns)
        took = self._market.took
        for row in rows:
            kind = row[0]
            if kind == _TOP:
                self._top(row)
            took(row)
            if kind == _TRADE:
                self._trade(row)
            elif kind == _CLOCK and row[2] == NO_SYMBOL:
                self._clock(row[5])
            elif kind == _MARK and row[5] % SECOND_NS:
                self._one_mark(row[2], row[5], slow=True)
        if self._faulty:
            # At the end, so that what was held for less than this span comes within it.
            for connection in self._hub.connections:
                connection.out += self._faults.due(connection.key, to_ns)

    def _look_at_routes(self) -> None:
        self._version = self._hub.version
        self._depth = [[] for _ in self._market.symbols]
        self._klines = []
        for stream in self._hub.routes:
            symbol, _, kind = stream.partition("@")
            index = self._market.index.get(symbol.upper())
            if index is None:
                continue
            if kind.startswith("kline_"):
                self._klines.append(Klines(stream, index, kind.removeprefix("kline_")))
            elif kind.startswith("depth"):
                levels, _, speed = kind.removeprefix("depth").partition("@")
                interval_ns = int(speed.removesuffix("ms") or 250) * MILLISECOND_NS
                self._depth[index].append(Depth(stream, int(levels or 0), interval_ns))

    def _put(self, stream: str, number: int, at_ns: int, payload: str) -> None:
        raw = combined = b""
        for connection in self._hub.routes[stream]:
            if connection.combined:
                combined = combined or f'{{"stream":"{stream}","data":{payload}}}'.encode()
                data = combined
            else:
                raw = raw or payload.encode()
                data = raw
            if self._faulty:
                connection.out += self._faults.frame(connection.key, stream, number, at_ns, data)
            else:
                connection.out.append(data)

    # ---- one row

    def _trade(self, row: RowTuple) -> None:
        _, flags, index, _, _, at_ns, price, qty, _, _, number = row
        routes, names, form = self._hub.routes, self._names[index], self._market.forms[index]
        ms, seller = at_ns // MILLISECOND_NS, flags & _SELLER != 0
        if names.agg in routes:
            payload = shapes.agg_trade(form, ms, number, price, qty, seller=seller)
            self._put(names.agg, number, at_ns, payload)
        if names.trade in routes:
            key = (index, number)
            kind = self._faults.print_kinds.get(key) or self._market.print_kinds.get(key, MARKET_PRINT)
            self._put(
                names.trade, number, at_ns, shapes.trade(form, ms, number, price, qty, kind, seller=seller)
            )
        if number % _LIQUIDATED_EVERY == 0:
            for stream, every in ((names.forced, False), (_ALL_FORCED, True)):
                if stream in routes:
                    payload = shapes.force_order(form, ms, price, qty, seller=seller, all_symbols=every)
                    self._put(stream, number, at_ns, payload)

    def _top(self, row: RowTuple) -> None:
        index, at_ns, number = row[2], row[5], row[10]
        routes, form = self._hub.routes, self._market.forms[index]
        for stream in (self._names[index].top, _ALL_TOPS):
            if stream in routes:
                ms = at_ns // MILLISECOND_NS
                payload = shapes.book_ticker(form, ms, number, row[6], row[7], row[8], row[9])
                self._put(stream, number, at_ns, payload)
        for depth in self._depth[index]:
            self._book(depth, index, Top(number, at_ns, row[6], row[7], row[8], row[9]))

    def _book(self, depth: Depth, index: int, top: Top) -> None:
        before = self._shown.get(depth.stream) or self._market.tops[index]
        if before is None or before.number >= top.number:
            self._shown.pop(depth.stream, None)
            before = top._replace(number=top.number - 1)
        if depth.stream in self._shown and top.venue_ns - before.venue_ns < depth.interval_ns:
            return
        self._shown[depth.stream] = top
        instrument = self._market.instruments[index]
        tick, step = instrument.tick_size, instrument.step_size
        bids, asks = book_levels(top, tick, step, depth.levels or BOOK_DEPTH)
        if not depth.levels:
            old_bids, old_asks = book_levels(before, tick, step, BOOK_DEPTH)
            bids, asks = _changes(old_bids, bids), _changes(old_asks, asks)
        numbers = (before.number + 1, top.number, before.number)
        ms = top.venue_ns // MILLISECOND_NS
        payload = shapes.depth_update(self._market.forms[index], ms, numbers, bids, asks)
        self._put(depth.stream, top.number, top.venue_ns, payload)

    # ---- every second

    def _clock(self, at_ns: int) -> None:
        slow = at_ns % _SLOW_MARK == 0
        routes, ms = self._hub.routes, at_ns // MILLISECOND_NS
        for index, symbol in enumerate(self._market.symbols):
            if not self._faults.delisted(symbol, at_ns):
                self._one_mark(index, at_ns, slow=slow)
        for stream, due in ((_ALL_MARKS_1S, True), (_ALL_MARKS, slow)):
            if due and stream in routes:
                marks = ",".join(self._mark_payload(i, at_ns) for i in range(len(self._names)))
                self._put(stream, ms, at_ns, f"[{marks}]")
        for kline in self._klines:
            self._kline(kline, at_ns)
        self._days(at_ns)

    def _one_mark(self, index: int, at_ns: int, *, slow: bool) -> None:
        routes, names = self._hub.routes, self._names[index]
        for stream, due in ((names.mark_1s, True), (names.mark, slow)):
            if due and stream in routes:
                self._put(stream, at_ns // MILLISECOND_NS, at_ns, self._mark_payload(index, at_ns))

    def _mark_payload(self, index: int, at_ns: int) -> str:
        market = self._market
        price, following = market.last[index], market.next_funding(index, at_ns)
        next_ns = following.time_ns
        settled = market.settlement(index, at_ns)
        if settled is not None:
            # The frame at the settlement is the one that tells its price, and the usual next time.
            price, next_ns = settled.price, settled.next_ns
        ms, next_ms = at_ns // MILLISECOND_NS, next_ns // MILLISECOND_NS
        return shapes.mark_price(market.forms[index], ms, price, following.rate, next_ms)

    def _kline(self, kline: Klines, at_ns: int) -> None:
        span = Span(kline.interval, INTERVALS[kline.interval])
        found = self._market.candles(kline.symbol, kline.interval, limit=1, now_ns=at_ns)
        if not found:
            return
        end_ns = span.end(found[0].open_ms * MILLISECOND_NS)
        if end_ns < at_ns:
            return  # Nothing has traded since that candle was closed.
        ms = at_ns // MILLISECOND_NS
        form = self._market.forms[kline.symbol]
        payload = shapes.kline(form, ms, kline.interval, found[0], closed=end_ns == at_ns)
        self._put(kline.stream, ms, at_ns, payload)

    def _days(self, at_ns: int) -> None:
        routes, ms, market = self._hub.routes, at_ns // MILLISECOND_NS, self._market
        for index, names in enumerate(self._names):
            for stream, made in ((names.day, shapes.ticker), (names.mini, shapes.mini_ticker)):
                if stream in routes:
                    self._put(stream, ms, at_ns, made(market.forms[index], ms, market.day(index, at_ns)))
        for stream, made in ((_ALL_DAYS, shapes.ticker), (_ALL_MINI, shapes.mini_ticker)):
            if stream in routes:
                days = (made(form, ms, market.day(i, at_ns)) for i, form in enumerate(market.forms))
                self._put(stream, ms, at_ns, f"[{','.join(days)}]")


def _names(symbol: str) -> Names:
    kinds = "aggTrade trade bookTicker forceOrder markPrice markPrice@1s ticker miniTicker"
    return Names(*(f"{symbol}@{kind}" for kind in kinds.split()))


def _changes(before: list[tuple[int, int]], after: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """What turns one side into another: new sizes, and zero where a level is gone."""
    old, new = dict(before), dict(after)
    gone = [(price, 0) for price in old if price not in new]
    return gone + [(price, qty) for price, qty in after if old.get(price) != qty]
