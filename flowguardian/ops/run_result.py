"""What a supervisor is told and what it returns.

Rule: options change when and how often, never what is traded; a result comes from the ops journal alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flowguardian.journal.ops_events import OpsRow, ProcessExited, ProcessStarted
from flowguardian.ops.segments import SegmentSpan, run_time_ns, segment_spans

SUPERVISOR = "supervisor"
ENGINE = "engine"


@dataclass(frozen=True, slots=True)
class SupervisorOptions:
    """Times in wall-clock seconds."""

    start_timeout_seconds: float = 300.0
    hang_timeout_seconds: float = 30.0
    stop_timeout_seconds: float = 30.0
    side_stop_seconds: float = 10.0
    first_restart_delay_seconds: float = 0.5
    longest_restart_delay_seconds: float = 30.0
    max_restarts: int = 10
    """Restarts in a row during which market time does not get any further."""
    sample_interval_seconds: float = 60.0
    check_interval_seconds: float = 1.0
    sleep_gap_seconds: float = 30.0
    clock_step_seconds: float = 1.0
    announced_seconds: float = 60.0
    """How long an announced fault may take to end a process."""
    keep_awake: bool = True
    planned_seconds: float = 0.0
    """Planned run time, shown only: the engine ends the run."""
    segment_seconds: float = float("inf")
    """Run time after which this start stops in order: a planned stop, and the run goes on later."""
    account: str = ""
    """What two runs may not share; the run directory when empty."""


@dataclass(frozen=True, slots=True)
class RunResult:
    """How a run stands after a supervisor: over all its lifetimes."""

    reason: str
    """completed, stopped, interrupted, failed_to_restart, config_error or preflight."""
    restarts: int
    """Engine starts that followed an abnormal end."""
    exit_codes: tuple[int, ...]
    segments: tuple[SegmentSpan, ...]
    run_ns: int


def result_of(reason: str, rows: Sequence[OpsRow]) -> RunResult:
    """Sum up an ops journal."""
    restarts, codes, broke = 0, [], False
    for row in rows:
        if isinstance(row, ProcessStarted) and row.name == ENGINE:
            restarts, broke = restarts + broke, False
        elif isinstance(row, ProcessExited) and row.name == ENGINE:
            codes.append(row.code)
            broke = row.abnormal
    spans = segment_spans(rows)
    return RunResult(reason, restarts, tuple(codes), tuple(spans), run_time_ns(spans))


def restart_delay_seconds(options: SupervisorOptions, attempts: int) -> float:
    """The pause before start number `attempts` in a row: it doubles up to the longest."""
    grown = options.first_restart_delay_seconds * 2.0 ** min(attempts - 1, 60)
    return min(options.longest_restart_delay_seconds, grown)
