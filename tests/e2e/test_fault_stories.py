"""Faults of the market data one by one: what is injected, what the engine does, what the journal says.

Each story is a run of 14 market minutes over real sockets; what must hold of every one stands in `faulted`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from flowguardian.execution import events as ev
from flowguardian.market.records import SECOND_NS
from tests.builders import assert_same_rows
from tests.e2e.faulted import BACK_NS, SYMBOLS, Story, story

STREAMS = ("aggTrade", "bookTicker", "markPrice@1s")
EVERYTHING = {(symbol, stream) for symbol in SYMBOLS for stream in STREAMS}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def twin(tmp_path_factory: pytest.TempPathFactory) -> Story:
    """The same market undisturbed."""
    return story(tmp_path_factory.mktemp("twin") / "run")


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    return tmp_path / "run"


def flows_again(told: Story, minute: float) -> None:
    """Every silence ended within its limit after the fault did."""
    for went, back in told.silences():
        assert back is not None, f"never back: {went}"
        after_ns = back.ts_ns - told.live_ns - round(minute * 60 * SECOND_NS)
        assert after_ns <= BACK_NS, f"back {after_ns / 1e9} s after it flows: {went}"


def test_the_undisturbed_market_enters_all_symbols_and_is_always_fresh(twin: Story) -> None:
    """What the stories below lose and keep is measured by this one."""
    assert {row.symbol for row in twin.entries(first=5, last=5.5)} == set(SYMBOLS)
    assert {row.symbol for row in twin.entries(first=10, last=10.5)} == set(SYMBOLS)
    assert twin.silences() == [] and twin.last.fresh_ns == twin.last.judged_ns > 0
    quiet = {name: many for name, many in twin.counts.items() if many}
    assert set(quiet) == {"messages", "trades", "tops", "marks"}, quiet


# ---- what must not matter


def test_dropped_trades_are_back_filled_and_the_run_decides_the_same(run_dir: Path, twin: Story) -> None:
    told = story(
        run_dir, faults=[{"kind": "drop", "streams": "*@aggTrade", "rate": 0.3, "minute": 4, "minutes": 5}]
    )
    assert told.counts["id_gaps"] > 100 and told.backfilled() == told.counts["backfilled"] > 200
    assert told.lost() == told.counts["lost"] == 0 and told.silences() == []
    assert all(told.trade_ids(symbol) == twin.trade_ids(symbol) for symbol in SYMBOLS)
    # A trade that came over REST fires no exit of the engine's own; all else is as if nothing was dropped.
    assert [(row.ts_ns, row.symbol) for row in told.of(ev.Signal)] == [
        (row.ts_ns, row.symbol) for row in twin.of(ev.Signal)
    ]


def test_dropped_quotes_are_gone_and_do_no_harm(run_dir: Path, twin: Story) -> None:
    told = story(
        run_dir, faults=[{"kind": "drop", "streams": "*@bookTicker", "rate": 0.3, "minute": 4, "minutes": 5}]
    )
    assert told.counts["tops"] < twin.counts["tops"] - 200
    assert told.of(ev.FeedGap) == [] and told.entries(first=5, last=9)


def test_duplicates_are_dropped_by_id_and_counted(run_dir: Path, twin: Story) -> None:
    told = story(run_dir, faults=[{"kind": "duplicate", "count": 2, "minute": 2}])
    assert told.counts["duplicates"] == 2 * 3 * 720 * len(SYMBOLS)
    told.decided_as(twin)


def test_frames_that_change_places_within_a_slice_are_put_in_order(run_dir: Path) -> None:
    lively = "market.prints_per_minute=240"
    calm = story(run_dir.with_name("calm"), lively)
    told = story(run_dir, lively, faults=[{"kind": "reorder", "seconds": 0, "minute": 2}])
    assert told.counts["out_of_order"] > 1000 and told.backfilled() == 0
    told.decided_as(calm)


def test_trades_that_come_seconds_late_are_asked_for_and_taken_once(run_dir: Path, twin: Story) -> None:
    fault = {"kind": "reorder", "streams": "*@aggTrade", "seconds": 5, "minute": 4, "minutes": 3}
    told = story(run_dir, faults=[fault])
    assert told.backfilled() > 100 and told.counts["duplicates"] + told.counts["out_of_order"] > 100
    assert told.lost() == 0 and told.silences() == []
    assert all(told.trade_ids(symbol) == twin.trade_ids(symbol) for symbol in SYMBOLS)


def test_ids_that_the_venue_skips_are_no_gap(run_dir: Path, twin: Story) -> None:
    told = story(run_dir, faults=[{"kind": "id_gap", "count": 1000, "minute": 4.5}])
    assert told.counts["id_gaps"] == len(SYMBOLS) and told.counts["id_voids"] == 1000 * len(SYMBOLS)
    assert told.of(ev.FeedGap) == []
    told.decided_as(twin)


def test_unknown_frames_are_kept_for_eyes_and_change_nothing(run_dir: Path, twin: Story) -> None:
    told = story(run_dir, faults=[{"kind": "unknown", "minute": 4.5, "minutes": 1}])
    assert told.counts["unknown"] == 3 * 60 * len(SYMBOLS)
    assert "neverHeardOf" in told.last.odd_frames[0][1]
    told.decided_as(twin)


def test_malformed_trades_are_counted_and_had_from_rest(run_dir: Path, twin: Story) -> None:
    fault = {"kind": "malformed", "streams": "*@aggTrade", "rate": 0.2, "minute": 4.5, "minutes": 3}
    told = story(run_dir, faults=[fault])
    assert told.counts["malformed"] == told.backfilled() > 50
    assert told.lost() == 0 and told.last.odd_frames
    assert all(told.trade_ids(symbol) == twin.trade_ids(symbol) for symbol in SYMBOLS)


def test_a_burst_of_fifty_times_the_trades_loses_none(run_dir: Path) -> None:
    told = story(run_dir, faults=[{"kind": "burst", "count": 50, "minute": 4.5, "minutes": 1}])
    for symbol in SYMBOLS:
        ids = told.trade_ids(symbol)
        assert ids == list(range(ids[0], ids[0] + len(ids))) and len(ids) == 840 + 49 * 60
    assert told.lost() == told.counts["lost"] == told.counts["id_gaps"] == 0 and told.silences() == []


def test_prints_that_are_no_trades_never_become_prices(run_dir: Path, twin: Story) -> None:
    fault = {"kind": "non_market", "text": "INSURANCE_FUND", "rate": 0.3, "minute": 4.5, "minutes": 3}
    told = story(run_dir, faults=[fault])
    assert told.counts["non_market"] > 100 and told.of(ev.FeedGap) == []
    told.decided_as(twin)


# ---- silence


def test_one_stalled_stream_blocks_its_symbol_alone(run_dir: Path) -> None:
    fault = {"kind": "stall", "streams": "btcusdt@bookTicker", "minute": 4.5, "minutes": 1}
    told = story(run_dir, faults=[fault])
    assert told.silent() == {("BTCUSDT", "bookTicker")}
    assert {row.symbol for row in told.entries(first=5, last=5.5)} == {"ETHUSDT", "SOLUSDT"}
    assert [row.symbol for row in told.refused(ev.Reason.STALE_DATA)] == ["BTCUSDT"]
    assert told.entries("BTCUSDT", 6)
    # The connection that still brought the others was replaced with an overlap: they lost nothing.
    assert told.counts["rotations"] >= 1 and told.counts["reconnects"] == 0
    flows_again(told, 5.5)


def test_stalled_marks_block_entries_although_trades_and_quotes_flow(run_dir: Path) -> None:
    told = story(run_dir, faults=[{"kind": "stall", "streams": "*@markPrice*", "minute": 4.5, "minutes": 1}])
    assert told.silent() == {(symbol, "markPrice@1s") for symbol in SYMBOLS}
    assert told.entries(first=4.8, last=5.5) == [] and told.entries(first=6)
    assert {row.code for row in told.of(ev.EntryRefused) if told.minute(row.ts_ns) < 5.5} >= {
        ev.Reason.STALE_DATA
    }
    flows_again(told, 5.5)


def test_all_streams_stalled_stop_all_entries_and_what_was_missed_is_back_filled(
    run_dir: Path, twin: Story
) -> None:
    told = story(run_dir, faults=[{"kind": "stall", "minute": 4.5, "minutes": 1}])
    assert told.silent() == EVERYTHING and told.entries(first=4.75, last=5.5) == []
    assert told.refused(ev.Reason.STALE_DATA) and told.entries(first=6)
    assert told.lost() == 0 and told.backfilled() >= 60 * len(SYMBOLS)
    assert all(told.trade_ids(symbol) == twin.trade_ids(symbol) for symbol in SYMBOLS)
    assert told.last.judged_ns - told.last.fresh_ns >= 40 * SECOND_NS
    flows_again(told, 5.5)


def test_a_half_open_line_is_found_by_its_silence_and_replaced(run_dir: Path, twin: Story) -> None:
    told = story(run_dir, faults=[{"kind": "half_open", "path": "market", "minute": 4.5, "minutes": 1}])
    assert told.silent() == {(s, k) for s, k in EVERYTHING if k != "bookTicker"}
    assert told.entries(first=4.75, last=5.5) == [] and told.entries(first=6)
    assert told.counts["reconnects"] >= 2 and told.lost() == 0
    assert all(told.trade_ids(symbol) == twin.trade_ids(symbol) for symbol in SYMBOLS)
    flows_again(told, 5.5)


def test_data_that_flows_twenty_seconds_late_is_as_stale_as_it_is(run_dir: Path) -> None:
    told = story(run_dir, faults=[{"kind": "delay", "seconds": 20, "minute": 4.5, "minutes": 1}])
    assert told.silent() >= {(symbol, "markPrice@1s") for symbol in SYMBOLS}
    assert told.entries(first=4.75, last=5.5) == [] and told.entries(first=6)
    flows_again(told, 5.5)


# ---- connections


def test_a_cut_connection_is_back_within_a_second_and_its_trades_are_back_filled(
    run_dir: Path, twin: Story
) -> None:
    told = story(run_dir, faults=[{"kind": "cut", "minute": 4.5, "minutes": 8, "every_seconds": 60}])
    assert told.counts["reconnects"] == 2 * 8 and told.silences() == []
    assert told.lost() == 0 and 0 < told.backfilled() <= 2 * 8 * len(SYMBOLS)
    assert all(told.trade_ids(symbol) == twin.trade_ids(symbol) for symbol in SYMBOLS)
    assert told.entries(first=5, last=5.5) and told.entries(first=10, last=10.5)


def test_the_same_cuts_twice_give_the_same_tape(run_dir: Path) -> None:
    faults = [{"kind": "cut", "minute": 4.5, "minutes": 3, "every_seconds": 60},
              {"kind": "maintenance", "minute": 8.5, "minutes": 1}]  # fmt: skip
    first, second = (story(run_dir.with_name(name), faults=faults) for name in ("first", "second"))
    assert_same_rows(first.tape, second.tape)
    first.decided_as(second)


def test_connections_are_replaced_before_the_daily_cut_and_nothing_is_missed(
    run_dir: Path, twin: Story
) -> None:
    told = story(run_dir, "feed.rotate_hours=0.05")
    assert told.counts["rotations"] == 2 * 4, "each of the two sockets every three minutes of the run clock"
    assert told.counts["reconnects"] == told.counts["id_gaps"] == 0
    told.decided_as(twin)


def test_maintenance_is_waited_out_and_the_hole_is_filled(run_dir: Path, twin: Story) -> None:
    told = story(run_dir, faults=[{"kind": "maintenance", "minute": 4.5, "minutes": 1.5}])
    assert told.silent() == EVERYTHING and told.entries(first=4.75, last=6) == []
    # Asked now and then, not in a storm: the request weight of the minute must last for what was missed.
    assert 0 < told.counts["rest_failures"] < 20 and told.lost() == 0
    assert all(told.trade_ids(symbol) == twin.trade_ids(symbol) for symbol in SYMBOLS)
    assert told.entries(first=9)
    flows_again(told, 6.0)
