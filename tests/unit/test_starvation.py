"""The starvation watch: one guard starved entries for hours unseen; here it is a row with a name."""

from __future__ import annotations

import json
from collections.abc import Iterable

import pytest

from flowguardian.execution.events import (
    EntryRefused,
    GuardStarvation,
    Purpose,
    Reason,
    Row,
    TradingState,
    TradingStateChanged,
    WentLive,
)
from flowguardian.guards.starvation import REMEMBERED, StarvationWatch
from tests.guard_samples import HOUR, MINUTE, NOON, Book, Held, limits, order, refused, signal

EMPTY = Book()


def at(minute: float) -> int:
    return NOON + int(minute * MINUTE)


def attempt(minute: float, code: Reason = Reason.SPREAD, release: str = "spread_narrows") -> list[Row]:
    """A signal and its refusal."""
    ts_ns = at(minute)
    return [signal(ts_ns=ts_ns), refused(ts_ns=ts_ns, code=code, release=release)]


def watching(*rows: Row | Iterable[Row], live_minute: float = 0) -> StarvationWatch:
    watch = StarvationWatch(limits())
    watch.apply(WentLive(at(live_minute)))
    feed(watch, *rows)
    return watch


def feed(watch: StarvationWatch, *rows: Row | Iterable[Row]) -> None:
    for row in rows:
        for one in [row] if isinstance(row, Row) else row:
            watch.apply(one)


def test_one_guard_starving_entries_for_an_hour_is_named_with_since_when_and_what_releases_it() -> None:
    watch = watching(attempt(10), attempt(20, Reason.DRAWDOWN, "equity_recovers"), attempt(30), attempt(40))
    row = watch.due(at(60), EMPTY)
    assert row == GuardStarvation(
        ts_ns=at(60),
        guard=Reason.SPREAD,
        since_ns=at(10),
        signals=4,
        refusals=3,
        release="spread_narrows",
    )


def test_the_window_cannot_start_before_the_run_went_live() -> None:
    watch = watching(attempt(31), attempt(40), attempt(50), live_minute=30)
    assert watch.due(at(90) - 1, EMPTY) is None
    assert watch.due(at(90), EMPTY) is not None


def test_signals_of_history_before_live_count_nothing() -> None:
    watch = StarvationWatch(limits())
    feed(watch, attempt(0), attempt(1), attempt(2))
    assert watch.due(at(600), EMPTY) is None
    feed(watch, [WentLive(at(3))])
    assert watch.due(at(600), EMPTY) is None


def test_two_signals_are_a_quiet_market_not_starvation() -> None:
    watch = watching(attempt(10), attempt(20))
    assert watch.due(at(60), EMPTY) is None
    feed(watch, attempt(59))
    assert watch.due(at(60), EMPTY) is not None


def test_signals_spread_wider_than_one_window_are_not_starvation() -> None:
    watch = watching(attempt(10), attempt(40), attempt(70), attempt(100), attempt(130))
    assert watch.due(at(130), EMPTY) is None


def test_an_entry_starts_the_window_anew() -> None:
    watch = watching(attempt(10), attempt(20), attempt(30), [signal(ts_ns=at(40)), order(ts_ns=at(40))])
    assert watch.due(at(99), EMPTY) is None
    feed(watch, attempt(50), attempt(60), attempt(70))
    assert watch.due(at(100) - 1, EMPTY) is None
    row = watch.due(at(100), EMPTY)
    assert row is not None
    assert (row.since_ns, row.signals) == (at(50), 3)


def test_an_exit_is_not_an_entry() -> None:
    watch = watching(attempt(10), attempt(20), [order(ts_ns=at(25), purpose=Purpose.EXIT)], attempt(30))
    assert watch.due(at(60), EMPTY) is not None


def test_an_episode_is_one_row_until_the_next_entry() -> None:
    watch = watching(attempt(10), attempt(20), attempt(30))
    row = watch.due(at(60), EMPTY)
    assert row is not None
    feed(watch, [row], attempt(61), attempt(62), attempt(63))
    assert watch.due(at(65), EMPTY) is None
    assert watch.due(at(600), EMPTY) is None
    feed(watch, [order(ts_ns=at(100))], attempt(110), attempt(120), attempt(130))
    assert watch.due(at(160), EMPTY) is not None


def test_asking_changes_nothing_so_a_fold_over_the_journal_ends_in_the_same_state() -> None:
    asked = watching(attempt(10), attempt(20), attempt(30))
    before = asked.snapshot()
    assert asked.due(at(60), EMPTY) == asked.due(at(60), EMPTY)
    assert asked.snapshot() == before
    assert json.loads(json.dumps(before)) == before
    feed(asked, [GuardStarvation(at(60), Reason.SPREAD, at(10), 3, 3, "spread_narrows")])
    assert asked.snapshot() != before


