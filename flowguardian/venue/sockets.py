"""The wires under sockets and requests: many frames in one write, silence, ends without a goodbye.

Rule: these are uvicorn's own protocols with doors added for the venue; nothing of the dialect is decided.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame

WIRE = "venue.wire"
"""Key of the wire in the state of a scope."""
LINE = "venue.line"
"""Key of the transport in the state of a scope of a request."""
_SMALL, _MEDIUM = 126, 1 << 16


def framed(payloads: Sequence[bytes]) -> bytes:
    """Text frames as a server sends them: final, unmasked, uncompressed."""
    parts: list[bytes] = []
    for payload in payloads:
        size = len(payload)
        if size < _SMALL:
            parts.append(bytes((0x81, size)))
        elif size < _MEDIUM:
            parts.append(b"\x81\x7e" + size.to_bytes(2))
        else:
            parts.append(b"\x81\x7f" + size.to_bytes(8))
        parts.append(payload)
    return b"".join(parts)


class Wire(WebSocketsSansIOProtocol):
    """One connection below ASGI."""

    muted = False
    """Half-open: nothing is read or written any more, and nothing says so."""

    async def run_asgi(self) -> None:
        self.scope["state"][WIRE] = self
        await super().run_asgi()

    @property
    def hears(self) -> bool:
        """Whether a frame that is written now can arrive."""
        up = self.handshake_complete and not self.close_sent and not self.disconnected
        return up and not self.muted and not self.transport.is_closing()

    @property
    def waiting_bytes(self) -> int:
        """What the client has not taken yet."""
        return self.transport.get_write_buffer_size()

    def write_frames(self, payloads: Sequence[bytes]) -> None:
        if self.hears:
            self.transport.write(framed(payloads))

    async def drained(self) -> None:
        """Until the client has taken enough; a mute or lost one is not waited for."""
        if self.hears:
            await self.writable.wait()

    def mute(self) -> None:
        """From now on like a line that a router dropped."""
        self.muted = True
        self.writable.set()
        self.transport.pause_reading()

    def cut(self) -> None:
        """End without a closing handshake."""
        self.transport.abort()

    def data_received(self, data: bytes) -> None:
        if not self.muted:
            super().data_received(data)

    def handle_close(self, event: Frame) -> None:
        super().handle_close(event)
        # Nobody waits for a client that has said goodbye and does not read any more.
        self.writable.set()

    def send_keepalive_ping(self) -> None:
        if not self.muted:
            super().send_keepalive_ping()

    def keepalive_timeout(self) -> None:
        if not self.muted:
            super().keepalive_timeout()


class Line(H11Protocol):
    """One HTTP connection below ASGI, which a handler may cut."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.app_state = {**self.app_state, LINE: transport}
        super().connection_made(transport)


async def cut_line(scope: Any) -> None:
    """End the connection of a request without an answer."""
    scope["state"][LINE].abort()
    await asyncio.sleep(0)  # The server hears of it in its next turn and then expects no answer.
    await asyncio.sleep(0)


def wire_of(scope: Any) -> Wire:
    """The wire of an ASGI scope."""
    found: Wire = scope["state"][WIRE]
    return found


async def all_drained(wires: Sequence[Wire]) -> None:
    """Back-pressure: the market waits for its slowest client."""
    waiting = [wire.drained() for wire in wires if not wire.writable.is_set()]
    if waiting:
        await asyncio.gather(*waiting)
