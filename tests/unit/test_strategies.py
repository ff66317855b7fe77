"""Strategies: what they signal, against independent arithmetic; what they refuse; that both scans agree."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import talib

from flowguardian.market.records import BAR, MINUTE_NS, SIGNAL
from flowguardian.ops import strategy_cache
from flowguardian.strategies import STRATEGIES, first_example
from flowguardian.strategies.base import (
    MAX_GAP_BARS,
    UNIT,
    Param,
    Strategy,
    python_scan,
)

SEEDS = [11, 12, 13]


def walk_bars(seed: int, size: int = 4000) -> np.ndarray:
    """Live bars of a random walk with bursts of volume and spells of trend."""
    rng = np.random.default_rng(seed)
    drift = np.repeat(rng.normal(0.0, 6e-4, size // 40 + 1), 40)[:size]
    close = 100.0 * np.exp(np.cumsum(drift + rng.normal(0.0, 1e-3, size)))
    bars = np.zeros(size, BAR)
    bars["close"] = np.round(close * 1e8)
    bars["open"] = np.r_[100 * 10**8, bars["close"][:-1]]
    bars["high"] = np.maximum(bars["open"], bars["close"]) + rng.integers(0, 10**7, size)
    bars["low"] = np.minimum(bars["open"], bars["close"]) - rng.integers(0, 10**7, size)
    bars["volume"] = rng.lognormal(0.0, 0.8, size)
    bars["trades"] = 10
    bars["live"] = 1
    bars["open_ns"] = 1_750_000_000 * 10**9 + np.arange(size) * MINUTE_NS
    bars["close_ts"] = bars["open_ns"] + MINUTE_NS + 7
    return bars


def flat_bars(size: int, volume: float = 1.0) -> np.ndarray:
    bars = walk_bars(1, size)
    for name in ("open", "high", "low", "close"):
        bars[name] = 100 * 10**8
    bars["volume"] = volume
    return bars


@pytest.fixture(scope="session")
def scans(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("scans")
    return {name: strategy_cache.scan_of(strategy, folder) for name, strategy in STRATEGIES.items()}


def signals_of(scan: Any, strategy: Strategy, bars: np.ndarray, **params: object) -> np.ndarray:
    signals = np.zeros(len(bars), SIGNAL)
    written = scan(bars, len(bars), strategy.new_state(), strategy.params_from(params), signals)
    return signals[:written]


def gap_at(bars: np.ndarray, start: int, count: int) -> np.ndarray:
    """The bars with a quiet time put in: `count` flat bars without trades, as the bar builder makes them."""
    quiet = np.repeat(bars[start - 1 : start], count)
    for name in ("open", "high", "low"):
        quiet[name] = quiet["close"]
    quiet["volume"], quiet["trades"], quiet["gap"] = 0.0, 0, 1
    return np.concatenate([bars[:start], quiet, bars[start:]])


# --- scalping ---------------------------------------------------------------------------------------------


def expected_scalping(bars: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(side, pattern) of each bar, from TA-Lib's columns and the definition in words."""
    close = bars["close"] * 1e-8
    fast, mid, slow = (talib.EMA(close, period) for period in (9, 21, 50))
    now = talib.RSI(close, 14)
    before = np.r_[np.nan, now[:-1]]
    normal = np.r_[np.nan, talib.SMA(bars["volume"], 30)[:-1]]
    burst = bars["volume"] > 1.5 * normal
    up, down = bars["close"] > bars["open"], bars["close"] < bars["open"]
    long_a = (mid > slow) & (before < 25) & (now >= 25)
    short_a = (mid < slow) & (before > 75) & (now <= 75)
    long_b = (fast > mid) & (mid > slow) & (close > slow) & burst & up
    short_b = (fast < mid) & (mid < slow) & (close < slow) & burst & down
    pattern = np.where(long_a | short_a, 1, np.where(long_b | short_b, 2, 0))
    side = np.where(pattern == 1, long_a * 1 - short_a, long_b * 1 - short_b)
    return side, pattern


