"""Run time: it adds up over segments, each measured by a monotonic clock within one boot.

Rule: a segment counts from its first to its last sign of life; wall-clock time is shown, never summed.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from flowguardian.journal.ops_events import HostSampled, OpsRow, SegmentClosed, SegmentOpened
from flowguardian.ops.platform_power import boot_id


class HostClock:
    """The clocks of this host: UTC, and a monotonic one that goes on while the host sleeps."""

    def __init__(self) -> None:
        self.boot_id = boot_id()

    def wall_ns(self) -> int:
        """Host UTC."""
        return time.time_ns()

    def mono_ns(self) -> int:
        """Monotonic time that includes sleep, so that a pause of the loop shows as a gap."""
        if sys.platform == "linux":
            return time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        if sys.platform == "darwin":
            # Python's monotonic clock stops in sleep there; this one does not.
            return time.clock_gettime_ns(time.CLOCK_MONOTONIC)
        return time.monotonic_ns()


@dataclass(frozen=True, slots=True)
class SegmentSpan:
    """One engine lifetime that was live; `closed_reason` is "" while it is open or was never closed."""

    segment: int
    boot_id: str
    opened_ns: int
    last_ns: int
    opened_mono_ns: int
    last_mono_ns: int
    opened_market_ns: int
    last_market_ns: int
    opened_reason: str
    closed_reason: str

    @property
    def run_ns(self) -> int:
        """Monotonic time between the first and the last sign of life."""
        return max(0, self.last_mono_ns - self.opened_mono_ns)


def segment_spans(rows: Iterable[OpsRow]) -> list[SegmentSpan]:
    """The segments of an ops journal, in order.

    Without its closing row a segment ends at its last sample; a closing row of another boot cannot be
    compared and adds nothing beyond the samples.
    """
    spans: dict[int, SegmentSpan] = {}
    for row in rows:
        if isinstance(row, SegmentOpened):
            spans[row.segment] = SegmentSpan(
                row.segment, row.boot_id, row.ts_ns, row.ts_ns, row.mono_ns, row.mono_ns,
                row.market_ns, row.market_ns, row.reason, "",
            )  # fmt: skip
        elif isinstance(row, HostSampled) and row.segment in spans:
            spans[row.segment] = _extended(spans[row.segment], row.ts_ns, row.mono_ns, row.market_ns)
        elif isinstance(row, SegmentClosed) and row.segment in spans:
            span = spans[row.segment]
            if row.boot_id == span.boot_id:
                span = replace(
                    span, last_ns=row.ts_ns, last_mono_ns=row.mono_ns, last_market_ns=row.market_ns
                )
            spans[row.segment] = replace(span, closed_reason=row.reason)
    return [spans[number] for number in sorted(spans)]


def run_time_ns(spans: Iterable[SegmentSpan]) -> int:
    """Run time of a run: the sum of its segments."""
    return sum(span.run_ns for span in spans)


class SegmentBook:
    """Opens and closes the segments of a running supervisor; knows the run time so far."""

    def __init__(
        self,
        write: Callable[[OpsRow], None],
        wall_ns: Callable[[], int],
        boot: str,
        past: Sequence[SegmentSpan],
    ) -> None:
        self._write, self._wall_ns, self._boot = write, wall_ns, boot
        self._past_ns = run_time_ns(past)
        self._next = past[-1].segment + 1 if past else 1
        self._opened_mono_ns = 0
        self.number = 0
        """The open segment, 0 when none is."""
        self.last_mono_ns = 0
        self.last_market_ns = 0

    @property
    def run_ns(self) -> int:
        """Run time of all segments, the open one up to its last sign of life."""
        return self._past_ns + (self.last_mono_ns - self._opened_mono_ns if self.number else 0)

    def open(self, mono_ns: int, market_ns: int, pid: int, reason: str) -> None:
        """The engine is live and fresh."""
        self.number, self._next = self._next, self._next + 1
        self._opened_mono_ns = self.last_mono_ns = mono_ns
        self.last_market_ns = market_ns
        self._write(SegmentOpened(self._wall_ns(), self.number, self._boot, mono_ns, market_ns, pid, reason))

    def alive(self, mono_ns: int, market_ns: int) -> None:
        """A sign of life."""
        if self.number:
            self.last_mono_ns = mono_ns
            self.last_market_ns = max(self.last_market_ns, market_ns)

    def close(self, reason: str) -> None:
        """The open segment ended, if there is one: it counts up to its last sign of life."""
        if not self.number:
            return
        self._write(
            SegmentClosed(
                self._wall_ns(), self.number, self._boot, self.last_mono_ns, self.last_market_ns, reason
            )
        )
        self._past_ns = self.run_ns
        self.number = 0


def _extended(span: SegmentSpan, ts_ns: int, mono_ns: int, market_ns: int) -> SegmentSpan:
    if span.closed_reason or mono_ns < span.last_mono_ns:
        return span
    return replace(span, last_ns=ts_ns, last_mono_ns=mono_ns, last_market_ns=market_ns)
