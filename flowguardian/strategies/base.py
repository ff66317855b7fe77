"""What a strategy is: params + state + `step(state, bar, params, out) -> side`.

Rule: a step sees one closed bar of one symbol and its own state, never positions, clocks or files.
`scan_bars` is the only loop around a step. It runs as it stands for a step in plain Python; for an njit step
`ops/strategy_cache.py` compiles the very same text. So both give the same signals, bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, NoReturn

import numpy as np

UNIT = 1e-8
"""One integer unit of a price as a float: `bar.close * UNIT` is the close in whole units."""

MAX_GAP_BARS = 5
"""More bars in a row without a trade than this, and a strategy starts anew at the next trade."""

Scan = Callable[[Any, int, Any, Any, Any], int]
"""scan(bars, count, state, params, signals) -> number of signals written."""


class StrategyError(ValueError):
    """A strategy or its parameters cannot be used."""


class ParamError(StrategyError):
    """A parameter in the config is wrong; says which, what was expected, and the nearest valid key."""

    def __init__(self, strategy: str, key: str, expected: str, given: object, nearest: str = "") -> None:
        self.strategy, self.key, self.expected = strategy, key, expected
        self.given, self.nearest = given, nearest
        hint = f"; did you mean '{nearest}'?" if nearest else ""
        super().__init__(f"strategy '{strategy}', key '{key}': expected {expected}, got {given!r}{hint}")


class UnknownParam(ParamError):
    """The strategy has no parameter of this name."""


class WrongParamType(ParamError):
    """The value is not of the parameter's type."""


class ParamOutOfRange(ParamError):
    """The value lies outside what the parameter allows."""


class ImpossibleParams(StrategyError):
    """Each value is allowed, but together they make no sense."""


class StrategyIsMalformed(StrategyError):
    """A `Strategy(...)` definition contradicts itself."""


class StepReturnedNoSide(StrategyError):
    """A step must return +1 (long), -1 (short) or 0 on every path."""


@dataclass(frozen=True)
class Param:
    """A parameter: its default (which fixes the type), its inclusive range, and what it does."""

    default: int | float | bool
    low: float = float("-inf")
    high: float = float("inf")
    what: str = ""

    @property
    def code(self) -> str:
        """The numpy type that holds it."""
        if isinstance(self.default, bool):
            return "?"
        return "i8" if isinstance(self.default, int) else "f8"

    @property
    def expected(self) -> str:
        """The values it takes, for messages and docs."""
        if self.code == "?":
            return "true or false"
        kind = "a whole number" if self.code == "i8" else "a number"
        return f"{kind} from {self.low:g} to {self.high:g}"

    def accepts_type(self, value: object) -> bool:
        """A bool is no number here, and a whole number is fine where a fraction is allowed."""
        if isinstance(value, bool) or self.code == "?":
            return isinstance(value, bool) and self.code == "?"
        return isinstance(value, int) or (self.code == "f8" and isinstance(value, float))

    def accepts(self, value: Any) -> bool:
        """Whether a value of the right type lies in the range; NaN never does."""
        return self.code == "?" or (self.low <= value <= self.high and abs(value) < 2**62)


def no_complaint(params: Any) -> str:
    """The check of a strategy whose parameters are free of each other."""
    return ""


