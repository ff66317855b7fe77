"""From settings to the integers the core decides by, and which of those limits can never bind.

Rule: every conversion is exact; a value finer than 1e-8 is an error, never rounded.
"""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

import msgspec

from flowguardian.execution.events import OF_AN_ACCOUNT, LimitShadowed, Reason
from flowguardian.execution.limits import (
    BudgetLimits,
    Costs,
    GuardLimits,
    Limits,
    SizingLimits,
    StrategyLimits,
)
from flowguardian.execution.money import decimal, units
from flowguardian.ops.settings import Settings

NS = 1_000_000_000
ALWAYS = frozenset(
    (
        Reason.READY_GATE,
        Reason.WARMUP,
        Reason.SIGNAL_IDEMPOTENCY,
        Reason.DUPLICATE_ENTRY,
        Reason.SYMBOL_COOLDOWN,
        Reason.STRATEGY_COOLDOWN,
        Reason.CONSECUTIVE_LOSSES,
        Reason.DAILY_LOSS,
        Reason.DRAWDOWN,
        Reason.MAX_POSITIONS,
        Reason.MAX_STRATEGY_POSITIONS,
    )
)
"""Guards without a switch: what they guard has no sense without them."""


class Shadow(NamedTuple):
    """A limit that can never bind: its key and value, the key that is tighter, and the value that holds.

    Values are in units of 1e-8 (USDT, or a number of positions).
    """

    limit: str
    value: int
    by: str
    effective: int


def limits_of(settings: Settings) -> Limits:
    """The limits of the core; wants settings that were loaded, where nothing is left open.

    Raises ValueError when something is: a strategy fills in its own hold and warm-up at loading.
    """
    return Limits(
        start_equity=units(settings.account.equity),
        sizing=_sizing(settings),
        budget=_budget(settings),
        guards=_guards(settings),
        strategies=_strategies(settings),
        costs=_costs(settings),
    )


def run_limits(settings: Settings, mode: str, start_equity: int) -> Limits:
    """The limits of a run: one of an account begins with what is there, and has a limit in money."""
    limits = limits_of(settings)
    if mode in OF_AN_ACCOUNT:
        most = units(settings.live.max_notional_usdt)
        limits = msgspec.structs.replace(
            limits, budget=msgspec.structs.replace(limits.budget, max_total_notional=most)
        )
    return msgspec.structs.replace(limits, start_equity=start_equity) if start_equity else limits


def _sizing(settings: Settings) -> SizingLimits:
    sizing, context = settings.position_sizing, settings.position_sizing.context_scaling
    return SizingLimits(
        min_notional=units(sizing.min_position_notional),
        max_notional=units(sizing.max_position_notional),
        risk_per_trade=units(settings.risk.per_trade),
        multi_position_scaling=sizing.multi_position_scaling,
        exposure_reduction=units(sizing.exposure_reduction_factor),
        allow_partial_entry=sizing.allow_partial_entry,
        context_enabled=context.enabled,
        atr_low=units(context.atr_low_pct),
        atr_high=units(context.atr_high_pct),
        low_volatility_mult=units(context.low_vol_mult),
        high_volatility_mult=units(context.high_vol_mult),
        leverage=settings.execution.leverage,
    )


def _budget(settings: Settings) -> BudgetLimits:
    portfolio, risk = settings.portfolio, settings.risk
    allocation = portfolio.budget.strategy_allocation
    return BudgetLimits(
        allocation={name: units(share) for name, share in allocation.items()},
        default_allocation=units(portfolio.budget.default_allocation),
        max_positions=risk.max_positions,
        max_strategy_positions=portfolio.max_strategy_positions,
        max_symbol_exposure=units(risk.max_exposure_per_symbol),
        max_total_exposure=units(min(portfolio.max_total_exposure, risk.max_exposure_pct)),
        max_total_notional=None,
    )


