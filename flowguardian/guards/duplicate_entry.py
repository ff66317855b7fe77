"""One position per symbol; it grows only where its strategy's limits say so.

Rule: an entry order whose end is not proved counts like a position, because it may still become one.
"""

from __future__ import annotations

from flowguardian.execution.events import Reason, Signal
from flowguardian.execution.limits import Limits
from flowguardian.guards.base import Refused, Release, Stateless, View


class DuplicateEntry(Stateless):
    """Refuses while the symbol has a position or a pending entry; scope: symbol.

    An add passes: same strategy, same side, fewer than `max_adds` so far, and no entry order under way.
    """

    __slots__ = ("_max_adds",)
    code = Reason.DUPLICATE_ENTRY

    def __init__(self, limits: Limits) -> None:
        self._max_adds = {
            name: strategy.max_adds for name, strategy in limits.strategies.items() if strategy.allow_add
        }

    def review(self, signal: Signal, view: View) -> Refused | None:
        portfolio = view.portfolio
        pending = portfolio.pending.get(signal.symbol, 0)
        if pending > 0:
            return Refused(Reason.DUPLICATE_ENTRY, 1.0, float(pending), Release.PENDING_ORDER_ENDS, 0)
        position = portfolio.positions.get(signal.symbol)
        if position is None:
            return None
        limit = value = 1.0
        if position.strategy == signal.strategy and position.side == signal.side:
            max_adds = self._max_adds.get(signal.strategy, 0)
            if position.adds < max_adds:
                return None
            if max_adds > 0:
                limit, value = float(max_adds), float(position.adds)
        return Refused(Reason.DUPLICATE_ENTRY, limit, value, Release.POSITION_CLOSES, position.expiry_ns)
