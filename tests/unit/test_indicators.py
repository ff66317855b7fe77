"""Indicators against TA-Lib, against their own definition, and against every split of their input."""

from __future__ import annotations

import math

import numpy as np
import pytest
import talib
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit

from flowguardian.market.indicators import (
    ATR,
    EMA,
    MACD,
    RSI,
    atr,
    bollinger,
    ema,
    ema_from_first,
    macd,
    mean,
    push,
    rsi,
    sma,
    window,
)

ALL = np.dtype(
    [
        ("ema", EMA),
        ("first", EMA),
        ("rsi", RSI),
        ("atr", ATR),
        ("macd", MACD),
        ("sma", window(64)),
        ("bollinger", window(64)),
    ]
)
NAMES = [
    "ema",
    "first",
    "rsi",
    "atr",
    "macd",
    "macd_signal",
    "macd_histogram",
    "sma",
    "upper",
    "middle",
    "lower",
]


@njit(nogil=True)
def run(state, bars, fast, slow, out):
    """Every indicator over one chunk of (high, low, close) rows, one value at a time."""
    s = state[0]
    for i in range(len(bars)):
        high, low, close = bars[i, 0], bars[i, 1], bars[i, 2]
        out[i, 0] = ema(s.ema, close, slow)
        out[i, 1] = ema_from_first(s.first, close, slow)
        out[i, 2] = rsi(s.rsi, close, fast)
        out[i, 3] = atr(s.atr, high, low, close, fast)
        out[i, 4], out[i, 5], out[i, 6] = macd(s.macd, close, fast, slow, 9)
        out[i, 7] = sma(s.sma, close, slow)
        out[i, 8], out[i, 9], out[i, 10] = bollinger(s.bollinger, close, slow, 2.0)


def walk(seed: int, size: int = 1500) -> np.ndarray:
    rng = np.random.default_rng(seed)
    close = 100.0 * np.exp(np.cumsum(rng.normal(0.0, 2e-3, size)))
    reach = rng.exponential(0.1, (2, size))
    return np.column_stack([close + reach[0], close - reach[1], close])


def computed(bars: np.ndarray, fast: int = 14, slow: int = 26) -> dict[str, np.ndarray]:
    out = np.empty((len(bars), len(NAMES)))
    run(np.zeros(1, ALL), bars, fast, slow, out)
    return dict(zip(NAMES, out.T, strict=True))


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize(("fast", "slow"), [(14, 26), (12, 50), (2, 3)])
def test_values_and_their_alignment_are_those_of_talib(seed: int, fast: int, slow: int) -> None:
    bars = walk(seed)
    high, low, close = (np.ascontiguousarray(column) for column in bars.T)
    ours = computed(bars, fast, slow)
    line, signal, histogram = talib.MACD(close, fast, slow, 9)
    upper, middle, lower = talib.BBANDS(close, slow, 2.0, 2.0, 0)  # type: ignore[arg-type]
    expected = {
        "ema": talib.EMA(close, slow),
        "rsi": talib.RSI(close, fast),
        "atr": talib.ATR(high, low, close, fast),
        "macd": line,
        "macd_signal": signal,
        "sma": talib.SMA(close, slow),
        "upper": upper,
        "middle": middle,
        "lower": lower,
    }
    for name, values in expected.items():
        # A MACD is a difference of prices near 100: its relative error is that of the prices.
        room = 1e-9 if name.startswith("macd") else 0.0
        np.testing.assert_allclose(ours[name], values, rtol=1e-9, atol=room, err_msg=name)
    np.testing.assert_allclose(ours["macd_histogram"], histogram, rtol=1e-9, atol=1e-9)
    assert np.isnan(ours["ema"]).sum() == slow - 1
    assert np.isnan(ours["macd"]).sum() == slow + 9 - 2


