"""What the venue has said about one order of ours, and what of it is proved.

Rule: pure. A fill reaches the books when all that the venue says was filled is known with its fee, in the
order of trade ids; an order ends when the venue says so, or when its absence is proved; silence proves
nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from flowguardian.execution.events import (
    OrderExpired,
    OrderFilled,
    OrderRejected,
    OrderRequested,
    OrderUnknown,
    OrderUnsent,
    Row,
)

FINAL = frozenset({"FILLED", "CANCELED", "EXPIRED", "EXPIRED_IN_MATCH", "REJECTED"})
"""Order statuses of Binance USD-M after which nothing more happens (API documentation, common definition)."""
NEVER_ARRIVED = -2013
"""The venue's code for an order that does not exist."""


class Fill(NamedTuple):
    """One trade of an order; amounts in units of 1e-8."""

    trade_id: int
    qty: int
    price: int
    fee: int
    foreign_asset: str = ""
    """What the fee was paid in where that is not the money of the books; `fee` is 0 then."""


class Report(NamedTuple):
    """How the venue says an order stands; `executed` is its cumulative filled quantity."""

    status: str
    executed: int
    venue_id: int


class Tracked:
    """One order from its request to its proved end."""

    def __init__(
        self, order: OrderRequested, client_id: str, landed: int = 0, *, is_unknown: bool = False
    ) -> None:
        """`landed` and `is_unknown`: what the books say already of an order of an earlier process."""
        self.order, self.client_id = order, client_id
        self.venue_id = 0
        self.sent_ns = 0
        """Run clock at the end of the last attempt to send it; 0 = not sent."""
        self.over = False
        """Nothing more can happen to it, and everything is in the books."""
        self._status = ""
        self._executed = landed
        self._waiting: dict[int, Fill] = {}
        """Fills that are not in the books, by the cumulative quantity before them."""
        self._landed = landed
        self._ended: Row | None = None
        self._is_unknown = self._told_unknown = is_unknown

    @property
    def is_final(self) -> bool:
        """Whether the venue said that nothing more happens."""
        return self._status in FINAL

    @property
    def lacks_fills(self) -> bool:
        """Whether the venue filled more than is in the books."""
        return self._landed < self._executed

    @property
    def is_refused(self) -> bool:
        """Whether it ended without ever having been at the venue."""
        return self._ended is not None and not self.was_seen

    @property
    def came_short(self) -> bool:
        """Whether it is over and not all of it was filled."""
        return self.over and self._landed < self.order.qty

    @property
    def was_seen(self) -> bool:
        """Whether the venue ever spoke of it."""
        return bool(self._status or self._executed)

    # ---- evidence

    def reported(self, report: Report) -> None:
        """A reply, an answer or an event; older ones than what is known change nothing."""
        self.venue_id = report.venue_id or self.venue_id
        self._executed = max(self._executed, report.executed)
        if not self.is_final:
            self._status = report.status

    def traded(self, fill: Fill, executed: int) -> None:
        """One trade of it; `executed` is the order's cumulative filled quantity after it."""
        before = executed - fill.qty
        if before >= self._landed:
            self._waiting[before] = fill
        self._executed = max(self._executed, executed)

    def listed(self, fills: Iterable[Fill]) -> None:
        """All trades of it until now, as the venue lists them."""
        executed = 0
        for fill in sorted(fills, key=lambda one: one.trade_id):
            executed += fill.qty
            self.traded(fill, executed)

    def refused(self, code: int, message: str) -> None:
        """The venue answered that it did not take it, or it never left this host."""
        self._ended = self._ended or OrderRejected(0, self.order.order_id, self.order.symbol, code, message)

    def unsent(self) -> None:
        """It was too old to be sent."""
        self._ended = self._ended or OrderUnsent(0, self.order.order_id, self.order.symbol)

    def unknown(self) -> None:
        """It was sent, and what became of it was not said."""
        self._is_unknown = True

    def absent(self, asked_ns: int, proof_ns: int) -> None:
        """The venue did not know it when asked: proof when that was `proof_ns` after the attempt."""
        if not self.was_seen and asked_ns > self.sent_ns + proof_ns:
            self.refused(NEVER_ARRIVED, "it never arrived")

    # ---- what follows

    def facts(self) -> list[Row]:
        """What is newly proved; whoever takes it stamps it."""
        if self.over:
            return []
        order, found = self.order, list[Row]()
        if self._ended is not None and self.is_refused:
            self.over = True
            return [self._ended]
        if self._is_unknown and not self._told_unknown and not self.was_seen:
            self._told_unknown = True
            found.append(OrderUnknown(0, order.order_id, order.symbol))
        while (fill := self._waiting.pop(self._landed, None)) is not None:
            self._landed += fill.qty
            found.append(
                OrderFilled(
                    0, order.order_id, fill.trade_id, order.symbol, order.side,
                    fill.qty, fill.price, fill.fee,
                )
            )  # fmt: skip
        if self.is_final and not self.lacks_fills:
            self.over = True
            if self._status == "REJECTED" and not self._executed:
                found.append(OrderRejected(0, order.order_id, order.symbol, 0, "the venue rejected it"))
            elif self._executed < order.qty:
                found.append(OrderExpired(0, order.order_id, order.symbol, self._executed))
        return found
