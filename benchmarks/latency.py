"""The core alone: one fact through `Engine.process`, and a wake until its order is durable on disk.

Rule: the facts are those of a real run, in their order, so cheap and dear ones are mixed as in a run.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.data import TRADES, trades_file
from benchmarks.measuring import percentile
from benchmarks.replays import opened
from flowguardian.execution import events as ev
from flowguardian.execution.engine import Engine
from flowguardian.journal.journal import Recorder
from flowguardian.market.records import ROW, Kind
from flowguardian.ops.backtest import Backtest
from flowguardian.ops.limits import limits_of

FACTS = ev.EXOGENOUS + ev.DERIVED


def decision(folder: Path, *, trades: int = TRADES, repeats: int = 5) -> dict[str, Any]:
    """Microseconds of `process`, over all facts of W1 and for each kind."""
    work = opened(f"trades:{trades_file(folder, trades)}")
    facts = facts_of(work)
    _process_all(work, facts)
    taken: list[float] = []
    kinds: list[type[ev.Row]] = []
    for _ in range(repeats):
        taken += _process_all(work, facts)
        kinds += [type(fact) for fact in facts]
    by_kind: dict[str, dict[str, float]] = {}
    for kind in dict.fromkeys(kinds):
        own = [micros for micros, of in zip(taken, kinds, strict=True) if of is kind]
        by_kind[kind.__name__] = {"facts": len(own) // repeats, **_percentiles(own, "us")}
    return {"facts": len(facts), **_percentiles(taken, "us"), "by_kind": by_kind, "repeats": repeats}


def facts_of(work: Backtest) -> list[ev.Row]:
    """Every fact the loop handed to the engine in a run, in order."""
    from dataclasses import replace

    plan = work.plan
    work.plan = replace(plan, journal="memory")
    work.run()
    work.plan = plan
    facts = [row for row in work.rows if isinstance(row, FACTS)]
    work.rows = []
    return facts


def _process_all(work: Backtest, facts: Sequence[ev.Row]) -> list[float]:
    engine = Engine(limits_of(work.settings))
    taken = []
    clock = time.perf_counter_ns
    for fact in facts:
        began = clock()
        engine.process(fact)
        taken.append((clock() - began) / 1e3)
    if engine.score.closed != work.loop.engine.score.closed:
        raise AssertionError("the facts of a run lead to other decisions: the measurement is void")
    return taken


def _percentiles(values: Sequence[float], unit: str) -> dict[str, float]:
    return {
        f"p50_{unit}": round(percentile(values, 0.5), 3),
        f"p99_{unit}": round(percentile(values, 0.99), 3),
    }


def durable(folder: Path, *, trades: int = TRADES, orders: int = 500) -> dict[str, Any]:
    """Milliseconds from a wake to its order row on disk: decide, sync the tape, commit the journal."""
    work = opened(f"trades:{trades_file(folder, trades)}")
    facts = facts_of(work)
    engine = Engine(limits_of(work.settings))
    row = np.zeros(1, ROW)
    row["kind"] = int(Kind.TRADE)
    place = Path(os.environ.get("BENCH_WORK") or Path.cwd())
    taken: list[float] = []
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=place) as run:
        recorder = Recorder(Path(run))
        for fact in facts:
            row["ts_ns"] += 1
            recorder.market(row)  # the row that woke it is not yet on disk, as in live
            began = time.perf_counter()
            rows = engine.process(fact)
            order = any(isinstance(made, ev.OrderRequested) for made in rows)
            recorder.commit(rows, durable=order)
            if order:
                taken.append((time.perf_counter() - began) * 1e3)
            if len(taken) == orders:
                break
        recorder.close()
        disk = _disk(Path(run), max(50, min(orders, 300)))
    return {"orders": len(taken), **_percentiles(taken, "ms"), "disk": _percentiles(disk, "ms")}


def _disk(place: Path, writes: int) -> list[float]:
    """Milliseconds of one small append and its fsync: what the disk asks; an order needs two of them."""
    taken = []
    with (place / "probe").open("wb", buffering=0) as probe:
        for _ in range(writes):
            began = time.perf_counter()
            probe.write(bytes(4096))
            os.fsync(probe.fileno())
            taken.append((time.perf_counter() - began) * 1e3)
    return taken
