"""Rows, limits and a portfolio for the tests of the guards: one healthy moment, changed field by field.

Rule: with nothing changed every guard lets the entry through, so a refusal comes from what a test changed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec

from flowguardian.execution.events import (
    EntryRefused,
    ExitReason,
    OrderRequested,
    PositionClosed,
    Purpose,
    Reason,
    Signal,
)
from flowguardian.execution.limits import (
    BudgetLimits,
    Costs,
    GuardLimits,
    Limits,
    SizingLimits,
    StrategyLimits,
)
from flowguardian.execution.money import units
from flowguardian.guards.base import View

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
NOON = 1_747_828_800 * SECOND
"""2025-05-21 12:00 UTC."""

STRATEGY = StrategyLimits(
    name="scalping",
    max_hold_ns=30 * MINUTE,
    target1_fraction=units("0.5"),
    break_even_trigger=0,
    allow_add=False,
    max_adds=0,
    on_opposite="ignore",
)


@dataclass
class Held:
    """An open position as guards see it."""

    symbol: str = "BTCUSDT"
    strategy: str = "scalping"
    side: int = 1
    qty: int = units(1)
    opened_ns: int = NOON
    expiry_ns: int = NOON + 30 * MINUTE
    adds: int = 0


@dataclass
class Book:
    """A portfolio as guards see it; `orders` are the (symbol, strategy) of pending entries."""

    held: list[Held] = field(default_factory=list)
    orders: list[tuple[str, str]] = field(default_factory=list)

    @property
    def positions(self) -> dict[str, Held]:
        return {position.symbol: position for position in self.held}

    @property
    def pending(self) -> dict[str, int]:
        return {symbol: sum(other == symbol for other, _ in self.orders) for symbol, _ in self.orders}

    def open_count(self, strategy: str | None = None) -> int:
        return sum(strategy in (None, position.strategy) for position in self.held)

    def pending_count(self, strategy: str | None = None) -> int:
        return sum(strategy in (None, owner) for _, owner in self.orders)


GUARD_LIMITS = GuardLimits(
    enabled=frozenset(Reason),
    warmup_bars=60,
    max_trade_age_ns=5 * SECOND,
    max_top_age_ns=3 * SECOND,
    max_signal_age_ns=10 * SECOND,
    max_clock_skew_ns=SECOND,
    flash_move=units("0.03"),
    volume_spike_mult=4.0,
    volume_thin_mult=0.0,
    max_spread=units("0.001"),
    max_price_deviation=units("0.005"),
    symbol_cooldown_ns=90 * SECOND,
    entry_cooldown_ns=20 * SECOND,
    max_consecutive_losses=3,
    loss_pause_ns=30 * MINUTE,
    max_daily_loss=units("0.1"),
    max_drawdown=units("0.25"),
    starvation_window_ns=HOUR,
    starvation_signals=3,
)


def limits(
    *, strategy: StrategyLimits = STRATEGY, max_positions: int = 3, per_strategy: int = 5, **guards: Any
) -> Limits:
    """The limits of the samples with some guard thresholds replaced."""
    return Limits(
        start_equity=units(50_000),
        sizing=SizingLimits(
            min_notional=units(100),
            max_notional=units(15_000),
            risk_per_trade=units("0.003"),
            multi_position_scaling=True,
            exposure_reduction=units("0.95"),
            allow_partial_entry=True,
            context_enabled=True,
            atr_low=units("0.004"),
            atr_high=units("0.02"),
            low_volatility_mult=units("1.2"),
            high_volatility_mult=units("0.7"),
            leverage=5,
        ),
        budget=BudgetLimits(
            allocation={"scalping": units("0.25")},
            default_allocation=units("0.25"),
            max_positions=max_positions,
            max_strategy_positions=per_strategy,
            max_symbol_exposure=units("0.35"),
            max_total_exposure=units("0.95"),
            max_total_notional=None,
        ),
        guards=msgspec.structs.replace(GUARD_LIMITS, **guards),
        strategies={"scalping": strategy, "other": msgspec.structs.replace(strategy, name="other")},
        costs=Costs(
            taker=units("0.0004"),
            maker=units("0.0002"),
            slippage=units("0.0005"),
            max_slippage=units("0.001"),
            latency_min_ns=0,
            latency_max_ns=0,
            maintenance_margin=units("0.005"),
        ),
    )


_SIGNAL = Signal(
    ts_ns=NOON + SECOND,
    symbol="BTCUSDT",
    strategy="scalping",
    side=1,
    pattern="A",
    bar_ns=NOON - MINUTE,
    bar_end_ns=NOON,
    price=units(100_000),
    bid=units(99_995),
    ask=units(100_005),
    trade_age_ns=SECOND,
    top_age_ns=SECOND,
    stop_distance=units(100),
    target1_distance=units(180),
    target2_distance=0,
    trail_distance=0,
    atr=80.0,
    volume=12.0,
    volume_mean=10.0,
    move=0.001,
    bars_seen=500,
    clock_skew_ns=0,
    marks=(),
    peak_equity=units(50_000),
    day_start_equity=units(50_000),
)
_ORDER = OrderRequested(
    ts_ns=NOON + SECOND,
    order_id=1,
    symbol="BTCUSDT",
    strategy="scalping",
    side=1,
    purpose=Purpose.ENTRY,
    qty=units("0.1"),
    limit_price=units(100_100),
    reserved=units(10_010),
    reason="A",
    bound="risk",
    bar_ns=NOON - MINUTE,
    stop_distance=units(100),
    target1_distance=units(180),
    target2_distance=0,
    trail_distance=0,
    hold_ns=30 * MINUTE,
    equity=units(50_000),
    shadow=(),
)
_CLOSED = PositionClosed(
    ts_ns=NOON,
    symbol="BTCUSDT",
    strategy="scalping",
    side=1,
    opened_ns=NOON - 5 * MINUTE,
    realised=units(10),
    fees=units(1),
    funding=0,
    reason=ExitReason.TARGET1,
)
_REFUSED = EntryRefused(
    ts_ns=NOON + SECOND,
    symbol="BTCUSDT",
    strategy="scalping",
    side=1,
    bar_ns=NOON - MINUTE,
    code=Reason.SPREAD,
    limit=0.001,
    value=0.002,
    release="spread_narrows",
    release_ns=0,
    shadow=(),
)


def signal(**changes: Any) -> Signal:
    """A healthy signal with some fields replaced."""
    return msgspec.structs.replace(_SIGNAL, **changes)


def order(**changes: Any) -> OrderRequested:
    """The entry order of the healthy signal with some fields replaced."""
    return msgspec.structs.replace(_ORDER, **changes)


def closed(**changes: Any) -> PositionClosed:
    """A small win with some fields replaced."""
    return msgspec.structs.replace(_CLOSED, **changes)


def refused(**changes: Any) -> EntryRefused:
    """A refusal by the spread guard with some fields replaced."""
    return msgspec.structs.replace(_REFUSED, **changes)


def view(of: Limits | None = None, book: Book | None = None) -> View:
    """A ready, active engine."""
    return View(of or limits(), book or Book(), ready=True)
