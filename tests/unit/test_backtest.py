"""A backtest decides what paper trading decides, however its market comes in, and reports what rows say."""

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flowguardian.cli.app import main
from flowguardian.execution import events as ev
from flowguardian.feeds.flat import open_flat
from flowguardian.feeds.recorded import open_market, stamp
from flowguardian.journal.journal import JOURNAL, read_rows
from flowguardian.market.columns import partition
from flowguardian.market.datasets import DatasetError
from flowguardian.market.records import MINUTE_NS, SECOND_NS, UNITS
from flowguardian.market.synthetic import synthetic_bars
from flowguardian.ops.backtest import Backtest, BacktestPlan, backtest_config
from flowguardian.ops.conduct import RunPlan, create_run
from flowguardian.ops.engine_process import EngineProcess
from flowguardian.ops.verify import NoTape, verify
from tests.builders import first_difference

ROOT = Path(__file__).resolve().parents[2]
EMA_CROSS = ROOT / "benchmarks" / "ema_cross.yml"
V6_1 = ROOT / "configs" / "scalping" / "real_paper_12h_v6_1_phase17.yml"
SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
UNIVERSE = "universe.symbols=[BTCUSDT, ETHUSDT, SOLUSDT]"
T0 = 1_700_006_400 * SECOND_NS


def bars_in(folder, minutes=240):
    path = folder / "bars.parquet"
    tables = []
    for symbol, bars in synthetic_bars(5, SYMBOLS, T0, minutes).items():
        prices = {name: bars[name] / UNITS for name in ("open", "high", "low", "close")}
        columns = {
            "open_time": bars["open_ns"],
            "symbol": [symbol] * len(bars),
            **prices,
            "volume": bars["volume"],
        }
        tables.append(pa.table(columns))
    pq.write_table(pa.concat_tables(tables), path)
    return path


