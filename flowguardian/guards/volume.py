"""The volume of the signalling bar must be neither a spike nor too thin.

Rule: volume is judged as a multiple of its own average; without an average it counts as too thin.
"""

from __future__ import annotations

from flowguardian.execution.events import Reason, Signal
from flowguardian.execution.limits import Limits
from flowguardian.guards.base import Refused, Release, Stateless, View, finite


class Volume(Stateless):
    """Refuses volume over `spike_mult` × mean or under `thin_mult` × mean; scope: this signal.

    `thin_mult` 0 means that a thin bar is no reason; a missing average still is.
    """

    __slots__ = ("_spike", "_thin")
    code = Reason.VOLUME

    def __init__(self, limits: Limits) -> None:
        self._spike = limits.guards.volume_spike_mult
        self._thin = limits.guards.volume_thin_mult

    def review(self, signal: Signal, view: View) -> Refused | None:
        mean, volume = signal.volume_mean, signal.volume
        # Written so that a volume or mean that is not a number fails every comparison and is refused.
        if not mean > 0.0:
            return Refused(Reason.VOLUME, self._thin, 0.0, Release.VOLUME_NORMAL, 0)
        if not volume >= self._thin * mean:
            return Refused(Reason.VOLUME, self._thin, finite(volume / mean), Release.VOLUME_NORMAL, 0)
        if not volume <= self._spike * mean:
            return Refused(Reason.VOLUME, self._spike, finite(volume / mean), Release.VOLUME_NORMAL, 0)
        return None
