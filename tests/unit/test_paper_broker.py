"""The paper broker: fills follow from tape rows alone; an exit only reduces."""

from __future__ import annotations

from typing import Any

from flowguardian.brokers.paper import PaperBroker
from flowguardian.execution import events as ev
from flowguardian.execution.money import units
from flowguardian.venue.matching import Quote
from tests.builders import INSTRUMENTS, SECOND, T0, engine, limits, of_kind, one, signal

QUOTE = Quote(units(100), units("99.99"), units(10), units("100.01"), units(10))


def broker(**changed: Any) -> PaperBroker:
    return PaperBroker(limits(**changed).costs, 7, {one.symbol: one for one in INSTRUMENTS})


def entry() -> ev.OrderRequested:
    made: ev.OrderRequested = one(engine().process(signal(T0)), ev.OrderRequested)
    return made


def exit_of(qty: int, order_id: int = 5, ts_ns: int = T0) -> ev.OrderRequested:
    base = entry()
    fields = {name: getattr(base, name) for name in base.__struct_fields__}
    fields |= {"ts_ns": ts_ns, "order_id": order_id, "side": -1, "purpose": ev.Purpose.EXIT, "qty": qty}
    return ev.OrderRequested(**{**fields, "limit_price": 0, "reserved": 0, "reason": "stop"})


def test_without_latency_an_order_can_match_on_the_row_that_made_it() -> None:
    assert broker().submit(entry()) == T0


def test_latency_is_drawn_from_seed_and_order_id() -> None:
    slow = {"latency_min_ns": SECOND, "latency_max_ns": 2 * SECOND}
    due = broker(**slow).submit(entry())
    assert T0 + SECOND <= due <= T0 + 2 * SECOND
    assert due == broker(**slow).submit(entry())


def test_fills_are_numbered_and_charged_the_taker_fee_rounded_up() -> None:
    paper, order = broker(), entry()
    paper.submit(order)
    facts = paper.match(order.order_id, T0 + 1, QUOTE)
    fills = of_kind(facts, ev.OrderFilled)
    assert [fill.fill_id for fill in fills] == [1, 2]
    assert sum(fill.qty for fill in fills) == order.qty
    for fill in fills:
        assert fill.fee == -(-fill.qty * fill.price * units("0.0004") // 10**16)
    assert paper.working == {}


def test_what_does_not_fill_expires_with_what_did() -> None:
    paper, order = broker(slippage=units("0.01")), entry()
    paper.submit(order)
    facts = paper.match(order.order_id, T0 + 1, QUOTE)
    assert one(facts, ev.OrderFilled).qty == units(10)
    assert one(facts, ev.OrderExpired).filled == units(10)


def test_an_exit_never_closes_more_than_is_held() -> None:
    paper, order = broker(), exit_of(units(8))
    paper.submit(order)
    facts = paper.match(order.order_id, T0 + 1, QUOTE, 0, units(3))
    assert one(facts, ev.OrderFilled).qty == units(3)
    assert one(facts, ev.OrderExpired).filled == units(3)


def test_an_exit_of_a_position_that_is_gone_expires() -> None:
    paper, order = broker(), exit_of(units(8))
    paper.submit(order)
    assert one(paper.match(order.order_id, T0 + 1, QUOTE, 0, 0), ev.OrderExpired).filled == 0


def test_an_exit_asked_for_again_waits_for_the_next_row() -> None:
    paper, order = broker(), exit_of(units(8))
    paper.submit(order)
    nothing = Quote(0, 0, 0, 0, 0)
    assert one(paper.match(order.order_id, T0 + 1, nothing, 0, units(8)), ev.OrderExpired)
    assert paper.submit(exit_of(units(8), 6, T0 + 1)) == T0 + 2, "or it would match the same row for ever"


def test_an_exit_on_a_path_fills_around_the_level_that_was_traded_at() -> None:
    paper, order = broker(slippage=0), exit_of(units(8))
    paper.submit(order)
    facts = paper.match(order.order_id, T0, QUOTE, units("98.5"), units(8))
    assert one(facts, ev.OrderFilled).price == units("98.5")
