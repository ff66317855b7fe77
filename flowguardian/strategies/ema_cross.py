"""EMA cross, the strategy of the benchmarks: every engine is measured on these signals.

Rule: it computes what the published benchmark computes, operation by operation; a change makes the old
figures void. The means start at the first close, a cross counts when more than `slow` bars were seen.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from flowguardian.market.indicators import EMA, ema_from_first
from flowguardian.strategies.base import UNIT, Param, Strategy

PATTERNS = {1: "EMA cross"}

PARAMS = {
    "fast": Param(9, 1, 500, "bars of the fast EMA"),
    "slow": Param(21, 2, 1000, "bars of the slow EMA"),
    "stop_pct": Param(0.3, 0.001, 50.0, "distance of the stop in % of the close"),
    "target_pct": Param(0.4, 0.001, 50.0, "distance of the target in % of the close"),
    "max_hold_minutes": Param(10, 1, 10_080, "a position is closed after this time; the engine reads it"),
}

STATE = np.dtype([("fast", EMA), ("slow", EMA), ("spread", "f8")])


@njit(nogil=True)
def step(state: Any, bar: Any, params: Any, out: Any) -> int:
    """Long when the fast mean rises above the slow one, short when it falls below."""
    close = bar.close * UNIT
    before = state.spread
    fast = ema_from_first(state.fast, close, params.fast)
    slow = ema_from_first(state.slow, close, params.slow)
    state.spread = fast - slow
    if state.slow.count <= params.slow:
        return 0
    out.pattern = 1
    out.stop = close * (params.stop_pct * 0.01)
    out.target1 = close * (params.target_pct * 0.01)
    if before <= 0.0 and state.spread > 0.0:
        return 1
    if before >= 0.0 and state.spread < 0.0:
        return -1
    return 0


def warmup(params: Any) -> int:
    """The first bar that may signal is the one after `slow`."""
    return int(params.slow) + 1


def check(params: Any) -> str:
    """What cannot be meant."""
    return "" if params.fast < params.slow else "fast must be below slow"


strategy = Strategy(
    name="ema_cross", step=step, state=STATE, params=PARAMS, patterns=PATTERNS, warmup=warmup, check=check
)
