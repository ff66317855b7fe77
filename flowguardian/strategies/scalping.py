"""Scalping V6.1 on 1-minute bars: with the trend, out of an RSI extreme (A) or on a burst of volume (B).

Rule: the defaults are V6.1, fixed before the first run; they are never tuned.

Trend up is EMA9 > EMA21 > EMA50 with the close above EMA50; trend down is its mirror image. Pattern B wants
all of that. Pattern A cannot: a market whose RSI has just left 25 has fallen through its EMAs. In half a
million recorded bars the RSI left an extreme against the trend of EMA21 and EMA50 27 times, and never with
the close still on the trend's side of EMA50. So for A the trend is EMA21 against EMA50 alone.
"""
# mypy: disable-error-code="no-any-return"
# Fields of numpy records have no static type.

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from flowguardian.market.indicators import ATR, EMA, RSI, atr, ema, mean, push, rsi, window
from flowguardian.strategies.base import UNIT, Param, Strategy

LONGEST_VOLUME_MEAN = 240

PATTERNS = {1: "A trend + RSI leaving an extreme", 2: "B trend + volume"}

PARAMS = {
    "ema_fast": Param(9, 1, 500, "bars of the fast EMA"),
    "ema_mid": Param(21, 2, 500, "bars of the middle EMA"),
    "ema_slow": Param(50, 3, 1000, "bars of the slow EMA"),
    "rsi_period": Param(14, 2, 200, "bars of the RSI"),
    "rsi_low": Param(25.0, 0.0, 50.0, "oversold below"),
    "rsi_high": Param(75.0, 50.0, 100.0, "overbought above"),
    "volume_period": Param(30, 1, LONGEST_VOLUME_MEAN, "bars before this one that tell the normal volume"),
    "volume_mult": Param(1.5, 0.0, 100.0, "a burst is more than this many times the normal volume"),
    "atr_period": Param(14, 1, 200, "bars of the ATR"),
    "stop_atr": Param(1.2, 0.01, 50.0, "distance of the stop in ATR"),
    "target_rr": Param(1.8, 0.01, 50.0, "distance of the target in stop distances"),
    "min_rr": Param(1.2, 0.0, 50.0, "no signal when target over stop is less"),
    "partial_targets": Param(False, what="also set a second target"),
    "target2_rr": Param(2.6, 0.01, 50.0, "distance of the second target in stop distances"),
    "trailing": Param(False, what="let a stop trail the price"),
    "trail_atr": Param(1.0, 0.01, 50.0, "trailing distance in ATR"),
    "pattern_a": Param(True, what="use pattern A"),
    "pattern_b": Param(True, what="use pattern B"),
    "allow_long": Param(True, what="signal LONG"),
    "allow_short": Param(True, what="signal SHORT"),
    "max_hold_minutes": Param(30, 1, 10_080, "a position is closed after this time; the engine reads it"),
}

STATE = np.dtype(
    [
        ("fast", EMA),
        ("mid", EMA),
        ("slow", EMA),
        ("rsi", RSI),
        ("atr", ATR),
        ("volumes", window(LONGEST_VOLUME_MEAN)),
    ]
)


@njit(nogil=True)
def side_of_a(params: Any, rsi_before: float, rsi_now: float, mid: float, slow: float) -> int:
    """Pattern A: the RSI comes back from the extreme that lies against the trend."""
    if mid > slow and rsi_before < params.rsi_low <= rsi_now:
        return 1
    if mid < slow and rsi_before > params.rsi_high >= rsi_now:
        return -1
    return 0


@njit(nogil=True)
def side_of_b(bar: Any, close: float, fast: float, mid: float, slow: float) -> int:
    """Pattern B without its volume: all means in line, and the bar closed in their direction."""
    if fast > mid > slow and close > slow and bar.close > bar.open:
        return 1
    if fast < mid < slow and close < slow and bar.close < bar.open:
        return -1
    return 0


@njit(nogil=True)
def set_exits(params: Any, out: Any) -> bool:
    """Write the distances; False when the market does not move or the reward is too small for the risk."""
    out.stop = params.stop_atr * out.atr
    out.target1 = params.target_rr * out.stop
    if params.partial_targets:
        out.target2 = params.target2_rr * out.stop
    if params.trailing:
        out.trail = params.trail_atr * out.atr
    return out.stop > 0.0 and out.target1 >= params.min_rr * out.stop


@njit(nogil=True)
def step(state: Any, bar: Any, params: Any, out: Any) -> int:
    """One bar; nothing can be compared with NaN, so what is not warm cannot signal."""
    close = bar.close * UNIT
    fast = ema(state.fast, close, params.ema_fast)
    mid = ema(state.mid, close, params.ema_mid)
    slow = ema(state.slow, close, params.ema_slow)
    rsi_before = state.rsi.value if state.rsi.count > params.rsi_period else np.nan
    rsi_now = rsi(state.rsi, close, params.rsi_period)
    out.atr = atr(state.atr, bar.high * UNIT, bar.low * UNIT, close, params.atr_period)
    out.volume_mean = mean(state.volumes, params.volume_period)
    push(state.volumes, bar.volume, params.volume_period)
    side = 0
    if params.pattern_a:
        side = side_of_a(params, rsi_before, rsi_now, mid, slow)
        out.pattern = 1
    burst = out.volume_mean > 0.0 and bar.volume > params.volume_mult * out.volume_mean
    if side == 0 and params.pattern_b and burst:
        side = side_of_b(bar, close, fast, mid, slow)
        out.pattern = 2
    if (side > 0 and not params.allow_long) or (side < 0 and not params.allow_short):
        return 0
    return side if set_exits(params, out) else 0


def warmup(params: Any) -> int:
    """The bars until the last of the indicators is warm."""
    return max(params.ema_slow, params.rsi_period + 2, params.volume_period + 1, params.atr_period + 1)


def check(params: Any) -> str:
    """What cannot be meant."""
    if not params.ema_fast < params.ema_mid < params.ema_slow:
        return "the EMAs must grow: ema_fast < ema_mid < ema_slow"
    if params.target_rr < params.min_rr:
        return f"target_rr {params.target_rr:g} is below min_rr {params.min_rr:g}: it could never signal"
    if params.partial_targets and params.target2_rr <= params.target_rr:
        return "target2_rr must lie beyond target_rr"
    if not (params.allow_long or params.allow_short):
        return "allow_long and allow_short are both off: it could never signal"
    if not (params.pattern_a or params.pattern_b):
        return "pattern_a and pattern_b are both off: it could never signal"
    return ""


strategy = Strategy(
    name="scalping", step=step, state=STATE, params=PARAMS, patterns=PATTERNS, warmup=warmup, check=check
)