@pytest.mark.parametrize("seed", SEEDS)
def test_scalping_signals_exactly_where_its_definition_says(scans: dict[str, Any], seed: int) -> None:
    bars = walk_bars(seed)
    signals = signals_of(scans["scalping"], STRATEGIES["scalping"], bars)
    side, pattern = expected_scalping(bars)
    where = np.flatnonzero(side)
    assert (signals["bar_ns"] == bars["open_ns"][where]).all()
    assert (signals["close_ts"] == bars["close_ts"][where]).all()
    assert (signals["side"] == side[where]).all()
    assert (signals["pattern"] == pattern[where]).all()
    assert (signals["bars_seen"] == where + 1).all()
    assert set(signals["pattern"]) == {1, 2}, "the walk should show both patterns, or this test proves little"
    assert set(signals["side"]) == {1, -1}


def test_scalping_writes_its_distances_and_what_the_guards_need(scans: dict[str, Any]) -> None:
    bars = walk_bars(11)
    signals = signals_of(scans["scalping"], STRATEGIES["scalping"], bars)
    at = np.searchsorted(bars["open_ns"], signals["bar_ns"])
    atr = talib.ATR(bars["high"] * 1e-8, bars["low"] * 1e-8, bars["close"] * 1e-8, 14)[at]
    np.testing.assert_allclose(signals["atr"], atr, rtol=1e-9)
    np.testing.assert_allclose(signals["stop"], 1.2 * atr, rtol=1e-9)
    np.testing.assert_allclose(signals["target1"], 1.8 * 1.2 * atr, rtol=1e-9)
    assert (signals["target2"] == 0).all() and (signals["trail"] == 0).all(), "off by default in V6.1"
    np.testing.assert_allclose(signals["volume_mean"], talib.SMA(bars["volume"], 30)[at - 1], rtol=1e-9)
    assert (signals["volume"] == bars["volume"][at]).all()
    np.testing.assert_allclose(signals["move"], bars["close"][at] / bars["open"][at] - 1, atol=1e-12)


def test_scalping_can_set_a_second_target_and_a_trail(scans: dict[str, Any]) -> None:
    switches = {"partial_targets": True, "target2_rr": 3.0, "trailing": True, "trail_atr": 0.5}
    signals = signals_of(scans["scalping"], STRATEGIES["scalping"], walk_bars(11), **switches)
    np.testing.assert_allclose(signals["target2"], 3.0 * signals["stop"])
    np.testing.assert_allclose(signals["trail"], 0.5 * signals["atr"])


def test_long_and_short_can_be_switched_off_apart(scans: dict[str, Any]) -> None:
    strategy, bars = STRATEGIES["scalping"], walk_bars(12)
    both = signals_of(scans["scalping"], strategy, bars)
    for key, side in (("allow_short", 1), ("allow_long", -1)):
        only = signals_of(scans["scalping"], strategy, bars, **{key: False})
        assert only.tobytes() == both[both["side"] == side].tobytes()
        assert len(only)


def test_the_patterns_can_be_switched_off_apart(scans: dict[str, Any]) -> None:
    strategy, bars = STRATEGIES["scalping"], walk_bars(12)
    only_a = signals_of(scans["scalping"], strategy, bars, pattern_b=False)
    only_b = signals_of(scans["scalping"], strategy, bars, pattern_a=False)
    assert set(only_a["pattern"]) == {1} and set(only_b["pattern"]) == {2}
    assert set(strategy.patterns) == {1, 2}


def test_a_target_too_near_for_its_stop_gives_no_signal(scans: dict[str, Any]) -> None:
    strategy, bars = STRATEGIES["scalping"], walk_bars(12)
    assert len(signals_of(scans["scalping"], strategy, bars, target_rr=1.2)) > 0
    params = strategy.params_from({})
    params["target_rr"] = 1.19
    assert scans["scalping"](bars, len(bars), strategy.new_state(), params, np.zeros(len(bars), SIGNAL)) == 0


def test_the_numbers_of_v6_1_are_the_defaults() -> None:
    strategy = STRATEGIES["scalping"]
    params = strategy.params_from({})
    names = [
        "ema_fast",
        "ema_mid",
        "ema_slow",
        "rsi_period",
        "rsi_low",
        "rsi_high",
        "volume_period",
        "volume_mult",
    ]
    assert [params[name][0] for name in names] == [9, 21, 50, 14, 25, 75, 30, 1.5]
    names = ["atr_period", "stop_atr", "target_rr", "min_rr", "partial_targets", "trailing"]
    assert [params[name][0] for name in names] == [14, 1.2, 1.8, 1.2, False, False]
    assert strategy.warmup_bars(params) == 50
    assert strategy.max_hold_minutes(params) == 30.0


