"""What the waits of a socket are measured by: the clock of this host, or market time that comes in slices.

Rule: back-off, rotation and the age of a connection belong to the run clock. In slices it stands while a
slice is read, so a socket that waits is no reason to hold the market up, and the same slices see the same
attempts. While nobody moves the market (before the first slice, or the venue is gone) real time counts.
"""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

from flowguardian.market.records import SECOND_NS

_STANDING_SECONDS = 1.0
"""Longest real wait while the market stands: it would only be a longer real wait."""


class Pace(Protocol):
    """Time for a socket."""

    sliced: bool
    """Whether nothing arrives between two moves of this time."""

    def seconds(self) -> float: ...
    async def sleep(self, seconds: float) -> None: ...
    async def pause(self, seconds: float) -> None:
        """Like sleep, and cut short where nobody moves this time: what is waited for may come back."""


class HostPace:
    """The clock of this host."""

    sliced = False

    def seconds(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def pause(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class MarketPace:
    """Market time; `moved` says where it stands now."""

    sliced = True

    def __init__(self) -> None:
        self._now_ns = 0
        self._standing = asyncio.Event()
        self._standing.set()
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []

    @property
    def now_ns(self) -> int:
        """Where the market stands, to the last look at it."""
        return self._now_ns

    def seconds(self) -> float:
        return self._now_ns / SECOND_NS

    async def sleep(self, seconds: float) -> None:
        await self._passed(seconds)

    def _passed(self, seconds: float) -> asyncio.Future[None]:
        """Done when so much of it has passed from this call on."""
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((self._now_ns + round(seconds * SECOND_NS), over))
        return over

    async def pause(self, seconds: float) -> None:
        standing = self._standing.is_set()
        # Once the market moves its own time counts: a real wait of a second may be hours of it.
        until = asyncio.sleep(min(seconds, _STANDING_SECONDS)) if standing else self._standing.wait()
        waits: set[asyncio.Future[Any]] = {self._passed(seconds), asyncio.ensure_future(until)}
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waits:
                one.cancel()

    def begin(self, now_ns: int) -> None:
        """Where the first slice begins; nothing has passed before it."""
        passed_ns = now_ns - self._now_ns
        self._waiting = [(until_ns + passed_ns, over) for until_ns, over in self._waiting]
        self._now_ns = now_ns

    def moved(self, now_ns: int) -> None:
        """A slice ended: whoever waited until then goes on."""
        self._standing.clear()
        self._now_ns = now_ns
        due = [over for until_ns, over in self._waiting if until_ns <= now_ns]
        self._waiting = [one for one in self._waiting if one[0] > now_ns]
        for over in due:
            if not over.done():
                over.set_result(None)

    def stand(self) -> None:
        """Nobody moves the market for now: whoever pauses tries again by real time."""
        self._standing.set()
