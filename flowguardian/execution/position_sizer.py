"""How large an entry is: risk over stop distance, then every room there is, then down to the venue's grid.

Rule: one pass, each step only ever makes the quantity smaller, and `fit`, which rounds down, comes last.
"""

from __future__ import annotations

from typing import NamedTuple

from flowguardian.execution.events import BudgetCapped, EntryReduced, Reason, Signal
from flowguardian.execution.limits import Limits
from flowguardian.execution.money import SCALE, ceil_div, fee, floor_step, from_float, notional, share
from flowguardian.execution.portfolio_manager import PortfolioManager
from flowguardian.guards.base import Refused, Release
from flowguardian.market.instruments import Instrument


class Sized(NamedTuple):
    """An entry that fits everywhere: quantity, IOC limit price, budget to reserve, what bound the size."""

    qty: int
    limit_price: int
    reserved: int
    bound: str
    rows: tuple[EntryReduced | BudgetCapped, ...]


class _Budget(NamedTuple):
    """What a strategy may still take, and the slots that have to share it."""

    allocated: int
    used: int
    available: int
    slots: int


def worst_price(price: int, side: int, max_slippage: int, tick: int) -> int:
    """The IOC limit: decision price ± slippage, on the tick grid, never better than the decision price."""
    if side > 0:
        return ceil_div(price * (SCALE + max_slippage), SCALE * tick) * tick
    return price * (SCALE - max_slippage) // (SCALE * tick) * tick


def reservation(price: int, qty: int, taker: int) -> int:
    """Budget held for `qty` at `price`: notional plus fee, both rounded up."""
    return notional(price, qty) + fee(price, qty, taker)


def fit(qty: int, instrument: Instrument) -> int:
    """The quantity the venue accepts: rounded down to its step, at most its maximum, 0 below its minimum."""
    fitted = floor_step(min(qty, instrument.max_qty), instrument.step_size)
    return fitted if fitted >= instrument.min_qty else 0


