"""The network between one process and the venue: requests and connections that take time and may fail.

Rule: what was sent before a process died still arrives; what comes back to it is lost. Delays and losses are
drawn from the seed, in the order in which things are sent.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine, Generator, Mapping
from types import TracebackType
from typing import Any
from urllib.parse import urlencode, urlsplit

import aiohttp
import msgspec
from starlette.applications import Starlette
from websockets.exceptions import InvalidHandshake

from flowguardian.simulation.pipe import Client, Pipe
from flowguardian.venue.sockets import LINE, WIRE

_OPEN_SECONDS = 10.0
_KEY = aiohttp.client_reqrep.ConnectionKey("venue", 80, False, True, None, None, None)


class Weather(msgspec.Struct, frozen=True):
    """How the network is from a moment on, in seconds of the loop, until another one."""

    from_seconds: float
    to_seconds: float
    unreachable: bool = False
    """No connection comes about, so nothing is sent."""
    lost_requests: float = 0.0
    lost_replies: float = 0.0
    extra_seconds: float = 0.0
    """Added to each delay, times a draw."""


class Air:
    """What all networks of a run share: the venue's application, the weather, and chance."""

    def __init__(self, app: Starlette, weather: tuple[Weather, ...], base_seconds: float, seed: str) -> None:
        self.app, self._weather = app, weather
        self._base_seconds = base_seconds
        self.chance = random.Random(seed)  # noqa: S311 - a seeded draw, no secret
        self.seen: dict[str, int] = {}
        """How often each fault of the network was met."""
        self.tasks: set[asyncio.Task[Any]] = set()

    def now(self, now: float) -> Weather:
        """The weather of a moment."""
        return next((one for one in self._weather if one.from_seconds <= now < one.to_seconds), _FAIR)

    def delay(self, now: float) -> float:
        draw = self.chance.random()
        return self._base_seconds * (0.5 + draw) + self.now(now).extra_seconds * draw * draw

    def hit(self, rate: float, name: str) -> bool:
        """Whether something of a rate happens now."""
        if not rate or self.chance.random() >= rate:
            return False
        self.met(name)
        return True

    def met(self, name: str) -> None:
        self.seen[name] = self.seen.get(name, 0) + 1

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Something at the venue: it goes on whatever becomes of the client."""
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)


_FAIR = Weather(0.0, 0.0)


class MemoryNetwork:
    """The network as one process has it."""

    def __init__(self, air: Air) -> None:
        self.air = air
        self.dead = False
        self._pipes: list[Pipe] = []

    def session(self, timeout_seconds: float) -> Session:
        return Session(self, timeout_seconds)

    def connect(self, url: str, **options: Any) -> Connecting:
        return Connecting(self, url)

    def die(self) -> None:
        """The process is gone: its connections end, nothing more leaves."""
        self.dead = True
        for pipe in self._pipes:
            pipe.client.abort()

    def delay(self) -> float:
        return self.air.delay(asyncio.get_running_loop().time())

    def check(self) -> None:
        """Raise what keeps a connection from coming about."""
        if self.dead or self.air.now(asyncio.get_running_loop().time()).unreachable:
            self.air.met("unreachable")
            raise aiohttp.ClientConnectorError(_KEY, OSError("the network is unreachable"))

    # ---- sockets

    async def open(self, url: str) -> Client:
        self.check()
        loop = asyncio.get_running_loop()
        self._pipes = [one for one in self._pipes if not one.gone]
        pipe = Pipe(loop, self.delay)
        self._pipes.append(pipe)
        self.air.spawn(self._serve_socket(url, pipe))
        async with asyncio.timeout(_OPEN_SECONDS):
            status = await asyncio.shield(pipe.accepted)
        if status:
            raise InvalidHandshake(f"HTTP {status}")
        return pipe.client

    async def _serve_socket(self, url: str, pipe: Pipe) -> None:
        await asyncio.sleep(self.delay())
        scope = {"type": "websocket", "subprotocols": [], **_scope(url), "state": {WIRE: pipe}}
        await self.air.app(scope, pipe.receive, pipe.send)  # type: ignore[arg-type]

    # ---- requests

    async def ask(self, method: str, url: str, headers: Mapping[str, str], seconds: float) -> Answer:
        self.check()
        reply: asyncio.Future[Answer | None] = asyncio.get_running_loop().create_future()
        self.air.spawn(self._serve(method, url, headers, reply))
        async with asyncio.timeout(seconds):
            answer = await asyncio.shield(reply)
        if answer is None:
            raise aiohttp.ServerDisconnectedError
        return answer

    async def _serve(
        self, method: str, url: str, headers: Mapping[str, str], reply: asyncio.Future[Answer | None]
    ) -> None:
        loop, air = asyncio.get_running_loop(), self.air
        weather = air.now(loop.time())
        await asyncio.sleep(self.delay())
        if air.hit(weather.lost_requests, "request lost"):
            return
        line, parts = _Line(), _Parts()
        scope = {
            "type": "http",
            "http_version": "1.1",
            "method": method,
            **_scope(url),
            "state": {LINE: line},
        }
        scope["headers"] = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        await air.app(scope, _nothing_more, parts.send)  # type: ignore[arg-type]
        if air.hit(weather.lost_replies, "reply lost"):
            return
        await asyncio.sleep(self.delay())
        if not reply.done():
            reply.set_result(None if line.cut else Answer(parts.status, parts.headers, bytes(parts.body)))


def _scope(url: str) -> dict[str, Any]:
    parts = urlsplit(url)
    return {
        "path": parts.path, "raw_path": parts.path.encode(), "query_string": parts.query.encode(),
        "root_path": "", "headers": [], "client": ("client", 1), "server": ("venue", 80),
        "scheme": parts.scheme,
    }  # fmt: skip


async def _nothing_more() -> dict[str, Any]:
    return {"type": "http.request", "body": b"", "more_body": False}


class _Line:
    """The transport of a request, which the venue may cut."""

    cut = False

    def abort(self) -> None:
        self.cut = True


class _Parts:
    """What the venue answers, as it comes."""

    def __init__(self) -> None:
        self.status, self.headers, self.body = 0, dict[str, str](), bytearray()

    async def send(self, message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        else:
            self.body += message.get("body", b"")


class Answer:
    """An answer, as of aiohttp."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status, self.headers, self._body = status, headers, body
        self.content = self

    async def read(self, most: int = -1) -> bytes:
        """All of it the first time, then nothing."""
        body, self._body = self._body, b""
        return body


