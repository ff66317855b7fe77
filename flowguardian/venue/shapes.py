"""The texts of the dialect: numbers as the exchange writes them, and the payload of every stream.

Rule: pure; a payload is built once per event as text, and no digit of a price or quantity is ever lost.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from flowguardian.market.instruments import Instrument

MILLISECOND_NS = 1_000_000
_DECIMALS = 8
_LEAST_PRICE_DECIMALS = 2
_SCALES = tuple(10 ** (_DECIMALS - decimals) for decimals in range(_DECIMALS + 1))

Levels = Sequence[tuple[int, int]]
"""Price and quantity in units, best first."""


def text(units: int, decimals: int = _DECIMALS) -> str:
    """Units of 1e-8 as decimal text with so many decimals, or with all eight when fewer would lose some."""
    if units < 0:
        return "-" + text(-units, decimals)
    whole, rest = divmod(units, _SCALES[decimals])
    if rest:
        return text(units)
    if not decimals:
        return str(whole)
    digits = str(whole).zfill(decimals + 1)
    return f"{digits[:-decimals]}.{digits[-decimals:]}"


def decimals_of(step: int) -> int:
    """How many decimals a tick or step of so many units needs."""
    decimals = _DECIMALS
    while decimals and step % 10 == 0:
        step //= 10
        decimals -= 1
    return decimals


class Form(NamedTuple):
    """How numbers of one symbol are written."""

    symbol: str
    price: int
    qty: int


def form_of(instrument: Instrument) -> Form:
    return Form(
        instrument.symbol,
        max(_LEAST_PRICE_DECIMALS, decimals_of(instrument.tick_size)),
        decimals_of(instrument.step_size),
    )


def _bool(value: object) -> str:
    return "true" if value else "false"


def agg_trade(form: Form, ms: int, number: int, price: int, qty: int, *, seller: bool) -> str:
    amount = text(qty, form.qty)
    return (
        f'{{"e":"aggTrade","E":{ms},"a":{number},"s":"{form.symbol}","p":"{text(price, form.price)}",'
        f'"q":"{amount}","nq":"{amount}","f":{number},"l":{number},"T":{ms},"m":{_bool(seller)},"st":1}}'
    )


def trade(form: Form, ms: int, number: int, price: int, qty: int, kind: str, *, seller: bool) -> str:
    return (
        f'{{"e":"trade","E":{ms},"T":{ms},"s":"{form.symbol}","t":{number},'
        f'"p":"{text(price, form.price)}","q":"{text(qty, form.qty)}","X":"{kind}","m":{_bool(seller)}}}'
    )


def book_ticker(form: Form, ms: int, number: int, bid: int, bid_qty: int, ask: int, ask_qty: int) -> str:
    return (
        f'{{"e":"bookTicker","u":{number},"s":"{form.symbol}","ps":"{form.symbol}",'
        f'"b":"{text(bid, form.price)}","B":"{text(bid_qty, form.qty)}",'
        f'"a":"{text(ask, form.price)}","A":"{text(ask_qty, form.qty)}","T":{ms},"E":{ms},"st":1}}'
    )


def mark_price(form: Form, ms: int, price: int, rate: int, next_ms: int) -> str:
    at = text(price)
    return (
        f'{{"e":"markPriceUpdate","E":{ms},"s":"{form.symbol}","p":"{at}","ap":"{at}","P":"{at}",'
        f'"i":"{at}","r":"{text(rate)}","T":{next_ms},"st":1}}'
    )


def depth_update(form: Form, ms: int, numbers: tuple[int, int, int], bids: Levels, asks: Levels) -> str:
    """`numbers` are the first and last update of the event and the last one of the event before."""
    first, last, before = numbers
    return (
        f'{{"e":"depthUpdate","E":{ms},"T":{ms},"s":"{form.symbol}","U":{first},"u":{last},"pu":{before},'
        f'"b":{levels(form, bids)},"a":{levels(form, asks)},"ps":"{form.symbol}","st":1}}'
    )


def levels(form: Form, side: Levels) -> str:
    inner = ",".join(f'["{text(price, form.price)}","{text(qty, form.qty)}"]' for price, qty in side)
    return f"[{inner}]"


def force_order(form: Form, ms: int, price: int, qty: int, *, seller: bool, all_symbols: bool) -> str:
    amount, at = text(qty, form.qty), text(price, form.price)
    marks = f'"ps":"{form.symbol}","st":1'
    return (
        f'{{"e":"forceOrder","E":{ms},"o":{{"s":"{form.symbol}","S":"{"SELL" if seller else "BUY"}",'
        f'"o":"LIMIT","f":"IOC","q":"{amount}","p":"{at}","ap":"{at}","X":"FILLED","l":"{amount}",'
        f'"z":"{amount}","T":{ms},{marks}}}' + (f",{marks}}}" if all_symbols else "}")
    )


class Candle(NamedTuple):
    """A bar as the exchange tells it; volumes as exact texts, since history keeps them as floats."""

    open_ms: int
    close_ms: int
    open: str
    high: str
    low: str
    close: str
    volume: str
    quote: str
    trades: int
    buy_volume: str
    buy_quote: str
    first_id: int = -1
    last_id: int = -1


def kline(form: Form, ms: int, interval: str, candle: Candle, *, closed: bool) -> str:
    return (
        f'{{"e":"kline","E":{ms},"s":"{form.symbol}","k":{{"t":{candle.open_ms},"T":{candle.close_ms},'
        f'"s":"{form.symbol}","i":"{interval}","f":{candle.first_id},"L":{candle.last_id},'
        f'"o":"{candle.open}","c":"{candle.close}","h":"{candle.high}","l":"{candle.low}",'
        f'"v":"{candle.volume}","n":{candle.trades},"x":{_bool(closed)},"q":"{candle.quote}",'
        f'"V":"{candle.buy_volume}","Q":"{candle.buy_quote}","B":"0"}}}}'
    )


def kline_row(candle: Candle) -> list[object]:
    """A candle as /klines lists it."""
    return [
        candle.open_ms, candle.open, candle.high, candle.low, candle.close, candle.volume,
        candle.close_ms, candle.quote, candle.trades, candle.buy_volume, candle.buy_quote, "0",
    ]  # fmt: skip


class Day(NamedTuple):
    """The last 24 hours of a symbol."""

    change: str
    change_pct: str
    average: str
    last: str
    last_qty: str
    open: str
    high: str
    low: str
    volume: str
    quote: str
    open_ms: int
    close_ms: int
    first_id: int
    last_id: int
    trades: int


def ticker(form: Form, ms: int, day: Day) -> str:
    return (
        f'{{"e":"24hrTicker","E":{ms},"s":"{form.symbol}","p":"{day.change}","P":"{day.change_pct}",'
        f'"w":"{day.average}","c":"{day.last}","Q":"{day.last_qty}","o":"{day.open}","h":"{day.high}",'
        f'"l":"{day.low}","v":"{day.volume}","q":"{day.quote}","O":{day.open_ms},"C":{day.close_ms},'
        f'"F":{day.first_id},"L":{day.last_id},"n":{day.trades},"ps":"{form.symbol}","st":1}}'
    )


def mini_ticker(form: Form, ms: int, day: Day) -> str:
    return (
        f'{{"e":"24hrMiniTicker","E":{ms},"s":"{form.symbol}","c":"{day.last}","o":"{day.open}",'
        f'"h":"{day.high}","l":"{day.low}","v":"{day.volume}","q":"{day.quote}","ps":"{form.symbol}","st":1}}'
    )
