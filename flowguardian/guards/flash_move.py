"""Nobody enters on a bar that is a flash crash or a spike.

Rule: the direction of the move does not matter; a move that is not a number counts as too large.
"""

from __future__ import annotations

from flowguardian.execution.events import Reason, Signal
from flowguardian.execution.limits import Limits
from flowguardian.execution.money import SCALE
from flowguardian.guards.base import Refused, Release, Stateless, View, finite


class FlashMove(Stateless):
    """Refuses when the signalling bar moved by more than `flash_move`; scope: this signal."""

    __slots__ = ("_move",)
    code = Reason.FLASH_MOVE

    def __init__(self, limits: Limits) -> None:
        self._move = limits.guards.flash_move / SCALE

    def review(self, signal: Signal, view: View) -> Refused | None:
        if -self._move <= signal.move <= self._move:
            return None
        return Refused(Reason.FLASH_MOVE, self._move, finite(signal.move), Release.MOVE_CALMS, 0)
