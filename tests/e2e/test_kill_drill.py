"""kill -9 of the engine at random moments: it resumes by itself, and the run is the undisturbed one."""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
from pathlib import Path

import msgspec
import pytest

from flowguardian.execution.events import SegmentEnded, SegmentStarted
from flowguardian.journal.journal import JOURNAL, TAPE, read_rows
from flowguardian.market.tape import load_tape
from flowguardian.ops.engine_process import EngineProcess
from flowguardian.ops.loading import load
from flowguardian.ops.manifest import Manifest, write_manifest
from flowguardian.ops.ops_journal import FILE_NAME, read_ops
from flowguardian.ops.progress import RunView
from flowguardian.ops.registry import Registry
from flowguardian.ops.supervisor import Supervisor, SupervisorOptions
from flowguardian.ops.verify import verify
from tests.builders import assert_same_rows

SEED = 20261124


def _manifest(run_id: str, speed: float, hours: float) -> Manifest:
    loaded = load(None, ["universe.symbols=[BTCUSDT,ETHUSDT,SOLUSDT]"])
    return Manifest(
        run_id=run_id,
        kind="rehearsal",
        market="synthetic:5",
        start_ns=None,
        planned_ns=round(hours * 3600) * 10**9,
        speed=speed,
        seed=5,
        config=msgspec.Raw(msgspec.json.encode(loaded.effective)),
        config_hash=loaded.config_hash,
        trading_hash=loaded.trading_hash,
    )


class _Killer:
    """Kills each life of the engine a random while after its start, while it starts, replays or trades."""

    def __init__(self, kills: int) -> None:
        self._kills = kills
        self.killed: list[int] = []
        self._random = random.Random(SEED)
        self._seen: set[int] = set()

    def watch(self, view: RunView) -> None:
        """Called by the supervisor's loop."""
        if not view.pid or view.pid in self._seen or len(self.killed) >= self._kills:
            return
        self._seen.add(view.pid)
        timer = threading.Timer(self._random.uniform(0.3, 1.3), self._kill, [view.pid])
        timer.daemon = True
        timer.start()

    def _kill(self, pid: int) -> None:
        self.killed.append(pid)
        os.kill(pid, signal.SIGKILL)


def _decided(run_dir: Path) -> list[tuple[int, str, bytes]]:
    lifecycle = (SegmentStarted, SegmentEnded)
    return [
        (record.ts_ns, record.kind, record.body)
        for record, row in read_rows(run_dir / JOURNAL)
        if not isinstance(row, lifecycle)
    ]


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is POSIX; Windows has its own drill")
@pytest.mark.parametrize(
    ("kills", "hours"), [(6, 1.5), pytest.param(20, 4, marks=pytest.mark.nightly)], ids=["six", "twenty"]
)
def test_an_engine_killed_at_random_moments_ends_as_its_undisturbed_twin(
    tmp_path: Path, kills: int, hours: float
) -> None:
    disturbed, twin = tmp_path / "disturbed", tmp_path / "twin"
    write_manifest(disturbed, _manifest("drill", 900.0, hours))
    killer = _Killer(kills)
    supervisor = Supervisor(
        disturbed,
        [sys.executable, "-m", "flowguardian.ops.engine_process", str(disturbed)],
        SupervisorOptions(
            first_restart_delay_seconds=0.01,
            longest_restart_delay_seconds=0.02,
            check_interval_seconds=0.05,
            max_restarts=kills + 5,
        ),
        on_progress=killer.watch,
        registry=Registry(tmp_path / "registry"),
    )
    result = supervisor.run()
    assert result.reason == "completed", read_ops(disturbed / FILE_NAME)[-5:]
    assert len(killer.killed) == kills
    assert result.restarts == kills

    write_manifest(twin, msgspec.structs.replace(_manifest("drill", 0.0, hours)))
    undisturbed = EngineProcess(twin)
    assert undisturbed.lifetime() == "completed"

    assert_same_rows(load_tape(disturbed / TAPE), load_tape(twin / TAPE))
    assert _decided(disturbed) == _decided(twin)
    verified = verify(disturbed)
    assert verified.ok, verified.message
