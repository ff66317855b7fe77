"""The signed half of the REST interface: which route there is, what it weighs, and what faults do to it.

Rule: routes are a literal table; a request is checked (key, time, signature), counted, and then handled once,
at the market time at which it came. A fault may keep the answer back, never change what was done.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from flowguardian.venue import errors
from flowguardian.venue.admission import Params
from flowguardian.venue.desk import Desk
from flowguardian.venue.errors import Refusal
from flowguardian.venue.limits import OrderRate
from flowguardian.venue.private_account import PrivateAccount
from flowguardian.venue.private_orders import PrivateOrders
from flowguardian.venue.refusals import refuse
from flowguardian.venue.shapes import MILLISECOND_NS
from flowguardian.venue.signing import asked, check_key, check_signed
from flowguardian.venue.trading_faults import VARIANTS, Fate


class Route(NamedTuple):
    """Who answers, request weight (with and without a symbol), orders counted, and whether it is signed."""

    answer: Callable[[Private, Params], Any]
    weight: int
    without_symbol: int = 0
    orders: int = 0
    signed: bool = True


class Reply(NamedTuple):
    """What goes back, and how: `kept_seconds` is host time; a dropped reply ends the connection."""

    status: int
    body: Any
    headers: dict[str, str]
    kept_seconds: float = 0.0
    dropped: bool = False


class Private:
    """Handles requests of the account."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.orders = PrivateOrders(desk)
        self.account = PrivateAccount(desk, self.orders)
        self._rate = OrderRate()
        self._changing = 0

    def weight(self, method: str, path: str, params: Params) -> int:
        """Request weight. Raises Refusal for a path that is none."""
        route = PRIVATE.get((method, path))
        if route is None:
            raise errors.unknown_path(path, method)
        return route.weight if params.get("symbol") or not route.without_symbol else route.without_symbol

    def handle(self, method: str, path: str, query: str, body: str, key: str, now_ms: int) -> Reply:
        """The reply to a request; `now_ms` is the server time as its clients are told it. Raises Refusal."""
        desk, route = self.desk, PRIVATE[method, path]
        request = asked(query, body)
        check_key(key, desk.keys)
        if route.signed:
            check_signed(request, desk.keys, now_ms)
        market_ms = desk.now_ns // MILLISECOND_NS
        if route.orders:
            self._rate.charge(route.orders, market_ms)
        headers = self._rate.headers(market_ms) if route.orders else {}
        self._changing += method != "GET"
        reduces = request.params.get("reduceOnly") == "true" or request.params.get("closePosition") == "true"
        fate = desk.faults.fate(method, path, desk.now_ns, self._changing, reduces=reduces)
        status, answer = 0, None
        if fate is None or fate.executed:
            status, answer = self._answer(route, method, path, request.params)
        return _told(fate, status, answer, headers)

    def _answer(self, route: Route, method: str, path: str, params: Params) -> tuple[int, Any]:
        """Do what is asked; what it changed is in the log and told when this returns."""
        desk = self.desk
        desk.begin()
        try:
            refusal = desk.faults.refusal(method, path, desk.now_ns, self._changing)
            if refusal is not None:
                raise refusal
            return 200, route.answer(self, params)
        except Refusal as refusal:
            return refusal.status, {"code": refusal.code, "msg": refusal.text}
        finally:
            desk.commit()


def _told(fate: Fate | None, status: int, answer: Any, headers: dict[str, str]) -> Reply:
    if fate is None:
        return Reply(status, answer, headers)
    if fate.variant == "dropped":
        return Reply(0, b"", headers, dropped=True)
    if fate.variant == "late" and fate.executed:
        return Reply(status, answer, headers, kept_seconds=fate.seconds)
    variant = VARIANTS[fate.variant]
    if variant.code:
        refusal = refuse(variant.code)
        return Reply(variant.status, {"code": refusal.code, "msg": refusal.text}, headers)
    return Reply(variant.status, variant.body, headers, kept_seconds=fate.seconds)