# --- unseen cases -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(STRATEGIES))
@pytest.mark.parametrize("volume", [0.0, 1.0, 1e300])
def test_a_constant_price_gives_no_signal(scans: dict[str, Any], name: str, volume: float) -> None:
    assert len(signals_of(scans[name], STRATEGIES[name], flat_bars(400, volume))) == 0


@pytest.mark.parametrize("name", list(STRATEGIES))
def test_one_bar_and_no_bar_give_no_signal(scans: dict[str, Any], name: str) -> None:
    assert len(signals_of(scans[name], STRATEGIES[name], walk_bars(11, 1))) == 0
    assert len(signals_of(scans[name], STRATEGIES[name], walk_bars(11, 1)[:0])) == 0


def test_no_volume_at_all_is_no_burst_of_volume(scans: dict[str, Any]) -> None:
    bars = walk_bars(11)
    bars["volume"] = 0.0
    bars["volume"][2000] = 5.0
    signals = signals_of(scans["scalping"], STRATEGIES["scalping"], bars)
    assert set(signals["pattern"]) <= {1}


def test_a_huge_volume_is_a_burst_once_and_breaks_nothing(scans: dict[str, Any]) -> None:
    bars = walk_bars(11)
    usual = signals_of(scans["scalping"], STRATEGIES["scalping"], bars)
    first = int(np.searchsorted(bars["open_ns"], usual["bar_ns"][usual["pattern"] == 2][0]))
    bars["volume"][first] = 1e300
    signals = signals_of(scans["scalping"], STRATEGIES["scalping"], bars)
    assert bars["open_ns"][first] in signals["bar_ns"]
    after = signals["bar_ns"] - bars["open_ns"][first]
    shadow = signals[(after > 0) & (after <= 30 * MINUTE_NS)]
    assert set(shadow["pattern"]) <= {1}, "for 30 bars nothing is a burst beside it"
    later = 31 * MINUTE_NS + bars["open_ns"][first]
    assert signals[signals["bar_ns"] >= later].tobytes() == usual[usual["bar_ns"] >= later].tobytes()


@pytest.mark.parametrize("name", list(STRATEGIES))
def test_nothing_signals_before_the_warm_up_is_over(scans: dict[str, Any], name: str) -> None:
    strategy = STRATEGIES[name]
    seen = [signals_of(scans[name], strategy, walk_bars(seed, 300))["bars_seen"] for seed in range(30)]
    assert np.concatenate(seen).min() >= strategy.warmup_bars(strategy.params_from({}))


# --- the scan ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(STRATEGIES))
def test_history_warms_and_never_signals(scans: dict[str, Any], name: str) -> None:
    strategy, bars = STRATEGIES[name], walk_bars(12, 1500)
    live = signals_of(scans[name], strategy, bars)
    bars["live"][:700] = 0
    warmed = signals_of(scans[name], strategy, bars)
    assert warmed.tobytes() == live[live["bar_ns"] >= bars["open_ns"][700]].tobytes()
    assert 0 < len(warmed) < len(live)


@pytest.mark.parametrize("name", list(STRATEGIES))
def test_a_short_quiet_time_is_part_of_the_market(scans: dict[str, Any], name: str) -> None:
    bars = gap_at(walk_bars(13, 600), 300, MAX_GAP_BARS)
    state = STRATEGIES[name].new_state()
    scans[name](bars, len(bars), state, STRATEGIES[name].params_from({}), np.zeros(len(bars), SIGNAL))
    assert state["bars_seen"][0] == len(bars)


@pytest.mark.parametrize("name", list(STRATEGIES))
@pytest.mark.parametrize("count", [MAX_GAP_BARS + 1, 50])
def test_after_a_long_quiet_time_a_strategy_starts_anew(scans: dict[str, Any], name: str, count: int) -> None:
    strategy, bars = STRATEGIES[name], walk_bars(13, 1200)
    signals = signals_of(scans[name], strategy, gap_at(bars, 500, count))
    anew = signals_of(scans[name], strategy, bars[500:])
    assert len(anew)
    assert signals[-len(anew) :].tobytes() == anew.tobytes()
    assert (signals[: -len(anew)]["bar_ns"] <= bars["open_ns"][499] + count * MINUTE_NS).all()


