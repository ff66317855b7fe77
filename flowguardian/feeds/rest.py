"""The public REST interface of the venue, over aiohttp: one door, so that limits and refusals have one place.

Rule: before a request the limiter is asked, after it the limiter is told. A refusal that repeating cannot
change is VenueRefused; what may pass is tried again a bounded number of times with growing, jittered delays.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

import aiohttp
import numpy as np

from flowguardian.feeds.base import FeedError, QuestionRefused, VenueBanned, VenueRefused, VenueUnreachable
from flowguardian.feeds.limits import Limiter
from flowguardian.feeds.network import HOST, Network
from flowguardian.feeds.rest_answers import (
    Rows,
    UnreadableAnswer,
    VenueInfo,
    bars_of_klines,
    market_ns_of,
    problem_of,
    time_ms_of,
    trades_of,
    venue_of,
)
from flowguardian.feeds.wire import MILLISECOND_NS, AggTrade
from flowguardian.market.records import BAR, MINUTE_NS

PAGE = 1000
"""Most trades of one answer."""
_MOST_KLINES = 1500
_INTERVALS = {1: "1m", 3: "3m", 5: "5m", 15: "15m", 30: "30m", 60: "1h", 120: "2h", 240: "4h", 1440: "1d"}
_FORBIDDEN = frozenset({403, 451})
_TOO_MUCH = frozenset({418, 429})
_MOST_BYTES = 64 * 1024 * 1024


class Clock(Protocol):
    """The clocks of this host."""

    def mono_ns(self) -> int:
        """Monotonic time, sleep included."""

    def wall_ns(self) -> int:
        """Host UTC."""


class Rest:
    """Requests to one venue; `offset_ns` added to the monotonic clock is the venue's time."""

    def __init__(
        self,
        base: str,
        limiter: Limiter,
        clock: Clock,
        *,
        attempts: int = 4,
        first_delay_seconds: float = 0.25,
        timeout_seconds: float = 10.0,
        patience_seconds: float,
        network: Network = HOST,
        jitter: Callable[[], float] = random.random,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.limiter = limiter
        self.offset_ns = 0
        self.skew_ns = 0
        """By how much the venue's clock moved against ours since the offset was set."""
        self._measured = False
        self._slice_ns = 0
        """Where market time stands that comes in slices; 0 = it does not, or not yet."""
        self._minutes_ns = 0
        """What is added to it for host UTC: whole minutes, so the same market meets the same limits."""
        self._base, self._clock = base, clock
        self._attempts, self._first_delay = attempts, first_delay_seconds
        self._patience_ms = int(patience_seconds * 1000)
        self._jitter, self._sleep = jitter, sleep
        self._network, self._timeout_seconds = network, timeout_seconds
        self._session: aiohttp.ClientSession | None = None

    def now_ns(self) -> int:
        """The venue's time by the offset measured."""
        return self._clock.mono_ns() + self.offset_ns

    def set_now(self, now_ns: int) -> None:
        """In slices the venue's time is what the last one said; limits and bans go by it as well."""
        if not self._slice_ns:
            # Rounded up: a ban that was over by this host's clock stays over.
            self._minutes_ns = -(-(self._clock.wall_ns() - now_ns) // MINUTE_NS) * MINUTE_NS
        self._slice_ns = now_ns
        self.offset_ns = now_ns - self._clock.mono_ns()

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    # ---- what is asked

    async def measure_clock(self, *, keep: bool = False) -> None:
        """Measure venue time against the monotonic clock; `keep` leaves the offset and notes the skew."""
        best_ns, offset_ns = 0, 0
        for _ in range(3):
            before = self._clock.mono_ns()
            body = await self._get("/fapi/v1/time", {}, 1)
            after = self._clock.mono_ns()
            if not best_ns or after - before < best_ns:
                best_ns = max(1, after - before)
                offset_ns = time_ms_of(body) * MILLISECOND_NS - (before + after) // 2
        if keep:
            self.skew_ns = offset_ns - self.offset_ns
        else:
            self.offset_ns, self.skew_ns, self._measured = offset_ns, 0, True

    async def venue_info(self, symbols: Sequence[str]) -> VenueInfo:
        found = venue_of(await self._get("/fapi/v1/exchangeInfo", {}, 1), symbols)
        if found.weight_limit:
            self.limiter.limit = found.weight_limit
        return found

    async def trades(self, symbol: str, from_id: int | None, limit: int = PAGE) -> list[AggTrade]:
        """Trades from an id on, or the last ones."""
        params = {"symbol": symbol, "limit": str(limit)}
        if from_id is not None:
            params["fromId"] = str(from_id)
        return trades_of(await self._get("/fapi/v1/aggTrades", params, 20), symbol)

    async def bars(self, symbol: str, before_ns: int, bar_ns: int, many: int) -> Rows:
        """Up to `many` bars that were closed before a time; one page."""
        limit = min(max(many, 1) + 1, _MOST_KLINES)
        params = {
            "symbol": symbol,
            "interval": _INTERVALS[bar_ns // MINUTE_NS],
            "endTime": str(before_ns // MILLISECOND_NS - 1),
            "limit": str(limit),
        }
        weight = 1 if limit < 100 else 2 if limit < 500 else 5 if limit <= 1000 else 10
        body = await self._get("/fapi/v1/klines", params, weight)
        return bars_of_klines(body, symbol, before_ns, bar_ns)[-many:] if many else np.zeros(0, BAR)

    async def operate(self, operator: str, what: str) -> int:
        """Pause or resume our own venue; returns its market time. Raises FeedError."""
        if self._session is None:
            self._session = self._network.session(self._timeout_seconds)
        try:
            async with self._session.post(f"{operator}/{what}") as answer:
                return market_ns_of(await answer.content.read(_MOST_BYTES))
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise VenueUnreachable(
                f"{operator}/{what}: {type(error).__name__}: {error}. Start the venue; the run resumes."
            ) from error

    # ---- how it is asked

    async def _get(self, path: str, params: Mapping[str, str], weight: int) -> bytes:
        failed = "nothing was tried"
        for attempt in range(self._attempts):
            await self._wait_for_room(path, weight)
            try:
                status, headers, body = await self._request(path, params, weight)
            except (TimeoutError, aiohttp.ClientError, OSError) as error:
                failed = f"{type(error).__name__}: {error}"
            else:
                if status == 200:
                    return body
                failed = self._judge(path, status, headers, body)
            if attempt + 1 < self._attempts:
                await self._sleep(self._first_delay * 2**attempt * (0.5 + self._jitter() / 2))
        raise VenueUnreachable(
            f"{self._base}{path}: {self._attempts} attempts failed, the last with {failed}. "
            "Look at the network and at the venue's status page; the run resumes where it stopped."
        )

    async def _wait_for_room(self, path: str, weight: int) -> None:
        while wait_ms := self.limiter.wait_ms(weight, self.run_ms()):
            # Between two slices no time passes, however long this waits.
            if wait_ms > self._patience_ms or self._slice_ns:
                raise VenueBanned(
                    f"{self._base}{path}: the venue asked for silence for another {wait_ms // 1000} s "
                    f"({self.limiter.reason}). Nothing is sent until then; do not restart in a loop."
                )
            await self._sleep(wait_ms / 1000)

    async def _request(
        self, path: str, params: Mapping[str, str], weight: int
    ) -> tuple[int, Mapping[str, str], bytes]:
        if self._session is None:
            self._session = self._network.session(self._timeout_seconds)
        self.limiter.sent(weight, self.run_ms())
        async with self._session.get(self._base + path, params=params) as answer:
            body = await answer.content.read(_MOST_BYTES)
            while len(body) < _MOST_BYTES and (more := await answer.content.read(_MOST_BYTES - len(body))):
                body += more
            self.limiter.answered(answer.headers, self.run_ms())
            return answer.status, dict(answer.headers), body

    def _judge(self, path: str, status: int, headers: Mapping[str, str], body: bytes) -> str:
        """What a status other than 200 means: raises when repeating is of no use, else says what failed."""
        problem = problem_of(body)
        said = f"HTTP {status} {problem.code} {problem.msg}".strip()
        if status in _TOO_MUCH:
            text = body[:500].decode("utf-8", "replace")
            venue_ms = self.now_ns() // MILLISECOND_NS if self._measured else None
            self.limiter.refused(status, headers, text, self.run_ms(), venue_ms, host_ms=self._host_ms())
        elif status in _FORBIDDEN:
            raise VenueRefused(
                f"{self._base}{path}: {said}. The venue refuses this address (firewall or country); "
                "repeating would make it worse. Use another network or another venue."
            )
        elif 400 <= status < 500:
            raise QuestionRefused(f"{self._base}{path}: {said}. Correct the symbol or the setting it names.")
        return said

    def _host_ms(self) -> int:
        return self.wall_ns() // MILLISECOND_NS

    def wall_ns(self) -> int:
        """Host UTC."""
        return self._clock.wall_ns()

    def run_ms(self) -> int:
        """Host UTC; in slices it moves with the market: a minute of silence is a minute of market time."""
        now_ns = self._slice_ns + self._minutes_ns if self._slice_ns else self._clock.wall_ns()
        return now_ns // MILLISECOND_NS


RECOVERABLE: tuple[type[Exception], ...] = (FeedError, UnreadableAnswer)
"""What a running feed lives with: the question is asked again later, or its deadline passes."""
