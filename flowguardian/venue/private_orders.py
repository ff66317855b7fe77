"""The order routes: place, amend, cancel, ask; also in batches and for conditional orders.

Rule: an answer is a function of the account and the request; a refusal changes nothing. What a fault hides
from queries is still there for everything else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from flowguardian.venue import errors, orders
from flowguardian.venue.admission import (
    Params,
    algo_request,
    amount,
    check_notional,
    flag,
    needed,
    order_request,
    side_of,
)
from flowguardian.venue.desk import Desk
from flowguardian.venue.errors import Refusal
from flowguardian.venue.orders import AlgoOrder, Order
from flowguardian.venue.private_shapes import Body, algo_row, order_row
from flowguardian.venue.refusals import refuse
from flowguardian.venue.rest import number, ranged
from flowguardian.venue.shapes import MILLISECOND_NS
from flowguardian.venue.state import Countdown

_DONE = {"code": 200, "msg": "The operation of cancel all open order is done."}
_FORCED = {"LIQUIDATION": "autoclose-", "ADL": "adl_autoclose"}
"""autoCloseType and how the client ids of such orders begin."""
_MOST_IN_BATCH = 5
_MOST_CANCELLED = 10
_NO_END = 1 << 62
_WEEK_MS = 7 * 86_400_000


class PrivateOrders:
    """Answers about orders."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._races = 0

    # ---- looking up

    def symbol(self, params: Params, *, optional: bool = False) -> str:
        """A symbol that is traded here; empty where none was sent and none is needed. Raises Refusal."""
        name = params.get("symbol", "") if optional else needed(params, "symbol")
        if name and name not in self._desk.market.index:
            raise errors.invalid_symbol()
        return name

    def _tradable(self, params: Params) -> str:
        """Raises Refusal −4141 for a contract that has ended."""
        name = self.symbol(params)
        if self._desk.faults.is_delisted(name, self._desk.now_ns):
            raise refuse(-4141)
        return name

    def _id(self, params: Params, own: str = "orderId", theirs: str = "origClientOrderId") -> tuple[int, str]:
        """The id of an order, the venue's or the client's. Raises Refusal −1102 without either."""
        found, word = number(params, own), params.get(theirs, "")
        if not found and not word:
            raise Refusal(400, -1102, f"Param '{theirs}' or '{own}' must be sent, but both were empty/null!")
        return found or 0, word

    def _is_seen(self, algo: AlgoOrder) -> bool:
        return algo.hidden_until_ns <= self._desk.now_ns

    def _row(self, order: Order) -> Body:
        return order_row(order, self._desk.trading.form(order.symbol))

    def _algo_row(self, algo: AlgoOrder) -> Body:
        state = self._desk.state
        return algo_row(algo, self._desk.trading.form(algo.symbol), state.orders.get(algo.order_id))

    # ---- orders

    def place(self, params: Params) -> Any:
        request = self._request(params)
        if request.reduce_only:
            self._race_stops("POST /fapi/v1/order", self._desk.state.open_conditionals(request.symbol))
        placed = self._desk.trading.place(request, self._desk.now_ns)
        return self._row(placed.order if request.wants_result else placed.accepted)

    def _request(self, params: Params) -> Any:
        market = self._desk.market
        instrument = market.instruments[market.index[self._tradable(params)]]
        now_ms = market.now_ns // MILLISECOND_NS
        return order_request(params, instrument, dual_side=self._desk.state.account.dual_side, now_ms=now_ms)

    def test(self, params: Params) -> Any:
        """The checks of an order, and nothing else."""
        self._desk.trading.check(self._request(params))
        return {}

    def amend(self, params: Params) -> Any:
        symbol, (order_id, word) = self._tradable(params), self._id(params)
        side, qty, price = side_of(params), amount(params, "quantity"), amount(params, "price")
        if qty is None:
            raise errors.missing("quantity")
        if price is None:
            raise errors.missing("price")
        reduces, modify_id = flag(params, "reduceOnly"), number(params, "modifyId")
        self._race(symbol, order_id, word)
        order = self._desk.trading.amend(
            symbol, order_id, word, side=side, qty=qty, price=price, reduces=reduces, now_ns=self._desk.now_ns
        )
        return self._row(order) if modify_id is None else {**self._row(order), "modifyId": modify_id}

    def cancel(self, params: Params) -> Any:
        symbol, (order_id, word) = self.symbol(params), self._id(params)
        self._race(symbol, order_id, word)
        return self._row(self._desk.trading.cancel(symbol, order_id, word, self._desk.now_ns))

    def _race(self, symbol: str, order_id: int, word: str) -> None:
        """A fault: the order fills while the request is under way."""
        order = self._desk.state.find(symbol, order_id, word)
        if order is None or order.status not in orders.OPEN:
            return
        self._races += 1
        fault = self._desk.faults.race(self._desk.now_ns, self._races)
        if fault is not None:
            self._desk.forced.fill_resting(order, fault.share, self._desk.now_ns)

    def _race_stops(self, request: str, waiting: Iterable[AlgoOrder]) -> None:
        """A fault: conditional orders are triggered while the request is under way."""
        for algo in waiting:
            self._races += 1
            hit = self._desk.faults.races_stop(request, algo.symbol, self._desk.now_ns, self._races)
            if hit and algo.status == orders.NEW:
                self._desk.conditionals.trigger(algo, self._desk.now_ns)

    def cancel_all(self, params: Params) -> Any:
        self._desk.trading.cancel_all(self.symbol(params), self._desk.now_ns)
        return _DONE

    def countdown(self, params: Params) -> Any:
        symbol, asked_ms = self.symbol(params), number(params, "countdownTime")
        if asked_ms is None:
            raise errors.missing("countdownTime")
        due_ns = self._desk.now_ns + asked_ms * MILLISECOND_NS if asked_ms else 0
        self._desk.state.changed(Countdown(symbol, due_ns, asked_ms))
        return {"symbol": symbol, "countdownTime": str(asked_ms)}

    def query(self, params: Params) -> Any:
        symbol, (order_id, word) = self.symbol(params), self._id(params)
        order = self._shown(self._desk.state.find(symbol, order_id, word))
        if order is None:
            raise refuse(-2013)
        return self._row(order)

    def query_open(self, params: Params) -> Any:
        symbol, (order_id, word) = self.symbol(params), self._id(params)
        order = self._shown(self._desk.state.find(symbol, order_id, word))
        if order is None or order.status not in orders.OPEN:
            raise refuse(-2013)
        return self._row(order)

    def _shown(self, order: Order | None) -> Order | None:
        return None if order is None else self._desk.trading.shown(order, self._desk.now_ns)

    def open(self, params: Params) -> Any:
        symbol, state = self.symbol(params, optional=True), self._desk.state
        stale = [one.order for one in self._desk.trading.stale.values() if symbol in ("", one.order.symbol)]
        numbers = {order.id for order in (*state.open_orders(symbol), *stale)}
        found = [self._shown(state.orders[number]) for number in sorted(numbers)]
        return [self._row(order) for order in found if order is not None and order.status in orders.OPEN]

    def every(self, params: Params) -> Any:
        symbol = self.symbol(params)
        of_symbol = [self._shown(one) for one in self._desk.state.orders.values() if one.symbol == symbol]
        found = [order for order in of_symbol if order is not None]
        since_ms = within_a_week(params, self._desk.now_ns)
        listed = span(params, found, "orderId", lambda one: one.created_ns, since_ms)
        return [self._row(order) for order in listed]

    def forced(self, params: Params) -> Any:
        """Orders that the venue made to liquidate or deleverage the account, latest last."""
        symbol, kind = self.symbol(params, optional=True), params.get("autoCloseType", "")
        if kind and kind not in _FORCED:
            raise errors.invalid("autoCloseType")
        starts = (_FORCED[kind],) if kind else tuple(_FORCED.values())
        found = [
            order
            for order in self._desk.state.orders.values()
            if order.client_id.startswith(starts) and symbol in ("", order.symbol)
        ]
        listed = span({"limit": "50", **params}, found, "orderId", lambda one: one.created_ns)
        return [self._row(order) for order in listed]

    # ---- batches

    def place_many(self, params: Params) -> Any:
        return [self._one(self.place, entry) for entry in _batch(params)]

    def amend_many(self, params: Params) -> Any:
        return [self._one(self.amend, entry) for entry in _batch(params)]

    def cancel_many(self, params: Params) -> Any:
        symbol = self.symbol(params)
        # Clients write these two names in lower case too, and the exchange takes them.
        sent = {name.lower(): value for name, value in params.items()}
        entries = [{"symbol": symbol, "orderId": str(one)} for one in _list(sent, "orderidlist")]
        words = _list(sent, "origclientorderidlist")
        entries += [{"symbol": symbol, "origClientOrderId": str(one)} for one in words]
        if not 1 <= len(entries) <= _MOST_CANCELLED:
            raise errors.invalid("orderIdList")
        return [self._one(self.cancel, entry) for entry in entries]

    def _one(self, work: Callable[[Params], Any], entry: Params) -> Any:
        """One of a batch: its refusal is its answer."""
        try:
            return work(entry)
        except Refusal as refusal:
            return {"code": refusal.code, "msg": refusal.text}

    # ---- conditional orders

    def place_algo(self, params: Params) -> Any:
        market = self._desk.market
        instrument = market.instruments[market.index[self._tradable(params)]]
        request = algo_request(
            params, instrument, dual_side=self._desk.state.account.dual_side,
            now_ms=market.now_ns // MILLISECOND_NS,
        )  # fmt: skip
        if request.qty and not request.reduce_only:
            check_notional(request.qty, request.price or request.trigger_price, instrument)
        return self._algo_row(self._desk.conditionals.place(request, self._desk.now_ns))

    def cancel_algo(self, params: Params) -> Any:
        algo_id, word = self._id(params, "algoId", "clientAlgoId")
        if (raced := self._desk.state.find_algo(algo_id, word)) is not None:
            self._race_stops("DELETE /fapi/v1/algoOrder", [raced])
        algo = self._desk.conditionals.cancel(algo_id, word, self._desk.now_ns)
        return {"algoId": algo.id, "clientAlgoId": algo.client_id, "code": "200", "msg": "success"}

    def cancel_algos(self, params: Params) -> Any:
        self._desk.conditionals.cancel_all(self.symbol(params), self._desk.now_ns)
        return _DONE

    def query_algo(self, params: Params) -> Any:
        algo = self._desk.state.find_algo(*self._id(params, "algoId", "clientAlgoId"))
        if algo is None or not self._is_seen(algo):
            raise refuse(-2013)
        return self._algo_row(algo)

    def open_algos(self, params: Params) -> Any:
        found = self._desk.state.open_conditionals(self.symbol(params, optional=True))
        return [self._algo_row(algo) for algo in found if self._is_seen(algo)]

    def every_algo(self, params: Params) -> Any:
        symbol = self.symbol(params)
        found = [
            one for one in self._desk.state.algos.values() if one.symbol == symbol and self._is_seen(one)
        ]
        return [self._algo_row(algo) for algo in span(params, found, "algoId", lambda one: one.created_ns)]


