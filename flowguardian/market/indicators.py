"""Indicators as small carried states: one value in, one value out, NaN until warm.

Rule: the result after n values depends on those values alone, never on how they were split into chunks.
Each state is a structured dtype that starts as zeros and can be nested in a strategy's state. Float64 and
+ - * / sqrt only, in a written order, so results are the same on every machine. Windows are summed again
for each value, oldest first: a running sum would drift. Values and alignment are those of TA-Lib.
"""
# mypy: disable-error-code="no-any-return"
# Fields of numpy records have no static type.

from __future__ import annotations

from math import sqrt
from typing import Any

import numpy as np
from numba import njit

NAN = float("nan")

EMA = np.dtype([("value", "f8"), ("seed", "f8"), ("count", "i8")])
RSI = np.dtype([("last", "f8"), ("gain", "f8"), ("loss", "f8"), ("value", "f8"), ("count", "i8")])
ATR = np.dtype([("close", "f8"), ("value", "f8"), ("count", "i8")])
MACD = np.dtype([("fast", EMA), ("slow", EMA), ("signal", EMA), ("count", "i8")])


def window(capacity: int) -> np.dtype[np.void]:
    """State that remembers the last `capacity` values; kernels may look back over any shorter period."""
    return np.dtype([("values", "f8", (capacity,)), ("count", "i8")])


@njit(cache=True, nogil=True)
def ema(state: Any, x: float, period: int) -> float:
    """Exponential mean, seeded with the plain mean of the first `period` values."""
    if state.count < period:
        state.count += 1
        state.seed += x
        if state.count < period:
            return NAN
        state.value = state.seed / period
        return state.value
    state.value = (x - state.value) * (2.0 / (period + 1.0)) + state.value
    return state.value


@njit(cache=True, nogil=True)
def ema_from_first(state: Any, x: float, period: int) -> float:
    """Exponential mean that starts at the first value: never NaN, and less settled when young."""
    if state.count == 0:
        state.value = x
    else:
        state.value += 2.0 / (period + 1.0) * (x - state.value)
    state.count += 1
    return state.value


@njit(cache=True, nogil=True)
def rsi(state: Any, x: float, period: int) -> float:
    """Wilder's relative strength, 0 to 100, from the value number `period` + 1 on.

    Where nothing moved at all it is 50; TA-Lib says 0 there, but a market at rest is not oversold.
    """
    change = x - state.last
    state.last = x
    state.count += 1
    if state.count == 1:
        return NAN
    gain = max(0.0, change)
    loss = -change if change < 0.0 else 0.0
    if state.count <= period + 1:
        state.gain += gain
        state.loss += loss
        if state.count <= period:
            return NAN
        state.gain /= period
        state.loss /= period
    else:
        state.gain = (state.gain * (period - 1.0) + gain) / period
        state.loss = (state.loss * (period - 1.0) + loss) / period
    total = state.gain + state.loss
    state.value = 100.0 * (state.gain / total) if total > 0.0 else 50.0
    return state.value


@njit(cache=True, nogil=True)
def atr(state: Any, high: float, low: float, close: float, period: int) -> float:
    """Wilder's average true range; the first bar only lends its close, so it is warm at `period` + 1 bars."""
    before = state.close
    state.close = close
    state.count += 1
    if state.count == 1:
        return NAN
    reach = high - low
    reach = max(reach, abs(high - before))
    reach = max(reach, abs(low - before))
    if state.count <= period + 1:
        state.value += reach
        if state.count <= period:
            return NAN
        state.value /= period
        return state.value
    state.value = (state.value * (period - 1.0) + reach) / period
    return state.value


@njit(cache=True, nogil=True)
def macd(state: Any, x: float, fast: int, slow: int, signal: int) -> tuple[float, float, float]:
    """(line, signal, histogram), all NaN until the signal is warm; `fast` must be below `slow`.

    The fast mean starts late, so that both means get their seed on the same value, as TA-Lib does.
    """
    state.count += 1
    quick = NAN
    if state.count > slow - fast:
        quick = ema(state.fast, x, fast)
    calm = ema(state.slow, x, slow)
    if state.count < slow:
        return NAN, NAN, NAN
    line = quick - calm
    mean_line = ema(state.signal, line, signal)
    if state.count < slow + signal - 1:
        return NAN, NAN, NAN
    return line, mean_line, line - mean_line


@njit(cache=True, nogil=True)
def push(state: Any, x: float, period: int) -> None:
    """Remember a value in a `window` that is read over `period` values (always the same period)."""
    if period > len(state.values):
        raise ValueError("the period is longer than the window that should hold it: enlarge window(capacity)")
    state.values[state.count % period] = x
    state.count += 1


@njit(cache=True, nogil=True)
def mean(state: Any, period: int) -> float:
    """Plain mean of the last `period` values pushed, NaN when there were fewer."""
    if state.count < period:
        return NAN
    start = state.count % period
    total = 0.0
    for i in range(start, period):
        total += state.values[i]
    for i in range(start):
        total += state.values[i]
    return total / period


@njit(cache=True, nogil=True)
def sma(state: Any, x: float, period: int) -> float:
    """Plain mean of the last `period` values, this one included."""
    push(state, x, period)
    return mean(state, period)


@njit(cache=True, nogil=True)
def bollinger(state: Any, x: float, period: int, width: float) -> tuple[float, float, float]:
    """(upper, middle, lower): the plain mean ± `width` population standard deviations."""
    push(state, x, period)
    middle = mean(state, period)
    if state.count < period:
        return NAN, NAN, NAN
    start = state.count % period
    total = 0.0
    for i in range(start, period):
        total += (state.values[i] - middle) * (state.values[i] - middle)
    for i in range(start):
        total += (state.values[i] - middle) * (state.values[i] - middle)
    reach = width * sqrt(total / period)
    return middle + reach, middle, middle - reach