def enabled_guards(settings: Settings) -> frozenset[Reason]:
    """The guards that refuse; the others run in shadow."""
    guards = settings.guards
    switches = {
        Reason.STALE_DATA: guards.stale_data.enabled,
        Reason.STALE_SIGNAL: guards.stale_signal.enabled,
        Reason.CLOCK_SKEW: guards.clock_skew.enabled,
        Reason.FLASH_MOVE: guards.flash_move.enabled,
        Reason.VOLUME: settings.enable_vol_spike_filter,
        Reason.SPREAD: guards.spread.enabled,
        Reason.PRICE_SANITY: guards.price_sanity.enabled,
    }
    return ALWAYS | {code for code, enabled in switches.items() if enabled}


def _guards(settings: Settings) -> GuardLimits:
    guards, risk = settings.guards, settings.risk
    if guards.warmup.bars is None:
        raise ValueError("guards.warmup.bars is open: load the settings with ops.loading.load")
    cooldown = max(block.entry_cooldown_seconds for block in settings.active.values())
    return GuardLimits(
        enabled=enabled_guards(settings),
        warmup_bars=guards.warmup.bars,
        max_trade_age_ns=_ns(guards.stale_data.max_trade_age_seconds),
        max_top_age_ns=_ns(guards.stale_data.max_top_age_seconds),
        max_signal_age_ns=_ns(guards.stale_signal.max_age_seconds),
        max_clock_skew_ns=guards.clock_skew.max_ms * 1_000_000,
        flash_move=_percent(guards.flash_move.max_move_pct),
        volume_spike_mult=float(settings.vol_spike_mult),
        volume_thin_mult=float(guards.volume.thin_mult),
        max_spread=units(guards.spread.max_bps / 10_000),
        max_price_deviation=_percent(guards.price_sanity.max_deviation_pct),
        symbol_cooldown_ns=_ns(settings.portfolio.symbol_cooldown_seconds),
        entry_cooldown_ns=_ns(cooldown),
        max_consecutive_losses=risk.max_consecutive_losses,
        loss_pause_ns=_ns(risk.loss_pause_minutes * 60),
        max_daily_loss=_percent(risk.max_daily_loss_pct),
        max_drawdown=_percent(risk.max_drawdown_pct),
        starvation_window_ns=_ns(guards.starvation.window_minutes * 60),
        starvation_signals=guards.starvation.signals,
    )


def _strategies(settings: Settings) -> dict[str, StrategyLimits]:
    found = {}
    for name, block in settings.active.items():
        if block.max_hold_minutes is None:
            raise ValueError(
                f"strategies.{name}.max_hold_minutes is open: load the settings with ops.loading.load"
            )
        found[name] = StrategyLimits(
            name=name,
            max_hold_ns=block.max_hold_minutes * 60 * NS,
            target1_fraction=units(block.target1_fraction),
            break_even_trigger=units(block.break_even_trigger_r),
            allow_add=block.allow_add,
            max_adds=block.max_adds,
            on_opposite=block.on_opposite,
        )
    return found


def _costs(settings: Settings) -> Costs:
    fees, execution = settings.fees, settings.execution
    return Costs(
        taker=units(fees.taker),
        maker=units(fees.maker),
        slippage=units(execution.slippage),
        max_slippage=units(execution.max_slippage),
        latency_min_ns=execution.latency_min_ms * 1_000_000,
        latency_max_ns=execution.latency_max_ms * 1_000_000,
        maintenance_margin=units(execution.maintenance_margin),
    )


def _ns(seconds: Decimal) -> int:
    """Seconds have at most 8 decimals, so this is exact."""
    return int(seconds * NS)


def _percent(value: Decimal) -> int:
    return units(value / 100)


# ---- limits that can never bind


class _Bound(NamedTuple):
    key: str
    value: Decimal


def shadowed_limits(settings: Settings) -> tuple[Shadow, ...]:
    """Limits that a tighter one keeps from ever binding, at the start equity; equal ones shadow nothing.

    Compared is what holds for the same thing: the value of one position, the value of all positions of a
    strategy, the number of positions. The ceiling of the whole account is compared with its twin and, where
    it is the tighter one, with what it cuts; being wider than today's strategies is its purpose.
    """
    return tuple(_position_shadows(settings)) + tuple(_strategy_shadows(settings)) + _count_shadows(settings)


