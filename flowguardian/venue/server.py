"""The venue as a process: one port, one loop, REST and sockets around one market.

Rule: when it is ready it says so in one JSON line, and it ends by a signal or a command in order, keeping
its place in the market when it was given a file for that.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute

from flowguardian.feeds.markets import Market
from flowguardian.ops.platform_signals import on_stop_signal
from flowguardian.venue import errors
from flowguardian.venue.brackets import DEFAULT_LEVERAGE
from flowguardian.venue.desk import DEFAULT_BALANCE, Desk
from flowguardian.venue.endpoints import ControlEndpoint, StreamEndpoint, cancelled, host_ms
from flowguardian.venue.errors import Refusal
from flowguardian.venue.faults import Fault, FaultPlanError, Faults, Plan, plan_of
from flowguardian.venue.limits import Connections, Weights
from flowguardian.venue.market import VenueMarket
from flowguardian.venue.pacing import Pacer
from flowguardian.venue.place import Keeper
from flowguardian.venue.private import Private
from flowguardian.venue.rest import ROUTES, Rest
from flowguardian.venue.shapes import MILLISECOND_NS
from flowguardian.venue.signing import Keys
from flowguardian.venue.sockets import Line, Wire, cut_line
from flowguardian.venue.streams import Publisher
from flowguardian.venue.subscriptions import Hub
from flowguardian.venue.trading import Fees
from flowguardian.venue.trading_faults import TradingFaults
from flowguardian.venue.trading_log import TradingLog
from flowguardian.venue.user_stream import UserStreams

PING_SECONDS, PONG_SECONDS = 180.0, 600.0
"""The exchange pings every three minutes and waits ten for the pong."""
_MOST_FRAME_BYTES = 64 * 1024
_BACKLOG = 2048
_GRACE_SECONDS = 2
_KEEP_SECONDS = 1.0


class Ready(msgspec.Struct):
    """The line a venue prints when it can be used."""

    rest: str
    ws_public: str
    ws_market: str
    ws_private: str
    control: str
    api_key: str
    api_secret: str
    feed_kind: str


class Terms(NamedTuple):
    """What the account begins with; without keys nobody can trade."""

    keys: Keys = Keys()
    balance: int = DEFAULT_BALANCE
    """USDT, 1e-8."""
    fees: Fees = Fees()
    leverage: int = DEFAULT_LEVERAGE
    slippage: int | None = None
    """1e-8 ratio: takers meet the fill rule of the paper broker instead of the book that is published."""
    ledger: Path | None = None
    """File that keeps the account; it stands beside the one that keeps the place."""


class VenueServer:
    """One venue with its parts put together."""

    def __init__(
        self, market: Market, *, speed: float, plan: Plan | None = None, has_funding: bool = False,
        keeper: Keeper | None = None, waits: bool = False, terms: Terms | None = None,
    ) -> None:  # fmt: skip
        terms = terms or Terms()
        plan = plan or Plan([])
        self.faults = Faults(plan, market.symbols, market.start_ns)
        self.market = VenueMarket(market, rewriter=self.faults, has_funding=has_funding)
        self.keeper = keeper or Keeper(None)
        place = self.keeper.read(speed)
        if place is not None:
            self.market.jump(place.now_ns)
        self.hub = Hub()
        self.pacer = Pacer(
            self.market, self.hub, Publisher(self.market, self.hub, self.faults), self.faults, speed
        )
        self.log = TradingLog(terms.ledger)
        trading_faults = TradingFaults(self.faults)
        self.desk = self.pacer.desk = Desk(
            self.market, trading_faults, keys=terms.keys, balance=terms.balance, fees=terms.fees,
            leverage=terms.leverage, slippage=terms.slippage, log=self.log,
        )  # fmt: skip
        self.desk.send = UserStreams(self.market, self.hub, self.faults).send
        self._private = Private(self.desk)
        if waits and (place is None or place.paused):
            # Somebody who listens says when it begins; a market whose venue died was never stopped.
            self.pacer.pause()
        self._rest = Rest(self.market, self.faults)
        self._weights: dict[str, Weights] = {}
        self._requests = 0

    def app(self) -> Starlette:
        streams, control = StreamEndpoint(self.pacer, Connections()), ControlEndpoint(self.pacer)
        paths = ["/ws", "/stream", "/ws/{streams:path}"]
        paths += [f"/{category}{path}" for category in ("public", "market", "private") for path in paths[:3]]
        return Starlette(
            routes=[
                *(WebSocketRoute(path, streams) for path in paths),
                WebSocketRoute("/control", control),
                Route("/control/faults", self._faults, methods=["GET", "POST", "DELETE"]),
                Route("/control/pause", self._pause, methods=["POST"]),
                Route("/control/resume", self._resume, methods=["POST"]),
                Route("/control/status", self._status, methods=["GET"]),
                Route("/control/ledger", self._ledger, methods=["GET"]),
                Route("/{path:path}", self._api, methods=["GET", "POST", "PUT", "DELETE"]),
            ],
        )

    # ---- REST

    async def _api(self, request: Request) -> Response:
        path, headers = request.url.path, {}
        address = request.client.host if request.client else ""
        weights = self._weights.setdefault(address, Weights())
        venue_ms = self.market.now_ns // MILLISECOND_NS
        try:
            self._requests += 1
            fault = self.faults.rest(path, self.market.now_ns, self._requests)
            if fault is not None:
                return await self._failed(fault, weights, venue_ms)
            if path not in ROUTES or request.method != "GET":
                return await self._account(request, weights, venue_ms)
            weight = ROUTES[path].weight(request.query_params)
            weights.charge(weight, host_ms(), venue_ms, sliced=self.pacer.sliced)
            status, body = 200, self._rest.answer(path, request.query_params)
        except Refusal as refusal:
            status, headers = refusal.status, refusal.headers
            body = {"code": refusal.code, "msg": refusal.text}
        headers = {"X-MBX-USED-WEIGHT-1M": str(weights.used), **headers}
        return Response(msgspec.json.encode(body), status, headers, "application/json;charset=UTF-8")

    async def _account(self, request: Request, weights: Weights, venue_ms: int) -> Response:
        """A request about the account. Raises Refusal."""
        method, path = request.method, request.url.path
        weight = self._private.weight(method, path, request.query_params)
        weights.charge(weight, host_ms(), venue_ms, sliced=self.pacer.sliced)
        body = (await request.body()).decode("latin-1")
        key = request.headers.get("X-MBX-APIKEY", "")
        reply = self._private.handle(method, path, request.url.query, body, key, self._rest.now_ms)
        if reply.kept_seconds:
            await asyncio.sleep(reply.kept_seconds)
        if reply.dropped:
            await cut_line(request.scope)
        headers = {"X-MBX-USED-WEIGHT-1M": str(weights.used), **reply.headers}
        if isinstance(reply.body, str):
            kind = "text/html" if reply.body.startswith("<") else "text/plain"
            return Response(reply.body, reply.status, headers, kind)
        content = msgspec.json.encode(reply.body)
        return Response(content, reply.status or 200, headers, "application/json;charset=UTF-8")

    async def _failed(self, fault: Fault, weights: Weights, venue_ms: int) -> Response:
        """The answer that a fault asks for."""
        if fault.status == 0:
            await asyncio.sleep(max(0.0, fault.seconds))
            return Response(b"", 504)
        headers = {"Retry-After": str(fault.retry_after_seconds)} if fault.retry_after_seconds else {}
        if fault.status == 429 and not fault.text:
            raise errors.too_many_requests(weights.limit, fault.retry_after_seconds or 60)
        if fault.status == 418 and not fault.text:
            seconds = fault.retry_after_seconds or 120
            raise errors.banned(venue_ms + seconds * 1000, seconds)
        if fault.code:
            raise Refusal(fault.status, fault.code, fault.text, headers)
        text = fault.text or _PAGES.get(fault.status, "Service Unavailable")
        return Response(text, fault.status, headers, "text/html" if text.startswith("<") else "text/plain")

    # ---- the operator

    async def _faults(self, request: Request) -> Response:
        now_ns = self.market.now_ns
        if request.method == "DELETE":
            self.faults.clear(now_ns)
        elif request.method == "POST":
            try:
                plan = plan_of(await request.body())
            except FaultPlanError as error:
                return Response(msgspec.json.encode({"error": str(error)}), 400)
            self.faults.add(plan.faults, now_ns)
            self.desk.begin()
            self.desk.commit()
            self.pacer.nudge()
        return Response(msgspec.json.encode({"now_ns": now_ns, "faults": self.faults.active}))

    async def _pause(self, request: Request) -> Response:
        self.pacer.pause()
        self.keep()
        return await self._status(request)

    def keep(self) -> None:
        """Write down a planned stop."""
        self.keeper.write(self.market.now_ns, paused=True, durable=True)

    async def _resume(self, request: Request) -> Response:
        self.pacer.resume()
        self.keeper.write(self.market.now_ns, paused=False)
        return await self._status(request)

    async def _ledger(self, request: Request) -> Response:
        """All records of the account in integers (money 1e-8, cost of a position 1e-16)."""
        self.desk.begin()
        self.desk.commit()
        # The costs of positions have more digits than fit in 64 bits.
        return Response(json.dumps(self.desk.ledger()), media_type="application/json")

    async def _status(self, request: Request) -> Response:
        market = self.market
        return Response(
            msgspec.json.encode(
                {
                    "now_ns": market.now_ns, "start_ns": market.start_ns, "end_ns": market.end_ns,
                    "paused": self.pacer.paused, "connections": len(self.hub.connections),
                    "requests": self._requests,
                    "streams": sum(len(one.streams) for one in self.hub.connections),
                }
            )
        )  # fmt: skip


_PAGES = {
    403: "<html><head><title>403 Forbidden</title></head><body>Request blocked.</body></html>",
    451: '{"code":0,"msg":"Service unavailable from a restricted location according to the terms of use."}',
}


class _Server(uvicorn.Server):
    """A server that says when it is up, and whose signals are handled by this project."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.up.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(venue: VenueServer, *, host: str, port: int) -> None:
    """Serve until a signal; prints the ready line."""
    # The protocol is named so that asyncio switches the delaying of small packets off.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    if sys.platform != "win32":
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    config = uvicorn.Config(
        venue.app(), ws=Wire, http=Line, lifespan="off", log_config=None, access_log=False,
        ws_max_size=_MOST_FRAME_BYTES, ws_ping_interval=PING_SECONDS, ws_ping_timeout=PONG_SECONDS,
        ws_per_message_deflate=False, backlog=_BACKLOG, timeout_graceful_shutdown=_GRACE_SECONDS,
        timeout_keep_alive=75,
    )  # fmt: skip
    server = _Server(config)
    ready = asyncio.create_task(server.up.wait())
    loop = asyncio.get_running_loop()

    def stop(_name: str) -> None:
        server.should_exit = True
        loop.call_soon_threadsafe(venue.pacer.nudge)

    with on_stop_signal(stop):
        pacing = asyncio.create_task(venue.pacer.run())
        keeping = asyncio.create_task(_keep_place(venue))
        for task in (pacing, keeping):
            task.add_done_callback(lambda _task: setattr(server, "should_exit", True))
        serving = asyncio.create_task(server.serve([listener]))
        await asyncio.wait({serving, ready}, return_when=asyncio.FIRST_COMPLETED)
        if server.started:
            _announce(venue, listener.getsockname()[1], host)
        await serving
        for task in (pacing, keeping):
            if task.done():
                task.result()
            await cancelled(task)
        await cancelled(ready)
    venue.keep()
    venue.log.close()


async def _keep_place(venue: VenueServer) -> None:
    """Once a second, so that a venue that is killed knows where its market was."""
    while True:
        if not venue.pacer.paused:
            venue.keeper.write(venue.market.now_ns, paused=False)
        await asyncio.sleep(_KEEP_SECONDS)


def _announce(venue: VenueServer, port: int, host: str) -> None:
    lockstep = venue.pacer.speed != 1.0
    base = f"{host}:{port}"
    ready: Any = Ready(
        rest=f"http://{base}",
        ws_public=f"ws://{base}/public",
        ws_market=f"ws://{base}/market",
        ws_private=f"ws://{base}/private",
        control=f"ws://{base}/control" if lockstep else "",
        api_key=venue.desk.keys.key,
        api_secret=venue.desk.keys.secret,
        feed_kind=venue.market.feed_kind,
    )
    sys.stdout.write(msgspec.json.encode(ready).decode() + "\n")
    sys.stdout.flush()
