"""The single source of truth for money, case by case and to the last 1e-16."""

from __future__ import annotations

import msgspec
import pytest

from flowguardian.execution import events as ev
from flowguardian.execution.money import SCALE, units
from flowguardian.execution.portfolio_manager import PortfolioManager
from tests.builders import T0, engine, filled, limits, one, signal


def request(order_id: int = 1, side: int = 1, qty: int = units(3), **changed: object) -> ev.OrderRequested:
    base = one(engine().process(signal(T0 + 1, side=side)), ev.OrderRequested)
    reserved = qty * units(101) // SCALE
    made: ev.OrderRequested = msgspec.structs.replace(
        base, order_id=order_id, qty=qty, reserved=reserved, **changed
    )
    return made


def closing(order_id: int, qty: int, side: int = -1) -> ev.OrderRequested:
    return request(order_id, side, qty, purpose=ev.Purpose.EXIT, limit_price=0, reason="stop")


def fill(
    portfolio: PortfolioManager, order: ev.OrderRequested, fill_id: int, qty: int, price: int
) -> tuple[int, str]:
    row = filled(order, fill_id, qty, price)
    _, realised, fault = portfolio.fill(row, portfolio.orders.get(order.order_id))
    return realised, fault


def opened(qty: int = units(3), price: int = units("100.01"), side: int = 1) -> PortfolioManager:
    portfolio = PortfolioManager(limits())
    order = request(1, side, qty)
    portfolio.request(order)
    fill(portfolio, order, 1, qty, price)
    return portfolio


def test_a_reservation_counts_as_used_until_it_is_converted() -> None:
    portfolio, order = PortfolioManager(limits()), request()
    portfolio.request(order)
    assert portfolio.get_used_budget("coin") == order.reserved == portfolio.get_reserved_budget("coin")
    assert (portfolio.pending, portfolio.pending_count(), portfolio.open_count()) == ({"BTCUSDT": 1}, 1, 0)
    fill(portfolio, order, 1, units(1), units(100))
    assert portfolio.get_used_budget("coin") == units(100) + order.reserved * 2 // 3
    assert (portfolio.pending_count(), portfolio.open_count()) == (0, 1), "one symbol, one slot"
    fill(portfolio, order, 2, units(2), units(100))
    assert portfolio.get_used_budget("coin") == units(300)
    assert portfolio.get_reserved_budget("coin") == 0
    assert portfolio.pending == {}


def test_available_is_what_the_allocation_leaves_and_never_negative() -> None:
    portfolio = opened()
    allocated = portfolio.get_allocated_budget("coin")
    assert allocated == portfolio.balance() // 4
    assert portfolio.get_available_budget("coin") == allocated - units("300.03")
    portfolio.fund(ev.FundingSettled(T0, "BTCUSDT", 1, 1, -units(49_990)))
    assert portfolio.get_available_budget("coin") == 0


def test_each_strategy_has_its_own_budget_of_one_account() -> None:
    shares = {"coin": units("0.25"), "other": units("0.5")}
    portfolio = PortfolioManager(limits(strategies=("coin", "other"), allocation=shares))
    portfolio.request(request())
    assert portfolio.get_used_budget("other") == 0
    assert (
        portfolio.get_allocated_budget("other") == 2 * portfolio.get_allocated_budget("coin") == units(25_000)
    )
    line = portfolio.budget_line("coin")
    assert line.available == line.allocated - line.used
    assert line.used == line.reserved


def test_a_partial_close_removes_the_floor_of_its_part_of_the_cost_and_the_last_takes_the_rest() -> None:
    portfolio = opened(3, units("0.00000005"))  # cost 15e-16, not divisible by two parts of three
    order = closing(2, 3)
    portfolio.request(order)
    realised, _ = fill(portfolio, order, 2, 2, 6)
    position = portfolio.positions["BTCUSDT"]
    assert position.cost == 15 - 15 * 2 // 3
    assert realised == (12 - 10) // SCALE
    fill(portfolio, order, 3, 1, 6)
    assert portfolio.positions == {}
    assert portfolio.cash == portfolio.realised * SCALE + portfolio.dust == 3


