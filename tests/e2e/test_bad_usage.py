"""What cannot be run is refused before anything is made: exit code, message, and no run directory."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from flowguardian.journal.ops_events import PreflightChecked, ProcessStarted
from tests.e2e.real_runs import argv, ops, run

MINUTE_NS = 60_000_000_000
START_NS = 1_747_785_600_000_000_000
"""2025-05-21T00:00Z."""
SYMBOLS = ("BTCUSDT", "ETHUSDT")


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("state")


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One hour of flat bars of two symbols."""
    minutes = np.arange(60)
    columns = {
        "ts_ns": np.concatenate([START_NS + minutes * MINUTE_NS] * 2),
        "symbol": np.repeat(SYMBOLS, 60),
        **{name: np.full(120, 100_000.0) for name in ("open", "high", "low", "close")},
        "volume": np.full(120, 10.0),
    }
    path = tmp_path_factory.mktemp("market") / "bars.parquet"
    pq.write_table(pa.table(columns), path)
    return path


HERE = ("--set", "universe.symbols=[BTCUSDT,ETHUSDT]")
BAD = [
    (["--set", "risk.max_position=2"], "did you mean risk.max_positions?"),
    (["--set", "nosuch.key=1"], "nosuch"),
    (["--set", "risk.max_positions=-1"], "risk.max_positions"),
    (["--set", "risk.max_positions"], "KEY=VALUE"),
    (["--start", "2025-05-21T13:50"], "say which zone"),
    (["--start", "yesterday"], "expected a time like"),
    (["--duration", "0h"], "whole number of seconds above zero"),
    (["--duration", "soon"], "soon"),
    (["--speed", "-3"], "market.speed"),
    (["--market", "nosuch.parquet"], "there is no such file"),
    (["--market", "synthetic:x"], "synthetic:SEED"),
    (["--market", "MARKET", *HERE, "--start", "2031-01-01T00:00Z", "--duration", "10m"], "covers"),
    (["--market", "MARKET", *HERE, "--start", "2025-05-21T00:30Z", "--duration", "2h"], "covers"),
    (["--market", "MARKET", "--set", "universe.symbols=[BTCUSDT,SOLUSDT]"], "no rows for the symbol SOLUSDT"),
    (["--market", "MARKET", "--break"], "synthetic market only"),
    (["--config", "nosuch.yml"], "there is no such file"),
    (["--nosuch"], "No such option"),
]


@pytest.mark.parametrize(("options", "told"), BAD, ids=[" ".join(options) for options, _ in BAD])
def test_what_cannot_be_run_ends_with_2_says_why_and_leaves_nothing(
    options: list[str], told: str, market: Path, state: Path, tmp_path: Path
) -> None:
    run_dir = tmp_path / "run"
    given = [str(market) if option == "MARKET" else option for option in options]
    end = run("accept", *given, "--run-dir", run_dir, "--json", state=state)
    assert end.code == 2, end.err
    assert told in end.err
    assert "Traceback" not in end.err and "defect" not in end.err.splitlines()[-1]
    assert end.answer["error"]["exit_code"] == 2
    assert not run_dir.exists()


@pytest.mark.parametrize("script", [[], ["run_real_paper_12h_supervised.py"]], ids=["paper", "script"])
def test_no_venue_is_taken_silently(script: list[str], state: Path, tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    program = [sys.executable, *script] if script else [*argv("paper")]
    end = run("--run-dir", run_dir, "--duration", "10m", state=state, program=program)
    assert end.code == 2, end.err
    assert "--venue binance" in end.err and "--venue local" in end.err
    assert not (run_dir / "run.json").exists()


def test_a_market_that_is_gone_at_the_resume_is_said_once_and_the_run_waits_for_it(
    market: Path, state: Path, tmp_path: Path
) -> None:
    own, run_dir = tmp_path / "bars.parquet", tmp_path / "run"
    shutil.copy(market, own)
    red = run(
        "accept", "--venue", "direct", "--market", own, *HERE, "--start", "2025-05-21T00:20Z",
        "--duration", "30m",
        "--set", "run.min_free_disk_mb=1000000000", "--run-dir", run_dir, state=state,
    )  # fmt: skip
    assert red.code == 3
    _with_room(run_dir)
    own.rename(tmp_path / "elsewhere.parquet")
    gone = run("accept", "--run-dir", run_dir, state=state)
    assert gone.code == 2, gone.err
    assert "ended without a verdict: config error: DatasetError" in gone.err
    assert "there is no such file" in gone.err
    assert len([row for row in ops(run_dir, ProcessStarted) if row.name == "engine"]) == 1, "no restarts"
    stderr = (run_dir / "logs" / "engine-stderr.log").read_text(encoding="utf-8")
    assert "there is no such file" in stderr and "Traceback" not in stderr
    (tmp_path / "elsewhere.parquet").rename(own)
    back = run("accept", "--run-dir", run_dir, "--json", state=state)
    assert back.answer["verdict"] is not None, back.err


def _with_room(run_dir: Path) -> None:
    """The same run on a disk that is large enough."""
    manifest = run_dir / "run.json"
    text = manifest.read_text(encoding="utf-8")
    assert "1000000000" in text
    manifest.write_text(text.replace("1000000000", "1"), encoding="utf-8")


def test_too_little_disk_is_a_red_line_and_no_engine_starts(state: Path, tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    options = ("--run-dir", run_dir, "--set", "run.min_free_disk_mb=1000000000", "--json")
    end = run("accept", *options, state=state)
    assert end.code == 3
    assert "red    free disk" in end.err
    assert end.answer["verdict"] is None
    assert [row.item for row in ops(run_dir, PreflightChecked) if row.state == "red"] == ["free disk"]
    assert "engine" not in {row.name for row in ops(run_dir, ProcessStarted)}


@pytest.mark.skipif(sys.platform == "win32", reason="folders have no permission bits there")
@pytest.mark.parametrize("resume", [False, True], ids=["first start", "resume"])
def test_a_folder_that_cannot_be_written_is_a_red_preflight(
    resume: bool, state: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "runs"
    folder.mkdir()
    run_dir = folder / "run"
    if resume:
        options = ("--venue", "direct", "--set", "run.min_free_disk_mb=1000000000")
        assert run("accept", "--run-dir", run_dir, *options, state=state).code == 3
    locked = run_dir if resume else folder
    locked.chmod(0o555)
    # Root writes everywhere; without this one capability it does not.
    without = [shutil.which("setpriv") or "", "--bounding-set", "-dac_override"]
    program = [*(without if _is_root() else []), *argv()]
    try:
        if _is_root() and not without[0]:
            pytest.skip("root may write everywhere and setpriv is missing")
        end = run("accept", "--run-dir", run_dir, state=state, program=program)
    finally:
        locked.chmod(0o755)
    assert end.code == 3, end.err
    assert "preflight is red" in end.err and "Permission denied" in end.err
    assert resume or not run_dir.exists()


def _is_root() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0
