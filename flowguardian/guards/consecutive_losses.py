"""A row of losing positions pauses entries.

Rule: only a net loss counts (after fees and funding); a win or a break-even ends the row and the pause.
"""

from __future__ import annotations

from flowguardian.execution.events import ExitReason, PositionClosed, Reason, Row, Signal
from flowguardian.execution.limits import Limits
from flowguardian.guards.base import Refused, Release, View

_FLATTEN = ExitReason.FLATTEN


class ConsecutiveLosses:
    """Refuses for `loss_pause_ns` after the loss that reached `max_consecutive_losses`; scope: everything.

    A further loss during the pause starts it anew. When the pause has run out the count starts at zero, so
    the guard does not fire again on the first loss after it. A loss taken by the operator's flatten says
    nothing about the strategy and is not counted.
    """

    __slots__ = ("_limit", "_losses", "_pause_ns", "_until_ns")
    code = Reason.CONSECUTIVE_LOSSES
    rows: tuple[type[Row], ...] = (PositionClosed,)

    def __init__(self, limits: Limits) -> None:
        self._limit = limits.guards.max_consecutive_losses
        self._pause_ns = limits.guards.loss_pause_ns
        self._losses = 0
        self._until_ns = 0

    def review(self, signal: Signal, view: View) -> Refused | None:
        if signal.ts_ns >= self._until_ns:
            return None
        return Refused(
            Reason.CONSECUTIVE_LOSSES,
            float(self._limit),
            float(self._losses),
            Release.TIME,
            self._until_ns,
        )

    def apply(self, row: Row) -> None:
        if not isinstance(row, PositionClosed):
            return
        if row.realised - row.fees + row.funding >= 0:
            self._losses = self._until_ns = 0
            return
        if row.reason is _FLATTEN:
            return
        if 0 < self._until_ns <= row.ts_ns:
            self._losses = 0
        self._losses += 1
        self._until_ns = row.ts_ns + self._pause_ns if self._losses >= self._limit else 0

    def snapshot(self) -> object:
        return [self._losses, self._until_ns]
