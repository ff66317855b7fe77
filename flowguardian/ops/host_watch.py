"""Sees from the supervisor's own ticks that the host slept or that its clock was set.

Rule: a gap is measured by the monotonic clock that includes sleep; the wall clock only shows steps.
"""

from __future__ import annotations

from typing import Protocol

from flowguardian.journal.ops_events import ClockStepped, HostSlept

SECOND_NS = 1_000_000_000


class Clock(Protocol):
    """The clocks of a host; `mono_ns` goes on during sleep."""

    boot_id: str

    def wall_ns(self) -> int:
        """Host UTC."""
        ...

    def mono_ns(self) -> int:
        """Monotonic, sleep included."""
        ...


class HostWatch:
    """Compares each tick with the one before."""

    def __init__(self, clock: Clock, *, sleep_gap_seconds: float, step_seconds: float) -> None:
        self._clock = clock
        self._sleep_gap_ns = round(sleep_gap_seconds * SECOND_NS)
        self._step_ns = round(step_seconds * SECOND_NS)
        self._wall_ns, self._mono_ns = clock.wall_ns(), clock.mono_ns()

    def tick(self) -> HostSlept | ClockStepped | None:
        """What happened since the last tick, if anything."""
        wall_ns, mono_ns = self._clock.wall_ns(), self._clock.mono_ns()
        gap_ns, step_ns = mono_ns - self._mono_ns, (wall_ns - self._wall_ns) - (mono_ns - self._mono_ns)
        self._wall_ns, self._mono_ns = wall_ns, mono_ns
        if gap_ns > self._sleep_gap_ns:
            return HostSlept(wall_ns, gap_ns / SECOND_NS)
        if abs(step_ns) > self._step_ns:
            return ClockStepped(wall_ns, step_ns / SECOND_NS)
        return None
