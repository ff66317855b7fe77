"""A run on a Korean machine: a console with code page 949, the time zone of Seoul, Korean texts.

Rule: what is written is UTF-8 whatever the console is, and where the clock stands changes no row.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from flowguardian.execution import events as ev
from flowguardian.ops.loading import load
from flowguardian.ops.metrics_server import metrics_argv
from tests.e2e.real_runs import DEADLINE_SECONDS, ROOT, argv, decided, rows, run, surroundings

RUN = ("accept", "--duration", "20m", "--market", "synthetic:3", "--json", "--set", "run.keep_awake=false")


def korean(state: Path) -> dict[str, str]:
    """The environment of such a machine: Python would write cp949 everywhere if it were let."""
    return {
        **surroundings(state), "PYTHONIOENCODING": "cp949", "PYTHONUTF8": "0", "TZ": "Asia/Seoul",
        "LC_ALL": "ko_KR.cp949", "LANG": "ko_KR.cp949",
    }  # fmt: skip


def test_a_run_with_code_page_949_in_seoul_writes_utf8_and_the_same_rows(tmp_path: Path) -> None:
    place, plain = tmp_path / "seoul", tmp_path / "utc"
    done = subprocess.run(
        argv(*RUN, "--run-dir", place), cwd=ROOT, env=korean(tmp_path / "state"), capture_output=True,
        timeout=DEADLINE_SECONDS, check=False,
    )  # fmt: skip
    said = done.stderr.decode("utf-8")
    assert done.returncode == 4, said
    assert "실행 시간" in said and "KST" in said, "Korean texts, readable as UTF-8"
    assert json.loads(done.stdout.decode("utf-8").splitlines()[-1])["verdict"] == "INCONCLUSIVE"
    for name in ("report.md", "report.html", "report.json", "run.json", "report.ko.md", "report.en.md"):
        if (place / name).is_file():
            (place / name).read_text(encoding="utf-8")
    assert "운영 시간" in (place / "report.md").read_text(encoding="utf-8")
    for log in (place / "logs").glob("*.jsonl"):
        for line in log.read_text(encoding="utf-8").splitlines():
            record = json.loads(line)
            assert record["run_id"] == place.name and record["ts"].endswith("Z") and "seq" in record
    twin = run(*RUN, "--run-dir", plain, state=tmp_path / "state")
    assert twin.code == 4 and decided(place) == decided(plain)


def test_the_trading_log_of_such_a_machine_is_utf8_with_both_times(tmp_path: Path) -> None:
    done = run(*RUN, "--run-dir", tmp_path / "run", state=tmp_path / "state")
    assert done.code == 4, done.err
    server = metrics_argv(tmp_path / "run", load(None, [], env={}).settings)
    assert server is not None
    with subprocess.Popen(
        server, cwd=ROOT, env=korean(tmp_path / "state"), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        try:
            assert process.stdout is not None
            ready = json.loads(process.stdout.readline().decode("utf-8"))
            assert ready["event"] == "ready"
        finally:
            process.terminate()
            _, err = process.communicate(timeout=DEADLINE_SECONDS)
    assert sys.platform == "win32" or process.returncode == 0, err
    lines = (tmp_path / "run" / "logs" / "trading.log").read_bytes().decode("utf-8").splitlines()
    opened = [row for row in rows(tmp_path / "run") if isinstance(row, ev.PositionOpened)]
    assert len([line for line in lines if "[ENTRY SUCCESS]" in line]) == len(opened) > 0
    assert all("UTC (" in line and "KST) run=run seq=" in line for line in lines)
    assert os.linesep == "\n" or not [line for line in lines if line.endswith("\r")]
