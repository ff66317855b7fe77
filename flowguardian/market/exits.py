"""The exit scan: the first row at which a position's stop, target, trailing stop or expiry is hit.

Rule: carried state in, rows in, same result for any split of the rows. On one row the stop is looked at
before the target, with the levels the rows before it made.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from flowguardian.market.bars import first_at
from flowguardian.market.records import Flag

WATCH = np.dtype(
    [
        ("side", "i8"),
        ("stop", "i8"),
        ("target", "i8"),  # 0 = none
        ("trail", "i8"),  # distance, 0 = none
        ("best", "i8"),  # best price since the entry, as side × price
        ("break_even", "i8"),  # price that moves the stop to `entry`, 0 = none
        ("entry", "i8"),
        ("expiry_ns", "i8"),  # 0 = none
        ("moved", "i8"),  # 1 once the stop stands at break-even
    ]
)
NOTHING, STOP, TARGET, BREAK_EVEN, TRAILING, EXPIRY = range(6)
HIT_TS, HIT_CODE, HIT_PRICE, HIT_LEVEL, HIT_PATH = range(5)
_BACKFILLED, _PATH = int(Flag.BACKFILLED), int(Flag.PATH)


@njit(cache=True, nogil=True)
def scan_exit(  # noqa: C901, PLR0912 - one pass over rows is what numba compiles best
    ts: Any,
    price: Any,
    flags: Any,
    lo: Any,
    hi: Any,
    from_ts: Any,
    before_ts: Any,
    clock: Any,
    last: Any,
    watches: Any,
    w: Any,
    hit: Any,
) -> Any:
    """Scan rows of one symbol with from_ts <= stamp < before_ts; `hit` gets (ts, code, price, level, path).

    `watches[w]` (a WATCH record) is moved along to the row before the hit, or to the end. `last` is the price
    before the first row. Code NOTHING means no hit.
    """
    watch = watches[w]
    hit[1] = 0
    i = first_at(ts, lo, hi, from_ts)
    end = first_at(ts, i, hi, before_ts)
    expires = -1
    if watch.expiry_ns > 0:
        row = first_at(ts, i, end, watch.expiry_ns)
        while row < end and len(flags) > 0 and flags[row] & _BACKFILLED:
            row += 1
        c = first_at(clock, 0, len(clock), max(watch.expiry_ns, from_ts))
        if c < len(clock) and clock[c] < before_ts and (row == end or clock[c] < ts[row]):
            expires = clock[c]
            row = first_at(ts, i, end, clock[c])
        elif row < end:
            expires = ts[row]
        if expires >= 0:
            end = row
    side = watch.side
    stop = side * watch.stop
    target = side * watch.target if watch.target > 0 else np.iinfo(np.int64).max
    if watch.trail == 0 and watch.break_even == 0 and len(flags) == 0:
        if side > 0:
            while i < end and price[i] > stop and price[i] < target:
                i += 1
        else:
            while i < end and -price[i] > stop and -price[i] < target:
                i += 1
        code = STOP
    else:
        i, code = _scan_moving(price, flags, i, end, watch)
        stop = side * watch.stop
    if i < end:
        hit[0] = ts[i]
        hit[2] = price[i]
        hit[4] = 1 if len(flags) > 0 and flags[i] & _PATH else 0
        if side * price[i] <= stop or code == TRAILING:
            hit[1] = BREAK_EVEN if code == STOP and watch.moved else code
            hit[3] = watch.stop if code != TRAILING else side * (watch.best - watch.trail)
        else:
            hit[1] = TARGET
            hit[3] = watch.target
    elif expires >= 0:
        hit[0] = expires
        hit[1] = EXPIRY
        at = end if end < hi and ts[end] == expires else end - 1
        hit[2] = price[at] if at >= lo else last
        hit[3] = 0
        hit[4] = 0


@njit(cache=True, nogil=True)
def _scan_moving(price: Any, flags: Any, i: Any, end: Any, watch: Any) -> Any:
    """The scan with a stop that moves, or with flagged rows: returns (row, STOP or TRAILING)."""
    side = watch.side
    target = side * watch.target if watch.target > 0 else np.iinfo(np.int64).max
    while i < end:
        if len(flags) > 0 and flags[i] & _BACKFILLED:
            i += 1
            continue
        p = side * price[i]
        if p <= side * watch.stop or p >= target:
            return i, STOP
        if watch.trail > 0 and p <= watch.best - watch.trail:
            return i, TRAILING
        watch.best = max(watch.best, p)
        if watch.break_even > 0 and watch.moved == 0 and p >= side * watch.break_even:
            watch.moved = 1
            if side * watch.entry > side * watch.stop:
                watch.stop = watch.entry
        i += 1
    return i, STOP
