"""The account routes: balances, positions, fills, income, settings, and the key of the user stream.

Rule: an answer is a function of the account and its marks; a setting that is as asked already is refused with
its code, as the exchange does.
"""

from __future__ import annotations

from typing import Any

from flowguardian.venue import errors, margin, user_events
from flowguardian.venue.admission import Params, flag, needed
from flowguardian.venue.brackets import UNIT as ONE
from flowguardian.venue.brackets import highest_leverage, largest_notional
from flowguardian.venue.desk import Desk
from flowguardian.venue.limits import ORDER_LIMITS
from flowguardian.venue.private_orders import PrivateOrders, span, within_a_week
from flowguardian.venue.private_shapes import (
    View,
    account_row,
    account_settings,
    balance_row,
    bracket_row,
    income_row,
    is_in_use,
    is_isolated,
    position_v2,
    position_v3,
    trade_row,
)
from flowguardian.venue.refusals import refuse
from flowguardian.venue.rest import number
from flowguardian.venue.shapes import MILLISECOND_NS, text

_SUCCESS = {"code": 200, "msg": "success"}
_QUANTILE = 2
_MARGIN_TYPES = ("ISOLATED", "CROSSED")


class PrivateAccount:
    """Answers about the account."""

    def __init__(self, desk: Desk, orders: PrivateOrders) -> None:
        self._desk, self._orders = desk, orders

    def _views(self, symbol: str = "") -> list[View]:
        desk = self._desk
        account, marks = desk.state.account, desk.trading.marks()
        names = [symbol] if symbol else list(desk.market.symbols)
        held = {name: margin.held(account, desk.state.open, name, marks[name]) for name in names}
        return [View(account, desk.trading.form(name), marks[name], held[name]) for name in names]

    def _available(self) -> int:
        desk = self._desk
        return margin.available(desk.state.account, desk.state.open, desk.trading.marks())

    @property
    def _updated_ms(self) -> int:
        return self._desk.state.account.changed_ns // MILLISECOND_NS

    # ---- money

    def account_v2(self, params: Params) -> Any:
        return account_row(self._views(), self._available(), self._updated_ms, 2)

    def account_v3(self, params: Params) -> Any:
        return account_row(self._views(), self._available(), self._updated_ms, 3)

    def balance(self, params: Params) -> Any:
        return [balance_row(self._views(), self._available(), self._updated_ms)]

    def positions_v2(self, params: Params) -> Any:
        views = self._views(self._orders.symbol(params, optional=True))
        return [position_v2(view, self._desk.trading.marks()) for view in views]

    def positions_v3(self, params: Params) -> Any:
        views = self._views(self._orders.symbol(params, optional=True))
        return [position_v3(view, self._desk.trading.marks()) for view in views if is_in_use(view)]

    def trades(self, params: Params) -> Any:
        symbol, order_id = self._orders.symbol(params), number(params, "orderId")
        found = [
            one
            for one in self._desk.state.trades.values()
            if one.symbol == symbol and order_id in (None, one.order_id)
        ]
        if "fromId" in params and {"startTime", "endTime"} & set(params):
            raise refuse(-1128)
        since_ms = 0 if "fromId" in params else within_a_week(params, self._desk.now_ns)
        listed = span(params, found, "fromId", lambda one: one.time_ns, since_ms)
        form = self._desk.trading.form(symbol)
        return [trade_row(one, form) for one in listed]

    def income(self, params: Params) -> Any:
        symbol, kind = self._orders.symbol(params, optional=True), params.get("incomeType", "")
        found = [
            one
            for one in self._desk.state.incomes.values()
            if symbol in ("", one.symbol) and kind in ("", one.kind)
        ]
        kept = span({"limit": "100", **params}, found, "tranId", lambda one: one.time_ns)
        return [income_row(one) for one in kept]

    def commission(self, params: Params) -> Any:
        fees = self._desk.trading.fees
        return {
            "symbol": self._orders.symbol(params),
            "makerCommissionRate": text(fees.maker, 6),
            "takerCommissionRate": text(fees.taker, 6),
            "rpiCommissionRate": "0.000000",
        }

    def brackets(self, params: Params) -> Any:
        symbol = self._orders.symbol(params, optional=True)
        return [bracket_row(name) for name in ([symbol] if symbol else self._desk.market.symbols)]

    def quantiles(self, params: Params) -> Any:
        """Places in the queue for ADL, 0 to 4: here a position is always in the middle of it."""
        symbol, account = self._orders.symbol(params, optional=True), self._desk.state.account
        names = [one.symbol for one in account.open_positions if symbol in ("", one.symbol)]
        return [{"symbol": name, "adlQuantile": {"BOTH": _QUANTILE}} for name in names]

    # ---- settings

    def set_leverage(self, params: Params) -> Any:
        symbol, leverage = self._orders.symbol(params), number(params, "leverage")
        if leverage is None:
            raise errors.missing("leverage")
        if not 1 <= leverage <= highest_leverage(symbol):
            raise refuse(-4028, leverage)
        account, mark = self._desk.state.account, self._desk.trading.mark(symbol)
        if account.position(symbol).notional(mark) > largest_notional(symbol, leverage):
            raise refuse(-2027)
        account.leverage[symbol] = leverage
        self._desk.state.changed(account)
        payload = user_events.leverage_changed(symbol, leverage, self._desk.now_ns)
        self._desk.trading.tell(user_events.CONFIG, payload)
        largest = largest_notional(symbol, leverage) // ONE
        return {"symbol": symbol, "leverage": leverage, "maxNotionalValue": str(largest)}

    def set_margin_type(self, params: Params) -> Any:
        symbol, asked = self._orders.symbol(params), needed(params, "marginType").upper()
        if asked not in _MARGIN_TYPES:
            raise errors.invalid("marginType")
        state = self._desk.state
        if state.account.margin_types.get(symbol, "CROSSED") == asked:
            raise refuse(-4046)
        if state.open.get(symbol) or state.open_algos.get(symbol):
            raise refuse(-4047)
        if state.account.position(symbol).qty:
            raise refuse(-4048)
        state.account.margin_types[symbol] = asked
        state.changed(state.account)
        return _SUCCESS

    def position_mode(self, params: Params) -> Any:
        return {"dualSidePosition": self._desk.state.account.dual_side}

    def set_position_mode(self, params: Params) -> Any:
        needed(params, "dualSidePosition")
        asked, state = flag(params, "dualSidePosition"), self._desk.state
        if state.account.dual_side == asked:
            raise refuse(-4059)
        if state.open or state.open_algos:
            raise refuse(-4067)
        if state.account.open_positions:
            raise refuse(-4068)
        state.account.dual_side = asked
        state.changed(state.account)
        return _SUCCESS

    def multi_assets(self, params: Params) -> Any:
        return {"multiAssetsMargin": False}

    def fee_burn(self, params: Params) -> Any:
        return {"feeBurn": False}

    def config(self, params: Params) -> Any:
        return account_settings(self._desk.state.account)

    def symbol_config(self, params: Params) -> Any:
        account = self._desk.state.account
        symbol = self._orders.symbol(params, optional=True)
        return [
            {
                "symbol": name,
                "marginType": "ISOLATED" if is_isolated(account, name) else "CROSSED",
                "isAutoAddMargin": False,
                "leverage": account.leverage_of(name),
                "maxNotionalValue": str(largest_notional(name, account.leverage_of(name)) // ONE),
            }
            for name in ([symbol] if symbol else self._desk.market.symbols)
        ]

    def order_limits(self, params: Params) -> Any:
        words = {"10S": ("SECOND", 10), "1M": ("MINUTE", 1)}
        return [
            {
                "rateLimitType": "ORDERS",
                "interval": words[name][0],
                "intervalNum": words[name][1],
                "limit": limit,
            }
            for name, (_, limit, _) in ORDER_LIMITS.items()
        ]

    # ---- user stream

    def make_key(self, params: Params) -> Any:
        return {"listenKey": self._desk.make_key()}

    def keep_key(self, params: Params) -> Any:
        return {"listenKey": self._desk.keep_key()}

    def drop_key(self, params: Params) -> Any:
        self._desk.drop_key()
        return {}
