"""Where a venue stands in its market, kept in a file over its own ends.

Rule: a planned stop stands still and goes on at the same nanosecond; after any other end the market has gone
on meanwhile, as an exchange's does, as far as the monotonic clock of the same boot can tell.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from flowguardian.ops.platform_files import atomic_write
from flowguardian.ops.segments import HostClock


class Place(msgspec.Struct):
    """Market time, and when it was written."""

    now_ns: int
    paused: bool = True
    boot_id: str = ""
    mono_ns: int = 0


class Keeper:
    """Reads and writes the place; without a path it keeps nothing."""

    def __init__(self, path: Path | None, clock: HostClock | None = None) -> None:
        self._path, self._clock = path, clock or HostClock()

    def read(self, speed: float) -> Place | None:
        """Where the market stands by now at this speed (0 = it moves only with its listeners)."""
        if self._path is None or not self._path.exists():
            return None
        place = msgspec.json.decode(self._path.read_bytes(), type=Place)
        if not place.paused and place.boot_id == self._clock.boot_id:
            place.now_ns += round((self._clock.mono_ns() - place.mono_ns) * speed)
        return place

    def write(self, now_ns: int, *, paused: bool, durable: bool = False) -> None:
        """Keep it; a planned stop wants it on the disk."""
        if self._path is not None:
            place = Place(now_ns, paused, self._clock.boot_id, self._clock.mono_ns())
            atomic_write(self._path, msgspec.json.encode(place), durable=durable)
