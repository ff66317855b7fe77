"""Every setting there is: one frozen tree, read from YAML by `ops/loading.py` and from nowhere else.

Rule: no value is decided outside this tree, and a tree that contradicts itself cannot be made.
"""

from __future__ import annotations

from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from flowguardian.ops import settings_checks
from flowguardian.ops.settings_dashboard import Dashboard
from flowguardian.ops.settings_doctor import Doctor
from flowguardian.ops.settings_feed import Feed
from flowguardian.ops.settings_live import Live
from flowguardian.ops.settings_metrics import Metrics
from flowguardian.ops.settings_notify import Notify
from flowguardian.ops.settings_run import Acceptance, Market, Paper, Run
from flowguardian.ops.settings_stores import Stores
from flowguardian.ops.settings_trading import (
    TIMEFRAME_SECONDS,
    Account,
    Execution,
    Fees,
    Guards,
    Portfolio,
    PositionSizing,
    Risk,
    StrategyBlock,
    Universe,
)
from flowguardian.ops.settings_types import (
    Block,
    NotADuration,
    Number,
    duration_seconds,
    number,
    option,
    section,
)

__all__ = ["TRADING", "NotADuration", "Settings", "duration_seconds"]

TRADING = (
    "strategies",
    "guards",
    "enable_vol_spike_filter",
    "vol_spike_mult",
    "position_sizing",
    "risk",
    "portfolio",
    "universe",
    "fees",
    "execution",
)
"""The keys that make the trading hash: runs that share it trade by the same rules."""


def _scalping() -> dict[str, StrategyBlock]:
    return {"scalping": StrategyBlock()}


class Settings(Block):
    """The whole configuration of a run."""

    account: Account = section(Account, "The account.")
    fees: Fees = section(Fees, "What the venue takes.")
    execution: Execution = section(Execution, "How orders are sent, and how paper fills are modelled.")
    paper: Paper = section(Paper, "How long a paper run lasts.")
    position_sizing: PositionSizing = section(PositionSizing, "How large an entry is.")
    risk: Risk = section(Risk, "Limits of the account.")
    portfolio: Portfolio = section(Portfolio, "Limits of strategies and symbols.")
    enable_vol_spike_filter: bool = option(False, "Switch the volume guard on; false: only counted (shadow).")
    vol_spike_mult: Number = number("4", "Volume above this many times its mean is a spike.", "×", gt=0)
    guards: Guards = section(Guards, "Thresholds of the guards; those without `enabled` are always on.")
    strategies: dict[str, StrategyBlock] = Field(
        default_factory=_scalping,
        description="The strategies of the run, by name; without this section scalping runs.",
        json_schema_extra={"unit": ""},
    )
    universe: Universe = section(Universe, "What is traded.")
    market: Market = section(Market, "Where market data comes from.")
    feed: Feed = section(Feed, "How a market that arrives over a network is gathered.")
    run: Run = section(Run, "The processes of a run.")
    live: Live = section(Live, "Runs that trade an account, or look at one.")
    doctor: Doctor = section(Doctor, "What preflight and `flowguardian doctor` look at.")
    stores: Stores = section(Stores, "Copies of the journal in stores, kept by a process of their own.")
    notify: Notify = section(Notify, "Messages to people, sent from outside the trading process.")
    metrics: Metrics = section(Metrics, "Figures for Prometheus and the trading log.")
    dashboard: Dashboard = section(Dashboard, "The page to look at while a run goes on.")
    acceptance: Acceptance = section(Acceptance, "When a run passes. Fixed before it starts.")

    @field_validator("strategies")
    @classmethod
    def _in_order(cls, value: dict[str, StrategyBlock]) -> dict[str, StrategyBlock]:
        """By name: their order decides between equals, and must survive every file and hash."""
        return dict(sorted(value.items()))

    @model_validator(mode="after")
    def _no_contradiction(self) -> Settings:
        for found in settings_checks.contradictions(self):
            raise PydanticCustomError(
                "contradiction", "expected {expected}", {"key": found.key, "expected": found.expected}
            )
        return self

    @property
    def active(self) -> dict[str, StrategyBlock]:
        """The strategies that run."""
        return {name: block for name, block in self.strategies.items() if block.enabled}

    @property
    def bar_seconds(self) -> int:
        """Length of a bar."""
        return TIMEFRAME_SECONDS[self.universe.timeframe]

    def allocation(self, strategy: str) -> Number:
        """The share of the account a strategy may use."""
        budget = self.portfolio.budget
        return budget.strategy_allocation.get(strategy, budget.default_allocation)
