"""The dashboard as a web server on loopback: the page, its data, and one door for commands.

Rule: it is bound to 127.0.0.1 and nothing else; every request passes the gate first (`gate.py`).
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from flowguardian import __version__
from flowguardian.cli.language import Language
from flowguardian.cli.output import CliError
from flowguardian.dashboard.gate import Gate, Keys
from flowguardian.dashboard.live import Live, TooManyPages
from flowguardian.dashboard.texts import texts
from flowguardian.dashboard.watch import NotBegun, RunWatch
from flowguardian.execution.events import Command
from flowguardian.ops.commands import CommandError, ask, is_acknowledged
from flowguardian.ops.platform_signals import on_stop_signal

HOST = "127.0.0.1"
ASKED_BY = "dashboard"
MOST_BODY_BYTES = 1024
MOST_CONNECTIONS = 64
GRACE_SECONDS = 2
TYPES: Mapping[str, str] = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}


class Asked(msgspec.Struct):
    """The body of a command."""

    command: Command


class Application:
    """The routes over one run."""

    def __init__(self, watch: RunWatch, keys: Keys) -> None:
        self.live = Live(watch)
        self._watch = watch
        self._keys = keys
        self._files = dict(_static(files("flowguardian.dashboard") / "static", ""))

    def app(self) -> ASGIApp:
        """The application behind its gate."""
        inner = Starlette(
            routes=[
                Route("/", self._index),
                Route("/static/{path:path}", self._static),
                Route("/api/hello", self._hello),
                Route("/api/events", self._events),
                Route("/api/curve/{name}", self._curve),
                Route("/api/bars/{symbol}", self._bars),
                Route("/api/explain/{seq:int}", self._explain),
                Route("/api/command", self._command, methods=["POST"]),
                Route("/api/command/{number:int}", self._command_state),
            ]
        )
        return Gate(inner, self._keys)

    # ---- the page

    async def _index(self, _request: Request) -> Response:
        return self._file("index.html")

    async def _static(self, request: Request) -> Response:
        return self._file(request.path_params["path"])

    def _file(self, name: str) -> Response:
        body = self._files.get(name)
        if body is None:
            return _said("there is no such file", 404)
        return Response(body, media_type=TYPES["." + name.rpartition(".")[2]])

    async def _hello(self, _request: Request) -> Response:
        settings = self._watch.settings
        return _json(
            {
                "version": __version__, "csrf": self._keys.csrf, "texts": texts(),
                "limits": {"points": settings.points, "bars": settings.bars, "rows": settings.rows},
            }
        )  # fmt: skip

    # ---- its data

    async def _events(self, _request: Request) -> Response:
        try:
            return EventStream(self.live)
        except TooManyPages:
            return _said("as many pages are open as the setting dashboard.clients allows", 503)

    async def _curve(self, request: Request) -> Response:
        try:
            return _json(await asyncio.to_thread(self._watch.curve, request.path_params["name"]))
        except KeyError:
            return _said("there is no such curve", 404)

    async def _bars(self, request: Request) -> Response:
        try:
            return _json(await asyncio.to_thread(self._watch.bars, request.path_params["symbol"]))
        except KeyError:
            return _said("there are no bars of such a symbol", 404)

    async def _explain(self, request: Request) -> Response:
        language: Language = "ko" if request.query_params.get("lang") == "ko" else "en"
        try:
            return _json(await asyncio.to_thread(self._watch.explained, request.path_params["seq"], language))
        except CliError as error:
            return _json(error.as_object(), 404)
        except NotBegun:
            return _said("the run has not begun", 404)

    # ---- its one door

    async def _command(self, request: Request) -> Response:
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > MOST_BODY_BYTES:
                return _said("a command is shorter than that", 413)
        try:
            asked = msgspec.json.decode(body, type=Asked)
        except msgspec.MsgspecError as error:
            return _said(f"not a command: {error}", 400)
        if not await asyncio.to_thread(self._watch.takes_commands):
            return _said("no engine of this run is alive to take a command", 409)
        try:
            number = await asyncio.to_thread(ask, self._watch.run_dir, asked.command, ASKED_BY)
        except CommandError as error:
            return _said(str(error), 503)
        return _json({"id": number, "command": asked.command.value}, 202)

    async def _command_state(self, request: Request) -> Response:
        done = await asyncio.to_thread(is_acknowledged, self._watch.run_dir, request.path_params["number"])
        return _json({"done": done})


class EventStream(Response):
    """Server-Sent Events for one page; raises TooManyPages when there is no place left."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._page = live.reserve()
        self._stream = StreamingResponse(live.stream(self._page), media_type="text/event-stream")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._stream(scope, receive, send)
        finally:
            self._live.release(self._page)


def _static(folder: Traversable, prefix: str) -> Iterator[tuple[str, bytes]]:
    """All files of the page with their paths: read once, so that no request ever reaches the disk."""
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _static(entry, f"{prefix}{entry.name}/")
        elif "." + entry.name.rpartition(".")[2] in TYPES:
            yield prefix + entry.name, entry.read_bytes()


def _json(answer: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(answer), status, media_type="application/json")


def _said(what: str, status: int) -> Response:
    return _json({"error": {"what": what}}, status)


# ---- the process


class _Server(uvicorn.Server):
    """A server that says when it is up, ends its streams first, and leaves signals to this project."""

    def __init__(
        self, config: uvicorn.Config, on_up: Callable[[], None], on_down: Callable[[], None]
    ) -> None:
        super().__init__(config)
        self._on_up, self._on_down = on_up, on_down

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_up()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._on_down()
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def listen(port: int) -> socket.socket:
    """A listening socket on loopback; raises OSError when the port is taken."""
    # The protocol is named so that asyncio switches the delaying of small packets off.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if sys.platform != "win32":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, port))
    except OSError:
        listener.close()
        raise
    return listener


async def serve(watch: RunWatch, listener: socket.socket, on_ready: Callable[[str], None]) -> None:
    """Serve until a signal; `on_ready` gets the address with its token once it answers."""
    keys = Keys()
    application = Application(watch, keys)
    config = uvicorn.Config(
        application.app(), http="h11", ws="none", lifespan="off", log_config=None, access_log=False,
        server_header=False, timeout_graceful_shutdown=GRACE_SECONDS, limit_concurrency=MOST_CONNECTIONS,
    )  # fmt: skip
    address = f"http://{HOST}:{listener.getsockname()[1]}/?token={keys.token}"
    server = _Server(config, lambda: on_ready(address), application.live.close)

    def stop(_name: str) -> None:
        server.should_exit = True

    with on_stop_signal(stop):
        looking = asyncio.create_task(application.live.run())
        looking.add_done_callback(lambda _task: stop(""))
        await server.serve([listener])
        if looking.done():
            # Whatever ended the looking ends the process with its reason.
            looking.result()
        looking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await looking
