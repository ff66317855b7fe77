"""Signs requests to the local venue for tests, and starts one whose market time is the host's.

Rule: nothing of the program's own clients is used; a request is signed by hand, as the exchange documents it.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from websockets.asyncio.client import connect
from websockets.sync.client import connect as follow

from tests.venue_process import Answer

UNIT = 100_000_000
WITHIN_SECONDS = 30


def clocked(*more: str) -> tuple[str, ...]:
    """Arguments of a venue whose market time is the host's, a little ahead of it by the time it is up."""
    start = datetime.now(UTC) + timedelta(seconds=20)
    return ("--start", start.strftime("%Y-%m-%dT%H:%M:%S"), "--speed", "1", *more)


class Trader:
    """The account of a running venue."""

    def __init__(self, venue: Any) -> None:
        self.venue = venue
        self.events: list[Any] = []
        self.last = 0.0
        self.key, self.secret = venue.addresses["api_key"], venue.addresses["api_secret"]

    def now_ms(self) -> int:
        return int(self.venue.get("/fapi/v1/time").json()["serverTime"])

    def signed(self, **params: Any) -> str:
        query = urlencode({"timestamp": self.now_ms(), **params})
        made = hmac.new(self.secret.encode(), query.encode(), hashlib.sha256).hexdigest()
        return f"{query}&signature={made}"

    def ask(self, method: str, path: str, **params: Any) -> Answer:
        return self.send(method, f"{path}?{self.signed(**params)}")

    def send(self, method: str, path: str, body: bytes | None = None, key: str | None = None) -> Answer:
        headers = {"X-MBX-APIKEY": self.key if key is None else key}
        request = urllib.request.Request(self.venue.rest + path, body, headers, method=method)  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310 - loopback
                return Answer(answer.status, answer.headers, answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, error.headers, error.read())

    def get(self, path: str, **params: Any) -> Any:
        answer = self.ask("GET", path, **params)
        assert answer.status == 200, answer.body
        return answer.json()

    def order(self, side: str, quantity: object, price: object = None, **more: Any) -> Any:
        """A market order, or a limit one at a price; the answer of its result."""
        params = {"symbol": "BTCUSDT", "side": side, "quantity": quantity, "newOrderRespType": "RESULT"}
        kind = {"type": "MARKET"}
        if price is not None:
            kind = {"type": "LIMIT", "price": str(price), "timeInForce": "GTC"}
        answer = self.ask("POST", "/fapi/v1/order", **{**params, **kind, **more})
        return answer.json()

    def stop(self, side: str, trigger: object, **more: Any) -> Any:
        params = {"algoType": "CONDITIONAL", "symbol": "BTCUSDT", "side": side, "type": "STOP_MARKET"}
        return self.ask("POST", "/fapi/v1/algoOrder", **{**params, "triggerPrice": trigger, **more}).json()

    def quoted(self, symbol: str = "BTCUSDT") -> tuple[float, float]:
        """The first bid and ask of a market that has just begun."""
        with follow(f"{self.venue.root}/public/ws/{symbol.lower()}@bookTicker") as socket:
            socket.recv(WITHIN_SECONDS)
        return self.top(symbol)

    def top(self, symbol: str = "BTCUSDT") -> tuple[float, float]:
        shown = self.venue.get(f"/fapi/v1/ticker/bookTicker?symbol={symbol}").json()
        return float(shown["bidPrice"]), float(shown["askPrice"])

    def ledger(self) -> Any:
        return json.loads(self.venue.get("/control/ledger").body)

    def key_of_stream(self) -> str:
        return str(self.send("POST", "/fapi/v1/listenKey").json()["listenKey"])


def events_of(trader: Trader, work: Any, until: Any, within: float = WITHIN_SECONDS) -> list[Any]:
    """User events from before `work()` (in a thread) until `until(events)` holds."""

    async def run() -> list[Any]:
        url = f"{trader.venue.root}/private/ws/{await asyncio.to_thread(trader.key_of_stream)}"
        async with connect(url, compression=None) as socket:
            await asyncio.to_thread(work)
            events: list[Any] = []
            while not until(events):
                events.append(json.loads(await asyncio.wait_for(socket.recv(), within)))
            return events

    return asyncio.run(run())


def account_balances(ledger: Any) -> None:
    """The books of the venue add up, from the fills alone."""
    account, trades = ledger["account"], ledger["trades"]
    assert ledger["difference"] == 0
    assert account["fees"] == sum(trade["fee"] for trade in trades)
    assert account["realised"] == sum(trade["realised"] for trade in trades)
    held: dict[str, int] = {}
    for trade in trades:
        held[trade["symbol"]] = held.get(trade["symbol"], 0) + trade["side"] * trade["qty"]
    assert held == {symbol: position["qty"] for symbol, position in account["positions"].items()}
    assert len({trade["id"] for trade in trades}) == len(trades)
    assert account["wallet"] == account["start"] + sum(income["amount"] for income in ledger["incomes"])
