"""The frames of Binance USD-M market streams, decoded into small typed messages.

Rule: a frame is read as it is documented or not at all; unknown fields are ignored, unknown events are for
the caller to count. Prices and quantities become integers of 1e-8 here and nowhere else.
"""

from __future__ import annotations

import msgspec

from flowguardian.market.records import UNITS

MARKET_PRINT = "MARKET"
"""The only `X` of a trade frame that is a trade between two traders."""
_LARGEST = 9_200_000_000_000_000_000
_DECIMALS = 8
MILLISECOND_NS = 1_000_000
_LAST_MS = _LARGEST // MILLISECOND_NS


class UnreadableFrame(Exception):
    """A frame is not what it claims to be; the message says which part."""


class AggTrade(
    msgspec.Struct,
    tag_field="e",
    tag="aggTrade",
    gc=False,
    rename={"symbol": "s", "id": "a", "price": "p", "qty": "q", "time_ms": "T", "maker_bought": "m"},
):
    symbol: str
    id: int
    price: str
    qty: str
    time_ms: int
    maker_bought: bool


class Trade(
    msgspec.Struct,
    tag_field="e",
    tag="trade",
    gc=False,
    rename={
        "symbol": "s",
        "id": "t",
        "price": "p",
        "qty": "q",
        "time_ms": "T",
        "maker_bought": "m",
        "print_type": "X",
    },
):
    symbol: str
    id: int
    price: str
    qty: str
    time_ms: int
    maker_bought: bool
    print_type: str = MARKET_PRINT


class BookTicker(
    msgspec.Struct,
    tag_field="e",
    tag="bookTicker",
    gc=False,
    rename={"symbol": "s", "id": "u", "bid": "b", "bid_qty": "B", "ask": "a", "ask_qty": "A", "time_ms": "T"},
):
    symbol: str
    id: int
    bid: str
    bid_qty: str
    ask: str
    ask_qty: str
    time_ms: int


class MarkPrice(
    msgspec.Struct,
    tag_field="e",
    tag="markPriceUpdate",
    gc=False,
    rename={"symbol": "s", "time_ms": "E", "price": "p", "index": "i", "rate": "r", "next_funding_ms": "T"},
):
    symbol: str
    time_ms: int
    price: str
    index: str
    rate: str
    next_funding_ms: int


class Depth(msgspec.Struct, tag_field="e", tag="depthUpdate", gc=False):
    """Known and not used by the core."""


class Kline(msgspec.Struct, tag_field="e", tag="kline", gc=False):
    """Known and not used: bars are built from trades."""


class ForceOrder(msgspec.Struct, tag_field="e", tag="forceOrder", gc=False):
    """Known and not used: a liquidation order, never a price."""


Message = AggTrade | Trade | BookTicker | MarkPrice | Depth | Kline | ForceOrder


class Combined(msgspec.Struct, gc=False):
    """The envelope of combined streams."""

    stream: str
    data: Message


class Reply(msgspec.Struct, gc=False):
    """The answer to SUBSCRIBE and its kin."""

    id: int | str | None
    result: msgspec.Raw = msgspec.Raw(b"null")
    error: msgspec.Raw = msgspec.Raw(b"null")


_COMBINED = msgspec.json.Decoder(Combined)
_SINGLE: msgspec.json.Decoder[Message] = msgspec.json.Decoder(Message)
_REPLY = msgspec.json.Decoder(Reply)
_ANY = msgspec.json.Decoder(dict[str, msgspec.Raw])


def decode(frame: bytes | str) -> Message | Reply | None:
    """The message of a frame; None for an event that is not known. Raises UnreadableFrame."""
    try:
        return _COMBINED.decode(frame).data
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        return _decode_odd(frame, error)


def _decode_odd(frame: bytes | str, error: Exception) -> Message | Reply | None:
    """What is not a known combined frame: one of a single stream, a reply, an unknown event, or broken."""
    try:
        keys = _ANY.decode(frame)
    except (msgspec.DecodeError, UnicodeDecodeError) as broken:
        raise UnreadableFrame(f"no JSON object: {broken}") from broken
    if "id" in keys and ("result" in keys or "error" in keys):
        try:
            return _REPLY.decode(frame)
        except msgspec.DecodeError as broken:
            raise UnreadableFrame(f"a reply that is none: {broken}") from broken
    body = keys.get("data")
    event = _event(bytes(body) if body is not None else frame)
    if event not in KNOWN_EVENTS:
        return None
    if body is not None:
        raise UnreadableFrame(f"{event}: {error}") from error
    try:
        return _SINGLE.decode(frame)
    except msgspec.DecodeError as broken:
        raise UnreadableFrame(f"{event}: {broken}") from broken


class _Named(msgspec.Struct):
    e: str = ""


_NAMED = msgspec.json.Decoder(_Named)
KNOWN_EVENTS = frozenset(
    {"aggTrade", "trade", "bookTicker", "markPriceUpdate", "depthUpdate", "kline", "forceOrder"}
)


def _event(body: bytes | str) -> str:
    try:
        return _NAMED.decode(body).e
    except msgspec.DecodeError:
        return ""


def units(text: str) -> int:
    """A decimal text as units of 1e-8. Raises UnreadableFrame for signs, exponents, NaN and too much."""
    whole, _, part = text.partition(".")
    digits = whole + part
    if len(part) > _DECIMALS:
        if part[_DECIMALS:].strip("0"):
            raise UnreadableFrame(f"{text[:40]!r} has more than {_DECIMALS} decimals")
        part = part[:_DECIMALS]
        digits = whole + part
    if not whole or not digits.isascii() or not digits.isdecimal() or len(whole) > 11:
        raise UnreadableFrame(f"{text[:40]!r} is no number of the exchange")
    value = int(digits) * _SCALES[len(part)]
    if value > _LARGEST:
        raise UnreadableFrame(f"{text[:40]!r} does not fit")
    return value


_SCALES: tuple[int, ...] = tuple(UNITS // 10**decimals for decimals in range(_DECIMALS + 1))


def signed_units(text: str) -> int:
    """The same for a rate, which may be below zero."""
    return -units(text[1:]) if text.startswith("-") else units(text)


def nanoseconds(time_ms: int) -> int:
    """Venue milliseconds as nanoseconds. Raises UnreadableFrame for a time that cannot be."""
    if not 0 < time_ms < _LAST_MS:
        raise UnreadableFrame(f"{time_ms} is no time in milliseconds")
    return time_ms * MILLISECOND_NS
