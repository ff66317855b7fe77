"""The parts that differ between operating systems: locks, files, processes, signals, power."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from flowguardian.ops import platform_files
from flowguardian.ops.platform_files import ReplaceRefused, atomic_write, fsync_directory
from flowguardian.ops.platform_lock import FileLock, LockHeld, clean_stale_owner, owner_path, read_owner
from flowguardian.ops.platform_power import boot_id, keep_awake
from flowguardian.ops.platform_process import (
    ORPHANED_EXIT,
    is_alive,
    kill_tree,
    request_stop,
    start_child,
    start_time_of,
    wait_gone,
)
from flowguardian.ops.platform_signals import Wake, on_stop_signal
from flowguardian.ops.resources import RunFiles, process_use, run_files

DEADLINE_SECONDS = 20.0
ROOT = Path(__file__).resolve().parents[2]
posix_only = pytest.mark.skipif(sys.platform == "win32", reason="uses a POSIX signal")

HOLDER = """
import sys
from pathlib import Path
from flowguardian.ops.platform_lock import FileLock
FileLock(Path(sys.argv[1])).acquire()
print("held", flush=True)
sys.stdin.read()
"""

ORPHAN = """
import sys
from flowguardian.ops.platform_process import die_with_parent
die_with_parent(lambda reason: print(reason, flush=True))
print("ready", flush=True)
while True:
    pass
