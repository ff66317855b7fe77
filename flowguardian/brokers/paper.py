"""The paper broker: orders match against the tape by the venue's own fill rule.

Rule: fills depend on tape rows alone. An order requested at t matches once, on its symbol's first row at or
after t + modelled latency; what is not filled there expires. There is no key, no network, nothing to sign.
"""

from __future__ import annotations

from collections.abc import Mapping

from flowguardian.execution.events import OrderExpired, OrderFilled, OrderRequested, Purpose, Row
from flowguardian.execution.limits import Costs
from flowguardian.execution.money import fee
from flowguardian.market.instruments import Instrument
from flowguardian.venue.matching import Quote, latency_ns, match_taker


class PaperBroker:
    """Holds the orders on their way and gives the facts of their match."""

    venue_settles = False

    def __init__(self, costs: Costs, seed: int, instruments: Mapping[str, Instrument]) -> None:
        self._costs = costs
        self._seed = seed
        self._instruments = instruments
        self._fills = 0
        self._expired_ns: dict[str, int] = {}
        """Symbol → last row at which an order found too little: a repeated exit waits for the next row."""
        self.working: dict[int, tuple[OrderRequested, int]] = {}
        """Order id → (request, earliest stamp of its match)."""

    def submit(self, order: OrderRequested) -> int:
        """Send an order; returns the earliest stamp at which it can match."""
        costs = self._costs
        due = order.ts_ns
        if self._expired_ns.get(order.symbol) == due:
            due += 1
        if costs.latency_max_ns:
            due += latency_ns(self._seed, order.order_id, costs.latency_min_ns, costs.latency_max_ns)
        self.working[order.order_id] = (order, due)
        return due

    def match(self, order_id: int, ts_ns: int, quote: Quote, level: int = 0, held: int = 0) -> list[Row]:
        """The facts of an order's match at `ts_ns`.

        `level` is the traded-through price of an exit on a path, `held` the quantity an exit can reduce.
        """
        order, _ = self.working.pop(order_id)
        wanted = order.qty if order.purpose is Purpose.ENTRY else min(order.qty, held)
        if level:
            quote = Quote(level, 0, 0, 0, 0)
        parts = match_taker(
            side=order.side,
            qty=wanted,
            limit_price=order.limit_price,
            quote=quote,
            slippage=self._costs.slippage,
            tick=self._instruments[order.symbol].tick_size,
        )
        facts: list[Row] = []
        filled = 0
        for part in parts:
            self._fills += 1
            filled += part.qty
            facts.append(
                OrderFilled(
                    ts_ns=ts_ns,
                    order_id=order_id,
                    fill_id=self._fills,
                    symbol=order.symbol,
                    side=order.side,
                    qty=part.qty,
                    price=part.price,
                    fee=fee(part.price, part.qty, self._costs.taker),
                )
            )
        if filled < order.qty:
            facts.append(OrderExpired(ts_ns, order_id, order.symbol, filled))
            self._expired_ns[order.symbol] = ts_ns
        return facts
