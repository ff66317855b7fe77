"""What the engine child says about itself on stdout: one JSON object per line, at a steady interval.

Rule: it comes from the loop itself, so a hung loop is a silent one.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Sequence

from flowguardian.execution import events as ev
from flowguardian.execution.loop import MarketLoop
from flowguardian.feeds.quality import DataQuality
from flowguardian.journal.journal import Recorder
from flowguardian.ops.announcing import announce, told

__all__ = ["AnnouncingRecorder", "Heartbeat", "announce", "announce_quality"]

LAGS_KEPT = 4096
ODD_FRAMES_TOLD = 5


def announce_quality(lifetime: int, feed: str, quality: DataQuality) -> None:
    """Tell what the feed of this lifetime counted so far."""
    announce(
        "quality",
        lifetime=lifetime,
        feed=feed,
        counts=quality.counts,
        longest_silence_ns=quality.longest_silence_ns,
        latency_us=quality.latency_us,
        fresh_ns=quality.fresh_ns,
        judged_ns=quality.judged_ns,
        clock_offset_ns=quality.clock_offset_ns,
        clock_skew_ns=quality.clock_skew_ns,
        used_weight=quality.used_weight,
        odd_frames=quality.odd_frames[-ODD_FRAMES_TOLD:],
        halted=quality.halted,
    )


class AnnouncingRecorder(Recorder):
    """Says on stdout when a checkpoint is durable."""

    def commit(self, rows: Sequence[ev.Row], *, durable: bool) -> None:
        """Write the batch, then tell about the checkpoint in it."""
        super().commit(rows, durable=durable)
        for row in rows:
            if isinstance(row, ev.CheckpointTaken):
                announce("checkpoint", name=row.name, market_ns=row.ts_ns, run_ns=row.run_ns, line=told(row))


class Heartbeat:
    """Sums up the loop once a second."""

    def __init__(self, loop: MarketLoop, strategies: Iterable[str], interval_seconds: float) -> None:
        self._loop = loop
        self._interval_seconds = interval_seconds
        self._strategies = tuple(strategies)
        self._last = 0.0
        self._lags: deque[float] = deque(maxlen=LAGS_KEPT)

    def beat(self, lag_seconds: float, *, force: bool = False) -> None:
        """Note how long the last turn took; speak when a second has passed."""
        if lag_seconds:
            self._lags.append(lag_seconds * 1e3)
        now = time.monotonic()
        if not force and now - self._last < self._interval_seconds:
            return
        self._last = now
        loop = self._loop
        score, portfolio = loop.engine.score, loop.engine.portfolio
        lines = [portfolio.budget_line(strategy) for strategy in self._strategies]
        lags = sorted(self._lags) or [0.0]
        announce(
            "heartbeat",
            market_ns=loop.now_ns,
            run_ns=max(0, loop.run_ns()),
            equity=loop.equity(),
            budget_used=sum(line.used for line in lines),
            budget_allocated=sum(line.allocated for line in lines),
            entries=score.entries,
            budget_caps=score.budget_caps,
            budget_blocks=score.refused[ev.Reason.PORTFOLIO_BUDGET],
            open_positions=len(portfolio.positions),
            next_checkpoint=loop.next_checkpoint(),
            why=score.why(),
            lag_p50_ms=lags[len(lags) // 2],
            lag_p99_ms=lags[int(len(lags) * 0.99)],
        )
