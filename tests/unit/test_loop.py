"""The loop: record first, one order of everything, and what each kind of row leads to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from flowguardian.execution import events as ev
from flowguardian.execution.money import SCALE, funding, units
from flowguardian.market.records import ROW, Flag, Kind
from tests.builders import (
    INSTRUMENTS,
    MINUTE,
    SECOND,
    SYMBOLS,
    T0,
    Machine,
    clock,
    command,
    limits,
    market,
    of_kind,
    one,
    signal,
    trade,
)


def script(*rows: Any) -> Any:
    return np.concatenate(rows)


def quiet(of: Any = None, **how: Any) -> Machine:
    """A machine whose strategy never signals by itself."""
    return Machine(of, params={"one_in": 1000}, **how).begin()


def bought(machine: Machine, at_ns: int = T0 + SECOND, side: int = 1, **wish: Any) -> ev.PositionOpened:
    """A position at 100 whose fill lands on the first row after `at_ns`."""
    machine.loop.turn(trade(at_ns - SECOND, "100"))
    machine.loop._process(signal(at_ns - SECOND, side=side, price=units(100), **wish))
    machine.loop.turn(trade(at_ns, "100"))
    opened: ev.PositionOpened = one(machine.rows, ev.PositionOpened)
    return opened


class Watcher:
    """A recorder that remembers the order of things."""

    def __init__(self) -> None:
        self.rows: list[ev.Row] = []
        self.seen: list[str] = []
        self.last_market_ns = 0

    def market(self, rows: Any) -> None:
        self.seen.append("market")
        self.last_market_ns = int(rows["ts_ns"][-1])

    def commit(self, rows: Sequence[ev.Row], *, durable: bool) -> None:
        assert all(row.ts_ns <= self.last_market_ns for row in rows) or not self.last_market_ns
        ordered = any(isinstance(row, ev.OrderRequested) for row in rows)
        outside = isinstance(rows[0], ev.EXOGENOUS)
        assert durable == (ordered or outside), "orders and what the tape cannot give back, nothing else"
        assert len({row.ts_ns for row in rows}) == 1, "a batch is one fact and what follows from it"
        self.rows.extend(rows)


def test_a_row_is_recorded_before_anything_is_decided_on_it() -> None:
    rows = market(2, minutes=10)
    machine = Machine(recorder=Watcher()).begin()
    machine.feed(rows, range(0, len(rows), 10))
    assert of_kind(machine.rows, ev.OrderRequested)


def test_history_warms_and_never_trades() -> None:
    bars = np.zeros(60, ROW)
    bars["kind"], bars["ts_ns"] = Kind.HISTORY, np.arange(60) + T0 - 100
    bars["venue_ns"] = T0 + (np.arange(60) - 60) * MINUTE
    for field in "abcd":
        bars[field] = units(100) + np.arange(60) * 1_000_000
    machine = Machine(params={"one_in": 1})
    machine.loop.fact(ev.InstrumentsSet(T0 - 200, INSTRUMENTS))
    machine.loop.turn(bars)
    assert machine.loop.now_ns == T0 - 41
    machine.loop.fact(ev.WentLive(T0 - 1))
    assert [type(row) for row in machine.rows] == [ev.InstrumentsSet, ev.WentLive]
    machine.loop.turn(trade(T0 + 1, "100"))
    machine.loop.turn(clock(T0 + MINUTE + SECOND))
    assert one(machine.rows, ev.Signal).bars_seen == 61, "history counts as warmth"


def test_rows_before_going_live_never_trade_either() -> None:
    machine = Machine(params={"one_in": 1})
    machine.loop.fact(ev.InstrumentsSet(T0, INSTRUMENTS))
    machine.feed(market(1, minutes=5))
    assert len(machine.rows) == 1


def test_an_empty_turn_is_no_turn() -> None:
    machine = quiet()
    machine.loop.turn(np.zeros(0, ROW))
    assert len(machine.rows) == 2


def test_a_stop_is_hit_on_its_row_and_fills_on_the_same_row_without_latency() -> None:
    machine = quiet()
    opened = bought(machine)
    at = T0 + 5 * SECOND
    machine.loop.turn(script(trade(at - 1, "99.5"), trade(at, "98"), trade(at + 1, "97")))
    hit = one(machine.rows, ev.ExitTriggered)
    assert (hit.ts_ns, hit.price, hit.level) == (at, units(98), opened.stop)
    assert one(machine.rows, ev.PositionClosed).ts_ns == at


def test_with_latency_the_exit_fills_on_the_first_row_after_it() -> None:
    machine = quiet(limits(latency_min_ns=SECOND, latency_max_ns=SECOND, slippage=0))
    bought(machine)
    machine.loop.turn(script(trade(T0 + 3 * SECOND, "100")))
    at = T0 + 5 * SECOND
    machine.loop.turn(script(trade(at, "98"), trade(at + SECOND - 1, "97"), trade(at + SECOND, "96")))
    fill = of_kind(machine.rows, ev.OrderFilled)[-1]
    assert (fill.ts_ns, fill.price) == (at + SECOND, units(96))


def test_a_position_of_a_quiet_symbol_expires_on_the_clock() -> None:
    machine = quiet(limits(max_hold_ns=10 * SECOND))
    bought(machine)
    machine.loop.turn(script(*(clock(T0 + n * SECOND) for n in range(2, 20))))
    assert one(machine.rows, ev.ExitTriggered).ts_ns == T0 + 11 * SECOND
    assert not of_kind(machine.rows, ev.PositionClosed), "nobody traded yet"
    machine.loop.turn(trade(T0 + 30 * SECOND, "100"))
    assert one(machine.rows, ev.PositionClosed).reason is ev.ExitReason.EXPIRY


def test_an_exit_on_a_path_fills_at_its_level_and_an_entry_does_not() -> None:
    machine = quiet(limits(slippage=0, allow_add=True, max_adds=3))
    opened = bought(machine)
    at = T0 + 5 * SECOND
    machine.loop._process(signal(T0 + SECOND, marks=(units(100),)))
    machine.loop.turn(trade(at, "98", flags=int(Flag.PATH)))
    _, add, close = of_kind(machine.rows, ev.OrderFilled)
    assert (add.price, close.price) == (units(98), opened.stop)


def test_a_flatten_order_on_a_path_row_does_not_borrow_the_level_of_a_stop() -> None:
    machine = quiet(limits(slippage=0))
    bought(machine)
    machine.loop.fact(ev.CommandReceived(machine.loop.now_ns, 1, ev.Command.FLATTEN, "test"))
    machine.loop.turn(trade(T0 + 5 * SECOND, "98", flags=int(Flag.PATH)))
    assert of_kind(machine.rows, ev.OrderFilled)[-1].price == units(98)


def test_funding_settles_at_its_mark_for_the_open_position_only() -> None:
    machine = quiet()
    opened = bought(machine)
    marks = np.zeros(2, ROW)
    marks["kind"], marks["flags"], marks["symbol"] = Kind.MARK, int(Flag.FUNDING), (0, 1)
    marks["ts_ns"] = T0 + 5 * SECOND + np.arange(2)
    marks["a"], marks["c"] = units("100.5"), units("0.0001")
    machine.loop.turn(marks)
    row = one(machine.rows, ev.FundingSettled)
    assert row.amount == funding(1, opened.qty, units("100.5"), units("0.0001")) < 0
    assert machine.engine.portfolio.funding == row.amount


def test_timers_fire_once_each_on_the_first_clock_row_that_is_due() -> None:
    machine = quiet(timer_ns=5 * MINUTE, planned_ns=12 * MINUTE)
    machine.feed(market(1, minutes=15))
    fired = of_kind(machine.rows, ev.TimerFired)
    assert [row.name for row in fired] == ["M5", "M10", "END"]
    assert [(row.ts_ns - T0) // SECOND for row in fired] == [300, 600, 720]
    assert machine.loop.finished


@pytest.mark.parametrize(("hole_seconds", "later_seconds"), [(29, 0), (31, 31), (3600, 3600)])
def test_time_in_which_nobody_was_there_moves_the_timers_and_the_end(
    hole_seconds: int, later_seconds: int
) -> None:
    rows = market(1, minutes=90)
    left = T0 + 7 * MINUTE
    before = rows[rows["ts_ns"] < left]
    after = rows[rows["ts_ns"] >= left + hole_seconds * SECOND]
    machine = quiet(timer_ns=5 * MINUTE, planned_ns=12 * MINUTE)
    machine.feed(before)
    machine.loop.fact(ev.SegmentStarted(machine.loop.now_ns, 2, "resume"))
    machine.feed(after)
    fired = of_kind(machine.rows, ev.TimerFired)
    assert [row.name for row in fired] == ["M5", "M10", "END"]
    # The hole is from the last row before it to the first after it.
    away = (int(after["ts_ns"][0]) - int(before["ts_ns"][-1])) / SECOND if later_seconds else 0.0
    assert abs(away - later_seconds) < 2
    late = [round((row.ts_ns - T0) / SECOND - due) for row, due in zip(fired, (300, 600, 720), strict=True)]
    assert late == [0, round(away), round(away)]
    assert all(
        abs(row.run_ns - want * SECOND) < 2 * SECOND for row, want in zip(fired, (300, 600, 720), strict=True)
    )


def test_a_clock_slower_than_the_timers_fires_each_of_them_once() -> None:
    machine = quiet(timer_ns=30 * SECOND)
    machine.feed(market(1, minutes=4, clock_ns=MINUTE))
    assert [row.name for row in of_kind(machine.rows, ev.TimerFired)] == [f"E{n / 2:g}" for n in range(1, 9)]


def test_a_signal_that_is_no_number_is_refused_and_readable() -> None:
    for params in ({"stop": 0.0}, {"stop": 1e-7, "target1": 0.0}):
        machine = Machine(params={"one_in": 1, **params}).begin()
        machine.feed(market(1, minutes=4))
        for row in machine.rows:
            assert ev.decode(type(row).__name__, ev.encode(row)) == row


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0])
def test_distances_a_strategy_could_not_compute_are_none(value: float) -> None:
    machine = Machine(params={"one_in": 1}).begin()
    found: tuple[Any, ...] = (T0 + 5, T0, 1, 1, value, value, value, value, value, value, value, value, 9)
    machine.loop.turn(trade(T0 + 5, "100"))
    machine.loop._on_signal(T0 + 5, 0, (0, found))
    row = one(machine.rows, ev.Signal)
    assert (row.stop_distance, row.target1_distance, row.trail_distance) == (0, 0, 0)
    assert row.atr == row.volume == row.move == -1.0
    assert ev.decode("Signal", ev.encode(row)) == row
    assert one(machine.rows, ev.EntryRefused).code is ev.Reason.SIZING


def test_a_liquidation_closes_everything_at_the_marks_and_sampling_goes_on() -> None:
    of = limits(
        maintenance_margin=units("0.1"),
        default_allocation=units(9),
        max_symbol_exposure=units(9),
        max_total_exposure=units(9),
        risk_per_trade=units(1),
        max_notional=units(10**6),
        multi_position_scaling=False,
    )
    machine = quiet(of, equity_interval_ns=SECOND)
    bought(machine, stop_distance=units(20))
    ticks = [clock(T0 + n * SECOND) for n in range(2, 60)]
    machine.loop.turn(script(*ticks[:3], trade(T0 + 4 * SECOND + 1, "88"), *ticks[3:]))
    gone = one(machine.rows, ev.Liquidated)
    assert (gone.ts_ns, gone.price) == (T0 + 5 * SECOND, units(88))
    assert gone.fee == -(-gone.qty * units(88) * of.costs.taker // (SCALE * SCALE))
    assert machine.engine.portfolio.positions == {}
    assert not of_kind(machine.rows, ev.InvariantViolated)
    state = machine.loop._equity[0]
    assert state["next_ns"] == T0 + 60 * SECOND, "every clock row after it was looked at"
    assert state["low"] <= machine.engine.portfolio.balance()


def test_an_exit_on_its_way_when_the_venue_liquidates_opens_nothing() -> None:
    machine = quiet(limits(latency_min_ns=30 * SECOND, latency_max_ns=30 * SECOND, slippage=0))
    machine.loop.turn(trade(T0 + 1, "100"))
    machine.loop._process(signal(T0 + 1))
    machine.loop.turn(trade(T0 + 40 * SECOND, "100"))
    machine.loop.turn(trade(T0 + 50 * SECOND, "98"))
    assert one(machine.rows, ev.ExitTriggered)
    machine.loop._liquidate(T0 + 50 * SECOND)
    machine.loop.turn(trade(T0 + 90 * SECOND, "98"))
    assert one(machine.rows, ev.PositionOpened)
    assert one(machine.rows, ev.OrderExpired).filled == 0
    assert machine.engine.portfolio.positions == {}


def test_a_feed_gap_restarts_the_symbols_strategies() -> None:
    machine = Machine(params={"one_in": 1}).begin().feed(market(1, minutes=5))
    machine.loop.fact(ev.FeedGap(machine.loop.now_ns, SYMBOLS[1], 0, 0, 5))
    states = machine.scanner.strategies[0].states
    assert states[1]["bars_seen"][0] == 0 < states[0]["bars_seen"][0]
    assert SYMBOLS[1] in machine.engine.view.degraded


def test_halted_positions_still_meet_their_stops() -> None:
    rows = market(4, minutes=12)
    half = len(rows) // 2
    machine = Machine().begin().feed(rows, (), [(half, command(ev.Command.HALT))])
    after = [row for row in machine.rows if row.ts_ns > rows["ts_ns"][half - 1]]
    entries = [r for r in of_kind(after, ev.OrderRequested) if r.purpose is ev.Purpose.ENTRY]
    assert not entries
    assert {row.code for row in of_kind(after, ev.EntryRefused)} == {ev.Reason.READY_GATE}
    assert not machine.engine.portfolio.positions


def test_equity_between_turns_is_at_the_last_prices() -> None:
    machine = quiet()
    opened = bought(machine)
    machine.loop.turn(trade(T0 + 9 * SECOND, "100.5"))
    position = machine.engine.portfolio.positions[opened.symbol]
    assert machine.loop.equity() == machine.engine.portfolio.balance() + position.unrealised(units("100.5"))