def _total(settings: Settings) -> tuple[_Bound, _Bound]:
    """The two ceilings of the account, the tighter one first."""
    equity = settings.account.equity
    twins = (
        _Bound("portfolio.max_total_exposure", settings.portfolio.max_total_exposure * equity),
        _Bound("risk.max_exposure_pct", settings.risk.max_exposure_pct * equity),
    )
    return twins if twins[0].value <= twins[1].value else (twins[1], twins[0])


def _symbol(settings: Settings) -> _Bound:
    share = settings.risk.max_exposure_per_symbol
    return _Bound("risk.max_exposure_per_symbol", share * settings.account.equity)


def _notional(settings: Settings, entries: int = 1) -> _Bound:
    """What that many entries may be worth."""
    most = settings.position_sizing.max_position_notional
    return _Bound("position_sizing.max_position_notional", most * entries)


def _entries(settings: Settings) -> int:
    """How many entries can make one position."""
    return 1 + max(block.max_adds for block in settings.active.values())


def _budgets(settings: Settings) -> list[_Bound]:
    named = settings.portfolio.budget.strategy_allocation
    return [
        _Bound(
            f"portfolio.budget.strategy_allocation.{name}"
            if name in named
            else "portfolio.budget.default_allocation",
            settings.allocation(name) * settings.account.equity,
        )
        for name in settings.active
    ]


def _position_shadows(settings: Settings) -> list[Shadow]:
    """One position may be as large as the tightest of these; a wider one never matters."""
    total, looser = _total(settings)
    widest_budget = max(_budgets(settings), key=lambda bound: bound.value)
    symbol, notional = _symbol(settings), _notional(settings)
    found = (
        _shadow(symbol, [widest_budget, total, _notional(settings, _entries(settings))]),
        _shadow(notional, [widest_budget, total, symbol]),
        _shadow(looser, [total]),
    )
    return [shadow for shadow in found if shadow is not None]


def _strategy_shadows(settings: Settings) -> list[Shadow]:
    """A strategy's positions together: its budget, against all it could hold otherwise."""
    one = min(_notional(settings, _entries(settings)), _symbol(settings), key=lambda bound: bound.value)
    count = min(bound.value for bound in _counts(settings))
    rooms = [_Bound(one.key, one.value * count), _total(settings)[0]]
    found = [_shadow(budget, rooms) for budget in _budgets(settings)]
    return list(dict.fromkeys(shadow for shadow in found if shadow is not None))


def _counts(settings: Settings) -> list[_Bound]:
    return [
        _Bound("universe.symbols", Decimal(len(settings.universe.symbols))),
        _Bound("risk.max_positions", Decimal(settings.risk.max_positions)),
        _Bound("portfolio.max_strategy_positions", Decimal(settings.portfolio.max_strategy_positions)),
    ]


def _count_shadows(settings: Settings) -> tuple[Shadow, ...]:
    """Positions are one per symbol; a strategy cannot have more than the account."""
    symbols, account, strategy = _counts(settings)
    # Several strategies can fill the account together, one alone is bound by its own number too.
    of_account = [symbols, strategy] if len(settings.active) == 1 else [symbols]
    found = (_shadow(account, of_account), _shadow(strategy, [symbols, account]))
    return tuple(shadow for shadow in found if shadow is not None)


def _shadow(limit: _Bound, rooms: list[_Bound]) -> Shadow | None:
    tightest = min(rooms, key=lambda bound: bound.value)
    if limit.value <= tightest.value:
        return None
    return Shadow(limit.key, units(limit.value), tightest.key, units(tightest.value))


def describe(shadow: Shadow) -> str:
    """The one line a person reads."""
    value, effective = decimal(shadow.value), decimal(shadow.effective)
    return f"{shadow.limit} ({value:,f}) can never bind: {shadow.by} is tighter, {effective:,f} holds"


def shadow_rows(shadows: tuple[Shadow, ...], ts_ns: int) -> tuple[LimitShadowed, ...]:
    """The rows of the journal."""
    return tuple(LimitShadowed(ts_ns, *shadow) for shadow in shadows)
