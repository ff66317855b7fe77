"""The stream sockets of a feed: which streams each carries, which are down, which need a new connection.

Rule: a connection that still brings something is replaced with an overlap, a dead one is dropped.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress

from flowguardian.feeds.sockets import StreamSocket

_NOTICE_SECONDS = 0.001
_HOPS = 4
"""Turns of the loop from the end of a wait to the task that waited."""


class SocketGroup:
    """All sockets of a feed by name."""

    def __init__(self, streams: Mapping[str, Sequence[str]], every_ns: int) -> None:
        self.sockets: dict[str, StreamSocket] = {}
        self._streams, self._every_ns = streams, every_ns
        self._renewed_ns: dict[str, int] = {}

    def check(self) -> None:
        """Raise what ended an owner, if something did."""
        for socket in self.sockets.values():
            socket.check()

    def times_connected(self, prefix: str) -> int:
        """How often sockets of these names were connected anew; replacing with an overlap does not count."""
        return sum(socket.connected for name, socket in self.sockets.items() if name.startswith(prefix))

    def down(self) -> set[str]:
        """Sockets that are not connected."""
        return {name for name, socket in self.sockets.items() if not socket.up.is_set()}

    async def all_up(self, seconds: float) -> bool:
        """Whether every socket is connected, waiting a bounded time for those that are not."""
        down = [self.sockets[name].up.wait() for name in self.down()]
        if not down:
            return True
        try:
            async with asyncio.timeout(seconds):
                await asyncio.gather(*down)
        except TimeoutError:
            return False
        return True

    async def notice(self, gone: Collection[str], seconds: float) -> None:
        """Wait, a bounded time, until sockets that the venue does not know any more are found lost here."""
        deadline = asyncio.get_running_loop().time() + seconds
        while not self.down().issuperset(gone):
            if asyncio.get_running_loop().time() > deadline:
                return
            await asyncio.sleep(_NOTICE_SECONDS)

    async def settle(self, seconds: float) -> None:
        """Wait, a bounded time, for sockets that are connecting; not for those that wait for market time."""
        for _ in range(_HOPS):
            await asyncio.sleep(0)  # A socket whose wait is over begins to connect.
        busy = [socket.settled.wait() for socket in self.sockets.values() if not socket.settled.is_set()]
        if busy:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await asyncio.gather(*busy)

    def revive(self, dead: Collection[str], fresh: Collection[str], now_ns: int) -> None:
        """New connections for dead streams, each socket not more often than a silence is long."""
        for name, streams in self._streams.items():
            if not set(streams) & set(dead) or now_ns - self._renewed_ns.get(name, 0) < self._every_ns:
                continue
            self._renewed_ns[name] = now_ns
            if set(streams) & set(fresh):
                self.sockets[name].replace()
            else:
                self.sockets[name].renew()

    def renew_all(self) -> None:
        """Drop every connection; each comes back by its owner."""
        for socket in self.sockets.values():
            socket.renew()

    def errors(self) -> list[str]:
        """What went wrong last on each socket."""
        return [
            f"{socket.name}: {socket.last_error}" for socket in self.sockets.values() if socket.last_error
        ]

    async def close(self) -> None:
        await asyncio.gather(*(socket.close() for socket in self.sockets.values()))
