"""Checks of this host: disk, memory, time zone, encoding, sleep.

Rule: a figure is measured here and now; what a check cannot measure on this system it says.
"""

from __future__ import annotations

import locale
import os
import shutil
import sys
from datetime import UTC, datetime
from pathlib import Path

import psutil

from flowguardian.ops.checked import FIXED, OK, RED, WARN, Checked, checked
from flowguardian.ops.platform_power import keep_awake_means

SIGNS = "한글 ₿ ✓ → ≤"
"""What the texts of this program are made of beside ASCII."""
GROUP = Path("/sys/fs/cgroup")
"""Where a process in a container sees the limits of its own control group."""
UTF_8 = frozenset({"utf8", "utf8sig"})


def check_disk(run_dir: Path, needed: int) -> Checked:
    """The run directory, or the folder it will be made in, can be written and has room."""
    # A folder that is not there yet is made by the run; what counts is where it will lie.
    place = next(path for path in (run_dir.absolute(), *run_dir.absolute().parents) if path.is_dir())
    probe = place / f".write-{os.getpid()}"
    try:
        probe.write_bytes(b"x")
        probe.unlink()
    except OSError as error:
        return checked(RED, "disk_not_writable", path=place, error=error)
    free = shutil.disk_usage(place).free
    shown = {"free": f"{free / 1e9:.1f}", "needed": f"{needed / 1e9:.1f}"}
    if free < needed:
        return checked(RED, "disk_full", **shown)
    if free < 2 * needed:
        return checked(WARN, "disk_narrow", **shown)
    return checked(OK, "disk", **shown)


def check_memory(needed: int) -> Checked:
    """Enough memory is free: a process that the system ends for want of it leaves no message."""
    free = min(psutil.virtual_memory().available, group_memory_left())
    shown = {"free": free // 1_000_000, "needed": needed // 1_000_000}
    if free < needed:
        return checked(RED, "memory_full", **shown)
    if free < 2 * needed:
        return checked(WARN, "memory_narrow", **shown)
    return checked(OK, "memory", **shown)


def group_memory_left() -> int:
    """What the control group of a container or service leaves; very much where there is no such limit.

    Page cache counts as free, as it does for the host: the system gives it back when somebody needs it.
    """
    try:
        limit, used, statistics = (
            (GROUP / name).read_text(encoding="utf-8")
            for name in ("memory.max", "memory.current", "memory.stat")
        )
        cache = dict(line.split() for line in statistics.splitlines())["inactive_file"]
        return int(limit) - int(used) + int(cache)
    except (OSError, ValueError, KeyError):
        # No control groups here, or "max": no limit of its own.
        return sys.maxsize


def check_time_zone() -> Checked:
    """The zone is only shown: every stored time is UTC, whatever the host says."""
    local = datetime.now(UTC).astimezone()
    return checked(OK, "time_zone", name=local.tzname(), offset=f"{local:%z}")


def check_encoding() -> Checked:
    """Text that cannot be printed is found here, not at hour ten."""
    streams = {name: getattr(sys, name).encoding or "none" for name in ("stdout", "stderr") if _has(name)}
    shown = ", ".join(f"{name} {encoding}" for name, encoding in streams.items()) or "no console"
    lost = [name for name, encoding in streams.items() if not _can_say(encoding)]
    if lost:
        return checked(WARN, "encoding_lost", shown=shown, lost=", ".join(lost))
    asked = {"locale": locale.getencoding(), "PYTHONIOENCODING": os.environ.get("PYTHONIOENCODING", "")}
    other = [f"{name} {encoding}" for name, encoding in asked.items() if encoding and not is_utf8(encoding)]
    if other and not sys.flags.utf8_mode:
        return checked(FIXED, "encoding_switched", shown=shown, other=", ".join(other))
    return checked(OK, "encoding", shown=shown)


def _has(name: str) -> bool:
    return getattr(sys, name, None) is not None and hasattr(getattr(sys, name), "encoding")


def _can_say(encoding: str) -> bool:
    try:
        SIGNS.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return encoding == "none"
    return True


def is_utf8(encoding: str) -> bool:
    """Whether an encoding name, with or without an error handler behind it, is UTF-8."""
    return encoding.partition(":")[0].lower().replace("-", "").replace("_", "") in UTF_8


def check_sleep() -> Checked:
    """Whether this host can be kept awake during the run, and does not live on its battery."""
    means = keep_awake_means()
    if not means:
        return checked(WARN, "sleep_no_means")
    battery = psutil.sensors_battery() if hasattr(psutil, "sensors_battery") else None
    if battery is not None and battery.power_plugged is False:
        return checked(WARN, "sleep_battery", means=means, percent=round(battery.percent))
    return checked(OK, "sleep", means=means)
