"""The portfolio holds a limited number of positions.

Rule: an entry order that is pending or unknown takes a place, because it may become a position.
An add to an open position takes none; whether it may be made is `duplicate_entry`'s question.
"""

from __future__ import annotations

from flowguardian.execution.events import Reason, Signal
from flowguardian.execution.limits import Limits
from flowguardian.guards.base import Refused, Release, Stateless, View, soonest_expiry_ns


class MaxPositions(Stateless):
    """Refuses when open positions and pending entries reach `max_positions`; scope: portfolio."""

    __slots__ = ("_limit",)
    code = Reason.MAX_POSITIONS

    def __init__(self, limits: Limits) -> None:
        self._limit = limits.budget.max_positions

    def review(self, signal: Signal, view: View) -> Refused | None:
        portfolio, limit = view.portfolio, self._limit
        held = portfolio.open_count()
        taken = held + portfolio.pending_count()
        if taken < limit or signal.symbol in portfolio.positions:
            return None
        if held < limit:
            return Refused(Reason.MAX_POSITIONS, float(limit), float(taken), Release.PENDING_ORDER_ENDS, 0)
        return Refused(
            Reason.MAX_POSITIONS,
            float(limit),
            float(taken),
            Release.POSITION_CLOSES,
            soonest_expiry_ns(portfolio),
        )