@pytest.mark.parametrize("name", list(STRATEGIES))
def test_too_little_room_for_signals_is_refused(scans: dict[str, Any], name: str) -> None:
    strategy, bars = STRATEGIES[name], walk_bars(11, 10)
    for count, room in ((10, 9), (11, 11)):
        with pytest.raises(ValueError, match="room for signals"):
            scans[name](bars, count, strategy.new_state(), strategy.params_from({}), np.zeros(room, SIGNAL))


def every_other_bar(state: Any, bar: Any, params: Any, out: Any) -> int:
    state.count += 1
    if state.count % 2:
        out.trail = 9.0
        return 0
    out.stop = 1.0
    return 5


def test_what_a_step_wrote_without_signalling_does_not_leak_into_the_next_signal() -> None:
    strategy = Strategy(
        name="leak",
        step=every_other_bar,
        state=[("count", "i8")],
        params={"bars": Param(1)},
        warmup=lambda p: 1,
    )
    signals = signals_of(python_scan(strategy), strategy, walk_bars(11, 20))
    assert len(signals) == 10
    assert (signals["trail"] == 0).all() and (signals["stop"] == 1).all()
    assert (signals["side"] == 1).all(), "any positive answer is long"


# --- plain Python and compiled ----------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_a_plain_step_and_its_njit_twin_give_identical_signals_and_state(tmp_path: Path, seed: int) -> None:
    plain = STRATEGIES["first_example"]
    folder = tmp_path / "twin"
    folder.mkdir()
    text = Path(first_example.__file__).read_text(encoding="utf-8")
    text = text.replace("def step(", "from numba import njit\n\n\n@njit(cache=True)\ndef step(")
    (folder / "twin.py").write_text(text, encoding="utf-8")
    twin = strategy_cache.load(folder / "twin.py")
    assert twin.compiled and not plain.compiled
    assert_same_scan(strategy_cache.scan_of(twin, folder), python_scan(plain), plain, walk_bars(seed, 1500))


@pytest.mark.parametrize("name", ["scalping", "ema_cross"])
def test_an_njit_step_run_as_plain_python_gives_identical_signals_and_state(
    scans: dict[str, Any], name: str
) -> None:
    bars = gap_at(gap_at(walk_bars(12, 1500), 400, 4), 900, 8)
    assert_same_scan(scans[name], python_scan(STRATEGIES[name]), STRATEGIES[name], bars)


def assert_same_scan(one: Any, other: Any, strategy: Strategy, bars: np.ndarray) -> None:
    results = []
    for scan in (one, other):
        state, signals = strategy.new_state(), np.zeros(len(bars), SIGNAL)
        written = scan(bars, len(bars), state, strategy.params_from({}), signals)
        results.append((written, signals[:written].tobytes(), state.tobytes()))
    assert results[0] == results[1]
    assert results[0][0] > 5


def test_ema_cross_computes_what_the_published_benchmark_computes(scans: dict[str, Any]) -> None:
    strategy, bars = STRATEGIES["ema_cross"], walk_bars(11)
    signals = signals_of(scans["ema_cross"], strategy, bars)
    fast = slow = spread = 0.0
    expected = []
    for seen, bar in enumerate(bars):
        close = float(bar["close"]) * UNIT
        fast = fast + 0.2 * (close - fast) if seen else close
        slow = slow + (2 / 22) * (close - slow) if seen else close
        before, spread = spread, fast - slow
        if seen + 1 > 21 and ((before <= 0 and spread > 0) or (before >= 0 and spread < 0)):
            expected.append((int(bar["open_ns"]), 1 if spread > 0 else -1))
    assert list(zip(signals["bar_ns"].tolist(), signals["side"].tolist(), strict=True)) == expected
    closes = bars["close"][np.searchsorted(bars["open_ns"], signals["bar_ns"])] * UNIT
    np.testing.assert_allclose(signals["stop"], closes * 0.003)
    np.testing.assert_allclose(signals["target1"], closes * 0.004)
    assert strategy.max_hold_minutes(strategy.params_from({})) == 10.0


def test_the_first_example_is_short_and_trades_regularly(scans: dict[str, Any]) -> None:
    lines = Path(first_example.__file__).read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 25
    signals = signals_of(scans["first_example"], STRATEGIES["first_example"], walk_bars(13, 1440))
    assert 20 <= len(signals) <= 400, "a day of minutes"
    assert np.diff(signals["bars_seen"]).max() < 240
    assert 0.3 < (signals["side"] == 1).mean() < 0.7
