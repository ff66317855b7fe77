"""Recorded and synthetic markets as tape rows."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flowguardian.feeds.blocks import merge
from flowguardian.feeds.markets import BarMarket, TradeMarket, bars_of
from flowguardian.feeds.recorded import MarketSpecError, open_market, stamp
from flowguardian.market.bridge import Bridge
from flowguardian.market.datasets import DatasetError
from flowguardian.market.funding import FUNDING, seeded_funding
from flowguardian.market.instruments import INSTRUMENTS, UnknownInstrument
from flowguardian.market.records import MINUTE_NS, NO_SYMBOL, ROW, SECOND_NS, UNITS, Flag, Kind
from flowguardian.market.synthetic import synthetic_bars

DATA = Path(
    os.environ.get("FLOWGUARDIAN_DATA", Path(__file__).resolve().parents[2].parent / "shared" / "data")
)
SYMBOLS = ["ETHUSDT", "ADAUSDT"]
START = 1_735_689_600_000_000_000
HOUR_NS = 60 * MINUTE_NS


@pytest.fixture(scope="module")
def market():
    return open_market("synthetic:7", SYMBOLS, START, 2, history_bars=50, seed=1)


def of_kind(rows, kind):
    return rows[rows["kind"] == kind]


def test_a_synthetic_market_says_what_it_is(market):
    assert market.feed_kind == "synthetic" and market.symbols == ("ETHUSDT", "ADAUSDT")
    assert market.instruments == (INSTRUMENTS["ETHUSDT"], INSTRUMENTS["ADAUSDT"])
    assert (market.start_ns, market.end_ns) == (START, START + 2 * HOUR_NS)


def test_the_clock_row_is_first_at_its_time_and_continues_after_the_end(market):
    rows = market.rows(START, START + 2 * HOUR_NS + 5 * SECOND_NS)
    clock = of_kind(rows, Kind.CLOCK)
    assert np.array_equal(clock["venue_ns"], START + np.arange(7205) * SECOND_NS)
    assert np.all(clock["symbol"] == NO_SYMBOL)
    same_time = np.flatnonzero(np.diff(rows["venue_ns"]) == 0)
    assert len(same_time) and not np.any(rows["kind"][same_time + 1] == Kind.CLOCK)
    assert rows["kind"][0] == Kind.CLOCK
    assert of_kind(rows, Kind.TRADE)["venue_ns"].max() < market.end_ns


def test_every_symbol_has_a_print_and_a_top_in_every_second(market):
    rows = market.rows(START, START + HOUR_NS)
    for symbol in range(2):
        for kind in (Kind.TRADE, Kind.TOP):
            part = rows[(rows["kind"] == kind) & (rows["symbol"] == symbol)]
            assert len(np.unique(part["venue_ns"] // SECOND_NS)) == 3600


def test_rows_are_a_copy_so_that_stamping_one_slice_leaves_the_next_untouched(market):
    stamp(market.rows(START, START + MINUTE_NS), 0)
    assert np.all(market.rows(START, START + MINUTE_NS)["ts_ns"] == 0)


def test_history_is_the_closed_bars_before_a_time_in_order_of_time_and_symbol(market):
    rows = market.history(START, 30)
    assert len(rows) == 60 and np.all(rows["kind"] == Kind.HISTORY)
    assert rows["venue_ns"].max() == START - MINUTE_NS
    assert rows["symbol"].tolist() == [0, 1] * 30 and np.all(np.diff(rows["venue_ns"]) >= 0)
    bars = synthetic_bars(7, SYMBOLS, START - 50 * MINUTE_NS, 170, history_minutes=50)["ETHUSDT"][20:50]
    ours = rows[::2]
    for field, name in (("a", "open"), ("b", "high"), ("c", "low"), ("d", "close")):
        assert np.array_equal(ours[field], bars[name])
    assert np.array_equal(np.ascontiguousarray(ours["id"]).view(np.float64), bars["volume"])
    assert np.array_equal(ours["aux"], bars["trades"])


def test_history_never_holds_a_bar_that_is_still_open(market):
    rows = market.history(START + 90 * SECOND_NS, 500)
    assert rows["venue_ns"].max() == START and len(rows) == 2 * 51


def test_trades_of_a_market_rebuild_its_bars(market):
    rows = of_kind(market.rows(START, START + HOUR_NS), Kind.TRADE)
    source = synthetic_bars(7, SYMBOLS, START - 50 * MINUTE_NS, 170, history_minutes=50)
    for index, symbol in enumerate(SYMBOLS):
        built, bars = bars_of(rows[rows["symbol"] == index]), source[symbol][50:110]
        for name in ("open_ns", "open", "high", "low", "close", "volume"):
            assert np.array_equal(built[name], bars[name]), name


def test_funding_settles_every_eight_hours_at_the_last_close():
    market = open_market("synthetic:7", ["ETHUSDT"], START + HOUR_NS, 16)
    marks = of_kind(market.rows(market.start_ns, market.end_ns), Kind.MARK)
    assert marks["venue_ns"].tolist() == [START + 8 * HOUR_NS, START + 16 * HOUR_NS]
    assert np.all(marks["flags"] & Flag.FUNDING) and np.all(np.abs(marks["c"]) <= 30_000)
    before = market.history(START + 8 * HOUR_NS, 1)
    assert marks["a"][0] == before["d"][0]
    assert np.array_equal(marks["d"], marks["venue_ns"] + 8 * HOUR_NS)


def test_given_funding_takes_the_place_of_none():
    bars = synthetic_bars(1, ["ETHUSDT"], START, 60)
    table = np.array([(START - 1, 5), (START + MINUTE_NS, 7), (START + HOUR_NS, 9)], FUNDING)
    market = BarMarket(
        bars,
        [INSTRUMENTS["ETHUSDT"]],
        start_ns=START,
        end_ns=START + HOUR_NS,
        seed=1,
        funding={"ETHUSDT": table},
    )
    marks = of_kind(market.rows(START - HOUR_NS, START + 2 * HOUR_NS), Kind.MARK)
    assert marks["c"].tolist() == [7] and marks["a"][0] == bars["ETHUSDT"]["close"][0]


def test_a_seeded_funding_rate_can_be_sought():
    seed = np.uint64(5)
    whole = seeded_funding(seed, START, START + 80 * HOUR_NS)
    assert len(whole) == 10 and len(np.unique(whole["rate"])) > 5
    assert seeded_funding(seed, START + 33 * HOUR_NS, START + 80 * HOUR_NS).tobytes() == whole[5:].tobytes()


def test_path_markets_have_four_trades_per_bar_and_no_tops():
    market = open_market("synthetic:7", SYMBOLS, START, 1, path=True, clock_interval_ns=MINUTE_NS)
    rows = market.rows(START, START + HOUR_NS)
    assert len(of_kind(rows, Kind.TRADE)) == 2 * 60 * 4 and len(of_kind(rows, Kind.TOP)) == 0
    assert len(of_kind(rows, Kind.CLOCK)) == 60


def test_stamps_increase_strictly_and_never_run_before_the_venue():
    rows = np.zeros(6, ROW)
    rows["venue_ns"] = [10, 10, 10, 11, 50, 40]
    assert stamp(rows, 11)["ts_ns"].tolist() == [12, 13, 14, 15, 50, 51]


def test_merging_orders_by_time_kind_symbol_and_id():
    generator = np.random.default_rng(3)
    streams = []
    for symbol in range(5):
        rows = np.zeros(60, ROW)
        rows["venue_ns"], rows["kind"] = generator.integers(0, 9, 60), generator.integers(1, 4, 60)
        rows["symbol"], rows["id"] = symbol % 3, generator.permutation(60) + 60 * symbol
        streams.append(np.sort(rows, order=["venue_ns", "kind", "symbol", "id"]))
    merged = merge(streams)
    expected = np.sort(np.concatenate(streams), order=["venue_ns", "kind", "symbol", "id"])
    assert merged.tobytes() == expected.tobytes()
    assert len(merge([])) == 0


def test_bars_that_open_at_different_seconds_are_refused():
    bars = synthetic_bars(1, SYMBOLS, START, 5)
    bars["ADAUSDT"]["open_ns"] += 20 * SECOND_NS
    with pytest.raises(ValueError, match="different moments"):
        BarMarket(bars, [INSTRUMENTS[s] for s in SYMBOLS], start_ns=START, end_ns=START + HOUR_NS, seed=1)


def test_bars_off_the_minute_keep_every_row():
    bars = synthetic_bars(1, ["ETHUSDT"], START, 3000)
    bars["ETHUSDT"]["open_ns"] += 20 * SECOND_NS
    end = START + 3001 * MINUTE_NS
    market = BarMarket(bars, [INSTRUMENTS["ETHUSDT"]], start_ns=START, end_ns=end, seed=1)
    edges = np.arange(START, end + HOUR_NS, HOUR_NS)
    count = sum(len(of_kind(market.rows(low, low + HOUR_NS), Kind.TRADE)) for low in edges.tolist())
    assert count == 3000 * 60


def write_bars(path, symbols=SYMBOLS, minutes=300, drop=()):
    columns: dict[str, list[Any]] = {
        name: [] for name in ("ts_ns", "symbol", "open", "high", "low", "close", "volume")
    }
    for symbol, whole in synthetic_bars(2, symbols, START, minutes).items():
        bars = whole[[i for i in range(minutes) if i not in drop]]
        columns["ts_ns"].append(bars["open_ns"])
        columns["symbol"].append(np.full(len(bars), symbol))
        for name in ("open", "high", "low", "close"):
            columns[name].append(bars[name] / UNITS)
        columns["volume"].append(bars["volume"])
    pq.write_table(pa.table({name: np.concatenate(parts) for name, parts in columns.items()}), path)
    return path


def test_a_file_of_bars_opens_by_prefix_or_by_its_columns(tmp_path):
    path = write_bars(tmp_path / "bars.parquet")
    market = open_market(f"bars:{path}", SYMBOLS, START + HOUR_NS, 2, seed=4)
    same = open_market(str(path), SYMBOLS, START + HOUR_NS, 2, seed=4)
    assert market.feed_kind == "derived" and market.instruments == (
        INSTRUMENTS["ETHUSDT"],
        INSTRUMENTS["ADAUSDT"],
    )
    span = (market.start_ns, market.end_ns)
    assert market.rows(*span).tobytes() == same.rows(*span).tobytes()
    other = open_market(str(path), SYMBOLS, START + HOUR_NS, 2, seed=5)
    assert other.rows(*span).tobytes() != same.rows(*span).tobytes()


def test_without_start_and_hours_a_recording_runs_from_its_history_to_its_end(tmp_path):
    market = open_market(str(write_bars(tmp_path / "bars.parquet")), None, history_bars=100)
    assert (market.start_ns, market.end_ns) == (START + 100 * MINUTE_NS, START + 300 * MINUTE_NS)
    assert len(market.history(market.start_ns, 100)) == 200


def test_a_hole_in_the_bars_is_a_silence_in_which_only_the_clock_runs(tmp_path):
    path = write_bars(tmp_path / "bars.parquet", drop=(130, 131))
    market = open_market(str(path), SYMBOLS, START + 2 * HOUR_NS, 1)
    rows = market.rows(START + 130 * MINUTE_NS, START + 132 * MINUTE_NS)
    assert len(rows) == 120 and np.all(rows["kind"] == Kind.CLOCK)


def test_a_window_that_a_symbol_does_not_cover_is_refused_with_what_it_covers(tmp_path):
    path = write_bars(tmp_path / "bars.parquet")
    for start, hours in ((START - HOUR_NS, 1), (START + HOUR_NS, 12), (START + 30 * HOUR_NS, None)):
        with pytest.raises(
            MarketSpecError, match="ETHUSDT covers 2025-01-01T00:00:00Z .. 2025-01-01T05:00:00Z"
        ):
            open_market(str(path), SYMBOLS, start, hours)


@pytest.mark.parametrize(
    ("spec", "symbols", "error", "message"),
    [
        ("synthetic:x", SYMBOLS, MarketSpecError, "seed must be a whole number"),
        ("synthetic:1", None, MarketSpecError, "name the symbols"),
        ("synthetic:1", ["NOPEUSDT"], UnknownInstrument, "NOPEUSDT"),
        ("bars:nowhere.parquet", SYMBOLS, DatasetError, "no such file"),
    ],
)
def test_a_market_that_cannot_be_opened_says_why(spec, symbols, error, message):
    with pytest.raises(error, match=message):
        open_market(spec, symbols)


def test_a_market_of_no_hours_is_refused():
    with pytest.raises(MarketSpecError, match="more than 0"):
        open_market("synthetic:1", SYMBOLS, hours=0)


def trades_of(times, prices, quantities):
    rows = np.zeros(len(times), ROW)
    rows["kind"], rows["id"] = Kind.TRADE, np.arange(1, len(times) + 1)
    rows["venue_ns"], rows["a"], rows["b"] = times, prices, quantities
    return rows


def make_trade_market(tops):
    generator = np.random.default_rng(9)
    trades = {}
    for symbol in SYMBOLS:
        item = INSTRUMENTS[symbol]
        times = START + np.sort(generator.integers(0, 3 * HOUR_NS, 5000))
        prices = (10_000 + np.cumsum(generator.integers(-3, 4, 5000))) * item.tick_size
        trades[symbol] = trades_of(times, prices, generator.integers(1, 900, 5000) * item.step_size)
    instruments = [INSTRUMENTS[symbol] for symbol in SYMBOLS]
    span = {"start_ns": START + HOUR_NS, "end_ns": START + 3 * HOUR_NS}
    return trades, TradeMarket(trades, instruments, seed=3, bridge=Bridge(tops_per_minute=tops), **span)


def test_a_trade_market_gives_every_recorded_trade_once_and_unchanged():
    trades, market = make_trade_market(tops=60)
    rows = market.rows(START, START + 4 * HOUR_NS)
    for index, source in enumerate(trades.values()):
        ours = rows[(rows["kind"] == Kind.TRADE) & (rows["symbol"] == index)]
        live = source[source["venue_ns"] >= market.start_ns].copy()
        live["symbol"] = index
        assert ours.tobytes() == live.tobytes()
        assert np.all(source["symbol"] == 0)
    assert market.feed_kind == "recorded" and not np.any(of_kind(rows, Kind.TRADE)["flags"] & Flag.DERIVED)
    assert (
        np.all(of_kind(rows, Kind.TOP)["flags"] & Flag.DERIVED)
        and len(of_kind(rows, Kind.TOP)) == 2 * 120 * 60
    )


def test_a_trade_market_gives_the_same_rows_for_any_slicing():
    _, market = make_trade_market(tops=10)
    whole = market.rows(START, START + 4 * HOUR_NS)
    for step in (7 * SECOND_NS, 61 * MINUTE_NS):
        _, sliced = make_trade_market(tops=10)
        parts = [
            sliced.rows(t, min(t + step, START + 4 * HOUR_NS))
            for t in range(START, START + 4 * HOUR_NS, step)
        ]
        assert np.concatenate(parts).tobytes() == whole.tobytes()


def test_the_history_of_a_trade_market_is_its_bars_before_the_start():
    trades, market = make_trade_market(tops=0)
    rows = market.history(market.start_ns, 20)
    assert (
        rows["venue_ns"].min() == market.start_ns - 20 * MINUTE_NS
        and rows["venue_ns"].max() < market.start_ns
    )
    first = rows[0]
    minute = trades["ETHUSDT"]
    minute = minute[minute["venue_ns"] // MINUTE_NS * MINUTE_NS == first["venue_ns"]]
    assert (first["a"], first["b"], first["c"], first["d"]) == (
        minute["a"][0],
        minute["a"].max(),
        minute["a"].min(),
        minute["a"][-1],
    )
    assert np.ascontiguousarray(rows["id"]).view(np.float64)[0] == minute["b"].sum() / UNITS


def test_recorded_files_open_and_keep_their_volume():
    path = DATA / "bars" / "bars_um_1m_7sym_20250504_20250624.parquet"
    if not path.is_file():
        pytest.skip(f"no recorded bars at {path}")
    start = int(np.datetime64("2025-05-21T13:50", "ns").astype(np.int64))
    market = open_market(str(path), ["BTCUSDT", "SOLUSDT"], start, 12)
    assert market.instruments == (INSTRUMENTS["BTCUSDT"], INSTRUMENTS["SOLUSDT"])
    rows = market.rows(start, market.end_ns)
    later = market.history(market.end_ns, 720)
    for index in range(2):
        part = rows[(rows["symbol"] == index) & (rows["kind"] == Kind.TRADE)]
        volume = np.ascontiguousarray(later["id"][later["symbol"] == index]).view(np.float64)
        assert part["b"].sum() == np.rint(volume * UNITS).astype(np.int64).sum()


def test_recorded_trades_open_on_the_grid_of_their_year():
    path = DATA / "trades" / "trades_um_BTCUSDT_20200222_2h.parquet"
    if not path.is_file():
        pytest.skip(f"no recorded trades at {path}")
    market = open_market(f"trades:{path}", ["BTCUSDT"], history_bars=10)
    assert market.instruments[0].tick_size == 1_000_000
    rows = market.rows(market.start_ns, market.end_ns)
    assert len(of_kind(rows, Kind.TRADE)) > 9_000 and len(market.history(market.start_ns, 10)) == 18 // 2 + 1
