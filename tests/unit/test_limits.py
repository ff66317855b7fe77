"""From settings to the integers of the core, exactly; and which limits can never bind."""

from __future__ import annotations

from pathlib import Path

import pytest

from flowguardian.execution.events import LimitShadowed, Reason
from flowguardian.execution.money import SCALE, units
from flowguardian.ops.limits import Shadow, describe, limits_of, shadow_rows, shadowed_limits
from flowguardian.ops.loading import load
from flowguardian.ops.settings import Settings

V61 = Path(__file__).resolve().parents[2] / "configs" / "scalping" / "real_paper_12h_v6_1_phase17.yml"
NOTIONAL, TOTAL = "position_sizing.max_position_notional", "portfolio.max_total_exposure"
BUDGET = "portfolio.budget.strategy_allocation.scalping"
SECOND = 1_000_000_000
QUIET = ("risk.max_exposure_per_symbol=0.25", "position_sizing.max_position_notional=12500",
         "portfolio.max_strategy_positions=3")  # fmt: skip


def shadows(*sets: str) -> dict[str, tuple[str, int, int]]:
    settings = load(V61, (*QUIET, *sets), {}).settings
    return {shadow.limit: (shadow.by, shadow.value, shadow.effective) for shadow in shadowed_limits(settings)}


def test_the_v6_1_file_lists_exactly_its_own_shadowed_limits() -> None:
    """A symbol limit of 35 % over a budget of 25 % once made sizes the portfolio always refused."""
    found = load(V61, env={})
    expected = (
        Shadow("risk.max_exposure_per_symbol", units(17_500), BUDGET, units(12_500)),
        Shadow(NOTIONAL, units(15_000), BUDGET, units(12_500)),
        Shadow("portfolio.max_strategy_positions", units(5), "risk.max_positions", units(3)),
    )
    assert shadowed_limits(found.settings) == found.shadows == expected
    assert found.warnings == tuple(describe(shadow) for shadow in expected)
    assert found.warnings[0] == (
        f"risk.max_exposure_per_symbol (17,500) can never bind: {BUDGET} is tighter, 12,500 holds"
    )
    assert shadow_rows(expected, 7)[2] == LimitShadowed(
        7, "portfolio.max_strategy_positions", 5 * SCALE, "risk.max_positions", 3 * SCALE
    )


def test_equal_limits_shadow_nothing() -> None:
    assert shadows() == {}


@pytest.mark.parametrize(
    ("sets", "expected"),
    [
        (("risk.max_exposure_pct=0.5",),
         {"portfolio.max_total_exposure": ("risk.max_exposure_pct", units(47_500), units(25_000))}),
        (("portfolio.max_total_exposure=0.2",),
         {"risk.max_exposure_per_symbol": (TOTAL, units(12_500), units(10_000)),
          NOTIONAL: (TOTAL, units(12_500), units(10_000)),
          "risk.max_exposure_pct": (TOTAL, units(47_500), units(10_000)),
          BUDGET: (TOTAL, units(12_500), units(10_000))}),
        (("position_sizing.max_position_notional=1000",),
         {"risk.max_exposure_per_symbol": (NOTIONAL, units(12_500), units(1000)),
          BUDGET: (NOTIONAL, units(12_500), units(3000))}),
        (("position_sizing.max_position_notional=5000", "strategies.scalping.allow_add=true",
          "strategies.scalping.max_adds=2"), {}),
        (("universe.symbols=[BTCUSDT, ETHUSDT]",),
         {"risk.max_positions": ("universe.symbols", units(3), units(2)),
          "portfolio.max_strategy_positions": ("universe.symbols", units(3), units(2))}),
        (("risk.max_positions=4",),
         {"risk.max_positions": ("portfolio.max_strategy_positions", units(4), units(3))}),
        (("risk.max_positions=4", "strategies.ema_cross={}"), {}),
    ],
)  # fmt: skip
def test_a_limit_that_cannot_bind_is_listed_with_what_is_tighter(
    sets: tuple[str, ...], expected: dict[str, tuple[str, int, int]]
) -> None:
    assert shadows(*sets) == expected


def test_a_symbol_limit_over_one_strategys_budget_can_bind_for_another() -> None:
    sets = ("strategies.ema_cross={}", "portfolio.budget.strategy_allocation.ema_cross=0.5")
    assert (
        shadows(*sets, "risk.max_exposure_per_symbol=0.4", "position_sizing.max_position_notional=20000")
        == {}
    )


