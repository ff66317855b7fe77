"""`doctor` as a process: against a venue of its own process, in a Korean console, where nothing answers."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flowguardian.cli.app import main
from flowguardian.cli.running import DEFAULT_CONFIG
from flowguardian.ops.platform_process import is_alive
from flowguardian.ops.registry import STATE_DIRECTORY
from tests.e2e.real_runs import DEADLINE_SECONDS, ROOT, Ended, argv, started, surroundings, wait_until
from tests.stand_in_docker import container, install
from tests.venue_process import running_venue

SYMBOLS = ("BTCUSDT", "ETHUSDT", "LTCUSDT")
FEW = ("--set", f"universe.symbols=[{','.join(SYMBOLS)}]")
CLASSES = ("trades", "quotes", "marks")


@pytest.fixture(autouse=True)
def _no_config_in_sight(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def doctor(*arguments: object, state: Path, **environment: str) -> Ended:
    done = subprocess.run(
        argv("doctor", *FEW, *arguments), env={**surroundings(state), **environment},
        capture_output=True, timeout=DEADLINE_SECONDS, check=False,
    )  # fmt: skip
    return Ended(done.returncode, done.stdout.decode("utf-8"), done.stderr.decode("utf-8"))


def line_of(answer: dict[str, Any], item: str) -> dict[str, Any]:
    return next(line for line in answer["lines"] if line["item"] == item)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with running_venue("--speed", "1", "--symbols", ",".join(SYMBOLS)) as venue:
        yield venue.rest


def test_against_a_venue_in_its_own_process_every_class_is_green_with_figures(tmp_path, address):
    ended = doctor("--venue", address, "--seconds", "4", "--json", state=tmp_path)
    assert ended.code == 0, ended.err
    heard = ended.answer["venue"]
    assert [line_of(ended.answer, name)["state"] for name in CLASSES] == ["ok"] * 3
    for stream in heard["streams"]:
        assert tuple(stream["heard"]) == SYMBOLS and not stream["missing"]
        assert stream["messages"] >= len(SYMBOLS)
    assert [one["symbol"] for one in heard["filters"]] == list(SYMBOLS)
    assert heard["filters"][0]["tick"] == 0.1 and heard["filters"][0]["min_notional_usdt"] == 100
    assert heard["offset_ms"] is None, "the venue has a market time of its own"
    assert 4 <= heard["seconds"] < 30 and 0.1 < heard["tape_mb_per_hour"] < 100
    assert line_of(ended.answer, "self-test")["detail"].startswith("READY")


def test_local_starts_a_venue_of_its_own_and_leaves_no_process_behind(tmp_path):
    ended = doctor("--venue", "local", "--seconds", "2", "--json", state=tmp_path)
    assert ended.code == 0, ended.err
    assert line_of(ended.answer, "venue")["state"] == "ok"
    assert list((tmp_path / "processes").iterdir()) == []


def test_a_venue_that_is_not_reached_is_red_with_cause_and_exact_fix(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    ended = doctor("--venue", f"http://127.0.0.1:{port}", "--json", state=tmp_path)
    assert ended.code == 3 and ended.answer["state"] == "red"
    line = line_of(ended.answer, "venue")
    assert "attempts failed" in line["detail"] and f"127.0.0.1:{port}" in line["fix"]
    assert "flowguardian doctor --venue local" in line["fix"]
    assert not any(line["item"] in CLASSES for line in ended.answer["lines"])
    assert line_of(ended.answer, "self-test")["state"] == "ok", "the other checks still run"


def test_korean_console_of_code_page_949_in_seoul(tmp_path):
    ended = doctor(
        "--lang", "ko", state=tmp_path, PYTHONIOENCODING="cp949", PYTHONUTF8="0", TZ="Asia/Seoul"
    )  # fmt: skip
    assert ended.code == 0, ended.err
    assert "시간대 (time zone): KST (UTC+0900)" in ended.out
    assert re.search(r"↻ fixed  인코딩 \(encoding\): stdout utf-8.*PYTHONIOENCODING cp949", ended.out)
    assert "자가 시험 (self-test): READY" in ended.out and "\ufffd" not in ended.out
    assert "시작할 수 있습니다" in ended.out and "Traceback" not in ended.err
    assert not list(Path.cwd().glob("runs*")), "nothing is left in the folder it was called in"


def test_without_a_file_it_takes_the_one_that_a_start_would_take(tmp_path):
    place = tmp_path / DEFAULT_CONFIG
    place.parent.mkdir(parents=True)
    place.write_text("risk: {max_positions: 2}\n", encoding="utf-8")
    ended = doctor("--json", state=tmp_path)
    assert ended.code == 0 and place.name in line_of(ended.answer, "config")["detail"]


def test_a_configuration_that_does_not_load_is_one_red_line_and_the_rest_is_still_checked(tmp_path):
    ended = doctor("--set", "risk.max_positons=3", "--json", state=tmp_path)
    assert ended.code == 3
    assert "did you mean" in line_of(ended.answer, "config")["detail"]
    assert line_of(ended.answer, "self-test")["state"] == "ok"


def test_a_stopped_container_and_a_dead_server_in_one_go(tmp_path):
    environment = install(tmp_path / "bin", {"pg": container(status="exited")})
    environment["PYTHONPATH"] = str(ROOT)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    ended = doctor(
        "--set", "doctor.containers=[pg]", "--set", f"doctor.servers=['redis://127.0.0.1:{port}']",
        "--json", state=tmp_path / "state", **environment,
    )  # fmt: skip
    assert ended.code == 3
    assert line_of(ended.answer, "container pg")["state"] == "fixed"
    assert line_of(ended.answer, f"server redis://127.0.0.1:{port}")["state"] == "red"


def test_what_a_killed_run_left_is_repaired_and_shown(tmp_path):
    """A lock with the name of a dead owner, and a record of a process that is gone."""
    state, run_dir = tmp_path / "state", tmp_path / "runs" / "r1"
    run_dir.mkdir(parents=True)
    (run_dir / "run.json").touch()
    left = json.dumps({"pid": os.getpid(), "start_time": 5.0, "role": "supervisor of run r1"})
    (run_dir / "run.lock.owner").write_text(left, encoding="utf-8")
    (state / "processes").mkdir(parents=True)
    record = {"pid": os.getpid(), "start_time": 5.0, "role": "engine", "run_id": "r1"}
    (state / "processes" / "1-5000.json").write_text(json.dumps(record), encoding="utf-8")
    ended = doctor("--json", "--set", f"run.directory={tmp_path.as_posix()}/runs", state=state)
    assert ended.code == 0, ended.err
    locks, processes = line_of(ended.answer, "stale locks"), line_of(ended.answer, "earlier processes")
    assert locks["state"] == "fixed" and "supervisor of run r1" in locks["detail"]
    assert processes["state"] == "fixed" and "records of ended processes removed" in processes["detail"]
    assert not (run_dir / "run.lock.owner").exists()


def test_a_venue_that_outlived_a_killed_doctor_is_an_orphan_and_stopped_by_the_next(tmp_path):
    records = tmp_path / "processes"
    with started("doctor", *FEW, "--venue", "local", state=tmp_path) as first:
        wait_until(lambda: list(records.glob("*.json")), "record of the venue")
        first.kill()
        first.wait(DEADLINE_SECONDS)
        (record,) = records.glob("*.json")
        venue = json.loads(record.read_text(encoding="utf-8"))
        assert is_alive(venue["pid"], venue["start_time"])
        ended = doctor("--json", state=tmp_path)
    assert ended.code == 0, ended.err
    line = line_of(ended.answer, "earlier processes")
    assert line["state"] == "fixed" and f"venue of run doctor (PID {venue['pid']})" in line["detail"]
    assert not is_alive(venue["pid"], venue["start_time"]) and not list(records.iterdir())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--venue", "kraken"), "no such venue"),
        (("--seconds", "5"), "--venue"),
        (("--lang", "fr"), "ko or en"),
    ],
)
def test_what_cannot_be_meant_is_a_usage_error(tmp_path, monkeypatch, capsys, arguments, said):
    monkeypatch.setenv(STATE_DIRECTORY, str(tmp_path))
    assert main(["doctor", *arguments]) == 2
    assert said in capsys.readouterr().err