def affordable(room: int, price: int, taker: int, step: int) -> int:
    """The largest multiple of `step` whose reservation fits `room`, to the last 2e-8."""
    qty = floor_step(room * SCALE * SCALE // (price * (SCALE + taker)), step)
    if reservation(price, qty, taker) > room:  # notional and fee are both rounded up, by less than 1e-8 each
        qty = floor_step((room - 2) * SCALE * SCALE // (price * (SCALE + taker)), step)
    return qty


class PositionSizer:
    """Sizes one entry at a time; reads the portfolio, changes nothing."""

    def __init__(self, limits: Limits, portfolio: PortfolioManager) -> None:
        self._limits = limits
        self._portfolio = portfolio

    def size(
        self, signal: Signal, instrument: Instrument, equity: int
    ) -> Sized | tuple[Refused, tuple[BudgetCapped, ...]]:
        """Either what to order, or why not (with the cap row that came before it)."""
        limits, costs = self._limits, self._limits.costs
        price = self._decision_price(signal)
        limit_price = worst_price(price, signal.side, costs.max_slippage, instrument.tick_size)
        # A short can fill above its limit; the budget holds the dearer of the two ends of the band.
        dear = (
            limit_price
            if signal.side > 0
            else worst_price(price, 1, costs.max_slippage, instrument.tick_size)
        )
        if signal.stop_distance <= 0 or limit_price <= 0:
            return Refused(Reason.SIZING, 0.0, float(signal.stop_distance), Release.NEXT_SIGNAL, 0), ()
        qty, bound = self._by_risk(signal, price, equity, dear)

        room = self._exposure_room(signal.symbol, equity)
        least = max(limits.sizing.min_notional, instrument.min_notional)
        if room < least:
            return Refused(Reason.EXPOSURE, float(least), float(room), Release.POSITION_CLOSES, 0), ()
        rows: tuple[EntryReduced | BudgetCapped, ...] = ()
        wanted = reservation(dear, qty, costs.taker)
        if wanted > room:
            rows = (_reduced(signal, wanted, room),)
            qty, bound, wanted = affordable(room, dear, costs.taker, instrument.step_size), "exposure", room

        budget = self._budget(signal.strategy)
        cap = budget.available // budget.slots
        if cap < least:
            return Refused(Reason.PORTFOLIO_BUDGET, float(least), float(cap), Release.BUDGET_FREES, 0), ()
        if wanted > cap:
            if not limits.sizing.allow_partial_entry:
                return Refused(
                    Reason.PORTFOLIO_BUDGET, float(wanted), float(cap), Release.BUDGET_FREES, 0
                ), ()
            rows = (*rows, self._capped(signal, budget, wanted, cap))
            qty, bound = affordable(cap, dear, costs.taker, instrument.step_size), "budget"

        qty = fit(qty, instrument)
        if qty == 0 or notional(min(price, limit_price), qty) < least:
            caps = tuple(row for row in rows if isinstance(row, BudgetCapped))
            value = float(notional(price, qty))
            return Refused(Reason.VENUE_FILTERS, float(least), value, Release.BUDGET_FREES, 0), caps
        return Sized(qty, limit_price, reservation(dear, qty, costs.taker), bound, rows)

    def _decision_price(self, signal: Signal) -> int:
        """The side of the book a taker meets, or the last trade where there are no quotes."""
        quote = signal.ask if signal.side > 0 else signal.bid
        return quote or signal.price

    def _by_risk(self, signal: Signal, price: int, equity: int, dear: int) -> tuple[int, str]:
        """Quantity that loses the allowed risk at the stop, within the largest notional."""
        sizing = self._limits.sizing
        risk = share(max(equity, 0), sizing.risk_per_trade)
        if sizing.context_enabled:
            atr = from_float(signal.atr) * SCALE // price
            if atr < sizing.atr_low:
                risk = share(risk, sizing.low_volatility_mult)
            elif atr > sizing.atr_high:
                risk = share(risk, sizing.high_volatility_mult)
        if sizing.multi_position_scaling:
            for _ in range(self._portfolio.open_count() + self._portfolio.pending_count()):
                risk = share(risk, sizing.exposure_reduction)
        qty = risk * SCALE // signal.stop_distance
        most = sizing.max_notional * SCALE // dear
        return (most, "max_notional") if qty > most else (qty, "risk")

    def _exposure_room(self, symbol: str, equity: int) -> int:
        budget, portfolio = self._limits.budget, self._portfolio
        in_symbol = share(max(equity, 0), budget.max_symbol_exposure) - portfolio.exposure(symbol)
        most = share(max(equity, 0), budget.max_total_exposure)
        if budget.max_total_notional is not None:
            most = min(most, budget.max_total_notional)
        return min(in_symbol, most - portfolio.total_exposure())

    def _budget(self, strategy: str) -> _Budget:
        """The strategy's budget, and by how many entries the rest of it has to be shared when scaling."""
        budget, portfolio = self._limits.budget, self._portfolio
        allocated = portfolio.get_allocated_budget(strategy)
        used = portfolio.get_used_budget(strategy)
        slots = 1
        if self._limits.sizing.multi_position_scaling:
            free = budget.max_positions - portfolio.open_count() - portfolio.pending_count()
            own = budget.max_strategy_positions
            own -= portfolio.open_count(strategy) + portfolio.pending_count(strategy)
            slots = max(1, min(free, own))
        return _Budget(allocated, used, max(0, allocated - used), slots)

    def _capped(self, signal: Signal, budget: _Budget, wanted: int, cap: int) -> BudgetCapped:
        return BudgetCapped(
            ts_ns=signal.ts_ns,
            symbol=signal.symbol,
            strategy=signal.strategy,
            side=signal.side,
            basis=self._portfolio.balance(),
            allocated=budget.allocated,
            used=budget.used,
            available=budget.available,
            slots=budget.slots,
            wanted=wanted,
            cap=cap,
        )


def _reduced(signal: Signal, wanted: int, room: int) -> EntryReduced:
    return EntryReduced(
        ts_ns=signal.ts_ns,
        symbol=signal.symbol,
        strategy=signal.strategy,
        side=signal.side,
        code=Reason.EXPOSURE,
        wanted=wanted,
        room=room,
    )
