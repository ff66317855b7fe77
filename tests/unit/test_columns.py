"""Tape rows as columns, and what was known at a stamp."""

from __future__ import annotations

import numpy as np
import pytest

from flowguardian.market.columns import NO_FLAGS, partition, trades_only
from flowguardian.market.records import Flag, Kind
from flowguardian.market.scanner import Scanner
from tests.builders import MINUTE, SECOND, T0, clock, market, trade


@pytest.mark.parametrize("seed", range(3))
def test_every_row_is_in_its_column_and_in_order(seed: int) -> None:
    rows = market(seed, minutes=5, backfilled=0.1, funding_every_ns=MINUTE)
    columns = partition(rows, 3)
    for symbol in range(3):
        own = rows[(rows["symbol"] == symbol) & (rows["kind"] == Kind.TRADE)]
        part = slice(columns.trade_at[symbol], columns.trade_at[symbol + 1])
        assert columns.trade_ts[part].tolist() == own["ts_ns"].tolist()
        assert columns.trade_venue[part].tolist() == own["venue_ns"].tolist()
        assert columns.price[part].tolist() == own["a"].tolist()
        assert columns.qty[part].tolist() == own["b"].tolist()
        assert columns.flags[part].tolist() == own["flags"].tolist()
        tops = rows[(rows["symbol"] == symbol) & (rows["kind"] == Kind.TOP)]
        part = slice(columns.top_at[symbol], columns.top_at[symbol + 1])
        assert columns.top_ts[part].tolist() == tops["ts_ns"].tolist()
        for name, field in (("bid", "a"), ("bid_qty", "b"), ("ask", "c"), ("ask_qty", "d")):
            assert getattr(columns, name)[part].tolist() == tops[field].tolist()
    assert columns.clock.tolist() == rows["ts_ns"][rows["kind"] == Kind.CLOCK].tolist()
    assert columns.others.tolist() == rows[rows["kind"] == Kind.MARK].tolist()
    assert columns.end_ns == rows["ts_ns"][-1]


def test_trades_without_flags_carry_no_flag_column() -> None:
    assert partition(trade(T0, "1"), 1).flags is NO_FLAGS
    assert partition(trade(T0, "1", flags=int(Flag.PATH)), 1).flags.tolist() == [int(Flag.PATH)]


@pytest.mark.parametrize("seed", range(4))
def test_what_is_known_at_a_stamp_never_depends_on_later_rows_or_on_the_split(seed: int) -> None:
    rows = market(seed, minutes=4)
    rng = np.random.default_rng(seed)
    asked = sorted(rng.choice(rows["ts_ns"], 40).tolist())
    whole = Scanner(3, [], interval_ns=MINUTE, grace_ns=SECOND)
    whole.columns = partition(rows, 3)
    for at in asked:
        split = Scanner(3, [], interval_ns=MINUTE, grace_ns=SECOND)
        upto = int(np.searchsorted(rows["ts_ns"], at, "right"))
        for low, high in ((0, upto // 2), (upto // 2, upto)):
            if high > low:
                split.columns = partition(rows[low:high], 3)
                split.finish()
        for symbol in range(3):
            known = whole.observe(at, symbol, (2, 0))
            assert known == split.observe(at, symbol, (2, 0))
            own = rows[:upto][(rows[:upto]["symbol"] == symbol) & (rows[:upto]["kind"] == Kind.TRADE)]
            assert known[:2] == ([int(own["a"][-1]), int(own["ts_ns"][-1])] if len(own) else [0, 0])


def test_the_next_row_is_the_first_trade_or_top_at_or_after_a_moment() -> None:
    rows = market(1, minutes=3)
    scanner = Scanner(3, [], interval_ns=MINUTE, grace_ns=SECOND)
    assert scanner.next_row(T0, 0) == -1, "no chunk, no row"
    scanner.columns = partition(rows, 3)
    own = rows["ts_ns"][(rows["symbol"] == 1) & (rows["kind"] != Kind.CLOCK)].tolist()
    for due in [T0, *own[:20], *(stamp + 1 for stamp in own[:20] if stamp < own[-1])]:
        assert scanner.next_row(due, 1) == min(stamp for stamp in own if stamp >= due)
    assert scanner.next_row(own[-1] + 1, 1) == -1


def test_a_chunk_of_clock_rows_alone_is_a_chunk() -> None:
    columns = partition(np.concatenate([clock(T0), clock(T0 + 1)]), 2)
    assert columns.clock.tolist() == [T0, T0 + 1]
    assert columns.trade_at.tolist() == [0, 0, 0]


def test_a_chunk_of_trades_alone_ends_with_its_last_row() -> None:
    at = np.array([0, 2], np.int64)
    ts, one = np.array([3, 9], np.int64), np.array([1, 1], np.int64)
    assert trades_only(ts, one, one, at, np.array([5], np.int64)).end_ns == 9
    assert trades_only(ts, one, one, at, np.array([12], np.int64)).end_ns == 12
