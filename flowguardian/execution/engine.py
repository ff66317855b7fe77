"""The engine: `process(fact)` applies a fact, then yields decisions one by one, applying each.

Rule: `apply` is the only mutation and `decide` only reads; folding the rows of a journal through `apply`
gives this state again. No clock, no I/O, no randomness: time is the stamp of the fact.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec

from flowguardian.execution import events as ev
from flowguardian.execution.entries import EntryPipeline
from flowguardian.execution.exits import ExitDecider
from flowguardian.execution.invariants import (
    AFTER,
    Finding,
    Findings,
    books_difference,
    check_fill_id,
    check_funding_id,
    check_request,
)
from flowguardian.execution.limits import Limits
from flowguardian.execution.orders import IllegalTransition
from flowguardian.execution.portfolio_manager import PortfolioManager, Position
from flowguardian.execution.scorecard import Scorecard
from flowguardian.guards.base import View
from flowguardian.market.instruments import Instrument

Decisions = Iterator[ev.Row]


class Engine:
    """State and decisions of one run."""

    def __init__(
        self,
        limits: Limits,
        shadowed: tuple[ev.LimitShadowed, ...] = (),
        portfolio: PortfolioManager | None = None,
    ) -> None:
        self.limits = limits
        self.portfolio = portfolio or PortfolioManager(limits)
        self.instruments: dict[str, Instrument] = {}
        self.view = View(limits, self.portfolio)
        self.entries = EntryPipeline(limits, self.portfolio, self.view, self.instruments)
        self.exits = ExitDecider(limits, self.portfolio, self.instruments)
        self.score = Scorecard(limits, self.entries.guards)
        self.live = False
        self.flattening = False
        """A flatten command stands: what still fills is closed, until `resume`."""
        self.planned: dict[str, ev.Signal] = {}
        """Flips waiting for their close to fill."""
        self._shadowed = shadowed
        self._signal: ev.Signal | None = None
        self._moved: tuple[Position, int] | None = None
        self._request: ev.OrderRequested | None = None
        """The order the last order fact was about."""
        self._findings: list[Finding] = []
        self._over: set[str] = set()
        self._decide = self._deciders()
        self._changes = self._all_changes()

    # ---- the three verbs

    def process(self, fact: ev.Row) -> list[ev.Row]:
        """Apply a fact and every decision that follows; returns `[fact, *decisions]`, one transaction."""
        rows = [fact]
        self.apply(fact)
        for decision in self.decide(fact):
            self.apply(decision)
            rows.append(decision)
        if self._findings:
            for violation in self._violations(fact.ts_ns):
                self.apply(violation)
                rows.append(violation)
        return rows

    def apply(self, row: ev.Row) -> None:
        """Change the state by one row."""
        for change in self._changes[type(row)]:
            change(row)

    def decide(self, fact: ev.Row) -> Decisions:
        """What follows from a fact that was just applied; reads only."""
        decider = self._decide.get(type(fact))
        return decider(fact) if decider is not None else iter(())

    # ---- apply, by kind

    def _all_changes(self) -> dict[type[ev.Row], tuple[Callable[[ev.Row], None], ...]]:
        """Who hears which rows, in order: the engine's own state, guards, counters, invariants."""
        own, guards, score = self._appliers(), self.entries.listeners(), self.score.listeners()
        table = {}
        for kind in ev.KINDS.values():
            heard = [own[kind]] if kind in own else []
            heard += [*guards.get(kind, ()), *score.get(kind, ())]
            heard += [self._checking(check) for check in AFTER.get(kind, ())]
            table[kind] = tuple(heard)
        return table

    def _checking(self, check: Callable[[PortfolioManager], Findings]) -> Callable[[ev.Row], None]:
        def run(_: ev.Row) -> None:
            self._findings += check(self.portfolio)

        return run

    def _appliers(self) -> dict[type[ev.Row], Callable[[Any], None]]:
        portfolio = self.portfolio
        return {
            ev.InstrumentsSet: self._apply_instruments,
            ev.WentLive: self._apply_live,
            ev.FeedGap: lambda row: self.view.degraded.add(row.symbol),
            ev.Signal: self._apply_signal,
            ev.OrderRequested: self._apply_request,
            ev.EntryRefused: self._forget_flip,
            ev.OrderFilled: self._apply_fill,
            ev.OrderExpired: self._apply_order_event,
            ev.OrderRejected: self._apply_order_event,
            ev.OrderUnknown: self._apply_order_event,
            ev.OrderUnsent: self._apply_order_event,
            ev.FundingSettled: self._apply_funding,
            ev.TimerFired: self._look,
            ev.CommandReceived: self._apply_command,
            ev.Liquidated: self._apply_liquidation,
            ev.ClosedByVenue: self._apply_closed_by_venue,
            ev.PositionOpened: portfolio.open,
            ev.PositionReduced: self._apply_reduced,
            ev.FlipPlanned: self._apply_flip,
            ev.TradingStateChanged: self._apply_trading_state,
            ev.BudgetOver: lambda row: self._over.add(row.strategy),
            ev.PositionNaked: self._apply_naked,
            ev.InvariantViolated: lambda _: self._findings.clear(),
        }

    def _apply_instruments(self, row: ev.InstrumentsSet) -> None:
        self.instruments.update({instrument.symbol: instrument for instrument in row.instruments})

    def _apply_live(self, _: ev.Row) -> None:
        self.live = True
        self.view.ready = True

    def _apply_signal(self, row: ev.Signal) -> None:
        self._signal = row
        if self.live:
            self._look(row)
        if row.symbol in self.view.degraded and row.bars_seen >= self.limits.guards.warmup_bars:
            self.view.degraded.discard(row.symbol)

    def _apply_request(self, row: ev.OrderRequested) -> None:
        self.portfolio.request(row)
        self._forget_flip(row)
        self._findings += check_request(row, self.portfolio)

    def _forget_flip(self, row: ev.OrderRequested | ev.EntryRefused) -> None:
        """A planned flip ends with the outcome of its own attempt."""
        planned = self.planned.get(row.symbol)
        if planned is not None and (planned.bar_ns, planned.strategy) == (row.bar_ns, row.strategy):
            del self.planned[row.symbol]

    def _apply_fill(self, row: ev.OrderFilled) -> None:
        self._findings += check_fill_id(row, self.portfolio)
        order = self.portfolio.orders.get(row.order_id)
        self._request = order.request if order else None
        position, realised, fault = self.portfolio.fill(row, order)
        self._moved = (position, realised)
        if fault:
            self._findings.append(("I03", fault))
        self._settle_budget()

    def _apply_order_event(self, row: ev.Row) -> None:
        order = self.portfolio.orders.get(row.order_id)  # type: ignore[attr-defined]
        if order is None:
            self._request = None
            self._findings.append(("I03", f"{type(row).__name__} for an order that is not live"))
            return
        self._request = order.request
        try:
            order.apply(row)
        except IllegalTransition as error:
            self._findings.append(("I03", str(error)))
        if order.is_closed:
            self.portfolio.settle(order)
        self._settle_budget()

    def _apply_liquidation(self, row: ev.Liquidated) -> None:
        self._moved = self.portfolio.liquidate(row)
        self._settle_budget()

    def _apply_closed_by_venue(self, row: ev.ClosedByVenue) -> None:
        self._findings += check_fill_id(row, self.portfolio)
        self.portfolio.note_fill(row.symbol, row.fill_id)
        if row.symbol in self.portfolio.positions:
            self._apply_liquidation(row)
        else:
            self._moved = None
            self._findings.append(("I02", f"fill {row.fill_id} closed {row.symbol}, which is not held"))

    def _apply_funding(self, row: ev.FundingSettled) -> None:
        self._findings += check_funding_id(row, self.portfolio)
        self.portfolio.fund(row)
        self._settle_budget()

    def _apply_command(self, row: ev.CommandReceived) -> None:
        if row.command is ev.Command.FLATTEN:
            self.flattening = True
        elif row.command is ev.Command.RESUME:
            self.flattening = False

    def _apply_reduced(self, row: ev.PositionReduced) -> None:
        if row.reason is ev.ExitReason.TARGET1:
            self.portfolio.positions[row.symbol].target1_taken = True

    def _apply_naked(self, row: ev.PositionNaked) -> None:
        self._findings.append(("I09", f"{row.symbol}: no stop at the venue since {row.since_ns}: {row.why}"))

    def _apply_flip(self, row: ev.FlipPlanned) -> None:
        if self._signal is not None:
            self.planned[row.symbol] = self._signal

    def _apply_trading_state(self, row: ev.TradingStateChanged) -> None:
        self.view.trading_state = row.state

    def _settle_budget(self) -> None:
        """A strategy back within its budget may be reported again when it leaves it."""
        for strategy in tuple(self._over):
            if self.portfolio.get_used_budget(strategy) <= self.portfolio.get_allocated_budget(strategy):
                self._over.discard(strategy)

    # ---- decide, by kind

    def _deciders(self) -> dict[type[ev.Row], Callable[[Any], Decisions]]:
        return {
            ev.RunStarted: self._on_start,
            ev.Signal: self._on_signal,
            ev.ExitTriggered: self.exits.on_trigger,
            ev.OrderFilled: self._on_fill,
            ev.OrderExpired: self._on_unfilled,
            ev.OrderRejected: self._on_unfilled,
            ev.OrderUnsent: self._on_unfilled,
            ev.FundingSettled: lambda row: self._over_budget(row.ts_ns),
            ev.Liquidated: self._on_liquidated,
            ev.ClosedByVenue: self._on_liquidated,
            ev.TimerFired: self._on_timer,
            ev.CommandReceived: self._on_command,
            ev.AccountReconciled: self._on_reconciled,
        }

    def _on_start(self, row: ev.RunStarted) -> Decisions:
        for shadowed in self._shadowed:
            yield msgspec.structs.replace(shadowed, ts_ns=row.ts_ns)

    def _on_signal(self, signal: ev.Signal) -> Decisions:
        if not self.live:
            return
        position = self.portfolio.positions.get(signal.symbol)
        policy = self.limits.strategies[signal.strategy].on_opposite
        own = position is not None and position.strategy == signal.strategy
        if position is not None and own and position.side != signal.side and policy != "ignore":
            if not position.exit_order_id:
                yield self.exits.close(signal.ts_ns, position, ev.ExitReason.OPPOSITE)
            if policy == "flip" and signal.symbol not in self.planned:
                yield ev.FlipPlanned(signal.ts_ns, signal.symbol, signal.strategy, signal.side, signal.bar_ns)
                return
        yield from self.entries.attempt(signal)
        yield from self.score.starving(signal.ts_ns, self.portfolio)

    def _on_fill(self, fill: ev.OrderFilled) -> Decisions:
        if self._moved is None:
            return
        position, realised = self._moved
        if fill.side == position.side:
            yield self.entries.filled(fill, position)
        else:
            request = self._request
            planned = request is not None and request.purpose is ev.Purpose.EXIT
            reason = request.reason if request is not None and planned else ev.ExitReason.FLATTEN
            yield self.exits.filled(fill, position, realised, reason)
        yield from self._follow_up(fill.ts_ns, fill.symbol)
        yield from self._over_budget(fill.ts_ns)

    def _follow_up(self, ts_ns: int, symbol: str) -> Decisions:
        """After a fill: enter a planned flip once flat; close what nobody wants to hold."""
        position = self.portfolio.positions.get(symbol)
        planned = self.planned.get(symbol)
        if position is None:
            if planned is not None:
                yield from self.entries.attempt(msgspec.structs.replace(planned, ts_ns=ts_ns, marks=()))
        elif not position.exit_order_id:
            if self.flattening or position.entry is None:
                yield self.exits.close(ts_ns, position, ev.ExitReason.FLATTEN)
            elif planned is not None:
                yield self.exits.close(ts_ns, position, ev.ExitReason.OPPOSITE)

    def _on_unfilled(self, row: ev.OrderExpired | ev.OrderRejected | ev.OrderUnsent) -> Decisions:
        if self._request is not None:
            yield from self.exits.on_unfilled(row, self._request)

    def _on_liquidated(self, row: ev.Liquidated) -> Decisions:
        if self._moved is not None:
            position, realised = self._moved
            yield self.exits.liquidated(row, position, realised)
            yield from self._follow_up(row.ts_ns, row.symbol)
            yield from self._over_budget(row.ts_ns)

    def _on_timer(self, timer: ev.TimerFired) -> Decisions:
        yield from self.score.starving(timer.ts_ns, self.portfolio)
        yield self._checkpoint(timer)

    def _on_command(self, row: ev.CommandReceived) -> Decisions:
        if row.command is ev.Command.HALT or row.command is ev.Command.FLATTEN:
            if self.view.trading_state is not ev.TradingState.HALTED:
                yield ev.TradingStateChanged(row.ts_ns, ev.TradingState.HALTED, f"{row.command} by {row.by}")
        elif row.command is ev.Command.RESUME and self.view.trading_state is not ev.TradingState.ACTIVE:
            yield ev.TradingStateChanged(row.ts_ns, ev.TradingState.ACTIVE, f"resume by {row.by}")
        if row.command is ev.Command.FLATTEN:
            for position in tuple(self.portfolio.positions.values()):
                if not position.exit_order_id:
                    yield self.exits.close(row.ts_ns, position, ev.ExitReason.FLATTEN)

    def _on_reconciled(self, row: ev.AccountReconciled) -> Decisions:
        """An account that is not the one in the books takes no more entries; a person says go on."""
        if row.difference and self.view.trading_state is not ev.TradingState.HALTED:
            why = f"the account differs: {row.difference}"
            yield ev.TradingStateChanged(row.ts_ns, ev.TradingState.HALTED, why)

    def _over_budget(self, ts_ns: int) -> Decisions:
        for strategy in self.limits.strategies:
            used = self.portfolio.get_used_budget(strategy)
            allocated = self.portfolio.get_allocated_budget(strategy)
            if used > allocated and strategy not in self._over:
                yield ev.BudgetOver(ts_ns, strategy, allocated, used)

    def _violations(self, ts_ns: int) -> Iterable[ev.Row]:
        """The findings of this fact as rows; entries stop at the first."""
        rows: list[ev.Row] = [ev.InvariantViolated(ts_ns, name, text) for name, text in self._findings]
        self._findings.clear()
        if self.view.trading_state is not ev.TradingState.HALTED:
            rows.append(ev.TradingStateChanged(ts_ns, ev.TradingState.HALTED, "an invariant was violated"))
        return rows

    # ---- what the guards and the checkpoint see

    def _look(self, row: ev.Signal | ev.TimerFired) -> None:
        view = self.view
        view.equity = self.portfolio.equity(row.marks)
        view.peak_equity = max(row.peak_equity, view.equity)
        view.day_start_equity = row.day_start_equity

    def _checkpoint(self, timer: ev.TimerFired) -> ev.CheckpointTaken:
        portfolio, score = self.portfolio, self.score
        balance = portfolio.balance()
        return ev.CheckpointTaken(
            ts_ns=timer.ts_ns,
            name=timer.name,
            run_ns=timer.run_ns,
            signals=score.signals,
            entries=score.entries,
            budget_caps=score.budget_caps,
            budget_blocks=score.refused[ev.Reason.PORTFOLIO_BUDGET],
            check_blocks=score.check_blocks(),
            closed=score.closed,
            open_positions=len(portfolio.positions),
            equity=self.view.equity,
            balance=balance,
            realised=portfolio.realised,
            fees=portfolio.fees,
            funding=portfolio.funding,
            unrealised=self.view.equity - balance,
            peak_equity=self.view.peak_equity,
            ledger_difference=books_difference(portfolio),
            exposure=portfolio.total_exposure(),
            budget=tuple(portfolio.budget_line(strategy) for strategy in self.limits.strategies),
            guards=score.funnel(),
            trading_state=self.view.trading_state,
            state_hash=self.state_hash(),
        )

    def state_hash(self) -> str:
        """sha256 of everything decisions depend on; equal after folding the same rows (I14)."""
        state = (
            self.live,
            self.flattening,
            self.view.trading_state,
            (self.view.equity, self.view.peak_equity, self.view.day_start_equity),
            list(self.instruments.values()),
            sorted(self.view.degraded),
            sorted(self._over),
            sorted(self.planned.items()),
            self.portfolio.snapshot(),
            self.entries.snapshot(),
            self.score.snapshot(),
        )
        return hashlib.sha256(msgspec.json.encode(state)).hexdigest()
