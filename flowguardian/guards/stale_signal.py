"""A signal is about a bar that has just closed.

Rule: after an outage or a late back-fill the moment of an old bar has passed; nobody enters on it.
"""

from __future__ import annotations

from flowguardian.execution.events import Reason, Signal
from flowguardian.execution.limits import Limits
from flowguardian.guards.base import Refused, Release, Stateless, View
from flowguardian.market.records import SECOND_NS


class StaleSignal(Stateless):
    """Refuses when the bar ended longer than `max_signal_age_ns` ago; scope: this signal."""

    __slots__ = ("_age_ns",)
    code = Reason.STALE_SIGNAL

    def __init__(self, limits: Limits) -> None:
        self._age_ns = limits.guards.max_signal_age_ns

    def review(self, signal: Signal, view: View) -> Refused | None:
        age_ns = signal.ts_ns - signal.bar_end_ns
        if age_ns <= self._age_ns:
            return None
        return Refused(
            Reason.STALE_SIGNAL, self._age_ns / SECOND_NS, age_ns / SECOND_NS, Release.NEXT_SIGNAL, 0
        )
