"""Orders, conditional (algo) orders and fills as the venue keeps them, and how an order may change.

Rule: pure; a status changes along `MOVES` or not at all, and nothing follows a final one. Integers in units
of 1e-8, Σ price·quantity in 1e-16, times in UTC nanoseconds of the market.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

NEW, PARTIALLY_FILLED, FILLED = "NEW", "PARTIALLY_FILLED", "FILLED"
CANCELED, EXPIRED = "CANCELED", "EXPIRED"
TRIGGERING, TRIGGERED, FINISHED, REJECTED = "TRIGGERING", "TRIGGERED", "FINISHED", "REJECTED"

MOVES: Mapping[str, frozenset[str]] = {
    NEW: frozenset({PARTIALLY_FILLED, FILLED, CANCELED, EXPIRED}),
    PARTIALLY_FILLED: frozenset({PARTIALLY_FILLED, FILLED, CANCELED, EXPIRED}),
}
ALGO_MOVES: Mapping[str, frozenset[str]] = {
    NEW: frozenset({TRIGGERING, CANCELED, EXPIRED}),
    TRIGGERING: frozenset({TRIGGERED, REJECTED}),
    TRIGGERED: frozenset({FINISHED}),
}
OPEN = frozenset(MOVES)
STOPS, PROFITS = ("STOP", "STOP_MARKET"), ("TAKE_PROFIT", "TAKE_PROFIT_MARKET")
CONDITIONAL = (*STOPS, *PROFITS)
TRAILING = "TRAILING_STOP_MARKET"
SIDES: Mapping[str, int] = {"BUY": 1, "SELL": -1}
ONE_WAY = "BOTH"


class ImpossibleMove(Exception):
    """A status was to change in a way the transition table does not know: a defect of the venue."""


class Order(msgspec.Struct):
    """One order at the venue."""

    id: int
    client_id: str
    symbol: str
    side: int
    type: str
    time_in_force: str
    qty: int
    price: int
    created_ns: int
    updated_ns: int
    reduce_only: bool = False
    close_position: bool = False
    original_type: str = ""
    stop_price: int = 0
    working_type: str = "CONTRACT_PRICE"
    price_protect: bool = False
    stp_mode: str = "EXPIRE_MAKER"
    good_till_ms: int = 0
    status: str = NEW
    filled: int = 0
    quote: int = 0
    """Σ price·quantity of the fills, 1e-16."""
    last_change_ns: int = 0
    """When it was amended last; 0 = never."""
    hidden_until_ns: int = 0
    """Queries do not see it before (a fault)."""
    algo_id: int = 0

    @property
    def left(self) -> int:
        return self.qty - self.filled

    @property
    def average_price(self) -> int:
        """Mean price of the fills, rounded down; 0 without one."""
        return self.quote // self.filled if self.filled else 0

    def move(self, status: str, at_ns: int) -> None:
        """Change the status. Raises ImpossibleMove."""
        if status not in MOVES.get(self.status, frozenset()):
            raise ImpossibleMove(f"order {self.id} cannot go from {self.status} to {status}")
        self.status, self.updated_ns = status, at_ns


class AlgoOrder(msgspec.Struct):
    """One conditional order: rests until its trigger price is met, then becomes an order of its own."""

    id: int
    client_id: str
    symbol: str
    side: int
    type: str
    time_in_force: str
    qty: int
    price: int
    trigger_price: int
    created_ns: int
    updated_ns: int
    working_type: str = "CONTRACT_PRICE"
    reduce_only: bool = False
    close_position: bool = False
    price_protect: bool = False
    stp_mode: str = "EXPIRE_MAKER"
    good_till_ms: int = 0
    status: str = NEW
    order_id: int = 0
    triggered_ns: int = 0
    reject_text: str = ""
    hidden_until_ns: int = 0

    def is_met(self, price: int) -> bool:
        return (price - self.trigger_price) * rises(self.type, self.side) >= 0

    def move(self, status: str, at_ns: int) -> None:
        """Change the status. Raises ImpossibleMove."""
        if status not in ALGO_MOVES.get(self.status, frozenset()):
            raise ImpossibleMove(f"algo order {self.id} cannot go from {self.status} to {status}")
        self.status, self.updated_ns = status, at_ns


def rises(kind: str, side: int) -> int:
    """+1 when a price at or above the trigger starts a conditional order, −1 when one at or below does."""
    return side if kind in STOPS else -side


class UserTrade(msgspec.Struct, frozen=True):
    """One fill of an order of the account."""

    id: int
    order_id: int
    symbol: str
    side: int
    price: int
    qty: int
    fee: int
    realised: int
    maker: bool
    time_ns: int


class Income(msgspec.Struct, frozen=True):
    """One line of the account's income: COMMISSION, REALIZED_PNL, FUNDING_FEE, INSURANCE_CLEAR, TRANSFER."""

    id: int
    symbol: str
    kind: str
    amount: int
    time_ns: int
    trade_id: int = 0
