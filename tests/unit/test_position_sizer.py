"""The size of an entry, by hand: each bound in turn, and what is written about it."""

from __future__ import annotations

from typing import Any

from flowguardian.execution import events as ev
from flowguardian.execution.money import units
from flowguardian.execution.position_sizer import reservation
from tests.builders import SYMBOLS, T0, engine, limits, of_kind, one, signal

FREE: dict[str, Any] = {
    "default_allocation": units(1),
    "max_symbol_exposure": units(1),
    "multi_position_scaling": False,
}


def entered(changed: dict[str, Any], **wish: Any) -> tuple[ev.OrderRequested, list[ev.Row]]:
    rows = engine(limits(**{"start_equity": units(50_000), **changed})).process(signal(T0 + 1, **wish))
    return one(rows, ev.OrderRequested), rows


def refused(changed: dict[str, Any], **wish: Any) -> tuple[ev.EntryRefused, list[ev.Row]]:
    rows = engine(limits(**changed)).process(signal(T0 + 1, **wish))
    return one(rows, ev.EntryRefused), rows


def test_risk_per_trade_over_the_stop_distance() -> None:
    order, rows = entered(FREE, stop_distance=units(2))
    assert (order.qty, order.bound) == (units(75), "risk")  # 50,000 × 0.003 / 2
    assert order.limit_price == units("100.2")
    assert order.reserved == reservation(units("100.2"), units(75), units("0.0004"))
    assert not of_kind(rows, ev.BudgetCapped)


def test_a_taker_decides_at_the_side_of_the_book_it_meets() -> None:
    book = {"bid": units("99.9"), "ask": units("100.1"), "stop_distance": units(2)}
    assert entered(FREE, **book)[0].limit_price == units("100.31")
    assert entered(FREE, side=-1, **book)[0].limit_price == units("99.70")


def test_a_short_reserves_the_dearer_end_of_its_band() -> None:
    order, _ = entered(FREE, side=-1, stop_distance=units(2))
    assert order.limit_price == units("99.8")
    assert order.reserved == reservation(units("100.2"), order.qty, units("0.0004"))


def test_the_largest_notional_bounds() -> None:
    order, _ = entered(FREE, stop_distance=units("0.5"))
    assert order.bound == "max_notional"
    assert order.qty == units("149.7")  # 15,000 / 100.2, rounded down to the step


def test_volatility_changes_the_risk() -> None:
    context: dict[str, Any] = {"context_enabled": True, "atr_low": units("0.004"), "atr_high": units("0.02")}
    context |= {"low_volatility_mult": units("1.2"), "high_volatility_mult": units("0.7"), **FREE}
    sizes = [entered(context, stop_distance=units(2), atr=atr)[0].qty for atr in (0.39, 0.4, 2.0, 2.01)]
    assert sizes == [units(90), units(75), units(75), units("52.5")]


def test_each_open_or_pending_position_reduces_the_risk() -> None:
    core = engine(limits(**{**FREE, "multi_position_scaling": True, "max_total_exposure": units(9)}))
    first = one(core.process(signal(T0 + 1, stop_distance=units(4))), ev.OrderRequested)
    second = one(core.process(signal(T0 + 2, SYMBOLS[1], stop_distance=units(4))), ev.OrderRequested)
    assert (first.qty, second.qty) == (units("37.5"), units("35.625"))


def test_exposure_leaves_less_room_and_says_so() -> None:
    order, rows = entered({**FREE, "max_symbol_exposure": units("0.1")}, stop_distance=units(1))
    reduced = one(rows, ev.EntryReduced)
    assert (reduced.code, reduced.room, order.bound) == (ev.Reason.EXPOSURE, units(5_000), "exposure")
    assert (
        order.reserved
        <= units(5_000)
        < reservation(units("100.2"), order.qty + units("0.001"), units("0.0004"))
    )


def test_no_exposure_room_is_a_refusal() -> None:
    row, _ = refused({**FREE, "max_total_exposure": units("0.001")})
    assert (row.code, row.value) == (ev.Reason.EXPOSURE, float(units(50)))


def test_the_budget_caps_to_its_share_of_the_free_slots() -> None:
    order, rows = entered({})
    cap = one(rows, ev.BudgetCapped)
    assert (cap.allocated, cap.used, cap.available, cap.slots) == (units(12_500), 0, units(12_500), 3)
    assert cap.cap == units(12_500) // 3
    assert order.bound == "budget"
    assert (
        order.reserved <= cap.cap < reservation(units("100.2"), order.qty + units("0.001"), units("0.0004"))
    )


def test_the_last_slot_may_take_all_that_is_left() -> None:
    core = engine()
    for number, symbol in enumerate(SYMBOLS):
        rows = core.process(signal(T0 + 1 + number, symbol))
        assert one(rows, ev.BudgetCapped).slots == 3 - number
    assert core.portfolio.get_available_budget("coin") < units("0.5")


def test_a_cap_is_refused_where_partial_entries_are_not_allowed() -> None:
    row, rows = refused({"allow_partial_entry": False})
    assert row.code is ev.Reason.PORTFOLIO_BUDGET
    assert not of_kind(rows, ev.BudgetCapped)


def test_a_budget_below_the_minimum_notional_is_a_refusal() -> None:
    row, _ = refused({"default_allocation": units("0.005")})
    assert (row.code, row.limit) == (ev.Reason.PORTFOLIO_BUDGET, float(units(100)))


def test_a_size_below_the_minimum_notional_is_a_refusal_by_the_venues_filters() -> None:
    row, _ = refused(FREE, stop_distance=units(1_000))
    assert row.code is ev.Reason.VENUE_FILTERS


def test_a_stop_at_no_distance_is_a_refusal() -> None:
    for stop in (0, -1):
        assert refused({}, stop_distance=stop)[0].code is ev.Reason.SIZING