@pytest.mark.parametrize(("side", "price"), [(1, "100.02"), (1, "99.99"), (-1, "100.02"), (-1, "99.99")])
def test_profit_is_rounded_down_once_per_fill(side: int, price: str) -> None:
    portfolio = opened(units("0.333") + 1, side=side)
    qty = portfolio.positions["BTCUSDT"].qty
    order = closing(2, qty, -side)
    portfolio.request(order)
    realised, _ = fill(portfolio, order, 2, qty, units(price))
    assert realised == side * (units(price) - units("100.01")) * qty // SCALE


def test_equity_is_balance_plus_unrealised_at_the_marks() -> None:
    portfolio = opened()
    before = portfolio.balance()
    assert portfolio.equity([units("101.01")]) == before + units(3)
    with pytest.raises(ValueError, match="zip"):
        portfolio.equity([])


def test_an_add_is_counted_once_however_many_fills_it_has() -> None:
    portfolio = opened()
    order = request(2, qty=units(2))
    portfolio.request(order)
    fill(portfolio, order, 2, units(1), units(101))
    fill(portfolio, order, 3, units(1), units(102))
    position = portfolio.positions["BTCUSDT"]
    assert (position.adds, position.qty) == (1, units(5))
    assert position.cost == units(3) * units("100.01") + units(1) * units(101) + units(1) * units(102)


def test_a_fill_of_an_order_nobody_knows_lands_and_is_named() -> None:
    portfolio, order = PortfolioManager(limits()), request(9)
    _, fault = fill(portfolio, order, 1, units(1), units(100))
    assert "not live" in fault
    assert portfolio.positions["BTCUSDT"].qty == units(1)
    assert portfolio.total_exposure() == units(100)


def test_closing_more_than_is_held_leaves_a_position_the_other_way_and_is_named() -> None:
    portfolio = opened()
    order = closing(2, units(5))
    portfolio.request(order)
    realised, fault = fill(portfolio, order, 2, units(5), units("101.01"))
    assert realised == units(3), "the profit of what was held is not lost"
    assert "more than was held" in fault
    rest = portfolio.positions["BTCUSDT"]
    assert (rest.side, rest.qty, rest.entry) == (-1, units(2), None)
    held = rest.side * rest.cost
    assert portfolio.cash == portfolio.realised * SCALE + portfolio.dust - held


def test_funding_moves_the_balance_and_the_position() -> None:
    portfolio = opened()
    before = portfolio.balance()
    portfolio.fund(ev.FundingSettled(T0, "BTCUSDT", 1, 1, -7))
    portfolio.fund(ev.FundingSettled(T0, "GONE", 1, 1, 5))
    assert portfolio.balance() == before - 2
    assert portfolio.positions["BTCUSDT"].funding == -7


def test_exposure_counts_positions_and_reservations() -> None:
    portfolio = opened()
    portfolio.request(request(2))
    portfolio.request(request(3, symbol="ETHUSDT"))
    reserved = request().reserved
    assert portfolio.exposure("BTCUSDT") == units("300.03") + reserved
    assert portfolio.exposure("ETHUSDT") == reserved
    assert portfolio.exposure("SOLUSDT") == 0
    assert portfolio.total_exposure() == units("300.03") + 2 * reserved


def test_a_liquidation_closes_at_the_venues_price_and_fee() -> None:
    portfolio = opened()
    fees = portfolio.fees
    _, realised = portfolio.liquidate(ev.Liquidated(T0, "BTCUSDT", units(3), units("90.01"), 55))
    assert realised == -units(30)
    assert portfolio.fees == fees + 55
    assert portfolio.positions == {}