def trades_in(folder, count=30_000, grain_ns=1_000_000, **changed):
    """A random walk of trades; at whole milliseconds many share a time, in one symbol and across them."""
    rng = np.random.default_rng(3)
    times = T0 + np.sort(rng.integers(0, 180 * MINUTE_NS // grain_ns, count)) * grain_ns
    symbols = rng.integers(0, 3, count)
    price = np.empty(count)
    for index, start in enumerate((60_000, 3_000, 150)):
        own = symbols == index
        price[own] = np.round(start * np.exp(np.cumsum(rng.standard_t(4, int(own.sum())) * 3e-4)), 1)
    columns = {"ts": times, "symbol": np.array(SYMBOLS)[symbols], "price": price, "qty": np.full(count, 0.5)}
    path = folder / "trades.parquet"
    pq.write_table(pa.table({**columns, **changed}), path)
    return path


def backtest_of(market, *overrides, config=EMA_CROSS, **plan):
    loaded = backtest_config(config, [UNIVERSE, *overrides])
    return Backtest(BacktestPlan(loaded, str(market), **plan))


def journal_of(work):
    """The rows, without the first: it says which run it is."""
    work.run()
    return work.rows[1:]


def by_rows(work, market):
    """The same backtest over the released rows of the market, in blocks of ten minutes."""
    interval_ns = work.settings.market.clock_interval_seconds * SECOND_NS
    assert interval_ns == MINUTE_NS

    def chunks(after_ns):
        for from_ns in range(market.start_ns, market.end_ns + 1, 10 * MINUTE_NS):
            rows = market.rows(from_ns, min(from_ns + 10 * MINUTE_NS, market.end_ns + 1))
            if len(rows):
                stamp(rows, after_ns)
                after_ns = int(rows["ts_ns"][-1])
                yield partition(rows, len(market.symbols))

    work.chunks = chunks
    return work


@pytest.mark.parametrize(
    ("kind", "overrides"), [("bars", ()), ("trades", ("market.history_bars=30",)), ("trades", ())]
)
def test_a_file_read_as_columns_gives_the_journal_of_its_released_rows(tmp_path, kind, overrides):
    path = bars_in(tmp_path) if kind == "bars" else trades_in(tmp_path)
    spec = f"{kind}:{path}"
    flat = backtest_of(spec, *overrides, chunk_rows=4_000)
    settings = flat.settings.market
    released = open_market(
        spec,
        SYMBOLS,
        history_bars=settings.history_bars,
        tops_per_minute=0,
        path=True,
        clock_interval_ns=MINUTE_NS,
    )
    assert (released.start_ns, released.end_ns) == (flat.market.start_ns, flat.market.end_ns)
    assert list(released.instruments) == list(flat.market.instruments)
    rowwise = by_rows(backtest_of(spec, *overrides), released)
    mine, theirs = journal_of(flat), journal_of(rowwise)
    assert sum(isinstance(row, ev.PositionClosed) for row in mine) > 10
    assert not first_difference(mine, theirs)


def test_a_backtest_of_the_synthetic_market_decides_what_the_paper_run_decides(tmp_path):
    overrides = [
        "market.source=synthetic:3",
        "market.clock_interval_seconds=1",
        "run.checkpoint_interval_minutes=5",
    ]
    loaded = backtest_config(V6_1, overrides)
    paper_dir = create_run(RunPlan(loaded, "synthetic:3", None, 1.5, 0.0, 3, run_dir=tmp_path / "paper"))
    paper = EngineProcess(paper_dir)
    assert paper.lifetime() == "completed"
    work = Backtest(BacktestPlan(loaded, "synthetic:3", hours=1.5, seed=3))
    result = work.run()
    recorded = [row for _, row in read_rows(paper_dir / JOURNAL)]
    assert result.entries > 5
    assert not first_difference(work.rows[1:], recorded[1:])


def test_the_journal_is_the_same_in_memory_and_on_disk_and_off_gives_the_same_result(tmp_path):
    market = f"trades:{trades_in(tmp_path)}"
    memory = backtest_of(market)
    kept = memory.run()
    on_disk = backtest_of(market, journal="batched", run_dir=tmp_path / "run").run()
    off = backtest_of(market, journal="off")
    results_only = off.run()
    recorded = [row for _, row in read_rows(tmp_path / "run" / JOURNAL)]
    assert not first_difference(memory.rows[1:], recorded[1:])
    assert off.rows == []

    def counted(result):
        changing = ("run_id", "run_dir", "load_seconds", "seconds", "rows_per_second", "peak_rss_mb")
        return msgspec.structs.replace(result, **dict.fromkeys(changing))

    assert counted(kept) == counted(on_disk) == counted(results_only)


def test_running_again_and_in_smaller_chunks_changes_nothing(tmp_path):
    work = backtest_of(f"bars:{bars_in(tmp_path)}")
    once, again = journal_of(work), journal_of(work)
    work.plan = replace(work.plan, chunk_rows=100)
    assert not first_difference(once, again)
    assert not first_difference(once, journal_of(work))


def test_the_result_is_what_the_rows_say(tmp_path):
    work = backtest_of(f"trades:{trades_in(tmp_path)}")
    result = work.run()
    closed = [row for row in work.rows if isinstance(row, ev.PositionClosed)]
    fills = [row for row in work.rows if isinstance(row, ev.OrderFilled)]
    assert result.closed == len(closed) > 10
    assert result.wins == sum(row.realised - row.fees > 0 for row in closed)
    assert result.fees == Decimal(sum(row.fee for row in fills)) / UNITS
    refused = [row.code.value for row in work.rows if isinstance(row, ev.EntryRefused)]
    assert result.refused == {code: refused.count(code) for code in result.refused}
    assert sum(result.refused.values()) == len(refused) == result.signals - result.entries
    assert result.violations == 0


def test_the_drawdown_is_that_of_the_samples_the_loop_took(tmp_path):
    work = backtest_of(f"trades:{trades_in(tmp_path)}", chunk_rows=4_000)
    seen = []
    result = work.run(lambda _: seen.append(work.loop.equity() / UNITS))
    peak, drawdown = 50_000.0, 0.0
    for equity in seen:  # equity at the end of each chunk: a coarser look at the same curve
        peak = max(peak, equity)
        drawdown = max(drawdown, (peak - equity) * 100 / peak)
    low = int(work.loop._equity["low"][0]) / UNITS
    assert 0 < drawdown <= result.max_drawdown_pct + 1e-4
    assert result.max_drawdown_pct >= (50_000 - low) * 100 / 50_000 - 1e-4


def test_trades_that_are_not_plain_are_refused_by_name(tmp_path):
    count = 1_000
    price = np.full(count, 100.0)
    price[700] = np.nan
    with pytest.raises(DatasetError, match="row 700.*price"):
        backtest_of(f"trades:{trades_in(tmp_path, count, price=price)}")
    assert open_flat(f"trades:{tmp_path / 'trades.parquet'}", SYMBOLS, tops=False) is None


def test_the_command_ends_with_one_object_and_a_run_that_why_and_explain_read(tmp_path, capsys):
    run = tmp_path / "run"
    asked = [
        "backtest",
        "--config",
        str(EMA_CROSS),
        "--set",
        UNIVERSE,
        "--market",
        f"trades:{trades_in(tmp_path)}",
    ]
    assert main([*asked, "--journal", "batched", "--run-dir", str(run), "--json"]) == 0
    result = msgspec.json.decode(capsys.readouterr().out.splitlines()[-1])
    assert result["run_dir"] == str(run)
    assert result["entries"] > 10
    assert main(["why", str(run), "--json"]) == 0
    request = next(
        record.seq for record, row in read_rows(run / JOURNAL) if isinstance(row, ev.OrderRequested)
    )
    assert main(["explain", str(request), str(run), "--json"]) == 0
    assert main([*asked, "--run-dir", str(tmp_path / "other")]) == 2
    assert "--journal batched" in capsys.readouterr().err


def test_ctrl_c_ends_with_130_and_keeps_the_rows_so_far(tmp_path, capsys, monkeypatch):
    from flowguardian.execution.loop import MarketLoop

    run = tmp_path / "run"
    turns = []
    real = MarketLoop.run

    def interrupted(loop, columns):
        turns.append(columns)
        if len(turns) == 3:
            raise KeyboardInterrupt
        real(loop, columns)

    monkeypatch.setattr(MarketLoop, "run", interrupted)
    monkeypatch.setattr("flowguardian.ops.backtest.BLOCK_ROWS", 20_000)
    asked = ["backtest", "--config", str(V6_1), "--market", "synthetic:3", "--hours", "4"]
    assert main([*asked, "--journal", "batched", "--run-dir", str(run)]) == 130
    assert "interrupted" in capsys.readouterr().err
    assert len(list(read_rows(run / JOURNAL))) > 3


def test_a_backtest_has_no_tape_to_verify_and_says_so(tmp_path: Path) -> None:
    place = tmp_path / "run"
    plan = BacktestPlan(
        backtest_config(None, [UNIVERSE]), "synthetic:3", hours=1, journal="batched", run_dir=place
    )
    Backtest(plan).run()
    with pytest.raises(NoTape, match="keeps no tape"):
        verify(place)
