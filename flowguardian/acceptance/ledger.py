"""The books of a run, from its fills alone: cash, positions, realised profit, equity.

Rule: short, exact, and written without looking at the engine's; the two meet only in numbers. A position
holds its cost as the exact Σ price·qty (1e-16). A partial close removes floor(cost·closed/qty), the last
close takes the rest; profit is rounded down once per fill, fees are what the fill row says.
"""

from __future__ import annotations

from dataclasses import dataclass

from flowguardian.execution.events import FundingSettled, Liquidated, OrderFilled

ONE = 100_000_000


def rounded_up(numerator: int, denominator: int) -> int:
    """The quotient, rounded up."""
    return -(-numerator // denominator)


def fee_of(price: int, qty: int, rate: int) -> int:
    """price × quantity × rate, rounded up once."""
    return rounded_up(price * qty * rate, ONE * ONE)


@dataclass(slots=True)
class Held:
    """An open position."""

    symbol: str
    strategy: str
    side: int
    opened_ns: int
    qty: int = 0
    cost: int = 0
    realised: int = 0
    fees: int = 0
    funding: int = 0
    entry_cost: int = 0
    """Σ price·qty of everything that was ever bought into it (1e-16)."""
    entry_qty: int = 0

    @property
    def value(self) -> int:
        """What its entry cost, rounded up: the budget it uses."""
        return rounded_up(self.cost, ONE)

    def unrealised(self, mark: int) -> int:
        """Profit if it were closed at `mark`, rounded down."""
        return self.side * (self.qty * mark - self.cost) // ONE


class Ledger:
    """Cash and positions, moved by fills, funding and liquidations."""

    def __init__(self, start: int) -> None:
        self.start = start
        self.realised = self.fees = self.funding = 0
        self.positions: dict[str, Held] = {}
        """In the order they were opened."""

    @property
    def balance(self) -> int:
        """Start equity + realised − fees + funding."""
        return self.start + self.realised - self.fees + self.funding

    def equity(self, marks: dict[str, int]) -> int:
        """Balance plus the unrealised profit of every position; KeyError for a symbol without a mark."""
        return self.balance + sum(held.unrealised(marks[name]) for name, held in self.positions.items())

    def used(self, strategy: str) -> int:
        """Entry value of a strategy's positions."""
        return sum(held.value for held in self.positions.values() if held.strategy == strategy)

    def fill(self, row: OrderFilled, strategy: str) -> tuple[Held, int]:
        """Book a fill; returns the position it moved and the profit it realised."""
        return self._move(row.ts_ns, row.symbol, strategy, row.side, row.qty, row.price, row.fee)

    def liquidate(self, row: Liquidated) -> tuple[Held, int] | None:
        """Book a liquidation; None when there is nothing to liquidate."""
        held = self.positions.get(row.symbol)
        if held is None:
            return None
        return self._move(row.ts_ns, row.symbol, held.strategy, -held.side, row.qty, row.price, row.fee)

    def fund(self, row: FundingSettled) -> None:
        """Book funding; one that was settled before a position was opened is none of its own."""
        self.funding += row.amount
        held = self.positions.get(row.symbol)
        if held is not None and (row.settled_ns == 0 or row.settled_ns >= held.opened_ns):
            held.funding += row.amount

    def _move(
        self, ts_ns: int, symbol: str, strategy: str, side: int, qty: int, price: int, fee: int
    ) -> tuple[Held, int]:
        held = self.positions.get(symbol)
        if held is None:
            held = self.positions[symbol] = Held(symbol, strategy, side, ts_ns)
        self.fees += fee
        held.fees += fee
        if side == held.side:
            held.qty += qty
            held.cost += price * qty
            held.entry_qty += qty
            held.entry_cost += price * qty
            return held, 0
        closed = min(qty, held.qty)
        cost = held.cost if closed == held.qty else held.cost * closed // held.qty
        realised = held.side * (price * closed - cost) // ONE
        held.qty -= closed
        held.cost -= cost
        held.realised += realised
        self.realised += realised
        if held.qty == 0:
            del self.positions[symbol]
            if qty > closed:  # more was closed than held: what is left is a position the other way
                rest = Held(symbol, held.strategy, side, ts_ns)
                rest.qty = rest.entry_qty = qty - closed
                rest.cost = rest.entry_cost = price * (qty - closed)
                self.positions[symbol] = rest
        return held, realised


def funding_due(held: Held, mark: int, rate: int) -> int:
    """What a position receives (> 0) or pays: received is rounded down, paid is rounded up."""
    due = -held.side * held.qty * mark * rate
    return due // (ONE * ONE) if due >= 0 else -rounded_up(-due, ONE * ONE)
