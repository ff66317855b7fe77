"""Parameters of strategies, and how strategies are found, compiled and cached: what is refused, and how."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numba import njit

from flowguardian.market.records import BAR, SIGNAL
from flowguardian.ops import strategy_cache
from flowguardian.strategies import STRATEGIES
from flowguardian.strategies.base import (
    ImpossibleParams,
    Param,
    ParamOutOfRange,
    StepReturnedNoSide,
    Strategy,
    StrategyIsMalformed,
    UnknownParam,
    WrongParamType,
    python_scan,
)

ROOT = Path(__file__).resolve().parents[2]


def silent(state: Any, bar: Any, params: Any, out: Any) -> int:
    return 0


def live_bars(size: int) -> np.ndarray:
    bars = np.zeros(size, BAR)
    bars["live"] = 1
    return bars


def signals_of(scan: Any, strategy: Strategy, bars: np.ndarray, **params: object) -> np.ndarray:
    signals = np.zeros(len(bars), SIGNAL)
    written = scan(bars, len(bars), strategy.new_state(), strategy.params_from(params), signals)
    return signals[:written]


# --- parameters -------------------------------------------------------------------------------------------


def test_an_unknown_parameter_is_named_with_its_nearest_key() -> None:
    with pytest.raises(UnknownParam, match="'ema_fasst'.*did you mean 'ema_fast'") as caught:
        STRATEGIES["scalping"].params_from({"ema_fasst": 9})
    assert (caught.value.key, caught.value.nearest) == ("ema_fasst", "ema_fast")
    assert "rsi_period" in caught.value.expected


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("ema_fast", 9.0),
        ("ema_fast", True),
        ("ema_fast", "9"),
        ("stop_atr", "1"),
        ("allow_long", 1),
        ("rsi_low", None),
    ],
)
def test_a_parameter_of_the_wrong_type_is_refused(key: str, value: object) -> None:
    with pytest.raises(WrongParamType, match=f"'{key}'.*expected (a|true)"):
        STRATEGIES["scalping"].params_from({key: value})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("ema_fast", 0),
        ("ema_slow", 10**30),
        ("stop_atr", float("nan")),
        ("stop_atr", -1.0),
        ("volume_period", 241),
    ],
)
def test_a_parameter_out_of_range_is_refused(key: str, value: object) -> None:
    with pytest.raises(ParamOutOfRange, match=f"'{key}'.*from "):
        STRATEGIES["scalping"].params_from({key: value})


@pytest.mark.parametrize(
    "params",
    [
        {"ema_fast": 21},
        {"target_rr": 1.1},
        {"partial_targets": True, "target2_rr": 1.5},
        {"allow_long": False, "allow_short": False},
        {"pattern_a": False, "pattern_b": False},
    ],
)
def test_parameters_that_contradict_each_other_are_refused(params: dict[str, object]) -> None:
    with pytest.raises(ImpossibleParams, match="strategy 'scalping': "):
        STRATEGIES["scalping"].params_from(params)


def test_given_parameters_are_used_and_a_whole_number_is_a_fraction_too() -> None:
    params = STRATEGIES["scalping"].params_from({"ema_slow": 60, "stop_atr": 2})
    assert (params["ema_slow"][0], params["stop_atr"][0], params["ema_mid"][0]) == (60, 2.0, 21)


def test_a_definition_that_contradicts_itself_is_refused() -> None:
    good: dict[str, Any] = {"name": "x", "step": silent, "state": [("count", "i8")], "warmup": lambda p: 1}
    with pytest.raises(StrategyIsMalformed, match="cannot be called 'mean'"):
        Strategy(**{**good, "state": [("mean", "f8")]}, params={"bars": Param(1)})
    with pytest.raises(StrategyIsMalformed, match="default 9 of 'bars' is not a whole number from 1 to 5"):
        Strategy(**good, params={"bars": Param(9, 1, 5)})


# --- loading and caching ----------------------------------------------------------------------------------

USER_FILE = """
from numba import njit
from flowguardian.strategies.base import Param, Strategy

