"""FlowGuardian: a table of states, and a self-test that really decides."""

from __future__ import annotations

import itertools
import time

import pytest

from flowguardian.brokers import paper
from flowguardian.execution import money
from flowguardian.execution.events import TradingState
from flowguardian.guards.base import Refused, Release
from flowguardian.guards.flash_move import FlashMove
from flowguardian.guards.volume import Volume
from flowguardian.ops import self_test
from flowguardian.ops.flow_guardian import (
    TRANSITIONS,
    FlowGuardian,
    IllegalStep,
    State,
    Step,
    bring_up,
)
from flowguardian.ops.golden.store import FOLDER, GoldenDamaged
from flowguardian.ops.self_test import SelfTest, run_self_test
from flowguardian.ops.words import Words

ACTIVE, REDUCING, HALTED = TradingState.ACTIVE, TradingState.REDUCING, TradingState.HALTED


def cause(step: Step) -> tuple[Words, ...]:
    return (Words("worn out", "낡음"),) if step is Step.FAIL else ()


def at(state: State) -> FlowGuardian:
    guardian = FlowGuardian()
    guardian.state = state
    return guardian


@pytest.mark.parametrize(("state", "step"), list(itertools.product(State, Step)))
def test_a_step_that_is_not_in_the_table_raises_and_changes_nothing(state: State, step: Step) -> None:
    guardian = at(state)
    if (state, step) in TRANSITIONS:
        assert guardian.take(step, *cause(step)) is TRANSITIONS[state, step]
    else:
        with pytest.raises(IllegalStep, match=state.value):
            guardian.take(step, *cause(step))
        assert guardian.state is state


def test_a_failure_names_its_cause_and_nothing_else_has_one() -> None:
    with pytest.raises(IllegalStep):
        at(State.SELFTEST).take(Step.FAIL)
    with pytest.raises(IllegalStep):
        at(State.SELFTEST).take(Step.HOLDS, Words("a", "b"))


def test_ready_is_reached_through_the_self_test_alone() -> None:
    assert [pair for pair, to in TRANSITIONS.items() if to is State.READY] == [(State.SELFTEST, Step.HOLDS)]


def test_quarantine_is_left_by_a_new_beginning_alone() -> None:
    assert [step for state, step in TRANSITIONS if state is State.QUARANTINE] == [Step.BEGIN]


@pytest.mark.parametrize(
    ("state", "asked", "holds"),
    [
        (State.READY, ACTIVE, ACTIVE),
        (State.READY, REDUCING, REDUCING),
        (State.READY, HALTED, HALTED),
        (State.QUARANTINE, ACTIVE, REDUCING),
        (State.QUARANTINE, HALTED, HALTED),
        (State.INIT, ACTIVE, HALTED),
        (State.SELFTEST, REDUCING, HALTED),
    ],
)
def test_the_stricter_of_state_and_engine_holds(
    state: State, asked: TradingState, holds: TradingState
) -> None:
    assert at(state).trading(asked) is holds


def test_a_whole_engine_comes_up_ready_and_says_what_it_compared() -> None:
    found = bring_up()
    assert found.ready and found.trading is ACTIVE and not found.causes and not found.leave.en
    assert found.rows > 300 and len(found.journal_hash) == 64


def test_the_self_test_takes_at_most_three_seconds_warm() -> None:
    times = []
    for _ in range(3):
        began = time.perf_counter()
        found = run_self_test()
        times.append(time.perf_counter() - began)
        assert found.ok and found.same_code
    assert min(times) <= 3.0


def test_what_does_not_come_up_is_quarantined_before_the_engine_is_asked() -> None:
    def never() -> SelfTest:
        raise AssertionError("not asked")

    found = bring_up(lambda: ["the account lock is held by PID 5"], self_test=never)
    assert found.state is State.QUARANTINE and found.trading is REDUCING
    assert found.causes == (Words(*["the account lock is held by PID 5"] * 2),)
    assert "start again" in found.leave.en and "다시 시작" in found.leave.ko


def test_a_bootstrap_that_breaks_is_a_cause_not_an_end() -> None:
    def broken() -> list[str]:
        raise OSError("no such tape")

    found = bring_up(broken)
    assert found.state is State.QUARANTINE and "OSError: no such tape" in found.causes[0].en


def test_quarantine_is_left_when_the_cause_is_gone() -> None:
    guardian, missing = FlowGuardian(), ["disk full"]
    assert not bring_up(lambda: missing, guardian=guardian).ready
    missing.clear()
    assert bring_up(lambda: missing, guardian=guardian).ready
    assert guardian.state is State.READY and not guardian.causes


# ---- the self-test can fail


def test_a_guard_that_lets_one_more_through_is_quarantined_with_the_row(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(FlashMove, "review", lambda *_: None)
    monkeypatch.setattr(Volume, "review", lambda *_: None)
    found = bring_up()
    assert found.state is State.QUARANTINE and found.trading is REDUCING
    (why,) = found.causes
    assert "row " in why.en and "EntryRefused" in why.en and "volume" in why.en
    assert "다름" in why.ko or "않음" in why.ko
    assert "install this version anew" in found.leave.en and "regenerate" in found.leave.ko


def test_a_guard_that_refuses_one_more_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    real, asked = Volume.review, []

    def strict(self, sign, view):
        asked.append(sign)
        if len(asked) == 5:
            return Refused(self.code, 0.0, 1.0, Release.NEXT_SIGNAL, 0)
        return real(self, sign, view)

    monkeypatch.setattr(Volume, "review", strict)
    assert not run_self_test().ok


def test_an_amount_that_differs_by_the_smallest_unit_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paper, "fee", lambda price, qty, rate: money.fee(price, qty, rate) + 1)
    found = run_self_test()
    assert not found.ok and "OrderFilled" in found.why


def test_an_engine_that_breaks_on_the_tape_is_quarantined(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_):
        raise ZeroDivisionError("a mean of nothing")

    monkeypatch.setattr(Volume, "review", broken)
    found = bring_up()
    assert found.state is State.QUARANTINE and "ZeroDivisionError" in found.causes[0].en


def test_an_engine_that_decides_nothing_is_not_equal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(self_test, "replay", lambda *_: None)
    found = run_self_test()
    assert not found.ok and found.rows == 0 and "decided again nothing" in found.why


def test_a_damaged_installation_is_quarantined(tmp_path) -> None:
    for path in FOLDER.glob("*.xz"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    with pytest.raises(GoldenDamaged):
        run_self_test(tmp_path)
    found = bring_up(self_test=lambda: run_self_test(tmp_path))
    assert found.state is State.QUARANTINE and "golden.json" in found.causes[0].en
