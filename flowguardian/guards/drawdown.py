"""An account that has fallen too far below its peak takes no more entries.

Rule: drawdown = peak equity - equity now, relative to the peak (not to the start); a new peak is none.
The peak is measured anew from the operator's `resume`.
"""

from __future__ import annotations

from flowguardian.execution.events import Reason, Signal
from flowguardian.execution.limits import Limits
from flowguardian.execution.money import SCALE
from flowguardian.guards.base import Refused, Release, Stateless, View


class Drawdown(Stateless):
    """Refuses when equity is at least `max_drawdown` below its peak; scope: everything."""

    __slots__ = ("_drawdown",)
    code = Reason.DRAWDOWN

    def __init__(self, limits: Limits) -> None:
        self._drawdown = limits.guards.max_drawdown

    def review(self, signal: Signal, view: View) -> Refused | None:
        peak = view.peak_equity
        fall = peak - view.equity
        if fall <= 0 or fall * SCALE < peak * self._drawdown:
            return None
        value = fall / peak if peak > 0 else 1.0
        return Refused(Reason.DRAWDOWN, self._drawdown / SCALE, value, Release.RESUME_COMMAND, 0)
