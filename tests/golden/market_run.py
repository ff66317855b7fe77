"""The golden run: hours of a seeded synthetic market through the whole engine, and its journal's hash."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

from flowguardian.journal.journal import JOURNAL, read_rows
from flowguardian.ops.engine_process import EngineProcess
from flowguardian.ops.loading import load
from flowguardian.ops.manifest import Manifest, write_manifest

SYMBOLS = "BTCUSDT,ETHUSDT,SOLUSDT"


class Golden(msgspec.Struct, frozen=True):
    """What the golden run must give; `code_hash` is of the folders that decide trades."""

    code_hash: str
    journal_hash: str
    rows: int
    entries: int


def make_manifest(
    *, market: str = "synthetic:7", hours: float = 3, kind: str = "rehearsal", speed: float = 0.0
) -> Manifest:
    """The plan of a run like the golden one."""
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


def measured(run_dir: Path) -> Golden:
    """The golden figures of a finished run, without what only says where and by which code it was made."""
    digest = hashlib.sha256()
    rows = entries = 0
    code = ""
    for record, row in read_rows(run_dir / JOURNAL):
        rows += 1
        entries += record.kind == "PositionOpened"
        if record.kind == "RunStarted":
            code = row.code_hash  # type: ignore[attr-defined]
            continue
        digest.update(f"{record.seq}|{record.ts_ns}|{record.kind}|".encode() + record.body)
    return Golden(code, digest.hexdigest(), rows, entries)
