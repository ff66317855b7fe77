"""What settings cannot mean together, though each value is allowed.

Rule: only the impossible is refused here; a limit that a tighter one makes useless is `ops/limits.py`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from flowguardian.ops.settings_run import EXCHANGES

if TYPE_CHECKING:
    from flowguardian.ops.settings import Settings


class Contradiction(NamedTuple):
    """A key whose value cannot be meant, and what would be possible."""

    key: str
    expected: str


Found = Iterator[Contradiction]


def contradictions(settings: Settings) -> Found:
    """All of them, in a fixed order."""
    for check in CHECKS:
        yield from check(settings)


def _costs(settings: Settings) -> Found:
    execution = settings.execution
    if execution.latency_min_ms > execution.latency_max_ms:
        yield Contradiction(
            "execution.latency_min_ms", f"at most latency_max_ms ({execution.latency_max_ms})"
        )
    if execution.slippage > execution.max_slippage:
        yield Contradiction(
            "execution.slippage", f"at most max_slippage ({execution.max_slippage}): no entry could ever fill"
        )
    if execution.maintenance_margin * execution.leverage >= 1:
        yield Contradiction(
            "execution.maintenance_margin",
            f"less than 1 / leverage (1 / {execution.leverage}): every position would be liquidated at once",
        )


def _sizing(settings: Settings) -> Found:
    sizing = settings.position_sizing
    if sizing.min_position_notional > sizing.max_position_notional:
        yield Contradiction(
            "position_sizing.min_position_notional",
            f"at most max_position_notional ({sizing.max_position_notional:f})",
        )
    scaling = sizing.context_scaling
    if scaling.atr_low_pct >= scaling.atr_high_pct:
        yield Contradiction(
            "position_sizing.context_scaling.atr_low_pct", f"less than atr_high_pct ({scaling.atr_high_pct})"
        )
    equity, risk = settings.account.equity, settings.risk
    rooms = {
        "risk.max_exposure_per_symbol": risk.max_exposure_per_symbol * equity,
        "risk.max_exposure_pct": risk.max_exposure_pct * equity,
        "portfolio.max_total_exposure": settings.portfolio.max_total_exposure * equity,
    }
    for key, room in rooms.items():
        if room < sizing.min_position_notional:
            yield Contradiction(key, _too_small(settings, f"{room:f}"))


def _too_small(settings: Settings, room: str) -> str:
    least = settings.position_sizing.min_position_notional
    return f"room for one entry: it leaves {room} USDT, position_sizing.min_position_notional is {least:f}"


def _budget(settings: Settings) -> Found:
    budget, active = settings.portfolio.budget, settings.active
    for name, share in budget.strategy_allocation.items():
        if not 0 < share <= 1:
            yield Contradiction(f"portfolio.budget.strategy_allocation.{name}", "a number > 0 and ≤ 1")
    total = sum(settings.allocation(name) for name in active)
    if total > 1:
        yield Contradiction(
            "portfolio.budget.strategy_allocation",
            f"shares that sum to 1 at most; those of {', '.join(active)} sum to {total:f}",
        )
    slots = min(settings.risk.max_positions, settings.portfolio.max_strategy_positions)
    if not settings.position_sizing.multi_position_scaling:
        slots = 1
    for name in active:
        room = settings.allocation(name) * settings.account.equity / slots
        if room < settings.position_sizing.min_position_notional:
            named = name in budget.strategy_allocation
            key = f"strategy_allocation.{name}" if named else "default_allocation"
            yield Contradiction(f"portfolio.budget.{key}", _too_small(settings, f"{room:.2f}"))


def _guards(settings: Settings) -> Found:
    """An enabled guard without its input would refuse everything, or nothing, unseen."""
    guards, market = settings.guards, settings.market
    if market.venue in EXCHANGES:
        return
    tops = market.tops_per_minute > 0 and market.expand == "prints"
    why = "market.tops_per_minute is 0" if market.expand == "prints" else "market.expand is path"
    if not tops and guards.spread.enabled:
        yield Contradiction("guards.spread.enabled", f"false: there are no bids and asks to look at, {why}")
    if not tops and guards.price_sanity.enabled:
        yield Contradiction(
            "guards.price_sanity.enabled", f"false: there are no bids and asks to look at, {why}"
        )
    if not tops and guards.stale_data.enabled and guards.stale_data.max_top_age_seconds > 0:
        yield Contradiction("guards.stale_data.max_top_age_seconds", f"0: no bid or ask ever comes, {why}")
    if settings.vol_spike_mult <= guards.volume.thin_mult:
        yield Contradiction(
            "vol_spike_mult", f"more than guards.volume.thin_mult ({guards.volume.thin_mult})"
        )


def _strategies(settings: Settings) -> Found:
    active = settings.active
    if not active:
        yield Contradiction("strategies", "at least one strategy that is enabled")
    for name, block in active.items():
        if block.allow_add != (block.max_adds > 0):
            yield Contradiction(f"strategies.{name}.max_adds", "0 without allow_add, more than 0 with it")
    cooldowns = {block.entry_cooldown_seconds for block in active.values()}
    if len(cooldowns) > 1:
        last = list(active)[-1]
        yield Contradiction(
            f"strategies.{last}.entry_cooldown_seconds", "the same value in all strategies of one run"
        )


def _universe(settings: Settings) -> Found:
    symbols = settings.universe.symbols
    for index, symbol in enumerate(symbols):
        if symbol in symbols[:index]:
            yield Contradiction(f"universe.symbols.{index}", f"each symbol once, {symbol} is there twice")


def _venue(settings: Settings) -> Found:
    market = settings.market
    if market.venue in EXCHANGES:
        if market.speed != 1:
            yield Contradiction("market.speed", f"1: {market.venue} keeps its own time")
        if market.start is not None:
            yield Contradiction("market.start", f"null: {market.venue} is now")


def _run(settings: Settings) -> Found:
    run = settings.run
    if run.hang_timeout_seconds <= run.heartbeat_seconds:
        yield Contradiction(
            "run.hang_timeout_seconds", f"more than heartbeat_seconds ({run.heartbeat_seconds})"
        )


CHECKS: tuple[Callable[[Settings], Found], ...] = (
    _costs,
    _sizing,
    _budget,
    _guards,
    _strategies,
    _universe,
    _venue,
    _run,
)
