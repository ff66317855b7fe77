"""The settings that decide what is traded and how large: account, costs, sizing, risk, portfolio, guards.

Rule: a key that V6.1 had keeps its name and scale; the description says the scale where the name does not.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from flowguardian.ops.settings_types import Block, Number, Texts, number, option, section

Opposite = Literal["ignore", "close", "flip"]
Timeframe = Literal["1m", "3m", "5m", "15m", "30m", "1h"]
TIMEFRAME_SECONDS: dict[str, int] = {"1m": 60, "3m": 180, "5m": 300, "15m": 900, "30m": 1800, "1h": 3600}


class Account(Block):
    equity: Number = number("50000", "Equity at the start of the run.", "USDT", gt=0, le=1_000_000_000)


class Fees(Block):
    taker: Number = number("0.0004", "Fee of a fill that takes; 0.0004 = 0.04 %.", "ratio", ge=0, lt=1)
    maker: Number = number("0.0002", "Fee of a fill that rests; 0.0002 = 0.02 %.", "ratio", ge=0, lt=1)


class Execution(Block):
    slippage: Number = number("0.0005", "Modelled slippage of a paper fill.", "ratio", ge=0, lt=1)
    max_slippage: Number = number(
        "0.001", "An entry is an IOC limit this far beyond the decision price.", "ratio", ge=0, lt=1
    )
    latency_min_ms: int = option(20, "Shortest modelled time from decision to match.", "ms", ge=0, le=60_000)
    latency_max_ms: int = option(120, "Longest modelled time from decision to match.", "ms", ge=0, le=60_000)
    maintenance_margin: Number = number(
        "0.005", "Below this share of the open value in equity the venue liquidates.", "ratio", ge=0, lt=1
    )
    leverage: int = option(10, "Shown as margin only; it never makes a position larger.", "×", ge=1, le=125)


class ContextScaling(Block):
    enabled: bool = option(True, "Scale the risk of an entry by the volatility of its symbol.")
    atr_low_pct: Number = number(
        "0.004", "ATR / price below which a market is calm. A ratio in spite of its name: 0.004 = 0.4 %.",
        "ratio", ge=0, lt=1,
    )  # fmt: skip
    atr_high_pct: Number = number(
        "0.02", "ATR / price above which a market is wild. A ratio in spite of its name: 0.02 = 2 %.",
        "ratio", gt=0, le=1,
    )  # fmt: skip
    low_vol_mult: Number = number("1.2", "Factor on the risk in a calm market.", "×", gt=0, le=10)
    high_vol_mult: Number = number("0.7", "Factor on the risk in a wild market.", "×", gt=0, le=10)


class PositionSizing(Block):
    min_position_notional: Number = number("100", "No entry is smaller than this.", "USDT", gt=0)
    max_position_notional: Number = number("15000", "No entry is larger than this.", "USDT", gt=0)
    multi_position_scaling: bool = option(
        True, "Divide the available budget by the free slots, so that the first entry cannot starve the rest."
    )
    exposure_reduction_factor: Number = number(
        "0.95", "Factor on the risk for each position that is open or pending.", "×", gt=0, le=1
    )
    allow_partial_entry: bool = option(
        True, "Cut an entry down to what the budget leaves; false refuses it instead."
    )
    context_scaling: ContextScaling = section(ContextScaling, "Risk by volatility.")


class Risk(Block):
    max_drawdown_pct: Number = number(
        "25", "No entries while equity is this far below its peak.", "%", gt=0, le=100
    )
    max_positions: int = option(3, "Open and pending positions of the account.", "positions", ge=1, le=1000)
    per_trade: Number = number("0.003", "Share of equity lost when the stop is hit.", "ratio", gt=0, le=1)
    max_exposure_per_symbol: Number = number(
        "0.35", "Largest share of equity in a symbol.", "ratio", gt=0, le=10
    )
    max_exposure_pct: Number = number(
        "0.95", "Largest share of equity in all symbols, as a ratio in spite of its name; the tighter of "
        "this and portfolio.max_total_exposure holds.", "ratio", gt=0, le=10,
    )  # fmt: skip
    max_daily_loss_pct: Number = number(
        "5", "No entries for the rest of the UTC day after losing this share of its first equity.",
        "%", gt=0, le=100,
    )  # fmt: skip
    max_consecutive_losses: int = option(6, "Losses in a row that pause entries.", "trades", ge=1, le=1000)
    loss_pause_minutes: Number = number("30", "How long that pause is.", "min", gt=0, le=10_080)


class Budget(Block):
    default_allocation: Number = number(
        "0.25", "Share of the account of a strategy not named below.", "ratio", gt=0, le=1
    )
    strategy_allocation: dict[str, Number] = option(
        {},
        "Share of the account by strategy; the shares of all strategies of a run sum to 1 at most.",
        "ratio",
    )


class Portfolio(Block):
    symbol_cooldown_seconds: Number = number("90", "No entry in a symbol this soon after a close.", "s", ge=0)
    max_total_exposure: Number = number(
        "0.95", "Largest share of equity in all symbols.", "ratio", gt=0, le=10
    )
    max_strategy_positions: int = option(
        5, "Open and pending positions of one strategy.", "positions", ge=1, le=1000
    )
    budget: Budget = section(Budget, "Who may use how much of the account.")


class StaleData(Block):
    enabled: bool = option(True, "False: only counted (shadow).")
    max_trade_age_seconds: Number = number("15", "Age of the last trade that is too old.", "s", gt=0)
    max_top_age_seconds: Number = number(
        "15", "Age of the last bid and ask that is too old; 0 = tops are not looked at.", "s", ge=0
    )


class StaleSignal(Block):
    enabled: bool = option(True, "False: only counted (shadow).")
    max_age_seconds: Number = number("5", "A bar that ended longer ago than this gives no entry.", "s", gt=0)


class ClockSkew(Block):
    enabled: bool = option(True, "False: only counted (shadow).")
    max_ms: int = option(1000, "Largest difference between our clock and the venue's.", "ms", gt=0)


class FlashMove(Block):
    enabled: bool = option(True, "False: only counted (shadow).")
    max_move_pct: Number = number(
        "3", "A signalling bar that moved more than this is refused.", "%", gt=0, le=100
    )


class Volume(Block):
    thin_mult: Number = number(
        "0.1", "Volume below this many times its mean is too thin; 0 = thin is no reason. The guard is "
        "switched by enable_vol_spike_filter.", "×", ge=0,
    )  # fmt: skip


class Spread(Block):
    enabled: bool = option(True, "False: only counted (shadow).")
    max_bps: Number = number("15", "Widest spread for an entry. Needs tops.", "bps", gt=0, le=10_000)


class PriceSanity(Block):
    enabled: bool = option(True, "False: only counted (shadow).")
    max_deviation_pct: Number = number(
        "2",
        "Largest distance of the last trade from the middle of bid and ask. Needs tops.",
        "%",
        gt=0,
        le=100,
    )


class Warmup(Block):
    bars: int | None = option(
        None, "Bars a symbol must have shown; null = what its strategy needs, fewer is refused.", "bars", ge=1
    )


class Starvation(Block):
    window_minutes: Number = number(
        "60", "Run time without an entry that is an alarm ...", "min", gt=0, le=10_080
    )
    signals: int = option(3, "... when at least this many signals fell into it.", "signals", ge=1, le=1024)


class Guards(Block):
    stale_data: StaleData = section(StaleData, "Trades or tops of the symbol are too old.")
    stale_signal: StaleSignal = section(StaleSignal, "The bar closed too long ago.")
    clock_skew: ClockSkew = section(ClockSkew, "Our clock and the venue's differ.")
    flash_move: FlashMove = section(FlashMove, "The bar moved too far.")
    volume: Volume = section(Volume, "Too much volume, or too little.")
    spread: Spread = section(Spread, "Bid and ask are too far apart.")
    price_sanity: PriceSanity = section(PriceSanity, "The price is far from the quotes.")
    warmup: Warmup = section(Warmup, "Too few bars seen.")
    starvation: Starvation = section(Starvation, "Alarm when guards let nothing through; fails a run.")


class StrategyBlock(Block):
    """Keys every strategy has; `params` are its own and checked by the strategy itself."""

    enabled: bool = option(True, "False: the strategy does not run.")
    entry_cooldown_seconds: Number = number(
        "20", "No entry of the strategy, in any symbol, this soon after its last one.", "s", ge=0
    )
    max_hold_minutes: int | None = option(
        None,
        "A position is closed after this time; null = the strategy's own, 0 = never.",
        "min",
        ge=0,
        le=10_080,
    )
    on_opposite: Opposite = option("ignore", "What a signal against the open position does.")
    allow_add: bool = option(False, "A further signal may make the position larger.")
    max_adds: int = option(0, "How often it may.", "adds", ge=0, le=100)
    target1_fraction: Number = number(
        "1", "Share of a position closed at its first target.", "ratio", gt=0, le=1
    )
    break_even_trigger_r: Number = number(
        "0",
        "Move the stop to the entry after a gain of this many stop distances; 0 = off.",
        "R",
        ge=0,
        le=100,
    )
    params: dict[str, Any] = option({}, "The strategy's own parameters.")


class Universe(Block):
    symbols: Texts = Field(
        ("BTCUSDT", "ETHUSDT", "SOLUSDT", "BNBUSDT", "XRPUSDT", "LTCUSDT", "ADAUSDT"),
        description="Perpetuals to trade; their order is the order of simultaneous events.",
        json_schema_extra={"unit": ""},
        min_length=1,
        max_length=200,
    )
    timeframe: Timeframe = option("1m", "Length of the bars strategies see.")
