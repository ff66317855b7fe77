"""The life of an order is a table; what is not in it is a fault, and a fill counts all the same."""

from __future__ import annotations

import pytest

from flowguardian.execution import events as ev
from flowguardian.execution.orders import CLOSED, TRANSITIONS, IllegalTransition, Order, OrderState
from tests.builders import T0, engine, filled, one, signal

KINDS = (ev.OrderFilled, ev.OrderExpired, ev.OrderRejected, ev.OrderUnknown, ev.OrderUnsent)


def request() -> ev.OrderRequested:
    made: ev.OrderRequested = one(engine().process(signal(T0 + 1)), ev.OrderRequested)
    return made


def row(kind: type[ev.Row], order: ev.OrderRequested, qty: int = 1000) -> ev.Row:
    if kind is ev.OrderFilled:
        return filled(order, 1, qty, order.limit_price)
    if kind is ev.OrderExpired:
        return ev.OrderExpired(T0, order.order_id, order.symbol, 0)
    if kind is ev.OrderRejected:
        return ev.OrderRejected(T0, order.order_id, order.symbol, -1, "no")
    return kind(T0, order.order_id, order.symbol)  # type: ignore[call-arg]


@pytest.mark.parametrize("state", OrderState)
@pytest.mark.parametrize("kind", KINDS)
def test_each_state_takes_exactly_what_the_table_says(state: OrderState, kind: type[ev.Row]) -> None:
    order = Order(request())
    order.state = state
    following = TRANSITIONS.get(state, {}).get(kind)
    if following is None:
        with pytest.raises(IllegalTransition):
            order.apply(row(kind, order.request))
        assert order.state is state
    else:
        order.apply(row(kind, order.request))
        assert order.state is following


def test_a_closed_order_takes_nothing() -> None:
    assert not CLOSED & set(TRANSITIONS)


def test_a_fill_gives_its_part_of_the_reservation_back() -> None:
    order = Order(request())
    half = order.request.qty // 2
    order.apply(row(ev.OrderFilled, order.request, half))
    assert order.state is OrderState.PARTIAL
    assert order.reserved == order.request.reserved * (order.request.qty - half) // order.request.qty
    order.apply(row(ev.OrderFilled, order.request, order.request.qty - half))
    assert (order.state, order.reserved) == (OrderState.FILLED, 0)


def test_an_unknown_order_keeps_its_reservation_until_the_venue_proves_its_end() -> None:
    order = Order(request())
    order.apply(row(ev.OrderUnknown, order.request))
    assert order.reserved == order.request.reserved
    order.apply(row(ev.OrderRejected, order.request))
    assert order.reserved == 0


def test_a_fill_after_the_end_is_counted_and_named() -> None:
    order = Order(request())
    order.apply(row(ev.OrderExpired, order.request))
    with pytest.raises(IllegalTransition, match="expired"):
        order.apply(row(ev.OrderFilled, order.request, 500))
    assert (order.filled, order.reserved) == (500, 0)


def test_more_than_was_ordered_is_named() -> None:
    order = Order(request())
    with pytest.raises(IllegalTransition, match="filled"):
        order.apply(row(ev.OrderFilled, order.request, order.request.qty + 1))
    assert order.filled == order.request.qty + 1
