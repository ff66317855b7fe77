"""Frames in, rows in released order out: decoding, sanity, continuity and conflation put together.

Rule: no frame is fatal and no trade is dropped. What cannot be read is counted and kept for eyes; the id it
should have carried is then missing, and a missing id is back-filled like any other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from flowguardian.feeds import wire
from flowguardian.feeds.conflation import Marks, Quotes
from flowguardian.feeds.continuity import NO_ID, Line, Lost, Numbered, RowTuple
from flowguardian.feeds.quality import Counters, Freshness, Latencies, OddFrames
from flowguardian.market.records import Flag, Kind

AGG_TRADE, TRADE, BOOK_TICKER, MARK_PRICE = "aggTrade", "trade", "bookTicker", "markPrice"

_TRADE, _TOP = int(Kind.TRADE), int(Kind.TOP)
_SELLER, _BACKFILLED = int(Flag.SELLER_TAKER), int(Flag.BACKFILLED)
_FARTHEST = 10
"""A price this many times above or below the last one is no price."""
_PATIENCE = 5
"""So many in a row are one: then the last price was the wrong one."""


class Plausible:
    """Whether a price can follow the last one; a market that stays away is believed in the end."""

    def __init__(self) -> None:
        self._last = 0
        self._refused = 0

    def price(self, price: int) -> bool:
        last = self._last
        if last and not last < price * _FARTHEST < last * _FARTHEST * _FARTHEST:
            self._refused += 1
            if self._refused < _PATIENCE:
                return False
        self._last, self._refused = price, 0
        return True


class Intake:
    """One run's frames, all symbols; `now_ns` is always the run clock."""

    def __init__(
        self,
        symbols: Sequence[str],
        *,
        quote_interval_ns: int,
        gap_deadline_ns: int,
        silence_ns: int,
        max_held_rows: int = 50_000,
        trade_stream: str = AGG_TRADE,
        last_ids: Mapping[str, int] | None = None,
        last_ns: int = 0,
    ) -> None:
        self.symbols = tuple(symbols)
        self.trade_stream = trade_stream
        self.counts = Counters()
        self.odd = OddFrames()
        self.latencies = Latencies()
        self._index = {symbol: index for index, symbol in enumerate(symbols)}
        self._out: list[RowTuple | Lost] = []
        ids = last_ids or {}
        self.lines = [
            Line(
                index,
                self._out.append,
                self.counts,
                gap_deadline_ns=gap_deadline_ns,
                max_held=max_held_rows,
                last_id=ids.get(symbol, NO_ID),
                last_ns=last_ns,
            )
            for index, symbol in enumerate(symbols)
        ]
        self._quotes = [Quotes(quote_interval_ns, self.counts) for _ in symbols]
        self._marks = [Marks(index) for index in range(len(symbols))]
        self._plausible = [Plausible() for _ in symbols]
        kinds = (trade_stream, BOOK_TICKER, MARK_PRICE)
        self.names = [[stream_of(symbol, kind) for kind in kinds] for symbol in symbols]
        self.freshness = Freshness([name for names in self.names for name in names], silence_ns)
        self._take: dict[type, Callable[[Any, int, int], None]] = {
            wire.BookTicker: self._quote,
            wire.AggTrade: self._trade,
            wire.Trade: self._trade,
            wire.MarkPrice: self._mark,
        }
        self._all_begun = False
        self._trade_type = wire.AggTrade if trade_stream == AGG_TRADE else wire.Trade

    @property
    def pending(self) -> int:
        """Rows that wait to be released."""
        return len(self._out)

    def take(self, frame: bytes | str, now_ns: int) -> bool:
        """One frame of a socket; False when it was only a reply to a request of ours."""
        counts = self.counts
        counts.messages += 1
        try:
            message = wire.decode(frame)
            take = self._take.get(type(message))
            if take is not None:
                index = self._index.get(message.symbol)  # type: ignore[union-attr]
                if index is None:
                    counts.foreign += 1
                else:
                    take(message, index, now_ns)
            elif message is None:
                counts.unknown += 1
                self.odd.keep("unknown event", frame)
            elif type(message) is wire.Reply:
                counts.replies += 1
                return False
            else:
                counts.unused += 1
        except wire.UnreadableFrame as error:
            counts.malformed += 1
            self.odd.keep(str(error), frame)
        return True

    def learn_first_ids(self, frames: Sequence[bytes]) -> None:
        """Where the ids of a symbol begin, from its whole first slice: the order in it is of no account."""
        if self._all_begun:
            return
        first: dict[str, int] = {}
        for frame in frames:
            try:
                message = wire.decode(frame)
            except wire.UnreadableFrame:
                continue  # It is counted when it is taken.
            if isinstance(message, wire.AggTrade | wire.Trade) and type(message) is self._trade_type:
                first[message.symbol] = min(first.get(message.symbol, message.id), message.id)
        for symbol, line in zip(self.symbols, self.lines, strict=True):
            if line.last_id == NO_ID and symbol in first:
                line.last_id = first[symbol] - 1
        self._all_begun = all(line.last_id != NO_ID for line in self.lines)

    def _trade(self, trade: wire.AggTrade | wire.Trade, index: int, now_ns: int) -> None:
        if type(trade) is not self._trade_type:
            self.counts.unused += 1
            return
        row = self._trade_row(trade, index)
        venue_ns = trade.time_ms * wire.MILLISECOND_NS
        line = self.lines[index]
        last = line.last_id
        line.trade(trade.id, row, venue_ns, now_ns)
        if trade.id > last:
            self.counts.trades += 1
            self.freshness.saw(self.names[index][0], min(venue_ns, now_ns))
            self.latencies.note(now_ns - venue_ns)

    def _trade_row(self, trade: wire.AggTrade | wire.Trade, index: int) -> RowTuple | None:
        """The row of a trade; None when it is no price of the market."""
        venue_ns = wire.nanoseconds(trade.time_ms)
        price, qty = wire.units(trade.price), wire.units(trade.qty)
        if price == 0 or qty == 0 or getattr(trade, "print_type", wire.MARKET_PRINT) != wire.MARKET_PRINT:
            self.counts.non_market += 1
            return None
        if not self._plausible[index].price(price):
            self.counts.implausible += 1
            self.odd.keep("implausible price", f"{trade.symbol} {trade.id} {trade.price}")
            return None
        flags = _SELLER if trade.maker_bought else 0
        return (_TRADE, flags, index, 0, 0, venue_ns, price, qty, 0, 0, trade.id)

    def _quote(self, quote: wire.BookTicker, index: int, now_ns: int) -> None:
        venue_ns = wire.nanoseconds(quote.time_ms)
        bid, ask = wire.units(quote.bid), wire.units(quote.ask)
        bid_qty, ask_qty = wire.units(quote.bid_qty), wire.units(quote.ask_qty)
        if not 0 < bid < ask or bid * _FARTHEST < ask:
            self.counts.implausible += 1
            self.odd.keep("crossed or empty quote", f"{quote.symbol} {quote.id} {quote.bid} {quote.ask}")
            return
        quotes = self._quotes[index]
        if not quotes.fresh(quote.id, venue_ns):
            return
        self.counts.tops += 1
        self.freshness.saw(self.names[index][1], min(venue_ns, now_ns))
        self.latencies.note(now_ns - venue_ns)
        done = quotes.put((_TOP, 0, index, 0, 0, venue_ns, bid, bid_qty, ask, ask_qty, quote.id))
        if done is not None:
            self.lines[index].other(done, now_ns)

    def _mark(self, mark: wire.MarkPrice, index: int, now_ns: int) -> None:
        marks = self._marks[index]
        if not marks.fresh(mark):
            self.counts.duplicates += 1
            return
        row = marks.settled(mark)
        self.counts.marks += 1
        self.freshness.saw(self.names[index][2], min(mark.time_ms * wire.MILLISECOND_NS, now_ns))
        if row is not None:
            self.lines[index].other(row, now_ns)

    # ---- back-fill and release

    def wants(self, now_ns: int) -> list[tuple[int, int]]:
        """(symbol, first missing id) of every gap for which the venue should be asked now."""
        asked = ((line.symbol, line.wants(now_ns)) for line in self.lines if line.waiting)
        return [(symbol, number) for symbol, number in asked if number is not None]

    def fill(self, index: int, trades: Sequence[wire.AggTrade], now_ns: int) -> None:
        """An answer of the venue's trade list."""
        self.counts.backfills += 1
        rows: list[Numbered] = []
        for trade in trades:
            try:
                rows.append((trade.id, self._trade_row(trade, index)))
            except wire.UnreadableFrame as error:
                self.counts.malformed += 1
                self.odd.keep(str(error), f"{trade.symbol} {trade.id}")
        self.lines[index].fill(rows, now_ns)

    def missed(self, index: int, trades: Sequence[wire.AggTrade], now_ns: int) -> None:
        """Trades from an outage on, in order of id, before the stream has shown that they are missing."""
        line = self.lines[index]
        if line.waiting:
            self.fill(index, trades, now_ns)
            return
        self.counts.backfills += 1
        for trade in trades:
            if trade.id <= line.last_id:
                continue
            try:
                row = self._trade_row(trade, index)
            except wire.UnreadableFrame as error:
                self.counts.malformed += 1
                self.odd.keep(str(error), f"{trade.symbol} {trade.id}")
                row = None
            if row is not None:
                row = (row[0], row[1] | _BACKFILLED, *row[2:])
                self.counts.backfilled += 1
            line.trade(trade.id, row, trade.time_ms * wire.MILLISECOND_NS, now_ns)

    def release(self, now_ns: int, *, final: bool = False) -> list[RowTuple | Lost]:
        """Everything that may go out by venue time `now_ns`; `final` gives up what still waits."""
        for index, quotes in enumerate(self._quotes):
            if (row := quotes.due(now_ns)) is not None:
                self.lines[index].other(row, now_ns)
        for line in self.lines:
            if line.waiting:
                if final:
                    line.give_up()
                else:
                    line.expire(now_ns)
        out = self._out[:]
        self._out.clear()
        return out


def stream_of(symbol: str, kind: str) -> str:
    """The name of a stream, as in btcusdt@markPrice@1s."""
    return f"{symbol.lower()}@{kind}" + ("@1s" if kind == MARK_PRICE else "")
