"""The market, the configuration and the files of the run that journal_builder.py tells.

Rule: constants and files only; what happens in the run is told by the story.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from flowguardian.journal.chain import GENESIS, ChainWriter, link
from flowguardian.market.records import ROW, Kind

SECOND, MINUTE, HOUR = 10**9, 60 * 10**9, 3600 * 10**9
T0 = 1_747_835_400 * SECOND  # 2025-05-21 13:50 UTC
ONE = 10**8
TICK = ONE // 10
START = 50_000 * ONE
SYMBOL = "BTCUSDT"
MINUTES = 40
TAKER, SLIPPAGE = 40_000, 50_000
HOST = 1_800_000_000 * SECOND
MONO = 77 * HOUR

CONFIG: dict[str, Any] = {
    "fees": {"taker": 0.0004, "maker": 0.0002},
    "execution": {"slippage": 0.0005, "max_slippage": 0.001},
    "paper": {"duration_hours": MINUTES / 60, "duration_mode": "wall_clock"},
    "market": {"speed": 1, "source": "bars:somewhere.parquet"},
    "risk": {"max_exposure_per_symbol": 0.35, "max_exposure_pct": 0.95},
    "portfolio": {
        "max_total_exposure": 0.95,
        "budget": {"default_allocation": 0.25, "strategy_allocation": {"scalping": 0.25}},
    },
    "strategies": {"scalping": {"enabled": True}},
    "acceptance": {
        "min_run_hours": 0.5,
        "max_planned_stops": 8,
        "min_longest_segment_hours": 0.25,
        "min_entries": 2,
        "min_budget_caps": 1,
        "max_budget_block_pct": 30,
        "ideal_budget_block_pct": [10, 20],
        "max_refusal_streak": 60,
        "max_refusals_per_hour_per_symbol": 45,
        "max_errors": 0,
        "max_abnormal_ends": 0,
        "max_starvation": 0,
        "max_ledger_difference": 0,
        "require_replay_identical": True,
        "equity_collapse_pct": 25,
        "quiet_atr_pct": 0.001,
    },
}


def price_at(second: int) -> int:
    """The trade price in a second of the run: a slow wave of 0.1 ticks around 100,000."""
    return 100_000 * ONE + TICK * ((second * 37) % 400 - 200)


def tape_rows(minutes: int = MINUTES) -> np.ndarray[Any, Any]:
    """A quote, a trade and a clock row in each second."""
    rows = np.zeros(minutes * 60 * 3 + 3, ROW)
    for second in range(minutes * 60 + 1):
        at, price = T0 + second * SECOND, price_at(second)
        k = second * 3
        rows[k] = (Kind.TOP, 0, 0, 0, at + 1, at, price - TICK, 5 * ONE, price + TICK, ONE // 20, second)
        rows[k + 1] = (Kind.TRADE, 0, 0, 0, at + 2, at, price, ONE, 0, 0, second)
        rows[k + 2] = (Kind.CLOCK, 0, 0xFFFF, 0, at + 3, at, 0, 0, 0, 0, 0)
    return rows


def write_chain(path: Path, rows: list[Any], encode: Callable[[Any], bytes]) -> None:
    """Write rows as a hash-chained file."""
    writer = ChainWriter(path)
    writer.append([(row.ts_ns, type(row).__name__, encode(row)) for row in rows], durable=False)
    writer.close()


def rewrite(path: Path, seq: int, change: Callable[[dict[str, Any]], None], *, rehash: bool) -> None:
    """Change the body of a written row; `rehash` recomputes the chain as a careful forger would."""
    db = sqlite3.connect(path)
    rows = db.execute("SELECT seq, ts_ns, kind, body, hash FROM rows ORDER BY seq").fetchall()
    previous, changed = GENESIS, []
    for number, ts_ns, kind, body, digest in rows:
        if number == seq:
            fields = msgspec.json.decode(body)
            change(fields)
            body = msgspec.json.encode(fields).decode()  # noqa: PLW2901
        previous = link(previous, number, ts_ns, kind, body.encode()) if rehash else digest
        changed.append((body, previous, number))
    db.executemany("UPDATE rows SET body = ?, hash = ? WHERE seq = ?", changed)
    db.commit()
    db.close()
