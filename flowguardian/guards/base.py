"""What every guard is: a rule that may refuse an entry, and what it is allowed to look at.

Rule: `review` reads and never changes anything; `apply` is the only way a guard's memory changes.
A guard sees entries only, so no guard can ever hold back an exit. Decisions compare exact integers where the
inputs are integers; the floats of a `Refused` (seconds, ratios, counts) are for people and decide nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from enum import StrEnum
from typing import Protocol

import msgspec

from flowguardian.execution.events import Reason, Row, Signal, TradingState
from flowguardian.execution.limits import Limits


class Release(StrEnum):
    """What lets entries pass again after a refusal."""

    RESUME_COMMAND = "resume_command"
    WARM_BARS = "warm_bars"
    FRESH_DATA = "fresh_data"
    NEXT_SIGNAL = "next_signal"
    CLOCK_IN_STEP = "clock_in_step"
    POSITION_CLOSES = "position_closes"
    PENDING_ORDER_ENDS = "pending_order_ends"
    TIME = "time"
    UTC_MIDNIGHT = "utc_midnight"
    SPREAD_NARROWS = "spread_narrows"
    VOLUME_NORMAL = "volume_normal"
    PRICE_NORMAL = "price_normal"
    BUDGET_FREES = "budget_frees"
    MOVE_CALMS = "move_calms"


class Refused(msgspec.Struct, frozen=True, gc=False):
    """An entry may not be made: the limit, the value that met it, and what releases the guard.

    `release_ns` is the run-clock time by which the guard lets go of itself, 0 when nobody can know it.
    """

    code: Reason
    limit: float
    value: float
    release: str
    release_ns: int


class Position(Protocol):
    """What a guard may know of an open position."""

    @property
    def symbol(self) -> str: ...
    @property
    def strategy(self) -> str: ...
    @property
    def side(self) -> int: ...
    @property
    def qty(self) -> int: ...
    @property
    def opened_ns(self) -> int: ...
    @property
    def expiry_ns(self) -> int: ...
    @property
    def adds(self) -> int: ...


class PortfolioView(Protocol):
    """What a guard may know of the portfolio; `pending` counts pending and unknown entry orders by symbol."""

    @property
    def positions(self) -> Mapping[str, Position]: ...
    @property
    def pending(self) -> Mapping[str, int]: ...
    def open_count(self, strategy: str | None = None) -> int: ...
    def pending_count(self, strategy: str | None = None) -> int: ...


class View:
    """The engine's state as guards see it; the engine owns the one instance and keeps it current."""

    __slots__ = (
        "day_start_equity",
        "degraded",
        "equity",
        "limits",
        "peak_equity",
        "portfolio",
        "ready",
        "trading_state",
    )

    def __init__(
        self,
        limits: Limits,
        portfolio: PortfolioView,
        *,
        trading_state: TradingState = TradingState.ACTIVE,
        ready: bool = False,
    ) -> None:
        self.limits = limits
        self.portfolio = portfolio
        self.trading_state = trading_state
        self.ready = ready
        self.equity = limits.start_equity
        self.peak_equity = limits.start_equity
        self.day_start_equity = limits.start_equity
        self.degraded: set[str] = set()


class Guard(Protocol):
    """One rule: `rows` are the kinds of rows its memory follows from."""

    @property
    def code(self) -> Reason: ...
    @property
    def rows(self) -> tuple[type[Row], ...]: ...
    def review(self, signal: Signal, view: View) -> Refused | None:
        """None when the entry may go on."""

    def apply(self, row: Row) -> None:
        """Learn from a row that was written."""

    def snapshot(self) -> object:
        """The whole memory in JSON types, equal for equal histories."""


class Stateless:
    """The half of a guard that remembers nothing."""

    __slots__ = ()
    rows: tuple[type[Row], ...] = ()

    def apply(self, row: Row) -> None:
        """Nothing to learn."""

    def snapshot(self) -> object:
        """Nothing to remember."""
        return None


def finite(value: float) -> float:
    """The value, or -1.0 (no such data) for NaN and infinities, which a journal row cannot hold."""
    return value if math.isfinite(value) else -1.0


def soonest_expiry_ns(portfolio: PortfolioView, strategy: str | None = None) -> int:
    """When the first open position (of a strategy) closes at the latest; 0 when none has a time limit."""
    return min(
        (
            position.expiry_ns
            for position in portfolio.positions.values()
            if position.expiry_ns > 0 and (strategy is None or position.strategy == strategy)
        ),
        default=0,
    )
