"""However the bars are cut into chunks, a strategy's signals and its state are the same, bit for bit."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowguardian.market.records import BAR, MINUTE_NS, SIGNAL
from flowguardian.ops.strategy_cache import scan_of
from flowguardian.strategies import STRATEGIES
from flowguardian.strategies.base import Strategy


@cache
def scan_for(name: str) -> Any:
    return scan_of(STRATEGIES[name], Path(mkdtemp(prefix="flowguardian-test-")))


def drawn_bars(seed: int, size: int, history: int, quiet: list[tuple[int, int]]) -> np.ndarray:
    """A walk whose first bars are history; `quiet` lists (start, length) of times without a trade."""
    rng = np.random.default_rng(seed)
    is_gap = np.zeros(size, dtype=bool)
    for start, length in quiet:
        is_gap[max(1, start) : start + length] = True
    moves = np.where(is_gap, 0, rng.integers(-300_000_000, 300_000_001, size))
    bars = np.zeros(size, BAR)
    bars["close"] = 100_000_000_000 + np.cumsum(moves)
    bars["open"] = bars["close"] - moves
    reach = np.where(is_gap, 0, rng.integers(0, 100_000_000, size))
    bars["high"] = np.maximum(bars["open"], bars["close"]) + reach
    bars["low"] = np.minimum(bars["open"], bars["close"]) - reach
    bars["volume"] = np.where(is_gap, 0.0, rng.lognormal(0.0, 1.0, size))
    bars["gap"] = is_gap
    bars["live"] = np.arange(size) >= history
    bars["open_ns"] = np.arange(size) * MINUTE_NS
    bars["close_ts"] = bars["open_ns"] + MINUTE_NS
    return bars


def scanned(strategy: Strategy, bars: np.ndarray, edges: list[int]) -> tuple[bytes, bytes]:
    """Signals and final state when the bars come in the chunks between the edges, the state kept as bytes."""
    scan, params = scan_for(strategy.name), strategy.params_from({})
    state, collected = strategy.new_state(), b""
    for start, end in zip(edges, edges[1:], strict=False):
        signals = np.full(end - start, 7, SIGNAL)
        written = scan(bars[start:end], end - start, state, params, signals)
        collected += signals[:written].tobytes()
        state = np.frombuffer(state.tobytes(), strategy.state_dtype).copy()
    return collected, state.tobytes()


@pytest.mark.parametrize("name", list(STRATEGIES))
@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 10_000),
    size=st.integers(1, 180),
    history=st.integers(0, 120),
    quiet=st.lists(st.tuples(st.integers(0, 180), st.integers(1, 9)), max_size=3),
    cuts=st.lists(st.integers(1, 180), max_size=10),
)
def test_any_split_of_the_bars_gives_the_same_signals_and_state(
    name: str, seed: int, size: int, history: int, quiet: list[tuple[int, int]], cuts: list[int]
) -> None:
    strategy, bars = STRATEGIES[name], drawn_bars(seed, size, history, quiet)
    edges = sorted({0, size, *(cut for cut in cuts if cut < size)})
    assert scanned(strategy, bars, edges) == scanned(strategy, bars, [0, size])


@pytest.mark.parametrize("name", list(STRATEGIES))
def test_bar_by_bar_as_live_equals_all_at_once_as_backtest(name: str) -> None:
    strategy = STRATEGIES[name]
    bars = drawn_bars(seed=99, size=1500, history=60, quiet=[(300, 5), (700, 6), (1000, 40)])
    signals, state = scanned(strategy, bars, [0, len(bars)])
    assert len(signals) >= 10 * SIGNAL.itemsize, "a run without signals would prove nothing"
    assert scanned(strategy, bars, list(range(len(bars) + 1))) == (signals, state)
