"""Equity between wakes: sampled on clock rows, exactly, without waking anybody.

Rule: the same integers as the portfolio would give. Value × price needs more than 64 bits, so the product is
split: with q = 1e8·a + b and p = 1e8·c + d, floor(q·p / 1e8) = a·p + b·c + floor(b·d / 1e8).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from flowguardian.market.columns import last_index
from flowguardian.market.records import UNITS

EQUITY = np.dtype(
    [
        ("peak", "i8"),
        ("low", "i8"),
        ("day", "i8"),  # UTC day number of `day_start`
        ("day_start", "i8"),
        ("next_ns", "i8"),  # a sample is due on the first clock row at or after
    ]
)
HELD = np.dtype([("symbol", "i8"), ("side", "i8"), ("qty", "i8"), ("cost_hi", "i8"), ("cost_lo", "i8")])
DAY_NS = 86_400_000_000_000


def new_equity(start_equity: int, at_ns: int, interval_ns: int) -> npt.NDArray[np.void]:
    """The carried record at the moment a run goes live."""
    record = np.zeros(1, EQUITY)
    record[0] = (
        start_equity,
        start_equity,
        at_ns // DAY_NS,
        start_equity,
        (at_ns // interval_ns + 1) * interval_ns,
    )
    return record


@njit(cache=True, nogil=True)
def unrealised(side: Any, qty: Any, mark: Any, cost_hi: Any, cost_lo: Any) -> Any:
    """floor(side · (qty·mark − cost) / 1e8), cost = 1e8·cost_hi + cost_lo; exact for values below 9e10."""
    a, b = qty // UNITS, qty % UNITS
    c, d = mark // UNITS, mark % UNITS
    rest = b * d
    value_hi = a * mark + b * c + rest // UNITS
    value_lo = rest % UNITS
    if side > 0:
        return value_hi - cost_hi - (1 if value_lo < cost_lo else 0)
    return cost_hi - value_hi - (1 if cost_lo < value_lo else 0)


@njit(cache=True, nogil=True)
def sample_equity(
    clock: Any,
    after_ns: Any,
    until_ns: Any,
    trade_ts: Any,
    price: Any,
    trade_at: Any,
    tails: Any,
    held: Any,
    count: Any,
    balance: Any,
    margin: Any,
    interval: Any,
    carried: Any,
) -> Any:
    """Take the samples due on clock rows in (after_ns, until_ns]; returns the stamp of a liquidation or -1.

    `held[:count]` are the open positions, `margin` the maintenance margin ratio (1e-8).
    """
    state = carried[0]
    k = last_index(clock, 0, len(clock), after_ns) + 1
    while k < len(clock) and clock[k] <= until_ns:
        now = clock[k]
        k += 1
        if now < state.next_ns:
            continue
        state.next_ns = (now // interval + 1) * interval
        equity = balance
        needed = 0
        for j in range(count):
            s = held[j].symbol
            i = last_index(trade_ts, trade_at[s], trade_at[s + 1], now)
            mark = price[i] if i >= 0 else tails[s, 0]
            profit = unrealised(held[j].side, held[j].qty, mark, held[j].cost_hi, held[j].cost_lo)
            equity += profit
            needed += (held[j].cost_hi + held[j].side * profit) // UNITS * margin
        if now // DAY_NS != state.day:
            state.day = now // DAY_NS
            state.day_start = equity
        state.peak = max(state.peak, equity)
        state.low = min(state.low, equity)
        if count > 0 and equity <= needed:
            return now
    return -1
