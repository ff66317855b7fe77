"""A chunk of the tape as columns: trades and tops of each symbol side by side, clock rows apart.

Rule: a chunk holds all symbols up to one moment; what it says at a stamp never depends on later rows.
Trades of symbol `s` are `trade_ts[trade_at[s]:trade_at[s+1]]`, tops likewise. Stamps are unique on a tape.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from flowguardian.market.records import ROW, Flag, Kind

Ints = npt.NDArray[np.int64]
Rows = npt.NDArray[np.void]

_TRADE, _TOP, _CLOCK = int(Kind.TRADE), int(Kind.TOP), int(Kind.CLOCK)
_MATTERS = int(Flag.BACKFILLED | Flag.PATH)
NO_FLAGS = np.empty(0, np.uint8)
EMPTY = np.empty(0, np.int64)

PRICE, TRADE_TS, BID, BID_QTY, ASK, ASK_QTY, TOP_TS = range(7)
"""Fields of an observation and of a tail."""


class Columns(NamedTuple):
    """One chunk; `flags` is empty when no trade has one that matters to exits.

    `in_order`: venue times of a symbol never go back. `others` are the records of other kinds.
    """

    trade_ts: Ints
    trade_venue: Ints
    price: Ints
    qty: Ints
    flags: npt.NDArray[np.uint8]
    trade_at: Ints
    top_ts: Ints
    bid: Ints
    bid_qty: Ints
    ask: Ints
    ask_qty: Ints
    top_at: Ints
    clock: Ints
    others: Rows
    in_order: bool
    end_ns: int
    """Stamp of the last row."""


@njit(cache=True, nogil=True)
def _count(rows: Any, trade_at: Any, top_at: Any) -> Any:
    clocks = 0
    flagged = 0
    for row in rows:
        if row.kind == _TRADE:
            trade_at[row.symbol + 1] += 1
            flagged |= row.flags & _MATTERS
        elif row.kind == _TOP:
            top_at[row.symbol + 1] += 1
        elif row.kind == _CLOCK:
            clocks += 1
    for s in range(1, len(trade_at)):
        trade_at[s] += trade_at[s - 1]
        top_at[s] += top_at[s - 1]
    return clocks, flagged


@njit(cache=True, nogil=True)
def _fill(
    rows: Any,
    trade_at: Any,
    top_at: Any,
    ts: Any,
    venue: Any,
    price: Any,
    qty: Any,
    flags: Any,
    top_ts: Any,
    bid: Any,
    bid_qty: Any,
    ask: Any,
    ask_qty: Any,
    clock: Any,
) -> Any:
    """Spread the rows over the columns; True when no symbol's venue time goes back."""
    in_order = True
    trade_next = trade_at.copy()
    top_next = top_at.copy()
    clocks = 0
    for row in rows:
        if row.kind == _TRADE:
            i = trade_next[row.symbol]
            trade_next[row.symbol] = i + 1
            ts[i] = row.ts_ns
            venue[i] = row.venue_ns
            if i > trade_at[row.symbol] and venue[i] < venue[i - 1]:
                in_order = False
            price[i] = row.a
            qty[i] = row.b
            if len(flags) > 0:
                flags[i] = row.flags
        elif row.kind == _TOP:
            i = top_next[row.symbol]
            top_next[row.symbol] = i + 1
            top_ts[i] = row.ts_ns
            bid[i] = row.a
            bid_qty[i] = row.b
            ask[i] = row.c
            ask_qty[i] = row.d
        elif row.kind == _CLOCK:
            clock[clocks] = row.ts_ns
            clocks += 1
    return in_order


def partition(rows: Rows, symbols: int) -> Columns:
    """The columns of a block of tape rows (at least one)."""
    trade_at, top_at = np.zeros(symbols + 1, np.int64), np.zeros(symbols + 1, np.int64)
    clocks, flagged = _count(rows, trade_at, top_at)
    trades, tops = int(trade_at[-1]), int(top_at[-1])
    ts, venue, price, qty = (np.empty(trades, np.int64) for _ in range(4))
    flags = np.empty(trades, np.uint8) if flagged else NO_FLAGS
    top_ts, bid, bid_qty, ask, ask_qty = (np.empty(tops, np.int64) for _ in range(5))
    clock = np.empty(clocks, np.int64)
    in_order = _fill(
        rows, trade_at, top_at, ts, venue, price, qty, flags, top_ts, bid, bid_qty, ask, ask_qty, clock
    )
    others = rows[:0]
    if trades + tops + clocks < len(rows):
        kind = rows["kind"]
        others = rows[(kind != _TRADE) & (kind != _TOP) & (kind != _CLOCK)]
    return Columns(
        trade_ts=ts,
        trade_venue=venue,
        price=price,
        qty=qty,
        flags=flags,
        trade_at=trade_at,
        top_ts=top_ts,
        bid=bid,
        bid_qty=bid_qty,
        ask=ask,
        ask_qty=ask_qty,
        top_at=top_at,
        clock=clock,
        others=others,
        in_order=in_order,
        end_ns=int(rows["ts_ns"][-1]),
    )


