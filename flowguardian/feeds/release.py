"""Rows leave the feed: clock rows between them, stamps on them, gaps at their place as facts.

Rule: stamps increase strictly over everything this object ever released. In slices the order is
(venue time, kind, symbol, id) with the clock row first; live it is the order of release.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from flowguardian.execution.events import FeedGap
from flowguardian.feeds.base import Released
from flowguardian.feeds.blocks import clock_rows, stamp
from flowguardian.feeds.continuity import Lost, RowTuple
from flowguardian.market.records import ROW, Kind

Rows = npt.NDArray[np.void]


class Release:
    """The stamps of one run."""

    def __init__(self, symbols: Sequence[str], clock_interval_ns: int, after_ns: int) -> None:
        self._symbols = tuple(symbols)
        self._interval_ns = clock_interval_ns
        self.last_ns = after_ns
        """Stamp of the last released row."""
        self._tick_ns = 0

    def begin(self, from_ns: int) -> None:
        """The first clock row stands at the first multiple of the interval from here on."""
        self._tick_ns = -(-from_ns // self._interval_ns) * self._interval_ns

    @property
    def next_tick_ns(self) -> int:
        return self._tick_ns

    def live(self, out: Sequence[RowTuple | Lost], now_ns: int) -> list[Released]:
        """Rows of this moment after the clock rows that are due; a gap stands where the rows are missing."""
        released: list[Released] = []
        ticks = clock_rows(self._tick_ns, now_ns + 1, self._interval_ns)
        if len(ticks):
            self._tick_ns = int(ticks["venue_ns"][-1]) + self._interval_ns
            released.append(self._stamped_by_venue(ticks))
        held: list[RowTuple] = []
        for item in out:
            if isinstance(item, Lost):
                self._flush(held, now_ns, released)
                released.append(self._gap(item))
            else:
                held.append(item)
        self._flush(held, now_ns, released)
        return released

    def slice(self, out: Sequence[RowTuple | Lost], from_ns: int, to_ns: int) -> list[Released]:
        """The block of one slice of market time; gaps found in it come first."""
        released: list[Released] = [self._gap(item) for item in out if isinstance(item, Lost)]
        rows = np.array([item for item in out if not isinstance(item, Lost)], ROW)
        rows = np.concatenate([clock_rows(from_ns, to_ns, self._interval_ns), rows])
        if not len(rows):
            return released
        kind = np.where(rows["kind"] == Kind.CLOCK, 0, rows["kind"])
        rows = rows[np.lexsort((rows["id"], rows["symbol"], kind, rows["venue_ns"]))]
        released.append(self._stamped_by_venue(rows))
        return released

    def _flush(self, held: list[RowTuple], now_ns: int, released: list[Released]) -> None:
        if not held:
            return
        rows = np.array(held, ROW)
        rows["ts_ns"] = max(now_ns, self.last_ns + 1) + np.arange(len(rows))
        self.last_ns = int(rows["ts_ns"][-1])
        released.append(rows)
        held.clear()

    def _stamped_by_venue(self, rows: Rows) -> Rows:
        stamp(rows, self.last_ns)
        self.last_ns = int(rows["ts_ns"][-1])
        return rows

    def _gap(self, lost: Lost) -> FeedGap:
        return FeedGap(self.last_ns, self._symbols[lost.symbol], lost.from_ns, lost.to_ns, lost.lost)
