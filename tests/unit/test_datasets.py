"""Market files, good and bad."""

import gzip
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from flowguardian.market.datasets import (
    DatasetError,
    describe,
    kind_of,
    load_bars,
    load_trades,
    read_bars,
    read_funding,
    read_trades,
)
from flowguardian.market.records import MINUTE_NS, Flag, Kind

DATA = Path(
    os.environ.get("FLOWGUARDIAN_DATA", Path(__file__).resolve().parents[2].parent / "shared" / "data")
)
START = 1_747_836_000_000_000_000  # 2025-05-21T14:00Z
MINUTES = 10


def bar_columns(symbols=("BTCUSDT", "ETHUSDT")):
    """Ten minutes per symbol, interleaved by time as recorders write them."""
    count = MINUTES * len(symbols)
    minute, place = np.divmod(np.arange(count), len(symbols))
    opened = 100.0 * (place + 1) + minute
    return {
        "ts_ns": START + minute * MINUTE_NS,
        "symbol": [symbols[i] for i in place],
        "open": opened,
        "high": opened + 2.5,
        "low": opened - 1.5,
        "close": opened + 1.1,
        "volume": 5.0 + minute,
    }


def write(path, columns):
    table = pa.table(columns)
    if path.suffix == ".parquet":
        pq.write_table(table, path)
    else:
        pa_csv.write_csv(table, path)
    return path


@pytest.fixture(params=[".parquet", ".csv"])
def bars_file(request, tmp_path):
    def make(change=None, suffix=request.param):
        columns = bar_columns()
        if change:
            change(columns)
        return write(tmp_path / f"bars{suffix}", columns)

    return make


def test_bars_come_per_symbol_in_exact_units(bars_file):
    bars, report = load_bars(bars_file())
    assert list(bars) == ["BTCUSDT", "ETHUSDT"]
    assert bars["ETHUSDT"]["open"].tolist()[:2] == [20_000_000_000, 20_100_000_000]
    assert bars["BTCUSDT"]["close"][0] == 10_110_000_000 and bars["BTCUSDT"]["volume"][1] == 6.0
    assert np.all(bars["BTCUSDT"]["close_ts"] == 0)
    assert report.rows == 20 and report.interval_ns == MINUTE_NS
    first = report.symbols[0]
    assert (first.rows, first.gaps, first.duplicates, first.out_of_order) == (10, 0, 0, 0)
    assert (first.first_ns, first.last_ns) == (START, START + 9 * MINUTE_NS)


def test_symbols_come_in_the_order_asked_for_and_the_window_is_half_open(bars_file):
    bars = read_bars(bars_file(), ["ETHUSDT", "BTCUSDT"], START + 2 * MINUTE_NS, START + 5 * MINUTE_NS)
    assert list(bars) == ["ETHUSDT", "BTCUSDT"]
    assert bars["BTCUSDT"]["open_ns"].tolist() == [START + k * MINUTE_NS for k in (2, 3, 4)]


def set_value(name, row, value):
    def change(columns):
        column = list(columns[name])
        column[row] = value
        columns[name] = column

    return change


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("close", float("nan"), "close is missing or NaN"),
        ("open", None, "open is missing or NaN"),
        ("high", float("inf"), "high is inf"),
        ("low", 0.0, "low is 0, it must be above zero"),
        ("open", -3.5, "open is -3.5, it must be above zero"),
        ("volume", -1.0, "volume is -1, it must be zero or more"),
        ("high", 50.0, "high 50 is below low"),
        ("close", 999.0, "close 999 is outside low"),
        ("high", 1e12, "more than 64 bits hold"),
    ],
)
def test_a_wrong_value_is_refused_with_file_symbol_row_time_and_remedy(bars_file, name, value, message):
    path = bars_file(set_value(name, 7, value))
    with pytest.raises(DatasetError) as caught:
        read_bars(path)
    text = str(caught.value)
    assert message in text and str(path) in text and "ETHUSDT, row 7, 2025-05-21T14:03:00Z" in text
    assert text.endswith(".") and ("Repair" in text or "Check" in text)


def test_the_first_bad_row_is_named_and_all_are_counted(bars_file):
    def change(columns):
        for row in (13, 5, 9):
            set_value("close", row, float("nan"))(columns)

    with pytest.raises(DatasetError, match=r"row 5, .*\(3 such rows\)"):
        read_bars(bars_file(change))


