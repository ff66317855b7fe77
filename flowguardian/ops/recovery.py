"""What a supervisor that died left behind: an open segment, processes without an exit row, unread log lines.

Rule: the next supervisor of the run writes the missing rows from evidence, never from guesses in favour of
the run: a segment ends at the last sign of life that was written down.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from flowguardian.journal.ops_events import (
    FaultAnnounced,
    HostSampled,
    OpsRow,
    ProcessExited,
    ProcessStarted,
    RunFinished,
    SegmentClosed,
)
from flowguardian.ops.host_watch import SECOND_NS, Clock
from flowguardian.ops.ops_journal import OpsJournal
from flowguardian.ops.platform_files import atomic_write
from flowguardian.ops.platform_process import is_alive, kill_tree
from flowguardian.ops.segments import SegmentSpan, segment_spans

BEAT_FILE = "supervisor.json"
UNKNOWN_EXIT = -1
"""Exit code of a process nobody saw end."""


class Beat(msgspec.Struct):
    """The supervisor's own sign of life, replaced at each tick. Disposable: without it less is counted."""

    segment: int = 0
    boot_id: str = ""
    mono_ns: int = 0
    market_ns: int = 0
    wall_ns: int = 0
    log_offsets: dict[str, int] = msgspec.field(default_factory=dict)


def read_beat(run_dir: Path) -> Beat:
    """The last beat; an empty one when there is none or it is unreadable."""
    try:
        return msgspec.json.decode((run_dir / BEAT_FILE).read_bytes(), type=Beat)
    except (OSError, msgspec.DecodeError):
        return Beat()


def write_beat(run_dir: Path, beat: Beat) -> None:
    """Replace the beat; raises OSError."""
    atomic_write(run_dir / BEAT_FILE, msgspec.json.encode(beat))


@dataclass(frozen=True, slots=True)
class Past:
    """What the ops journal says about the run so far."""

    finished: str
    """Reason of the last RunFinished when nothing was started after it, else ""."""
    first_start: bool
    spans: Sequence[SegmentSpan]
    unended: Sequence[ProcessStarted]
    announcements: Sequence[FaultAnnounced]
    """Announced after the last abnormal exit."""
    best_market_ns: int

    @property
    def next_segment(self) -> int:
        """Number of the next segment."""
        return self.spans[-1].segment + 1 if self.spans else 1


def read_past(rows: Sequence[OpsRow]) -> Past:
    """Sum up an ops journal."""
    running: dict[int, ProcessStarted] = {}
    announcements: list[FaultAnnounced] = []
    finished, started, market_ns = "", False, 0
    for row in rows:
        if isinstance(row, ProcessStarted):
            running[row.pid] = row
            finished, started = "", started or row.name == "engine"
        elif isinstance(row, ProcessExited):
            running.pop(row.pid, None)
            if row.abnormal:
                announcements.clear()
        elif isinstance(row, FaultAnnounced):
            announcements.append(row)
        elif isinstance(row, RunFinished):
            finished = row.reason
        elif isinstance(row, HostSampled | SegmentClosed):
            market_ns = max(market_ns, row.market_ns)
    spans = segment_spans(rows)
    return Past(finished, not started, spans, list(running.values()), announcements, market_ns)


def close_past(past: Past, beat: Beat, ops: OpsJournal, clock: Clock, announced_seconds: float) -> None:
    """Write the rows a dead supervisor could not write, and end an engine that outlived it."""
    if past.spans and not past.spans[-1].closed_reason:
        ops.write(_closing_row(past.spans[-1], beat, clock))
    seen_ns = max([beat.wall_ns, *(row.ts_ns for row in past.unended)])
    # An announcement of a fault in the supervisor is all that its successor can go by.
    since_ns = seen_ns - round(announced_seconds * SECOND_NS)
    recent = [row for row in past.announcements if row.ts_ns >= since_ns]
    for process in past.unended:
        if process.name == "supervisor":
            reason = "ended without a word"
        elif is_alive(process.pid, process.start_time):
            kill_tree(process.pid, process.start_time)
            reason = "outlived its supervisor, was killed"
        else:
            reason = "ended together with its supervisor"
        announced = any(row.target in (process.name, "supervisor") for row in recent)
        ops.write(
            ProcessExited(clock.wall_ns(), process.name, process.pid, UNKNOWN_EXIT, reason, True, announced)
        )


def _closing_row(span: SegmentSpan, beat: Beat, clock: Clock) -> SegmentClosed:
    mono_ns, market_ns = span.last_mono_ns, span.last_market_ns
    if beat.segment == span.segment and beat.boot_id == span.boot_id and beat.mono_ns > mono_ns:
        mono_ns, market_ns = beat.mono_ns, beat.market_ns
    return SegmentClosed(clock.wall_ns(), span.segment, span.boot_id, mono_ns, market_ns, "crashed")
