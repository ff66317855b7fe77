"""The answers of the trading routes: orders, fills, positions and balances as the exchange lists them.

Rule: pure; amounts are texts made from integers in units of 1e-8, times milliseconds of the market.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from flowguardian.venue.account import Account
from flowguardian.venue.brackets import UNIT, bracket_for, brackets_of, largest_notional, maintenance
from flowguardian.venue.margin import Held
from flowguardian.venue.orders import ONE_WAY, AlgoOrder, Income, Order, UserTrade
from flowguardian.venue.shapes import MILLISECOND_NS, Form, text
from flowguardian.venue.user_events import ASSET, priced, word

Body = dict[str, Any]


def order_row(order: Order, form: Form) -> Body:
    """An order as placing, cancelling, amending and asking answer it."""
    filled = text(order.filled, form.qty)
    quote = text(order.quote // UNIT)
    return {
        "orderId": order.id, "symbol": order.symbol, "pair": order.symbol, "status": order.status,
        "clientOrderId": order.client_id, "price": text(order.price, form.price),
        "avgPrice": text(order.average_price, 5), "origQty": text(order.qty, form.qty),
        "executedQty": filled, "cumQty": filled, "cumQuote": quote, "cumBase": filled,
        "timeInForce": order.time_in_force, "type": order.type, "reduceOnly": order.reduce_only,
        "closePosition": order.close_position, "side": word(order.side), "positionSide": ONE_WAY,
        "stopPrice": priced(order.stop_price, form), "workingType": order.working_type,
        "priceProtect": order.price_protect, "origType": order.original_type or order.type,
        "priceMatch": "NONE", "selfTradePreventionMode": order.stp_mode,
        "goodTillDate": order.good_till_ms, "time": order.created_ns // MILLISECOND_NS,
        "updateTime": order.updated_ns // MILLISECOND_NS,
    }  # fmt: skip


def algo_row(algo: AlgoOrder, form: Form, order: Order | None) -> Body:
    """A conditional order; `order` is the one it became, if it did."""
    return {
        "algoId": algo.id, "clientAlgoId": algo.client_id, "algoType": "CONDITIONAL", "orderType": algo.type,
        "symbol": algo.symbol, "side": word(algo.side), "positionSide": ONE_WAY,
        "timeInForce": algo.time_in_force, "quantity": text(algo.qty, form.qty), "algoStatus": algo.status,
        "actualOrderId": str(algo.order_id) if algo.order_id else "",
        "actualPrice": text(order.average_price if order else 0, 5),
        "actualType": order.type if order else "", "actualQty": text(order.filled if order else 0, form.qty),
        "triggerPrice": text(algo.trigger_price, form.price), "price": text(algo.price, form.price),
        "icebergQuantity": None, "tpTriggerPrice": "0.000", "tpPrice": "0.000", "slTriggerPrice": "0.000",
        "slPrice": "0.000", "tpOrderType": "", "selfTradePreventionMode": algo.stp_mode,
        "workingType": algo.working_type, "priceMatch": "NONE", "closePosition": algo.close_position,
        "priceProtect": algo.price_protect, "reduceOnly": algo.reduce_only, "activatePrice": "",
        "callbackRate": "", "createTime": algo.created_ns // MILLISECOND_NS,
        "updateTime": algo.updated_ns // MILLISECOND_NS, "triggerTime": algo.triggered_ns // MILLISECOND_NS,
        "goodTillDate": algo.good_till_ms,
    }  # fmt: skip


def trade_row(trade: UserTrade, form: Form) -> Body:
    """A fill as userTrades lists it."""
    return {
        "symbol": trade.symbol, "pair": trade.symbol, "id": trade.id, "orderId": trade.order_id,
        "side": word(trade.side), "price": text(trade.price, form.price), "qty": text(trade.qty, form.qty),
        "realizedPnl": text(trade.realised), "quoteQty": text(trade.price * trade.qty // UNIT),
        "baseQty": text(trade.qty, form.qty), "commission": text(trade.fee), "commissionAsset": ASSET,
        "marginAsset": ASSET, "time": trade.time_ns // MILLISECOND_NS, "positionSide": ONE_WAY,
        "maker": trade.maker, "buyer": trade.side > 0,
    }  # fmt: skip


def income_row(income: Income) -> Body:
    return {
        "symbol": income.symbol, "incomeType": income.kind, "income": text(income.amount), "asset": ASSET,
        "info": income.kind, "time": income.time_ns // MILLISECOND_NS, "tranId": income.id,
        "tradeId": str(income.trade_id) if income.trade_id else "",
    }  # fmt: skip


def bracket_row(symbol: str) -> Body:
    """leverageBracket of a symbol; amounts are numbers there."""
    return {
        "symbol": symbol,
        "notionalCoef": 1.0,
        "brackets": [
            {
                "bracket": one.number, "initialLeverage": one.leverage, "notionalCap": one.cap // UNIT,
                "notionalFloor": one.floor // UNIT, "maintMarginRatio": one.rate / UNIT,
                "cum": one.cum / UNIT,
            }
            for one in brackets_of(symbol)
        ],
    }  # fmt: skip


class View(NamedTuple):
    """One symbol of the account at its mark."""

    account: Account
    form: Form
    mark: int
    held: Held

    @property
    def symbol(self) -> str:
        return self.form.symbol


def liquidation_price(view: View, marks: Mapping[str, int]) -> int:
    """Mark at which the account is liquidated if the others stand still, rounded down; 0 for none.

    Source: the exchange's formula for cross margin, (equity of the rest − maintenance of the rest + cum ∓
    cost) over quantity × (rate ∓ 1), with rate and cum of the bracket of today's notional.
    """
    account, held = view.account, view.account.position(view.symbol)
    if not held.qty:
        return 0
    others = [one for one in account.open_positions if one.symbol != view.symbol]
    rest = account.wallet + sum(one.unrealised(marks[one.symbol]) for one in others)
    rest -= sum(maintenance(one.symbol, one.notional(marks[one.symbol])) for one in others)
    bracket = bracket_for(view.symbol, held.notional(view.mark))
    above = (rest + bracket.cum) * UNIT - held.side * held.cost
    below = abs(held.qty) * (bracket.rate - held.side * UNIT)
    return max(0, above * UNIT // below)


def position_v2(view: View, marks: Mapping[str, int]) -> Body:
    account, held, form = view.account, view.account.position(view.symbol), view.form
    entry = text(held.entry_price, 5) if held.qty else "0.0"
    return {
        "symbol": view.symbol, "positionAmt": text(held.qty, form.qty), "entryPrice": entry,
        "breakEvenPrice": entry, "markPrice": text(view.mark),
        "unRealizedProfit": text(held.unrealised(view.mark)),
        "liquidationPrice": text(liquidation_price(view, marks)),
        "leverage": str(account.leverage_of(view.symbol)),
        "maxNotionalValue": str(largest_notional(view.symbol, account.leverage_of(view.symbol)) // UNIT),
        "marginType": "isolated" if is_isolated(account, view.symbol) else "cross",
        "isolatedMargin": "0.00000000", "isAutoAddMargin": "false", "positionSide": ONE_WAY,
        "notional": text(held.qty * view.mark // UNIT), "isolatedWallet": "0",
        "updateTime": held.changed_ns // MILLISECOND_NS, "isolated": is_isolated(account, view.symbol),
        "adlQuantile": 1 if held.qty else 0,
    }  # fmt: skip


def position_v3(view: View, marks: Mapping[str, int]) -> Body:
    held, form = view.account.position(view.symbol), view.form
    entry = text(held.entry_price, 5) if held.qty else "0.0"
    return {
        "symbol": view.symbol, "positionSide": ONE_WAY, "positionAmt": text(held.qty, form.qty),
        "entryPrice": entry, "breakEvenPrice": entry, "markPrice": text(view.mark),
        "unRealizedProfit": text(held.unrealised(view.mark)),
        "liquidationPrice": text(liquidation_price(view, marks)), "isolatedMargin": "0",
        "notional": text(held.qty * view.mark // UNIT), "marginAsset": ASSET, "isolatedWallet": "0",
        "initialMargin": text(view.held.position + view.held.orders),
        "maintMargin": text(_maintenance(view)), "positionInitialMargin": text(view.held.position),
        "openOrderInitialMargin": text(view.held.orders), "adl": 1 if held.qty else 0,
        "bidNotional": text(view.held.bids), "askNotional": text(view.held.asks),
        "updateTime": held.changed_ns // MILLISECOND_NS,
    }  # fmt: skip


def account_position(view: View, version: int) -> Body:
    """A position as /account lists it, version 2 or 3."""
    account, held, form = view.account, view.account.position(view.symbol), view.form
    row = {
        "symbol": view.symbol, "positionSide": ONE_WAY, "positionAmt": text(held.qty, form.qty),
        "unrealizedProfit": text(held.unrealised(view.mark)), "isolatedMargin": "0.00000000",
        "notional": text(held.qty * view.mark // UNIT), "isolatedWallet": "0",
        "initialMargin": text(view.held.position + view.held.orders), "maintMargin": text(_maintenance(view)),
        "updateTime": held.changed_ns // MILLISECOND_NS,
    }  # fmt: skip
    if version > 2:
        return row
    leverage = account.leverage_of(view.symbol)
    return row | {
        "positionInitialMargin": text(view.held.position), "openOrderInitialMargin": text(view.held.orders),
        "leverage": str(leverage), "isolated": is_isolated(account, view.symbol),
        "entryPrice": text(held.entry_price, 5) if held.qty else "0.0",
        "breakEvenPrice": text(held.entry_price, 5) if held.qty else "0.0",
        "maxNotional": str(largest_notional(view.symbol, leverage) // UNIT),
        "bidNotional": text(view.held.bids), "askNotional": text(view.held.asks),
    }  # fmt: skip


def _maintenance(view: View) -> int:
    return maintenance(view.symbol, view.account.position(view.symbol).notional(view.mark))


def is_isolated(account: Account, symbol: str) -> bool:
    return account.margin_types.get(symbol) == "ISOLATED"


def totals(views: list[View], available: int, updated_ms: int) -> Body:
    """The asset of the account (USDT) as /account lists it."""
    account = views[0].account
    profit = sum(account.position(view.symbol).unrealised(view.mark) for view in views)
    positions, orders = sum(view.held.position for view in views), sum(view.held.orders for view in views)
    return {
        "asset": ASSET, "walletBalance": text(account.wallet), "unrealizedProfit": text(profit),
        "marginBalance": text(account.wallet + profit),
        "maintMargin": text(sum(_maintenance(view) for view in views)),
        "initialMargin": text(positions + orders), "positionInitialMargin": text(positions),
        "openOrderInitialMargin": text(orders), "crossWalletBalance": text(account.wallet),
        "crossUnPnl": text(profit), "availableBalance": text(available),
        "maxWithdrawAmount": text(min(available, max(0, account.wallet))), "marginAvailable": True,
        "updateTime": updated_ms,
    }  # fmt: skip


def account_row(views: list[View], available: int, updated_ms: int, version: int) -> Body:
    """/account, version 2 (every symbol, and settings) or 3 (symbols that hold something)."""
    asset = totals(views, available, updated_ms)
    shown = views if version == 2 else [view for view in views if is_in_use(view)]
    rows = {
        "totalInitialMargin": asset["initialMargin"], "totalMaintMargin": asset["maintMargin"],
        "totalWalletBalance": asset["walletBalance"], "totalUnrealizedProfit": asset["unrealizedProfit"],
        "totalMarginBalance": asset["marginBalance"],
        "totalPositionInitialMargin": asset["positionInitialMargin"],
        "totalOpenOrderInitialMargin": asset["openOrderInitialMargin"],
        "totalCrossWalletBalance": asset["crossWalletBalance"], "totalCrossUnPnl": asset["crossUnPnl"],
        "availableBalance": asset["availableBalance"], "maxWithdrawAmount": asset["maxWithdrawAmount"],
        "assets": [asset], "positions": [account_position(view, version) for view in shown],
    }  # fmt: skip
    return rows if version > 2 else {**account_settings(views[0].account), **rows}


def account_settings(account: Account) -> Body:
    """accountConfig, and the head of /account version 2."""
    return {
        "feeTier": 0, "feeBurn": False, "canTrade": True, "canDeposit": True, "canWithdraw": True,
        "dualSidePosition": account.dual_side, "updateTime": 0, "multiAssetsMargin": False,
        "tradeGroupId": -1,
    }  # fmt: skip


def is_in_use(view: View) -> bool:
    """Whether a symbol has a position or open orders: the only ones that version 3 lists."""
    return bool(view.account.position(view.symbol).qty or view.held.bids or view.held.asks)


def balance_row(views: list[View], available: int, updated_ms: int) -> Body:
    asset = totals(views, available, updated_ms)
    return {
        "accountAlias": "local", "asset": ASSET, "balance": asset["walletBalance"],
        "crossWalletBalance": asset["crossWalletBalance"], "crossUnPnl": asset["crossUnPnl"],
        "availableBalance": asset["availableBalance"], "maxWithdrawAmount": asset["maxWithdrawAmount"],
        "marginAvailable": True, "updateTime": updated_ms,
    }  # fmt: skip
