"""The engine's turns with everything on that looks on, against the same run without: alternating pairs.

Rule: both runs go as fast as they will over the local venue, which is when they have least to spare. The
figure is the p99 of the engine's own turns (from a slice of the market in hand until its rows are written, on
the disk where they hold an order, and commands were looked for), as its last heartbeat has it over the run.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import msgspec

from benchmarks.measuring import machine, spread_pct
from benchmarks.processes import V6_1, ChildFailed
from flowguardian.dashboard.launch import dashboard_argv
from flowguardian.ops.beside import sides_of
from flowguardian.ops.conduct import ENGINE_MODULE, RunPlan, create_run
from flowguardian.ops.engine_child import Heartbeat
from flowguardian.ops.heartbeat import LAGS_KEPT
from flowguardian.ops.loading import load
from flowguardian.ops.manifest import read_manifest
from flowguardian.ops.progress import RunView
from flowguardian.ops.side_children import Side
from flowguardian.ops.stores import DIRECTORY, STATE_FILE, available
from flowguardian.ops.supervisor import Supervisor, SupervisorOptions

SEED = 7
WARM_HOURS = 0.05
"""Compiles and fills the disk's cache before anything is measured."""


class One(NamedTuple):
    """What one run gave."""

    p50_ms: float
    p99_ms: float
    seconds: float


def views_on_off(*, hours: float = 1.0, pairs: int = 5) -> dict[str, Any]:
    """Median p99 of the turns with the views off and on, with every single figure."""
    if hours * 3600 > LAGS_KEPT:
        raise ValueError(f"a heartbeat sums up {LAGS_KEPT} turns of a second each: at most an hour fits")
    found: dict[bool, list[One]] = {False: [], True: []}
    with tempfile.TemporaryDirectory(prefix="flowguardian-bench-") as place:
        _run(Path(place) / "warm", hours=min(hours, WARM_HOURS), views=True)
        for number in range(pairs):
            # Each goes first as often as the other, so that a machine that slows down hurts both.
            for views in (False, True) if number % 2 == 0 else (True, False):
                found[views].append(_run(Path(place) / "run", hours=hours, views=views))
                print(f"pair {number + 1}, views {views}: {found[views][-1]}", file=sys.stderr, flush=True)
    off, on, on_what = found[False], found[True], machine()
    return {
        "off_p99_ms": _middle(off, "p99_ms"),
        "on_p99_ms": _middle(on, "p99_ms"),
        "on_minus_off_p99_ms": round(median(b.p99_ms - a.p99_ms for a, b in zip(off, on, strict=True)), 3),
        "off_spread_pct": round(spread_pct([one.p99_ms for one in off]), 1),
        "pairs_p99_ms": [[a.p99_ms, b.p99_ms] for a, b in zip(off, on, strict=True)],
        "off_p50_ms": _middle(off, "p50_ms"),
        "on_p50_ms": _middle(on, "p50_ms"),
        "off_s": _middle(off, "seconds"),
        "on_s": _middle(on, "seconds"),
        "stores_on": [name for name, why in available().items() if not why],
        "hours": hours,
        "pairs": pairs,
        "at": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        **{name: on_what[name] for name in ("cpu", "load")},
    }


def _middle(runs: list[One], name: str) -> float:
    return round(median(float(getattr(one, name)) for one in runs), 3)


def _run(run_dir: Path, *, hours: float, views: bool) -> One:
    """A supervised run from start to end; its directory is removed."""
    mode, metrics = ("embedded", "true") if views else ("off", "false")
    loaded = load(V6_1, [f"stores.mode={mode}", f"metrics.enabled={metrics}", "run.keep_awake=false"], env={})
    market = f"synthetic:{SEED}"
    create_run(RunPlan(loaded, market, None, hours, 0.0, SEED, run_dir=run_dir, venue="local"))
    sides = list(sides_of(run_dir, read_manifest(run_dir), loaded.settings, loaded.settings, "en"))
    if views:
        # A run this fast starts none of its own.
        sides.append(Side("dashboard", dashboard_argv(run_dir, loaded.settings)))
    beats = [Heartbeat()]

    def keep(view: RunView) -> None:
        beats.append(view.heartbeat or beats[-1])

    argv = [sys.executable, "-m", ENGINE_MODULE, str(run_dir)]
    options = SupervisorOptions(keep_awake=False)
    began = time.perf_counter()
    result = Supervisor(run_dir, argv, options, on_progress=keep, sides=sides).run()
    taken = time.perf_counter() - began
    if result.reason != "completed" or beats[-1].lag_p99_ms <= 0:
        raise ChildFailed(f"the run ended as {result.reason}, p99 {beats[-1].lag_p99_ms} ms: see {run_dir}")
    if views:
        _demand_complete(run_dir)
    shutil.rmtree(run_dir)
    return One(round(beats[-1].lag_p50_ms, 3), round(beats[-1].lag_p99_ms, 3), round(taken, 1))


def _demand_complete(run_dir: Path) -> None:
    """A view that did not keep up, or did not run at all, would make the comparison worth nothing."""
    wanted = {name for name, why in available().items() if not why}
    place = run_dir / DIRECTORY / STATE_FILE
    views = msgspec.json.decode(place.read_bytes())["views"] if place.is_file() else []
    complete = {view["view"] for view in views if view["state"] == "ended" and view["behind"] == 0}
    if not wanted or complete != wanted:
        raise ChildFailed(f"of the stores {sorted(wanted)} only {sorted(complete)} held every row at the end")
