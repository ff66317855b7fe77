"""What the ops journal and the journal say about the market data of a run.

Rule: counters of each lifetime of the engine add up; nothing is read from the feed itself.
"""

from __future__ import annotations

from collections import Counter

from flowguardian.acceptance.evidence import Evidence
from flowguardian.acceptance.figures import FeedQuality, StreamSilence
from flowguardian.execution import events as ev
from flowguardian.journal import ops_events as ops

MOST_ODD_FRAMES = 10


def quality_of(evidence: Evidence) -> FeedQuality | None:
    """The sums over all lifetimes; None where no feed over a network reported."""
    last = {row.lifetime: row for _, row in evidence.ops_of(ops.FeedSampled)}
    if not last:
        return None
    counts: Counter[str] = Counter()
    latency: Counter[int] = Counter()
    silence: dict[str, int] = {}
    for row in last.values():
        counts.update(row.counts)
        latency.update(row.latency_us)
        for stream, ns in row.longest_silence_ns.items():
            silence[stream] = max(silence.get(stream, 0), ns)
    judged = sum(row.judged_ns for row in last.values())
    fresh = sum(row.fresh_ns for row in last.values())
    skews = [abs(row.skew_ns) for _, row in evidence.of(ev.ClockMeasured)]
    return FeedQuality(
        lifetimes=len(last),
        counts=dict(counts),
        max_silence_seconds={stream: ns / 1e9 for stream, ns in silence.items()},
        latency_p50_ms=ops.quantile_ms(latency, 0.50),
        latency_p95_ms=ops.quantile_ms(latency, 0.95),
        latency_p99_ms=ops.quantile_ms(latency, 0.99),
        fresh_pct=fresh * 100 / judged if judged else None,
        stale_ns=judged - fresh,
        clock_offset_ms=max((row.clock_offset_ns for row in last.values()), key=abs) / 1e6,
        max_clock_skew_ms=max(skews, default=0) / 1e6,
        max_used_weight=max(row.used_weight for _, row in evidence.ops_of(ops.FeedSampled)),
        halted=tuple(sorted({symbol for row in last.values() for symbol in row.halted})),
        odd_frames=tuple(frame for row in last.values() for frame in row.odd_frames)[:MOST_ODD_FRAMES],
    )


def silences_of(evidence: Evidence) -> tuple[StreamSilence, ...]:
    """Every stream that went silent, and for how long."""
    found: list[StreamSilence] = []
    open_: dict[tuple[str, str], tuple[int, ev.StreamWentSilent]] = {}
    for entry in evidence.rows:
        row = entry.row
        if isinstance(row, ev.StreamWentSilent):
            open_[row.symbol, row.stream] = (entry.seq, row)
        elif isinstance(row, ev.StreamRecovered) and (row.symbol, row.stream) in open_:
            seq, began = open_.pop((row.symbol, row.stream))
            found.append(_silence(seq, began, row.silent_ns / 1e9))
        elif isinstance(row, ev.SegmentStarted):
            # A new process proved every stream before it went on.
            found += [
                _silence(seq, began, (row.ts_ns - began.since_ns) / 1e9) for seq, began in open_.values()
            ]
            open_.clear()
    found += [_silence(seq, began, None) for seq, began in open_.values()]
    return tuple(sorted(found, key=lambda one: one.seq))


def _silence(seq: int, row: ev.StreamWentSilent, seconds: float | None) -> StreamSilence:
    return StreamSilence(seq=seq, symbol=row.symbol, stream=row.stream, from_ns=row.since_ns, seconds=seconds)
