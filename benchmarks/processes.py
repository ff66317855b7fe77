"""Whole processes: W1 from the command line, --help, and an engine that is killed and comes back.

Rule: measured from outside, from the start of the process, as a person would with a watch.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import IO, Any

from benchmarks.data import TRADES, trades_file
from benchmarks.measuring import timed
from benchmarks.replays import CONFIG

ROOT = Path(__file__).resolve().parent.parent
V6_1 = ROOT / "configs" / "scalping" / "real_paper_12h_v6_1_phase17.yml"
RUN_NS = 1_000_000_000


class ChildFailed(Exception):
    """A process that is measured did not do its work."""


def whole_process(folder: Path, *, trades: int = TRADES, repeats: int = 5) -> dict[str, Any]:
    """`flowguardian backtest` on W1, loading included."""
    market = f"trades:{trades_file(folder, trades)}"
    argv = ["-m", "flowguardian", "backtest", "--config", str(CONFIG), "--market", market]
    argv += ["--journal", "off", "--json"]
    answers: list[dict[str, Any]] = []
    taken = timed(lambda: answers.append(json.loads(_output(argv).splitlines()[-1])), repeats + 1)
    last = answers[-1]
    return {
        "process_s": round(median(taken[1:]), 3),
        "peak_rss_mb": last["peak_rss_mb"],
        "load_s": last["load_seconds"],
        "engine_s": last["seconds"],
        "trades": last["closed"],
        "repeats": repeats,
    }


def help_time(*, repeats: int = 5) -> dict[str, Any]:
    """`flowguardian --help`, after one start that warms the disk's cache."""
    _output(["-m", "flowguardian", "--help"])
    seconds = median(timed(lambda: _output(["-m", "flowguardian", "--help"]), repeats))
    bare = median(timed(lambda: _output(["-c", "pass"]), repeats))
    return {"help_s": round(seconds, 3), "bare_python_s": round(bare, 3), "repeats": repeats}


def _output(arguments: list[str]) -> str:
    done = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, capture_output=True, encoding="utf-8", check=False
    )
    if done.returncode:
        raise ChildFailed(f"{' '.join(arguments)} ended with {done.returncode}: {done.stderr[-2000:]}")
    return done.stdout


def resume(*, hours: float = 12.0, repeats: int = 5) -> dict[str, Any]:
    """Seconds from the start of the engine process to live, for a run killed just before its end."""
    from flowguardian.ops.conduct import RunPlan, create_run
    from flowguardian.ops.loading import load

    loaded = load(V6_1, ["market.source=synthetic:7"])
    with tempfile.TemporaryDirectory(prefix="flowguardian-bench-") as place:
        run_dir = create_run(RunPlan(loaded, "synthetic:7", None, hours, 0.0, 7, run_dir=Path(place) / "run"))
        killed_ns = _run_until_killed(run_dir, hours * 3600 * 0.95)
        tape = sum(path.stat().st_size for path in (run_dir / "tape").iterdir())
        journal = sum(path.stat().st_size for path in run_dir.glob("journal.db*"))
        taken = []
        for number in range(repeats):
            # A resumed engine goes on: each start gets the run as the kill left it.
            copy = shutil.copytree(run_dir, Path(place) / f"copy{number}")
            taken.append(_seconds_to_ready(copy))
            shutil.rmtree(copy)
    return {
        "ready_s": round(median(taken), 3),
        "all_s": [round(value, 3) for value in taken],
        "killed_after_h": round(killed_ns / 3600e9, 2),
        "tape_mb": round(tape / 1e6, 1),
        "journal_mb": round(journal / 1e6, 1),
        "repeats": repeats,
    }


def _engine(run_dir: Path) -> subprocess.Popen[str]:
    argv = [sys.executable, "-m", "flowguardian.ops.engine_process", str(run_dir)]
    return subprocess.Popen(
        argv,
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        encoding="utf-8",
    )


def _run_until_killed(run_dir: Path, run_seconds: float) -> int:
    """Kill -9 at the first sign of life after so much run time; returns the run time reached."""
    engine = _engine(run_dir)
    reached = 0
    for told in _events(engine.stdout):
        reached = max(reached, int(told.get("run_ns", 0)))
        if reached >= run_seconds * RUN_NS or told["event"] == "finished":
            break
    engine.kill()
    engine.communicate()
    if reached < run_seconds * RUN_NS:
        raise ChildFailed(
            f"the engine ended after {reached / 3600e9:.2f} h of run time, before it was killed"
        )
    return reached


def _seconds_to_ready(run_dir: Path) -> float:
    began = time.perf_counter()
    engine = _engine(run_dir)
    ready = next((told for told in _events(engine.stdout) if told["event"] == "ready"), None)
    taken = time.perf_counter() - began
    engine.kill()
    engine.communicate()
    if ready is None:
        raise ChildFailed(f"the engine of {run_dir} never came back")
    return taken


def _events(stream: IO[str] | None) -> Iterator[dict[str, Any]]:
    for line in stream or ():
        yield json.loads(line)
