"""The rules that must hold after every event (DESIGN §9), as far as they concern the core.

Rule: each check computes its answer its own way from positions, orders and rows, not through the figure it
checks. A violation is a finding, never an exception: the engine writes it, stops entries and the run fails.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from flowguardian.execution.events import (
    Liquidated,
    OrderExpired,
    OrderFilled,
    OrderRejected,
    OrderRequested,
    OrderUnsent,
    Row,
)
from flowguardian.execution.money import SCALE
from flowguardian.execution.portfolio_manager import PortfolioManager

Finding = tuple[str, str]
"""(id of the invariant, what was found)"""


def check_request(row: OrderRequested, portfolio: PortfolioManager) -> Iterator[Finding]:
    """I06 and I07 at an entry, after its reservation was made; I23 of any order."""
    if row.qty <= 0:
        yield "I23", f"order {row.order_id} asks for {row.qty}"
    if not row.reserved:
        return
    limits = portfolio.limits
    held = sum(-(-p.cost // SCALE) for p in portfolio.positions.values() if p.strategy == row.strategy)
    reserved = sum(o.reserved for o in portfolio.orders.values() if o.request.strategy == row.strategy)
    basis = limits.start_equity + portfolio.realised - portfolio.fees + portfolio.funding
    allocation = limits.budget.allocation.get(row.strategy, limits.budget.default_allocation)
    allowed = basis * allocation // SCALE
    if held + reserved > allowed:
        yield "I06", f"{row.strategy}: used {held} + reserved {reserved} > allocated {allowed}"
    total = portfolio.total_exposure()
    most = row.equity * limits.budget.max_total_exposure // SCALE
    if total > most:
        yield "I07", f"total exposure {total} > {most}"
    in_symbol = portfolio.exposure(row.symbol)
    most = row.equity * limits.budget.max_symbol_exposure // SCALE
    if in_symbol > most:
        yield "I07", f"exposure in {row.symbol} {in_symbol} > {most}"


def check_fill_id(row: OrderFilled, portfolio: PortfolioManager) -> Iterator[Finding]:
    """I02 and I04, before the fill is applied: each venue fill once."""
    last = portfolio.last_fill_id.get(row.symbol, 0)
    if row.fill_id <= last:
        yield "I04", f"{row.symbol}: fill {row.fill_id} after {last}: applied twice or out of order"
    if row.qty <= 0 or row.price <= 0:
        yield "I03", f"fill {row.fill_id}: {row.qty} at {row.price}"


def check_books(portfolio: PortfolioManager) -> Iterator[Finding]:
    """I01, exact: what went through the account as cash equals realised profit plus what is still held."""
    held = sum(position.side * position.cost for position in portfolio.positions.values())
    difference = portfolio.cash - (portfolio.realised * SCALE + portfolio.dust - held)
    if difference:
        yield "I01", f"the books differ by {difference} (1e-16 USDT)"


def check_flat(portfolio: PortfolioManager) -> Iterator[Finding]:
    """I06, second half: flat and nothing live means nothing reserved."""
    if portfolio.positions or any(order.is_entry for order in portfolio.orders.values()):
        return
    if portfolio.pending or portfolio.total_exposure():
        yield "I06", f"flat, yet {portfolio.total_exposure()} is reserved and {portfolio.pending} pending"


AFTER: dict[type[Row], tuple[Callable[[PortfolioManager], Iterator[Finding]], ...]] = {
    OrderFilled: (check_books, check_flat),
    Liquidated: (check_books, check_flat),
    OrderExpired: (check_flat,),
    OrderRejected: (check_flat,),
    OrderUnsent: (check_flat,),
}
"""Checks on the portfolio alone, by the kind of row after which they run."""
