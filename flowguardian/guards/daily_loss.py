"""A day that has lost too much takes no more entries.

Rule: loss = equity at UTC midnight - equity now; a profit is a negative loss and never refuses.
"""

from __future__ import annotations

from flowguardian.execution.events import Reason, Signal
from flowguardian.execution.limits import Limits
from flowguardian.execution.money import SCALE
from flowguardian.guards.base import Refused, Release, Stateless, View
from flowguardian.market.records import SECOND_NS

DAY_NS = 86_400 * SECOND_NS


class DailyLoss(Stateless):
    """Refuses when the loss since UTC midnight reaches `max_daily_loss` of the start; scope: everything."""

    __slots__ = ("_loss",)
    code = Reason.DAILY_LOSS

    def __init__(self, limits: Limits) -> None:
        self._loss = limits.guards.max_daily_loss

    def review(self, signal: Signal, view: View) -> Refused | None:
        start = view.day_start_equity
        loss = start - view.equity
        if loss <= 0 or loss * SCALE < start * self._loss:
            return None
        return Refused(
            Reason.DAILY_LOSS,
            self._loss / SCALE,
            loss / start if start > 0 else 1.0,
            Release.UTC_MIDNIGHT,
            (signal.ts_ns // DAY_NS + 1) * DAY_NS,
        )
