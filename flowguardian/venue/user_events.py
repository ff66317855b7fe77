"""The payloads of the user data stream, as the exchange documents them.

Rule: pure; a payload is a snapshot of plain values at the moment it is made, named after its event and, where
it tells an execution, that too (`ORDER_TRADE_UPDATE@TRADE`), so that faults can pick one.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flowguardian.venue.account import Account
from flowguardian.venue.brackets import UNIT, maintenance
from flowguardian.venue.orders import ONE_WAY, AlgoOrder, Order, UserTrade
from flowguardian.venue.shapes import MILLISECOND_NS, Form, text

ASSET = "USDT"
ORDER, LITE, ACCOUNT, ALGO = "ORDER_TRADE_UPDATE", "TRADE_LITE", "ACCOUNT_UPDATE", "ALGO_UPDATE"
MARGIN_CALL, CONFIG, EXPIRED_KEY = "MARGIN_CALL", "ACCOUNT_CONFIG_UPDATE", "listenKeyExpired"
Payload = dict[str, Any]


def word(side: int) -> str:
    return "BUY" if side > 0 else "SELL"


def priced(price: int, form: Form) -> str:
    """A price as the exchange writes it; "0" where there is none."""
    return text(price, form.price) if price else "0"


def _stamps(name: str, at_ns: int) -> Payload:
    return {"e": name, "T": at_ns // MILLISECOND_NS, "E": at_ns // MILLISECOND_NS}


def order_update(
    order: Order, form: Form, execution: str, at_ns: int, *, trade: UserTrade | None = None,
    bids: int = 0, asks: int = 0,
) -> Payload:  # fmt: skip
    """ORDER_TRADE_UPDATE; `bids` and `asks` are the notionals of open orders (1e-8)."""
    kind = order.type
    body = {
        "s": order.symbol, "c": order.client_id, "S": word(order.side), "o": kind,
        "f": order.time_in_force, "q": text(order.qty, form.qty), "p": priced(order.price, form),
        "ap": text(order.average_price, 5) if order.filled else "0",
        "sp": priced(order.stop_price, form), "x": execution, "X": order.status, "i": order.id,
        "l": text(trade.qty, form.qty) if trade else "0", "z": text(order.filled, form.qty),
        "L": text(trade.price, form.price) if trade else "0", "n": text(trade.fee) if trade else "0",
        "N": ASSET, "T": at_ns // MILLISECOND_NS, "t": trade.id if trade else 0,
        "b": text(bids) if bids else "0", "a": text(asks) if asks else "0",
        "m": trade is not None and trade.maker, "R": order.reduce_only, "wt": order.working_type,
        "ot": order.original_type or kind, "ps": ONE_WAY, "cp": order.close_position,
        "rp": text(trade.realised) if trade else "0", "pP": order.price_protect, "si": 0, "ss": 0,
        "V": order.stp_mode, "pm": "NONE", "gtd": order.good_till_ms, "er": "0",
    }  # fmt: skip
    return {**_stamps(ORDER, at_ns), "o": body}


def trade_lite(order: Order, form: Form, trade: UserTrade, at_ns: int) -> Payload:
    """TRADE_LITE."""
    return {
        **_stamps(LITE, at_ns), "s": order.symbol, "q": text(order.qty, form.qty),
        "p": text(order.price, form.price), "m": trade.maker, "c": order.client_id, "S": word(order.side),
        "L": text(trade.price, form.price), "l": text(trade.qty, form.qty), "t": trade.id, "i": order.id,
    }  # fmt: skip


def account_update(
    account: Account, reason: str, changed: int, marks: dict[str, int], forms: Iterable[Form], at_ns: int
) -> Payload:
    """ACCOUNT_UPDATE for the symbols of `forms`; `changed` is the balance change other than by trading."""
    wallet = text(account.wallet)
    positions = []
    for form in forms:
        held = account.position(form.symbol)
        entry = text(held.entry_price, form.price) if held.qty else "0"
        positions.append(
            {
                "s": form.symbol, "pa": text(held.qty, form.qty), "ep": entry, "cr": text(held.realised),
                "up": text(held.unrealised(marks[form.symbol])), "mt": _margin(account, form.symbol),
                "iw": "0", "ps": ONE_WAY, "ma": ASSET, "bep": entry,
            }
        )  # fmt: skip
    balance = {"a": ASSET, "wb": wallet, "cw": wallet, "bc": text(changed) if changed else "0"}
    return {**_stamps(ACCOUNT, at_ns), "a": {"B": [balance], "P": positions, "m": reason}}


def _margin(account: Account, symbol: str) -> str:
    return "isolated" if account.margin_types.get(symbol) == "ISOLATED" else "cross"


def algo_update(algo: AlgoOrder, form: Form, order: Order | None, at_ns: int) -> Payload:
    """ALGO_UPDATE; `order` is the one it became, if it did."""
    body = {
        "caid": algo.client_id, "aid": algo.id, "at": "CONDITIONAL", "o": algo.type, "s": algo.symbol,
        "S": word(algo.side), "ps": ONE_WAY, "f": algo.time_in_force, "q": text(algo.qty, form.qty),
        "X": algo.status, "ai": str(algo.order_id) if algo.order_id else "",
        "ap": text(order.average_price if order else 0, 5), "aq": text(order.filled if order else 0, 5),
        "act": order.type if order else "0", "tp": text(algo.trigger_price, form.price),
        "p": priced(algo.price, form), "V": algo.stp_mode, "wt": algo.working_type, "pm": "NONE",
        "cp": algo.close_position, "pP": algo.price_protect, "R": algo.reduce_only,
        "tt": algo.triggered_ns // MILLISECOND_NS, "gtd": algo.good_till_ms, "rm": algo.reject_text,
    }  # fmt: skip
    return {**_stamps(ALGO, at_ns), "o": body}


def margin_call(account: Account, marks: dict[str, int], at_ns: int) -> Payload:
    """MARGIN_CALL: every position with its maintenance margin."""
    return {
        "e": MARGIN_CALL,
        "E": at_ns // MILLISECOND_NS,
        "cw": text(account.wallet),
        "p": [
            {
                "s": one.symbol, "ps": ONE_WAY, "pa": text(one.qty), "mt": "CROSSED", "iw": "0",
                "mp": text(marks[one.symbol]), "up": text(one.unrealised(marks[one.symbol])),
                "mm": text(maintenance(one.symbol, one.notional(marks[one.symbol]))),
            }
            for one in account.open_positions
        ],
    }  # fmt: skip


def leverage_changed(symbol: str, leverage: int, at_ns: int) -> Payload:
    """ACCOUNT_CONFIG_UPDATE."""
    return {**_stamps(CONFIG, at_ns), "ac": {"s": symbol, "l": leverage}}


def key_expired(key: str, at_ns: int) -> Payload:
    """listenKeyExpired."""
    return {"e": EXPIRED_KEY, "E": at_ns // MILLISECOND_NS, "listenKey": key}


def open_notional(open_orders: Iterable[Order], side: int) -> int:
    """Σ price × what is left of open orders of a side, 1e-8, rounded up."""
    return -(-sum(one.price * one.left for one in open_orders if one.side == side) // UNIT)
