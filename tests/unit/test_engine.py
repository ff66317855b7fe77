"""What the engine concludes from facts, without any market."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from flowguardian.execution import events as ev
from flowguardian.execution.engine import Engine
from flowguardian.execution.money import units
from tests.builders import SECOND, SYMBOLS, T0, engine, filled, limits, of_kind, one, signal

BTC = SYMBOLS[0]


class Desk:
    """An engine with the numbers of fills and seconds kept."""

    def __init__(self, **changed: Any) -> None:
        self.engine: Engine = engine(limits(**changed))
        self.now = T0
        self.fills = 0
        self.rows: list[ev.Row] = []

    def signal(self, side: int = 1, symbol: str = BTC, **changed: Any) -> list[ev.Row]:
        self.now += SECOND
        marks = (units(100),) * len(self.engine.portfolio.positions)
        return self.process(signal(self.now, symbol, side, **{"marks": marks, **changed}))

    def process(self, fact: ev.Row) -> list[ev.Row]:
        made = self.engine.process(fact)
        self.rows += made
        return made

    def fill(
        self, order: ev.OrderRequested, qty: int | None = None, price: int | None = None
    ) -> list[ev.Row]:
        self.fills += 1
        self.now += SECOND
        return self.process(filled(order, self.fills, qty or order.qty, price or units(100), self.now))

    def enter(self, side: int = 1, symbol: str = BTC, **changed: Any) -> ev.OrderRequested:
        order: ev.OrderRequested = one(self.signal(side, symbol, **changed), ev.OrderRequested)
        self.fill(order)
        return order

    def trigger(self, reason: ev.ExitReason = ev.ExitReason.STOP, symbol: str = BTC) -> list[ev.Row]:
        self.now += SECOND
        return self.process(ev.ExitTriggered(self.now, symbol, reason, units(99), units(99)))

    def command(self, what: ev.Command) -> list[ev.Row]:
        self.now += SECOND
        return self.process(ev.CommandReceived(self.now, 1, what, "test"))

    def healthy(self) -> bool:
        return not of_kind(self.rows, ev.InvariantViolated)


def test_before_going_live_a_signal_leads_to_nothing() -> None:
    core = engine(live=False)
    assert len(core.process(signal(T0 + 1))) == 1
    core.process(ev.WentLive(T0 + 2))
    assert of_kind(core.process(signal(T0 + 3)), ev.OrderRequested)


def test_the_first_row_of_a_run_is_followed_by_its_shadowed_limits() -> None:
    shadowed = ev.LimitShadowed(T0, "a", 2, "b", 1)
    core = Engine(limits(), (shadowed,))
    config = msgspec.Raw(b"{}")
    start = ev.RunStarted(
        T0, "r", "rehearsal", "paper", "synthetic", config, "", "", "", "1", 1, SYMBOLS, 0, 0
    )
    assert core.process(start) == [start, shadowed]


def test_a_position_carries_the_levels_of_its_order_from_its_fill_price() -> None:
    desk = Desk()
    order = one(desk.signal(target2_distance=units(3)), ev.OrderRequested)
    opened = one(desk.fill(order, price=units("100.1")), ev.PositionOpened)
    assert (opened.stop, opened.target1, opened.target2) == (units("99.1"), units("102.1"), units("103.1"))
    assert opened.expiry_ns == desk.now + limits().strategies["coin"].max_hold_ns


def test_the_first_target_closes_its_fraction_and_the_second_the_rest() -> None:
    desk = Desk()
    order = desk.enter(target2_distance=units(3))
    half = one(desk.trigger(ev.ExitReason.TARGET1), ev.OrderRequested)
    assert half.qty == order.qty // 2 // 100_000 * 100_000
    assert one(desk.fill(half), ev.PositionReduced).reason is ev.ExitReason.TARGET1
    rest = one(desk.trigger(ev.ExitReason.TARGET2), ev.OrderRequested)
    assert rest.qty == order.qty - half.qty
    assert one(desk.fill(rest), ev.PositionClosed).reason is ev.ExitReason.TARGET2
    assert desk.healthy()


def test_an_exit_is_asked_for_once_while_it_is_on_its_way() -> None:
    desk = Desk()
    desk.enter()
    assert of_kind(desk.trigger(), ev.OrderRequested)
    assert not of_kind(desk.trigger(), ev.OrderRequested)


@pytest.mark.parametrize("state", [ev.Command.HALT, ev.Command.FLATTEN])
def test_a_halted_engine_refuses_entries_and_lets_every_exit_through(state: ev.Command) -> None:
    desk = Desk()
    desk.enter()
    rows = desk.command(state)
    if state is ev.Command.HALT:
        rows = desk.trigger()
    order = one(rows, ev.OrderRequested)
    assert one(desk.signal(symbol=SYMBOLS[1]), ev.EntryRefused).code is ev.Reason.READY_GATE
    assert one(desk.fill(order), ev.PositionClosed)
    desk.command(ev.Command.RESUME)
    assert of_kind(desk.signal(symbol=SYMBOLS[1]), ev.OrderRequested)


def test_commands_are_idempotent() -> None:
    desk = Desk()
    assert of_kind(desk.command(ev.Command.HALT), ev.TradingStateChanged)
    assert not of_kind(desk.command(ev.Command.HALT), ev.TradingStateChanged)
    assert of_kind(desk.command(ev.Command.RESUME), ev.TradingStateChanged)
    assert not of_kind(desk.command(ev.Command.RESUME), ev.TradingStateChanged)


def test_flatten_also_closes_what_a_partial_target_leaves() -> None:
    desk = Desk()
    desk.enter(target2_distance=units(3))
    half = one(desk.trigger(ev.ExitReason.TARGET1), ev.OrderRequested)
    assert not of_kind(desk.command(ev.Command.FLATTEN), ev.OrderRequested), "one exit is on its way"
    rest = one(desk.fill(half), ev.OrderRequested)
    assert rest.reason == ev.ExitReason.FLATTEN
    assert one(desk.fill(rest), ev.PositionClosed)


def test_flatten_also_closes_what_an_entry_on_its_way_still_fills() -> None:
    desk = Desk()
    entry = one(desk.signal(), ev.OrderRequested)
    desk.command(ev.Command.FLATTEN)
    rows = desk.fill(entry)
    assert one(rows, ev.PositionOpened)
    assert one(desk.fill(one(rows, ev.OrderRequested)), ev.PositionClosed).reason is ev.ExitReason.FLATTEN


def test_an_exit_that_expired_rejected_or_unsent_is_asked_for_again() -> None:
    desk = Desk()
    desk.enter()
    order = one(desk.trigger(), ev.OrderRequested)
    desk.fill(order, order.qty // 4)
    again = one(
        desk.process(ev.OrderExpired(desk.now, order.order_id, BTC, order.qty // 4)), ev.OrderRequested
    )
    assert again.qty == order.qty - order.qty // 4
    last = one(desk.process(ev.OrderRejected(desk.now, again.order_id, BTC, -1, "busy")), ev.OrderRequested)
    assert (last.qty, last.reason) == (again.qty, "stop")
    last = one(desk.process(ev.OrderUnsent(desk.now, last.order_id, BTC)), ev.OrderRequested)
    assert one(desk.fill(last), ev.PositionClosed).reason is ev.ExitReason.STOP
    assert desk.healthy()


def test_a_rejected_entry_gives_its_budget_back_and_an_unknown_one_keeps_it() -> None:
    desk = Desk()
    order = one(desk.signal(), ev.OrderRequested)
    desk.process(ev.OrderUnknown(desk.now, order.order_id, BTC))
    assert desk.engine.portfolio.get_used_budget("coin") == order.reserved
    assert one(desk.signal(), ev.EntryRefused).code is ev.Reason.DUPLICATE_ENTRY
    assert len(desk.process(ev.OrderRejected(desk.now, order.order_id, BTC, -1, "no"))) == 1
    assert desk.engine.portfolio.get_used_budget("coin") == 0
    assert desk.healthy()


def test_a_flip_closes_once_and_enters_only_after_the_close_has_filled() -> None:
    desk = Desk(on_opposite="flip")
    desk.enter(1)
    rows = desk.signal(-1)
    close = one(rows, ev.OrderRequested)
    assert (close.purpose, close.reason) == (ev.Purpose.EXIT, ev.ExitReason.OPPOSITE)
    assert one(rows, ev.FlipPlanned)
    assert not of_kind(desk.fill(close, close.qty // 2), ev.OrderRequested), "half a close enters nothing"
    rows = desk.fill(close, close.qty - close.qty // 2)
    assert one(rows, ev.PositionClosed)
    entry = one(rows, ev.OrderRequested)
    assert (entry.purpose, entry.side) == (ev.Purpose.ENTRY, -1)
    assert desk.engine.planned == {}
    assert desk.healthy()


def test_a_second_opposite_signal_does_not_close_twice_nor_lose_the_first_attempt() -> None:
    desk = Desk(on_opposite="flip")
    desk.enter(1)
    close = one(desk.signal(-1), ev.OrderRequested)
    rows = desk.signal(-1)
    assert not of_kind(rows, ev.OrderRequested)
    assert one(rows, ev.EntryRefused).code is ev.Reason.DUPLICATE_ENTRY
    assert of_kind(desk.fill(close), ev.OrderRequested)
    signals, refused = len(of_kind(desk.rows, ev.Signal)), len(of_kind(desk.rows, ev.EntryRefused))
    entered = [row for row in of_kind(desk.rows, ev.OrderRequested) if row.purpose is ev.Purpose.ENTRY]
    assert signals == refused + len(entered)


def test_a_flip_during_a_partial_target_closes_the_rest_first() -> None:
    desk = Desk(on_opposite="flip")
    desk.enter(1, target2_distance=units(3))
    half = one(desk.trigger(ev.ExitReason.TARGET1), ev.OrderRequested)
    assert one(desk.signal(-1), ev.FlipPlanned)
    rest = one(desk.fill(half), ev.OrderRequested)
    assert (rest.purpose, rest.reason) == (ev.Purpose.EXIT, ev.ExitReason.OPPOSITE)
    assert one(desk.fill(rest), ev.OrderRequested).purpose is ev.Purpose.ENTRY


def test_a_flip_whose_position_is_liquidated_still_ends_in_one_outcome() -> None:
    desk = Desk(on_opposite="flip")
    entry = desk.enter(1)
    desk.signal(-1)
    rows = desk.process(ev.Liquidated(desk.now, BTC, entry.qty, units(90), 1))
    assert one(rows, ev.PositionClosed).reason is ev.ExitReason.LIQUIDATION
    assert len(of_kind(rows, ev.OrderRequested)) + len(of_kind(rows, ev.EntryRefused)) == 1


def test_another_strategys_refusal_on_the_same_bar_leaves_a_planned_flip_alone() -> None:
    desk = Desk(on_opposite="flip", strategies=("coin", "other"))
    desk.enter(1)
    desk.signal(-1, bar_ns=T0)
    assert one(desk.signal(-1, strategy="other", bar_ns=T0), ev.EntryRefused)
    assert BTC in desk.engine.planned


def test_a_strategy_never_closes_the_position_of_another() -> None:
    for policy in ("close", "flip"):
        desk = Desk(on_opposite=policy, strategies=("coin", "other"))
        desk.enter(1)
        rows = desk.signal(-1, strategy="other")
        assert not of_kind(rows, ev.OrderRequested)
        assert one(rows, ev.EntryRefused).code is ev.Reason.DUPLICATE_ENTRY


def test_close_on_opposite_closes_and_refuses_the_entry() -> None:
    desk = Desk(on_opposite="close")
    desk.enter(1)
    rows = desk.signal(-1)
    assert one(rows, ev.OrderRequested).reason == ev.ExitReason.OPPOSITE
    assert one(rows, ev.EntryRefused)


def test_an_add_makes_the_position_larger_and_the_next_is_refused() -> None:
    desk = Desk(allow_add=True, max_adds=1)
    first = desk.enter()
    add = one(desk.signal(), ev.OrderRequested)
    grown = one(desk.fill(add), ev.PositionIncreased)
    assert grown.qty == first.qty + add.qty
    assert one(desk.signal(), ev.EntryRefused).code is ev.Reason.DUPLICATE_ENTRY


def test_a_fill_after_the_end_of_its_order_lands_is_named_and_closed_at_once() -> None:
    desk = Desk()
    order = one(desk.signal(), ev.OrderRequested)
    desk.process(ev.OrderExpired(desk.now, order.order_id, BTC, 0))
    rows = desk.fill(order)
    assert one(rows, ev.InvariantViolated).invariant == "I03"
    assert one(rows, ev.TradingStateChanged).state is ev.TradingState.HALTED
    close = one(rows, ev.OrderRequested)
    assert (close.purpose, close.qty) == (ev.Purpose.EXIT, order.qty), "nobody planned to hold this"
    assert one(desk.fill(close), ev.PositionClosed)


def test_closing_more_than_held_reports_the_close_and_closes_the_rest() -> None:
    desk = Desk()
    order = desk.enter()
    close = one(desk.trigger(), ev.OrderRequested)
    rows = desk.fill(close, close.qty + units(1))
    assert one(rows, ev.PositionClosed).reason is ev.ExitReason.STOP
    assert one(rows, ev.InvariantViolated).invariant == "I03"
    back = one(rows, ev.OrderRequested)
    assert (back.side, back.qty) == (order.side, units(1))
    assert one(desk.fill(back), ev.PositionClosed)
    assert desk.engine.portfolio.positions == {}


def test_an_entry_that_meets_an_opposite_position_only_reduces_it() -> None:
    """Only possible with `duplicate_entry` switched off: the books stay exact all the same."""
    enabled = limits().guards.enabled - {ev.Reason.DUPLICATE_ENTRY}
    desk = Desk(enabled=enabled)
    first = desk.enter(1)
    second = one(desk.signal(-1), ev.OrderRequested)
    desk.fill(second, min(first.qty, second.qty))
    assert not any(row.invariant == "I01" for row in of_kind(desk.rows, ev.InvariantViolated))


def test_losses_beyond_the_budget_are_one_row_until_it_is_back_within() -> None:
    desk = Desk()
    for symbol in SYMBOLS:
        desk.enter(symbol=symbol)
    rows = desk.process(ev.FundingSettled(desk.now, BTC, 1, 1, -units(10_000)))
    over = one(rows, ev.BudgetOver)
    assert over.used > over.allocated
    assert not of_kind(desk.process(ev.FundingSettled(desk.now, BTC, 1, 1, -1)), ev.BudgetOver)
    desk.process(ev.FundingSettled(desk.now, BTC, 1, 1, units(20_000)))
    assert of_kind(desk.process(ev.FundingSettled(desk.now, BTC, 1, 1, -units(20_000))), ev.BudgetOver)


def test_a_feed_gap_makes_a_symbol_cold_until_it_is_warm_again() -> None:
    desk = Desk()
    desk.process(ev.FeedGap(T0, BTC, T0, T0, 1))
    assert one(desk.signal(bars_seen=1), ev.EntryRefused).code is ev.Reason.WARMUP
    assert of_kind(desk.signal(symbol=SYMBOLS[1]), ev.OrderRequested)
    assert of_kind(desk.signal(bars_seen=2), ev.OrderRequested)


def test_a_shadow_guard_is_named_in_the_order_it_would_have_refused() -> None:
    desk = Desk()
    order = one(desk.signal(move=0.9, bid=units("99.99"), ask=units("100.01")), ev.OrderRequested)
    assert order.shadow == (ev.Reason.FLASH_MOVE,)
    count = next(line for line in desk.engine.score.funnel() if line.code is ev.Reason.FLASH_MOVE)
    assert (count.enabled, count.shadow, count.refused, count.evaluated) == (False, 1, 0, 1)


def test_a_checkpoint_is_an_exact_account_of_itself() -> None:
    desk = Desk()
    desk.enter()
    marks = (units(101),)
    taken = one(
        desk.process(ev.TimerFired(desk.now, "M5", 5, marks, units(60_000), units(50_000))),
        ev.CheckpointTaken,
    )
    assert taken.ledger_difference == 0
    assert taken.equity == taken.balance + taken.unrealised == desk.engine.portfolio.equity(marks)
    assert taken.balance == units(50_000) + taken.realised - taken.fees + taken.funding
    assert (taken.peak_equity, taken.open_positions, taken.entries) == (units(60_000), 1, 1)
    assert [line.strategy for line in taken.budget] == ["coin"]


def test_the_state_hash_covers_what_the_next_decision_looks_at() -> None:
    desk, twin = Desk(), Desk()
    desk.signal(), twin.signal()
    assert desk.engine.state_hash() == twin.engine.state_hash()
    at = desk.now + SECOND
    desk.process(ev.TimerFired(at, "M5", 5, (), units(60_000), units(50_000)))
    twin.process(ev.TimerFired(at, "M5", 5, (), units(70_000), units(50_000)))
    assert desk.engine.state_hash() != twin.engine.state_hash()


def test_folding_rows_that_hold_a_violation_does_not_report_it_again() -> None:
    desk = Desk()
    order = one(desk.signal(), ev.OrderRequested)
    desk.process(ev.OrderExpired(desk.now, order.order_id, BTC, 0))
    desk.fill(order)
    folded = engine(desk.engine.limits)
    for row in desk.rows:
        folded.apply(row)
    assert folded.state_hash() == desk.engine.state_hash()
    assert not of_kind(
        folded.process(ev.CommandReceived(desk.now, 9, ev.Command.HALT, "t")), ev.InvariantViolated
    )


def test_decide_alone_changes_nothing() -> None:
    core = engine()
    fact = signal(T0 + 1)
    core.apply(fact)
    before = core.state_hash()
    first = next(iter(core.decide(fact)))
    assert isinstance(first, ev.BudgetCapped)
    assert core.state_hash() == before
