"""The figures of a judgement that come from the ops journal: segments, processes, incidents, resources.

Rule: part of `report.json` like judgement.py; host times, and null for what was not measured.
"""

from __future__ import annotations

import msgspec


class Data(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Part of a judgement."""


class Segment(Data, frozen=True):
    """A process lifetime of the engine; host times."""

    segment: int
    start_ns: int
    end_ns: int
    hours: float
    market_hours: float
    start_reason: str
    end_reason: str


class Build(Data, frozen=True):
    """A program that supervised the run, from its first start on; `commit` is "" where it was not known."""

    version: str
    commit: str
    python: str
    platform: str


class ProcessLine(Data, frozen=True):
    """How a child process ended; host time."""

    seq: int
    ts_ns: int
    name: str
    code: int
    reason: str
    abnormal: bool
    announced: bool


class IncidentGroup(Data, frozen=True):
    """Equal incidents; host times."""

    severity: str
    source: str
    what: str
    count: int
    first_ns: int
    last_ns: int
    seq: int
    sample: str


class StreamSilence(Data, frozen=True):
    """A stream of a symbol that brought nothing new, by the journal; run clock. Null: it never came back."""

    seq: int
    symbol: str
    stream: str
    from_ns: int
    seconds: float | None


class FeedQuality(Data, frozen=True):
    """What the feed of all lifetimes counted; null latencies: market time came in slices."""

    lifetimes: int
    counts: dict[str, int]
    max_silence_seconds: dict[str, float]
    latency_p50_ms: float | None
    latency_p95_ms: float | None
    latency_p99_ms: float | None
    fresh_pct: float | None
    stale_ns: int
    clock_offset_ms: float
    max_clock_skew_ms: float
    max_used_weight: int
    halted: tuple[str, ...]
    odd_frames: tuple[tuple[str, str], ...]


class PreflightLine(Data, frozen=True):
    """A line of the preflight; the Korean texts are "" in older journals."""

    item: str
    state: str
    detail: str
    fix: str
    detail_ko: str = ""
    fix_ko: str = ""


class Resources(Data, frozen=True):
    """What the engine process cost; a slope needs samples after two hours of one lifetime."""

    samples: int
    rss_first_mb: float | None
    rss_last_mb: float | None
    rss_max_mb: float | None
    rss_slope_mb_per_hour: float | None
    rss_slope_low: float | None
    rss_slope_high: float | None
    handles_min: int | None
    handles_max: int | None
    threads_max: int | None
    cpu_seconds: float | None
    loop_lag_p50_ms: float | None
    loop_lag_p99_ms: float | None
    journal_mb: float | None
    tape_mb: float | None
    log_mb: float | None


class ResourceCurve(Data, frozen=True):
    """Samples of the host."""

    run_hours: tuple[float, ...] = ()
    rss_mb: tuple[float, ...] = ()
    lag_p99_ms: tuple[float, ...] = ()
