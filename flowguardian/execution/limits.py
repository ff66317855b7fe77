"""The numbers the core decides by: one frozen tree of integers, made from the settings at start.

Rule: no default hides here; every value has a key in the settings. Ratios are 1e-8 units (0.35 = 35_000_000).
"""

from __future__ import annotations

import msgspec

from flowguardian.execution.events import Reason


class SizingLimits(msgspec.Struct, frozen=True):
    """How large an entry may be."""

    min_notional: int
    max_notional: int
    risk_per_trade: int
    multi_position_scaling: bool
    exposure_reduction: int
    allow_partial_entry: bool
    context_enabled: bool
    atr_low: int
    atr_high: int
    low_volatility_mult: int
    high_volatility_mult: int
    leverage: int


class BudgetLimits(msgspec.Struct, frozen=True):
    """Who may use how much of the account."""

    allocation: dict[str, int]
    default_allocation: int
    max_positions: int
    max_strategy_positions: int
    max_symbol_exposure: int
    max_total_exposure: int
    max_total_notional: int | None
    """All symbols together, in money; None = no limit beside the share of equity."""


class GuardLimits(msgspec.Struct, frozen=True):
    """Thresholds of the guards; `enabled` names the ones that refuse (the others run in shadow)."""

    enabled: frozenset[Reason]
    warmup_bars: int
    max_trade_age_ns: int
    max_top_age_ns: int
    max_signal_age_ns: int
    max_clock_skew_ns: int
    flash_move: int
    volume_spike_mult: float
    volume_thin_mult: float
    max_spread: int
    max_price_deviation: int
    symbol_cooldown_ns: int
    entry_cooldown_ns: int
    max_consecutive_losses: int
    loss_pause_ns: int
    max_daily_loss: int
    max_drawdown: int
    starvation_window_ns: int
    starvation_signals: int


class StrategyLimits(msgspec.Struct, frozen=True):
    """What the engine needs to know of a strategy beside its kernel."""

    name: str
    max_hold_ns: int
    target1_fraction: int
    break_even_trigger: int
    allow_add: bool
    max_adds: int
    on_opposite: str
    """ignore | close | flip"""


class Costs(msgspec.Struct, frozen=True):
    """Fees and the execution model."""

    taker: int
    maker: int
    slippage: int
    max_slippage: int
    latency_min_ns: int
    latency_max_ns: int
    maintenance_margin: int


class Limits(msgspec.Struct, frozen=True):
    """Everything the core decides by."""

    start_equity: int
    sizing: SizingLimits
    budget: BudgetLimits
    guards: GuardLimits
    strategies: dict[str, StrategyLimits]
    costs: Costs