PRIVATE: Mapping[tuple[str, str], Route] = {
    ("POST", "/fapi/v1/order"): Route(lambda p, q: p.orders.place(q), 0, orders=1),
    ("POST", "/fapi/v1/order/test"): Route(lambda p, q: p.orders.test(q), 0),
    ("PUT", "/fapi/v1/order"): Route(lambda p, q: p.orders.amend(q), 0, orders=1),
    ("DELETE", "/fapi/v1/order"): Route(lambda p, q: p.orders.cancel(q), 1),
    ("GET", "/fapi/v1/order"): Route(lambda p, q: p.orders.query(q), 1),
    ("GET", "/fapi/v1/openOrder"): Route(lambda p, q: p.orders.query_open(q), 1),
    ("GET", "/fapi/v1/openOrders"): Route(lambda p, q: p.orders.open(q), 1, 40),
    ("GET", "/fapi/v1/allOrders"): Route(lambda p, q: p.orders.every(q), 5),
    ("DELETE", "/fapi/v1/allOpenOrders"): Route(lambda p, q: p.orders.cancel_all(q), 1),
    ("POST", "/fapi/v1/countdownCancelAll"): Route(lambda p, q: p.orders.countdown(q), 10),
    ("GET", "/fapi/v1/forceOrders"): Route(lambda p, q: p.orders.forced(q), 20, 50),
    ("GET", "/fapi/v1/adlQuantile"): Route(lambda p, q: p.account.quantiles(q), 5),
    ("POST", "/fapi/v1/batchOrders"): Route(lambda p, q: p.orders.place_many(q), 5, orders=5),
    ("PUT", "/fapi/v1/batchOrders"): Route(lambda p, q: p.orders.amend_many(q), 5, orders=5),
    ("DELETE", "/fapi/v1/batchOrders"): Route(lambda p, q: p.orders.cancel_many(q), 1),
    ("POST", "/fapi/v1/algoOrder"): Route(lambda p, q: p.orders.place_algo(q), 0, orders=1),
    ("DELETE", "/fapi/v1/algoOrder"): Route(lambda p, q: p.orders.cancel_algo(q), 1),
    ("GET", "/fapi/v1/algoOrder"): Route(lambda p, q: p.orders.query_algo(q), 1),
    ("GET", "/fapi/v1/openAlgoOrders"): Route(lambda p, q: p.orders.open_algos(q), 1, 40),
    ("GET", "/fapi/v1/allAlgoOrders"): Route(lambda p, q: p.orders.every_algo(q), 5),
    ("DELETE", "/fapi/v1/algoOpenOrders"): Route(lambda p, q: p.orders.cancel_algos(q), 1),
    ("GET", "/fapi/v2/account"): Route(lambda p, q: p.account.account_v2(q), 5),
    ("GET", "/fapi/v3/account"): Route(lambda p, q: p.account.account_v3(q), 5),
    ("GET", "/fapi/v2/balance"): Route(lambda p, q: p.account.balance(q), 5),
    ("GET", "/fapi/v3/balance"): Route(lambda p, q: p.account.balance(q), 5),
    ("GET", "/fapi/v2/positionRisk"): Route(lambda p, q: p.account.positions_v2(q), 5),
    ("GET", "/fapi/v3/positionRisk"): Route(lambda p, q: p.account.positions_v3(q), 5),
    ("GET", "/fapi/v1/userTrades"): Route(lambda p, q: p.account.trades(q), 5),
    ("GET", "/fapi/v1/income"): Route(lambda p, q: p.account.income(q), 30),
    ("GET", "/fapi/v1/commissionRate"): Route(lambda p, q: p.account.commission(q), 20),
    ("GET", "/fapi/v1/leverageBracket"): Route(lambda p, q: p.account.brackets(q), 1),
    ("POST", "/fapi/v1/leverage"): Route(lambda p, q: p.account.set_leverage(q), 1),
    ("POST", "/fapi/v1/marginType"): Route(lambda p, q: p.account.set_margin_type(q), 1),
    ("GET", "/fapi/v1/positionSide/dual"): Route(lambda p, q: p.account.position_mode(q), 30),
    ("POST", "/fapi/v1/positionSide/dual"): Route(lambda p, q: p.account.set_position_mode(q), 1),
    ("GET", "/fapi/v1/multiAssetsMargin"): Route(lambda p, q: p.account.multi_assets(q), 30),
    ("GET", "/fapi/v1/feeBurn"): Route(lambda p, q: p.account.fee_burn(q), 1),
    ("GET", "/fapi/v1/accountConfig"): Route(lambda p, q: p.account.config(q), 5),
    ("GET", "/fapi/v1/symbolConfig"): Route(lambda p, q: p.account.symbol_config(q), 5),
    ("GET", "/fapi/v1/rateLimit/order"): Route(lambda p, q: p.account.order_limits(q), 1),
    ("POST", "/fapi/v1/listenKey"): Route(lambda p, q: p.account.make_key(q), 1, signed=False),
    ("PUT", "/fapi/v1/listenKey"): Route(lambda p, q: p.account.keep_key(q), 1, signed=False),
    ("DELETE", "/fapi/v1/listenKey"): Route(lambda p, q: p.account.drop_key(q), 1, signed=False),
}
"""Every route of the account; weights as the exchange documents them."""
