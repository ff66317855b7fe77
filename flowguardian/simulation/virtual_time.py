"""An event loop whose time moves only when nobody has anything to do, and the clocks of a host in it.

Rule: no wait is real. The same callbacks in the same order give the same run, on every machine.
"""

from __future__ import annotations

import asyncio
import selectors
from typing import Any

from flowguardian.market.records import SECOND_NS


class NothingToCome(Exception):
    """Everybody waits and nothing is due: the run would stand for ever."""


class _Leaping(selectors.DefaultSelector):
    """Waits by moving the time of its loop."""

    loop: VirtualLoop

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise NothingToCome("every task waits for another one")
        self.loop.leap(timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """Begins at 0; its time is the monotonic clock of everything in it."""

    def __init__(self) -> None:
        self._now = 0.0
        selector = _Leaping()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        return self._now

    def leap(self, seconds: float) -> None:
        """Let time pass."""
        self._now += max(0.0, seconds)


class VirtualClock:
    """The clocks of the host of a client: UTC stands at `epoch_ns` when the loop begins."""

    def __init__(self, loop: VirtualLoop, epoch_ns: int) -> None:
        self._loop, self._epoch_ns = loop, epoch_ns

    def mono_ns(self) -> int:
        return round(self._loop.time() * SECOND_NS)

    def wall_ns(self) -> int:
        return self._epoch_ns + self.mono_ns()
