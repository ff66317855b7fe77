"""Positions, reservations and money folded from journal rows, by short arithmetic of its own.

Rule: it never imports the engine's books, so what it shows is a second opinion; integers in units of 1e-8.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from flowguardian.execution import events as ev

SCALE = 100_000_000


def ratio(value: Decimal | float) -> int:
    """A setting in units of 1e-8."""
    return int(Decimal(str(value)) * SCALE)


def up(numerator: int, denominator: int) -> int:
    """Division rounded up."""
    return -(-numerator // denominator)


def part(amount: int, share: int) -> int:
    """A share of an amount, rounded down."""
    return amount * share // SCALE


@dataclass
class Held:
    """An open position; `cost` is Σ price·qty (1e-16)."""

    symbol: str
    strategy: str
    side: int
    opened_ns: int
    order_id: int
    qty: int = 0
    cost: int = 0
    adds: int = 0
    expiry_ns: int = 0

    @property
    def value(self) -> int:
        """The budget it uses."""
        return up(self.cost, SCALE)


@dataclass
class Asked:
    """A live order: its request, its seq, what is filled."""

    seq: int
    request: ev.OrderRequested
    filled: int = 0

    @property
    def reserved(self) -> int:
        """What it still holds of the budget."""
        return self.request.reserved * max(self.request.qty - self.filled, 0) // self.request.qty


@dataclass
class Books:
    """State after the rows applied so far."""

    config: Mapping[str, Any]
    balance: int
    equity: int = 0
    peak: int = 0
    day_start: int = 0
    equity_ns: int = 0
    positions: dict[str, Held] = field(default_factory=dict)
    orders: dict[int, Asked] = field(default_factory=dict)
    requests: dict[int, tuple[int, ev.OrderRequested]] = field(default_factory=dict)
    """Every order ever requested, with its seq."""
    degraded: set[str] = field(default_factory=set)
    silent: dict[tuple[str, str], ev.StreamWentSilent] = field(default_factory=dict)
    """Streams that bring nothing new, by symbol and stream."""
    closed_ns: dict[str, int] = field(default_factory=dict)
    entered_ns: dict[str, int] = field(default_factory=dict)
    losses: int = 0
    loss_until_ns: int = 0
    trading: ev.TradingState = ev.TradingState.ACTIVE
    trading_reason: str = ""
    largest_total: int | None = None
    """What all positions may be worth together, in money; None where only shares of equity limit it."""

    @classmethod
    def of(cls, start: ev.RunStarted, config: Mapping[str, Any]) -> Books:
        """The books of a run before its first fill."""
        equity = start.start_equity
        most = config.get("live", {}).get("max_notional_usdt")
        limited = start.mode in ev.OF_AN_ACCOUNT and most is not None
        return cls(config, equity, equity, equity, equity, largest_total=ratio(most) if limited else None)

    def apply(self, seq: int, row: ev.Row) -> None:
        """Change by one row."""
        match row:
            case ev.Signal() | ev.TimerFired():
                self._look(row)
            case ev.OrderRequested():
                self.requests[row.order_id] = (seq, row)
                self.orders[row.order_id] = Asked(seq, row)
                if row.purpose is ev.Purpose.ENTRY:
                    self.entered_ns[row.strategy] = row.ts_ns
            case ev.OrderFilled():
                self._fill(row)
            case ev.OrderExpired() | ev.OrderRejected() | ev.OrderUnsent():
                self.orders.pop(row.order_id, None)
            case ev.FundingSettled():
                self.balance += row.amount
            case ev.Liquidated():
                held = self.positions[row.symbol]
                self._move(held, -held.side, row.qty, row.price, row.fee)
            case _:
                self._note(row)

    def _note(self, row: ev.Row) -> None:
        """Rows that move no money."""
        match row:
            case ev.PositionOpened():
                self.positions[row.symbol].expiry_ns = row.expiry_ns
            case ev.PositionClosed():
                self._closed(row)
            case ev.TradingStateChanged():
                self.trading, self.trading_reason = row.state, row.reason
            case ev.FeedGap():
                self.degraded.add(row.symbol)
            case ev.StreamWentSilent():
                self.silent[row.symbol, row.stream] = row
            case ev.StreamRecovered():
                self.silent.pop((row.symbol, row.stream), None)
            case ev.SegmentStarted():
                self.silent.clear()

    # ---- questions

    def allocated(self, strategy: str) -> int:
        """The strategy's share of the balance."""
        budget = self.config["portfolio"]["budget"]
        share = budget["strategy_allocation"].get(strategy, budget["default_allocation"])
        return part(self.balance, ratio(share))

    def reserved(self, strategy: str) -> int:
        """What live entry orders of the strategy hold."""
        return sum(order.reserved for order in self._entries() if order.request.strategy == strategy)

    def used(self, strategy: str) -> int:
        """Entry value of its open positions and its reservations."""
        held = sum(held.value for held in self.positions.values() if held.strategy == strategy)
        return held + self.reserved(strategy)

    def exposure(self, symbol: str = "") -> int:
        """Entry value and reservations, of one symbol or all."""
        held = sum(held.value for name, held in self.positions.items() if symbol in ("", name))
        return held + sum(order.reserved for order in self._entries() if symbol in ("", order.request.symbol))

    def pending(self, symbol: str) -> int:
        """Live entry orders of a symbol."""
        return sum(order.request.symbol == symbol for order in self._entries())

    def taken(self, strategy: str = "") -> int:
        """Places taken: open positions, and symbols that live entry orders would open."""
        opened = sum(strategy in ("", held.strategy) for held in self.positions.values())
        waiting = {
            order.request.symbol
            for order in self._entries()
            if order.request.symbol not in self.positions and strategy in ("", order.request.strategy)
        }
        return opened + len(waiting)

    def _entries(self) -> list[Asked]:
        return [order for order in self.orders.values() if order.request.purpose is ev.Purpose.ENTRY]

    # ---- changes

    def _look(self, row: ev.Signal | ev.TimerFired) -> None:
        """Equity as the engine saw it: balance plus unrealised at the marks in the row."""
        if isinstance(row, ev.Signal):
            warm = self.config["guards"]["warmup"]["bars"] or 0
            if row.symbol in self.degraded and row.bars_seen >= warm:
                self.degraded.discard(row.symbol)
        equity = self.balance
        for held, mark in zip(self.positions.values(), row.marks, strict=False):
            equity += (held.qty * mark - held.cost) * held.side // SCALE
        self.equity, self.equity_ns = equity, row.ts_ns
        self.peak, self.day_start = max(row.peak_equity, equity), row.day_start_equity

    def _fill(self, row: ev.OrderFilled) -> None:
        order = self.orders.get(row.order_id)
        request = order.request if order else None
        held = self.positions.get(row.symbol)
        if held is None:
            strategy = request.strategy if request else ""
            held = Held(row.symbol, strategy, row.side, row.ts_ns, row.order_id if request else 0)
            self.positions[row.symbol] = held
        elif request is not None and row.side == held.side and row.order_id != held.order_id:
            held.adds += 1
            held.order_id = row.order_id
        self._move(held, row.side, row.qty, row.price, row.fee)
        if order is not None:
            order.filled += row.qty
            if order.filled >= order.request.qty:
                del self.orders[row.order_id]

    def _move(self, held: Held, side: int, qty: int, price: int, fee: int) -> None:
        self.balance -= fee
        if side == held.side:
            held.qty += qty
            held.cost += price * qty
            return
        closed = min(qty, held.qty)
        cost = held.cost if closed == held.qty else held.cost * closed // held.qty
        self.balance += (price * closed - cost) * held.side // SCALE
        held.qty -= closed
        held.cost -= cost
        if held.qty == 0:
            del self.positions[held.symbol]
            if qty > closed:
                rest = Held(
                    held.symbol, held.strategy, side, held.opened_ns, 0, qty - closed, price * (qty - closed)
                )
                self.positions[held.symbol] = rest

    def _closed(self, row: ev.PositionClosed) -> None:
        if row.reason is not ev.ExitReason.OPPOSITE:
            self.closed_ns[row.symbol] = row.ts_ns
        if row.realised - row.fees + row.funding >= 0:
            self.losses = self.loss_until_ns = 0
            return
        if row.reason is ev.ExitReason.FLATTEN:
            return
        if 0 < self.loss_until_ns <= row.ts_ns:
            self.losses = 0
        self.losses += 1
        risk = self.config["risk"]
        pause_ns = int(Decimal(str(risk["loss_pause_minutes"])) * 60 * 1_000_000_000)
        self.loss_until_ns = row.ts_ns + pause_ns if self.losses >= risk["max_consecutive_losses"] else 0
