"""Any split of the rows into turns gives the same journal, byte for byte, with everything switched on."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowguardian.execution import events as ev
from flowguardian.execution.engine import Engine
from flowguardian.execution.money import units
from tests.builders import (
    MINUTE,
    SECOND,
    Machine,
    command,
    digest,
    first_difference,
    limits,
    market,
    of_kind,
)

SLOW = {"latency_min_ns": SECOND // 10, "latency_max_ns": 3 * SECOND}
WIDE = {"stop": 0.006, "target1": 0.003, "target2": 0.007}
ALL_IN = {
    "maintenance_margin": units("0.2"),
    "default_allocation": units(9),
    "max_symbol_exposure": units(9),
    "max_total_exposure": units(9),
    "risk_per_trade": units(1),
    "max_notional": units(10**6),
    "latency_max_ns": 10 * SECOND,
    "on_opposite": "flip",
}

SCENARIOS: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    # name: limits, strategy parameters, market
    "no latency": ({}, {}, {}),
    "latency": (SLOW, {}, {}),
    "no slippage": ({**SLOW, "slippage": 0}, {}, {"thin": False}),
    "partial fills": ({**SLOW, "max_slippage": units("0.0003")}, {"one_in": 1}, {}),
    "partial targets": (SLOW, {"target1": 0.001, "target2": 0.003}, {}),
    "break-even and trailing": (
        {"break_even_trigger": units("0.5"), "latency_max_ns": 2 * SECOND},
        {"target1": 0.002, "target2": 0.004, "trail": 0.0015},
        {},
    ),
    "expiry on clock rows": ({**SLOW, "max_hold_ns": 40 * SECOND}, WIDE, {"per_minute": 2}),
    "flip on opposite": ({**SLOW, "on_opposite": "flip"}, WIDE, {}),
    "close on opposite": ({**SLOW, "on_opposite": "close"}, WIDE, {}),
    "adds": (
        {**SLOW, "allow_add": True, "max_adds": 3, "on_opposite": "flip"},
        {**WIDE, "trail": 0.004, "one_in": 1},
        {},
    ),
    "backfilled rows": (SLOW, {}, {"backfilled": 0.2}),
    "levels on a path": ({}, {"target1": 0.001, "target2": 0.002}, {"path": 0.7, "tops": False}),
    "funding": (SLOW, WIDE, {"funding_every_ns": 2 * MINUTE}),
    "liquidation": (
        ALL_IN,
        {"stop": 0.03, "target1": 0.01, "target2": 0.02},
        {"funding_every_ns": 2 * MINUTE},
    ),
    "quiet symbols": (SLOW, {"one_in": 1}, {"per_minute": 1}),
}
COMMANDS = (
    (300, command(ev.Command.HALT, 1)),
    (700, command(ev.Command.RESUME, 2)),
    (1500, command(ev.Command.FLATTEN, 3)),
    (1600, command(ev.Command.RESUME, 4)),
)
TWO = ("coin", "other")


def run(name: str, seed: int, cuts: Any, *, strategies: tuple[str, ...] = ("coin",)) -> Machine:
    changed, params, shape = SCENARIOS[name]
    rows = market(seed, **{"minutes": 20, **shape})
    machine = Machine(limits(strategies=strategies, **changed), params=params, strategies=strategies)
    return machine.begin().feed(rows, cuts(len(rows)), COMMANDS)


def whole(_: int) -> list[int]:
    return []


@pytest.mark.parametrize("name", SCENARIOS)
def test_one_row_per_turn_gives_the_journal_of_one_turn(name: str) -> None:
    once = run(name, 1, whole)
    one_by_one = run(name, 1, range)
    assert first_difference(once.rows, one_by_one.rows) == ""
    assert digest(once.rows) == digest(one_by_one.rows)
    assert not of_kind(once.rows, ev.InvariantViolated)


@pytest.mark.parametrize("name", SCENARIOS)
def test_seven_rows_per_turn_and_two_strategies_give_the_journal_of_one_turn(name: str) -> None:
    once = run(name, 2, whole, strategies=TWO)
    by_seven = run(name, 2, lambda count: range(0, count, 7), strategies=TWO)
    assert first_difference(once.rows, by_seven.rows) == ""
    assert not of_kind(once.rows, ev.InvariantViolated)


@settings(max_examples=25, deadline=None)
@given(name=st.sampled_from(sorted(SCENARIOS)), seed=st.integers(0, 10**6))
def test_random_turns_give_the_journal_of_one_turn(name: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    once = run(name, seed, whole)
    cut = run(name, seed, lambda count: rng.integers(0, count, 60).tolist())
    assert first_difference(once.rows, cut.rows) == ""
    assert not of_kind(once.rows, ev.InvariantViolated)


def test_the_scenarios_reach_what_they_are_about() -> None:
    seen = {name: [row for seed in (1, 2, 3) for row in run(name, seed, whole).rows] for name in SCENARIOS}

    def reasons(name: str) -> set[str]:
        return {row.reason for row in of_kind(seen[name], ev.ExitTriggered)}

    assert reasons("partial targets") >= {"stop", "target1", "target2"}
    assert reasons("break-even and trailing") >= {"break_even", "trailing"}
    assert "expiry" in reasons("expiry on clock rows")
    assert of_kind(seen["flip on opposite"], ev.FlipPlanned)
    assert any(row.reason == "opposite" for row in of_kind(seen["close on opposite"], ev.PositionClosed))
    filled = of_kind(seen["adds"], ev.PositionIncreased)
    opened = {row.order_id for row in of_kind(seen["adds"], ev.PositionOpened)}
    assert {row.order_id for row in filled} - opened, "no add"
    assert of_kind(seen["funding"], ev.FundingSettled)
    assert of_kind(seen["liquidation"], ev.Liquidated)
    assert any(row.filled > 0 for row in of_kind(seen["partial fills"], ev.OrderExpired)), "no partial fill"


@pytest.mark.parametrize("name", SCENARIOS)
def test_folding_the_journal_gives_the_live_state_at_every_checkpoint(name: str) -> None:
    machine = run(name, 3, whole, strategies=TWO)
    folded = Engine(machine.limits)
    checkpoints = 0
    for row in machine.rows:
        if isinstance(row, ev.CheckpointTaken):
            checkpoints += 1
            assert folded.state_hash() == row.state_hash, row.name
        folded.apply(row)
    assert checkpoints == 4
    assert folded.state_hash() == machine.engine.state_hash()


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_attempt_ends_in_exactly_one_outcome(name: str) -> None:
    machine = run(name, 4, whole, strategies=TWO)
    waiting = len(machine.engine.planned)
    attempts = len(of_kind(machine.rows, ev.Signal))
    refused = len(of_kind(machine.rows, ev.EntryRefused))
    entered = sum(row.purpose is ev.Purpose.ENTRY for row in of_kind(machine.rows, ev.OrderRequested))
    assert attempts == refused + entered + waiting
    funnel = machine.engine.score.funnel()
    assert funnel[0].evaluated == refused + entered
    for step, following in pairwise(funnel):
        assert step.evaluated == step.allowed + step.reduced + step.refused, step.code
        assert following.evaluated == step.evaluated - step.refused, step.code
    last = funnel[-1]
    assert last.evaluated - last.refused == entered


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_position_that_opened_closed_or_is_still_open(name: str) -> None:
    machine = run(name, 5, whole, strategies=TWO)
    opened = len(of_kind(machine.rows, ev.PositionOpened))
    closed = len(of_kind(machine.rows, ev.PositionClosed))
    assert opened == closed + len(machine.engine.portfolio.positions)
    watched = set(machine.loop._watches)
    assert watched == set(machine.engine.portfolio.positions)
