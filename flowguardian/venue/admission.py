"""What a client asks for, read and held against the filters: parameters become a request or a refusal.

Rule: pure; nothing of the account or the market's prices is known here (see trading.py), and each filter
answers with the exchange's own code. Prices and quantities become integers in units of 1e-8.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from flowguardian.market.instruments import Instrument
from flowguardian.venue import errors, orders
from flowguardian.venue.brackets import UNIT
from flowguardian.venue.refusals import refuse

Params = Mapping[str, str]

LIMIT, MARKET = "LIMIT", "MARKET"
IN_FORCE = ("GTC", "IOC", "FOK", "GTX", "GTD")
_ALGO_IN_FORCE = (*IN_FORCE[:4], "GTE_GTC", "GTD")
_WORKING = ("CONTRACT_PRICE", "MARK_PRICE")
_RESPONSES = ("ACK", "RESULT")
_STP = ("NONE", "EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH")
_DECIMAL = re.compile(r"([0-9]{1,15})(?:\.([0-9]{1,20}))?|\.([0-9]{1,20})")
_DECIMAL_LEGAL = r"^([0-9]{1,20})(\.[0-9]{1,20})?$"
_CLIENT_ID = re.compile(r"[.A-Z:/a-z0-9_-]{1,36}")
_LARGEST_TICKS = 45_297_640
"""The largest price in ticks, as exchangeInfo tells it."""
_GOOD_TILL_SECONDS = 600


class OrderRequest(NamedTuple):
    """An order as asked for; `client_id` may be empty, `price` is 0 for a market order."""

    symbol: str
    side: int
    type: str
    time_in_force: str
    qty: int
    price: int
    client_id: str
    reduce_only: bool
    stp_mode: str
    good_till_ms: int
    wants_result: bool


class AlgoRequest(NamedTuple):
    """A conditional order as asked for; `qty` is 0 where it closes the whole position."""

    symbol: str
    side: int
    type: str
    time_in_force: str
    qty: int
    price: int
    trigger_price: int
    client_id: str
    reduce_only: bool
    close_position: bool
    working_type: str
    price_protect: bool
    stp_mode: str
    good_till_ms: int


def amount(params: Params, name: str) -> int | None:
    """A decimal of a request in units of 1e-8, finer digits kept out. Raises Refusal −1100, −1102, −1111."""
    said = params.get(name)
    if said is None:
        return None
    if not said:
        raise errors.missing(name)
    found = _DECIMAL.fullmatch(said)
    if found is None:
        if said.startswith("-") and _DECIMAL.fullmatch(said[1:]):
            return -1
        raise errors.illegal(name, _DECIMAL_LEGAL)
    digits = (found[2] or found[3] or "").rstrip("0")
    if len(digits) > 8:
        raise refuse(-1111)
    return int(found[1] or 0) * UNIT + int(digits.ljust(8, "0") or 0)


def needed(params: Params, name: str) -> str:
    """A parameter that must be there. Raises Refusal −1102."""
    found = params.get(name, "")
    if not found:
        raise errors.missing(name)
    return found


def choice(params: Params, name: str, known: tuple[str, ...], default: str) -> str:
    """One of several words. Raises Refusal −1130."""
    found = params.get(name, default) or default
    if found not in known:
        raise errors.invalid(name)
    return found


def flag(params: Params, name: str) -> bool:
    """A parameter that is true or false, false where it is absent. Raises Refusal −1130."""
    found = params.get(name, "false").lower()
    if found not in ("true", "false"):
        raise errors.invalid(name)
    return found == "true"


def client_id(params: Params, name: str) -> str:
    """An id of the client's own; empty where none was sent. Raises Refusal −4015."""
    found = params.get(name, "")
    if found and not _CLIENT_ID.fullmatch(found):
        raise refuse(-4015)
    return found


def side_of(params: Params) -> int:
    """+1 to buy, −1 to sell. Raises Refusal −1102, −1117."""
    found = orders.SIDES.get(needed(params, "side"))
    if found is None:
        raise refuse(-1117)
    return found


def order_request(params: Params, instrument: Instrument, *, dual_side: bool, now_ms: int) -> OrderRequest:
    """A LIMIT or MARKET order. Raises Refusal; −4120 for a conditional one on this path."""
    side, kind = side_of(params), needed(params, "type")
    if kind in (*orders.CONDITIONAL, orders.TRAILING):
        raise refuse(-4120)
    if kind not in (LIMIT, MARKET):
        raise refuse(-1116)
    _position_side(params, dual_side=dual_side)
    if flag(params, "closePosition"):
        raise refuse(-4136, kind, "true")
    qty, price = amount(params, "quantity"), amount(params, "price")
    if qty is None:
        raise errors.missing("quantity")
    in_force = params.get("timeInForce", "")
    if kind == LIMIT:
        _check_limit(in_force, price, instrument)
    elif price or in_force:
        raise refuse(-1106, "price" if price else "timeinforce")
    check_qty(qty, instrument)
    return OrderRequest(
        instrument.symbol, side, kind, in_force or "GTC", qty, price or 0,
        client_id(params, "newClientOrderId"), flag(params, "reduceOnly"),
        choice(params, "selfTradePreventionMode", _STP, "EXPIRE_MAKER"),
        _good_till(params, in_force, now_ms),
        choice(params, "newOrderRespType", _RESPONSES, "ACK") == "RESULT",
    )  # fmt: skip


