"""The public REST interface of the venue: what each path answers, what it weighs, what it refuses.

Rule: answers are functions of the market as shown so far; a request that is not as documented is refused
with the documented code. Paths are a literal table.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from flowguardian.market.records import Flag
from flowguardian.venue import errors
from flowguardian.venue.books import BOOK_DEPTH
from flowguardian.venue.candles import INTERVALS
from flowguardian.venue.faults import Faults
from flowguardian.venue.filters import SETTLING, TRADING, exchange_info
from flowguardian.venue.market import VenueMarket, book_levels
from flowguardian.venue.shapes import MILLISECOND_NS, Day, kline_row, text

Rows = npt.NDArray[np.void]
Params = Mapping[str, str]

_SYMBOL = re.compile(r"[A-Z0-9_\-.]{1,30}")
_SYMBOL_LEGAL = "^[A-Z0-9-_.]{1,20}$"
_NUMBER = re.compile(r"[0-9]{1,18}")
_NUMBER_LEGAL = "^[0-9]{1,20}$"
_DEPTHS = {5: 2, 10: 2, 20: 2, 50: 2, 100: 5, 500: 10, 1000: 20}
_HOUR_MS = 3_600_000
_SELLER = int(Flag.SELLER_TAKER)
_INTEREST = "0.00010000"
_NO_END = 1 << 62


class Route(NamedTuple):
    """A path: who answers and what it weighs."""

    answer: Callable[[Rest, Params], Any]
    weight: Callable[[Params], int]


class Rest:
    """The answers of one market."""

    def __init__(self, market: VenueMarket, faults: Faults) -> None:
        self._market, self._faults = market, faults

    def answer(self, path: str, params: Params) -> Any:
        """The body for a path. Raises Refusal."""
        return ROUTES[path].answer(self, params)

    @property
    def now_ms(self) -> int:
        """The venue's clock, wrong when a fault says so."""
        now_ns = self._market.time_ns()
        return now_ns // MILLISECOND_NS + self._faults.skew_ms(now_ns)

    # ---- parameters

    def _symbol(self, params: Params) -> int:
        name = params.get("symbol", "")
        if not name:
            raise errors.missing("symbol")
        if not _SYMBOL.fullmatch(name):
            raise errors.illegal("symbol", _SYMBOL_LEGAL)
        index = self._market.index.get(name)
        if index is None or self._is_gone(name):
            raise errors.invalid_symbol()
        return index

    def _is_gone(self, name: str) -> bool:
        """A symbol that was delisted long enough ago is not known any more."""
        now_ns = self._market.now_ns
        return any(
            one.fault.symbols == name and now_ns - one.from_ns >= _HOUR_MS * MILLISECOND_NS
            for one in self._faults.of("delist", now_ns)
        )

    def _symbols(self, params: Params) -> Sequence[int] | int:
        """One symbol, or all of them where none is named."""
        if params.get("symbol"):
            return self._symbol(params)
        return [i for i, name in enumerate(self._market.symbols) if not self._is_gone(name)]

    def _each(self, params: Params, made: Callable[[int], dict[str, Any]]) -> Any:
        found = self._symbols(params)
        return made(found) if isinstance(found, int) else [made(index) for index in found]

    # ---- paths

    def ping(self, params: Params) -> Any:
        return {}

    def time(self, params: Params) -> Any:
        return {"serverTime": self.now_ms}

    def exchange_info(self, params: Params) -> Any:
        now_ns = self._market.now_ns
        dead = [one.fault.symbols for one in self._faults.of("delist", now_ns)]
        listed = [
            (instrument, SETTLING if instrument.symbol in dead else TRADING)
            for instrument in self._market.instruments
            if not self._is_gone(instrument.symbol)
        ]
        return exchange_info(listed, self.now_ms)

    def depth(self, params: Params) -> Any:
        index = self._symbol(params)
        limit = number(params, "limit", 500) or 0
        if limit not in _DEPTHS:
            raise errors.invalid_depth(limit)
        top, market = self._market.tops[index], self._market
        bids: list[tuple[int, int]] = []
        asks: list[tuple[int, int]] = []
        if top is not None:
            instrument = market.instruments[index]
            bids, asks = book_levels(top, instrument.tick_size, instrument.step_size, min(limit, BOOK_DEPTH))
        form, ms = market.forms[index], market.now_ns // MILLISECOND_NS
        return {
            "lastUpdateId": top.number if top is not None else 0,
            "E": ms,
            "T": top.venue_ns // MILLISECOND_NS if top is not None else ms,
            "bids": [[text(price, form.price), text(qty, form.qty)] for price, qty in bids],
            "asks": [[text(price, form.price), text(qty, form.qty)] for price, qty in asks],
        }

    def trades(self, params: Params) -> Any:
        index = self._symbol(params)
        rows = self._market.trades[index].last(ranged(params, "limit", 500, 1000))
        form = self._market.forms[index]
        return [
            {
                "id": row[10],
                "price": text(row[6], form.price),
                "qty": text(row[7], form.qty),
                "quoteQty": text(row[6] * row[7] // 100_000_000 // 1_000_000 * 1_000_000, 2),
                "time": row[5] // MILLISECOND_NS,
                "isBuyerMaker": row[1] & _SELLER != 0,
                "isRPITrade": False,
            }
            for row in rows.tolist()
        ]

    def agg_trades(self, params: Params) -> Any:
        index = self._symbol(params)
        limit = ranged(params, "limit", 500, 1000)
        first_id, start, end = (number(params, name) for name in ("fromId", "startTime", "endTime"))
        form = self._market.forms[index]
        return [
            {
                "a": row[10],
                "p": text(row[6], form.price),
                "q": text(row[7], form.qty),
                "nq": text(row[7], form.qty),
                "f": row[10],
                "l": row[10],
                "T": row[5] // MILLISECOND_NS,
                "m": row[1] & _SELLER != 0,
            }
            for row in self._aggregates(index, first_id, start, end, limit).tolist()
        ]

    def _aggregates(
        self, index: int, first_id: int | None, start: int | None, end: int | None, limit: int
    ) -> Rows:
        trades = self._market.trades[index]
        if first_id is not None:
            return trades.from_id(first_id, limit)
        if start is None and end is None:
            return trades.last(limit)
        if start is not None and end is not None:
            if start > end:
                raise errors.start_after_end()
            if end - start > _HOUR_MS:
                raise errors.window_too_long(1)
        until_ns = self._market.now_ns if end is None else (end + 1) * MILLISECOND_NS
        found = trades.between((start or 0) * MILLISECOND_NS, until_ns)
        return found[:limit] if start is not None else found[max(0, len(found) - limit) :]

    def klines(self, params: Params) -> Any:
        index = self._symbol(params)
        interval = params.get("interval", "")
        if not interval:
            raise errors.missing("interval")
        if interval not in INTERVALS:
            raise errors.invalid_interval()
        start, end = number(params, "startTime"), number(params, "endTime")
        if start is not None and end is not None and start > end:
            raise errors.start_after_end()
        found = self._market.candles(
            index,
            interval,
            start_ns=None if start is None else start * MILLISECOND_NS,
            end_ns=None if end is None else end * MILLISECOND_NS,
            limit=ranged(params, "limit", 500, 1500),
        )
        return [kline_row(candle) for candle in found]

    def premium_index(self, params: Params) -> Any:
        market = self._market

        def one(index: int) -> dict[str, Any]:
            mark = text(market.last[index])
            following = market.next_funding(index, market.now_ns)
            return {
                "symbol": market.symbols[index],
                "markPrice": mark,
                "indexPrice": mark,
                "estimatedSettlePrice": mark,
                "lastFundingRate": text(following.rate),
                "interestRate": _INTEREST,
                "nextFundingTime": following.time_ns // MILLISECOND_NS,
                "time": market.now_ns // MILLISECOND_NS,
            }

        return self._each(params, one)

    def funding_rate(self, params: Params) -> Any:
        limit = ranged(params, "limit", 100, 1000)
        start, end = number(params, "startTime"), number(params, "endTime")
        if start is not None and end is not None and start > end:
            raise errors.start_after_end()
        found = self._symbols(params)
        rows = [
            {
                "symbol": self._market.symbols[index],
                "fundingTime": one.time_ns // MILLISECOND_NS,
                "fundingRate": text(one.rate),
                "markPrice": text(one.price),
                "rateType": "Regular",
            }
            for index in ([found] if isinstance(found, int) else found)
            for one in self._market.settled(index)
            if (start or 0) <= one.time_ns // MILLISECOND_NS <= (_NO_END if end is None else end)
        ]
        rows.sort(key=lambda row: int(str(row["fundingTime"])))
        return rows[:limit] if start is not None else rows[max(0, len(rows) - limit) :]

    def funding_info(self, params: Params) -> Any:
        return [
            {
                "symbol": self._market.symbols[index],
                "adjustedFundingRateCap": "0.02000000",
                "adjustedFundingRateFloor": "-0.02000000",
                "fundingIntervalHours": 8,
                "disclaimer": False,
                "updateTime": self._market.start_ns // MILLISECOND_NS,
            }
            for index in range(len(self._market.symbols))
        ]

    def open_interest(self, params: Params) -> Any:
        index = self._symbol(params)
        form = self._market.forms[index]
        held = self._market.instruments[index].max_qty
        return {
            "openInterest": text(held, form.qty),
            "symbol": form.symbol,
            "time": self._market.now_ns // MILLISECOND_NS,
        }

    def price(self, params: Params) -> Any:
        def one(index: int) -> dict[str, Any]:
            form = self._market.forms[index]
            return {
                "symbol": form.symbol,
                "price": text(self._market.last[index], form.price),
                "time": self._market.now_ns // MILLISECOND_NS,
            }

        return self._each(params, one)

    def book_ticker(self, params: Params) -> Any:
        def one(index: int) -> dict[str, Any]:
            form, top = self._market.forms[index], self._market.tops[index]
            bid, bid_qty, ask, ask_qty = top[2:] if top is not None else (0, 0, 0, 0)
            return {
                "lastUpdateId": top.number if top is not None else 0,
                "symbol": form.symbol,
                "bidPrice": text(bid, form.price),
                "bidQty": text(bid_qty, form.qty),
                "askPrice": text(ask, form.price),
                "askQty": text(ask_qty, form.qty),
                "time": (top.venue_ns if top is not None else self._market.now_ns) // MILLISECOND_NS,
            }

        return self._each(params, one)

    def day(self, params: Params) -> Any:
        return self._each(params, lambda i: _day(self._market.symbols[i], self._market.day(i)))


def _day(symbol: str, day: Day) -> dict[str, Any]:
    return {
        "symbol": symbol,
        "priceChange": day.change,
        "priceChangePercent": day.change_pct,
        "weightedAvgPrice": day.average,
        "lastPrice": day.last,
        "lastQty": day.last_qty,
        "openPrice": day.open,
        "highPrice": day.high,
        "lowPrice": day.low,
        "volume": day.volume,
        "quoteVolume": day.quote,
        "openTime": day.open_ms,
        "closeTime": day.close_ms,
        "firstId": day.first_id,
        "lastId": day.last_id,
        "count": day.trades,
    }


def number(params: Params, name: str, default: int | None = None) -> int | None:
    """A whole number of a request. Raises Refusal."""
    value = params.get(name)
    if value is None:
        return default
    if not value:
        raise errors.missing(name)
    if not _NUMBER.fullmatch(value):
        raise errors.illegal(name, _NUMBER_LEGAL)
    if int(value) > (1 << 62) // MILLISECOND_NS and name != "fromId":
        raise errors.invalid(name)
    return int(value)


def ranged(params: Params, name: str, default: int, most: int) -> int:
    """A number from 1 to a limit. Raises Refusal."""
    found = number(params, name, default) or 0
    if not 1 <= found <= most:
        raise errors.invalid(name)
    return found


def _fixed(weight: int) -> Callable[[Params], int]:
    return lambda _params: weight


def _by_limit(steps: Sequence[tuple[int, int]], last: int, default: int) -> Callable[[Params], int]:
    def weight(params: Params) -> int:
        said = params.get("limit", "")
        limit = int(said) if _NUMBER.fullmatch(said) else default
        return next((cost for below, cost in steps if limit < below), last)

    return weight


def _one_or_all(one: int, every: int) -> Callable[[Params], int]:
    return lambda params: one if params.get("symbol") else every


ROUTES: Mapping[str, Route] = {
    "/fapi/v1/ping": Route(Rest.ping, _fixed(1)),
    "/fapi/v1/time": Route(Rest.time, _fixed(1)),
    "/fapi/v1/exchangeInfo": Route(Rest.exchange_info, _fixed(1)),
    "/fapi/v1/depth": Route(Rest.depth, _by_limit([(51, 2), (101, 5), (501, 10)], 20, 500)),
    "/fapi/v1/trades": Route(Rest.trades, _fixed(5)),
    "/fapi/v1/aggTrades": Route(Rest.agg_trades, _fixed(20)),
    "/fapi/v1/klines": Route(Rest.klines, _by_limit([(100, 1), (500, 2), (1001, 5)], 10, 500)),
    "/fapi/v1/premiumIndex": Route(Rest.premium_index, _one_or_all(1, 10)),
    "/fapi/v1/fundingRate": Route(Rest.funding_rate, _fixed(1)),
    "/fapi/v1/fundingInfo": Route(Rest.funding_info, _fixed(1)),
    "/fapi/v1/openInterest": Route(Rest.open_interest, _fixed(1)),
    "/fapi/v1/ticker/price": Route(Rest.price, _one_or_all(1, 2)),
    "/fapi/v2/ticker/price": Route(Rest.price, _one_or_all(1, 2)),
    "/fapi/v1/ticker/bookTicker": Route(Rest.book_ticker, _one_or_all(2, 5)),
    "/fapi/v1/ticker/24hr": Route(Rest.day, _one_or_all(1, 40)),
}
"""Every public path of this venue."""
