"""Trades become bars: against a reference that reads one row at a time, and case by case."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from flowguardian.execution.money import units
from flowguardian.market.bars import history_bars, new_open_bars, room_for
from flowguardian.market.columns import partition
from flowguardian.market.records import ROW, Kind
from flowguardian.market.scanner import MarketError, Scanner
from tests.builders import MINUTE, SECOND, T0, clock, market, trade

GRACE = SECOND


def bars_of(rows: Any, cuts: Any = (), symbols: int = 1) -> tuple[list[list[Any]], int]:
    """Closed bars per symbol of the kernel, for one split of the rows; and how many trades were late."""
    scanner = Scanner(symbols, [], interval_ns=MINUTE, grace_ns=GRACE)
    found: list[list[Any]] = [[] for _ in range(symbols)]
    before = 0
    for cut in sorted({*cuts, len(rows)} - {0}):
        columns = partition(rows[before:cut], symbols)
        scanner.columns = columns
        for symbol in range(symbols):
            count = scanner._close_bars(symbol, columns)
            found[symbol] += scanner._bars[:count].tolist()
        scanner.finish()
        before = cut
    return [[bar[:10] for bar in own] for own in found], scanner.late_trades


def reference(rows: Any, symbol: int) -> tuple[list[Any], int]:
    """The rule read aloud, one row at a time."""
    bars: list[Any] = []
    start = late = last = 0
    now: list[int] = []
    volume = 0.0

    def close(stamp: int) -> None:
        nonlocal start, now, volume
        prices = now or [last]
        values = (prices[0], max(prices), min(prices), prices[-1])
        bars.append((start, stamp, *values, volume, len(now), 0 if now else 1, 1))
        start, now, volume = start + MINUTE, [], 0.0

    for row in rows:
        stamp, venue = int(row["ts_ns"]), int(row["venue_ns"])
        if row["kind"] == Kind.CLOCK and start:
            while stamp >= start + MINUTE + GRACE:
                close(stamp)
        if row["kind"] != Kind.TRADE or row["symbol"] != symbol:
            continue
        start = start or venue // MINUTE * MINUTE
        if venue < start:
            late += 1
            continue
        while venue >= start + MINUTE:
            close(stamp)
        last = int(row["a"])
        now.append(last)
        volume += int(row["b"]) * 1e-8
    return bars, late


@pytest.mark.parametrize("backfilled", [0.0, 0.3])
@pytest.mark.parametrize("seed", range(6))
def test_bars_equal_the_row_by_row_reference_for_any_split(seed: int, backfilled: float) -> None:
    rows = market(seed, minutes=25, per_minute=3, tops=False, backfilled=backfilled)
    wanted = [reference(rows, symbol) for symbol in range(3)]
    rng = np.random.default_rng(seed)
    for cuts in ((), range(len(rows)), rng.integers(0, len(rows), 20).tolist()):
        found, late = bars_of(rows, cuts, 3)
        assert found == [bars for bars, _ in wanted]
        assert late == sum(count for _, count in wanted)


@pytest.mark.parametrize("seed", range(3))
def test_bars_follow_each_other_by_exactly_one_interval(seed: int) -> None:
    found, _ = bars_of(market(seed, minutes=40, per_minute=1, tops=False), (), 3)
    for own in found:
        assert np.all(np.diff([bar[0] for bar in own]) == MINUTE)


def test_a_bar_without_trades_is_a_flagged_gap_at_the_last_price() -> None:
    rows = np.concatenate([trade(T0 + 1, "100"), trade(T0 + 3 * MINUTE, "101")])
    (own,), _ = bars_of(rows)
    assert [(bar[7], bar[8]) for bar in own] == [(1, 0), (0, 1), (0, 1)]
    assert own[1][2:6] == (units(100),) * 4


def test_a_quiet_symbol_closes_its_bar_on_the_first_clock_row_after_the_grace() -> None:
    before, after = T0 + MINUTE + GRACE - 1, T0 + MINUTE + GRACE
    rows = np.concatenate([trade(T0 + 1, "100"), clock(before), clock(after)])
    (own,), _ = bars_of(rows)
    assert [bar[1] for bar in own] == [after]


def test_a_trade_of_a_closed_bar_is_counted_late_and_changes_nothing() -> None:
    late = trade(T0 + MINUTE + 2 * SECOND, "50", venue_ns=T0 + 30 * SECOND)
    rows = np.concatenate(
        [trade(T0 + 1, "100"), clock(T0 + MINUTE + GRACE), late, trade(T0 + 2 * MINUTE, "101")]
    )
    (own,), count = bars_of(rows)
    assert count == 1
    assert own[0][4] == units(100)
    assert own[1][8] == 1, "the next bar is a gap, not the late trade"


def test_a_first_trade_that_comes_late_is_not_closed_by_a_clock_row_before_it() -> None:
    """Its bar ended long before it arrived; the clock rows of that time had nothing to close."""
    rows = np.concatenate(
        [clock(T0 + 2 * MINUTE), trade(T0 + 2 * MINUTE + 1, "100", venue_ns=T0 + 1), clock(T0 + 3 * MINUTE)]
    )
    (at_once,), _ = bars_of(rows)
    (by_row,), _ = bars_of(rows, range(4))
    assert at_once == by_row
    assert at_once[0][2:6] == (units(100),) * 4
    assert at_once[0][1] == T0 + 3 * MINUTE


def test_a_venue_time_far_ahead_of_the_clock_is_an_error_and_no_flood_of_bars() -> None:
    rows = np.concatenate([trade(T0 + 1, "100"), trade(T0 + 2, "100", venue_ns=T0 + 60 * MINUTE)])
    with pytest.raises(MarketError, match="venue time"):
        bars_of(rows)


def history(*minutes: int) -> Any:
    rows = np.zeros(len(minutes), ROW)
    rows["kind"], rows["ts_ns"] = Kind.HISTORY, np.arange(len(minutes)) + T0 - 100
    rows["venue_ns"] = T0 + np.array(minutes) * MINUTE
    for field in "abcd":
        rows[field] = units(100) + np.array(minutes)
    rows["id"] = np.full(len(minutes), 2.5).view(np.int64)
    rows["aux"] = 9
    return rows


def test_history_with_a_hole_is_filled_with_flat_gap_bars() -> None:
    state = new_open_bars(1)
    bars = history_bars(history(-9, -8, -5), state, 0, MINUTE)
    assert bars["open_ns"].tolist() == [T0 + minute * MINUTE for minute in (-9, -8, -7, -6, -5)]
    assert bars["gap"].tolist() == [0, 0, 1, 1, 0]
    assert bars["close"].tolist() == [units(100) + minute for minute in (-9, -8, -8, -8, -5)]
    assert bars["volume"].tolist() == [2.5, 2.5, 0.0, 0.0, 2.5]
    assert not bars["live"].any()
    assert state["start"][0] == T0 - 4 * MINUTE


def test_history_in_several_blocks_is_the_same_as_in_one() -> None:
    whole, parts = new_open_bars(1), new_open_bars(1)
    rows = history(-9, -8, -5, -3, -2)
    once = history_bars(rows, whole, 0, MINUTE)
    pieces = [history_bars(part, parts, 0, MINUTE) for part in (rows[:2], rows[1:4], rows[4:], rows[:1])]
    assert np.concatenate(pieces).tobytes() == once.tobytes()
    assert parts.tobytes() == whole.tobytes()


def test_the_bar_after_history_goes_on_where_history_ended() -> None:
    scanner = Scanner(1, [], interval_ns=MINUTE, grace_ns=GRACE)
    scanner.warm(history(-2, -1))
    rows = np.concatenate([trade(T0 + 1, "100"), trade(T0 + MINUTE, "100")])
    scanner.columns = partition(rows, 1)
    assert scanner._close_bars(0, scanner.columns) == 1
    assert scanner._bars["open_ns"][0] == T0


def test_there_is_room_for_every_bar_a_span_can_close() -> None:
    assert room_for(-5, MINUTE) == 3
    assert room_for(10 * MINUTE, MINUTE) == 13