def _check_limit(in_force: str, price: int | None, instrument: Instrument) -> None:
    """Raises Refusal −1102, −1115, and those of the price filter."""
    if not in_force:
        raise errors.missing("timeInForce")
    if price is None:
        raise errors.missing("price")
    if in_force not in IN_FORCE:
        raise refuse(-1115)
    check_price(price, instrument)


def algo_request(params: Params, instrument: Instrument, *, dual_side: bool, now_ms: int) -> AlgoRequest:
    """A conditional order. Raises Refusal; a trailing stop is none of this venue's types (−1116)."""
    if needed(params, "algoType") != "CONDITIONAL":
        raise errors.invalid("algoType")
    side, kind = side_of(params), needed(params, "type")
    if kind not in orders.CONDITIONAL:
        raise refuse(-1116)
    _position_side(params, dual_side=dual_side)
    trigger, price = _trigger(params, instrument), amount(params, "price")
    is_market = kind.endswith("_MARKET")
    if not is_market:
        if price is None:
            raise errors.missing("price")
        check_price(price, instrument)
    elif price:
        raise refuse(-1106, "price")
    in_force = params.get("timeInForce", "") or "GTC"
    if in_force not in _ALGO_IN_FORCE:
        raise refuse(-1115)
    closes, reduces = flag(params, "closePosition"), flag(params, "reduceOnly")
    qty = amount(params, "quantity")
    _check_close(kind, qty, closes=closes, reduces=reduces, sent="reduceOnly" in params)
    if not closes:
        if qty is None:
            raise errors.missing("quantity")
        check_qty(qty, instrument)
    return AlgoRequest(
        instrument.symbol, side, kind, in_force, 0 if closes else qty or 0, 0 if is_market else price or 0,
        trigger, client_id(params, "clientAlgoId"), reduces or closes, closes,
        choice(params, "workingType", _WORKING, "CONTRACT_PRICE"), flag(params, "priceProtect"),
        choice(params, "selfTradePreventionMode", _STP, "EXPIRE_MAKER"),
        _good_till(params, in_force, now_ms),
    )  # fmt: skip


def _trigger(params: Params, instrument: Instrument) -> int:
    """Raises Refusal −1102, −4006, and those of the price filter."""
    trigger = amount(params, "triggerPrice")
    if trigger is None:
        raise errors.missing("triggerPrice")
    if trigger <= 0:
        raise refuse(-4006)
    check_price(trigger, instrument)
    return trigger


def _check_close(kind: str, qty: int | None, *, closes: bool, reduces: bool, sent: bool) -> None:
    if not closes:
        return
    if not kind.endswith("_MARKET"):
        raise refuse(-4136, kind, "true")
    if qty:
        raise refuse(-4137)
    if sent:
        raise refuse(-4138) if not reduces else refuse(-1106, "reduceonly")


def _position_side(params: Params, *, dual_side: bool) -> None:
    """One-way orders only: hedge mode can be set and asked, not traded in."""
    if dual_side or params.get("positionSide", orders.ONE_WAY) != orders.ONE_WAY:
        raise refuse(-4061)


def _good_till(params: Params, in_force: str, now_ms: int) -> int:
    """When a GTD order ends, whole seconds in milliseconds; 0 for the others."""
    said = params.get("goodTillDate", "")
    if in_force != "GTD":
        return 0
    if not said:
        raise errors.missing("goodTillDate")
    if not said.isdecimal() or int(said) <= now_ms + _GOOD_TILL_SECONDS * 1000:
        raise errors.invalid("goodTillDate")
    return int(said) // 1000 * 1000


# ---- filters


def check_price(price: int, instrument: Instrument) -> None:
    """PRICE_FILTER. Raises Refusal −4001, −4002, −4013, −4014, −1111."""
    if price <= 0:
        raise refuse(-4001)
    if price > instrument.tick_size * _LARGEST_TICKS:
        raise refuse(-4002)
    if price < instrument.tick_size:
        raise refuse(-4013)
    if price % instrument.tick_size:
        raise refuse(-1111 if _is_finer(price, instrument.tick_size) else -4014)


def check_qty(qty: int, instrument: Instrument) -> None:
    """LOT_SIZE and MARKET_LOT_SIZE. Raises Refusal −4003, −4004, −4005, −4023, −1111."""
    if qty <= 0:
        raise refuse(-4003)
    if qty % instrument.step_size and _is_finer(qty, instrument.step_size):
        raise refuse(-1111)
    if qty < instrument.min_qty:
        raise refuse(-4004)
    if qty > instrument.max_qty:
        raise refuse(-4005)
    if qty % instrument.step_size:
        raise refuse(-4023)


def _is_finer(value: int, step: int) -> bool:
    """Whether a value has more decimals than its grid."""
    power = 1
    while step % (power * 10) == 0:
        power *= 10
    return value % power != 0


def check_notional(qty: int, price: int, instrument: Instrument) -> None:
    """MIN_NOTIONAL. Raises Refusal −4164."""
    if qty * price < instrument.min_notional * UNIT:
        raise refuse(-4164, instrument.min_notional // UNIT)
