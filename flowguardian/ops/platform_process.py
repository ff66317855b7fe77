"""Starting a child in its own group, recognising a process, ending it with all its children.

Rule: a process is its PID *and* its start time; a PID alone is never signalled, because PIDs are reused.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil

from flowguardian.ops.platform_signals import GRACEFUL_SIGNAL

PARENT_PID = "FLOWGUARDIAN_PARENT_PID"
"""Environment variable by which a child knows whom it must not outlive."""
ORPHANED_EXIT = 5
"""Exit code of a child whose parent died: a fault with a written reason."""
START_TOLERANCE_SECONDS = 1.0
"""Start times are derived from the boot time, which moves a little with the clock."""
FIRST_PAUSE_SECONDS = 0.002
LONGEST_PAUSE_SECONDS = 0.05
PR_SET_PDEATHSIG = 1
SIGKILL = 9


def start_time_of(pid: int) -> float | None:
    """Start time of a process in seconds since 1970; None when there is no such process."""
    try:
        return psutil.Process(pid).create_time()
    except psutil.Error:
        return None


def is_alive(pid: int, start_time: float) -> bool:
    """Whether exactly this process still runs; a zombie does not."""
    return _find(pid, start_time) is not None


def start_child(
    argv: Sequence[str], *, cwd: Path | None = None, environment: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start `argv` in its own group with three pipes; raises OSError when it cannot be started.

    The group keeps a Ctrl-C in the terminal from reaching the child, which is stopped by command instead.
    Its stdin stays open as long as the parent lives: see `die_with_parent`.
    """
    env = {
        **os.environ,
        "PYTHONUTF8": "1",
        "PYTHONFAULTHANDLER": "1",
        PARENT_PID: str(os.getpid()),
        **(environment or {}),
    }
    pipe = subprocess.PIPE
    if sys.platform == "win32":
        return subprocess.Popen(
            argv, cwd=cwd, env=env, stdin=pipe, stdout=pipe, stderr=pipe,
            creationflags=subprocess.CREATE_NEW_PROCESS_GROUP,
        )  # fmt: skip
    return subprocess.Popen(
        argv, cwd=cwd, env=env, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True
    )


def die_with_parent(on_orphaned: Callable[[str], None] | None = None) -> threading.Thread:
    """For a child: end this process when its parent ends, whatever the main thread does.

    Portable part: a daemon thread sees end of file on stdin, calls `on_orphaned` with the reason (default:
    writes it to stderr) and exits with ORPHANED_EXIT. On Linux the kernel also kills the child at once, which
    reaches a hung or stopped one.
    """
    parent = os.environ.get(PARENT_PID)
    _kill_at_parent_death()
    if sys.platform != "win32" and parent is not None and os.getppid() != int(parent):
        _leave("the parent process ended before the child was ready", on_orphaned)

    def watch() -> None:
        # Not sys.stdin but the raw descriptor: a thread inside sys.stdin holds its lock at interpreter exit.
        with contextlib.suppress(OSError):
            while os.read(0, 4096):
                pass
        _leave("the parent process ended (end of file on stdin)", on_orphaned)

    thread = threading.Thread(target=watch, name="parent-watch", daemon=True)
    thread.start()
    return thread


_LAUNCHER = """\
import ctypes, os, sys
parent, number, uid, gid, *argv = sys.argv[1:]
if int(uid) >= 0:
    os.setgroups([])
    os.setgid(int(gid))
    os.setuid(int(uid))
ctypes.CDLL(None).prctl(1, int(number), 0, 0, 0)
if os.getppid() == int(parent):
    os.execv(argv[0], argv)
"""


def ending_with_starter(
    argv: Sequence[str], signal_number: int, account: tuple[int, int] | None
) -> list[str] | None:
    """How to start a foreign program so that the kernel signals it when the thread that started it ends.

    Linux only, None elsewhere. `account` is the user and group it runs as; becoming somebody else would undo
    the request, so the launcher does that first. The PID stays the same.
    """
    if not sys.platform.startswith("linux"):
        return None
    uid, gid = account or (-1, -1)
    told = (str(os.getpid()), str(signal_number), str(uid), str(gid))
    return [sys.executable, "-I", "-S", "-c", _LAUNCHER, *told, *argv]


def _leave(reason: str, on_orphaned: Callable[[str], None] | None) -> None:
    try:
        if on_orphaned is not None:
            on_orphaned(reason)
        else:
            os.write(2, f"ended: {reason}\n".encode())
    finally:
        os._exit(ORPHANED_EXIT)


def request_stop(pid: int, start_time: float) -> bool:
    """Ask a process to end in order (SIGTERM, CTRL_BREAK on Windows); False when it is gone."""
    process = _find(pid, start_time)
    if process is None:
        return False
    try:
        process.send_signal(GRACEFUL_SIGNAL)
    except (psutil.NoSuchProcess, PermissionError, OSError):
        return False
    return True


def wait_gone(pid: int, start_time: float, timeout_seconds: float) -> bool:
    """Wait until a process has ended; False when it still runs after the timeout."""
    process = _find(pid, start_time)
    return process is None or not _left_after([process], timeout_seconds)


def kill_tree(pid: int, start_time: float, timeout_seconds: float = 5.0) -> bool:
    """Kill a process and everything it started; True when all have ended within the timeout.

    The exit code of an own child stays for whoever started it.
    """
    root = _find(pid, start_time)
    family = [*_children(root), root] if root is not None else _session_members(pid, start_time)
    for process in family:
        # A process that ended in the meantime is what was wanted.
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    return not _left_after(family, timeout_seconds)


def _left_after(processes: list[psutil.Process], timeout_seconds: float) -> list[psutil.Process]:
    """Who still runs after the timeout.

    psutil's own wait would reap a child, whose exit code its starter needs, and would wait for a zombie until
    somebody reaps it.
    """
    deadline = time.monotonic() + timeout_seconds
    pause = FIRST_PAUSE_SECONDS
    while (left := [process for process in processes if _runs(process)]) and time.monotonic() < deadline:
        time.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
    return left


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _find(pid: int, start_time: float) -> psutil.Process | None:
    try:
        process = psutil.Process(pid)
        if abs(process.create_time() - start_time) > START_TOLERANCE_SECONDS:
            return None
        return None if process.status() == psutil.STATUS_ZOMBIE else process
    except psutil.Error:
        return None


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.Error:
        return []


if sys.platform == "win32":

    def _kill_at_parent_death() -> None:
        """Windows has no such call; the stdin watch does it."""

    def _session_members(pid: int, start_time: float) -> list[psutil.Process]:
        """Children of a dead Windows process are found by their recorded parent."""
        found: list[psutil.Process] = []
        if psutil.pid_exists(pid):
            return found
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if process.ppid() == pid and process.create_time() >= start_time:
                    found.append(process)
        return found

else:

    def _kill_at_parent_death() -> None:
        """Linux: the kernel kills this process when the thread that started it ends."""
        if not sys.platform.startswith("linux"):
            return
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0)

    def _session_members(pid: int, start_time: float) -> list[psutil.Process]:
        """What is left of the session of a dead child: its leader was the child itself."""
        if psutil.pid_exists(pid) and not _is_zombie(pid):
            return []
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, ProcessLookupError, PermissionError):
                if os.getsid(process.pid) == pid and process.create_time() >= start_time - 1.0:
                    found.append(process)
        return found

    def _is_zombie(pid: int) -> bool:
        try:
            return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
        except psutil.Error:
            return True
