"""Why the system this one replaces failed: one test per story of DESIGN §1 that the core can tell."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

import flowguardian
from flowguardian.execution import events as ev
from flowguardian.execution import portfolio_manager
from flowguardian.execution.money import units
from flowguardian.execution.position_sizer import fit
from flowguardian.guards import GUARDS
from flowguardian.ops.flow_guardian import bring_up
from tests.builders import (
    HOUR,
    INSTRUMENTS,
    MINUTE,
    SECOND,
    SYMBOLS,
    T0,
    Machine,
    digest,
    engine,
    filled,
    limits,
    market,
    of_kind,
    one,
    signal,
)

PACKAGE = Path(flowguardian.__file__).parent
CORE = [*(PACKAGE / "execution").glob("*.py"), *(PACKAGE / "guards").glob("*.py")]


def test_story_34_of_42_entries_traded_preloaded_history() -> None:
    machine = Machine(params={"one_in": 1})
    machine.loop.fact(ev.InstrumentsSet(T0, INSTRUMENTS))
    rows = market(1, minutes=10)
    machine.loop.turn(rows[: len(rows) // 2])
    assert len(machine.rows) == 1, "before WentLive nothing is decided"
    machine.loop.fact(ev.WentLive(machine.loop.now_ns))
    machine.loop.turn(rows[len(rows) // 2 :])
    assert of_kind(machine.rows, ev.OrderRequested)


def test_story_three_position_stores_drifted_apart() -> None:
    core = engine()
    stores = {id(part._portfolio) for part in (core.entries, core.exits, core.entries._sizer)}
    assert stores == {id(core.portfolio)} == {id(core.view.portfolio)}
    machine = Machine().begin().feed(market(2, minutes=10))
    assert set(machine.loop._watches) == set(machine.engine.portfolio.positions)


def test_story_used_budget_read_a_key_that_nobody_wrote_and_was_always_zero() -> None:
    core = engine()
    order = one(core.process(signal(T0 + 1)), ev.OrderRequested)
    assert core.portfolio.get_used_budget("coin") == order.reserved > 0
    core.process(filled(order, 1, order.qty, units(100)))
    assert core.portfolio.get_used_budget("coin") == order.qty * 100 > 0
    source = inspect.getsource(portfolio_manager)
    assert "self.used" not in source, "used budget is derived, never a counter"
    assert not re.search(r"\[[\"'](position_)?value[\"']\]", source), "no dict keys in the core"


def test_story_a_capped_quantity_was_rounded_to_nearest_and_then_refused() -> None:
    instrument = INSTRUMENTS[0]
    for qty in range(instrument.step_size, 5 * instrument.step_size, 7_001):
        assert fit(qty, instrument) <= qty
    rows = engine().process(signal(T0 + 1))
    cap, order = one(rows, ev.BudgetCapped), one(rows, ev.OrderRequested)
    assert order.reserved <= cap.cap, "a cap is followed by an order of at most that value"
    assert not of_kind(rows, ev.EntryRefused)


def test_story_a_symbol_limit_above_the_strategy_budget_trimmed_to_sizes_always_refused() -> None:
    """35 % per symbol over a budget of 25 %: the smaller room decides, and the entry is made."""
    of = limits(
        max_symbol_exposure=units("0.35"), default_allocation=units("0.25"), multi_position_scaling=False
    )
    rows = engine(of).process(signal(T0 + 1, stop_distance=units("0.1")))
    assert one(rows, ev.OrderRequested).reserved <= units(12_500)


def test_story_routine_blocks_were_logged_as_errors() -> None:
    for path in CORE:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"^\s*(import|from) (logging|structlog)", text, re.MULTILINE), path.name


def test_story_zero_blocks_meant_not_measured() -> None:
    machine = Machine().begin().feed(market(3, minutes=12))
    funnel = {line.code: line for line in machine.engine.score.funnel()}
    assert set(GUARDS) <= set(funnel), "every guard has a line"
    attempts = len(of_kind(machine.rows, ev.EntryRefused)) + machine.engine.score.requested
    assert funnel[ev.Reason.READY_GATE].evaluated == attempts > 0
    for line in funnel.values():
        assert line.evaluated == line.allowed + line.reduced + line.refused


def test_story_one_guard_starved_entries_for_hours_unseen() -> None:
    core = engine()
    core.process(ev.CommandReceived(T0 + 1, 1, ev.Command.HALT, "test"))
    rows = [row for n in range(1, 90) for row in core.process(signal(T0 + n * MINUTE))]
    alarm = one(rows, ev.GuardStarvation)
    assert (alarm.guard, alarm.release) == (ev.Reason.READY_GATE, "resume_command")
    assert T0 + HOUR <= alarm.ts_ns <= T0 + HOUR + MINUTE


def test_story_a_slippage_check_after_the_fill_left_orphan_positions() -> None:
    """A fill always lands, at any price; what nobody planned to hold is closed at once."""
    core = engine()
    order = one(core.process(signal(T0 + 1)), ev.OrderRequested)
    core.process(filled(order, 1, order.qty, units(250)))
    assert core.portfolio.positions[SYMBOLS[0]].qty == order.qty
    core = engine()
    core.process(ev.OrderRejected(T0, order.order_id, SYMBOLS[0], -1, "no"))
    rows = core.process(filled(order, 1, order.qty, units(100)))
    assert one(rows, ev.OrderRequested).purpose is ev.Purpose.EXIT


def test_story_a_one_way_flip_closed_twice() -> None:
    core = engine(limits(on_opposite="flip"))
    order = one(core.process(signal(T0 + 1)), ev.OrderRequested)
    core.process(filled(order, 1, order.qty, units(100)))
    rows = []
    for number in (2, 3, 4):
        at = T0 + number * SECOND
        rows += core.process(signal(at, side=-1, marks=(units(100),)))
    close = one(rows, ev.OrderRequested)
    rows = core.process(filled(close, 2, close.qty, units(100), T0 + 5 * SECOND))
    assert one(rows, ev.OrderRequested).purpose is ev.Purpose.ENTRY


@pytest.mark.parametrize("cuts", [(), range(0, 10**6, 97)])
def test_story_it_died_at_ten_hours_and_nobody_could_go_on(cuts: tuple[int, ...]) -> None:
    """State is the fold of the rows: a fresh engine that applies them stands where the old one stood."""
    rows = market(6, minutes=15)
    machine = Machine(limits(latency_max_ns=SECOND)).begin()
    machine.feed(rows, (cut for cut in cuts if cut < len(rows)))
    fresh = engine(machine.limits, live=False)
    for row in machine.rows:
        fresh.apply(row)
    assert fresh.state_hash() == machine.engine.state_hash()


def test_story_the_start_gate_used_random_constants_and_could_not_fail(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The gate runs the engine: the same rows give the same journal, and one other decision closes it."""
    assert bring_up().ready
    with monkeypatch.context() as changed:
        changed.setattr(GUARDS[ev.Reason.VOLUME], "review", lambda *_: None)
        assert not bring_up().ready
    first = Machine().begin().feed(market(7, minutes=8))
    assert digest(first.rows) == digest(Machine().begin().feed(market(7, minutes=8)).rows)
    assert digest(first.rows) != digest(Machine().begin().feed(market(8, minutes=8)).rows)
