"""Watches over the supervisor of a run from another process: it must live and give signs of life.

Rule: what is watched is the process the ops journal names (PID and start time) and the beat file it replaces;
time is this process's own monotonic clock, so that neither a sleep of the computer nor a step of its clock
raises an alarm.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from flowguardian.journal.ops_events import OpsRow, ProcessExited, ProcessStarted, RunFinished
from flowguardian.ops.platform_process import is_alive
from flowguardian.ops.recovery import read_beat
from flowguardian.ops.run_result import SUPERVISOR

OWN_PAUSE_SECONDS = 5.0
"""A gap this long between two looks means that this process stood still too: silence is counted anew."""


class Standing(StrEnum):
    """How the supervisor stands."""

    UNKNOWN = "unknown"
    """None was written down yet."""
    ALIVE = "alive"
    SILENT = "silent"
    GONE = "gone"
    """Ended without a word."""
    JUDGING = "judging"
    """The run is over in order; its process still verifies, judges and writes the report."""
    DONE = "done"
    """The run is over in order and so is the process."""


@dataclass
class Watchdog:
    """Fed with the ops rows in order; asked once per turn."""

    run_dir: Path
    silent_seconds: float
    now: Callable[[], float] = time.monotonic
    process: ProcessStarted | None = None
    finished: str = ""
    """Reason of the run's end in order, "" while a supervisor is at work or broke down."""
    handed_over: bool = False
    """Whether another supervisor took over while this notifier watched the first: it has its own notifier."""
    _broke: bool = False
    _watched: ProcessStarted | None = None
    _beat_ns: int = 0
    _heard: float = 0.0
    _looked: float = 0.0

    def row(self, row: OpsRow) -> None:
        """Take a row of the ops journal."""
        if isinstance(row, ProcessStarted) and row.name == SUPERVISOR:
            self.handed_over = self._watched not in (None, row)
            self.process, self.finished, self._broke = row, "", False
            self._heard = self.now()
        elif isinstance(row, RunFinished):
            self.finished = row.reason
        elif isinstance(row, ProcessExited) and row.name == SUPERVISOR and self.process is not None:
            # Written by the process itself at its breakdown, or by a successor: that row is told.
            self._broke = self._broke or row.pid == self.process.pid

    def look(self) -> Standing:
        """How the supervisor stands now."""
        now = self.now()
        paused, self._looked = now - self._looked > OWN_PAUSE_SECONDS, now
        if self.process is None:
            return Standing.UNKNOWN
        self._watched = self._watched or self.process
        alive = is_alive(self.process.pid, self.process.start_time)
        if self.finished or self._broke:
            return Standing.JUDGING if alive else Standing.DONE
        if not alive:
            return Standing.GONE
        beat_ns = read_beat(self.run_dir).wall_ns
        if beat_ns != self._beat_ns or paused:
            self._beat_ns, self._heard = beat_ns, now
        return Standing.SILENT if self.quiet_seconds >= self.silent_seconds else Standing.ALIVE

    @property
    def quiet_seconds(self) -> float:
        """How long there was no sign of life."""
        return self.now() - self._heard

    def last_sign_ns(self) -> int:
        """Host time of the last sign of life."""
        return max(read_beat(self.run_dir).wall_ns, self.process.ts_ns if self.process else 0)
