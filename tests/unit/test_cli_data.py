"""`data describe` and `data import`: nothing repaired unasked, nothing lost."""

from __future__ import annotations

import json

import numpy as np
import pytest

from flowguardian.cli.app import main
from flowguardian.market.datasets import load_bars, load_trades

BARS = """symbol,ts,open,high,low,close,volume
BTCUSDT,1747828800000,100.1,101,99.5,100.5,12.25
BTCUSDT,1747828860000,100.5,102,100,101.5,3
BTCUSDT,1747828980000,101.5,101.5,101.5,101.5,0
ETHUSDT,1747828800000,10.01,10.1,9.95,10.05,7
"""
TRADES = """symbol,ts,price,qty,is_buyer_maker,trade_id
BTCUSDT,1747828800000,100.1,0.003,true,7
BTCUSDT,1747828800500,100.2,1.5,false,9
"""


@pytest.fixture
def bars(tmp_path):
    path = tmp_path / "bars.csv"
    path.write_text(BARS, encoding="utf-8")
    return path


def test_a_description_counts_rows_and_holes_per_symbol(bars, capsys):
    assert main(["data", "describe", str(bars), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["kind"], found["rows"], found["interval_ns"]) == ("bars", 4, 60_000_000_000)
    bitcoin = found["symbols"][0]
    assert (bitcoin["symbol"], bitcoin["rows"], bitcoin["gaps"], bitcoin["missing"]) == ("BTCUSDT", 3, 1, 1)
    assert main(["data", "describe", str(bars)]) == 0
    assert "2025-05-21 12:00:00 UTC (05-21 21:00:00 KST)" in capsys.readouterr().out


def test_imported_bars_read_back_as_the_same_records(bars, tmp_path, capsys):
    target = tmp_path / "out" / "bars.parquet"
    assert main(["data", "import", str(bars), str(target), "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["written"] == str(target)
    before, after = load_bars(bars)[0], load_bars(target)[0]
    assert list(before) == list(after)
    assert all(np.array_equal(before[symbol], after[symbol]) for symbol in before)


def test_imported_trades_keep_side_and_id(tmp_path):
    source, target = tmp_path / "trades.csv", tmp_path / "trades.parquet"
    source.write_text(TRADES, encoding="utf-8")
    assert main(["data", "import", str(source), str(target)]) == 0
    before, after = load_trades(source)[0]["BTCUSDT"], load_trades(target)[0]["BTCUSDT"]
    assert np.array_equal(before, after)


def test_disorder_is_refused_until_sorting_is_asked_for(tmp_path, capsys):
    lines = BARS.splitlines()
    lines[1], lines[2] = lines[2], lines[1]
    source, target = tmp_path / "mixed.csv", tmp_path / "mixed.parquet"
    source.write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert main(["data", "import", str(source), str(target)]) == 2
    assert "out of order" in capsys.readouterr().err
    assert not target.exists()
    assert main(["data", "import", str(source), str(target), "--sort"]) == 0
    assert len(load_bars(target)[0]["BTCUSDT"]) == 3


def test_a_target_that_exists_is_not_replaced_unasked(bars, tmp_path, capsys):
    target = tmp_path / "bars.parquet"
    target.write_bytes(b"precious")
    assert main(["data", "import", str(bars), str(target)]) == 2
    assert target.read_bytes() == b"precious"
    assert "--force" in capsys.readouterr().err


def test_a_file_that_is_not_there_is_exit_code_2(tmp_path, capsys):
    assert main(["data", "describe", str(tmp_path / "none.parquet")]) == 2
    assert "there is no such file" in capsys.readouterr().err