@settings(max_examples=60, deadline=None, derandomize=True)
@given(seed=st.integers(0, 1000), size=st.integers(1, 200), cuts=st.lists(st.integers(0, 200), max_size=12))
def test_any_split_of_the_rows_gives_the_same_bits(seed: int, size: int, cuts: list[int]) -> None:
    bars = walk(seed, size)
    whole, parts = np.empty((2, size, len(NAMES)))
    state = np.zeros(1, ALL)
    run(state, bars, 14, 26, whole)
    carried = np.zeros(1, ALL)
    edges = sorted({0, size, *(cut for cut in cuts if cut < size)})
    for start, end in zip(edges, edges[1:], strict=False):
        run(carried, bars[start:end], 14, 26, parts[start:end])
        carried = np.frombuffer(carried.tobytes(), ALL).copy()
    assert whole.tobytes() == parts.tobytes()
    assert state.tobytes() == carried.tobytes()


def test_called_from_python_value_by_value_they_give_the_same_bits_as_compiled() -> None:
    bars = walk(4, 120)
    out = np.empty((len(bars), len(NAMES)))
    run.py_func(np.zeros(1, ALL).view(np.recarray), bars, 14, 26, out)
    assert out.tobytes() == np.column_stack(list(computed(bars).values())).tobytes()


def test_ema_from_first_starts_at_the_first_value_and_moves_by_alpha() -> None:
    ours = computed(walk(5, 50), slow=9)["first"]
    close = walk(5, 50)[:, 2]
    value = close[0]
    assert ours[0] == value
    for i in range(1, 50):
        value += 0.2 * (close[i] - value)
        assert ours[i] == value


def test_a_constant_price_has_no_range_no_momentum_and_a_neutral_rsi() -> None:
    ours = {name: values[-1] for name, values in computed(np.full((100, 3), 42.0)).items()}
    assert ours["rsi"] == 50.0, "a market at rest is not oversold"
    assert ours["atr"] == ours["macd"] == ours["macd_signal"] == ours["macd_histogram"] == 0.0
    assert (
        ours["ema"]
        == ours["first"]
        == ours["sma"]
        == ours["upper"]
        == ours["middle"]
        == ours["lower"]
        == 42.0
    )


def test_rsi_is_100_where_it_only_rose_and_0_where_it_only_fell() -> None:
    up = np.arange(1.0, 60.0)
    assert computed(np.column_stack([up, up, up]))["rsi"][-1] == 100.0
    down = up[::-1]
    assert computed(np.column_stack([down, down, down]))["rsi"][-1] == 0.0


def test_one_value_warms_nothing_but_the_mean_that_starts_at_it() -> None:
    ours = computed(walk(6, 1))
    assert [name for name in NAMES if not math.isnan(ours[name][0])] == ["first"]


def test_a_value_that_left_the_window_leaves_no_trace() -> None:
    bars = walk(7, 60)
    spoiled = bars.copy()
    spoiled[5] = 1e18
    for name in ("sma", "upper", "middle", "lower"):
        assert computed(spoiled)[name][40:].tobytes() == computed(bars)[name][40:].tobytes(), name


def test_values_at_the_edge_of_a_float_overflow_without_an_error() -> None:
    ours = computed(np.full((80, 3), 1e308))
    assert ours["sma"][-1] == math.inf
    assert not math.isfinite(ours["ema"][-1])


def test_a_period_longer_than_its_window_is_refused_and_writes_nothing() -> None:
    state = np.zeros(1, window(4))
    with pytest.raises(ValueError, match="longer than the window"):
        push(state[0], 1.0, 5)
    assert state.tobytes() == bytes(state.nbytes)


def test_a_mean_can_be_read_before_the_next_value_is_pushed() -> None:
    state = np.zeros(1, window(4))[0]
    for value in (1.0, 2.0, 3.0):
        assert math.isnan(mean(state, 3))
        push(state, value, 3)
    assert mean(state, 3) == 2.0
    push(state, 10.0, 3)
    assert mean(state, 3) == 5.0
