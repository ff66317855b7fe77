"""Paper has no key and no code that signs: the modules that could are not even loaded (F52)."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.e2e.faulted import faulted
from tests.e2e.real_runs import ROOT, surroundings

SIGNING = ("flowguardian.brokers.signed", "flowguardian.brokers.binance", "flowguardian.ops.live_trading")
ENGINE = """
import json, sys
from pathlib import Path
from flowguardian.ops.engine_process import EngineProcess
print(EngineProcess(Path(sys.argv[1])).lifetime())
print(json.dumps(sorted(name for name in sys.modules if name.startswith("flowguardian."))))
"""


def engine(run_dir: Path) -> tuple[str, set[str]]:
    """The end of a lifetime in a process of its own, and the modules that it loaded."""
    done = subprocess.run(
        [sys.executable, "-c", ENGINE, str(run_dir)], cwd=ROOT, env=surroundings(run_dir.parent / "state"),
        capture_output=True, encoding="utf-8", timeout=120, check=True,
    )  # fmt: skip
    *_, reason, modules = done.stdout.splitlines()
    return reason, set(json.loads(modules))


def test_a_paper_run_over_the_venue_loads_nothing_that_signs_and_its_venue_has_no_key(tmp_path: Path) -> None:
    with faulted(tmp_path / "run", minutes=6) as run:
        said = json.loads((run.run_dir / "venue.json").read_bytes())
        reason, modules = engine(run.run_dir)
        assert run.ledger()["orders"] == []
    assert reason == "completed" and "flowguardian.brokers.paper" in modules
    assert not modules.intersection(SIGNING)
    assert (said["api_key"], said["api_secret"]) == ("", "")


def test_a_live_run_does_load_what_signs(tmp_path: Path) -> None:
    with faulted(tmp_path / "run", minutes=2, mode="live") as run:
        reason, modules = engine(run.run_dir)
    assert reason == "completed" and modules.issuperset(SIGNING)
