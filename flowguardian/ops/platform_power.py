"""Keeping the host awake during a run, and telling one boot from the next.

Rule: best effort, never fatal; what could not be had is said, and sleep is detected by the supervisor anyway.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil

ES_CONTINUOUS = 0x80000000
ES_SYSTEM_REQUIRED = 0x00000001
BOOT_ID_FILE = Path("/proc/sys/kernel/random/boot_id")
END_TIMEOUT_SECONDS = 5.0


@contextlib.contextmanager
def keep_awake() -> Iterator[str]:
    """While inside, ask the system not to sleep; yields how, or "" when this host offers no way."""
    if sys.platform == "win32":
        import ctypes

        # The request belongs to this thread and ends with it.
        held = ctypes.windll.kernel32.SetThreadExecutionState(ES_CONTINUOUS | ES_SYSTEM_REQUIRED)
        try:
            yield "SetThreadExecutionState" if held else ""
        finally:
            ctypes.windll.kernel32.SetThreadExecutionState(ES_CONTINUOUS)
        return
    argv = _inhibitor()
    if argv is None:
        yield ""
        return
    quiet = subprocess.DEVNULL
    # Own session: a Ctrl-C in the terminal must not end it before the run has stopped.
    holder = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=quiet, stderr=quiet, start_new_session=True)
    try:
        yield argv[0]
    finally:
        if holder.stdin is not None:
            holder.stdin.close()
        holder.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            holder.wait(END_TIMEOUT_SECONDS)


def keep_awake_means() -> str:
    """How this host would be kept awake, "" when it cannot be."""
    if sys.platform == "win32":
        return "SetThreadExecutionState"
    argv = _inhibitor()
    return argv[0] if argv else ""


def _inhibitor() -> list[str] | None:
    if shutil.which("systemd-inhibit") and shutil.which("cat"):
        # `cat` ends at end of file on its stdin, so the inhibitor dies with this process.
        options = ["--what=sleep:idle", "--who=flowguardian", "--why=a run is in progress", "--mode=block"]
        return ["systemd-inhibit", *options, "cat"]
    if shutil.which("caffeinate"):
        return ["caffeinate", "-i", "-w", str(os.getpid())]
    return None


def boot_id() -> str:
    """An identifier that changes with each boot: monotonic times compare only within one."""
    if sys.platform == "win32":
        return _windows_boot_id()
    with contextlib.suppress(OSError):
        return BOOT_ID_FILE.read_text(encoding="utf-8").strip()
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        asked = subprocess.run(
            ["/usr/sbin/sysctl", "-n", "kern.bootsessionuuid"], capture_output=True, timeout=5, check=True
        )
        if asked.stdout.strip():
            return asked.stdout.decode(errors="replace").strip()
    return _boot_minute()


def _boot_minute() -> str:
    # Rounded, because the boot time is computed from the wall clock and moves with its corrections.
    return f"boot-{round(psutil.boot_time() / 60)}"


if sys.platform == "win32":

    def _windows_boot_id() -> str:
        import winreg

        key = r"SYSTEM\CurrentControlSet\Control\Session Manager\Memory Management\PrefetchParameters"
        try:
            with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, key) as handle:
                return f"boot-count-{winreg.QueryValueEx(handle, 'BootId')[0]}"
        except OSError:
            return _boot_minute()

else:

    def _windows_boot_id() -> str:
        return _boot_minute()
