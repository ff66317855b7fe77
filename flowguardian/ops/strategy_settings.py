"""What only a strategy knows about its settings: whether its parameters are right, and what it needs.

Rule: the one place where loading meets strategies; they bring numba, so they are imported when needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from flowguardian.ops.config_errors import KeyPath, Problem, shown
from flowguardian.ops.settings import Settings
from flowguardian.ops.settings_trading import StrategyBlock

if TYPE_CHECKING:
    from flowguardian.strategies.base import Strategy

HOLD = "max_hold_minutes"
Wrong = list[tuple[KeyPath, Problem]]


def strategy_of(name: str) -> Strategy:
    """A built-in strategy by name, or that of a .py file; raises StrategyError."""
    from flowguardian.ops import strategy_cache

    return strategy_cache.load(name)


def resolve_strategies(settings: Settings) -> tuple[dict[str, Any], Wrong]:
    """What the strategies fill in where the settings are silent, and what they refuse."""
    from flowguardian.strategies.base import StrategyError

    wrong: Wrong = []
    filled: dict[str, Any] = {}
    warm = 1
    for name, block in settings.strategies.items():
        key = ("strategies", name)
        try:
            filled[name], needed = _resolve(strategy_of(name), name, block)
        except StrategyError as error:
            wrong.append(_refusal(error, key, block))
        else:
            warm = max(warm, needed if block.enabled else 1)
    bars = settings.guards.warmup.bars
    if bars is not None and bars < warm:
        wrong.append(
            _problem(("guards", "warmup", "bars"), f"at least {warm}, what the strategies need", bars)
        )
    wrong += _unknown_names(settings)
    return {"strategies": filled, "guards": {"warmup": {"bars": bars or warm}}}, wrong


def _unknown_names(settings: Settings) -> Wrong:
    """Allocations of no strategy, and symbols of no contract."""
    from flowguardian.market.instruments import INSTRUMENTS

    wrong: Wrong = []
    allocation = ("portfolio", "budget", "strategy_allocation")
    for name in settings.portfolio.budget.strategy_allocation:
        if name not in settings.strategies:
            near = get_close_matches(name, list(settings.strategies), 1, 0.5)
            wanted = f"a strategy of this configuration: {', '.join(settings.strategies)}"
            wrong.append(
                _problem((*allocation, name), wanted, None, ".".join((*allocation, *near)) if near else "")
            )
    for index, symbol in enumerate(settings.universe.symbols):
        if symbol not in INSTRUMENTS:
            near = get_close_matches(symbol.upper(), list(INSTRUMENTS), 1, 0.5)
            where = ("universe", "symbols", str(index))
            wrong.append(_problem(where, "a known symbol", symbol, near[0] if near else ""))
    return wrong


def _resolve(strategy: Strategy, name: str, block: StrategyBlock) -> tuple[dict[str, Any], int]:
    """Complete keys of one strategy, and the bars it needs; raises StrategyError."""
    given = {key: _value(value) for key, value in block.params.items()}
    declared = strategy.params.get(HOLD)
    hold = block.max_hold_minutes
    if declared is not None and hold is not None:
        from flowguardian.strategies.base import ParamError

        if given.setdefault(HOLD, hold) != hold:
            raise ParamError(
                name, HOLD, f"{hold}, as strategies.{name}.{HOLD} says; leave it out here", given[HOLD]
            )
    record = strategy.params_from(given)
    params = {key: record[key][0].item() for key in strategy.params}
    if hold is None:
        hold = int(strategy.max_hold_minutes(record))
    return {HOLD: hold, "params": params}, strategy.warmup_bars(record)


def _value(value: Any) -> Any:
    """Parameters feed indicators, which are floats."""
    if isinstance(value, Decimal):
        return float(value)
    return dict(value) if isinstance(value, Mapping) else value


def _refusal(error: Exception, key: KeyPath, block: StrategyBlock) -> tuple[KeyPath, Problem]:
    from flowguardian.ops.strategy_cache import UnknownStrategy
    from flowguardian.strategies import STRATEGIES
    from flowguardian.strategies.base import ParamError, UnknownParam

    if isinstance(error, ParamError):
        on_block = error.key == HOLD and HOLD not in block.params
        path = (*key, HOLD) if on_block else (*key, "params", error.key)
        near = ".".join((*key, "params", error.nearest)) if error.nearest else ""
        unknown = "unknown parameter, " if isinstance(error, UnknownParam) else ""
        return path, Problem(
            "", ".".join(path), f"{unknown}expected {error.expected}", shown(error.given), near
        )
    if isinstance(error, UnknownStrategy):
        near = next(iter(get_close_matches(key[1], list(STRATEGIES), 1, 0.5)), "")
        known = f"unknown strategy, expected one of {', '.join(STRATEGIES)}, or a path to a .py file"
        return key, Problem("", ".".join(key), known, "", f"strategies.{near}" if near else "")
    where = (*key, "params")
    return where, Problem("", ".".join(where), str(error))


def _problem(key: KeyPath, wanted: str, found: Any, nearest: str = "") -> tuple[KeyPath, Problem]:
    text = "" if found is None else shown(found)
    return key, Problem("", ".".join(key), f"expected {wanted}", text, nearest)
