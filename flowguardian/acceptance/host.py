"""What the ops journal says: run time by monotonic clock, processes, incidents, resources.

Rule: time counts from the first to the last written sign of life of each segment, within one boot, without
the time the host slept. Nothing is read from configuration.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flowguardian.acceptance.evidence import Evidence
from flowguardian.acceptance.figures import (
    Build,
    IncidentGroup,
    PreflightLine,
    ProcessLine,
    ResourceCurve,
    Resources,
    Segment,
)
from flowguardian.acceptance.statistics import theil_sen
from flowguardian.journal import ops_events as ops

HOUR_NS = 3_600_000_000_000
WARM_UP_NS = 2 * HOUR_NS
FEWEST_SAMPLES = 30
MEGABYTE = 1_000_000


@dataclass
class Span:
    """A segment while it is being read."""

    opened: ops.SegmentOpened
    last_mono_ns: int
    last_market_ns: int
    end_reason: str = ""
    slept_ns: int = 0

    @property
    def run_ns(self) -> int:
        """Monotonic time between its first and last sign of life, without sleep."""
        return max(0, self.last_mono_ns - self.opened.mono_ns - self.slept_ns)

    @property
    def market_ns(self) -> int:
        """Market time in it."""
        return max(0, self.last_market_ns - self.opened.market_ns)

    @property
    def end_ns(self) -> int:
        """Host time of its last sign of life."""
        return self.opened.ts_ns + max(0, self.last_mono_ns - self.opened.mono_ns)


def spans_of(evidence: Evidence) -> list[Span]:
    """The segments, in order of their opening."""
    found: dict[int, Span] = {}
    for _, row in evidence.ops_rows:
        if isinstance(row, ops.SegmentOpened):
            found[row.segment] = Span(row, row.mono_ns, row.market_ns)
        elif isinstance(row, ops.HostSampled) and (span := found.get(row.segment)):
            if not span.end_reason and row.mono_ns >= span.last_mono_ns:
                span.last_mono_ns, span.last_market_ns = row.mono_ns, row.market_ns
        elif isinstance(row, ops.SegmentClosed) and (span := found.get(row.segment)):
            span.end_reason = row.reason
            # The monotonic clock of another boot says nothing about this segment.
            if row.boot_id == span.opened.boot_id and row.mono_ns >= span.last_mono_ns:
                span.last_mono_ns, span.last_market_ns = row.mono_ns, row.market_ns
    for _, slept in evidence.ops_of(ops.HostSlept):
        gap_ns = round(slept.gap_seconds * 1e9)
        for span in found.values():
            inside = min(slept.ts_ns, span.end_ns) - max(slept.ts_ns - gap_ns, span.opened.ts_ns)
            span.slept_ns += max(0, inside)
    return list(found.values())


def segments_of(spans: Sequence[Span]) -> tuple[Segment, ...]:
    """The segments as the report lists them."""
    return tuple(
        Segment(
            segment=span.opened.segment,
            start_ns=span.opened.ts_ns,
            end_ns=span.end_ns,
            hours=span.run_ns / HOUR_NS,
            market_hours=span.market_ns / HOUR_NS,
            start_reason=span.opened.reason,
            end_reason=span.end_reason,
        )
        for span in spans
    )


def builds_of(evidence: Evidence) -> tuple[Build, ...]:
    """The programs and systems that the run was supervised by, each once, in order."""
    found = [
        Build(version=row.version, commit=row.commit, python=row.python, platform=row.platform)
        for _, row in evidence.ops_of(ops.BuildIdentified)
    ]
    return tuple(dict.fromkeys(found))


def processes_of(evidence: Evidence) -> tuple[ProcessLine, ...]:
    """Every end of a process."""
    return tuple(
        ProcessLine(
            seq=seq, ts_ns=row.ts_ns, name=row.name, code=row.code, reason=row.reason,
            abnormal=row.abnormal, announced=row.announced,
        )
        for seq, row in evidence.ops_of(ops.ProcessExited)
    )  # fmt: skip


def incidents_of(evidence: Evidence) -> tuple[IncidentGroup, ...]:
    """Incidents, equal ones together, worst and most frequent first."""
    grouped: dict[tuple[ops.Severity, str, str], list[tuple[int, ops.Incident]]] = {}
    for seq, row in evidence.ops_of(ops.Incident):
        grouped.setdefault((row.severity, row.source, row.what), []).append((seq, row))
    rank = list(ops.Severity)
    groups = [
        IncidentGroup(
            severity=severity.value, source=source, what=what, count=len(rows),
            first_ns=rows[0][1].ts_ns, last_ns=rows[-1][1].ts_ns, seq=rows[0][0],
            sample=rows[0][1].sample[:500],
        )
        for (severity, source, what), rows in grouped.items()
    ]  # fmt: skip
    return tuple(sorted(groups, key=lambda g: (-rank.index(ops.Severity(g.severity)), -g.count, g.seq)))


def preflight_of(evidence: Evidence) -> tuple[PreflightLine, ...]:
    """The preflight of the first start: one line per item, the last state of each."""
    lines = {row.item: row for _, row in evidence.ops_of(ops.PreflightChecked)}
    return tuple(
        PreflightLine(
            item=r.item, state=r.state, detail=r.detail, fix=r.fix, detail_ko=r.detail_ko, fix_ko=r.fix_ko
        )
        for r in lines.values()
    )


def resources_of(evidence: Evidence, spans: Sequence[Span]) -> tuple[Resources, ResourceCurve]:
    """Resources of the engine process over all samples; the slope of memory within the longest segment."""
    samples = [row for _, row in evidence.ops_of(ops.HostSampled)]
    if not samples:
        return _nothing(), ResourceCurve()
    rss = [row.rss_bytes / MEGABYTE for row in samples]
    slope = _memory_slope(samples, spans)
    lags = sorted(row.loop_lag_p50_ms for row in samples)
    cpu: dict[int, float] = {}
    for row in samples:
        cpu[row.segment] = max(cpu.get(row.segment, 0.0), row.cpu_seconds)
    last = samples[-1]
    figures = Resources(
        samples=len(samples),
        rss_first_mb=rss[0],
        rss_last_mb=rss[-1],
        rss_max_mb=max(rss),
        rss_slope_mb_per_hour=slope[0] if slope else None,
        rss_slope_low=slope[1] if slope else None,
        rss_slope_high=slope[2] if slope else None,
        handles_min=min(row.handles for row in samples),
        handles_max=max(row.handles for row in samples),
        threads_max=max(row.threads for row in samples),
        cpu_seconds=sum(cpu.values()),
        loop_lag_p50_ms=lags[len(lags) // 2],
        loop_lag_p99_ms=max(row.loop_lag_p99_ms for row in samples),
        journal_mb=last.journal_bytes / MEGABYTE,
        tape_mb=last.tape_bytes / MEGABYTE,
        log_mb=last.log_bytes / MEGABYTE,
    )
    return figures, _curve(samples, spans, rss)


def _memory_slope(
    samples: Sequence[ops.HostSampled], spans: Sequence[Span]
) -> tuple[float, float, float] | None:
    if not spans:
        return None
    longest = max(spans, key=lambda span: span.run_ns)
    warm_ns = longest.opened.mono_ns + WARM_UP_NS
    used = [s for s in samples if s.segment == longest.opened.segment and s.mono_ns >= warm_ns]
    if len(used) < FEWEST_SAMPLES:
        return None
    return theil_sen([s.mono_ns / HOUR_NS for s in used], [s.rss_bytes / MEGABYTE for s in used])


def _curve(samples: Sequence[ops.HostSampled], spans: Sequence[Span], rss: list[float]) -> ResourceCurve:
    before, start = {}, 0
    for span in spans:
        before[span.opened.segment] = (start, span.opened.mono_ns)
        start += span.run_ns
    hours = []
    for row in samples:
        base_ns, opened_ns = before.get(row.segment, (0, row.mono_ns))
        hours.append((base_ns + row.mono_ns - opened_ns) / HOUR_NS)
    return ResourceCurve(
        run_hours=tuple(round(h, 5) for h in hours),
        rss_mb=tuple(round(value, 2) for value in rss),
        lag_p99_ms=tuple(round(row.loop_lag_p99_ms, 3) for row in samples),
    )


def _nothing() -> Resources:
    fields = dict.fromkeys(Resources.__struct_fields__)
    return Resources(**{**fields, "samples": 0})  # type: ignore[arg-type]
