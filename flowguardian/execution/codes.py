"""The words that rows use: reasons, purposes, states and commands; events.py hands them on.

Rule: a code is never renamed or reused, because journals of every age hold it.
"""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """Why an entry was refused or reduced; one code per guard or pipeline step, in pipeline order."""

    READY_GATE = "ready_gate"
    WARMUP = "warmup"
    STALE_DATA = "stale_data"
    STALE_SIGNAL = "stale_signal"
    CLOCK_SKEW = "clock_skew"
    SIGNAL_IDEMPOTENCY = "signal_idempotency"
    DUPLICATE_ENTRY = "duplicate_entry"
    FLASH_MOVE = "flash_move"
    VOLUME = "volume"
    SPREAD = "spread"
    PRICE_SANITY = "price_sanity"
    SYMBOL_COOLDOWN = "symbol_cooldown"
    STRATEGY_COOLDOWN = "strategy_cooldown"
    CONSECUTIVE_LOSSES = "consecutive_losses"
    DAILY_LOSS = "daily_loss"
    DRAWDOWN = "drawdown"
    MAX_POSITIONS = "max_positions"
    MAX_STRATEGY_POSITIONS = "max_strategy_positions"
    SIZING = "sizing"
    EXPOSURE = "exposure"
    PORTFOLIO_BUDGET = "portfolio_budget"
    VENUE_FILTERS = "venue_filters"


class ExitReason(StrEnum):
    """Why a position was reduced or closed."""

    STOP = "stop"
    TARGET1 = "target1"
    TARGET2 = "target2"
    BREAK_EVEN = "break_even"
    TRAILING = "trailing"
    EXPIRY = "expiry"
    OPPOSITE = "opposite"
    FLATTEN = "flatten"
    LIQUIDATION = "liquidation"
    DELEVERAGED = "deleveraged"
    SETTLED = "settled"
    OUTSIDE = "outside"


class Purpose(StrEnum):
    """What an order is for."""

    ENTRY = "entry"
    EXIT = "exit"


class TradingState(StrEnum):
    """ACTIVE trades, REDUCING only closes, HALTED does not enter and waits for `resume`."""

    ACTIVE = "ACTIVE"
    REDUCING = "REDUCING"
    HALTED = "HALTED"


class Command(StrEnum):
    """Operator commands, journaled as facts."""

    HALT = "halt"
    RESUME = "resume"
    FLATTEN = "flatten"
    STOP = "stop"