@pytest.mark.parametrize(
    "code", [Reason.MAX_POSITIONS, Reason.MAX_STRATEGY_POSITIONS, Reason.DUPLICATE_ENTRY]
)
def test_a_full_portfolio_is_not_starvation_until_a_position_outlives_its_max_hold(code: Reason) -> None:
    watch = watching(*(attempt(minute, code, "position_closes") for minute in (10, 20, 30)))
    held = Held(expiry_ns=at(60))
    assert watch.due(at(60), Book([held])) is None
    assert watch.due(at(60), Book([Held(expiry_ns=0)])) is None
    row = watch.due(at(60) + 1, Book([held]))
    assert row is not None
    assert (row.guard, row.release) == (code, "position_closes")


def test_the_largest_refuser_is_sought_among_those_that_count() -> None:
    watch = watching(
        *(attempt(minute, Reason.MAX_POSITIONS) for minute in (10, 20, 30)),
        attempt(40, Reason.SPREAD),
        attempt(50, Reason.VOLUME),
        attempt(55, Reason.VOLUME),
    )
    row = watch.due(at(60), EMPTY)
    assert row is not None
    assert (row.guard, row.refusals, row.signals) == (Reason.VOLUME, 2, 6)


def test_equal_refusers_are_named_in_pipeline_order() -> None:
    watch = watching(attempt(10, Reason.DRAWDOWN), attempt(20, Reason.WARMUP), attempt(30, Reason.SIZING))
    row = watch.due(at(60), EMPTY)
    assert row is not None
    assert row.guard is Reason.WARMUP


def test_a_halt_counts_as_a_guard_and_says_that_it_waits_for_resume() -> None:
    halted = TradingStateChanged(at(5), TradingState.HALTED, "halt by operator")
    watch = watching(
        [halted], *(attempt(minute, Reason.READY_GATE, "resume_command") for minute in (10, 20, 30))
    )
    row = watch.due(at(60), EMPTY)
    assert row is not None
    assert (row.guard, row.release) == (Reason.READY_GATE, "resume_command")


def test_refusals_older_than_the_window_name_nobody() -> None:
    old = [attempt(minute, Reason.DRAWDOWN) for minute in (1, 2, 3, 4)]
    watch = watching(*old, *(attempt(minute) for minute in (65, 66, 67)))
    row = watch.due(at(67), EMPTY)
    assert row is not None
    assert (row.guard, row.signals, row.refusals, row.since_ns) == (Reason.SPREAD, 3, 3, at(65))


def test_a_flood_of_refusals_is_remembered_in_bounded_memory() -> None:
    watch = watching()
    for n in range(3 * REMEMBERED):
        feed(watch, attempt(1 + n / 1000, Reason.WARMUP if n < REMEMBERED else Reason.SPREAD))
    state = watch.snapshot()
    assert isinstance(state, list)
    assert [len(part) for part in state[2:]] == [REMEMBERED, REMEMBERED, 1]
    row = watch.due(at(60), EMPTY)
    assert row is not None
    assert (row.guard, row.refusals) == (Reason.SPREAD, REMEMBERED)


def test_the_cap_never_hides_starvation_from_a_larger_threshold() -> None:
    watch = StarvationWatch(limits(starvation_signals=REMEMBERED + 10))
    watch.apply(WentLive(at(0)))
    for n in range(REMEMBERED + 10):
        assert watch.due(at(60), EMPTY) is None
        feed(watch, attempt(1 + n / 1000))
    assert watch.due(at(60), EMPTY) is not None


def test_a_restart_that_goes_live_again_does_not_count_the_outage() -> None:
    watch = watching(attempt(10), attempt(20), attempt(30), [WentLive(at(59))])
    assert watch.due(at(60), EMPTY) is None
    feed(watch, attempt(61), attempt(62), attempt(63))
    assert watch.due(at(63), EMPTY) is None
    assert watch.due(at(59) + HOUR, EMPTY) is not None


def test_a_refusal_without_a_signal_of_its_own_is_counted_for_its_guard_only() -> None:
    flip = refused(ts_ns=at(15), code=Reason.SYMBOL_COOLDOWN, release="time")
    assert isinstance(flip, EntryRefused)
    watch = watching(attempt(10), [flip], attempt(20))
    assert watch.due(at(60), EMPTY) is None


def test_a_signal_that_ends_in_a_planned_flip_still_moves_the_window_on() -> None:
    watch = watching(attempt(10), [signal(ts_ns=at(75)), signal(ts_ns=at(76))])
    assert watch.due(at(76), EMPTY) is None
