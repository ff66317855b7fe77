"""Each invariant finds the fault that is planted for it, and stops entries."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from flowguardian.execution import events as ev
from flowguardian.execution.engine import Engine
from flowguardian.execution.invariants import check_request
from flowguardian.execution.money import units
from flowguardian.execution.portfolio_manager import MOST_FILL_IDS
from tests.builders import SYMBOLS, T0, engine, filled, of_kind, one, signal


def bought() -> tuple[Engine, ev.OrderRequested]:
    core = engine()
    order = one(core.process(signal(T0 + 1)), ev.OrderRequested)
    core.process(filled(order, 1, order.qty, units(100)))
    return core, order


def close(core: Engine) -> ev.OrderFilled:
    order = one(
        core.process(ev.ExitTriggered(T0 + 2, SYMBOLS[0], ev.ExitReason.STOP, 1, 1)), ev.OrderRequested
    )
    return filled(order, 2, order.qty, units(99))


def leak_cash(core: Engine) -> None:
    core.portfolio.cash += 1


def leak_cost(core: Engine) -> None:
    core.portfolio.positions[SYMBOLS[0]].cost -= 1


def leak_pending(core: Engine) -> None:
    core.portfolio.pending["ETHUSDT"] = 1


@pytest.mark.parametrize(("leak", "named"), [(leak_cash, "I01"), (leak_cost, "I01"), (leak_pending, "I06")])
def test_a_leak_is_found_at_the_next_fill_and_stops_entries(
    leak: Callable[[Engine], None], named: str
) -> None:
    core, _ = bought()
    leak(core)
    rows = core.process(close(core))
    assert one(rows, ev.InvariantViolated).invariant == named
    assert one(rows, ev.TradingStateChanged).state is ev.TradingState.HALTED
    assert one(core.process(signal(T0 + 9)), ev.EntryRefused).code is ev.Reason.READY_GATE


def test_a_leak_is_found_at_a_liquidation_too() -> None:
    core, order = bought()
    leak_cash(core)
    rows = core.process(ev.Liquidated(T0 + 2, SYMBOLS[0], order.qty, units(50), 1))
    assert one(rows, ev.InvariantViolated).invariant == "I01"


def test_a_reservation_that_outlives_its_order_is_found_when_the_order_ends() -> None:
    core = engine()
    order = one(core.process(signal(T0 + 1)), ev.OrderRequested)
    leak_pending(core)
    rows = core.process(ev.OrderExpired(T0 + 2, order.order_id, order.symbol, 0))
    assert one(rows, ev.InvariantViolated).invariant == "I06"


def test_the_same_fill_twice_is_found() -> None:
    core, order = bought()
    rows = core.process(filled(order, 1, 1, units(100)))
    assert "I04" in {row.invariant for row in of_kind(rows, ev.InvariantViolated)}


def test_a_fill_found_late_below_a_later_one_is_right_and_the_same_again_is_found() -> None:
    """A trade that nobody told of is found by REST after the one that came by the stream."""
    core = engine()
    order = one(core.process(signal(T0 + 1)), ev.OrderRequested)
    step = order.qty // 4
    assert not of_kind(core.process(filled(order, 51, step, units(100))), ev.InvariantViolated)
    assert not of_kind(core.process(filled(order, 50, step, units(100))), ev.InvariantViolated)
    assert core.portfolio.last_fill_id[order.symbol] == 51
    for number in (50, 51):
        rows = core.process(filled(order, number, step, units(100)))
        assert "I04" in {row.invariant for row in of_kind(rows, ev.InvariantViolated)}


def test_a_fill_below_all_that_is_remembered_counts_as_booked() -> None:
    portfolio = engine().portfolio
    for number in range(1, 2 * MOST_FILL_IDS):
        portfolio.note_fill("BTCUSDT", 2 * number)
    assert len(portfolio.fill_ids["BTCUSDT"]) <= MOST_FILL_IDS
    assert portfolio.has_fill("BTCUSDT", 3) and portfolio.has_fill("BTCUSDT", 4 * MOST_FILL_IDS - 2)
    assert not portfolio.has_fill("BTCUSDT", 4 * MOST_FILL_IDS - 3)


def test_a_fill_of_nothing_is_found() -> None:
    core = engine()
    order = one(core.process(signal(T0 + 1)), ev.OrderRequested)
    rows = core.process(msgspec.structs.replace(filled(order, 1, 1, units(100)), price=0))
    assert "I03" in {row.invariant for row in of_kind(rows, ev.InvariantViolated)}


def test_the_end_of_an_order_nobody_knows_is_found() -> None:
    rows = engine().process(ev.OrderRejected(T0, 77, SYMBOLS[0], -1, "no"))
    assert one(rows, ev.InvariantViolated).invariant == "I03"


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"qty": 0}, "I23"),
        ({"reserved": units(12_600)}, "I06"),
        ({"reserved": units(9_000), "equity": units(10_000)}, "I07"),
        ({"reserved": units(4_000), "equity": units(10_000)}, "I07"),
    ],
)
def test_an_entry_beyond_a_limit_is_found(changed: dict[str, int], named: str) -> None:
    core = engine()
    order = one(engine().process(signal(T0 + 1)), ev.OrderRequested)
    wrong = msgspec.structs.replace(order, **changed)
    if wrong.qty:
        core.portfolio.request(wrong)
    assert named in {finding[0] for finding in check_request(wrong, core.portfolio)}


def test_an_order_within_its_limits_finds_nothing() -> None:
    core = engine()
    order = one(core.process(signal(T0 + 1)), ev.OrderRequested)
    assert list(check_request(order, core.portfolio)) == []


def test_a_standing_violation_halts_once() -> None:
    core, _ = bought()
    leak_cash(core)
    core.process(close(core))
    rows = core.process(ev.OrderRejected(T0 + 3, 77, SYMBOLS[0], -1, "no"))
    assert of_kind(rows, ev.InvariantViolated)
    assert not of_kind(rows, ev.TradingStateChanged)
