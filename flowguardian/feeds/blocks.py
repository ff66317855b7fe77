"""Sorted streams of market rows become one, in blocks of time that are made once and cut at will.

Rule: the order is (venue_ns, kind, symbol, id) with the clock row first, whatever slices are asked for;
`stamp` is the only place that stamps recorded rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from numba import njit

from flowguardian.market.records import NO_SYMBOL, ROW, Kind

Rows = npt.NDArray[np.void]
Ints = npt.NDArray[np.int64]

_BLOCK_ROWS = 100_000
_LONGEST_BLOCK_MINUTES = 24 * 60
_KEPT_BLOCKS = 2
_CLOCK = int(Kind.CLOCK)


@njit(cache=True, nogil=True)
def _stamp(rows: Rows, after_ns: int) -> None:
    last = after_ns
    for i in range(len(rows)):
        last = max(rows[i].venue_ns, last + 1)
        rows[i].ts_ns = last


def stamp(rows: Rows, after_ns: int) -> Rows:
    """Stamps rows in place with max(venue time, last stamp + 1) and returns them."""
    _stamp(rows, after_ns)
    return rows


@njit(cache=True, nogil=True)
def _order(rows: Rows, heads: Ints, ends: Ints, out: Ints) -> None:
    """The indices that merge sorted streams, rows[heads[s]:ends[s]], by (venue_ns, kind, symbol, id)."""
    streams = len(heads)
    venue, rank = np.empty(streams, np.int64), np.empty(streams, np.int64)
    moved = -1
    for k in range(len(out)):
        for s in range(streams):
            if (moved < 0 or s == moved) and heads[s] < ends[s]:
                row = rows[heads[s]]
                kind = 0 if row.kind == _CLOCK else np.int64(row.kind)
                venue[s], rank[s] = row.venue_ns, kind << 16 | np.int64(row.symbol)
        best = -1
        for s in range(streams):
            if heads[s] == ends[s]:
                continue
            if best >= 0 and venue[s] > venue[best]:
                continue
            earlier = best < 0 or venue[s] < venue[best] or rank[s] < rank[best]
            if earlier or (rank[s] == rank[best] and rows[heads[s]].id < rows[heads[best]].id):
                best = s
        out[k] = heads[best]
        heads[best] += 1
        moved = best


def merge(streams: Sequence[Rows]) -> Rows:
    """One array of several, each sorted by (venue_ns, kind, symbol, id), in that order; clock rows first."""
    rows = np.concatenate(streams) if streams else np.zeros(0, ROW)
    ends = np.cumsum([len(stream) for stream in streams], dtype=np.int64)
    heads = ends - np.array([len(stream) for stream in streams], np.int64)
    order = np.empty(len(rows), np.int64)
    _order(rows, heads, ends, order)
    return rows[order]


def clock_rows(from_ns: int, to_ns: int, interval_ns: int) -> Rows:
    """A CLOCK row at every multiple of the interval in [from, to)."""
    times = np.arange(-(-from_ns // interval_ns) * interval_ns, to_ns, interval_ns, dtype=np.int64)
    rows = np.zeros(len(times), ROW)
    rows["kind"], rows["symbol"], rows["venue_ns"] = _CLOCK, NO_SYMBOL, times
    return rows


class Blocks:
    """Cuts any span of time out of whole blocks, made once and kept while they are current."""

    def __init__(
        self, make: Callable[[int, int], list[Rows]], *, clock_interval_ns: int, block_ns: int, phase_ns: int
    ) -> None:
        self._make, self._clock_interval_ns = make, clock_interval_ns
        self._block_ns, self._phase_ns = block_ns, phase_ns
        self._kept: dict[int, tuple[Rows, Ints]] = {}

    def rows(self, from_ns: int, to_ns: int) -> Rows:
        first = (from_ns - self._phase_ns) // self._block_ns
        last = (to_ns - 1 - self._phase_ns) // self._block_ns
        parts = [np.zeros(0, ROW)]
        for number in range(first, last + 1):
            rows, venue_ns = self._block(number)
            low, high = venue_ns.searchsorted((from_ns, to_ns))
            parts.append(rows[low:high])
        # Always a copy: the caller stamps its rows, and a block is cut more than once.
        return np.concatenate(parts) if len(parts) != 2 else parts[1].copy()

    def _block(self, number: int) -> tuple[Rows, Ints]:
        if number not in self._kept:
            low = self._phase_ns + number * self._block_ns
            high = low + self._block_ns
            rows = merge([clock_rows(low, high, self._clock_interval_ns), *self._make(low, high)])
            while len(self._kept) >= _KEPT_BLOCKS:
                del self._kept[next(iter(self._kept))]
            self._kept[number] = (rows, np.ascontiguousarray(rows["venue_ns"]))
        return self._kept[number]


def block_minutes(rows_per_minute: int) -> int:
    """How long a block should be, so that it is neither slow to make nor large to keep."""
    return min(max(1, _BLOCK_ROWS // max(1, rows_per_minute)), _LONGEST_BLOCK_MINUTES)
