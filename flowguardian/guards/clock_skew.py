"""Ages and stamps mean nothing when our clock and the venue's disagree.

Rule: the direction of the skew does not matter, only its size.
"""

from __future__ import annotations

from flowguardian.execution.events import Reason, Signal
from flowguardian.execution.limits import Limits
from flowguardian.guards.base import Refused, Release, Stateless, View
from flowguardian.market.records import SECOND_NS


class ClockSkew(Stateless):
    """Refuses while the clocks differ by more than `max_clock_skew_ns`; scope: everything."""

    __slots__ = ("_skew_ns",)
    code = Reason.CLOCK_SKEW

    def __init__(self, limits: Limits) -> None:
        self._skew_ns = limits.guards.max_clock_skew_ns

    def review(self, signal: Signal, view: View) -> Refused | None:
        limit_ns, skew_ns = self._skew_ns, signal.clock_skew_ns
        if -limit_ns <= skew_ns <= limit_ns:
            return None
        return Refused(Reason.CLOCK_SKEW, limit_ns / SECOND_NS, skew_ns / SECOND_NS, Release.CLOCK_IN_STEP, 0)
