"""The sockets of the venue as ASGI applications: market streams, silent paths, and /control.

Rule: whatever a client sends gets an answer or a close code; a handler never ends by an exception of its own.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qs

import msgspec

from flowguardian.market.records import SECOND_NS
from flowguardian.venue.limits import Connections, Messages
from flowguardian.venue.pacing import Pacer, Session
from flowguardian.venue.sockets import wire_of
from flowguardian.venue.subscriptions import (
    CATEGORIES,
    LEGACY,
    MOST_REQUEST_BYTES,
    MOST_STREAMS,
    PRIVATE,
    UNREADABLE,
    Connection,
    answer,
)

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_TOO_BIG, _POLICY = 3001, 1008
_LEAST_SLICE_NS = SECOND_NS // 10


def host_ms() -> int:
    """The clock of the event loop: monotonic time, or the virtual time of a simulation."""
    return int(asyncio.get_running_loop().time() * 1000)


async def _refuse(scope: Scope, send: Send, status: int, text: bytes) -> None:
    """Answer a handshake by an ordinary response."""
    start = {"type": "websocket.http.response.start", "status": status, "headers": []}
    await send(start)
    await send({"type": "websocket.http.response.body", "body": text})
    wire_of(scope).handshake_complete = True  # Else the server calls this an unfinished one.


class StreamEndpoint:
    """/public, /market, /private (the account's events), the legacy /ws and /stream, which are silent."""

    def __init__(self, pacer: Pacer, connections: Connections) -> None:
        self._pacer, self._connections = pacer, connections
        self._number = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        query = {key: values[-1] for key, values in parse_qs(scope["query_string"].decode("latin-1")).items()}
        token = query.get("lockstep", "")
        market, faults = self._pacer.market, self._pacer.faults
        if faults.of("maintenance", market.now_ns):
            await _refuse(scope, send, 503, b"Service Unavailable")
            return
        if not token and not self._connections.admit(host_ms()):
            await _refuse(scope, send, 429, b"Too many connections; at most 300 per 5 minutes and IP.")
            return
        category, kind, streams = _asked(scope["path"], query)
        await send({"type": "websocket.accept"})
        self._number += 1
        connection = Connection(
            wire_of(scope), category, combined=kind == "stream", token=token,
            name=query.get("socket", ""), number=self._number,
        )  # fmt: skip
        connection.opened_ns = market.now_ns
        # Events of the account do not come by routes: see user_stream.py.
        connection.silent = category not in ("public", "market") or any(
            one.fault.path in ("*", category) for one in faults.of("silent_path", market.now_ns)
        )
        self._pacer.hub.add(connection, streams[:MOST_STREAMS])
        self._pacer.nudge()
        try:
            await self._talk(connection, receive, send)
        finally:
            self._pacer.hub.remove(connection)
            faults.forget(connection.key)

    async def _talk(self, connection: Connection, receive: Receive, send: Send) -> None:
        messages = Messages()
        while True:
            message = await receive()
            if message["type"] != "websocket.receive":
                return
            if connection.wire.muted:
                continue
            body = message.get("text") or message.get("bytes") or b""
            if len(body) > MOST_REQUEST_BYTES:
                await send({"type": "websocket.close", "code": _TOO_BIG, "reason": "illegal request"})
                return
            if not messages.admit(host_ms()):
                await send({"type": "websocket.close", "code": _POLICY, "reason": "Too many requests"})
                return
            reply = answer(self._pacer.hub, connection, body)
            self._pacer.nudge()
            await send({"type": "websocket.send", "text": reply.decode()})


def _asked(path: str, query: dict[str, str]) -> tuple[str, str, list[str]]:
    """Category, ws or stream, and the streams named by an address."""
    parts = [part for part in path.split("/") if part]
    category = parts.pop(0) if parts and parts[0] in CATEGORIES else LEGACY
    kind = parts.pop(0) if parts else "ws"
    named = query.get("streams", "").split("/") if kind == "stream" else parts
    if category == PRIVATE:
        # A listen key stands in the path or in the query.
        return category, kind, [name for name in (*named, query.get("listenKey", "")) if name]
    return category, kind, [name for name in named if "@" in name or name.startswith("!")]


class Command(msgspec.Struct):
    """What a lock-step client says."""

    op: str
    from_ns: int = 0
    slice_ns: int = SECOND_NS
    n: int = 0


class ControlEndpoint:
    """/control: slices of market time for a client of our own; no part of the dialect."""

    def __init__(self, pacer: Pacer) -> None:
        self._pacer = pacer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        token = parse_qs(scope["query_string"].decode("latin-1")).get("lockstep", [""])[-1]
        wire = wire_of(scope)

        def say(what: dict[str, Any]) -> None:
            wire.write_frames([msgspec.json.encode(what)])

        talk = _Talk(self._pacer, token or secrets.token_hex(8), say)
        try:
            while True:
                message = await receive()
                if message["type"] != "websocket.receive":
                    return
                body = message.get("text") or message.get("bytes") or b""
                try:
                    talk.take(msgspec.json.decode(body, type=Command))
                except UNREADABLE as error:
                    say({"op": "error", "message": f"no command: {error}"})
        finally:
            talk.lost()


class _Talk:
    """One control connection."""

    def __init__(self, pacer: Pacer, token: str, say: Callable[[dict[str, Any]], None]) -> None:
        self._pacer, self._token, self._say = pacer, token, say
        self._session: Session | None = None

    def take(self, command: Command) -> None:
        if command.op == "go":
            self._go(command)
        elif command.op == "ack":
            if self._session is None or not self._session.ack(command.n):
                self._say({"op": "error", "message": f"slice {command.n} is not on offer"})
        elif command.op in ("pause", "end"):
            if self._session is not None:
                self._pacer.left(self._session, planned=True)
                self._session = None
            else:
                self._pacer.pause()
            said = "paused" if command.op == "pause" else "ended"
            self._say({"op": said, "market_ns": self._pacer.market.now_ns})
        else:
            self._say({"op": "error", "message": f"{command.op!r} is none of go, ack, pause, end"})

    def _go(self, command: Command) -> None:
        if self._pacer.speed == 1.0:
            self._say({"op": "error", "message": "at speed 1 the market runs by its own clock"})
            return
        if command.slice_ns < _LEAST_SLICE_NS:
            self._say({"op": "error", "message": f"slice_ns must be at least {_LEAST_SLICE_NS}"})
            return
        if self._session is not None:
            self._session.stop()
        self._session = Session(self._token, command.slice_ns, self._say)
        market_ns = self._pacer.go(self._session, command.from_ns)
        market = self._pacer.market
        self._say(
            {"op": "ready", "market_ns": market_ns, "end_ns": market.end_ns, "feed_kind": market.feed_kind}
        )
        if market_ns >= market.end_ns:
            self._say({"op": "finished"})

    def lost(self) -> None:
        if self._session is not None:
            self._pacer.left(self._session, planned=False)


async def cancelled(task: asyncio.Task[Any]) -> None:
    """End a task of ours and see how it ended."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
