"""Rows of the ops journal (`ops.db`): what happened to the processes of a run, written by the supervisor.

Rule: nothing here decides a trade; times are host UTC nanoseconds, durations monotonic nanoseconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

import msgspec


class Severity(StrEnum):
    """How bad an incident is; ERROR and CRITICAL fail the run."""

    WARNING = "WARNING"
    ERROR = "ERROR"
    CRITICAL = "CRITICAL"


class OpsRow(msgspec.Struct, frozen=True):
    """A row of the ops journal at a host time."""

    ts_ns: int


class PreflightChecked(OpsRow, frozen=True):
    """One preflight line: `state` is ok, fixed, warn or red; the Korean texts are "" in older journals."""

    item: str
    state: str
    detail: str
    fix: str
    detail_ko: str = ""
    fix_ko: str = ""


class BuildIdentified(OpsRow, frozen=True):
    """What program supervises the run from this start on; `commit` is "" where no repository is around it."""

    version: str
    commit: str
    python: str
    platform: str


class SegmentOpened(OpsRow, frozen=True):
    """An engine lifetime began to be live and fresh."""

    segment: int
    boot_id: str
    mono_ns: int
    market_ns: int
    pid: int
    reason: str


class SegmentClosed(OpsRow, frozen=True):
    """It ended; `reason` is finished, stopped, crashed, hung, interrupted or slept."""

    segment: int
    boot_id: str
    mono_ns: int
    market_ns: int
    reason: str


class ProcessStarted(OpsRow, frozen=True):
    """A child process began."""

    name: str
    pid: int
    start_time: float


class ProcessExited(OpsRow, frozen=True):
    """A child process ended; `abnormal` unless asked to or finished, `announced` if a fault said so first."""

    name: str
    pid: int
    code: int
    reason: str
    abnormal: bool
    announced: bool


class Incident(OpsRow, frozen=True):
    """A record at WARNING or above, uncaught exception, dead task or stderr traceback of any process."""

    severity: Severity
    source: str
    what: str
    sample: str


class FaultAnnounced(OpsRow, frozen=True):
    """A fault is about to be injected on purpose."""

    fault: str
    target: str


class HostSlept(OpsRow, frozen=True):
    """Two loop ticks were more than 30 s apart: an outage, time not counted."""

    gap_seconds: float


class ClockStepped(OpsRow, frozen=True):
    """Host UTC moved against the monotonic clock without sleep."""

    step_seconds: float


class HostSampled(OpsRow, frozen=True):
    """Per-minute evidence: host and monotonic time, market time, resources of the engine process."""

    segment: int
    mono_ns: int
    market_ns: int
    rss_bytes: int
    cpu_seconds: float
    handles: int
    threads: int
    loop_lag_p50_ms: float
    loop_lag_p99_ms: float
    journal_bytes: int
    tape_bytes: int
    log_bytes: int


class FeedSampled(OpsRow, frozen=True):
    """Per-minute evidence of the feed: what it counted since the start of this lifetime of the engine.

    `latency_us` says how many rows came at most so many microseconds late; empty where market time comes in
    slices. Silences and fresh time are run clock.
    """

    lifetime: int
    feed: str
    counts: dict[str, int]
    longest_silence_ns: dict[str, int]
    latency_us: dict[int, int]
    fresh_ns: int
    judged_ns: int
    clock_offset_ns: int
    clock_skew_ns: int
    used_weight: int
    odd_frames: tuple[tuple[str, str], ...]
    halted: tuple[str, ...]


def quantile_ms(latency_us: Mapping[int, int], share: float) -> float | None:
    """The latency that this share of the rows did not exceed; None without any row."""
    wanted, seen = share * sum(latency_us.values()), 0
    for edge_us, many in sorted(latency_us.items()):
        seen += many
        if seen >= wanted:
            return edge_us / 1000
    return None


class RunFinished(OpsRow, frozen=True):
    """The supervisor is done: `reason` is completed, stopped, interrupted, failed_to_restart or preflight."""

    reason: str


OPS_KINDS: dict[str, type[OpsRow]] = {
    cls.__name__: cls
    for cls in (
        PreflightChecked,
        BuildIdentified,
        SegmentOpened,
        SegmentClosed,
        ProcessStarted,
        ProcessExited,
        Incident,
        FaultAnnounced,
        HostSlept,
        ClockStepped,
        HostSampled,
        FeedSampled,
        RunFinished,
    )
}


def encode_ops(row: OpsRow) -> bytes:
    """The body of a row as JSON."""
    return msgspec.json.encode(row)


def decode_ops(kind: str, body: bytes) -> OpsRow:
    """The row of a record; raises KeyError for an unknown kind, msgspec.ValidationError for a bad body."""
    return msgspec.json.decode(body, type=OPS_KINDS[kind])
