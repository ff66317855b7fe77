"""The control socket of our own venue: market time comes in slices, each taken before the next one starts.

Rule: a slice is complete when every socket has delivered the frames announced for it; frames are then read
socket by socket, so that the order in which the network brought them decides nothing.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Collection
from collections.abc import Set as AbstractSet
from contextlib import suppress

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from flowguardian.feeds.base import LockstepBroken

_REACHABLE_SECONDS = 120.0
"""A venue that was killed may take this long to come back."""
_PAUSE_SECONDS = 0.25
_LOST_SECONDS = 2.0
_CANNOT_CONNECT = (OSError, TimeoutError, InvalidHandshake, ConnectionClosed, EOFError)


class Said(msgspec.Struct):
    """Any message of the venue on the control socket."""

    op: str
    n: int = 0
    from_ns: int = 0
    to_ns: int = 0
    frames: dict[str, int] = {}
    market_ns: int = 0
    end_ns: int = 0
    feed_kind: str = ""
    message: str = ""


_SAID = msgspec.json.Decoder(Said)


class Control:
    """The slices of one run."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._ws: ClientConnection | None = None

    async def go(self, from_ns: int, slice_ns: int) -> Said:
        """Connect (a venue that is being restarted is waited for) and ask for slices; returns `ready`."""
        await self.close()
        deadline = asyncio.get_running_loop().time() + _REACHABLE_SECONDS
        while True:
            try:
                self._ws = await connect(self._url, compression=None, ping_interval=None, proxy=None)
                await self._say({"op": "go", "from_ns": from_ns, "slice_ns": slice_ns})
                return await self._expect("ready")
            except _CANNOT_CONNECT as error:
                if asyncio.get_running_loop().time() > deadline:
                    raise LockstepBroken(
                        f"{self._url}: no venue answers on the control socket ({error}). Start it again; "
                        "the run resumes where it stopped."
                    ) from error
            await asyncio.sleep(_PAUSE_SECONDS)

    async def next(self) -> Said | None:
        """The next slice, None when the market has ended. Raises ConnectionClosed when the venue is gone."""
        said = await self._expect("slice", "finished")
        return said if said.op == "slice" else None

    async def ack(self, number: int) -> None:
        await self._say({"op": "ack", "n": number})

    async def pause(self) -> None:
        """A planned stop: the venue keeps its place."""
        with suppress(*_CANNOT_CONNECT):
            await self._say({"op": "pause"})

    async def close(self) -> None:
        if self._ws is not None:
            with suppress(*_CANNOT_CONNECT):
                async with asyncio.timeout(2.0):
                    await self._ws.close()
            self._ws = None

    async def _say(self, what: dict[str, str | int]) -> None:
        if self._ws is not None:
            await self._ws.send(msgspec.json.encode(what).decode())

    async def _expect(self, *ops: str) -> Said:
        while self._ws is not None:
            frame = await self._ws.recv(decode=False)
            try:
                said = _SAID.decode(frame)
            except msgspec.DecodeError as error:
                raise LockstepBroken(f"{self._url}: unreadable {frame[:200]!r}: {error}") from error
            if said.op in ops:
                return said
            if said.op not in ("paused", "ended"):
                raise LockstepBroken(
                    f"{self._url}: said {said.op!r} ({said.message}) where {' or '.join(ops)} was due. "
                    "Venue and feed are of different versions, or another client drives this venue."
                )
        raise LockstepBroken(f"{self._url}: asked for {ops} before go; this is a fault of the feed.")


class Buffers:
    """Frames of every socket until their slice is complete."""

    def __init__(self, names: list[str]) -> None:
        self._frames: dict[str, deque[bytes]] = {name: deque() for name in sorted(names)}
        self._wanted: dict[str, int] = {}
        self._lost: set[str] = set()
        self._complete = asyncio.Event()

    def put(self, name: str, frame: bytes) -> None:
        self._frames[name].append(frame)
        self._look()

    def lost(self, name: str) -> None:
        """The socket is gone: what has not come of this slice never will."""
        if name in self._wanted:
            self._wanted[name] = min(self._wanted[name], len(self._frames[name]))
            self._look()
        else:
            self._lost.add(name)

    @property
    def names(self) -> AbstractSet[str]:
        """The sockets."""
        return self._frames.keys()

    async def slice(
        self, frames: dict[str, int], timeout_seconds: float, *, down: Collection[str] = ()
    ) -> list[bytes]:
        """All frames announced, socket by socket. Raises TimeoutError.

        What the venue counted for a socket that is `down` it counted for one whose end it had not yet seen.
        """
        self._wanted = {name: frames.get(name, 0) if name not in down else 0 for name in self._frames}
        self._complete.clear()
        self._look()
        if self._lost and not self._complete.is_set():
            # The venue may have counted for a connection whose end it had not yet seen.
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOST_SECONDS):
                    await self._complete.wait()
            for name in self._lost:
                self._wanted[name] = min(self._wanted[name], len(self._frames[name]))
            self._look()
        if not self._complete.is_set():
            async with asyncio.timeout(timeout_seconds):
                await self._complete.wait()
        # All that is there and not only what was announced: an extra frame must not shift every later slice.
        taken = [frame for frames in self._frames.values() for frame in frames]
        self.clear()
        return taken

    def clear(self) -> None:
        """A venue that came back begins anew."""
        for frames in self._frames.values():
            frames.clear()
        self._wanted = {}
        self._lost.clear()

    def _look(self) -> None:
        frames = self._frames
        for name, many in self._wanted.items():
            if len(frames[name]) < many:
                return
        self._complete.set()
