"""Checks of the clock of this host, by itself and against the venue's.

Rule: a wrong clock is never corrected here; setting it is the system's business and a person's decision.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from flowguardian.ops.checked import OK, RED, WARN, Checked, checked
from flowguardian.ops.ops_journal import FILE_NAME as OPS_FILE

EARLIEST = datetime(2025, 1, 1, tzinfo=UTC)
"""This program did not exist before: an earlier clock is wrong."""
BACKWARDS_TOLERANCE_SECONDS = 5.0
MEASURED_SECONDS = 0.02
CLOCK_RATE_TOLERANCE = 0.5
SET_CLOCK = "w32tm /resync" if sys.platform == "win32" else "timedatectl set-ntp true"


def check_clock(run_dir: Path, wall_ns: Callable[[], int]) -> Checked:
    """The wall clock is plausible, not behind the run's own records, and goes at the monotonic rate."""
    now_ns = wall_ns()
    now = datetime.fromtimestamp(now_ns / 1e9, UTC)
    shown = f"{now:%Y-%m-%d %H:%M:%S} UTC"
    if now < EARLIEST:
        return checked(RED, "clock_early", now=shown, command=SET_CLOCK)
    records = run_dir / OPS_FILE
    if records.is_file():
        ahead = records.stat().st_mtime - now_ns / 1e9
        if ahead > BACKWARDS_TOLERANCE_SECONDS:
            return checked(WARN, "clock_behind", seconds=f"{ahead:.0f}", command=SET_CLOCK)
    wall, mono = wall_ns(), time.monotonic_ns()
    time.sleep(MEASURED_SECONDS)
    rate = (wall_ns() - wall) / (time.monotonic_ns() - mono)
    if abs(rate - 1.0) > CLOCK_RATE_TOLERANCE:
        return checked(WARN, "clock_being_set", rate=f"{rate:.2f}", command=SET_CLOCK)
    return checked(OK, "clock", now=shown)


def check_offset(offset_ms: float | None, limit_ms: int) -> Checked:
    """This clock against the venue's; None where the venue has a market time of its own."""
    if offset_ms is None:
        return checked(OK, "offset_own_time")
    shown = {"offset": f"{offset_ms:+.0f}", "limit": limit_ms, "command": SET_CLOCK}
    if abs(offset_ms) > limit_ms:
        return checked(RED, "offset_large", **shown)
    if abs(offset_ms) > limit_ms / 2:
        return checked(WARN, "offset_near", **shown)
    return checked(OK, "offset", **shown)
