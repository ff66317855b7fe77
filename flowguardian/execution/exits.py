"""Exits: what a trigger, a fill or an expired exit order leads to.

Rule: nothing here can be refused. Reducing risk is always allowed; what did not fill is asked for again.
"""

from __future__ import annotations

from collections.abc import Iterator

from flowguardian.execution import events as ev
from flowguardian.execution.limits import Limits
from flowguardian.execution.money import floor_step, share
from flowguardian.execution.portfolio_manager import PortfolioManager, Position
from flowguardian.market.instruments import Instrument


class ExitDecider:
    """Decides how positions end."""

    def __init__(
        self, limits: Limits, portfolio: PortfolioManager, instruments: dict[str, Instrument]
    ) -> None:
        self._limits = limits
        self._portfolio = portfolio
        self._instruments = instruments

    def on_trigger(self, row: ev.ExitTriggered) -> Iterator[ev.Row]:
        """A level was hit: close, or at the first target close its fraction."""
        position = self._portfolio.positions.get(row.symbol)
        if position is None or position.exit_order_id:
            return
        qty = position.qty
        if row.reason is ev.ExitReason.TARGET1 and position.target2:
            fraction = self._limits.strategies[position.strategy].target1_fraction
            part = floor_step(share(qty, fraction), self._instruments[row.symbol].step_size)
            qty = part or qty
        yield self.close(row.ts_ns, position, row.reason, qty)

    def on_unfilled(
        self, row: ev.OrderExpired | ev.OrderRejected | ev.OrderUnsent, request: ev.OrderRequested
    ) -> Iterator[ev.Row]:
        """An exit ended with (a part) unfilled: ask for the rest."""
        position = self._portfolio.positions.get(row.symbol)
        if request.purpose is ev.Purpose.EXIT and position is not None and not position.exit_order_id:
            filled = row.filled if isinstance(row, ev.OrderExpired) else 0
            left = min(request.qty - filled, position.qty)
            yield self.close(row.ts_ns, position, ev.ExitReason(request.reason), left)

    def close(
        self, ts_ns: int, position: Position, reason: ev.ExitReason, qty: int | None = None
    ) -> ev.OrderRequested:
        """A market order that only reduces."""
        return ev.OrderRequested(
            ts_ns=ts_ns,
            order_id=self._portfolio.last_order_id + 1,
            symbol=position.symbol,
            strategy=position.strategy,
            side=-position.side,
            purpose=ev.Purpose.EXIT,
            qty=qty or position.qty,
            limit_price=0,
            reserved=0,
            reason=reason,
            bound="position",
            bar_ns=0,
            stop_distance=0,
            target1_distance=0,
            target2_distance=0,
            trail_distance=0,
            hold_ns=0,
            equity=0,
            shadow=(),
        )

    def filled(self, fill: ev.OrderFilled, position: Position, realised: int, reason: str) -> ev.Row:
        """A fill of an exit: reduced, or flat with the totals of its life."""
        if position.qty:
            return ev.PositionReduced(
                ts_ns=fill.ts_ns,
                symbol=fill.symbol,
                closed=fill.qty,
                qty=position.qty,
                realised=realised,
                order_id=fill.order_id,
                reason=ev.ExitReason(reason),
            )
        return _closed(fill.ts_ns, position, ev.ExitReason(reason))

    def liquidated(self, row: ev.Liquidated, position: Position, realised: int) -> ev.Row:
        """The venue closed it."""
        if position.qty:
            return ev.PositionReduced(
                ts_ns=row.ts_ns,
                symbol=row.symbol,
                closed=row.qty,
                qty=position.qty,
                realised=realised,
                order_id=0,
                reason=row.closes_as(),
            )
        return _closed(row.ts_ns, position, row.closes_as())


def _closed(ts_ns: int, position: Position, reason: ev.ExitReason) -> ev.PositionClosed:
    return ev.PositionClosed(
        ts_ns=ts_ns,
        symbol=position.symbol,
        strategy=position.strategy,
        side=position.side,
        opened_ns=position.opened_ns,
        realised=position.realised,
        fees=position.fees,
        funding=position.funding,
        reason=reason,
    )
