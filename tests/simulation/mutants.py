"""Bugs of this field, rebuilt as patches of the product: each in the smallest world that shows it.

Rule: a mutant is what a real program once did wrong, and stays as it was; an oracle has to see it. Only tests
apply a patch, and the same world without it must be clean.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
import pytest

from flowguardian.execution import events as ev
from flowguardian.execution import exits, money, position_sizer
from flowguardian.execution.money import SCALE, share
from flowguardian.execution.orders import Order
from flowguardian.execution.portfolio_manager import PortfolioManager
from flowguardian.execution.position_sizer import PositionSizer
from flowguardian.guards.base import Refused, Release
from flowguardian.guards.consecutive_losses import ConsecutiveLosses
from flowguardian.guards.daily_loss import DailyLoss
from flowguardian.guards.drawdown import Drawdown
from flowguardian.guards.duplicate_entry import DuplicateEntry
from flowguardian.guards.max_positions import MaxPositions
from flowguardian.guards.signal_idempotency import SignalIdempotency
from flowguardian.guards.spread import Spread
from flowguardian.guards.stale_data import StaleData
from flowguardian.guards.stale_signal import StaleSignal
from flowguardian.guards.strategy_cooldown import StrategyCooldown
from flowguardian.guards.symbol_cooldown import SymbolCooldown
from flowguardian.guards.warmup import Warmup
from flowguardian.simulation.world import World, world_of

Patch = Callable[[pytest.MonkeyPatch], None]


class Mutant(NamedTuple):
    """One bug: what it did, in one sentence, and where it shows."""

    name: str
    story: str
    world: World
    patch: Patch


PAPER: list[Mutant] = []


def calm(seed: int, hours: float, *overrides: str) -> World:
    """A paper world without trouble, with settings of its own."""
    world = world_of(seed, "calm", hours)
    return msgspec.structs.replace(world, overrides=(*world.overrides, *overrides))


PLAIN = calm(1, 4.0)
BUSY = calm(6, 4.0)
SLOW = calm(3, 8.0)
"""Orders are up to three seconds on their way."""
PARTIALS = calm(
    1, 6.0, "strategies.scalping.params.partial_targets=true", "strategies.scalping.target1_fraction=0.5"
)
THIN = calm(3, 8.0, "market.top_share=0.0001", "execution.max_slippage=0.0005")
"""What stands at the touch is less than an order, and what lies behind it is often beyond the limit."""
FLIPS = calm(2, 6.0, "strategies.ema_cross.on_opposite=flip", "strategies.ema_cross.max_hold_minutes=60")
TRAILS = calm(1, 6.0, "strategies.scalping.params.trailing=true")


def registering(into: list[Mutant], usual: World) -> Callable[..., Callable[[Patch], Patch]]:
    """A decorator that registers a patch under the name of its function."""

    def mutant(story: str, world: World = usual) -> Callable[[Patch], Patch]:
        def add(patch: Patch) -> Patch:
            into.append(Mutant(patch.__name__, story, world, patch))
            return patch

        return add

    return mutant


mutant = registering(PAPER, PLAIN)


def never(self: Any, signal: ev.Signal, view: Any) -> None:
    """A guard that lets everything pass."""


# ---- sizing and budget


@mutant("A capped quantity was rounded to the nearest step instead of down, and was worth more than the cap.")
def rounds_to_nearest_after_the_cap(patch):
    patch.setattr(position_sizer, "floor_step", lambda qty, step: (qty + step // 2) // step * step)


@mutant("The used budget was read under a key nobody wrote, so nothing ever seemed to be used.")
def used_budget_is_always_zero(patch):
    patch.setattr(PortfolioManager, "_get_used_budget", lambda self, strategy: 0)


@mutant("The budget was sized and held at the price seen, not at the worst price the limit allows.")
def budget_at_the_decision_price(patch):
    def cheaper(price, qty, taker):
        price = price * SCALE // (SCALE + 100_000)
        return money.notional(price, qty) + money.fee(price, qty, taker)

    patch.setattr(position_sizer, "reservation", cheaper)


@mutant("The reservation held the value of the order and forgot its fee.")
def reservation_without_the_fee(patch):
    patch.setattr(position_sizer, "reservation", lambda price, qty, taker: money.notional(price, qty))


@mutant("The basis of the budget left the fees out, so that it grew too large with every trade.")
def basis_ignores_fees(patch):
    patch.setattr(
        PortfolioManager, "balance", lambda self: self.limits.start_equity + self.realised + self.funding
    )


@mutant("The allocation was a share of the start equity for ever, whatever was lost since.")
def basis_is_the_start_equity(patch):
    patch.setattr(
        PortfolioManager,
        "get_allocated_budget",
        lambda self, strategy: share(self.limits.start_equity, self.limits.budget.default_allocation),
    )


@mutant("The slots that share a budget were the configured number, not those still free.")
def slots_are_never_used_up(patch):
    budget = PositionSizer._budget
    patch.setattr(
        PositionSizer, "_budget",
        lambda self, strategy: budget(self, strategy)._replace(slots=self._limits.budget.max_positions),
    )  # fmt: skip


@mutant("The ATR in percent was compared with limits that are ratios.", calm(1, 4.0, "risk.per_trade=0.0003"))
def percent_taken_for_a_ratio(patch):
    patch.setattr(position_sizer, "from_float", lambda value: round(value * 100 * SCALE))


@mutant("The limit price was rounded to the nearest tick, which can lie beyond the slippage allowed.")
def limit_to_the_nearest_tick(patch):
    def nearest(price, side, max_slippage, tick):
        exact = price * (SCALE + side * max_slippage)
        return (exact + SCALE * tick // 2) // (SCALE * tick) * tick

    patch.setattr(position_sizer, "worst_price", nearest)


@mutant(
    "Nobody compared an order with the venue's smallest value, and the venue refused it.",
    calm(1, 6.0, "account.equity=1000", "risk.per_trade=0.000015", "position_sizing.min_position_notional=1"),
)  # fmt: skip
def min_notional_is_not_checked(patch):
    size = PositionSizer.size

    def unfiltered(self, signal, instrument, equity):
        return size(self, signal, msgspec.structs.replace(instrument, min_notional=0, min_qty=0), equity)

    patch.setattr(PositionSizer, "size", unfiltered)


@mutant("The sizer forgot the step of the venue altogether.")
def step_size_is_ignored(patch):
    patch.setattr(position_sizer, "floor_step", lambda qty, step: qty)


@mutant(
    "The exposure counted positions and not the orders on their way.",
    calm(3, 12.0, "execution.latency_min_ms=50000", "execution.latency_max_ms=60000",
         "portfolio.max_total_exposure=0.3", "portfolio.budget.default_allocation=0.9",
         "guards.stale_data.max_trade_age_seconds=60", "position_sizing.multi_position_scaling=false"),
)  # fmt: skip
def exposure_ignores_pending_orders(patch):
    patch.setattr(
        PortfolioManager,
        "total_exposure",
        lambda self: sum(position.value() for position in self.positions.values()),
    )


@mutant("An expired entry kept its reservation for ever, until the budget was eaten up.", SLOW)
def expired_entry_keeps_its_reservation(patch):
    apply = Order.apply

    def keeping(self, row):
        held = self.reserved
        apply(self, row)
        if isinstance(row, ev.OrderExpired):
            self.reserved = held

    patch.setattr(Order, "apply", keeping)
    settle = PortfolioManager.settle
    patch.setattr(
        PortfolioManager,
        "settle",
        lambda self, order: settle(self, order) if order.state != "expired" else None,
    )


# ---- guards


@mutant("The cooldown was kept under the strategy's name and asked for under the symbol's.")
def cooldown_under_the_wrong_key(patch):
    def apply(self, row):
        self._closed[row.strategy] = row.ts_ns

    patch.setattr(SymbolCooldown, "apply", apply)


@mutant("The cooldown of a symbol began with its entry, and was over when the position closed.")
def cooldown_armed_by_the_entry(patch):
    patch.setattr(SymbolCooldown, "rows", (ev.PositionOpened,))
    patch.setattr(SymbolCooldown, "apply", lambda self, row: self._closed.update({row.symbol: row.ts_ns}))


@mutant("Milliseconds were compared with seconds, so the cooldown of a strategy was over at once.")
def cooldown_in_the_wrong_unit(patch):
    init = StrategyCooldown.__init__

    def wrong(self, limits):
        init(self, limits)
        self._cooldown_ns //= 1000

    patch.setattr(StrategyCooldown, "__init__", wrong)


@mutant("The sign of the drawdown was turned round: it refused at the peak and never in the valley.",
        calm(1, 6.0, "risk.max_drawdown_pct=0.1"))  # fmt: skip
def drawdown_with_the_wrong_sign(patch):
    review = Drawdown.review

    def flipped(self, signal, view):
        peak, equity = view.peak_equity, view.equity
        view.peak_equity, view.equity = equity, peak
        found = review(self, signal, view)
        view.peak_equity, view.equity = peak, equity
        return found

    patch.setattr(Drawdown, "review", flipped)


@mutant("The sign of the daily loss was turned round: a good day was stopped, a bad one went on.",
        calm(6, 8.0, "risk.max_daily_loss_pct=0.05"))  # fmt: skip
def daily_loss_with_the_wrong_sign(patch):
    review = DailyLoss.review

    def flipped(self, signal, view):
        equity, start = view.equity, view.day_start_equity
        view.equity = 2 * start - equity
        found = review(self, signal, view)
        view.equity = equity
        return found

    patch.setattr(DailyLoss, "review", flipped)


@mutant("The daily loss was measured against the equity of the start, not of midnight.",
        calm(1, 30.0, "risk.max_daily_loss_pct=0.5", "risk.max_consecutive_losses=1000"))  # fmt: skip
def daily_loss_since_the_start(patch):
    review = DailyLoss.review

    def since_start(self, signal, view):
        start, view.day_start_equity = view.day_start_equity, view.limits.start_equity
        found = review(self, signal, view)
        view.day_start_equity = start
        return found

    patch.setattr(DailyLoss, "review", since_start)


@mutant("A bar was burned for its strategy, not for its symbol: the second symbol of a minute never entered.",
        BUSY)  # fmt: skip
def burned_under_the_wrong_key(patch):
    patch.setattr(SignalIdempotency, "apply", lambda self, row: self._burned.update(
        {(row.strategy, row.side): max(row.bar_ns, self._burned.get((row.strategy, row.side), 0))}
    ))  # fmt: skip
    patch.setattr(SignalIdempotency, "review", lambda self, signal, view: Refused(
        ev.Reason.SIGNAL_IDEMPOTENCY, 1.0, 1.0, Release.NEXT_SIGNAL, 0
    ) if self._burned.get((signal.strategy, signal.side), -1) >= signal.bar_ns else None)  # fmt: skip


@mutant("The limit of positions was compared with `greater` and held one too many.",
        calm(1, 6.0, "risk.max_positions=1", "portfolio.symbol_cooldown_seconds=0"))  # fmt: skip
def one_position_too_many(patch):
    init = MaxPositions.__init__

    def wrong(self, limits):
        init(self, limits)
        self._limit += 1

    patch.setattr(MaxPositions, "__init__", wrong)


@mutant("Orders on their way took no place: signals of one second all entered, over the limit.",
        calm(3, 12.0, "risk.max_positions=1", "execution.latency_min_ms=50000",
             "execution.latency_max_ms=60000"))  # fmt: skip
def pending_orders_take_no_place(patch):
    patch.setattr(PortfolioManager, "pending_count", lambda self, strategy=None: 0)


@mutant("A second entry in a symbol passed while the first was still on its way.",
        calm(3, 12.0, "execution.latency_min_ms=60000", "execution.latency_max_ms=60000"))  # fmt: skip
def duplicate_while_pending(patch):
    review = DuplicateEntry.review

    def blind(self, signal, view):
        held, view.portfolio.pending = view.portfolio.pending, {}
        found = review(self, signal, view)
        view.portfolio.pending = held
        return found

    patch.setattr(DuplicateEntry, "review", blind)


@mutant("A losing streak was counted before fees, so losses by fees alone were wins.",
        calm(1, 12.0, "risk.max_consecutive_losses=2"))  # fmt: skip
def losses_before_fees(patch):
    apply = ConsecutiveLosses.apply
    patch.setattr(
        ConsecutiveLosses, "apply", lambda self, row: apply(self, msgspec.structs.replace(row, fees=0))
    )


@mutant("The pause after losses ended when the losing position had been opened: it was over before it began.",
        calm(1, 12.0, "risk.max_consecutive_losses=2"))  # fmt: skip
def pause_is_over_before_it_begins(patch):
    apply = ConsecutiveLosses.apply

    def wrong(self, row):
        apply(self, row)
        self._until_ns = self._until_ns and row.opened_ns

    patch.setattr(ConsecutiveLosses, "apply", wrong)


@mutant("Prices that had stood still for minutes were traded as if they were fresh.",
        calm(2, 6.0, "guards.stale_data.max_trade_age_seconds=2"))  # fmt: skip
def stale_data_is_accepted(patch):
    patch.setattr(StaleData, "review", never)


@mutant("The age of a price was computed the wrong way round: fresh data was refused as if it never came.",
        calm(2, 6.0, "guards.stale_data.max_trade_age_seconds=2"))  # fmt: skip
def age_the_wrong_way_round(patch):
    review = StaleData.review

    def wrong(self, signal, view):
        return review(self, msgspec.structs.replace(signal, trade_age_ns=-signal.trade_age_ns), view)

    patch.setattr(StaleData, "review", wrong)


@mutant("The signal of a bar that had closed long ago was entered.",
        calm(2, 6.0, "guards.stale_signal.max_age_seconds=1", "market.close_grace_seconds=3"))  # fmt: skip
def old_bars_are_entered(patch):
    patch.setattr(StaleSignal, "review", never)


@mutant("The spread was compared in percent with a limit in basis points.",
        calm(2, 6.0, "market.spread_bps=20"))  # fmt: skip
def spread_in_the_wrong_unit(patch):
    init = Spread.__init__

    def wrong(self, limits):
        init(self, limits)
        self._spread *= 100

    patch.setattr(Spread, "__init__", wrong)


@mutant("Entries were made while the indicators had seen a handful of bars.",
        calm(2, 6.0, "market.history_bars=5", "guards.warmup.bars=200"))  # fmt: skip
def cold_indicators_are_traded(patch):
    patch.setattr(Warmup, "review", never)


@mutant("A rule that blocks entries held back exits as well, and positions could not be left.",
        calm(6, 4.0, "risk.max_positions=1"))  # fmt: skip
def a_guard_freezes_exits(patch):
    on_trigger = exits.ExitDecider.on_trigger

    def frozen(self, row):
        if len(self._portfolio.positions) >= self._limits.budget.max_positions:
            return iter(())
        return on_trigger(self, row)

    patch.setattr(exits.ExitDecider, "on_trigger", frozen)


@mutant("A guard read the clock of the host, so the same market led to other entries each time.")
def a_guard_reads_the_hosts_clock(patch):
    review, host = StrategyCooldown.review, itertools.count()

    def impure(self, signal, view):
        late_ns = next(host) * 10**6  # As a clock, it is never the same again.
        return review(self, msgspec.structs.replace(signal, ts_ns=signal.ts_ns + late_ns), view)

    patch.setattr(StrategyCooldown, "review", impure)
