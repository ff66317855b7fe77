"""The answers of the REST interface as records of this project.

Rule: an answer that is not as documented is an UnreadableAnswer that names the part; nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from flowguardian.feeds.wire import MILLISECOND_NS, AggTrade, UnreadableFrame, units
from flowguardian.market.instruments import Instrument
from flowguardian.market.records import BAR

Rows = npt.NDArray[np.void]
TRADING = "TRADING"


class UnreadableAnswer(Exception):
    """A REST answer is not what the documentation says."""


class _Filter(msgspec.Struct, rename="camel"):
    filter_type: str
    tick_size: str = ""
    step_size: str = ""
    min_qty: str = ""
    max_qty: str = ""
    notional: str = ""


class _Symbol(msgspec.Struct):
    symbol: str
    filters: list[_Filter]
    status: str = TRADING


class _RateLimit(msgspec.Struct, rename="camel"):
    rate_limit_type: str
    interval: str
    interval_num: int
    limit: int


class _ExchangeInfo(msgspec.Struct, rename="camel"):
    symbols: list[_Symbol]
    rate_limits: list[_RateLimit] = []


class _Time(msgspec.Struct, rename="camel"):
    server_time: int


class _Status(msgspec.Struct):
    now_ns: int


class _Aggregate(msgspec.Struct, rename={"maker_bought": "m", "time_ms": "T"}):
    a: int
    p: str
    q: str
    time_ms: int
    maker_bought: bool


class Problem(msgspec.Struct):
    """The body of a refusal."""

    code: int = 0
    msg: str = ""


class VenueInfo(msgspec.Struct, frozen=True):
    """What exchangeInfo says of the symbols that were asked for."""

    instruments: tuple[Instrument, ...]
    missing: tuple[str, ...]
    halted: tuple[str, ...]
    weight_limit: int


def _decode(body: bytes, kind: Any, what: str) -> Any:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        start = body[:120].decode("utf-8", "replace")
        raise UnreadableAnswer(f"{what}: {error}; it begins {start!r}") from error


def problem_of(body: bytes) -> Problem:
    """Code and message of a refusal; a page of HTML has neither."""
    try:
        return msgspec.json.decode(body, type=Problem)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return Problem(0, body[:200].decode("utf-8", "replace"))


def time_ms_of(body: bytes) -> int:
    found: _Time = _decode(body, _Time, "time")
    return found.server_time


def market_ns_of(body: bytes) -> int:
    """Where the market of our own venue stands, as its operator's addresses say."""
    found: _Status = _decode(body, _Status, "status of the venue")
    return found.now_ns


def venue_of(body: bytes, symbols: Sequence[str]) -> VenueInfo:
    """The filters of the symbols, in their order, with those that are unlisted or do not trade."""
    info: _ExchangeInfo = _decode(body, _ExchangeInfo, "exchangeInfo")
    listed = {entry.symbol: entry for entry in info.symbols}
    found = [listed[symbol] for symbol in symbols if symbol in listed]
    weights = [
        limit.limit
        for limit in info.rate_limits
        if limit.rate_limit_type == "REQUEST_WEIGHT"
        and limit.interval == "MINUTE"
        and limit.interval_num == 1
    ]
    return VenueInfo(
        instruments=tuple(_instrument(entry) for entry in found),
        missing=tuple(symbol for symbol in symbols if symbol not in listed),
        halted=tuple(entry.symbol for entry in found if entry.status != TRADING),
        weight_limit=weights[0] if weights else 0,
    )


def _instrument(entry: _Symbol) -> Instrument:
    by_type = {part.filter_type: part for part in entry.filters}
    try:
        price, lot = by_type["PRICE_FILTER"], by_type["LOT_SIZE"]
        market = by_type.get("MARKET_LOT_SIZE", lot)
        notional = by_type.get("MIN_NOTIONAL")
        made = Instrument(
            symbol=entry.symbol,
            tick_size=units(price.tick_size),
            step_size=units(lot.step_size),
            min_qty=max(units(lot.min_qty), units(market.min_qty)),
            max_qty=min(units(lot.max_qty), units(market.max_qty)),
            min_notional=units(notional.notional) if notional is not None else 0,
        )
    except (KeyError, UnreadableFrame) as error:
        raise UnreadableAnswer(f"exchangeInfo: {entry.symbol}: {error}") from error
    if made.tick_size <= 0 or made.step_size <= 0 or made.max_qty < made.min_qty:
        raise UnreadableAnswer(f"exchangeInfo: {entry.symbol}: no order fits its filters: {made}")
    return made


def trades_of(body: bytes, symbol: str) -> list[AggTrade]:
    """aggTrades as the stream would have told them, in the order of ids."""
    found: list[_Aggregate] = _decode(body, list[_Aggregate], f"aggTrades of {symbol}")
    trades = [AggTrade(symbol, one.a, one.p, one.q, one.time_ms, one.maker_bought) for one in found]
    trades.sort(key=lambda trade: trade.id)
    return trades


def bars_of_klines(body: bytes, symbol: str, before_ns: int, bar_ns: int) -> Rows:
    """BAR records of the klines that were closed by `before_ns`."""
    found: list[tuple[Any, ...]] = _decode(body, list[tuple[Any, ...]], f"klines of {symbol}")
    rows = np.zeros(len(found), BAR)
    try:
        for row, line in zip(rows, found, strict=True):
            row["open_ns"] = int(line[0]) * MILLISECOND_NS
            row["open"], row["high"], row["low"], row["close"] = (units(text) for text in line[1:5])
            row["volume"], row["trades"] = float(line[5]), int(line[8])
    except (UnreadableFrame, ValueError, TypeError, IndexError, AttributeError) as error:
        raise UnreadableAnswer(f"klines of {symbol}: {error}") from error
    rows = rows[rows["open_ns"] + bar_ns <= before_ns]
    if len(rows) and (np.any(np.diff(rows["open_ns"]) <= 0) or np.any(rows["low"] <= 0)):
        raise UnreadableAnswer(f"klines of {symbol}: not in order, or a price of zero")
    return rows
