"""The single source of truth for money: positions, live orders, budget.

Rule: one store. Used budget is derived from positions and reservations each time it is asked for, never a
counter; everything else that shows money is a projection of the rows applied here.
"""

from __future__ import annotations

from collections.abc import Iterable

from flowguardian.execution.events import (
    BudgetLine,
    FundingSettled,
    Liquidated,
    OrderFilled,
    OrderRequested,
    PositionOpened,
)
from flowguardian.execution.limits import Limits
from flowguardian.execution.money import SCALE, share
from flowguardian.execution.orders import IllegalTransition, Order

MOST_FILL_IDS = 2000
"""Remembered of each symbol."""


_UNHASHED = ("entry", "first_fill_id")
"""What of a position follows from rows that the hash chain holds already."""


class Position:
    """An open position: quantity, its exact cost Σ price·qty (1e-16), and the levels its exits watch."""

    __slots__ = (
        "adds",
        "cost",
        "entry",
        "exit_order_id",
        "expiry_ns",
        "fees",
        "first_fill_id",
        "funding",
        "opened_ns",
        "order_id",
        "qty",
        "realised",
        "side",
        "stop",
        "strategy",
        "symbol",
        "target1",
        "target1_taken",
        "target2",
        "trail_distance",
    )

    def __init__(
        self, symbol: str, strategy: str, side: int, opened_ns: int, entry: OrderRequested | None
    ) -> None:
        self.entry = entry
        """The order that opened it; None for a fill of an order that is not ours."""
        self.symbol = symbol
        self.strategy = strategy
        self.side = side
        self.opened_ns = opened_ns
        self.order_id = entry.order_id if entry else 0
        self.qty = self.cost = 0
        self.realised = self.fees = self.funding = 0
        self.stop = self.target1 = self.target2 = self.trail_distance = self.expiry_ns = 0
        self.adds = 0
        self.exit_order_id = 0
        self.first_fill_id = 0
        """The fill that opened it."""
        self.target1_taken = False

    def price(self) -> int:
        """The average entry price, rounded down."""
        return self.cost // self.qty

    def value(self) -> int:
        """What the entry was worth: the budget it uses."""
        return -(-self.cost // SCALE)

    def unrealised(self, mark: int) -> int:
        """Profit at `mark`, rounded down."""
        return (self.qty * mark - self.cost) * self.side // SCALE

    def snapshot(self) -> tuple[object, ...]:
        """What the state hash covers."""
        return tuple(getattr(self, name) for name in self.__slots__ if name not in _UNHASHED)


class PortfolioManager:
    """Positions by symbol (one-way mode), live orders by id, and the ledger totals."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.positions: dict[str, Position] = {}
        self.orders: dict[int, Order] = {}
        self.pending: dict[str, int] = {}
        self.realised = self.fees = self.funding = 0
        self.dust = 0
        """Σ of what rounding PnL down left over (1e-16): closes the books exactly (I01)."""
        self.cash = 0
        """Σ −side·price·qty of all fills (1e-16): the second entry of the double-entry check."""
        self.last_order_id = 0
        self.last_fill_id: dict[str, int] = {}
        """The highest of each symbol."""
        self.fill_ids: dict[str, set[int]] = {}
        """The latest of each symbol that are booked: one found late is known from one booked before."""
        self.funded: set[int] = set()
        """Live: the lines of the venue's income that are booked, by their ids."""

    # ---- budget

    def balance(self) -> int:
        """Start equity + realised − fees ± funding: the basis of every allocation."""
        return self.limits.start_equity + self.realised - self.fees + self.funding

    def equity(self, marks: Iterable[int]) -> int:
        """Balance plus unrealised profit at `marks`, in the order of `positions`."""
        total = self.balance()
        for position, mark in zip(self.positions.values(), marks, strict=True):
            total += position.unrealised(mark)
        return total

    def get_allocated_budget(self, strategy: str) -> int:
        """The strategy's share of the balance."""
        budget = self.limits.budget
        return share(self.balance(), budget.allocation.get(strategy, budget.default_allocation))

    def get_reserved_budget(self, strategy: str) -> int:
        """What live entry orders of the strategy still reserve."""
        reserved = 0
        for order in self.orders.values():
            if order.request.strategy == strategy:
                reserved += order.reserved
        return reserved

    def get_used_budget(self, strategy: str) -> int:
        """What the strategy uses now, derived anew each time."""
        return self._get_used_budget(strategy)

    def _get_used_budget(self, strategy: str) -> int:
        """Entry value of the strategy's open positions plus its reservations."""
        used = self.get_reserved_budget(strategy)
        for position in self.positions.values():
            if position.strategy == strategy:
                used += position.value()
        return used

    def get_available_budget(self, strategy: str) -> int:
        """What the strategy may still take; never negative."""
        return max(0, self.get_allocated_budget(strategy) - self.get_used_budget(strategy))

    def budget_line(self, strategy: str) -> BudgetLine:
        """The strategy's budget as one row."""
        return BudgetLine(
            strategy=strategy,
            allocated=self.get_allocated_budget(strategy),
            used=self.get_used_budget(strategy),
            reserved=self.get_reserved_budget(strategy),
            available=self.get_available_budget(strategy),
        )

    # ---- exposure and counts

    def exposure(self, symbol: str) -> int:
        """Entry value and reservations in one symbol."""
        position = self.positions.get(symbol)
        held = position.value() if position else 0
        if symbol not in self.pending:
            return held
        return held + sum(o.reserved for o in self.orders.values() if o.request.symbol == symbol)

    def total_exposure(self) -> int:
        """Entry value and reservations of everything."""
        total = 0
        for position in self.positions.values():
            total += position.value()
        for order in self.orders.values():
            total += order.reserved
        return total

    def open_count(self, strategy: str | None = None) -> int:
        """Open positions, of one strategy or all."""
        if strategy is None:
            return len(self.positions)
        count = 0
        for position in self.positions.values():
            if position.strategy == strategy:
                count += 1
        return count

    def pending_count(self, strategy: str | None = None) -> int:
        """Symbols that live entry orders would open (an add to an open position takes no new slot)."""
        if not self.pending:
            return 0
        return len(
            {
                order.request.symbol
                for order in self.orders.values()
                if order.is_entry
                and order.request.symbol not in self.positions
                and (strategy is None or order.request.strategy == strategy)
            }
        )

    # ---- changes

    def request(self, row: OrderRequested) -> None:
        """A new order: from now on its reservation counts as used."""
        self.orders[row.order_id] = order = Order(row)
        self.last_order_id = row.order_id
        if order.is_entry:
            self.pending[row.symbol] = self.pending.get(row.symbol, 0) + 1
        else:
            self.positions[row.symbol].exit_order_id = row.order_id

    def settle(self, order: Order) -> None:
        """Forget a closed order and what it held."""
        row = order.request
        del self.orders[row.order_id]
        if order.is_entry:
            left = self.pending[row.symbol] - 1
            if left:
                self.pending[row.symbol] = left
            else:
                del self.pending[row.symbol]
        elif (position := self.positions.get(row.symbol)) and position.exit_order_id == row.order_id:
            position.exit_order_id = 0

    def fill(self, row: OrderFilled, order: Order | None) -> tuple[Position, int, str]:
        """Land a fill; returns (the position, realised profit of this fill, what was illegal about it).

        A fill always lands: the last item is empty, or text for I03. A flat position is removed.
        """
        position = self.positions.get(row.symbol)
        self.note_fill(row.symbol, row.fill_id)
        if position is None:
            request = order.request if order else None
            strategy = request.strategy if request else ""
            position = Position(row.symbol, strategy, row.side, row.ts_ns, request)
            self.positions[row.symbol] = position
        elif order is not None and row.side == position.side and row.order_id != position.order_id:
            position.adds += 1
            position.order_id = row.order_id
        realised = self._move(position, row.side, row.qty, row.price, row.fee)
        held = self.positions.get(row.symbol)
        if held is not None and not held.first_fill_id:
            held.first_fill_id = row.fill_id
        fault = "" if order else f"fill {row.fill_id} for order {row.order_id}, which is not live"
        if order is not None:
            try:
                order.apply(row)
            except IllegalTransition as error:
                fault = str(error)
            if order.is_closed and row.order_id in self.orders:
                self.settle(order)
        if position.qty == 0 and row.symbol in self.positions:
            fault = fault or f"fill {row.fill_id} closed more than was held"
        return position, realised, fault

    def note_fill(self, symbol: str, fill_id: int) -> None:
        """A fill is booked; the lower half of its symbol's ids is forgotten when there are too many."""
        self.last_fill_id[symbol] = max(fill_id, self.last_fill_id.get(symbol, 0))
        kept = self.fill_ids.setdefault(symbol, set())
        kept.add(fill_id)
        if len(kept) > MOST_FILL_IDS:
            self.fill_ids[symbol] = set(sorted(kept)[MOST_FILL_IDS // 2 :])

    def has_fill(self, symbol: str, fill_id: int) -> bool:
        """Whether a fill is booked; what lies below everything that is remembered counts as booked."""
        kept = self.fill_ids.get(symbol, ())
        return fill_id in kept or (len(kept) >= MOST_FILL_IDS // 2 and fill_id < min(kept))

    def liquidate(self, row: Liquidated) -> tuple[Position, int]:
        """The venue closed (part of) a position."""
        position = self.positions[row.symbol]
        return position, self._move(position, -position.side, row.qty, row.price, row.fee)

    def fund(self, row: FundingSettled) -> None:
        """Funding received or paid; a position that was opened after it was settled has no part in it."""
        self.funding += row.amount
        if row.tran_id:
            self.funded.add(row.tran_id)
        position = self.positions.get(row.symbol)
        if position is not None and (not row.settled_ns or position.opened_ns <= row.settled_ns):
            position.funding += row.amount

    def open(self, row: PositionOpened) -> None:
        """The levels of a new position."""
        position = self.positions[row.symbol]
        position.stop, position.target1, position.target2 = row.stop, row.target1, row.target2
        position.trail_distance, position.expiry_ns = row.trail_distance, row.expiry_ns

    def _move(self, position: Position, side: int, qty: int, price: int, fee: int) -> int:
        """Exact arithmetic of one fill: cost moves as 1e-16, profit is rounded down once to 1e-8."""
        self.cash -= side * price * qty
        self.fees += fee
        position.fees += fee
        if side == position.side:
            position.qty += qty
            position.cost += price * qty
            return 0
        closed = min(qty, position.qty)
        cost = position.cost if closed == position.qty else position.cost * closed // position.qty
        profit = (price * closed - cost) * position.side
        realised = profit // SCALE
        self.dust += profit - realised * SCALE
        position.qty -= closed
        position.cost -= cost
        position.realised += realised
        self.realised += realised
        if position.qty == 0:
            del self.positions[position.symbol]
            if qty > closed:  # more was closed than held: the rest is a position the other way
                rest = Position(position.symbol, position.strategy, side, position.opened_ns, None)
                rest.qty, rest.cost = qty - closed, price * (qty - closed)
                self.positions[position.symbol] = rest
        return realised

    def snapshot(self) -> tuple[object, ...]:
        """What the state hash covers; what only live runs have is left out where there is none."""
        of_live = (sorted(self.funded),) if self.funded else ()
        return (
            self.realised,
            self.fees,
            self.funding,
            self.dust,
            self.cash,
            self.last_order_id,
            sorted(self.last_fill_id.items()),
            [position.snapshot() for position in self.positions.values()],
            [order.snapshot() for order in self.orders.values()],
            *of_live,
        )
