"""A run on a Korean machine: a console with code page 949, the time zone of Seoul, Korean texts.

Rule: what is written is UTF-8 whatever the console is, and where the clock stands changes no row.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from flowguardian.execution import events as ev
from flowguardian.ops.engine_process import EngineProcess
from flowguardian.ops.loading import load
from flowguardian.ops.manifest import read_manifest, write_manifest
from flowguardian.ops.metrics_server import metrics_argv
from tests.e2e.real_runs import DEADLINE_SECONDS, ROOT, argv, decided, rows, surroundings

RUN = (
    "accept",
    "--venue",
    "direct",
    "--duration",
    "20m",
    "--market",
    "synthetic:3",
    "--json",
    "--set",
    "run.keep_awake=false",
)


def korean(state: Path) -> dict[str, str]:
    """The environment of such a machine: Python would write cp949 everywhere if it were let."""
    return {
        **surroundings(state), "PYTHONIOENCODING": "cp949", "PYTHONUTF8": "0", "TZ": "Asia/Seoul",
        "LC_ALL": "ko_KR.cp949", "LANG": "ko_KR.cp949",
    }  # fmt: skip


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 20 minutes, started in such a console."""
    folder = tmp_path_factory.mktemp("korean")
    place = folder / "seoul"
    done = subprocess.run(
        argv(*RUN, "--run-dir", place), cwd=ROOT, env=korean(folder / "state"), capture_output=True,
        timeout=DEADLINE_SECONDS, check=False,
    )  # fmt: skip
    said = done.stderr.decode("utf-8")
    assert done.returncode == 4, said
    assert "실행 시간" in said and "KST" in said, "Korean texts, readable as UTF-8"
    assert json.loads(done.stdout.decode("utf-8").splitlines()[-1])["verdict"] == "INCONCLUSIVE"
    return place


def test_a_run_with_code_page_949_in_seoul_writes_utf8_and_the_rows_of_any_other_place(
    run_dir: Path, tmp_path: Path
) -> None:
    reports = [*run_dir.glob("report*"), run_dir / "run.json"]
    assert len(reports) >= 5
    assert all(path.read_bytes().decode("utf-8") for path in reports)
    assert "운영 시간" in (run_dir / "report.md").read_text(encoding="utf-8")
    logged = 0
    for log in (run_dir / "logs").glob("*.jsonl"):
        for line in log.read_text(encoding="utf-8").splitlines():
            record, logged = json.loads(line), logged + 1
            assert record["run_id"] == run_dir.name and record["ts"].endswith("Z") and "seq" in record
    assert logged
    twin = tmp_path / "twin"
    write_manifest(twin, read_manifest(run_dir))
    assert EngineProcess(twin).lifetime() == "completed"
    assert decided(run_dir) == decided(twin)


def test_the_trading_log_of_such_a_machine_is_utf8_with_both_times(run_dir: Path) -> None:
    server = metrics_argv(run_dir, load(None, [], env={}).settings)
    assert server is not None
    with subprocess.Popen(
        server, cwd=ROOT, env=korean(run_dir.parent / "state"), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        try:
            assert process.stdout is not None
            assert json.loads(process.stdout.readline().decode("utf-8"))["event"] == "ready"
        finally:
            process.terminate()
            _, err = process.communicate(timeout=DEADLINE_SECONDS)
    assert sys.platform == "win32" or process.returncode == 0, err
    data = (run_dir / "logs" / "trading.log").read_bytes()
    lines = data.decode("utf-8").splitlines()
    opened = [row for row in rows(run_dir) if isinstance(row, ev.PositionOpened)]
    assert len([line for line in lines if "[ENTRY SUCCESS]" in line]) == len(opened) > 0
    assert all("UTC (" in line and "KST) run=seoul seq=" in line for line in lines) and b"\r" not in data
