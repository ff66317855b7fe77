"""One stream socket that stays: connects, reads, answers pings, rotates before the cut, comes back.

Rule: one task owns the connection, so there is never a second reconnect beside the first; delays grow, are
jittered, and shrink only after the socket has stayed up. What frames mean is decided elsewhere.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress
from typing import Literal

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI

from flowguardian.feeds.base import FeedOptions
from flowguardian.feeds.network import HOST, Network
from flowguardian.feeds.pace import Pace
from flowguardian.feeds.quality import Counters

MAX_FRAME_BYTES = 1 << 20
_QUEUED_FRAMES = (4096, 1024)
_UP_SECONDS = 30.0
"""A connection that lived this long was a good one: the next delay is the first again."""
_OPEN_SECONDS = 10.0
_OVERLAP_SECONDS = 15.0
_CANNOT_CONNECT = (OSError, TimeoutError, InvalidHandshake, InvalidURI, ConnectionClosed, EOFError)

Take = Callable[[str, bytes], None]


class _Live:
    """One connection with its reader and its pinger."""

    def __init__(self, socket: StreamSocket, ws: ClientConnection) -> None:
        self.ws = ws
        self.first = asyncio.Event()
        self._open = socket.open
        self._open.add(self)
        self.reader = asyncio.create_task(socket.read(self))
        self.pinger = asyncio.create_task(socket.ping(ws))

    async def end(self) -> None:
        self.pinger.cancel()
        with suppress(*_CANNOT_CONNECT):
            async with asyncio.timeout(2.0):
                await self.ws.close()
        self.reader.cancel()
        await asyncio.gather(self.reader, self.pinger, return_exceptions=True)
        self._open.discard(self)


class StreamSocket:
    """A socket by name; `take(name, frame)` gets its frames, `went_down(name)` is told when it is lost."""

    def __init__(
        self,
        name: str,
        url: str,
        take: Take,
        options: FeedOptions,
        counts: Counters,
        *,
        room: asyncio.Event,
        went_down: Callable[[str], None],
        pace: Pace,
        network: Network = HOST,
        proxied: bool = False,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.name, self.url = name, url
        self.up = asyncio.Event()
        self.connected = 0
        """How often it was connected anew; a rotation overlaps and does not count."""
        self.settled = asyncio.Event()
        """Up, or down and waiting for its next attempt: nothing comes of waiting for it."""
        self._pace, self._network = pace, network
        self._take, self._options, self._counts = take, options, counts
        self._room, self._went_down = room, went_down
        self._proxy: Literal[True] | None = True if proxied else None
        self._jitter = jitter
        self._failures = 0
        self._live: _Live | None = None
        self.open: set[_Live] = set()
        """Every connection that is not ended yet: two while one takes over from another."""
        self._owner: asyncio.Task[None] | None = None
        self._due: asyncio.Future[None] | None = None
        """The wait for the next rotation."""
        self.last_error = ""

    def begin(self) -> None:
        """Start the one task that owns the connection."""
        self._owner = asyncio.create_task(self._own())

    def check(self) -> None:
        """Raise what ended the owner, if something did: a dead task is never silent."""
        if self._owner is not None and self._owner.done() and not self._owner.cancelled():
            self._owner.result()

    def renew(self) -> None:
        """Drop the connection; its owner connects anew."""
        if self._live is not None:
            self.up.clear()
            self.settled.clear()
            self._live.ws.transport.abort()

    def replace(self) -> None:
        """Rotate now: the connection lives, and something on it does not."""
        if self._live is not None and self._due is not None and not self._due.done():
            self.settled.clear()
            self._due.cancel()

    async def settle(self, seconds: float) -> None:
        """Wait, a bounded time, until all that the venue had sent is read: its pong comes after it."""
        if self._live is None:
            return
        with suppress(*_CANNOT_CONNECT):
            async with asyncio.timeout(seconds):
                pong = await self._live.ws.ping()
                await pong
        # The frames before the pong are in the reader's queue: it takes them without waiting.
        for _ in range(_QUEUED_FRAMES[0]):
            taken = self._counts.messages
            await asyncio.sleep(0)
            if self._counts.messages == taken:
                return

    async def close(self) -> None:
        if self._owner is not None:
            self._owner.cancel()
            await asyncio.gather(self._owner, return_exceptions=True)

    # ---- the owner

    async def _own(self) -> None:
        try:
            while True:
                live = await self._connected()
                self.connected += 1
                began = self._pace.seconds()
                self.up.set()
                self.settled.set()
                await self._serve(live)
                self.up.clear()
                self._counts.reconnects += 1
                self._went_down(self.name)
                if self._pace.seconds() - began >= _UP_SECONDS:
                    self._failures = 0
                await self._pause()
        finally:
            self.up.clear()
            self.settled.clear()
            for live in tuple(self.open):
                await live.end()
            self._live = None

    async def _connected(self) -> _Live:
        while True:
            try:
                self._live = _Live(self, await self._connect())
            except _CANNOT_CONNECT as error:
                self.last_error = f"{type(error).__name__}: {error}"
                await self._pause()
            else:
                return self._live

    async def _connect(self) -> ClientConnection:
        connected: ClientConnection = await self._network.connect(
            self.url,
            compression=None,
            open_timeout=_OPEN_SECONDS,
            # The library's own keep-alive mistakes a busy loop for a dead peer; ours asks twice.
            ping_interval=None,
            close_timeout=2.0,
            max_size=MAX_FRAME_BYTES,
            max_queue=_QUEUED_FRAMES,
            proxy=self._proxy,
        )
        return connected

    async def _pause(self) -> None:
        """The wait before the next attempt."""
        self.settled.set()
        await self._pace.pause(self._delay())
        self.settled.clear()

    def _delay(self) -> float:
        """Between half of and the whole grown delay: never zero, never in step with others."""
        options = self._options
        doubled = options.first_delay_seconds * 2.0 ** min(self._failures, 20)
        grown = min(options.longest_delay_seconds, doubled)
        self._failures += 1
        return grown * (0.5 + self._jitter() / 2)

    async def _serve(self, live: _Live) -> None:
        """Until the connection is lost; before the venue's cut a new one takes over with an overlap."""
        wait_seconds = self._options.rotate_seconds
        while not await self._lost_within(live, wait_seconds):
            self.settled.clear()
            successor = await self._successor()
            if successor is None:
                wait_seconds = min(60.0, self._options.rotate_seconds)
            else:
                self._live, old = successor, live
                await old.end()
                live = successor
                self._counts.rotations += 1
                wait_seconds = self._options.rotate_seconds
            self.settled.set()
        await live.end()
        self._live = None
        error = live.reader.exception() if not live.reader.cancelled() else None
        if error is not None and not isinstance(error, _CANNOT_CONNECT):
            raise error

    async def _lost_within(self, live: _Live, seconds: float) -> bool:
        self._due = asyncio.ensure_future(self._pace.sleep(seconds))
        try:
            await asyncio.wait({live.reader, self._due}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._due.cancel()
        return live.reader.done()

    async def _successor(self) -> _Live | None:
        """A second connection that delivers, or None: then the old one is kept and it is tried again."""
        try:
            live = _Live(self, await self._connect())
        except _CANNOT_CONNECT as error:
            self.last_error = f"{type(error).__name__}: {error}"
            return None
        if self._pace.sliced:
            return live  # Nothing comes before the next slice; its counts prove the connection.
        try:
            async with asyncio.timeout(_OVERLAP_SECONDS):
                await live.first.wait()
        except TimeoutError:
            self.last_error = "a rotated connection delivered nothing"
            await live.end()
            return None
        return live

    # ---- the tasks of a connection

    async def read(self, live: _Live) -> None:
        take, name, room = self._take, self.name, self._room
        recv = live.ws.recv
        while True:
            frame = await recv(decode=False)
            live.first.set()
            take(name, frame)
            if not room.is_set():
                await room.wait()

    async def ping(self, ws: ClientConnection) -> None:
        """Our own ping with a deadline: a half-open connection is dropped, a busy loop is not."""
        half = self._options.pong_seconds / 2
        with suppress(*_CANNOT_CONNECT):
            while True:
                await asyncio.sleep(self._options.ping_seconds)
                pong = asyncio.ensure_future(await ws.ping())
                for _ in range(2):
                    await asyncio.wait([pong], timeout=half)
                    if pong.done():
                        break
                else:
                    self.last_error = f"no pong within {self._options.pong_seconds} s"
                    ws.transport.abort()
                    return
