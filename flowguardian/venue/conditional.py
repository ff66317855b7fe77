"""Conditional (algo) orders: they rest beside the book until their trigger price is met.

Rule: pure; a triggered order becomes an order of its own with the same client id, or is rejected and says
why. A stop that closes the whole position takes its quantity when it is triggered. Mark and last price are
one here.
"""

from __future__ import annotations

from flowguardian.venue import orders, user_events
from flowguardian.venue.admission import LIMIT, MARKET, AlgoRequest, OrderRequest
from flowguardian.venue.errors import Refusal
from flowguardian.venue.limits import MOST_OPEN_ALGOS
from flowguardian.venue.orders import AlgoOrder, Order, rises
from flowguardian.venue.refusals import refuse
from flowguardian.venue.trading import Trading

GTE = "GTE_GTC"
"""Good till the position is gone."""


class Conditionals:
    """The conditional orders of the account."""

    def __init__(self, trading: Trading) -> None:
        self._trading, self._state = trading, trading.state
        trading.after_change = self._after_change

    def place(self, request: AlgoRequest, now_ns: int) -> AlgoOrder:
        """Accept a conditional order. Raises Refusal −4116, −4045, −2021, −2022."""
        state, symbol = self._state, request.symbol
        waiting = state.open_algos.get(symbol, {})
        if request.client_id and any(one.client_id == request.client_id for one in waiting.values()):
            raise refuse(-4116)
        if len(waiting) >= MOST_OPEN_ALGOS:
            raise refuse(-4045)
        mark = self._trading.mark(symbol)
        if mark and (mark - request.trigger_price) * rises(request.type, request.side) >= 0:
            raise refuse(-2021)
        number = state.next_algo()
        algo = AlgoOrder(
            number, request.client_id or f"venue_{number}", symbol, request.side, request.type,
            request.time_in_force, request.qty, request.price, request.trigger_price, now_ns, now_ns,
            working_type=request.working_type, reduce_only=request.reduce_only,
            close_position=request.close_position, price_protect=request.price_protect,
            stp_mode=request.stp_mode, good_till_ms=request.good_till_ms,
            hidden_until_ns=now_ns + self._trading.hide_ns if self._trading.hide_ns else 0,
        )  # fmt: skip
        state.changed(algo)
        self._tell(algo, now_ns)
        return algo

    def cancel(self, algo_id: int, client_id: str, now_ns: int) -> AlgoOrder:
        """Cancel a waiting order. Raises Refusal −2011."""
        algo = self._state.find_algo(algo_id, client_id)
        if algo is None or algo.status != orders.NEW:
            raise refuse(-2011)
        self.end(algo, orders.CANCELED, now_ns)
        return algo

    def cancel_all(self, symbol: str, now_ns: int) -> None:
        for algo in self._state.open_conditionals(symbol):
            self.end(algo, orders.CANCELED, now_ns)

    def end(self, algo: AlgoOrder, status: str, at_ns: int, *, silent: bool = False) -> None:
        """End a waiting order; silently it is told to nobody (a fault)."""
        algo.move(status, at_ns)
        self._state.changed(algo)
        if not silent:
            self._tell(algo, at_ns)

    # ---- the market moves

    def priced(self, symbol: str, price: int, at_ns: int) -> None:
        """A trade: waiting orders whose trigger it meets are triggered, oldest first."""
        if symbol not in self._state.open_algos:
            return
        for algo in self._state.open_conditionals(symbol):
            if algo.status == orders.NEW and algo.is_met(price):
                self.trigger(algo, at_ns)

    def time(self, at_ms: int, at_ns: int) -> None:
        """Waiting orders whose last moment has passed end."""
        for algo in self._state.open_conditionals():
            if algo.good_till_ms and algo.good_till_ms <= at_ms:
                self.end(algo, orders.EXPIRED, at_ns)

    def trigger(self, algo: AlgoOrder, at_ns: int) -> None:
        """A waiting order becomes an order of its own, or is rejected."""
        algo.triggered_ns = at_ns
        algo.move(orders.TRIGGERING, at_ns)
        self._state.changed(algo)
        self._tell(algo, at_ns)
        held = self._trading.state.account.position(algo.symbol).qty
        is_market = algo.type.endswith("_MARKET")
        request = OrderRequest(
            algo.symbol, algo.side, MARKET if is_market else LIMIT,
            "GTC" if algo.time_in_force == GTE else algo.time_in_force,
            abs(held) if algo.close_position else algo.qty, algo.price, algo.client_id, algo.reduce_only,
            algo.stp_mode, algo.good_till_ms, wants_result=False,
        )  # fmt: skip
        try:
            self._trading.check(request)
        except Refusal as refusal:
            algo.reject_text = refusal.text
            algo.move(orders.REJECTED, at_ns)
            self._state.changed(algo)
            self._tell(algo, at_ns)
            return
        algo.order_id = self._state.counters.order + 1
        algo.move(orders.TRIGGERED, at_ns)
        self._state.changed(algo)
        self._tell(algo, at_ns)
        self._trading.enter(
            request, at_ns, original_type=algo.type, stop_price=algo.trigger_price, algo_id=algo.id,
            close_position=algo.close_position, working_type=algo.working_type,
            price_protect=algo.price_protect,
        )  # fmt: skip

    def _after_change(self, order: Order, at_ns: int) -> None:
        """An order filled or ended: the one it came from finishes, those that live with the position end."""
        algo = self._state.algos.get(order.algo_id)
        if algo is not None and algo.status == orders.TRIGGERED and order.status not in orders.OPEN:
            algo.move(orders.FINISHED, at_ns)
            self._state.changed(algo)
            self._tell(algo, at_ns)
        if order.filled and not self._state.account.position(order.symbol).qty:
            for waiting in self._state.open_conditionals(order.symbol):
                if waiting.time_in_force == GTE:
                    self.end(waiting, orders.EXPIRED, at_ns)

    def _tell(self, algo: AlgoOrder, at_ns: int) -> None:
        order = self._state.orders.get(algo.order_id)
        payload = user_events.algo_update(algo, self._trading.form(algo.symbol), order, at_ns)
        self._trading.tell(f"{user_events.ALGO}@{algo.status}", payload)
