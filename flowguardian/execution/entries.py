"""The entry pipeline: guards in order, then size, then the order; every attempt ends in one outcome row.

Rule: the order of DESIGN §4. A disabled guard is evaluated in shadow and can only be named, never refuse.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from flowguardian.execution import events as ev
from flowguardian.execution.limits import Limits
from flowguardian.execution.portfolio_manager import PortfolioManager, Position
from flowguardian.execution.position_sizer import PositionSizer, Sized
from flowguardian.guards import build
from flowguardian.guards.base import Refused, View
from flowguardian.market.instruments import Instrument


class EntryPipeline:
    """Turns a signal into an order or a refusal."""

    def __init__(
        self,
        limits: Limits,
        portfolio: PortfolioManager,
        view: View,
        instruments: dict[str, Instrument],
    ) -> None:
        self._limits = limits
        self._portfolio = portfolio
        self._view = view
        self._instruments = instruments
        self._sizer = PositionSizer(limits, portfolio)
        self.guards = build(limits)
        self._enabled = limits.guards.enabled
        self._reviews = [guard.review for guard in self.guards]

    def attempt(self, signal: ev.Signal) -> Iterator[ev.Row]:
        """Review, size, order: the rows of one attempt, the outcome last."""
        shadow: tuple[ev.Reason, ...] = ()
        view = self._view
        for review in self._reviews:
            refused = review(signal, view)
            if refused is None:
                continue
            if refused.code in self._enabled:
                yield refusal(signal, refused, shadow)
                return
            shadow = (*shadow, refused.code)
        sized = self._sizer.size(signal, self._instruments[signal.symbol], view.equity)
        if isinstance(sized, Sized):
            yield from sized.rows
            yield self._order(signal, sized, shadow)
        else:
            refused, caps = sized
            yield from caps
            yield refusal(signal, refused, shadow)

    def filled(self, fill: ev.OrderFilled, position: Position) -> ev.Row:
        """What a fill of an entry concluded: a position, or a larger one."""
        if position.stop:
            return ev.PositionIncreased(
                ts_ns=fill.ts_ns,
                symbol=fill.symbol,
                qty=position.qty,
                price=position.price(),
                order_id=fill.order_id,
            )
        order, side, price = position.entry, position.side, fill.price
        return ev.PositionOpened(
            ts_ns=fill.ts_ns,
            symbol=fill.symbol,
            strategy=position.strategy,
            side=side,
            qty=position.qty,
            price=price,
            order_id=fill.order_id,
            stop=price - side * order.stop_distance if order else 0,
            target1=price + side * order.target1_distance if order and order.target1_distance else 0,
            target2=price + side * order.target2_distance if order and order.target2_distance else 0,
            trail_distance=order.trail_distance if order else 0,
            expiry_ns=fill.ts_ns + order.hold_ns if order and order.hold_ns else 0,
        )

    def listeners(self) -> dict[type[ev.Row], tuple[Callable[[ev.Row], None], ...]]:
        """Which guards hear which rows."""
        table: dict[type[ev.Row], tuple[Callable[[ev.Row], None], ...]] = {}
        for guard in self.guards:
            for kind in guard.rows:
                table[kind] = (*table.get(kind, ()), guard.apply)
        return table

    def snapshot(self) -> list[object]:
        """What the state hash covers."""
        return [guard.snapshot() for guard in self.guards]

    def _order(self, signal: ev.Signal, sized: Sized, shadow: tuple[ev.Reason, ...]) -> ev.OrderRequested:
        return ev.OrderRequested(
            ts_ns=signal.ts_ns,
            order_id=self._portfolio.last_order_id + 1,
            symbol=signal.symbol,
            strategy=signal.strategy,
            side=signal.side,
            purpose=ev.Purpose.ENTRY,
            qty=sized.qty,
            limit_price=sized.limit_price,
            reserved=sized.reserved,
            reason=signal.pattern,
            bound=sized.bound,
            bar_ns=signal.bar_ns,
            stop_distance=signal.stop_distance,
            target1_distance=signal.target1_distance,
            target2_distance=signal.target2_distance,
            trail_distance=signal.trail_distance,
            hold_ns=self._limits.strategies[signal.strategy].max_hold_ns,
            equity=self._view.equity,
            shadow=shadow,
        )


def refusal(signal: ev.Signal, refused: Refused, shadow: tuple[ev.Reason, ...]) -> ev.EntryRefused:
    """The outcome row of a refused attempt."""
    return ev.EntryRefused(
        ts_ns=signal.ts_ns,
        symbol=signal.symbol,
        strategy=signal.strategy,
        side=signal.side,
        bar_ns=signal.bar_ns,
        code=refused.code,
        limit=refused.limit,
        value=refused.value,
        release=refused.release,
        release_ns=refused.release_ns,
        shadow=shadow,
    )
