"""The rules that must hold after every event (DESIGN §9), as far as they concern the core.

Rule: each check computes its answer its own way from positions, orders and rows, not through the figure it
checks. A violation is a finding, never an exception: the engine writes it, stops entries and the run fails.
"""

from __future__ import annotations

from collections.abc import Callable

from flowguardian.execution.events import (
    ClosedByVenue,
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
Findings = tuple[Finding, ...]


def check_request(row: OrderRequested, portfolio: PortfolioManager) -> Findings:
    """I06 and I07 at an entry, after its reservation was made; I23 of any order."""
    if row.qty <= 0:
        return (("I23", f"order {row.order_id} asks for {row.qty}"),)
    return _check_room(row, portfolio) if row.reserved else ()


def _check_room(row: OrderRequested, portfolio: PortfolioManager) -> Findings:  # noqa: C901 - one pass over all
    limits = portfolio.limits
    held = reserved = total = in_symbol = 0
    for position in portfolio.positions.values():
        value = -(-position.cost // SCALE)
        total += value
        if position.strategy == row.strategy:
            held += value
        if position.symbol == row.symbol:
            in_symbol += value
    for order in portfolio.orders.values():
        total += order.reserved
        if order.request.strategy == row.strategy:
            reserved += order.reserved
        if order.request.symbol == row.symbol:
            in_symbol += order.reserved
    basis = limits.start_equity + portfolio.realised - portfolio.fees + portfolio.funding
    budget = limits.budget
    allowed = basis * budget.allocation.get(row.strategy, budget.default_allocation) // SCALE
    most = row.equity * budget.max_total_exposure // SCALE
    if budget.max_total_notional is not None and most > budget.max_total_notional:
        most = budget.max_total_notional
    most_in_symbol = row.equity * budget.max_symbol_exposure // SCALE
    if held + reserved <= allowed and total <= most and in_symbol <= most_in_symbol:
        return ()
    found = []
    if held + reserved > allowed:
        found.append(("I06", f"{row.strategy}: used {held} + reserved {reserved} > allocated {allowed}"))
    if total > most:
        found.append(("I07", f"total exposure {total} > {most}"))
    if in_symbol > most_in_symbol:
        found.append(("I07", f"exposure in {row.symbol} {in_symbol} > {most_in_symbol}"))
    return tuple(found)


def check_fill_id(row: OrderFilled | ClosedByVenue, portfolio: PortfolioManager) -> Findings:
    """I02 and I04, before the fill is applied: each venue fill once."""
    last = portfolio.last_fill_id.get(row.symbol, 0)
    if row.fill_id <= last:
        return (("I04", f"{row.symbol}: fill {row.fill_id} after {last}: applied twice or out of order"),)
    if row.qty <= 0 or row.price <= 0:
        return (("I03", f"fill {row.fill_id}: {row.qty} at {row.price}"),)
    return ()


def books_difference(portfolio: PortfolioManager) -> int:
    """Cash through the account against realised profit and what is still held (1e-16); 0 is right."""
    held = 0
    for position in portfolio.positions.values():
        held += position.side * position.cost
    return portfolio.cash - (portfolio.realised * SCALE + portfolio.dust - held)


def check_books(portfolio: PortfolioManager) -> Findings:
    """I01, exact."""
    difference = books_difference(portfolio)
    return (("I01", f"the books differ by {difference} (1e-16 USDT)"),) if difference else ()


def check_flat(portfolio: PortfolioManager) -> Findings:
    """I06, second half: flat and nothing live means nothing reserved."""
    if portfolio.positions or any(order.is_entry for order in portfolio.orders.values()):
        return ()
    total = portfolio.total_exposure()
    if portfolio.pending or total:
        return (("I06", f"flat, yet {total} is reserved and {portfolio.pending} pending"),)
    return ()


AFTER: dict[type[Row], tuple[Callable[[PortfolioManager], Findings], ...]] = {
    OrderFilled: (check_books, check_flat),
    Liquidated: (check_books, check_flat),
    ClosedByVenue: (check_books, check_flat),
    OrderExpired: (check_flat,),
    OrderRejected: (check_flat,),
    OrderUnsent: (check_flat,),
}
"""Checks on the portfolio alone, by the kind of row after which they run."""
