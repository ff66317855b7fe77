"""What the loop needs of a broker, and the one that sends nothing: a replay of a live run.

Rule: a broker takes an order only after it is in the journal. With `venue_settles` fills, expiries, funding
and liquidations reach the loop as facts from the venue; without it they follow from the tape.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from flowguardian.execution.events import OrderRequested, Row
from flowguardian.venue.matching import Quote


class Broker(Protocol):
    """Where requested orders go."""

    @property
    def venue_settles(self) -> bool:
        """Whether the venue says what becomes of orders and positions."""

    @property
    def working(self) -> Mapping[int, tuple[OrderRequested, int]]:
        """Orders that wait for a row of the tape: (request, earliest stamp of its match)."""

    def submit(self, order: OrderRequested) -> int:
        """Send an order; returns the earliest stamp at which it can match."""

    def match(self, order_id: int, ts_ns: int, quote: Quote, level: int = 0, held: int = 0) -> list[Row]:
        """The facts of an order's match with the tape."""


class VenueBroker:
    """Of a live run, while it sends nothing: in a replay, and before the venue was asked how things stand."""

    venue_settles = True
    working: Mapping[int, tuple[OrderRequested, int]] = {}

    def submit(self, order: OrderRequested) -> int:
        return order.ts_ns

    def match(self, order_id: int, ts_ns: int, quote: Quote, level: int = 0, held: int = 0) -> list[Row]:
        return []
