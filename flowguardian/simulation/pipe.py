"""A socket in memory: its two ends, with delay, silence and cuts, and nothing below them.

Rule: frames arrive in the order in which they were written, or not at all; the venue's end has the doors of
`venue.sockets.Wire`, the client's end those of a websockets connection.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from websockets.exceptions import ConnectionClosedError, ConnectionClosedOK


class Pipe:
    """One connection; `delay` draws how long something is on its way."""

    handshake_complete = True

    def __init__(self, loop: asyncio.AbstractEventLoop, delay: Callable[[], float]) -> None:
        self.muted = False
        self.client = Client(self)
        self.accepted: asyncio.Future[int] = loop.create_future()
        """0 when the venue took the connection, else the status of its refusal."""
        self.writable = asyncio.Event()
        self.writable.set()
        self._loop, self._delay = loop, delay
        self._due = {True: 0.0, False: 0.0}
        self._asked: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._asked.put_nowait({"type": "websocket.connect"})
        self.gone = False
        """The venue has seen its end."""

    def carry(self, act: Callable[[], None], *, to_client: bool) -> None:
        """Do something at the other end after a delay, and never before what was sent earlier."""
        due = max(self._due[to_client], self._loop.time() + self._delay())
        self._due[to_client] = due
        self._loop.call_at(due, act)

    # ---- the venue's end

    @property
    def hears(self) -> bool:
        return not self.gone and not self.muted

    waiting_bytes = 0

    def write_frames(self, payloads: Sequence[bytes]) -> None:
        if self.hears:
            frames = tuple(payloads)
            self.carry(lambda: self.client.arrived(frames), to_client=True)

    async def drained(self) -> None:
        """Nothing waits here."""

    def mute(self) -> None:
        self.muted = True

    def cut(self) -> None:
        """End without a closing handshake."""
        if not self.gone:
            self._left()
            self.carry(self.client.lost, to_client=True)

    def _left(self) -> None:
        if not self.gone:
            self.gone = True
            self._asked.put_nowait({"type": "websocket.disconnect", "code": 1006})

    async def receive(self) -> dict[str, Any]:
        return await self._asked.get()

    async def send(self, message: dict[str, Any]) -> None:
        kind = message["type"]
        if kind == "websocket.accept":
            self._answer(0)
        elif kind == "websocket.http.response.start":
            self._answer(message["status"])
        elif kind == "websocket.close":
            self.cut()

    def _answer(self, status: int) -> None:
        def answer() -> None:
            if not self.accepted.done():
                self.accepted.set_result(status)

        self.carry(answer, to_client=True)

    # ---- what the client's end does to the venue's

    def abandoned(self) -> None:
        """The client is gone; the venue hears of it unless the line is dead."""
        self.carry(lambda: None if self.muted else self._left(), to_client=False)

    def pinged(self, pong: asyncio.Future[None]) -> None:
        def answer() -> None:
            if self.hears:
                self.carry(lambda: None if pong.done() else pong.set_result(None), to_client=True)

        self.carry(answer, to_client=False)


class Client:
    """The end of a client, as of websockets."""

    def __init__(self, pipe: Pipe) -> None:
        self.transport = self
        self._pipe = pipe
        self._frames: deque[bytes] = deque()
        self._waiting: asyncio.Future[None] | None = None
        self._closed: Exception | None = None

    def arrived(self, frames: Sequence[bytes]) -> None:
        if self._closed is None:
            self._frames.extend(frames)
            self._wake()

    def lost(self) -> None:
        self._end(ConnectionClosedError(None, None))

    def _end(self, why: Exception) -> None:
        if self._closed is None:
            self._closed = why
            self._wake()

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    async def recv(self, decode: bool | None = None) -> bytes:
        while not self._frames:
            if self._closed is not None:
                raise self._closed
            self._waiting = asyncio.get_running_loop().create_future()
            await self._waiting
        return self._frames.popleft()

    def __aiter__(self) -> Client:
        return self

    async def __anext__(self) -> bytes:
        try:
            return await self.recv()
        except ConnectionClosedOK:
            raise StopAsyncIteration from None

    async def ping(self) -> asyncio.Future[None]:
        if self._closed is not None:
            raise self._closed
        pong: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pipe.pinged(pong)
        return pong

    async def close(self) -> None:
        self._leave(ConnectionClosedOK(None, None))

    def abort(self) -> None:
        """Of the transport: end at once."""
        self._leave(ConnectionClosedError(None, None))

    def _leave(self, why: Exception) -> None:
        if self._closed is None:
            self._pipe.abandoned()
        self._end(why)
