"""Signed requests to a venue of the Binance USD-M dialect: sent once, and answered with yes, no or unknown.

Rule: a request that may have been executed is never sent again from here. What an answer proves is decided in
`outcome_of` and nowhere else; keys live in memory, and no text that leaves this module holds one.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlencode

import aiohttp
import msgspec

from flowguardian.feeds.limits import Limiter
from flowguardian.feeds.network import HOST, Network

RECV_WINDOW_MS = 5000
"""The venue refuses a request that arrives later than this after its timestamp (its documented default)."""
UNKNOWN_CODES = frozenset({-1000, -1001, -1006, -1007})
"""Codes that say nothing about execution (API documentation, error codes)."""
NOT_EXECUTED = ("Service Unavailable", "-1008")
"""Texts of a 503 that mean a definite failure (API documentation, general info, HTTP 503)."""
FILTERS = frozenset({-1111, -1013, -4003, -4005, -4014, -4023, -4164})
"""An order does not fit the filters of its symbol: they are not, or not any more, those known here."""
WRONG_TIME = -1021
"""The timestamp was too early or too late; the request was not executed."""
_TRADING_SHARE = 0.95
"""Of the request weight that orders, stops and cancels may use; questions leave them the difference."""
_TOO_MUCH = frozenset({418, 429})
_NS_PER_MS = 1_000_000


class Keys(NamedTuple):
    """An API key with its secret."""

    key: str
    secret: str

    def __repr__(self) -> str:
        return "Keys(…)"


class Refused(Exception):
    """The venue, or this host, did not execute the request: a definite no."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{code} {message}".strip())
        self.code, self.message = code, message


class OutcomeUnknown(Exception):
    """The request may have been executed; only the venue's records can say."""


class Signed:
    """The signed interface of one account at one venue."""

    def __init__(
        self,
        base: str,
        keys: Keys,
        limiter: Limiter,
        *,
        venue_ns: Callable[[], int],
        run_ms: Callable[[], int],
        network: Network = HOST,
        wall_ns: Callable[[], int] = time.time_ns,
        on_filters: Callable[[], None] = lambda: None,
        timeout_seconds: float = 10.0,
    ) -> None:
        self._base, self._keys, self._limiter = base, keys, limiter
        self._venue_ns, self._run_ms = venue_ns, run_ms
        self._ahead_ms = 0
        """What is added to the venue's time as this host knows it, once the venue called it wrong."""
        self._on_filters = on_filters
        self.network, self._wall_ns, self._timeout_seconds = network, wall_ns, timeout_seconds
        self._session: aiohttp.ClientSession | None = None

    async def get(self, path: str, weight: int, **params: object) -> Any:
        """An answer; raises Refused, OutcomeUnknown. Asking again is harmless."""
        return await self._send("GET", path, weight, params)

    async def post(self, path: str, weight: int, **params: object) -> Any:
        """Something done once; raises Refused (not done) or OutcomeUnknown."""
        return await self._send("POST", path, weight, params)

    async def put(self, path: str, weight: int, **params: object) -> Any:
        """Something renewed; raises Refused, OutcomeUnknown."""
        return await self._send("PUT", path, weight, params)

    async def delete(self, path: str, weight: int, **params: object) -> Any:
        """Something cancelled; raises Refused, OutcomeUnknown."""
        return await self._send("DELETE", path, weight, params)

    async def keyed(self, method: str, path: str) -> Any:
        """A request that carries the key alone; raises Refused, OutcomeUnknown."""
        return await self._send(method, path, 1, None)

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _send(self, method: str, path: str, weight: int, params: Mapping[str, object] | None) -> Any:
        try:
            return await self._once(method, path, weight, params)
        except Refused as error:
            if error.code in FILTERS:
                self._on_filters()
            if error.code != WRONG_TIME or params is None:
                raise
        # Refused for its timestamp alone, so it was not executed: ask what time it is, and say it again.
        await self._measure()
        return await self._once(method, path, weight, params)

    async def _measure(self) -> None:
        body = await self._once("GET", "/fapi/v1/time", 1, None)
        self._ahead_ms = int(body["serverTime"]) - self._venue_ns() // _NS_PER_MS

    async def _once(self, method: str, path: str, weight: int, params: Mapping[str, object] | None) -> Any:
        share = None if method == "GET" else _TRADING_SHARE
        wait_ms = self._limiter.wait_ms(weight, self._run_ms(), share=share)
        if wait_ms:
            raise Refused(0, f"not sent: the request limit leaves no room for another {wait_ms} ms")
        if self._session is None:
            self._session = self.network.session(self._timeout_seconds)
        url = f"{self._base}{path}" if params is None else f"{self._base}{path}?{self._query(params)}"
        self._limiter.sent(weight, self._run_ms())
        try:
            async with self._session.request(method, url, headers={"X-MBX-APIKEY": self._keys.key}) as answer:
                body = await answer.read()
                self._limiter.answered(answer.headers, self._run_ms())
                if answer.status in _TOO_MUCH:
                    text = body[:500].decode("utf-8", "replace")
                    venue_ms = self._venue_ns() // _NS_PER_MS
                    self._limiter.refused(
                        answer.status, answer.headers, text, self._run_ms(), venue_ms,
                        host_ms=self._wall_ns() // _NS_PER_MS,
                    )  # fmt: skip
                return outcome_of(answer.status, body)
        except aiohttp.ClientConnectorError as error:
            raise Refused(0, f"not sent: {type(error).__name__}") from None
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            # The text of such an error can hold the address, and with it the signature.
            raise OutcomeUnknown(type(error).__name__) from None

    def _query(self, params: Mapping[str, object]) -> str:
        given = {name: value for name, value in params.items() if value is not None}
        now_ms = self._venue_ns() // _NS_PER_MS + self._ahead_ms
        stamp = {"recvWindow": RECV_WINDOW_MS, "timestamp": now_ms}
        query = urlencode({**given, **stamp})
        signature = hmac.new(self._keys.secret.encode(), query.encode(), hashlib.sha256).hexdigest()
        return f"{query}&signature={signature}"


class Silent(Signed):
    """Asks and listens; what would change the account is refused here and never leaves."""

    async def post(self, path: str, weight: int, **params: object) -> Any:
        """Raises Refused."""
        raise Refused(0, "not sent: this run trades in the shadow")

    put = delete = post


class _Problem(msgspec.Struct):
    code: int = 0
    msg: str = ""


def outcome_of(status: int, body: bytes) -> Any:
    """The answer of a status and body; raises Refused for a definite no, OutcomeUnknown for what is open."""
    if status == 200:
        try:
            return msgspec.json.decode(body)
        except msgspec.DecodeError as error:
            raise OutcomeUnknown(f"an answer that cannot be read: {error}") from error
    try:
        problem = msgspec.json.decode(body, type=_Problem)
    except msgspec.DecodeError:
        problem = _Problem(0, body[:200].decode("utf-8", "replace"))
    said = f"HTTP {status} {problem.msg}".strip()
    if problem.code in UNKNOWN_CODES:
        raise OutcomeUnknown(f"{problem.code} {said}")
    if status >= 500:
        definite = problem.code == -1008 or problem.msg.startswith(NOT_EXECUTED)
        raise Refused(problem.code, said) if definite else OutcomeUnknown(f"{problem.code} {said}")
    raise Refused(problem.code, said)