def within_a_week(params: Params, now_ns: int) -> int:
    """The first moment to list, ms: seven days ago where no times are sent. Raises Refusal −4165 for more."""
    start, end = number(params, "startTime"), number(params, "endTime")
    if start is not None and end is not None and end - start > _WEEK_MS:
        raise refuse(-4165)
    return max(0, now_ns // MILLISECOND_NS - _WEEK_MS) if start is None and end is None else 0


def span(
    params: Params, found: Iterable[Any], id_name: str, when: Callable[[Any], int], since_ms: int = 0
) -> list[Any]:
    """Records from an id on or within times, at most `limit` of them. Raises Refusal.

    The first ones after an id or a start, else the last ones.
    """
    first, start, end = (number(params, name) for name in (id_name, "startTime", "endTime"))
    if start is not None and end is not None and start > end:
        raise errors.start_after_end()
    limit = ranged(params, "limit", 500, 1000)
    kept = [
        one
        for one in found
        if (first is None or one.id >= first)
        and max(since_ms, start or 0) <= when(one) // MILLISECOND_NS <= (_NO_END if end is None else end)
    ]
    return kept[:limit] if first is not None or start is not None else kept[max(0, len(kept) - limit) :]


def _batch(params: Params) -> list[dict[str, str]]:
    """The orders of a batch, each with its parameters as texts. Raises Refusal."""
    entries = _list(params, "batchOrders")
    if not 1 <= len(entries) <= _MOST_IN_BATCH or not all(isinstance(one, dict) for one in entries):
        raise errors.invalid("batchOrders")
    return [{name: _text(value) for name, value in one.items()} for one in entries]


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _list(params: Params, name: str) -> list[Any]:
    said = params.get(name, "")
    if not said:
        return []
    try:
        found = msgspec.json.decode(said)
    except (msgspec.DecodeError, RecursionError) as error:
        raise errors.invalid(name) from error
    if not isinstance(found, list):
        raise errors.invalid(name)
    return found
