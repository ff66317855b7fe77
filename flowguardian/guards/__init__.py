"""The guards, in the order an entry meets them.

Rule: this dict is the order of the pipeline; adding a guard is one file and one line here. Guards that the
config does not enable are built as well: they run in shadow, and what they would have refused is counted.
"""

from __future__ import annotations

from collections.abc import Callable

from flowguardian.execution.events import Reason
from flowguardian.execution.limits import Limits
from flowguardian.guards.base import Guard
from flowguardian.guards.clock_skew import ClockSkew
from flowguardian.guards.consecutive_losses import ConsecutiveLosses
from flowguardian.guards.daily_loss import DailyLoss
from flowguardian.guards.drawdown import Drawdown
from flowguardian.guards.duplicate_entry import DuplicateEntry
from flowguardian.guards.flash_move import FlashMove
from flowguardian.guards.max_positions import MaxPositions
from flowguardian.guards.max_strategy_positions import MaxStrategyPositions
from flowguardian.guards.price_sanity import PriceSanity
from flowguardian.guards.ready_gate import ReadyGate
from flowguardian.guards.signal_idempotency import SignalIdempotency
from flowguardian.guards.spread import Spread
from flowguardian.guards.stale_data import StaleData
from flowguardian.guards.stale_signal import StaleSignal
from flowguardian.guards.strategy_cooldown import StrategyCooldown
from flowguardian.guards.symbol_cooldown import SymbolCooldown
from flowguardian.guards.volume import Volume
from flowguardian.guards.warmup import Warmup

GUARDS: dict[Reason, Callable[[Limits], Guard]] = {
    Reason.READY_GATE: ReadyGate,
    Reason.WARMUP: Warmup,
    Reason.STALE_DATA: StaleData,
    Reason.STALE_SIGNAL: StaleSignal,
    Reason.CLOCK_SKEW: ClockSkew,
    Reason.SIGNAL_IDEMPOTENCY: SignalIdempotency,
    Reason.DUPLICATE_ENTRY: DuplicateEntry,
    Reason.FLASH_MOVE: FlashMove,
    Reason.VOLUME: Volume,
    Reason.SPREAD: Spread,
    Reason.PRICE_SANITY: PriceSanity,
    Reason.SYMBOL_COOLDOWN: SymbolCooldown,
    Reason.STRATEGY_COOLDOWN: StrategyCooldown,
    Reason.CONSECUTIVE_LOSSES: ConsecutiveLosses,
    Reason.DAILY_LOSS: DailyLoss,
    Reason.DRAWDOWN: Drawdown,
    Reason.MAX_POSITIONS: MaxPositions,
    Reason.MAX_STRATEGY_POSITIONS: MaxStrategyPositions,
}


def build(limits: Limits) -> list[Guard]:
    """A fresh guard of each kind, in pipeline order."""
    return [make(limits) for make in GUARDS.values()]
