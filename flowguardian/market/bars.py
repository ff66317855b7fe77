"""Trades become bars: keyed by venue time, closed by the first later row or by the clock.

Rule: the same rows give the same bars for any split into chunks. Bars follow each other by exactly one
interval; an interval without a trade is a flat bar with `gap` set; a trade of a closed bar is counted late.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from flowguardian.market.records import BAR

OPEN_BAR = np.dtype(
    [
        ("start", "i8"),  # interval being built; 0 = nothing seen yet
        ("open", "i8"),
        ("high", "i8"),
        ("low", "i8"),
        ("close", "i8"),
        ("volume", "f8"),
        ("trades", "i8"),
        ("last", "i8"),  # last price known: fills gaps
        ("late", "i8"),  # trades that came after their bar had closed
    ]
)
NEVER = np.iinfo(np.int64).max
_UNIT = 1e-8


def new_open_bars(symbols: int) -> npt.NDArray[np.void]:
    """The bar under construction of each symbol."""
    return np.zeros(symbols, OPEN_BAR)


def room_for(span_ns: int, interval_ns: int) -> int:
    """How many bars a span can close at most."""
    return max(0, span_ns) // interval_ns + 3


@njit(cache=True, nogil=True)
def _emit(cur: Any, interval: Any, stamp: Any, out: Any, k: Any) -> Any:
    """Write the open bar (or a gap) and move on to the next interval."""
    bar = out[k]
    bar.open_ns = cur.start
    bar.close_ts = stamp
    bar.live = 1
    if cur.trades > 0:
        bar.open = cur.open
        bar.high = cur.high
        bar.low = cur.low
        bar.close = cur.close
        bar.volume = cur.volume
        bar.trades = cur.trades
        bar.gap = 0
    else:
        bar.open = cur.last
        bar.high = cur.last
        bar.low = cur.last
        bar.close = cur.last
        bar.volume = 0.0
        bar.trades = 0
        bar.gap = 1
    cur.start += interval
    cur.trades = 0
    cur.volume = 0.0


@njit(cache=True, nogil=True)
def first_at(stamps: Any, lo: Any, hi: Any, at: Any) -> Any:
    """First index in [lo, hi) with a stamp of at least `at`, else hi."""
    while lo < hi:
        middle = (lo + hi) // 2
        if stamps[middle] < at:
            lo = middle + 1
        else:
            hi = middle
    return lo


@njit(cache=True, nogil=True)
def _add(cur: Any, price: Any, qty: Any, lo: Any, hi: Any) -> None:
    """Add rows [lo, hi), all of the open bar."""
    high, low, volume = cur.high, cur.low, cur.volume
    for i in range(lo, hi):
        high = max(high, price[i])
        low = min(low, price[i])
        volume += qty[i] * _UNIT
    cur.high = high
    cur.low = low
    cur.volume = volume
    cur.close = cur.last = price[hi - 1]
    cur.trades += hi - lo


@njit(cache=True, nogil=True)
def _add_late_or_not(
    cur: Any, ts: Any, venue: Any, price: Any, qty: Any, i: Any, hi: Any, end: Any, due: Any
) -> Any:
    """Add rows from `i` on until the bar ends, counting the late ones; returns the row after them."""
    while i < hi and venue[i] < end and ts[i] < due:
        if venue[i] >= cur.start:
            _add(cur, price, qty, i, i + 1)
        else:
            cur.late += 1
        i += 1
    return i


@njit(cache=True, nogil=True)
def _deadline(clock: Any, c: Any, due: Any) -> Any:
    """Index of the first clock row at or after `due`, from index `c` on."""
    while c < len(clock) and clock[c] < due:
        c += 1
    return c


@njit(cache=True, nogil=True)
def close_bars(  # noqa: C901, PLR0912 - one loop over rows is what numba compiles best
    ts: Any,
    venue: Any,
    price: Any,
    qty: Any,
    lo: Any,
    hi: Any,
    clock: Any,
    in_order: Any,
    open_bars: Any,
    s: Any,
    interval: Any,
    grace: Any,
    out: Any,
) -> Any:
    """Build bars of symbol `s` from rows [lo, hi) and the chunk's clock; returns how many closed.

    `in_order` promises that venue times never go back from row to row. `open_bars` are the carried OPEN_BAR
    records, `out` BAR records with enough room (`room_for`). Returns -1 when a venue time lies more than an
    interval ahead of the row's own stamp.
    """
    cur = open_bars[s]
    k = 0
    c = 0
    due = NEVER
    if cur.start > 0:
        c = _deadline(clock, c, cur.start + interval + grace)
        due = clock[c] if c < len(clock) else NEVER
    i = lo
    while i < hi or due != NEVER:
        if k >= len(out):
            return -1
        if i >= hi or due < ts[i]:
            _emit(cur, interval, due, out, k)
            k += 1
        else:
            when = venue[i]
            if when > ts[i] + interval:
                return -1
            if cur.start == 0:
                cur.start = when // interval * interval
                c = _deadline(clock, c, ts[i])  # what the clock said before this row closes nothing
            if when < cur.start:
                cur.late += 1
                i += 1
                continue
            while when >= cur.start + interval:
                if k >= len(out):
                    return -1
                _emit(cur, interval, ts[i], out, k)
                k += 1
            end = cur.start + interval
            c = _deadline(clock, c, end + grace)
            due = clock[c] if c < len(clock) else NEVER
            if cur.trades == 0:
                cur.open = cur.high = cur.low = price[i]
            if in_order:
                stop = min(first_at(venue, i, hi, end), first_at(ts, i, hi, due))
                _add(cur, price, qty, i, stop)
                i = stop
            else:
                i = _add_late_or_not(cur, ts, venue, price, qty, i, hi, end, due)
            continue
        c = _deadline(clock, c, cur.start + interval + grace)
        due = clock[c] if c < len(clock) else NEVER
    return k


def history_bars(
    opens: npt.NDArray[np.void], open_bars: npt.NDArray[np.void], s: int, interval: int
) -> npt.NDArray[np.void]:
    """HISTORY records of symbol `s` as bars that never signal; its open bar follows the last of them.

    Intervals without a record are flat gap bars, as they would have been live; records of intervals that were
    seen already are passed over.
    """
    start = int(open_bars["start"][s])
    opens = opens[opens["venue_ns"] >= start] if start else opens
    if len(opens) == 0:
        return np.zeros(0, BAR)
    first = start or int(opens["venue_ns"][0])
    place = (opens["venue_ns"] - first) // interval
    bars = np.zeros(int(place[-1]) + 1, BAR)
    number = np.arange(len(bars))
    before = np.searchsorted(place, number, "right") - 1
    last = np.where(before >= 0, opens["d"][before], open_bars["last"][s])
    bars["open_ns"], bars["gap"] = first + number * interval, 1
    bars["close_ts"] = opens["ts_ns"][np.searchsorted(place, number)]
    for name, field in zip(("open", "high", "low", "close"), "abcd", strict=True):
        bars[name] = last
        bars[name][place] = opens[field]
    bars["volume"][place] = np.ascontiguousarray(opens["id"]).view(np.float64)
    bars["trades"][place] = opens["aux"]
    bars["gap"][place] = 0
    open_bars["start"][s] = bars["open_ns"][-1] + interval
    open_bars["last"][s] = bars["close"][-1]
    return bars