def trades_only(ts: Ints, price: Ints, qty: Ints, trade_at: Ints, clock: Ints) -> Columns:
    """A chunk of trades without quotes whose stamps are the venue's times (backtests on trade files)."""
    last = max(int(ts.max(initial=0)), int(clock[-1]) if len(clock) else 0)
    none = np.zeros(len(trade_at), np.int64)
    top = (EMPTY, EMPTY, EMPTY, EMPTY, EMPTY, none)
    return Columns(ts, ts, price, qty, NO_FLAGS, trade_at, *top, clock, np.empty(0, ROW), True, last)


def new_tails(symbols: int) -> Ints:
    """The last trade and top of each symbol before a chunk: (symbols, 7), zeros = none yet."""
    return np.zeros((symbols, 7), np.int64)


@njit(cache=True, nogil=True)
def last_index(ts: Any, lo: Any, hi: Any, at: Any) -> Any:
    """Index of the last stamp <= `at` in ts[lo:hi], or -1."""
    low, high = lo, hi
    while low < high:
        middle = (low + high) // 2
        if ts[middle] <= at:
            low = middle + 1
        else:
            high = middle
    return low - 1 if low > lo else -1


@njit(cache=True, nogil=True)
def observe(
    at: Any,
    wanted: Any,
    count: Any,
    out: Any,
    trade_ts: Any,
    price: Any,
    trade_at: Any,
    top_ts: Any,
    bid: Any,
    bid_qty: Any,
    ask: Any,
    ask_qty: Any,
    top_at: Any,
    tails: Any,
) -> Any:
    """What was known at stamp `at`: out[0:7] of symbol wanted[0], then the last price of wanted[1:count]."""
    s = wanted[0]
    i = last_index(trade_ts, trade_at[s], trade_at[s + 1], at)
    out[0] = price[i] if i >= 0 else tails[s, 0]
    out[1] = trade_ts[i] if i >= 0 else tails[s, 1]
    i = last_index(top_ts, top_at[s], top_at[s + 1], at)
    if i >= 0:
        out[2] = bid[i]
        out[3] = bid_qty[i]
        out[4] = ask[i]
        out[5] = ask_qty[i]
        out[6] = top_ts[i]
    else:
        for k in range(2, 7):
            out[k] = tails[s, k]
    for k in range(1, count):
        s = wanted[k]
        i = last_index(trade_ts, trade_at[s], trade_at[s + 1], at)
        out[6 + k] = price[i] if i >= 0 else tails[s, 0]


@njit(cache=True, nogil=True)
def next_row(due: Any, s: Any, trade_ts: Any, trade_at: Any, top_ts: Any, top_at: Any) -> Any:
    """Stamp of the first trade or top of symbol `s` at or after `due`, or -1 when the chunk has none."""
    found = -1
    i = last_index(trade_ts, trade_at[s], trade_at[s + 1], due - 1)
    i = i + 1 if i >= 0 else trade_at[s]
    if i < trade_at[s + 1]:
        found = trade_ts[i]
    i = last_index(top_ts, top_at[s], top_at[s + 1], due - 1)
    i = i + 1 if i >= 0 else top_at[s]
    if i < top_at[s + 1] and (found < 0 or top_ts[i] < found):
        found = top_ts[i]
    return found


@njit(cache=True, nogil=True)
def carry(
    trade_ts: Any,
    price: Any,
    trade_at: Any,
    top_ts: Any,
    bid: Any,
    bid_qty: Any,
    ask: Any,
    ask_qty: Any,
    top_at: Any,
    tails: Any,
) -> Any:
    """Remember the last trade and top of each symbol for the next chunk."""
    for s in range(len(trade_at) - 1):
        if trade_at[s + 1] > trade_at[s]:
            i = trade_at[s + 1] - 1
            tails[s, 0] = price[i]
            tails[s, 1] = trade_ts[i]
        if top_at[s + 1] > top_at[s]:
            i = top_at[s + 1] - 1
            tails[s, 2] = bid[i]
            tails[s, 3] = bid_qty[i]
            tails[s, 4] = ask[i]
            tails[s, 5] = ask_qty[i]
            tails[s, 6] = top_ts[i]
