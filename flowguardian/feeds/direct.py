"""A market read from memory as a feed: no venue, no sockets, the same rows.

Rule: slices of market time, as fast as the engine takes them or paced by the monotonic clock; what is sliced
how decides nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import numpy as np
import numpy.typing as npt

from flowguardian.feeds.base import Cursor, Released
from flowguardian.feeds.blocks import stamp
from flowguardian.feeds.markets import Market
from flowguardian.feeds.quality import DataQuality

SLICE_NS = 60_000_000_000
"""Market time per turn when running as fast as it will go."""
PACED_SLICE_NS = 250_000_000
"""Market time per turn at 1×, grown with the speed."""
_LEAST_PATIENCE_SECONDS = 60.0


class DirectFeed:
    """The rows of a market from the cursor on; `speed` 0 is as fast as it will go."""

    def __init__(self, market: Market, speed: float, history_bars: int) -> None:
        self.instruments, self.feed_kind = tuple(market.instruments), market.feed_kind
        self.start_ns = market.start_ns
        self._market, self._speed, self._history_bars = market, speed, history_bars
        self._slice_ns = SLICE_NS if speed == 0 else max(PACED_SLICE_NS, int(PACED_SLICE_NS * speed))
        slice_seconds = self._slice_ns / 1e9 / speed if speed else 0.0
        self.patience_seconds = max(_LEAST_PATIENCE_SECONDS, 2 * slice_seconds)
        self._from_ns = self._last_ns = 0

    async def start(self, cursor: Cursor) -> None:
        """Stand where the tape ends."""
        self._from_ns = max(self._market.start_ns, cursor.after_ns + 1)
        self._last_ns = max(cursor.after_ns, self._market.start_ns - 1)

    def history(self) -> npt.NDArray[np.void]:
        return self._market.history(self._market.start_ns, self._history_bars)

    async def released(self) -> AsyncIterator[list[Released]]:
        began_ns, began = self._from_ns, time.monotonic()
        while self._from_ns <= self._market.end_ns:
            # The clock row that stands exactly at the end belongs to the run.
            to_ns = min(self._from_ns + self._slice_ns, self._market.end_ns + 1)
            if self._speed:
                await self._wait_until(began + (to_ns - began_ns) / 1e9 / self._speed)
            rows = self._market.rows(self._from_ns, to_ns)
            self._from_ns = to_ns
            if len(rows):
                stamp(rows, self._last_ns)
                self._last_ns = int(rows["ts_ns"][-1])
            yield [rows] if len(rows) else []

    async def _wait_until(self, moment: float) -> None:
        await asyncio.sleep(max(0.0, moment - time.monotonic()))

    async def ack(self) -> None:
        """The next slice is read when it is asked for."""

    def stats(self) -> DataQuality | None:
        return None

    async def drain(self) -> list[Released]:
        return []

    async def close(self) -> None:
        """Nothing is open."""
