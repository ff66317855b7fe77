"""The market of the benchmarks: seeded random walks of ten symbols, as trades of a day and bars of 90 days.

Rule: made once per folder and size; a file that stands there already is used after a look at its size.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from flowguardian.ops.platform_files import replace

Floats = npt.NDArray[np.float64]

SEED = 7
START_NS = 1_700_006_400_000_000_000
"""2023-11-15T00:00Z."""
MINUTE_NS = 60_000_000_000
DAY_MINUTES = 1440
TRADES, BAR_DAYS = 5_000_000, 90
PRICES_AND_TICKS = (
    (60000.0, 0.1),
    (3000.0, 0.01),
    (150.0, 0.01),
    (0.6, 0.0001),
    (600.0, 0.01),
    (0.15, 0.00001),
    (0.5, 0.0001),
    (15.0, 0.001),
    (35.0, 0.001),
    (80.0, 0.01),
)
"""Start price and tick of each symbol, in the order of ema_cross.yml."""
TRADE_SIGMA, BAR_SIGMA = 6e-5, 2e-4
POINTS_PER_BAR = 10


class UnfitData(Exception):
    """A file of the data folder is not of the shape that the benchmark wants."""


def data_folder() -> Path:
    """$BENCH_DATA, else a folder of the system's temporary one."""
    given = os.environ.get("BENCH_DATA")
    return Path(given) if given else Path(tempfile.gettempdir()) / "flowguardian-bench"


def trades_file(folder: Path, trades: int = TRADES) -> Path:
    """The trades of one day, all symbols mixed in order of time."""
    name = "trades5m.parquet" if trades == TRADES else f"trades_{trades}.parquet"
    return _made(folder / name, trades, lambda: _trades(trades))


def bars_file(folder: Path, days: int = BAR_DAYS) -> Path:
    """One-minute bars, symbol after symbol, that open at whole minutes."""
    name = "bars1m_90d.parquet" if days == BAR_DAYS else f"bars1m_{days}d.parquet"
    path = _made(folder / name, days * DAY_MINUTES * len(PRICES_AND_TICKS), lambda: _bars(days))
    late_ns = int(pq.read_table(path, columns=["ts"])["ts"][0].as_py()) % MINUTE_NS
    if late_ns == 0:
        return path
    # Bars of the engine are minutes of UTC: a file that opens at :20 would be cut across.
    aligned = folder / f"{path.stem}_aligned.parquet"
    if not aligned.is_file():
        table = pq.read_table(path)
        times = pa.array(table["ts"].to_numpy() - late_ns)
        _write(table.set_column(table.column_names.index("ts"), "ts", times), aligned)
    return aligned


def _made(path: Path, rows: int, make: Any) -> Path:
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(make(), path)
    found = pq.ParquetFile(path).metadata.num_rows
    if found != rows:
        raise UnfitData(f"{path}: {found} rows, expected {rows}; remove the file or choose another folder")
    return path


def _write(table: pa.Table, path: Path) -> None:
    """Whole or not at all: a benchmark that is stopped leaves no half file behind."""
    draft = path.with_suffix(".tmp")
    pq.write_table(table, draft)
    replace(draft, path)


def _walk(rng: np.random.Generator, steps: int, sigma: float, start: float, tick: float) -> Floats:
    """Prices on the tick grid whose log moves by Student-t(4) steps."""
    logs = np.cumsum(rng.standard_t(4, steps) * sigma)
    prices: Floats = np.rint(start * np.exp(logs) / tick) * tick
    return prices


def _trades(count: int) -> pa.Table:
    rng = np.random.default_rng(SEED)
    span_ns = DAY_MINUTES * MINUTE_NS
    times = START_NS + np.sort(rng.integers(0, span_ns, count))
    symbols = rng.integers(0, len(PRICES_AND_TICKS), count).astype(np.int32)
    prices = np.empty(count)
    for symbol, (start, tick) in enumerate(PRICES_AND_TICKS):
        own = symbols == symbol
        # Fewer trades take larger steps, so that a small sample still has stops and targets to hit.
        sigma = TRADE_SIGMA * (TRADES / count) ** 0.5
        prices[own] = _walk(rng, int(own.sum()), sigma, start, tick)
    quantities = np.round(rng.lognormal(0, 1, count), 3) + 0.001
    sides = rng.integers(0, 2, count).astype(np.int8)
    return pa.table({"ts": times, "sym": symbols, "price": prices, "qty": quantities, "side": sides})


def _bars(days: int) -> pa.Table:
    rng = np.random.default_rng(SEED)
    minutes = days * DAY_MINUTES
    parts: dict[str, list[Any]] = {
        name: [] for name in ("ts", "sym", "open", "high", "low", "close", "volume")
    }
    for symbol, (start, tick) in enumerate(PRICES_AND_TICKS):
        points = _walk(rng, minutes * POINTS_PER_BAR, BAR_SIGMA, start, tick).reshape(minutes, POINTS_PER_BAR)
        close = points[:, -1]
        opened = np.concatenate([[start], close[:-1]])
        parts["ts"].append(START_NS + np.arange(minutes) * MINUTE_NS)
        parts["sym"].append(np.full(minutes, symbol, np.int32))
        parts["open"].append(opened)
        parts["high"].append(np.maximum(points.max(axis=1), opened))
        parts["low"].append(np.minimum(points.min(axis=1), opened))
        parts["close"].append(close)
        parts["volume"].append(rng.lognormal(3, 1, minutes))
    return pa.table({name: np.concatenate(columns) for name, columns in parts.items()})