@njit
def step(state, bar, params, out):
    state.count += 1
    out.stop = {stop}
    return 1 if state.count % params.every == 0 else 0

strategy = Strategy(
    name="mine", step=step, state=[("count", "i8")], params={{"every": Param(10, 1, 99)}}, warmup=lambda p: 1
)
"""


def test_a_users_file_is_loaded_compiled_and_a_changed_file_is_compiled_anew(tmp_path: Path) -> None:
    for stop in (1.5, 2.5):
        path = tmp_path / f"version {stop}" / "mine.py"
        path.parent.mkdir()
        path.write_text(USER_FILE.format(stop=stop), encoding="utf-8")
        mine = strategy_cache.load(str(path))
        signals = signals_of(strategy_cache.scan_of(mine, tmp_path), mine, live_bars(50), every=25)
        assert signals["bars_seen"].tolist() == [25, 50]
        assert signals["stop"].tolist() == [stop, stop]
    assert len(list(tmp_path.glob("flowguardian_scan_*.py"))) == 2


def test_a_strategy_that_cannot_be_found_or_loaded_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        strategy_cache.UnknownStrategy, match="no strategy 'scalpin'.*did you mean 'scalping'"
    ):
        strategy_cache.load("scalpin")
    with pytest.raises(strategy_cache.UnknownStrategy, match="no strategy file at .*gone.py"):
        strategy_cache.load(tmp_path / "gone.py")
    for name, text in (("empty", "x = 1"), ("broken", "def :"), ("lost", "import not_there_at_all")):
        path = tmp_path / f"{name}.py"
        path.write_text(text, encoding="utf-8")
        with pytest.raises(strategy_cache.NotAStrategyFile, match=f"{name}.py"):
            strategy_cache.load(path)


def test_a_step_numba_cannot_compile_is_named_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "bad.py"
    path.write_text(USER_FILE.format(stop="open('x')"), encoding="utf-8")
    with pytest.raises(strategy_cache.StepCannotBeCompiled, match="'mine'.*remove @njit"):
        strategy_cache.scan_of(strategy_cache.load(path), tmp_path)


def test_an_njit_step_inside_a_function_is_refused(tmp_path: Path) -> None:
    inner = njit(lambda state, bar, params, out: 0)
    strategy = Strategy(
        name="inner", step=inner, state=[("count", "i8")], params={"bars": Param(1)}, warmup=lambda p: 1
    )
    with pytest.raises(strategy_cache.StepCannotBeCompiled, match="top level"):
        strategy_cache.scan_of(strategy, tmp_path)


def test_a_step_that_forgets_to_return_is_named() -> None:
    strategy = Strategy(
        name="mute",
        step=lambda state, bar, params, out: None,  # type: ignore[arg-type,return-value]
        state=[("count", "i8")],
        params={"bars": Param(1)},
        warmup=lambda p: 1,
    )
    with pytest.raises(StepReturnedNoSide, match="'mute'.*return \\+1, -1 or 0"):
        signals_of(python_scan(strategy), strategy, live_bars(3))


def test_the_second_start_finds_the_scan_compiled(tmp_path: Path) -> None:
    program = (
        "from flowguardian.ops.strategy_cache import compiled_scan, load\n"
        "scan = compiled_scan(load('ema_cross'))\n"
        "print(sum(scan.stats.cache_hits.values()), sum(scan.stats.cache_misses.values()))\n"
    )
    environment = {**os.environ, "FLOWGUARDIAN_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    environment.pop("NUMBA_CACHE_DIR", None)
    starts = [
        subprocess.run(
            [sys.executable, "-c", program],
            env=environment,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=True,
        ).stdout.split()
        for _ in range(2)
    ]
    assert starts == [["0", "1"], ["1", "0"]]