"""


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def finish(child: subprocess.Popen[bytes]) -> None:
    child.kill()
    child.communicate(timeout=DEADLINE_SECONDS)


# ---- locks


def test_a_lock_held_by_another_process_is_refused_with_its_pid_and_start_time(tmp_path: Path) -> None:
    path = tmp_path / "run.lock"
    child = start_child([sys.executable, "-c", HOLDER, str(path)])
    try:
        assert child.stdout is not None and child.stdout.readline().strip() == b"held"
        with pytest.raises(LockHeld, match=f"PID {child.pid} ") as refused:
            FileLock(path).acquire()
        assert "started 20" in str(refused.value) and "stop" in str(refused.value)
        with pytest.raises(LockHeld):
            clean_stale_owner(path)
    finally:
        finish(child)


def test_a_lock_dies_with_its_owner_and_only_the_written_name_is_left(tmp_path: Path) -> None:
    path = tmp_path / "run.lock"
    child = start_child([sys.executable, "-c", HOLDER, str(path)])
    assert child.stdout is not None and child.stdout.readline().strip() == b"held"
    finish(child)
    left = read_owner(path)
    assert left is not None and left.pid == child.pid
    assert clean_stale_owner(path) == left
    assert clean_stale_owner(path) is None
    with FileLock(path):
        assert read_owner(path).pid == os.getpid()  # type: ignore[union-attr]
    assert read_owner(path) is None


def test_a_lock_is_refused_within_one_process_too(tmp_path: Path) -> None:
    with FileLock(tmp_path / "a"), pytest.raises(LockHeld):
        FileLock(tmp_path / "a").acquire()
    with FileLock(tmp_path / "a"):
        assert owner_path(tmp_path / "a").exists()


def test_an_unreadable_owner_does_not_hide_that_the_lock_is_held(tmp_path: Path) -> None:
    with FileLock(tmp_path / "a"):
        owner_path(tmp_path / "a").write_text("{", encoding="utf-8")
        with pytest.raises(LockHeld, match="did not write its name"):
            FileLock(tmp_path / "a").acquire()


# ---- files


def test_an_atomic_write_replaces_and_leaves_nothing_beside(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    for text in (b"one", b"two"):
        atomic_write(path, text, durable=True)
    fsync_directory(tmp_path)
    assert path.read_bytes() == b"two" and list(tmp_path.iterdir()) == [path]


def test_a_replace_that_is_refused_for_a_moment_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusals = [PermissionError(13, "held"), PermissionError(13, "held")]
    real = os.replace

    def scanned(source: Path, target: Path) -> None:
        if refusals:
            raise refusals.pop()
        real(source, target)

    monkeypatch.setattr(os, "replace", scanned)
    atomic_write(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"new" and not refusals


def test_a_replace_that_is_always_refused_ends_loudly_and_keeps_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(_source: Path, _target: Path) -> None:
        raise PermissionError(13, "held")

    atomic_write(tmp_path / "a", b"old")
    monkeypatch.setattr(os, "replace", refused)
    monkeypatch.setattr(platform_files, "REPLACE_DEADLINE_SECONDS", 0.02)
    with pytest.raises(ReplaceRefused, match="virus"):
        atomic_write(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"old" and len(list(tmp_path.iterdir())) == 1


# ---- processes


def test_a_child_speaks_utf8_whatever_the_console_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONUTF8", "0")
    monkeypatch.delenv("PYTHONIOENCODING", raising=False)
    child = start_child([sys.executable, "-c", "print('₿ 비트코인')"])
    out, _ = child.communicate(timeout=DEADLINE_SECONDS)
    assert out.decode("utf-8").strip() == "₿ 비트코인"


def test_a_busy_child_leaves_with_a_reason_when_its_stdin_ends() -> None:
    child = start_child([sys.executable, "-c", ORPHAN])
    try:
        assert child.stdout is not None and child.stdout.readline().strip() == b"ready"
        out, _ = child.communicate(timeout=DEADLINE_SECONDS)
    finally:
        child.kill()
    assert child.returncode == ORPHANED_EXIT and b"parent process ended" in out


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells a stopped child")
def test_a_stopped_child_dies_with_its_parent_too() -> None:
    parent = (
        "import subprocess, sys, os, signal\n"
        "from flowguardian.ops.platform_process import start_child\n"
        f"child = start_child([sys.executable, '-c', {ORPHAN!r}])\n"
        "child.stdout.readline()\n"
        "os.kill(child.pid, signal.SIGSTOP)\n"
        "print(child.pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", parent], capture_output=True, timeout=DEADLINE_SECONDS, check=False
    )
    pid = int(ended.stdout)
    start = start_time_of(pid)
    assert start is None or wait_gone(pid, start, DEADLINE_SECONDS)


def test_kill_tree_ends_children_and_grandchildren_and_leaves_the_exit_code() -> None:
    code = (
        "import subprocess, sys\n"
        "p = subprocess.Popen([sys.executable, '-c', 'input()'], stdin=subprocess.PIPE)\n"
        "print(p.pid, flush=True)\n"
        "p.wait()\n"
    )
    child = start_child([sys.executable, "-c", code])
    assert child.stdout is not None
    grandchild = int(child.stdout.readline())
    start, grand_start = start_time_of(child.pid), start_time_of(grandchild)
    assert start is not None and grand_start is not None
    assert kill_tree(child.pid, start)
    assert not is_alive(grandchild, grand_start)
    child.communicate(timeout=DEADLINE_SECONDS)
    assert child.returncode == (1 if sys.platform == "win32" else -9)


def test_a_pid_with_another_start_time_is_neither_alive_nor_signalled() -> None:
    child = start_child([sys.executable, "-c", "input()"])
    try:
        start = start_time_of(child.pid)
        assert start is not None and is_alive(child.pid, start)
        reused = start - 60
        assert not is_alive(child.pid, reused)
        assert not request_stop(child.pid, reused)
        assert wait_gone(child.pid, reused, 0.0)
        kill_tree(child.pid, reused)
        assert child.poll() is None
    finally:
        finish(child)


@posix_only
def test_request_stop_asks_a_process_to_end() -> None:
    child = start_child([sys.executable, "-c", "print('up', flush=True); input()"])
    assert child.stdout is not None and child.stdout.readline() == b"up\n"
    assert request_stop(child.pid, start_time_of(child.pid) or 0.0)
    child.communicate(timeout=DEADLINE_SECONDS)
    assert child.returncode == -signal.SIGTERM


@posix_only
def test_resources_are_those_of_a_living_process_and_none_of_an_ended_one(tmp_path: Path) -> None:
    mine = process_use(os.getpid())
    assert mine is not None
    assert mine.rss_bytes > 1_000_000 and mine.handles > 2 and mine.threads >= 1 and mine.cpu_seconds > 0
    child = start_child([sys.executable, "-c", "pass"])
    assert child.stdout is not None and child.stdout.read() == b""
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert process_use(child.pid) is None, "a zombie holds nothing"
    child.communicate(timeout=DEADLINE_SECONDS)
    assert process_use(child.pid) is None
    (tmp_path / "logs").mkdir()
    for name, size in (("journal.db", 3), ("journal.db-wal", 4), ("logs/a.jsonl", 5)):
        (tmp_path / name).write_bytes(b"x" * size)
    assert run_files(tmp_path) == RunFiles(journal_bytes=7, tape_bytes=0, log_bytes=5)


# ---- signals


@posix_only
def test_a_stop_signal_is_reported_wakes_the_loop_and_the_old_handler_comes_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    wake, heard = Wake(), []

    def react(name: str) -> None:
        heard.append(name)
        wake.set()

    with on_stop_signal(react):
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.raise_signal(number)
            wake.wait(DEADLINE_SECONDS)
    assert heard == ["SIGINT", "SIGTERM"]
    assert signal.getsignal(signal.SIGTERM) is before


def test_outside_the_main_thread_signals_are_left_alone() -> None:
    seen: list[object] = []

    def work() -> None:
        with on_stop_signal(lambda _name: None):
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(DEADLINE_SECONDS)
    assert seen == [signal.getsignal(signal.SIGINT)]


def test_a_wake_ends_one_pause_and_does_not_pile_up() -> None:
    wake = Wake()
    for _ in range(5):
        wake.set()
    wake.wait(DEADLINE_SECONDS)
    ended = threading.Event()

    def pause() -> None:
        wake.wait(DEADLINE_SECONDS)
        ended.set()

    thread = threading.Thread(target=pause)
    thread.start()
    assert not ended.is_set(), "the five were one"
    wake.set()
    assert ended.wait(DEADLINE_SECONDS)
    thread.join()


# ---- power


def test_the_boot_id_is_the_same_within_one_boot() -> None:
    assert boot_id() and boot_id() == boot_id()


def test_keeping_awake_leaves_no_process_behind() -> None:
    before = {child.pid for child in psutil.Process().children()}
    with keep_awake() as means:
        assert isinstance(means, str)
    assert {child.pid for child in psutil.Process().children()} <= before
