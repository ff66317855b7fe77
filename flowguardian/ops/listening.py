"""Listens to a venue for a while, with the feed that a run uses, and says what was heard.

Rule: what is counted is what the feed took as market, not frames; nothing is kept but the counts.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from flowguardian.feeds.base import Cursor, FeedOptions
from flowguardian.feeds.binance import BinanceFeed
from flowguardian.feeds.quality import DataQuality
from flowguardian.feeds.rest import Clock
from flowguardian.feeds.venues import Venue
from flowguardian.journal.ops_events import quantile_ms
from flowguardian.market.instruments import Instrument
from flowguardian.market.records import ROW, Kind

Rows = npt.NDArray[np.void]

CLASSES: dict[str, str] = {"trades": "aggTrade", "quotes": "bookTicker", "marks": "markPrice"}
"""Stream classes, and what the names of their streams contain."""
OWN_TIME = "local"
"""The venue whose market time is not that of this host."""
CLOSE_SECONDS = 10.0
HOUR_SECONDS = 3600.0


class StreamClass(msgspec.Struct, frozen=True):
    """What one class of streams delivered, and which symbols had nothing in it."""

    messages: int
    heard: tuple[str, ...]
    missing: tuple[str, ...]
    max_silence_seconds: float


class Heard(msgspec.Struct, frozen=True):
    """What a venue said; the offset is the venue's clock minus ours, None for a market time of its own."""

    venue: str
    seconds: float
    streams: dict[str, StreamClass]
    instruments: tuple[Instrument, ...]
    offset_ms: float | None
    latency_p50_ms: float
    latency_p99_ms: float
    tape_bytes_per_hour: float


class _Listener:
    """Counts what a started feed releases."""

    def __init__(self, feed: BinanceFeed, clock: Clock) -> None:
        self._feed, self._clock = feed, clock
        self._began_ns, self._before = clock.mono_ns(), feed.stats().counts
        self._venue_ns = feed.start_ns
        self._traded: set[int] = set()
        self._records = 0

    async def count(self) -> None:
        """Take what is released until nobody waits any more."""
        async for items in self._feed.released():
            self._take([item for item in items if isinstance(item, np.ndarray)])
            await self._feed.ack()

    def _take(self, arrays: Sequence[Rows]) -> None:
        # On a tape each array is a block, with a header of the size of a record.
        self._records += sum(map(len, arrays)) + len(arrays)
        for rows in arrays:
            self._traded.update(rows["symbol"][rows["kind"] == Kind.TRADE].tolist())

    def heard(self, venue: Venue) -> Heard:
        """Everything since the listener was made."""
        feed, clock, stats = self._feed, self._clock, self._feed.stats()
        seconds = (clock.mono_ns() - self._began_ns) / 1e9
        ahead_ns = stats.clock_offset_ns + clock.mono_ns() - clock.wall_ns()
        return Heard(
            venue=venue.name,
            seconds=seconds,
            streams={name: self._class(name, stats) for name in CLASSES},
            instruments=feed.instruments,
            offset_ms=None if venue.name == OWN_TIME else ahead_ns / 1e6,
            latency_p50_ms=quantile_ms(stats.latency_us, 0.50) or 0.0,
            latency_p99_ms=quantile_ms(stats.latency_us, 0.99) or 0.0,
            tape_bytes_per_hour=self._records * ROW.itemsize * HOUR_SECONDS / seconds,
        )

    def _class(self, name: str, stats: DataQuality) -> StreamClass:
        now, before = stats.counts, self._before
        messages = {
            "trades": now.trades - before.trades,
            "quotes": now.tops - before.tops,
            "marks": now.marks - before.marks,
        }
        symbols = self._feed.symbols
        heard = [symbol for index, symbol in enumerate(symbols) if self._delivered(name, index, symbol)]
        silences = [ns for stream, ns in stats.longest_silence_ns.items() if CLASSES[name] in stream]
        return StreamClass(
            messages=messages[name],
            heard=tuple(heard),
            missing=tuple(symbol for symbol in symbols if symbol not in heard),
            max_silence_seconds=max(silences, default=0) / 1e9,
        )

    def _delivered(self, name: str, index: int, symbol: str) -> bool:
        """A quiet symbol is proved alive by REST, which counts as fresh but is no trade that was heard."""
        if name == "trades":
            return index in self._traded
        fresh = self._feed.intake.freshness.heard_since(self._venue_ns)
        return any(CLASSES[name] in stream and stream.startswith(symbol.lower()) for stream in fresh)


def listen(
    venue: Venue, symbols: Sequence[str], options: FeedOptions, *, seconds: float, clock: Clock
) -> Heard:
    """Connect, listen and close; raises a FeedError, UnreadableAnswer, OSError or TimeoutError."""
    return asyncio.run(_listen(venue, symbols, options, seconds, clock))


async def _listen(
    venue: Venue, symbols: Sequence[str], options: FeedOptions, seconds: float, clock: Clock
) -> Heard:
    feed = BinanceFeed(venue, symbols, options, clock=clock)
    try:
        # The feed has its own gate for streams; this one is for a REST that is slow on top of it.
        async with asyncio.timeout(2 * options.gate_seconds):
            await feed.start(Cursor())
        listener = _Listener(feed, clock)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await listener.count()
        return listener.heard(venue)
    finally:
        async with asyncio.timeout(CLOSE_SECONDS):
            await feed.close()
