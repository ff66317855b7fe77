"""Could this fill have happened? Its price against the tape and the fill rule of the configuration.

Rule: a paper fill is exact. An order takes the touch up to its size and the rest at touch ± slippage,
rounded outward to the tick; without quotes the last trade stands in, and an exit on the path of a bar takes
the level that was traded through. So one tick of change in a fill, or in the tape at it, is found. A live
fill happens in the venue's own book, some time between its order and the moment it was learned of: its price
may lie the largest slippage and one tick outside what the tape shows of that time.
"""

from __future__ import annotations

from dataclasses import dataclass

from flowguardian.acceptance.evidence import Evidence
from flowguardian.acceptance.ledger import ONE, rounded_up
from flowguardian.acceptance.prices import Prices
from flowguardian.execution import events as ev
from flowguardian.execution.money import units

FILLED_BY_THE_TAPE = {"backtest": True, "paper": True, "live": False}
"""By what row 1 says a run was. A run that says nothing is held to the stricter rule."""


@dataclass
class FillRule:
    """What fills the configuration allows."""

    prices: Prices
    exact: bool
    """A paper fill: it follows from the tape."""
    slippage: int | None
    """The modelled one of a paper fill; the largest allowed one of a live fill."""
    ticks: dict[str, int]

    @classmethod
    def of(cls, evidence: Evidence, prices: Prices) -> FillRule:
        """The rule of a run."""
        ticks = {i.symbol: i.tick_size for _, row in evidence.of(ev.InstrumentsSet) for i in row.instruments}
        exact = FILLED_BY_THE_TAPE.get(evidence.started.mode if evidence.started else "", True)
        slippage = evidence.config.number("execution.slippage" if exact else "execution.max_slippage")
        return cls(prices, exact, None if slippage is None else units(slippage), ticks)

    def judge(self, fill: ev.OrderFilled, request: ev.OrderRequested, level: int) -> str:
        """What is wrong with a fill, or ""; `level` is that of an exit triggered at the very same stamp."""
        tick = self.ticks.get(fill.symbol)
        if tick is None or self.slippage is None:
            return f"no tick or slippage is known for {fill.symbol}, so the fill cannot be checked"
        if fill.ts_ns < request.ts_ns:
            return f"fill {fill.fill_id} happened before its order was decided"
        if request.limit_price and (fill.price - request.limit_price) * fill.side > 0:
            return f"fill {fill.fill_id} at {fill.price} is beyond the limit {request.limit_price}"
        if not self.exact:
            return self._band(fill, request, tick)
        if not self.prices.has_row(fill.symbol, fill.ts_ns):
            return f"fill {fill.fill_id}: the tape has no row of {fill.symbol} at its stamp"
        allowed = self._allowed(fill, tick, level)
        if fill.price in allowed:
            return ""
        return f"fill {fill.fill_id} of {fill.symbol} at {fill.price}, the tape allows {sorted(allowed)}"

    def _allowed(self, fill: ev.OrderFilled, tick: int, level: int) -> set[int]:
        step = self.prices.path_step(fill.symbol, fill.ts_ns)
        if level and step is not None and min(step) <= level <= max(step):
            return {self._worse(level, fill.side, tick)}
        top = self.prices.top(fill.symbol, fill.ts_ns)
        touch, size = (top.ask, top.ask_qty) if fill.side > 0 else (top.bid, top.bid_qty)
        if not touch:
            trade = self.prices.trade(fill.symbol, fill.ts_ns)
            return set() if trade is None else {self._worse(trade, fill.side, tick)}
        deeper = self._worse(touch, fill.side, tick)
        return {touch, deeper} if fill.qty <= size else {deeper}

    def _band(self, fill: ev.OrderFilled, request: ev.OrderRequested, tick: int) -> str:
        seen = [price for at_ns in (request.ts_ns, fill.ts_ns) for price in self._shown(fill.symbol, at_ns)]
        seen += self.prices.range(fill.symbol, request.ts_ns, fill.ts_ns) or ()
        if not seen:
            return f"fill {fill.fill_id}: the tape has no price of {fill.symbol} yet"
        low, high = self._worse(min(seen), -1, tick) - tick, self._worse(max(seen), 1, tick) + tick
        return (
            ""
            if low <= fill.price <= high
            else f"fill {fill.fill_id} at {fill.price} lies outside {low} to {high}"
        )

    def _shown(self, symbol: str, at_ns: int) -> list[int]:
        """Last trade, bid and ask."""
        top = self.prices.top(symbol, at_ns)
        return [price for price in (self.prices.trade(symbol, at_ns), top.bid, top.ask) if price]

    def _worse(self, price: int, side: int, tick: int) -> int:
        assert self.slippage is not None  # noqa: S101 - asked for by a rule that has one
        if side > 0:
            return rounded_up(price * (ONE + self.slippage), ONE * tick) * tick
        return price * (ONE - self.slippage) // (ONE * tick) * tick

    def slippage_bps(self, fill: ev.OrderFilled) -> float | None:
        """How much worse than the middle of the book a fill was."""
        top = self.prices.top(fill.symbol, fill.ts_ns)
        if not top.bid or not top.ask:
            return None
        middle = (top.bid + top.ask) / 2
        return (fill.price - middle) * fill.side / middle * 10_000
