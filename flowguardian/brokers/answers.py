"""The venue's answers and events about an account, read into small typed values.

Rule: pure; amounts become integers of 1e-8 here. A field that is not as documented is an error that names it,
because a guess about money would be worse than a stop. Source: API documentation of Binance USD-M futures.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from flowguardian.brokers.order_track import Fill, Report
from flowguardian.brokers.stops import Stop
from flowguardian.execution.money import units

QUOTE = "USDT"
_NS_PER_MS = 1_000_000


class Unreadable(Exception):
    """An answer or event is not what it claims to be."""


class Traded(NamedTuple):
    """A trade of the account and the order it belongs to."""

    symbol: str
    venue_id: int
    side: int
    fill: Fill


class OrderEvent(NamedTuple):
    """An order event of the user stream; `traded` is None where nothing was filled."""

    symbol: str
    client_id: str
    report: Report
    traded: Traded | None


class AccountState(NamedTuple):
    """Wallet and signed positions (by symbol, without the flat ones)."""

    wallet: int
    positions: dict[str, int]


class StopEvent(NamedTuple):
    """A conditional order in an event of the user stream."""

    symbol: str
    client_id: str
    status: str


class Income(NamedTuple):
    """One line of the account's record of income (the venue's word for whatever moves the wallet)."""

    tran_id: int
    symbol: str
    asset: str
    amount: int
    time_ns: int


class _OrderAnswer(msgspec.Struct, rename="camel"):
    symbol: str
    order_id: int
    client_order_id: str
    status: str
    executed_qty: str = "0"


class _Trade(msgspec.Struct, rename="camel"):
    symbol: str
    id: int
    order_id: int
    side: str
    price: str
    qty: str
    commission: str
    commission_asset: str


class _Position(msgspec.Struct, rename="camel"):
    symbol: str
    position_amt: str
    position_side: str = "BOTH"


class _Balance(msgspec.Struct, rename="camel"):
    asset: str
    balance: str


class _Income(msgspec.Struct, rename="camel"):
    symbol: str
    income: str
    asset: str
    time: int
    tran_id: int


class _Algo(msgspec.Struct, rename="camel"):
    symbol: str
    side: str
    quantity: str
    trigger_price: str
    client_algo_id: str = ""


class _AlgoUpdate(msgspec.Struct, rename={"symbol": "s", "client_id": "caid", "status": "X"}):
    symbol: str
    client_id: str
    status: str


class _AccountUpdate(msgspec.Struct, rename={"reason": "m"}):
    reason: str


class _OrderUpdate(
    msgspec.Struct,
    rename={
        "symbol": "s", "client_id": "c", "side": "S", "status": "X", "venue_id": "i", "last_qty": "l",
        "executed": "z", "last_price": "L", "fee": "n", "fee_asset": "N", "trade_id": "t",
    },
):  # fmt: skip
    symbol: str
    client_id: str
    side: str
    status: str
    venue_id: int
    last_qty: str
    executed: str
    last_price: str
    trade_id: int
    fee: str = "0"
    fee_asset: str | None = QUOTE


def order_of(body: Any) -> tuple[str, Report]:
    """(client id, report) of an order's answer."""
    found = _as(_OrderAnswer, body)
    return found.client_order_id, Report(found.status, amount(found.executed_qty), found.order_id)


def trades_of(body: Any) -> list[Traded]:
    """Trades of the account, oldest first."""
    found = [_as(_Trade, one) for one in _listed(body)]
    return sorted((_traded_of(one) for one in found), key=lambda one: one.fill.trade_id)


def _traded_of(one: _Trade) -> Traded:
    fee = _fee(one.commission, one.commission_asset)
    fill = Fill(one.id, amount(one.qty), amount(one.price), *fee)
    return Traded(one.symbol, one.order_id, side_of(one.side), fill)


def event_of(body: Any) -> OrderEvent:
    """The order event in an ORDER_TRADE_UPDATE."""
    found = _as(_OrderUpdate, body.get("o"))
    traded = None
    if found.trade_id and (qty := amount(found.last_qty)):
        fill = Fill(found.trade_id, qty, amount(found.last_price), *_fee(found.fee, found.fee_asset))
        traded = Traded(found.symbol, found.venue_id, side_of(found.side), fill)
    report = Report(found.status, amount(found.executed), found.venue_id)
    return OrderEvent(found.symbol, found.client_id, report, traded)


def account_of(balances: Any, positions: Any) -> AccountState:
    """The account from its balance and position answers (v3)."""
    wallets = [_as(_Balance, one) for one in _listed(balances)]
    wallet = next((amount(one.balance) for one in wallets if one.asset == QUOTE), 0)
    held = [_as(_Position, one) for one in _listed(positions)]
    return AccountState(wallet, {one.symbol: qty for one in held if (qty := amount(one.position_amt))})


def incomes_of(body: Any) -> list[Income]:
    """Lines of the account's income, oldest first."""
    found = [_as(_Income, one) for one in _listed(body)]
    lines = (
        Income(one.tran_id, one.symbol, one.asset, amount(one.income), one.time * _NS_PER_MS) for one in found
    )
    return sorted(lines, key=lambda one: (one.time_ns, one.tran_id))


def stops_of(body: Any) -> list[Stop]:
    """The conditional orders that rest."""
    found = [_as(_Algo, one) for one in _listed(body)]
    return [
        Stop(
            one.symbol, side_of(one.side), amount(one.quantity), amount(one.trigger_price), one.client_algo_id
        )
        for one in found
    ]  # fmt: skip


def stop_event_of(body: Any) -> StopEvent:
    """The conditional order in an ALGO_UPDATE."""
    found = _as(_AlgoUpdate, body.get("o"))
    return StopEvent(found.symbol, found.client_id, found.status)


def reason_of(body: Any) -> str:
    """Why an ACCOUNT_UPDATE was sent."""
    reason: str = _as(_AccountUpdate, body.get("a")).reason
    return reason


def amount(text: str) -> int:
    """An amount in units of 1e-8; raises Unreadable for what is none."""
    try:
        return units(text)
    except (ValueError, ArithmeticError) as error:
        raise Unreadable(f"an amount {str(text)[:40]!r}: {error}") from error


def side_of(word: str) -> int:
    """+1 for BUY, −1 for SELL."""
    if word not in ("BUY", "SELL"):
        raise Unreadable(f"side {word!r}")
    return 1 if word == "BUY" else -1


def _fee(text: str, asset: str | None) -> tuple[int, str]:
    """What it took from the money of the books, and the asset where it took something else."""
    paid = amount(text)
    return (0, asset) if paid and asset not in (QUOTE, None) else (paid, "")


def _listed(body: Any) -> list[Any]:
    if not isinstance(body, list):
        raise Unreadable(f"a list was expected, not {str(body)[:100]}")
    return body


def _as(kind: Any, body: Any) -> Any:
    try:
        return msgspec.convert(body, kind)
    except (msgspec.ValidationError, ValueError) as error:
        raise Unreadable(f"{kind.__name__.lstrip('_')}: {error}") from error
