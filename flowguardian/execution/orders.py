"""The life of an order as a table: what may happen to it in which state.

Rule: anything not in `TRANSITIONS` is a fault. A fill that arrives in a closed state still lands in the
portfolio (the venue is the truth) and is reported as a violation of I03.
"""

from __future__ import annotations

from enum import StrEnum

from flowguardian.execution.events import (
    OrderExpired,
    OrderFilled,
    OrderRejected,
    OrderRequested,
    OrderUnknown,
    OrderUnsent,
    Purpose,
    Row,
)


class OrderState(StrEnum):
    """Where an order is; the last four are closed."""

    REQUESTED = "requested"
    PARTIAL = "partial"
    UNKNOWN = "unknown"
    FILLED = "filled"
    EXPIRED = "expired"
    REJECTED = "rejected"
    UNSENT = "unsent"


CLOSED = frozenset({OrderState.FILLED, OrderState.EXPIRED, OrderState.REJECTED, OrderState.UNSENT})

TRANSITIONS: dict[OrderState, dict[type[Row], OrderState]] = {
    OrderState.REQUESTED: {
        OrderFilled: OrderState.PARTIAL,  # FILLED once nothing is left
        OrderExpired: OrderState.EXPIRED,
        OrderRejected: OrderState.REJECTED,
        OrderUnknown: OrderState.UNKNOWN,
        OrderUnsent: OrderState.UNSENT,
    },
    OrderState.PARTIAL: {
        OrderFilled: OrderState.PARTIAL,
        OrderExpired: OrderState.EXPIRED,
        OrderUnknown: OrderState.UNKNOWN,
    },
    OrderState.UNKNOWN: {
        OrderFilled: OrderState.PARTIAL,
        OrderExpired: OrderState.EXPIRED,
        OrderRejected: OrderState.REJECTED,
    },
}


class IllegalTransition(Exception):
    """Something happened to an order that its state does not allow (I03)."""


class Order:
    """One order of ours: what was asked, what is filled, what it still reserves (1e-8 USDT)."""

    __slots__ = ("filled", "request", "reserved", "state")

    def __init__(self, request: OrderRequested) -> None:
        self.request = request
        self.state = OrderState.REQUESTED
        self.filled = 0
        self.reserved = request.reserved

    @property
    def is_entry(self) -> bool:
        """True when it opens or adds to a position."""
        return self.request.purpose is Purpose.ENTRY

    @property
    def is_closed(self) -> bool:
        """True when nothing more can happen to it."""
        return self.state in CLOSED

    def apply(self, row: Row) -> None:
        """Move along the table; a part filled gives its part of the reservation back.

        Raises IllegalTransition, after having counted a fill all the same.
        """
        following = TRANSITIONS.get(self.state, {}).get(type(row))
        if isinstance(row, OrderFilled):
            self.filled += row.qty
            left = self.request.qty - self.filled
            if following is not None:
                self.state = OrderState.FILLED if left <= 0 else following
            self.reserved = self.request.reserved * max(left, 0) // self.request.qty
        elif following is not None:
            self.state = following
        if self.state in CLOSED:
            self.reserved = 0
        if following is None:
            raise IllegalTransition(
                f"{type(row).__name__} while order {self.request.order_id} is {self.state}"
            )
        if self.filled > self.request.qty:
            raise IllegalTransition(
                f"order {self.request.order_id}: filled {self.filled} > {self.request.qty}"
            )

    def snapshot(self) -> tuple[int, str, int, int]:
        """What the state hash covers."""
        return (self.request.order_id, self.state.value, self.filled, self.reserved)