def test_bad_rows_of_symbols_nobody_asked_for_do_no_harm(bars_file):
    path = bars_file(set_value("close", 7, float("nan")))
    assert list(read_bars(path, ["BTCUSDT"])) == ["BTCUSDT"]


def reorder(order):
    def change(columns):
        for name, values in columns.items():
            columns[name] = [values[i] for i in order]

    return change


def test_duplicate_rows_are_refused_or_dropped_and_counted(bars_file):
    path = bars_file(reorder([*range(20), 6]))
    with pytest.raises(DatasetError, match="out of order"):
        read_bars(path)
    with pytest.raises(
        DatasetError, match=r"BTCUSDT, row 20, 2025-05-21T14:03:00Z: this time .* second time"
    ):
        read_bars(path, sort=True)
    bars, report = load_bars(path, sort=True, on_duplicate="drop")
    assert bars["BTCUSDT"].tobytes() == read_bars(bars_file())["BTCUSDT"].tobytes()
    assert (report.symbols[0].duplicates, report.symbols[0].dropped) == (1, 1)
    assert report.symbols[1].duplicates == 0


def test_a_shuffled_file_is_refused_or_sorted_and_counted(bars_file):
    order = np.random.default_rng(5).permutation(20).tolist()
    path = bars_file(reorder(order))
    with pytest.raises(DatasetError, match="sort=True"):
        read_bars(path)
    sorted_bars, report = load_bars(path, ["BTCUSDT", "ETHUSDT"], sort=True)
    straight = read_bars(bars_file(), ["BTCUSDT", "ETHUSDT"])
    assert all(sorted_bars[name].tobytes() == straight[name].tobytes() for name in straight)
    assert all(part.out_of_order > 0 for part in report.symbols)


def test_a_hole_in_time_is_a_counted_gap_and_no_error(bars_file):
    bars, report = load_bars(bars_file(reorder([i for i in range(20) if i not in (4, 6, 12)])))
    btc, eth = report.symbols
    assert (btc.rows, btc.gaps, btc.missing) == (7, 2, 3)
    assert (eth.gaps, eth.missing) == (0, 0)
    assert len(bars["BTCUSDT"]) == 7


def test_a_bar_between_two_grid_times_is_refused(bars_file):
    with pytest.raises(DatasetError, match="row 8, .*not on the grid of 60 s"):
        read_bars(bars_file(set_value("ts_ns", 8, START + 4 * MINUTE_NS + 5)))


def test_an_unknown_symbol_names_the_nearest_and_what_there_is(bars_file):
    with pytest.raises(DatasetError, match="BTCUSD; did you mean BTCUSDT.*BTCUSDT, ETHUSDT"):
        read_bars(bars_file(), ["BTCUSD"])


def test_an_empty_window_says_what_the_file_covers(bars_file):
    with pytest.raises(
        DatasetError, match="no rows in the window .*cover 2025-05-21T14:00:00Z .. 2025-05-21T14:09"
    ):
        read_bars(bars_file(), None, START + 60 * MINUTE_NS)


def test_a_file_without_rows_is_refused(bars_file):
    with pytest.raises(DatasetError, match="no rows"):
        read_bars(bars_file(reorder([]), suffix=".parquet"))


def test_every_truncation_of_a_parquet_file_is_refused(tmp_path):
    path = write(tmp_path / "bars.parquet", bar_columns())
    data = path.read_bytes()
    for size in range(0, len(data), 97):
        path.write_bytes(data[:size])
        with pytest.raises(DatasetError, match="damaged or cut"):
            read_bars(path)


def test_no_truncation_of_a_csv_file_gives_a_wrong_number(tmp_path):
    path = write(tmp_path / "bars.csv", bar_columns())
    data = path.read_bytes()
    whole = read_bars(path)
    read = 0
    for size in range(len(data)):
        path.write_bytes(data[:size])
        try:
            part = read_bars(path)
        except DatasetError:
            continue
        read += 1
        for symbol, bars in part.items():
            assert bars.tobytes() == whole[symbol][: len(bars)].tobytes()
    assert read == 2 * MINUTES - 1  # only cuts at the end of a row can be read


