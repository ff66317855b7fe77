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

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI

from flowguardian.feeds.base import FeedOptions
from flowguardian.feeds.quality import Counters

MAX_FRAME_BYTES = 1 << 20
_QUEUED_FRAMES = (4096, 1024)
_UP_SECONDS = 60.0
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
        self.reader = asyncio.create_task(socket.read(self))
        self.pinger = asyncio.create_task(socket.ping(ws))

    async def end(self) -> None:
        self.pinger.cancel()
        with suppress(*_CANNOT_CONNECT):
            await asyncio.wait_for(self.ws.close(), 2.0)
        self.reader.cancel()
        await asyncio.gather(self.reader, self.pinger, return_exceptions=True)


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
        proxied: bool = False,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.name, self.url = name, url
        self.up = asyncio.Event()
        self.connected = 0
        """How often it was connected anew; a rotation overlaps and does not count."""
        self._take, self._options, self._counts = take, options, counts
        self._room, self._went_down = room, went_down
        self._proxy: Literal[True] | None = True if proxied else None
        self._jitter = jitter
        self._failures = 0
        self._live: _Live | None = None
        self._owner: asyncio.Task[None] | None = None
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
        self.up.clear()
        if self._live is not None:
            self._live.ws.transport.abort()

    async def settle(self, seconds: float) -> None:
        """Wait, a bounded time, until all that the venue had sent is read: its pong comes after it."""
        if self._live is None:
            return
        with suppress(*_CANNOT_CONNECT):
            await asyncio.wait_for(await self._live.ws.ping(), seconds)
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
                began = asyncio.get_running_loop().time()
                self.connected += 1
                self.up.set()
                await self._serve(live)
                self.up.clear()
                self._counts.reconnects += 1
                self._went_down(self.name)
                if asyncio.get_running_loop().time() - began >= _UP_SECONDS:
                    self._failures = 0
                await asyncio.sleep(self._delay())
        finally:
            self.up.clear()
            if self._live is not None:
                await self._live.end()
                self._live = None

    async def _connected(self) -> _Live:
        while True:
            try:
                self._live = _Live(self, await self._connect())
            except _CANNOT_CONNECT as error:
                self.last_error = f"{type(error).__name__}: {error}"
                await asyncio.sleep(self._delay())
            else:
                return self._live

    async def _connect(self) -> ClientConnection:
        return await connect(
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
        while True:
            done, _ = await asyncio.wait({live.reader}, timeout=wait_seconds)
            if done:
                break
            successor = await self._successor()
            if successor is None:
                wait_seconds = min(60.0, self._options.rotate_seconds)
                continue
            self._live, old = successor, live
            await old.end()
            live = successor
            self._counts.rotations += 1
            wait_seconds = self._options.rotate_seconds
        await live.end()
        self._live = None
        error = live.reader.exception() if not live.reader.cancelled() else None
        if error is not None and not isinstance(error, _CANNOT_CONNECT):
            raise error

    async def _successor(self) -> _Live | None:
        """A second connection that delivers, or None: then the old one is kept and it is tried again."""
        try:
            live = _Live(self, await self._connect())
        except _CANNOT_CONNECT as error:
            self.last_error = f"{type(error).__name__}: {error}"
            return None
        try:
            await asyncio.wait_for(live.first.wait(), _OVERLAP_SECONDS)
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
