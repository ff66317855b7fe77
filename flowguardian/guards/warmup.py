"""Indicators need enough bars before their signals mean anything.

Rule: a symbol that lost market records for good is cold again until it has been warmed.
"""

from __future__ import annotations

from flowguardian.execution.events import Reason, Signal
from flowguardian.execution.limits import Limits
from flowguardian.guards.base import Refused, Release, Stateless, View


class Warmup(Stateless):
    """Refuses while fewer than `warmup_bars` bars were seen or the symbol is degraded; scope: symbol."""

    __slots__ = ("_bars",)
    code = Reason.WARMUP

    def __init__(self, limits: Limits) -> None:
        self._bars = limits.guards.warmup_bars

    def review(self, signal: Signal, view: View) -> Refused | None:
        bars, seen = self._bars, signal.bars_seen
        if seen < bars:
            # Quiet intervals make bars too, so the time of the last missing bar is known.
            due_ns = signal.bar_end_ns + (bars - seen) * (signal.bar_end_ns - signal.bar_ns)
            return Refused(Reason.WARMUP, float(bars), float(seen), Release.WARM_BARS, due_ns)
        if signal.symbol in view.degraded:
            # Bars from before the gap do not count, however many there are.
            return Refused(Reason.WARMUP, float(bars), 0.0, Release.WARM_BARS, 0)
        return None