def test_the_limits_of_v6_1_are_exact() -> None:
    limits = limits_of(load(V61, env={}).settings)
    assert limits.start_equity == 50_000 * SCALE
    assert (limits.sizing.min_notional, limits.sizing.max_notional) == (100 * SCALE, 15_000 * SCALE)
    assert limits.sizing.risk_per_trade == 300_000
    assert limits.sizing.exposure_reduction == 95_000_000
    assert (limits.sizing.atr_low, limits.sizing.atr_high) == (400_000, 2_000_000)
    assert (limits.sizing.low_volatility_mult, limits.sizing.high_volatility_mult) == (
        120_000_000,
        70_000_000,
    )
    assert limits.sizing.leverage == 10
    assert limits.budget.allocation == {"scalping": 25_000_000}
    assert (limits.budget.max_positions, limits.budget.max_strategy_positions) == (3, 5)
    assert (limits.budget.max_symbol_exposure, limits.budget.max_total_exposure) == (35_000_000, 95_000_000)
    assert (limits.costs.taker, limits.costs.maker) == (40_000, 20_000)
    assert (limits.costs.slippage, limits.costs.max_slippage) == (50_000, 100_000)
    assert (limits.costs.latency_min_ns, limits.costs.latency_max_ns) == (20_000_000, 120_000_000)
    assert limits.costs.maintenance_margin == 500_000
    scalping = limits.strategies["scalping"]
    assert (scalping.max_hold_ns, scalping.target1_fraction, scalping.break_even_trigger) == (
        1800 * SECOND,
        SCALE,
        0,
    )
    assert (scalping.on_opposite, scalping.allow_add, scalping.max_adds) == ("ignore", False, 0)


def test_the_guards_of_v6_1_are_exact() -> None:
    guards = limits_of(load(V61, env={}).settings).guards
    assert guards.warmup_bars == 50
    assert (guards.max_trade_age_ns, guards.max_top_age_ns, guards.max_signal_age_ns) == (
        15 * SECOND,
        15 * SECOND,
        5 * SECOND,
    )
    assert guards.max_clock_skew_ns == SECOND
    assert (guards.flash_move, guards.max_spread, guards.max_price_deviation) == (
        3_000_000,
        150_000,
        2_000_000,
    )
    assert (guards.volume_spike_mult, guards.volume_thin_mult) == (4.0, 0.1)
    assert (guards.symbol_cooldown_ns, guards.entry_cooldown_ns) == (90 * SECOND, 20 * SECOND)
    assert (guards.max_consecutive_losses, guards.loss_pause_ns) == (6, 1800 * SECOND)
    assert (guards.max_daily_loss, guards.max_drawdown) == (5_000_000, 25_000_000)
    assert (guards.starvation_window_ns, guards.starvation_signals) == (3600 * SECOND, 3)


def test_only_the_volume_guard_of_v6_1_runs_in_shadow() -> None:
    steps = {Reason.SIZING, Reason.EXPOSURE, Reason.PORTFOLIO_BUDGET, Reason.VENUE_FILTERS}
    assert set(Reason) - limits_of(load(V61, env={}).settings).guards.enabled == steps | {Reason.VOLUME}


@pytest.mark.parametrize(
    ("switch", "code"),
    [
        ("guards.stale_data.enabled=false", Reason.STALE_DATA),
        ("guards.stale_signal.enabled=false", Reason.STALE_SIGNAL),
        ("guards.clock_skew.enabled=false", Reason.CLOCK_SKEW),
        ("guards.flash_move.enabled=false", Reason.FLASH_MOVE),
        ("guards.spread.enabled=false", Reason.SPREAD),
        ("guards.price_sanity.enabled=false", Reason.PRICE_SANITY),
        ("enable_vol_spike_filter=true", Reason.VOLUME),
    ],
)
def test_each_switch_moves_its_own_guard(switch: str, code: Reason) -> None:
    before = limits_of(load(V61, env={}).settings).guards.enabled
    after = limits_of(load(V61, [switch], {}).settings).guards.enabled
    assert before ^ after == {code}


def test_the_tighter_ceiling_of_the_account_holds() -> None:
    assert (
        limits_of(load(V61, ["risk.max_exposure_pct=0.5"], {}).settings).budget.max_total_exposure
        == SCALE // 2
    )
    assert (
        limits_of(load(V61, ["portfolio.max_total_exposure=0.6"], {}).settings).budget.max_total_exposure
        == 60_000_000
    )


def test_a_disabled_strategy_has_no_limits() -> None:
    settings = load(V61, ["strategies.ema_cross.enabled=false"], {}).settings
    assert list(limits_of(settings).strategies) == ["scalping"]


def test_a_percentage_finer_than_the_core_is_an_error_not_a_rounding() -> None:
    with pytest.raises(ValueError, match="finer than 1e-8"):
        limits_of(load(V61, ["risk.max_daily_loss_pct=5.00000001"], {}).settings)


def test_settings_that_were_not_loaded_are_refused() -> None:
    with pytest.raises(ValueError, match="load the settings"):
        limits_of(Settings())
