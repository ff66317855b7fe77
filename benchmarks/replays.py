"""W1 and W2: the common work through the whole engine, against summing the same columns in the same process.

Rule: it is `flowguardian backtest` that is measured, in its own classes; nothing of the engine is left out.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.data import BAR_DAYS, TRADES, bars_file, trades_file
from benchmarks.measuring import spread_pct, timed
from benchmarks.plain import round_trips_on_bars, round_trips_on_trades
from flowguardian.market.columns import Columns
from flowguardian.ops.backtest import Backtest, BacktestPlan, BacktestResult, backtest_config
from flowguardian.ops.resources import peak_rss_mb

CONFIG = Path(__file__).resolve().parent / "ema_cross.yml"
SHAPE = ("trades_per_second", "time_over_memory_floor", "trades", "final_equity", "peak_rss_mb")
"""What `replay --json` and `w2 --json` end with."""


def replay(folder: Path, *, trades: int = TRADES, repeats: int = 5) -> dict[str, Any]:
    """W1: trades of a day."""
    found, chunks = _measure(f"trades:{trades_file(folder, trades)}", repeats)
    return {**found, "plain_loop_trades": round_trips_on_trades(one_of(chunks))}


def w2(folder: Path, *, days: int = BAR_DAYS, repeats: int = 5) -> dict[str, Any]:
    """W2: bars of 90 days, four points each."""
    found, chunks = _measure(f"bars:{bars_file(folder, days)}", repeats)
    columns = one_of(chunks)
    return {
        **found,
        "bars": len(columns.price) // 4,
        "plain_loop_trades": round_trips_on_bars(columns, keep_signal=True),
        "plain_loop_trades_dropping_signals_while_held": round_trips_on_bars(columns, keep_signal=False),
    }


def one_of(chunks: Sequence[Columns]) -> Columns:
    """The work is small enough to be one chunk; the plain loops rely on it."""
    (columns,) = chunks
    return columns


def opened(market: str) -> Backtest:
    """The work on a market, opened and ready to run."""
    return Backtest(BacktestPlan(backtest_config(CONFIG, ()), market, journal="off"))


def _measure(market: str, repeats: int) -> tuple[dict[str, Any], list[Columns]]:
    print(f"open {market}", file=sys.stderr)
    work = opened(market)
    print("run, results only", file=sys.stderr)
    work.run()  # kernels come from numba's cache, caches of the processor get warm
    peak = peak_rss_mb()  # of loading and one run: the repeats hold a second copy of the columns
    results = [work.run() for _ in range(repeats)]
    engine = [result.seconds for result in results]
    chunks = list(work.chunks(0))
    sums = floor(chunks, repeats)
    print("run, with its journal on disk", file=sys.stderr)
    journaled, rows = _with_journal(work, repeats)
    last = results[-1]
    found = {
        "trades_per_second": round(last.rows / median(engine)),
        "time_over_memory_floor": round(median(engine) / median(sums), 2),
        "trades": last.closed,
        "final_equity": float(last.equity),
        "peak_rss_mb": round(peak, 1),
        "rows": last.rows,
        "entries": last.entries,
        "open_at_the_end": last.open_positions,
        "signals": last.signals,
        "refused": last.refused,
        "max_drawdown_pct": last.max_drawdown_pct,
        "violations": last.violations,
        "load_s": round(work.load_seconds, 3),
        "engine_s": round(median(engine), 4),
        "engine_spread_pct": round(spread_pct(engine), 1),
        "floor_s": round(median(sums), 4),
        "journal_s": round(median(journaled), 4),
        "journal_spread_pct": round(spread_pct(journaled), 1),
        "journal_rows": rows,
        "journal_trades_per_second": round(last.rows / median(journaled)),
        "repeats": repeats,
    }
    return found, chunks


def floor(chunks: Sequence[Columns], repeats: int) -> list[float]:
    """Seconds to sum time, price and quantity of every trade: reading memory once, doing nothing."""

    def total() -> int:
        columns = [column for chunk in chunks for column in (chunk.trade_ts, chunk.price, chunk.qty)]
        return sum(int(column.sum()) for column in columns)  # modulo 2**64: it is the reading that counts

    total()
    return timed(total, repeats)


def _with_journal(work: Backtest, repeats: int) -> tuple[list[float], int]:
    """Seconds with every row encoded, chained and written, and the number of rows."""
    from flowguardian.journal.chain import read_chain

    seconds: list[float] = []
    rows = 0
    plan = work.plan
    with tempfile.TemporaryDirectory(prefix="flowguardian-bench-") as place:
        for number in range(repeats):
            run_dir = Path(place) / f"run{number}"
            work.plan = replace(plan, journal="batched", run_dir=run_dir)
            result: BacktestResult = work.run()
            seconds.append(result.seconds)
            if number == 0:
                rows = sum(1 for _ in read_chain(run_dir / "journal.db"))
    work.plan = plan
    return seconds, rows
