"""Checks of this host and of its processes: each state is reached, by the thing itself if possible."""

from __future__ import annotations

import io
import locale
import os
import shutil
import sys
from types import SimpleNamespace

import msgspec
import psutil
import pytest

from flowguardian.ops import checks_host
from flowguardian.ops.checks_clock import check_offset
from flowguardian.ops.checks_engine import check_self_test, check_shadows
from flowguardian.ops.checks_host import (
    SIGNS,
    check_disk,
    check_encoding,
    check_memory,
    check_sleep,
    check_time_zone,
    is_utf8,
)
from flowguardian.ops.checks_processes import check_processes
from flowguardian.ops.flow_guardian import bring_up
from flowguardian.ops.platform_process import start_child, start_time_of
from flowguardian.ops.registry import Registered, Registry
from flowguardian.ops.self_test import SelfTest

DEADLINE_SECONDS = 20.0
POLITE = "print('up', flush=True); input()"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {POLITE}"


@pytest.fixture
def children():
    started = []

    def start(code=POLITE):
        child = start_child([sys.executable, "-c", code])
        started.append(child)
        assert child.stdout is not None and child.stdout.readline().strip() == b"up"
        return child

    yield start
    for child in started:
        child.kill()
        child.communicate(timeout=DEADLINE_SECONDS)


# ---- processes


def orphaned(registry, child, role="engine"):
    """A record whose parent is gone."""
    entry = Registered(child.pid, start_time_of(child.pid) or 0.0, role, "run-0", "x", os.getpid(), 1.0)
    registry._path(entry).write_bytes(msgspec.json.encode(entry))
    return entry


@pytest.mark.parametrize("role", ["engine", "venue", "views", "supervisor"])
def test_an_orphan_of_any_role_is_stopped_and_shown_as_fixed(tmp_path, children, role):
    registry, child = Registry(tmp_path), children()
    orphaned(registry, child, role)
    line = check_processes(registry, "paper", everything=False, grace_seconds=DEADLINE_SECONDS)
    assert line.state == "fixed" and f"{role} of run run-0 (PID {child.pid}) stopped" in line.said.en
    assert "정지함" in line.said.ko
    assert child.wait(DEADLINE_SECONDS) is not None and registry.entries() == []


@pytest.mark.skipif(sys.platform == "win32", reason="there nothing can refuse a stop")
def test_one_that_does_not_stop_within_the_grace_is_killed_and_said(tmp_path, children):
    registry, child = Registry(tmp_path), children(STUBBORN)
    orphaned(registry, child)
    line = check_processes(registry, "paper", everything=False, grace_seconds=0.1)
    assert line.state == "fixed" and "killed: it did not stop when asked" in line.said.en
    assert child.wait(DEADLINE_SECONDS) == -9


def test_a_living_run_is_listed_and_left_alone_until_somebody_decides_otherwise(tmp_path, children):
    registry, child = Registry(tmp_path), children()
    registry.register("supervisor", "run-9", account="other", pid=child.pid)
    line = check_processes(registry, "paper", everything=False, grace_seconds=0.1)
    assert line.state == "ok" and f"left running: supervisor of run run-9 (PID {child.pid})" in line.said.en
    assert "doctor --stop-all" in line.remedy.en and child.poll() is None
    line = check_processes(registry, "paper", everything=True, grace_seconds=DEADLINE_SECONDS)
    assert line.state == "fixed" and child.wait(DEADLINE_SECONDS) is not None


def test_a_foreign_process_is_never_touched_even_when_its_pid_stands_in_a_record(tmp_path, children):
    registry, foreign = Registry(tmp_path), children()
    left = Registered(foreign.pid, 5.0, "engine", "run-0", "paper")
    (registry.directory / "left.json").write_bytes(msgspec.json.encode(left))
    line = check_processes(registry, "paper", everything=True, grace_seconds=0.1)
    assert line.state == "fixed" and "1 records of ended processes removed" in line.said.en
    assert foreign.poll() is None


def test_a_process_that_cannot_be_ended_is_red_with_the_command(tmp_path, children, monkeypatch):
    registry, child = Registry(tmp_path), children()
    orphaned(registry, child)
    monkeypatch.setattr(Registry, "stop", lambda *_, **__: "")
    line = check_processes(registry, "paper", everything=False, grace_seconds=0.1)
    assert line.state == "red" and str(child.pid) in line.remedy.en and "could not be stopped" in line.said.en


# ---- host


def test_disk_is_measured_where_the_run_will_lie_and_nothing_is_left_there(tmp_path):
    line = check_disk(tmp_path / "not" / "yet", 1)
    assert line.state == "ok" and list(tmp_path.iterdir()) == []


def test_a_disk_with_less_than_twice_the_need_is_a_warning(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=15 * 10**8))
    line = check_disk(tmp_path, 10**9)
    assert line.state == "warn" and "1.5 GB free" in line.said.en and "runs prune" in line.remedy.en


