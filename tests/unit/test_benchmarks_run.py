"""The benchmarks run and end with the object that was promised; their page names every bar, met or missed."""

import json
from datetime import UTC, datetime

import pyarrow.parquet as pq
import pytest

from benchmarks.__main__ import main
from benchmarks.data import UnfitData, bars_file, trades_file
from benchmarks.page import BARS, text_of, views_of
from benchmarks.replays import SHAPE
from flowguardian.ops.stores import available

TRADES = 60_000
MACHINE = {
    "cpu": "a",
    "cores": 2,
    "memory_gb": 4,
    "system": "b",
    "python": "c",
    "versions": {"d": "1"},
    "load": [0],
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return tmp_path_factory.mktemp("bench")


def lines_of(capsys, name, data, *options):
    assert main([name, "--json", "--data", str(data), "--repeats", "1", *options]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def run(capsys, name, data, *options):
    return lines_of(capsys, name, data, *options)[-1]


def test_replay_ends_with_exactly_the_promised_keys(capsys, data):
    details, found = lines_of(capsys, "replay", data, "--trades", str(TRADES))
    assert tuple(found) == SHAPE
    plain = details["details"]["plain_loop_trades"]
    assert abs(found["trades"] - plain) <= 0.02 * plain
    assert found["trades"] > 50
    assert found["trades_per_second"] > 0
    assert 0 < found["final_equity"] < 60_000


def test_bars_give_the_same_shape(capsys, data):
    details, found = lines_of(capsys, "w2", data, "--days", "1")
    assert tuple(found) == SHAPE
    plain = details["details"]["plain_loop_trades"]
    assert abs(found["trades"] - plain) <= 0.02 * plain
    assert found["trades"] > 50


def test_the_core_alone_is_measured_over_the_facts_of_a_run(capsys, data):
    found = run(capsys, "decision", data, "--trades", str(TRADES))
    assert 0 < found["p50_us"] <= found["p99_us"]
    assert {"Signal", "OrderFilled", "ExitTriggered"} <= set(found["by_kind"])


def test_orders_become_durable(capsys, data, tmp_path, monkeypatch):
    monkeypatch.setenv("BENCH_WORK", str(tmp_path))
    found = run(capsys, "durable", data, "--trades", str(TRADES))
    assert found["orders"] > 50
    assert 0 < found["p50_ms"] <= found["p99_ms"]


def test_a_killed_engine_comes_back(capsys, data):
    found = run(capsys, "resume", data, "--hours", "0.25")
    assert found["killed_after_h"] >= 0.23
    assert found["ready_s"] > 0


def test_the_same_seed_gives_the_same_file_and_bars_open_at_whole_minutes(data, tmp_path):
    again = trades_file(tmp_path, TRADES)
    assert pq.read_table(again).equals(pq.read_table(trades_file(data, TRADES)))
    bars = bars_file(tmp_path, 1)
    table = pq.read_table(bars)
    late = pq.read_table(bars)["ts"].to_numpy() + 20 * 10**9
    pq.write_table(table.set_column(0, "ts", [late]), bars)
    aligned = bars_file(tmp_path, 1)
    assert aligned != bars
    assert pq.read_table(aligned).equals(table)


def test_a_file_of_another_size_is_refused(tmp_path):
    trades_file(tmp_path, 1_000).rename(tmp_path / "trades_2000.parquet")
    with pytest.raises(UnfitData, match="1000 rows, expected 2000"):
        trades_file(tmp_path, 2_000)


def test_the_page_names_every_bar_and_by_how_much_it_is_met_or_missed():
    found: dict[str, dict[str, float]] = {bar.name: {} for bar in BARS if bar.name not in ("replay", "w2")}
    for bar in BARS:
        if bar.name in found:
            found[bar.name][bar.key] = bar.limit * (2 if bar.most else 0.5) / bar.scale
    page = text_of(found, MACHINE, datetime(2025, 1, 1, tzinfo=UTC))
    for bar in BARS:
        if bar.name in found:
            assert f"| {bar.what} |" in page
    assert page.count("**missed**, 2.00× worse") == sum(bar.name in found for bar in BARS)


@pytest.mark.slow
def test_views_on_and_off_are_compared_in_pairs_and_shown_in_the_page(capsys, data):
    if any(available().values()):
        pytest.skip(f"not every embedded store is here: {available()}")
    found = run(capsys, "views", data, "--hours", "0.02")
    assert found["stores_on"] == ["postgres", "redis"] and found["hours"] == 0.02
    ((off, on),) = found["pairs_p99_ms"]
    assert (found["off_p99_ms"], found["on_p99_ms"]) == (off, on) and min(off, on) > 0
    assert f"| 1 | {off} | {on} |" in views_of({"views": found})