@dataclass(frozen=True, kw_only=True)
class Strategy:
    """A strategy, complete: what the engine, the config and the docs need to know about it.

    `step` is an njit function (fast) or a plain one. `state` is its memory, zeros at the start.
    `warmup` tells from the params record how many bars must be seen before a signal is possible.
    `check` returns a sentence when parameters contradict each other, "" otherwise.
    """

    name: str
    step: Callable[[Any, Any, Any, Any], int]
    state: Any
    params: Mapping[str, Param]
    warmup: Callable[[Any], int]
    patterns: Mapping[int, str] = field(default_factory=lambda: {0: "signal"})
    check: Callable[[Any], str] = no_complaint

    def __post_init__(self) -> None:
        object.__setattr__(self, "state", np.dtype(self.state))
        for name in [*(self.state.names or ()), *self.params]:
            if hasattr(np.record, name):
                self._malformed(f"a field cannot be called '{name}', numpy records own that name; rename it")
        for key, param in self.params.items():
            if not param.accepts(param.default):
                self._malformed(f"default {param.default!r} of '{key}' is not {param.expected}; correct one")
        self.params_from({})

    def _malformed(self, why: str) -> NoReturn:
        raise StrategyIsMalformed(f"strategy '{self.name}': {why}")

    @property
    def compiled(self) -> bool:
        """Whether the step is an njit function."""
        return hasattr(self.step, "py_func")

    @property
    def params_dtype(self) -> np.dtype[np.void]:
        """The layout of the params record, in the order of the definition."""
        return np.dtype([(key, param.code) for key, param in self.params.items()])

    @property
    def state_dtype(self) -> np.dtype[np.void]:
        """The whole state of a scan: how far it is, and `own`, the memory of the step."""
        return np.dtype([("bars_seen", "i8"), ("gaps", "i8"), ("own", self.state)])

    def new_state(self) -> np.ndarray[Any, Any]:
        """A cold state, an array of one record; its bytes are a complete snapshot."""
        return np.zeros(1, self.state_dtype)

    def params_from(self, mapping: Mapping[str, object]) -> np.ndarray[Any, Any]:
        """The params record (an array of one) from config values; what is not given keeps its default."""
        record = np.zeros(1, self.params_dtype)
        for key, param in self.params.items():
            record[key] = param.default
        for key, value in mapping.items():
            if key not in self.params:
                nearest = next(iter(get_close_matches(str(key), list(self.params), 1, 0.5)), "")
                raise UnknownParam(self.name, str(key), f"one of {', '.join(self.params)}", value, nearest)
            param = self.params[key]
            if not param.accepts_type(value):
                raise WrongParamType(self.name, key, param.expected, value)
            if not param.accepts(value):
                raise ParamOutOfRange(self.name, key, param.expected, value)
            record[key] = value
        complaint = self.check(record.view(np.recarray)[0])
        if complaint:
            raise ImpossibleParams(f"strategy '{self.name}': {complaint}")
        return record

    def warmup_bars(self, params: np.ndarray[Any, Any]) -> int:
        """How many bars must be seen before a signal is possible."""
        return int(self.warmup(params.view(np.recarray)[0]))

    def max_hold_minutes(self, params: np.ndarray[Any, Any]) -> float:
        """How long a position of this strategy may live; 0 when the strategy does not say."""
        return float(params["max_hold_minutes"][0]) if "max_hold_minutes" in self.params else 0.0


def scan_bars(step: Any, bars: Any, count: int, state: Any, params: Any, signals: Any) -> int:
    """Step over the first `count` bars, write the signals of live bars, return how many there are.

    `signals` needs room for `count` records; those beyond the returned number are scratch. The move and the
    volume of the bar stand in `out` before the step. A flat bar counts as a bar, until more than MAX_GAP_BARS
    of them follow each other: then the state is zeroed and stays so until something trades again.
    """
    if count > len(bars) or count > len(signals):
        raise ValueError("count is larger than the bars or the room for signals: pass as many as count says")
    scan = state[0]
    written = 0
    for i in range(count):
        bar = bars[i]
        if bar.gap == 0:
            scan.gaps = 0
        elif scan.gaps >= MAX_GAP_BARS:
            state.view(np.uint8)[:] = 0
            scan.gaps = MAX_GAP_BARS
            continue
        else:
            scan.gaps += 1
        scan.bars_seen += 1
        signals[written : written + 1].view(np.uint8)[:] = 0
        out = signals[written]
        out.volume = bar.volume
        if bar.open > 0:
            out.move = (bar.close - bar.open) / bar.open
        side = step(scan.own, bar, params[0], out)
        if side != 0 and bar.live == 1:
            out.close_ts = bar.close_ts
            out.bar_ns = bar.open_ns
            out.side = 1 if side > 0 else -1
            out.bars_seen = scan.bars_seen
            written += 1
    return written


def python_scan(strategy: Strategy) -> Scan:
    """The scan of a step in plain Python, or of an njit step without its compiler (to debug it)."""
    plain = getattr(strategy.step, "py_func", strategy.step)

    def step(state: Any, bar: Any, params: Any, out: Any) -> int:
        side = plain(state, bar, params, out)
        if side is None:
            raise StepReturnedNoSide(f"strategy '{strategy.name}': step returned None; return +1, -1 or 0")
        return int(side)

    def scan(bars: Any, count: int, state: Any, params: Any, signals: Any) -> int:
        records = [array.view(np.recarray) for array in (bars, state, params, signals)]
        return scan_bars(step, records[0], count, *records[1:])

    return scan
