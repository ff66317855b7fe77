"""Initial margin: what open positions and orders hold, and what is left for another order.

Rule: pure; cross margin, one-way mode, integers in units of 1e-8, each amount rounded up once. A symbol holds
the larger of |position + buy orders| and |position − sell orders| over its leverage, as the exchange does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from flowguardian.venue.account import Account
from flowguardian.venue.brackets import UNIT, largest_notional
from flowguardian.venue.orders import Order
from flowguardian.venue.refusals import refuse

OpenOrders = Mapping[str, Mapping[int, Order]]


class Held(NamedTuple):
    """Initial margin of one symbol."""

    position: int
    orders: int
    bids: int
    """Notional of its open buy orders."""
    asks: int


def held(account: Account, orders: OpenOrders, symbol: str, mark: int, more: int = 0) -> Held:
    """The margin of a symbol; `more` is the signed notional of an order that is not there yet."""
    bids = asks = 0
    for order in orders.get(symbol, {}).values():
        if not order.reduce_only:
            notional = -(-order.left * order.price // UNIT)
            bids, asks = bids + notional * (order.side > 0), asks + notional * (order.side < 0)
    with_bids, with_asks = bids + max(0, more), asks + max(0, -more)
    position = account.position(symbol).qty * mark // UNIT
    leverage = account.leverage_of(symbol)
    own = -(-abs(position) // leverage)
    largest = max(abs(position + with_bids), abs(position - with_asks))
    return Held(own, -(-largest // leverage) - own, bids, asks)


def available(account: Account, orders: OpenOrders, marks: Mapping[str, int]) -> int:
    """What a new order may hold at most: equity less all initial margin, never below zero."""
    symbols = {*orders, *(one.symbol for one in account.open_positions)}
    margins = (held(account, orders, symbol, marks[symbol]) for symbol in symbols)
    return max(0, account.equity(dict(marks)) - sum(one.position + one.orders for one in margins))


def check(
    account: Account, orders: OpenOrders, marks: Mapping[str, int], symbol: str, *,
    side: int, qty: int, price: int,
) -> None:  # fmt: skip
    """Whether the account may send an order at a price. Raises Refusal −2019, −2027.

    An order that can only reduce the position needs nothing.
    """
    position = account.position(symbol).qty
    if position * side < 0 and qty <= abs(position):
        return
    notional = -(-qty * price // UNIT)
    before = held(account, orders, symbol, marks[symbol])
    after = held(account, orders, symbol, marks[symbol], side * notional)
    needed = after.position + after.orders - before.position - before.orders
    if needed > available(account, orders, marks):
        raise refuse(-2019)
    total = abs(
        position * marks[symbol] // UNIT * side + notional + (before.bids if side > 0 else before.asks)
    )
    if total > largest_notional(symbol, account.leverage_of(symbol)):
        raise refuse(-2027)
