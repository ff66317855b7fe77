"""One walk over the rows: are the books right, do orders obey their rules, do prices stand on the tape?

Rule: each check computes its answer from facts (fills, the tape, the configuration) and compares it with what
the run wrote. A difference is a finding that names its row; nothing stops the walk.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flowguardian.acceptance.evidence import Entry, Evidence
from flowguardian.acceptance.fills import FillRule
from flowguardian.acceptance.findings import Audit, BookState, Checked, LiveOrder, Trade
from flowguardian.acceptance.funding import FundingRule
from flowguardian.acceptance.ledger import ONE, Held, Ledger, fee_of, rounded_up
from flowguardian.acceptance.prices import Prices
from flowguardian.acceptance.tallies import batches, check_counters
from flowguardian.execution import events as ev
from flowguardian.execution.money import units


def audit(evidence: Evidence, prices: Prices) -> Audit:
    """Walk over all rows of a run."""
    walk = _Walk(evidence, prices)
    for batch in batches(evidence.rows):
        walk.batch(batch)
    return walk.result


class _Walk:
    def __init__(self, evidence: Evidence, prices: Prices) -> None:
        started = evidence.started
        self.result = Audit(Ledger(started.start_equity if started else 0))
        self._ledger = self.result.ledger
        self._find = self.result.find
        self._prices = prices
        self._config = evidence.config
        taker = evidence.config.number("fees.taker")
        self._taker = None if taker is None else units(taker)
        self._rule = FillRule.of(evidence, prices)
        self._funding = FundingRule(evidence, prices, self._find, exact=self._rule.exact)
        self._orders: dict[int, LiveOrder] = {}
        self._ended: dict[int, ev.OrderRequested] = {}
        self._fill_ids: set[tuple[str, int]] = set()
        self._flips: set[tuple[str, str, int, int]] = set()
        self._live = False
        self._exit_level: dict[str, tuple[int, int]] = {}
        """Symbol → (stamp, level) of its last exit trigger."""
        self._by_kind: dict[type[ev.Row], Callable[[int, Any], None]] = {
            ev.WentLive: self._went_live,
            ev.Signal: self._signal,
            ev.ExitTriggered: self._exit_triggered,
            ev.TimerFired: self._timer,
            ev.OrderRequested: self._requested,
            ev.OrderFilled: self._filled,
            ev.OrderExpired: self._expired,
            ev.OrderRejected: self._ended_unfilled,
            ev.OrderUnsent: self._ended_unfilled,
            ev.OrderUnknown: self._unknown,
            ev.FundingSettled: self._funded,
            ev.Liquidated: self._liquidated,
            ev.ClosedByVenue: self._liquidated,
            ev.BudgetCapped: self._capped,
            ev.PositionOpened: self._opened,
            ev.PositionIncreased: self._resized,
            ev.PositionReduced: self._resized,
            ev.PositionClosed: self._closed,
            ev.CheckpointTaken: self._checkpoint,
        }

    def batch(self, batch: list[Entry]) -> None:
        """One fact and its decisions."""
        for seq, row in batch:
            if (step := self._by_kind.get(type(row))) is not None:
                step(seq, row)
            self.result.tally.add(seq, row)
        if not any(isinstance(row, ev.InvariantViolated) for _, row in batch):
            self._check_outcomes(batch)
        if isinstance(batch[0].row, _MOVES):
            self._remember(batch[0].row.ts_ns)

    # ---- attempts and their outcomes

    def _check_outcomes(self, batch: list[Entry]) -> None:
        outcomes = [(seq, key) for seq, row in batch if (key := _attempt(row)) is not None]
        fact = batch[0]
        if isinstance(fact.row, ev.Signal):
            own = _key(fact.row)
            mine = [key for _, key in outcomes if key == own]
            if self._live and len(mine) != 1:
                self._find(
                    "outcomes", fact.seq, f"signal of {own[0]} has {len(mine)} outcomes instead of one"
                )
        for seq, key in outcomes:
            if isinstance(fact.row, ev.Signal) and key == _key(fact.row):
                continue
            if key not in self._flips:
                self._find("outcomes", seq, f"an attempt in {key[0]} that no signal asked for")
            self._flips.discard(key)
        for seq, row in batch:
            if isinstance(row, ev.FlipPlanned):
                self._flips.add((row.symbol, row.strategy, row.side, row.bar_ns))
            elif isinstance(row, ev.BudgetCapped):
                self._check_cap(seq, row, batch)

    def _check_cap(self, seq: int, cap: ev.BudgetCapped, batch: list[Entry]) -> None:
        for after, row in batch:
            if after <= seq or getattr(row, "symbol", "") != cap.symbol:
                continue
            if isinstance(row, ev.EntryRefused):
                return
            if isinstance(row, ev.OrderRequested) and row.purpose is ev.Purpose.ENTRY:
                if row.reserved > cap.cap:
                    self._find("budget_limits", after, f"reserves {row.reserved}, capped at {cap.cap}")
                return
        self._find("outcomes", seq, f"a cap in {cap.symbol} that neither an order nor a refusal follows")

    def _went_live(self, seq: int, row: ev.WentLive) -> None:
        self._live = True

    def _signal(self, seq: int, row: ev.Signal) -> None:
        if not self._live:
            self._find("outcomes", seq, "a signal before the run went live")
        top = self._prices.top(row.symbol, row.ts_ns)
        seen = (self._prices.trade(row.symbol, row.ts_ns) or 0, top.bid, top.ask)
        if seen != (row.price, row.bid, row.ask):
            said = (row.price, row.bid, row.ask)
            self._find(
                "prices", seq, f"signal saw (trade, bid, ask) {said} in {row.symbol}, the tape says {seen}"
            )
        self._check_marks(seq, row.ts_ns, row.marks)

    def _exit_triggered(self, seq: int, row: ev.ExitTriggered) -> None:
        self._exit_level[row.symbol] = (row.ts_ns, row.level)
        seen = self._prices.trade(row.symbol, row.ts_ns)
        if seen != row.price:
            self._find("prices", seq, f"exit of {row.symbol} saw {row.price}, the tape says {seen}")

    def _timer(self, seq: int, row: ev.TimerFired) -> None:
        self._check_marks(seq, row.ts_ns, row.marks)

    def _check_marks(self, seq: int, ts_ns: int, marks: tuple[int, ...]) -> None:
        seen = tuple(self._prices.trade(name, ts_ns) for name in self._ledger.positions)
        if seen != marks:
            self._find("prices", seq, f"marks {marks}, the tape says {seen}")

    # ---- orders

    def _requested(self, seq: int, row: ev.OrderRequested) -> None:
        if row.order_id in self._orders or row.order_id in self._ended:
            self._find("orders", seq, f"order id {row.order_id} is used twice")
        if not self._live:
            self._find("orders", seq, f"order {row.order_id} before the run went live")
        if row.qty <= 0:
            self._find("orders", seq, f"order {row.order_id} asks for {row.qty}")
        self._orders[row.order_id] = LiveOrder(row)
        if row.purpose is ev.Purpose.ENTRY:
            self._check_budget(seq, row)
            return
        held = self._ledger.positions.get(row.symbol)
        if held is None or held.side == row.side or row.qty > held.qty:
            self._find("orders", seq, f"exit {row.order_id} does not only reduce its position")

    def _check_budget(self, seq: int, row: ev.OrderRequested) -> None:
        allocated = self._allocated(row.strategy)
        used = self._used(row.strategy)
        if allocated is None:
            self._find("budget_limits", seq, "the configuration names no allocation")
        elif used > allocated:
            self._find(
                "budget_limits", seq, f"used + reserved {used} > allocated {allocated} ({row.strategy})"
            )

    def _allocated(self, strategy: str) -> int | None:
        config = self._config
        share = config.number("portfolio.budget.strategy_allocation", strategy)
        if share is None:
            share = config.number("portfolio.budget.default_allocation")
        return None if share is None else self._ledger.balance * units(share) // ONE

    def _used(self, strategy: str) -> int:
        live = [order for order in self._orders.values() if order.request.strategy == strategy]
        return self._ledger.used(strategy) + sum(order.reserved for order in live)

    def _capped(self, seq: int, row: ev.BudgetCapped) -> None:
        allocated, used = self._allocated(row.strategy), self._used(row.strategy)
        available = max(0, (allocated or 0) - used)
        own = (self._ledger.balance, allocated, used, available, available // max(row.slots, 1))
        said = (row.basis, row.allocated, row.used, row.available, row.cap)
        if own != said:
            self._find(
                "budget_limits",
                seq,
                f"cap says (basis, allocated, used, available, cap) {said}, the books say {own}",
            )

    def _filled(self, seq: int, row: ev.OrderFilled) -> None:
        order = self._orders.get(row.order_id)
        request = order.request if order else self._ended.get(row.order_id)
        self._check_fill(seq, row, order, request)
        before = self._ledger.positions.get(row.symbol)
        held, realised = self._ledger.fill(row, request.strategy if request else "")
        if before is not None and held.qty == 0:
            self._trade_ended(seq, row.ts_ns, held, request.reason if request else "")
        self._moved = (held, realised)
        self._funding.moved(row, self._ledger.positions, request)
        if order is not None:
            order.filled += row.qty
            if order.filled >= order.request.qty:
                self._end(row.order_id)

    def _check_fill(
        self, seq: int, row: ev.OrderFilled, order: LiveOrder | None, request: ev.OrderRequested | None
    ) -> None:
        find = self._find
        if not self._live:
            find("orders", seq, f"fill {row.fill_id} before the run went live")
        self._check_once(seq, row)
        if request is None:
            find("orders", seq, f"fill {row.fill_id} belongs to no order of this run")
            return
        if order is None:
            find("orders", seq, f"fill {row.fill_id} after order {row.order_id} had ended")
        elif (filled := order.filled + row.qty) > request.qty:
            find("orders", seq, f"order {row.order_id}: filled {filled} > ordered {request.qty}")
        if (row.symbol, row.side) != (request.symbol, request.side) or row.qty <= 0 or row.price <= 0:
            find("orders", seq, f"fill {row.fill_id} is not of the kind order {row.order_id} asked for")
            return
        if self._taker is None:
            find("fees", seq, "the configuration names no fee")
        elif row.fee != (due := fee_of(row.price, row.qty, self._taker)):
            find("fees", seq, f"fee {row.fee}, due {due}")
        at_ns, level = self._exit_level.get(row.symbol, (0, 0))
        wrong = self._rule.judge(row, request, level if at_ns == row.ts_ns else 0)
        if wrong:
            find("prices", seq, wrong)
        slip = self._rule.slippage_bps(row)
        if slip is not None:
            self.result.slippage_bps.append(slip)

    def _check_once(self, seq: int, row: ev.OrderFilled | ev.ClosedByVenue) -> None:
        if (row.symbol, row.fill_id) in self._fill_ids:
            self._find("orders", seq, f"fill {row.fill_id} of {row.symbol} was booked twice")
        self._fill_ids.add((row.symbol, row.fill_id))

    def _expired(self, seq: int, row: ev.OrderExpired) -> None:
        order = self._ending(seq, row)
        if order is not None and order.filled != row.filled:
            self._find(
                "orders",
                seq,
                f"order {row.order_id} expired with {row.filled} filled, counted {order.filled}",
            )

    def _ended_unfilled(self, seq: int, row: ev.OrderRejected | ev.OrderUnsent) -> None:
        order = self._ending(seq, row)
        if order is not None and order.filled:
            self._find("orders", seq, f"{type(row).__name__} of order {row.order_id}, which has fills")

    def _ending(self, seq: int, row: ev.OrderExpired | ev.OrderRejected | ev.OrderUnsent) -> LiveOrder | None:
        order = self._orders.get(row.order_id)
        if order is None:
            self._find("orders", seq, f"{type(row).__name__} for order {row.order_id}, which is not live")
            return None
        self._end(row.order_id)
        return order

    def _unknown(self, seq: int, row: ev.OrderUnknown) -> None:
        if row.order_id not in self._orders:
            self._find("orders", seq, f"OrderUnknown for order {row.order_id}, which is not live")

    def _end(self, order_id: int) -> None:
        self._ended[order_id] = self._orders.pop(order_id).request

    # ---- positions and money

    _moved: tuple[Held, int] | None = None

    def _funded(self, seq: int, row: ev.FundingSettled) -> None:
        self._funding.check(seq, row, self._ledger.positions.get(row.symbol))
        self._ledger.fund(row)

    def _liquidated(self, seq: int, row: ev.Liquidated) -> None:
        if isinstance(row, ev.ClosedByVenue):
            self._check_once(seq, row)
        self._moved = self._ledger.liquidate(row)
        self._funding.moved(row, self._ledger.positions, None)
        if self._moved is None:
            self._find("orders", seq, f"liquidation in {row.symbol}, which holds nothing")
        elif self._moved[0].qty == 0:
            self._trade_ended(seq, row.ts_ns, self._moved[0], row.closes_as())

    def _trade_ended(self, seq: int, ts_ns: int, held: Held, reason: str) -> None:
        price = held.entry_cost // held.entry_qty if held.entry_qty else 0
        self.result.trades.append(
            Trade(
                seq, held.symbol, held.strategy, held.side, held.opened_ns, ts_ns, held.entry_qty, price,
                held.realised, held.fees, held.funding, str(reason),
            )
        )  # fmt: skip

    def _opened(self, seq: int, row: ev.PositionOpened) -> None:
        held = self._ledger.positions.get(row.symbol)
        own = (held.side, held.qty, held.strategy) if held else None
        if own != (row.side, row.qty, row.strategy):
            self._find(
                "orders", seq, f"position opened as {(row.side, row.qty, row.strategy)}, fills say {own}"
            )

    def _resized(self, seq: int, row: ev.PositionIncreased | ev.PositionReduced) -> None:
        held = self._ledger.positions.get(row.symbol)
        if held is None or held.qty != row.qty:
            self._find(
                "orders", seq, f"position of {row.qty} in {row.symbol}, fills say {held.qty if held else 0}"
            )
        realised = self._moved[1] if self._moved else None
        if isinstance(row, ev.PositionReduced) and row.realised != realised:
            self._find("fees", seq, f"realised {row.realised}, fills say {realised}")

    def _closed(self, seq: int, row: ev.PositionClosed) -> None:
        held = self._moved[0] if self._moved else None
        own = (held.symbol, held.realised, held.fees, held.funding) if held else None
        said = (row.symbol, row.realised, row.fees, row.funding)
        if own != said:
            self._find("fees", seq, f"closed with (realised, fees, funding) {said}, fills say {own}")

    def _remember(self, ts_ns: int) -> None:
        ledger = self._ledger
        held = tuple((h.symbol, h.side, h.qty, h.cost) for h in ledger.positions.values())
        used = sum(h.value for h in ledger.positions.values())
        reserved = sum(order.reserved for order in self._orders.values())
        self.result.states.append(BookState(ts_ns, ledger.balance, held, used, reserved))

    # ---- checkpoints

    def _checkpoint(self, seq: int, row: ev.CheckpointTaken) -> None:
        ledger = self._ledger
        wrong = check_counters(self.result.tally, len(ledger.positions), row)
        for text in wrong:
            self._find("counters", seq, f"{row.name}: {text}")
        marks = {name: self._prices.trade(name, row.ts_ns) for name in ledger.positions}
        known = {name: mark for name, mark in marks.items() if mark is not None}
        if len(known) < len(marks):
            lost = ", ".join(sorted(set(marks) - set(known)))
            self._find("ledger", seq, f"{row.name}: the tape has no price for {lost}")
            self.result.checkpoints.append(Checked(seq, row, None, None))
            return
        equity = ledger.equity(known)
        own = {
            "balance": ledger.balance, "realised": ledger.realised, "fees": ledger.fees,
            "funding": ledger.funding,
            "unrealised": equity - ledger.balance, "equity": equity,
        }  # fmt: skip
        off = {name: getattr(row, name) - mine for name, mine in own.items() if getattr(row, name) != mine}
        off |= {"ledger_difference": row.ledger_difference} if row.ledger_difference else {}
        for name, by in off.items():
            self._find("ledger", seq, f"{row.name}: {name} differs by {by} (1e-8 USDT)")
        difference = max((abs(by) for by in off.values()), default=0)
        self.result.checkpoints.append(Checked(seq, row, equity, difference))
        self._check_lines(seq, row)

    def _check_lines(self, seq: int, row: ev.CheckpointTaken) -> None:
        """The budget and exposure a checkpoint shows against the books."""
        for line in row.budget:
            reserved = sum(o.reserved for o in self._orders.values() if o.request.strategy == line.strategy)
            used, allocated = self._used(line.strategy), self._allocated(line.strategy)
            own = (allocated, used, reserved, max(0, (allocated or 0) - used))
            said = (line.allocated, line.used, line.reserved, line.available)
            if own != said:
                self._find(
                    "budget_limits", seq, f"{row.name}: budget of {line.strategy} {said}, the books say {own}"
                )
        exposure = sum(rounded_up(h.cost, ONE) for h in self._ledger.positions.values())
        exposure += sum(order.reserved for order in self._orders.values())
        if exposure != row.exposure:
            self._find("budget_limits", seq, f"{row.name}: exposure {row.exposure}, the books say {exposure}")


_MOVES = (
    ev.WentLive, ev.Signal, ev.ExitTriggered, ev.OrderFilled, ev.OrderExpired, ev.OrderRejected,
    ev.OrderUnsent, ev.FundingSettled, ev.Liquidated, ev.ClosedByVenue,
)  # fmt: skip
"""Facts after which money, positions or reservations may have changed."""

AttemptKey = tuple[str, str, int, int]


def _key(row: ev.Signal | ev.EntryRefused | ev.FlipPlanned | ev.OrderRequested) -> AttemptKey:
    return row.symbol, row.strategy, row.side, row.bar_ns


def _attempt(row: ev.Row) -> AttemptKey | None:
    """Which attempt a row ends, if it ends one."""
    if isinstance(row, ev.EntryRefused | ev.FlipPlanned):
        return _key(row)
    if isinstance(row, ev.OrderRequested) and row.purpose is ev.Purpose.ENTRY:
        return _key(row)
    return None
