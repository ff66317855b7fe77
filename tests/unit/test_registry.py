"""The registry of processes: only what registered itself is ever stopped."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import psutil
import pytest

from flowguardian.ops.platform_process import start_child, start_time_of
from flowguardian.ops.registry import STATE_DIRECTORY, Registered, Registry, state_directory

DEADLINE_SECONDS = 20.0
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); input()"
PLAIN = "print('up', flush=True); input()"
posix_only = pytest.mark.skipif(sys.platform == "win32", reason="ignores a POSIX signal")


@pytest.fixture
def children():
    started: list[subprocess.Popen[bytes]] = []

    def start(code: str) -> subprocess.Popen[bytes]:
        child = start_child([sys.executable, "-c", code])
        started.append(child)
        assert child.stdout is not None and child.stdout.readline().strip() == b"up"
        return child

    yield start
    for child in started:
        child.kill()
        child.communicate(timeout=DEADLINE_SECONDS)


def test_a_registered_process_is_listed_until_it_is_removed(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    entry = registry.register("supervisor", "run-1", account="paper")
    assert (entry.pid, entry.role, entry.run_id) == (os.getpid(), "supervisor", "run-1")
    assert registry.living() == [entry]
    registry.unregister(entry)
    assert registry.entries() == []


def test_an_ended_process_is_stale_and_removed(tmp_path: Path, children) -> None:
    registry = Registry(tmp_path)
    child = children(PLAIN)
    entry = registry.register("engine", "run-1", pid=child.pid)
    child.communicate(b"\n", timeout=DEADLINE_SECONDS)
    assert registry.living() == []
    assert registry.clean_stale() == [entry] and registry.entries() == []


def test_a_reused_pid_is_stale_and_its_new_owner_is_not_touched(tmp_path: Path, children) -> None:
    registry = Registry(tmp_path)
    foreign = children(PLAIN)
    start = start_time_of(foreign.pid)
    assert start is not None
    old = Registered(foreign.pid, start - 500, "engine", "run-0", "paper")
    (registry.directory / "old.json").write_bytes(msgspec.json.encode(old))
    assert registry.stop_earlier("paper", everything=True) == []
    assert registry.stop(old) == "already gone"
    assert foreign.poll() is None


@posix_only
def test_a_process_that_does_not_listen_is_killed_after_the_grace_time(tmp_path: Path, children) -> None:
    registry = Registry(tmp_path)
    polite, stubborn = children(PLAIN), children(STUBBORN)
    registry.register("supervisor", "run-1", account="paper", pid=polite.pid)
    registry.register("supervisor", "run-2", account="paper", pid=stubborn.pid)
    ended = {entry.pid: how for entry, how in registry.stop_earlier("paper", grace_seconds=0.1)}
    assert ended == {polite.pid: "stopped", stubborn.pid: "killed"}
    assert registry.entries() == []


def test_other_accounts_and_this_process_are_left_alone_unless_everything_is_asked(
    tmp_path: Path, children
) -> None:
    registry = Registry(tmp_path)
    other = children(PLAIN)
    me = registry.register("supervisor", "run-1", account="paper")
    registry.register("supervisor", "run-2", account="other", pid=other.pid)
    assert registry.earlier("paper") == []
    assert [entry.pid for entry in registry.earlier("paper", everything=True)] == [other.pid]
    assert me in registry.living()


def test_a_process_whose_parent_is_gone_is_an_orphan_of_any_account(tmp_path: Path, children) -> None:
    registry = Registry(tmp_path)
    child = children(PLAIN)
    start = start_time_of(child.pid)
    assert start is not None
    with_parent = registry.register("engine", "run-1", pid=child.pid, parent_pid=os.getpid())
    assert not with_parent.orphan and registry.earlier("paper") == []
    registry.unregister(with_parent)
    gone = Registered(child.pid, start, "engine", "run-1", "x", os.getpid(), 1.0)
    (registry.directory / "gone.json").write_bytes(msgspec.json.encode(gone))
    assert registry.earlier("paper") == [gone]


def test_an_unreadable_record_is_removed_and_hides_no_other(tmp_path: Path) -> None:
    registry = Registry(tmp_path)
    entry = registry.register("supervisor", "run-1")
    (registry.directory / "0-torn.json").write_text('{"pid": 1', encoding="utf-8")
    assert registry.entries() == [entry]
    assert len(list(registry.directory.iterdir())) == 1


def test_a_process_that_ended_before_it_was_registered_is_named(tmp_path: Path) -> None:
    pid = max(psutil.pids()) + 100_000
    with pytest.raises(ProcessLookupError, match="run-1"):
        Registry(tmp_path).register("engine", "run-1", pid=pid)


def test_the_state_directory_follows_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(STATE_DIRECTORY, str(tmp_path / "here"))
    assert state_directory() == tmp_path / "here"
    monkeypatch.delenv(STATE_DIRECTORY)
    assert "flowguardian" in str(state_directory())
