"""A venue in a few lines for tests of the feed: REST and streams on one port, moved by the test's hand.

Rule: it does only what a test tells it; what it sends is by hand, so that nothing of the feed is in it.
"""

import asyncio
import contextlib
import json
from typing import Any

from aiohttp import WSMsgType, web

from flowguardian.feeds.venues import Venue

FILTERS = [
    {"filterType": "PRICE_FILTER", "tickSize": "0.10", "minPrice": "1", "maxPrice": "1000000"},
    {"filterType": "LOT_SIZE", "stepSize": "0.001", "minQty": "0.001", "maxQty": "1000"},
    {"filterType": "MARKET_LOT_SIZE", "stepSize": "0.001", "minQty": "0.001", "maxQty": "120"},
    {"filterType": "MIN_NOTIONAL", "notional": "100"},
]


class HandVenue:
    def __init__(self, symbols=("BTCUSDT",), now_ms=1_700_000_000_000):
        self.symbols, self._now_ms = symbols, now_ms
        self._running_since = None
        self.trades: dict[str, list[dict[str, Any]]] = {symbol: [] for symbol in symbols}
        self.answers = {}  # path → list of (status, headers, body) given before the real ones
        self.asked = []
        self.sockets = {}
        self.opened = 0
        self.shown = None  # highest trade id that REST shows
        self.until_ms = None  # in slices REST shows nothing of a later one
        self.slices = []
        self.control_said = []
        self.filters = FILTERS
        self.welcome = True  # whether a new socket gets a first frame of each of its streams
        self.refuse_sockets = 0
        self.answers_pings = True
        self.heard: list[tuple[WSMsgType, bytes]] = []
        self._update = 0

    @property
    def now_ms(self):
        """Where it stands; without slices it runs with the clock of the loop, as ages go by its events."""
        if self._running_since is None:
            return self._now_ms
        return self._now_ms + int((asyncio.get_running_loop().time() - self._running_since) * 1000)

    @now_ms.setter
    def now_ms(self, now_ms):
        self._now_ms = now_ms

    async def __aenter__(self):
        app = web.Application()
        app.router.add_get("/fapi/v1/{what}", self._rest)
        app.router.add_get("/{kind}/stream", self._stream)
        app.router.add_get("/control", self._control)
        self._runner = web.AppRunner(app, shutdown_timeout=0.2)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_):
        await self.cut()
        await self._runner.cleanup()

    def venue(self, *, lockstep=False):
        if not lockstep:
            self._running_since = asyncio.get_running_loop().time()
        base = f"127.0.0.1:{self.port}"
        control = f"ws://{base}/control" if lockstep else ""
        return Venue(
            "local", f"http://{base}", f"ws://{base}/public", f"ws://{base}/market", False, control, "local"
        )

    # ---- REST

    async def _rest(self, request):
        what = request.match_info["what"]
        self.asked.append((what, dict(request.query)))
        if self.answers.get(what):
            status, headers, body = self.answers[what].pop(0)
            return web.Response(status=status, headers=headers, text=body)
        made = {
            "time": lambda _: {"serverTime": self.now_ms},
            "exchangeInfo": self._info,
            "aggTrades": self._trades,
            "klines": self._klines,
        }[what](request.query)
        return web.json_response(made, headers={"X-MBX-USED-WEIGHT-1M": "7"})

    def _info(self, _query):
        symbols = [{"symbol": s, "status": "TRADING", "filters": self.filters} for s in self.symbols]
        limit = {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 2400}
        return {"symbols": symbols, "rateLimits": [limit]}

    def _trades(self, query):
        shown = [t for t in self.trades[query["symbol"]] if self.shown is None or t["a"] <= self.shown]
        shown = [t for t in shown if self.until_ms is None or t["T"] < self.until_ms]
        limit = int(query["limit"])
        if "fromId" in query:
            return [t for t in shown if t["a"] >= int(query["fromId"])][:limit]
        return shown[-limit:]

    def _klines(self, query):
        end = int(query["endTime"]) // 60_000 * 60_000
        opens = [end - 60_000 * back for back in range(int(query["limit"]))][::-1]
        return [
            [t, "10.0", "12.0", "9.0", "11.0", "5.500", t + 59_999, "0", 42, "0", "0", "0"] for t in opens
        ]

    # ---- streams

    async def _stream(self, request):
        self.opened += 1
        if self.refuse_sockets:
            self.refuse_sockets -= 1
            return web.Response(status=503)
        ws = web.WebSocketResponse(compress=False, autoping=self.answers_pings)
        await ws.prepare(request)
        name = request.query.get("socket", request.match_info["kind"])
        self.sockets.setdefault(name, []).append(ws)
        if self.welcome:
            for stream in request.query["streams"].split("/"):
                symbol = stream.split("@")[0].upper()
                if "@bookTicker" in stream:
                    await ws.send_str(self.top(symbol))
                elif "@markPrice" in stream:
                    await ws.send_str(self.mark(symbol))
        with contextlib.suppress(ConnectionError):
            async for message in ws:
                self.heard.append((message.type, bytes(message.data)))
        self.sockets[name].remove(ws)
        return ws

    async def send(self, name, *frames):
        for ws in list(self.sockets.get(name, ())):
            for frame in frames:
                await ws.send_str(frame)

    async def cut(self, *names):
        for name in names or list(self.sockets):
            for ws in list(self.sockets.get(name, ())):
                if ws._req is not None and ws._req.transport is not None:
                    ws._req.transport.abort()

    # ---- frames

    def trade(self, number, symbol="BTCUSDT", at_ms=None, price="100.0"):
        made = {"a": number, "p": price, "q": "0.500", "f": number, "l": number}
        made |= {"T": at_ms or self.now_ms, "m": False}
        self.trades[symbol].append(made)
        return _frame(symbol, "aggTrade", {"e": "aggTrade", "E": made["T"], "s": symbol} | made)

    def top(self, symbol="BTCUSDT", at_ms=None, bid="100.0", ask="100.1"):
        self._update += 1
        at_ms = at_ms or self.now_ms
        body = {"e": "bookTicker", "u": self._update, "s": symbol, "b": bid, "B": "1", "a": ask, "A": "2"}
        return _frame(symbol, "bookTicker", body | {"T": at_ms, "E": at_ms})

    def mark(self, symbol="BTCUSDT", at_ms=None, next_ms=None):
        self._update += 1
        at_ms = at_ms or self.now_ms + self._update
        body = {"e": "markPriceUpdate", "E": at_ms, "s": symbol, "p": "100.0", "i": "100.0", "r": "0.0001"}
        return _frame(symbol, "markPrice@1s", body | {"T": next_ms or self.now_ms + 8 * 3_600_000})

    # ---- slices

    async def _control(self, request):
        ws = web.WebSocketResponse(compress=False)
        await ws.prepare(request)
        go = json.loads((await ws.receive()).data)
        self.control_said.append(go)
        start = go["from_ns"] or self.now_ms * 10**6
        ready = {"op": "ready", "market_ns": start, "end_ns": start + 10**12, "feed_kind": "synthetic"}
        await ws.send_json(ready)
        self.sockets["control"] = [ws]
        while self.slices:
            from_ns, to_ns, frames = self.slices[0]
            if from_ns < start:
                self.slices.pop(0)
                continue
            number = len(self.control_said)
            self.until_ms = to_ns // 10**6
            up = {name: many if self.sockets.get(name) else [] for name, many in frames.items()}
            counts = {name: len(many) for name, many in up.items()}
            said = {"op": "slice", "n": number, "from_ns": from_ns, "to_ns": to_ns, "frames": counts}
            await ws.send_json(said)
            for name, many in up.items():
                await self.send(name, *many)
            answer = await ws.receive()
            if answer.type is not WSMsgType.TEXT:
                return ws
            self.control_said.append(json.loads(answer.data))
            if self.control_said[-1]["op"] != "ack":
                return ws
            self.slices.pop(0)
        await ws.send_json({"op": "finished"})
        last = await ws.receive()
        if last.type is WSMsgType.TEXT:
            self.control_said.append(json.loads(last.data))
        return ws


def _frame(symbol, kind, body):
    return json.dumps({"stream": f"{symbol.lower()}@{kind}", "data": body})


class HandClock:
    """A monotonic clock of the loop that tests may push forward."""

    def __init__(self, wall_ms=1_700_000_000_000):
        self.ahead_ns = 0
        self._wall_ms = wall_ms
        self._began = None

    def mono_ns(self):
        return int(asyncio.get_event_loop().time() * 1e9) + self.ahead_ns

    def wall_ns(self):
        if self._began is None:
            self._began = self.mono_ns()
        return self._wall_ms * 10**6 + self.mono_ns() - self._began
