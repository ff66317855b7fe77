"""Quotes leave once per interval, funding once per settlement, and stamps never go back."""

from typing import Any

import numpy as np
import pytest

from flowguardian.execution.events import FeedGap
from flowguardian.feeds.base import cursor_of
from flowguardian.feeds.blocks import clock_rows, stamp
from flowguardian.feeds.conflation import Marks, Quotes
from flowguardian.feeds.continuity import Lost
from flowguardian.feeds.quality import Counters, Freshness, Latencies
from flowguardian.feeds.release import Release
from flowguardian.feeds.wire import MarkPrice, UnreadableFrame
from flowguardian.journal.ops_events import quantile_ms
from flowguardian.market.records import ROW, SECOND_NS, Flag, Kind

TENTH = SECOND_NS // 10
HOUR_MS = 3_600_000


def top(at_ns, number=0):
    return (int(Kind.TOP), 0, 0, 0, 0, at_ns, 1, 1, 2, 1, number)


def trade(at_ns, number, symbol=0):
    return (int(Kind.TRADE), 0, symbol, 0, 0, at_ns, 1, 1, 0, 0, number)


def test_the_last_quote_of_an_interval_leaves_when_the_next_interval_begins():
    counts = Counters()
    quotes = Quotes(TENTH, counts)
    times = [5, 50, 99, 100, 250, 310]
    left = [quotes.put(top(at * 1_000_000)) for at in times]
    assert [row[5] // 1_000_000 for row in left if row] == [99, 100, 250]
    assert counts.conflated == 2


def test_a_quote_leaves_by_the_clock_where_no_other_follows():
    quotes = Quotes(TENTH, Counters())
    quotes.put(top(50_000_000))
    assert quotes.due(TENTH - 1) is None
    assert quotes.due(TENTH) == top(50_000_000) and quotes.due(10 * TENTH) is None


def test_an_update_id_that_does_not_increase_is_old_unless_the_venue_counts_anew():
    quotes = Quotes(0, Counters())
    assert quotes.fresh(10, SECOND_NS) and not quotes.fresh(10, SECOND_NS) and not quotes.fresh(9, SECOND_NS)
    assert quotes.fresh(3, 60 * SECOND_NS) and quotes.fresh(4, 60 * SECOND_NS)


def mark(time_ms, next_ms, rate="0.0001", price="100.0"):
    return MarkPrice("BTCUSDT", time_ms, price, "99.9", rate, next_ms)


def test_the_first_mark_at_a_funding_time_settles_with_the_rate_announced_before():
    marks = Marks(3)
    assert marks.settled(mark(HOUR_MS - 2000, HOUR_MS, "0.0005")) is None
    assert marks.settled(mark(HOUR_MS - 1000, HOUR_MS, "-0.0007")) is None
    row = marks.settled(mark(HOUR_MS, 9 * HOUR_MS, "0.0001", "123.0"))
    assert row == (
        Kind.MARK, Flag.FUNDING, 3, 0, 0, HOUR_MS * 10**6, 12_300_000_000, 9_990_000_000, -70_000,
        9 * HOUR_MS * 10**6, 0,
    )  # fmt: skip
    assert marks.settled(mark(HOUR_MS + 1000, 9 * HOUR_MS)) is None


def test_a_mark_missed_at_the_funding_time_settles_by_the_next_one():
    marks = Marks(0)
    marks.settled(mark(HOUR_MS - 1000, HOUR_MS))
    row = marks.settled(mark(HOUR_MS + 60_000, 9 * HOUR_MS))
    assert row is not None and row[5] == HOUR_MS * 10**6


def test_an_unreadable_mark_changes_nothing():
    marks = Marks(0)
    marks.settled(mark(HOUR_MS - 1000, HOUR_MS))
    with pytest.raises(UnreadableFrame):
        marks.settled(mark(HOUR_MS, 9 * HOUR_MS, price="x"))
    assert marks.settled(mark(HOUR_MS + 1000, 9 * HOUR_MS)) is not None


def releasing(*symbols, after_ns=0) -> Any:
    return Release(symbols, SECOND_NS, after_ns)


def test_a_slice_is_in_the_order_of_time_kind_symbol_and_id_with_the_clock_first():
    release = releasing("A", "B")
    rows = [
        trade(SECOND_NS, 5, 1),
        top(SECOND_NS),
        trade(SECOND_NS, 7),
        trade(SECOND_NS, 6),
        trade(SECOND_NS + 1, 1),
    ]
    (block,) = release.slice(rows, SECOND_NS, 2 * SECOND_NS)
    assert [(r["kind"], r["symbol"], r["id"]) for r in block][1:] == [
        (Kind.TRADE, 0, 6), (Kind.TRADE, 0, 7), (Kind.TRADE, 1, 5), (Kind.TOP, 0, 0), (Kind.TRADE, 0, 1),
    ]  # fmt: skip
    assert block["kind"][0] == Kind.CLOCK and np.all(np.diff(block["ts_ns"]) > 0)
    (following,) = release.slice([], 2 * SECOND_NS, 3 * SECOND_NS)
    assert following["ts_ns"].tolist() == [2 * SECOND_NS]


def test_live_rows_are_stamped_when_they_are_released_after_the_clock_rows_that_are_due():
    release = releasing("A", after_ns=10 * SECOND_NS)
    release.begin(10 * SECOND_NS + 1)
    now_ns = 12 * SECOND_NS + 7
    clock, rows = release.live([trade(11 * SECOND_NS, 1), trade(11 * SECOND_NS, 2)], now_ns)
    assert clock["ts_ns"].tolist() == [11 * SECOND_NS, 12 * SECOND_NS]
    assert rows["ts_ns"].tolist() == [now_ns, now_ns + 1]
    (more,) = release.live([trade(13 * SECOND_NS, 3)], now_ns)
    assert more["ts_ns"].tolist() == [now_ns + 2] and release.next_tick_ns == 13 * SECOND_NS


def test_a_gap_stands_between_the_rows_before_and_after_it():
    release = releasing("A", after_ns=100)
    release.begin(SECOND_NS)
    before, gap, after = release.live([trade(1, 1), Lost(0, 1, 9, 4), trade(9, 6)], 200)
    assert isinstance(gap, FeedGap) and (gap.symbol, gap.lost, gap.ts_ns) == ("A", 4, 200)
    assert before["id"].tolist() == [1] and after["ts_ns"].tolist() == [201]


def test_the_cursor_of_a_tape_is_its_last_stamp_ids_and_next_slice():
    rows = np.array([trade(SECOND_NS + 5, 7), trade(SECOND_NS + 9, 3, 1), trade(SECOND_NS + 9, 8)], ROW)
    blocks = [stamp(clock_rows(SECOND_NS, SECOND_NS + 1, SECOND_NS), 0), stamp(rows, SECOND_NS)]
    cursor = cursor_of(blocks, ["A", "B"])
    assert cursor.trade_ids == {"A": 8, "B": 3} and cursor.next_ns == 2 * SECOND_NS
    assert cursor.after_ns == int(blocks[-1]["ts_ns"][-1])


def test_age_counts_from_the_last_new_event_of_each_stream():
    fresh = Freshness(["a", "b"], 15 * SECOND_NS)
    fresh.begin(100 * SECOND_NS)
    assert fresh.missing() == ["a", "b"]
    fresh.saw("a", 101 * SECOND_NS)
    for second in range(101, 141):
        fresh.saw("a", second * SECOND_NS)
        fresh.judge(second * SECOND_NS)
    assert fresh.silent(140 * SECOND_NS) == ["b"] and fresh.missing() == ["b"]
    assert fresh.longest_ns["b"] == 40 * SECOND_NS and (fresh.fresh_ns, fresh.judged_ns) == (
        14 * SECOND_NS,  # At its limit a stream is as stale as beyond it.
        40 * SECOND_NS,
    )


@pytest.mark.parametrize("latency_ms", [0.004, 0.5, 3.7, 80, 2500, 90_000])
def test_latency_quantiles_are_within_an_eighth(latency_ms):
    seen = Latencies()
    for _ in range(99):
        seen.note(int(latency_ms * 1e6))
    seen.note(int(latency_ms * 1e8))
    p50, p95, most = (quantile_ms(seen.by_edge_us(), share) or 0.0 for share in (0.5, 0.95, 1.0))
    assert latency_ms <= p50 <= latency_ms * 1.13 + 0.001 and p50 == p95 < most
    assert quantile_ms({}, 0.5) is None