class Session:
    """An HTTP session, as of aiohttp."""

    def __init__(self, network: MemoryNetwork, seconds: float) -> None:
        self._network, self._seconds = network, seconds

    def request(self, method: str, url: str, *, headers: Mapping[str, str]) -> _Asking:
        return _Asking(lambda: self._network.ask(method, url, headers, self._seconds))

    def get(self, url: str, *, params: Mapping[str, str]) -> _Asking:
        whole = f"{url}?{urlencode(params)}" if params else url
        return _Asking(lambda: self._network.ask("GET", whole, {}, self._seconds))

    async def close(self) -> None:
        """Nothing is open."""


class _Asking:
    """A request to be entered."""

    def __init__(self, ask: Callable[[], Coroutine[Any, Any, Answer]]) -> None:
        self._ask = ask

    async def __aenter__(self) -> Answer:
        return await self._ask()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is open."""


class Connecting:
    """A connection to be awaited or entered."""

    def __init__(self, network: MemoryNetwork, url: str) -> None:
        self._network, self._url = network, url
        self._client: Client | None = None

    def __await__(self) -> Generator[Any, None, Client]:
        return self._network.open(self._url).__await__()

    async def __aenter__(self) -> Client:
        self._client = await self._network.open(self._url)
        return self._client

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._client is not None:
            await self._client.close()
