"""Hours of a seeded synthetic market through the whole engine, as a run directory for tests to look into."""

from __future__ import annotations

from pathlib import Path

import msgspec

from flowguardian.ops.engine_process import EngineProcess
from flowguardian.ops.loading import load
from flowguardian.ops.manifest import Manifest, write_manifest

SYMBOLS = "BTCUSDT,ETHUSDT,SOLUSDT"


def make_manifest(
    *, market: str = "synthetic:7", hours: float = 3, kind: str = "rehearsal", speed: float = 0.0
) -> Manifest:
    """The plan of such a run."""
    loaded = load(None, [f"universe.symbols=[{SYMBOLS}]"])
    return Manifest(
        run_id="golden",
        kind=kind,
        market=market,
        start_ns=None,
        planned_ns=round(hours * 3600) * 10**9,
        speed=speed,
        seed=7,
        config=msgspec.Raw(msgspec.json.encode(loaded.effective)),
        config_hash=loaded.config_hash,
        trading_hash=loaded.trading_hash,
    )


def make_run(run_dir: Path, *, market: str = "synthetic:7", hours: float = 3) -> None:
    """A finished run in `run_dir`, engine only, in this process."""
    write_manifest(run_dir, make_manifest(market=market, hours=hours))
    process = EngineProcess(run_dir)
    assert process.lifetime() == "completed"
