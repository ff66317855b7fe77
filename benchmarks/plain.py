"""W1 and W2 as a plain compiled loop without an engine: how many round trips there should be.

Rule: a yardstick for counts, not for speed; it shares no code with the engine. Its thresholds are taken from
the entry price, where the engine's are taken from the close that signalled.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from flowguardian.market.columns import Columns

MINUTE_NS = 60_000_000_000
HOLD_NS, HOLD_BARS = 10 * MINUTE_NS, 10
STOP, TARGET = 0.003, 0.004
FAST, SLOW, WARM = 2 / 10, 2 / 22, 21


def round_trips_on_trades(columns: Columns) -> int:
    """W1: bars cut at UTC minutes, entry at the first trade of the next bar."""
    ranges = zip(columns.trade_at[:-1].tolist(), columns.trade_at[1:].tolist(), strict=True)
    return sum(int(_trades(columns.trade_venue[low:high], columns.price[low:high])) for low, high in ranges)


def round_trips_on_bars(columns: Columns, *, keep_signal: bool) -> int:
    """W2 over bars of four points: entry at the next open, the stop before the target inside a bar.

    `keep_signal`: a signal at a close counts if the position's time is up at the very next open, as in the
    engine, where that exit comes first; otherwise it is dropped, because the symbol was held at the close.
    """
    found = 0
    for low, high in zip(columns.trade_at[:-1].tolist(), columns.trade_at[1:].tolist(), strict=True):
        points = columns.price[low:high].reshape(-1, 4)
        found += int(_bars(points[:, 0], points.max(axis=1), points.min(axis=1), points[:, 3], keep_signal))
    return found


@njit(cache=True)
def _cross(state: Any, close: Any) -> int:
    """state = fast, slow, difference, bars seen; +1 or -1 where the difference changes its sign."""
    fast, slow, before, seen = state
    fast = close if seen == 0 else fast + FAST * (close - fast)
    slow = close if seen == 0 else slow + SLOW * (close - slow)
    state[0], state[1], state[2], state[3] = fast, slow, fast - slow, seen + 1
    if seen < WARM:
        return 0
    return 1 if before <= 0 < state[2] else -1 if before >= 0 > state[2] else 0


@njit(cache=True)
def _trades(ts: Any, price: Any) -> int:
    state = np.zeros(4)
    side, entry, since, done = 0, 0.0, 0, 0
    minute = ts[0] // MINUTE_NS
    for i in range(len(ts)):
        if side != 0:
            gain = side * (price[i] / entry - 1)
            if gain >= TARGET or gain <= -STOP or ts[i] - since >= HOLD_NS:
                side = 0
                done += 1
        if ts[i] // MINUTE_NS != minute:
            minute = ts[i] // MINUTE_NS
            cross = _cross(state, float(price[i - 1]))
            if cross != 0 and side == 0:
                side, entry, since = cross, price[i], ts[i]
    return done


@njit(cache=True)
def _bars(opened: Any, high: Any, low: Any, close: Any, keep_signal: bool) -> int:
    state = np.zeros(4)
    side, entry, since, wanted, done = 0, 0.0, 0, 0, 0
    for i in range(len(close)):
        if side != 0 and i - since >= HOLD_BARS:
            side = 0
            done += 1
        if wanted != 0 and side == 0:
            side, entry, since = wanted, opened[i], i
        worst = low[i] if side > 0 else high[i]
        best = high[i] if side > 0 else low[i]
        if side != 0 and (side * (worst / entry - 1) <= -STOP or side * (best / entry - 1) >= TARGET):
            side = 0
            done += 1
        wanted = _cross(state, float(close[i]))
        if side != 0 and not keep_signal:
            wanted = 0
    return done