def test_a_truncated_gzip_file_is_refused(tmp_path):
    path = tmp_path / "bars.csv.gz"
    data = gzip.compress(write(tmp_path / "bars.csv", bar_columns()).read_bytes())
    path.write_bytes(data)
    assert len(read_bars(path)["BTCUSDT"]) == MINUTES
    path.write_bytes(data[:-20])
    with pytest.raises(DatasetError, match="damaged or cut"):
        read_bars(path)


def test_damaged_bytes_inside_a_parquet_file_are_refused_or_harmless(tmp_path):
    path = tmp_path / "bars.parquet"
    pq.write_table(pa.table(bar_columns()), path, write_page_checksum=True)
    data = bytearray(path.read_bytes())
    data[:4] = b"NOPE"
    data[-4:] = b"NOPE"
    path.write_bytes(bytes(data))
    with pytest.raises(DatasetError, match="damaged or cut"):
        read_bars(path)


def test_an_unknown_layout_names_the_columns_found_and_expected(bars_file):
    def change(columns):
        columns["last"] = columns.pop("close")

    with pytest.raises(DatasetError, match="columns found: .*last.*expected: bars: time, open"):
        read_bars(bars_file(change))


def test_words_in_a_number_column_are_refused(tmp_path):
    path = write(tmp_path / "bars.csv", bar_columns() | {"close": ["none"] * 20})
    with pytest.raises(DatasetError, match="column close is not numbers"):
        read_bars(path)


def test_a_missing_file_and_a_strange_type_are_refused(tmp_path):
    with pytest.raises(DatasetError, match="no such file"):
        read_bars(tmp_path / "none.parquet")
    (tmp_path / "bars.xlsx").write_bytes(b"x")
    with pytest.raises(DatasetError, match="not read"):
        read_bars(tmp_path / "bars.xlsx")


@pytest.mark.parametrize("factor", [1, 1_000, 1_000_000, 1_000_000_000])
def test_times_of_every_scale_mean_the_same(tmp_path, factor):
    columns = bar_columns()
    columns["timestamp"] = columns.pop("ts_ns") // factor
    bars = read_bars(write(tmp_path / "bars.parquet", columns))
    assert bars["BTCUSDT"]["open_ns"][1] == START + MINUTE_NS


def test_timestamps_with_and_without_zone_are_utc(tmp_path):
    for zone in (None, "UTC", "Asia/Seoul"):
        columns = bar_columns()
        columns["time"] = pa.array(columns.pop("ts_ns"), pa.timestamp("ns", tz=zone))
        assert read_bars(write(tmp_path / "b.parquet", columns))["BTCUSDT"]["open_ns"][0] == START


