"""A strategy holds a limited number of positions.

Rule: an entry order that is pending or unknown takes a place, because it may become a position.
An add to an open position takes none; whether it may be made is `duplicate_entry`'s question.
"""

from __future__ import annotations

from flowguardian.execution.events import Reason, Signal
from flowguardian.execution.limits import Limits
from flowguardian.guards.base import Refused, Release, Stateless, View, soonest_expiry_ns


class MaxStrategyPositions(Stateless):
    """Refuses when a strategy's positions and entries reach `max_strategy_positions`; scope: strategy."""

    __slots__ = ("_limit",)
    code = Reason.MAX_STRATEGY_POSITIONS

    def __init__(self, limits: Limits) -> None:
        self._limit = limits.budget.max_strategy_positions

    def review(self, signal: Signal, view: View) -> Refused | None:
        portfolio, limit, strategy = view.portfolio, self._limit, signal.strategy
        held = portfolio.open_count(strategy)
        taken = held + portfolio.pending_count(strategy)
        if taken < limit or signal.symbol in portfolio.positions:
            return None
        if held < limit:
            return Refused(
                Reason.MAX_STRATEGY_POSITIONS, float(limit), float(taken), Release.PENDING_ORDER_ENDS, 0
            )
        return Refused(
            Reason.MAX_STRATEGY_POSITIONS,
            float(limit),
            float(taken),
            Release.POSITION_CLOSES,
            soonest_expiry_ns(portfolio, strategy),
        )