@pytest.mark.skipif(sys.platform == "win32" or os.getuid() == 0, reason="nothing is closed to root")
def test_a_folder_that_cannot_be_written_is_red(tmp_path):
    tmp_path.chmod(0o500)
    assert check_disk(tmp_path / "run", 1).state == "red"


@pytest.mark.parametrize(("needed", "state"), [(0, "ok"), (1, "ok"), (700, "warn"), (1001, "red")])
def test_memory_is_compared_with_the_need(monkeypatch, needed, state):
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=10**9))
    line = check_memory(needed * 10**6)
    assert line.state == state and "1000 MB free" in line.said.en


def test_a_container_with_little_memory_left_is_red_whatever_its_host_has(tmp_path, monkeypatch):
    monkeypatch.setattr(checks_host, "GROUP", tmp_path)
    files = {"memory.max": "500000000\n", "memory.current": "450000000\n"}
    files["memory.stat"] = "anon 1\ninactive_file 30000000\n"
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    line = check_memory(100 * 10**6)
    assert line.state == "red" and "80 MB free" in line.said.en
    (tmp_path / "memory.max").write_text("max\n", encoding="utf-8")
    assert checks_host.group_memory_left() == sys.maxsize


def test_the_memory_of_this_host_is_really_read():
    assert check_memory(10**18).state == "red"
    assert check_memory(0).state == "ok"


def test_the_zone_is_shown_and_decides_nothing():
    line = check_time_zone()
    assert line.state == "ok" and "stored times are UTC" in line.said.en


def console(encoding: str) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), encoding=encoding)


@pytest.mark.parametrize("encoding", ["cp949", "ascii", "latin-1"])
def test_a_console_that_cannot_show_our_signs_is_a_warning_with_the_way_out(monkeypatch, encoding):
    with pytest.raises(UnicodeEncodeError):
        SIGNS.encode(encoding)
    monkeypatch.setattr(sys, "stdout", console(encoding))
    line = check_encoding()
    assert line.state == "warn" and encoding in line.said.en and "PYTHONUTF8=1" in line.remedy.en
    assert "chcp 65001" in line.remedy.ko


def test_a_system_that_says_cp949_is_switched_to_utf_8_and_said(monkeypatch):
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, console("utf-8"))
    monkeypatch.setattr(locale, "getencoding", lambda: "cp949")
    monkeypatch.setattr(sys, "flags", SimpleNamespace(utf8_mode=0))
    line = check_encoding()
    assert line.state == "fixed" and "locale cp949" in line.said.en


def test_a_utf_8_system_is_green(monkeypatch):
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, console("utf-8"))
    monkeypatch.setattr(locale, "getencoding", lambda: "UTF-8")
    monkeypatch.delenv("PYTHONIOENCODING", raising=False)
    assert check_encoding().state == "ok"


def test_names_of_utf_8_are_known():
    assert all(is_utf8(name) for name in ("utf-8", "UTF8", "utf_8", "utf-8:surrogateescape"))
    assert not any(is_utf8(name) for name in ("cp949", "utf-16", "ascii"))


@pytest.mark.parametrize(
    ("means", "plugged", "state"),
    [
        ("", None, "warn"),
        ("caffeinate", None, "ok"),
        ("caffeinate", True, "ok"),
        ("caffeinate", False, "warn"),
    ],
)
def test_sleep_and_battery_are_looked_at(monkeypatch, means, plugged, state):
    battery = None if plugged is None else SimpleNamespace(power_plugged=plugged, percent=41.6)
    monkeypatch.setattr(checks_host, "keep_awake_means", lambda: means)
    monkeypatch.setattr(psutil, "sensors_battery", lambda: battery, raising=False)
    line = check_sleep()
    assert line.state == state
    assert ("42 %" in line.said.en) == (plugged is False)


# ---- clock against the venue, limits, engine


@pytest.mark.parametrize(
    ("offset", "state"), [(None, "ok"), (-400.0, "ok"), (600.0, "warn"), (-1200.0, "red")]
)
def test_the_offset_is_compared_with_the_limit_of_the_guard(offset, state):
    line = check_offset(offset, 1000)
    assert line.state == state
    if state == "red":
        assert "-1200 ms" in line.said.en and "guards.clock_skew.max_ms" in line.remedy.en


def test_shadowed_limits_are_shown_and_stop_nothing():
    assert check_shadows([]).state == "ok"
    line = check_shadows(["a (5) can never bind: b is tighter", "c"])
    assert line.state == "warn" and "2 limits" in line.said.en and "b is tighter" in line.said.en


def test_the_self_test_is_a_line_green_with_figures_or_red_with_cause_and_way_out():
    line = check_self_test(bring_up)
    assert line.state == "ok" and "READY" in line.said.en and "golden rows" in line.said.en
    differs = SelfTest(ok=False, rows=7, journal_hash="", same_code=False, seconds=0.1, why="row 8 differs")
    line = check_self_test(lambda: bring_up(self_test=lambda: differs))
    assert line.state == "red" and line.said.en.startswith("QUARANTINE") and "row 8 differs" in line.said.en
    assert "install this version anew" in line.remedy.en and "다시 설치" in line.remedy.ko