def test_times_of_mixed_scale_are_refused(bars_file):
    with pytest.raises(DatasetError, match="not one scale"):
        read_bars(bars_file(set_value("ts_ns", 3, START // 1_000_000)))


def test_numbered_symbols_need_their_names(tmp_path):
    columns = bar_columns()
    columns["sym"] = np.tile(np.arange(2, dtype=np.int32), MINUTES)
    columns["ts"] = columns.pop("ts_ns")
    del columns["symbol"]
    path = write(tmp_path / "bars.parquet", columns)
    assert list(read_bars(path, ["BTCUSDT", "ETHUSDT"])) == ["BTCUSDT", "ETHUSDT"]
    with pytest.raises(DatasetError, match="pass the names of all 2 symbols"):
        read_bars(path, ["BTCUSDT"])


def test_the_symbol_may_stand_in_the_name_of_the_file(tmp_path):
    columns = bar_columns(("BTCUSDT",))
    del columns["symbol"]
    assert list(read_bars(write(tmp_path / "BTCUSDT-1m-2025-05.csv", columns))) == ["BTCUSDT"]
    unnamed = write(tmp_path / "bars.csv", columns)
    assert list(read_bars(unnamed, ["XRPUSDT"])) == ["XRPUSDT"]
    with pytest.raises(DatasetError, match="no symbol column"):
        read_bars(unnamed)


def trade_columns(**more):
    return {
        "ts_ns": START + np.array([0, 5, 5, 9]) * 1_000_000,
        "symbol": ["BTCUSDT"] * 4,
        "price": [100.1, 100.2, 100.2, 100.1],
        "qty": [0.5, 0.25, 0.25, 1.0],
    } | more


@pytest.mark.parametrize(
    "sides",
    [
        {"is_buyer_maker": [True, False, False, True]},
        {"side": ["sell", "BUY", "b", "S"]},
        {"side": np.array([0, 1, 1, 0], np.int8)},
        {"side": [-1, 1, 1, -1]},
    ],
)
def test_trades_keep_price_quantity_and_taker_side(tmp_path, sides):
    rows = read_trades(write(tmp_path / "trades.parquet", trade_columns(**sides)))["BTCUSDT"]
    assert np.all(rows["kind"] == Kind.TRADE) and np.all(rows["ts_ns"] == 0)
    assert rows["a"].tolist() == [10_010_000_000, 10_020_000_000, 10_020_000_000, 10_010_000_000]
    assert rows["b"].tolist() == [50_000_000, 25_000_000, 25_000_000, 100_000_000]
    assert rows["id"].tolist() == [1, 2, 3, 4]
    assert (rows["flags"] & Flag.SELLER_TAKER != 0).tolist() == [True, False, False, True]


def test_an_unknown_side_is_refused(tmp_path):
    path = write(tmp_path / "trades.csv", trade_columns(side=["buy", "sell", "up", "buy"]))
    with pytest.raises(DatasetError, match="side column holds 'up'"):
        read_trades(path)


def test_equal_trades_without_ids_stay_and_repeated_ids_do_not(tmp_path):
    plain, report = load_trades(write(tmp_path / "trades.parquet", trade_columns()))
    assert len(plain["BTCUSDT"]) == 4 and report.symbols[0].gaps is None
    path = write(tmp_path / "ids.parquet", trade_columns(trade_id=[7, 8, 8, 12]))
    with pytest.raises(DatasetError, match="row 2, .*this trade id appears for the second time"):
        read_trades(path)
    rows, report = load_trades(path, on_duplicate="drop")
    found = report.symbols[0]
    assert rows["BTCUSDT"]["id"].tolist() == [7, 8, 12]
    assert (found.dropped, found.gaps, found.missing) == (1, 1, 3)


def test_zero_quantity_and_disorder_of_trades_are_refused(tmp_path):
    zero = write(tmp_path / "zero.csv", trade_columns(qty=[1.0, 0.0, 1.0, 1.0]))
    with pytest.raises(DatasetError, match="row 1, .*qty is 0"):
        read_trades(zero)
    back = write(tmp_path / "back.csv", trade_columns(ts_ns=START + np.array([0, 9, 5, 9]) * 1_000_000))
    with pytest.raises(DatasetError, match="row 2, .*earlier than the one before it"):
        read_trades(back)
    assert load_trades(back, sort=True)[1].symbols[0].out_of_order == 1


def test_the_kind_of_a_file_follows_from_its_columns(tmp_path):
    assert kind_of(write(tmp_path / "a.csv", trade_columns())) == "trades"
    assert kind_of(write(tmp_path / "b.csv", bar_columns())) == "bars"
    funding = {"ts_ns": [START, START + 1], "symbol": ["BTCUSDT"] * 2, "funding_rate": [0.0001, -0.00002]}
    path = write(tmp_path / "c.csv", funding)
    assert kind_of(path) == "funding" and describe(path).kind == "funding"
    assert read_funding(path)["BTCUSDT"]["rate"].tolist() == [10_000, -2_000]


def test_describe_counts_what_reading_would_refuse(bars_file):
    report = describe(bars_file(reorder([*range(20), 6])))
    assert (report.kind, report.rows, report.symbols[0].duplicates, report.symbols[0].out_of_order) == (
        "bars",
        20,
        1,
        1,
    )


def test_every_recorded_file_is_read_without_gaps():
    if not DATA.is_dir():
        pytest.skip(f"no recorded market data at {DATA}")
    for path in sorted([*DATA.glob("bars/*.parquet"), *DATA.glob("trades/*.parquet")]):
        report = describe(path)
        assert report.rows > 1_000, path
        for part in report.symbols:
            assert not part.gaps and not part.duplicates and not part.out_of_order, (path, part)
