"""Entries need a FlowGuardian that is READY and a trading state that is ACTIVE.

Rule: HALTED and REDUCING refuse entries until the operator resumes; they never touch exits.
"""

from __future__ import annotations

from flowguardian.execution.events import Reason, Signal, TradingState
from flowguardian.execution.limits import Limits
from flowguardian.guards.base import Refused, Release, Stateless, View

_ACTIVE = TradingState.ACTIVE


class ReadyGate(Stateless):
    """Refuses before READY and while trading is halted or reducing; scope: everything."""

    __slots__ = ()
    code = Reason.READY_GATE

    def __init__(self, limits: Limits) -> None:
        """Has no threshold."""

    def review(self, signal: Signal, view: View) -> Refused | None:
        if view.trading_state is not _ACTIVE:
            return Refused(Reason.READY_GATE, 1.0, 0.0, Release.RESUME_COMMAND, 0)
        if not view.ready:
            return Refused(Reason.READY_GATE, 1.0, 0.0, Release.FRESH_DATA, 0)
        return None
