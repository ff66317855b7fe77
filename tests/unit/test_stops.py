"""Protective stops: each position has one of its own quantity, and none is left behind."""

from __future__ import annotations

import msgspec

from flowguardian.brokers.stops import Changes, Stops
from flowguardian.execution.portfolio_manager import Position
from tests.builders import INSTRUMENTS as ALL

ONE = 10**8
GAP = 100_000
SYMBOL = "BTCUSDT"
INSTRUMENTS = {instrument.symbol: instrument for instrument in ALL}


def held(side: int = 1, qty: int = ONE, stop: int = 99 * ONE) -> dict[str, Position]:
    position = Position(SYMBOL, "scalping", side, 1, None)
    position.qty, position.stop = qty, stop
    return {SYMBOL: position}


def changes(stops: Stops, positions: dict[str, Position], fill: int) -> Changes:
    return stops.changes(positions, {SYMBOL: fill}, INSTRUMENTS)


def test_a_position_without_a_stop_gets_one_beyond_the_engines() -> None:
    tick = INSTRUMENTS[SYMBOL].tick_size
    for side in (1, -1):
        (stop,) = changes(Stops("tag", GAP), held(side), 5).place
        assert (stop.symbol, stop.side, stop.qty, stop.client_id) == (SYMBOL, -side, ONE, "tags5")
        assert stop.price % tick == 0
        assert 99 * ONE * GAP // ONE <= side * (99 * ONE - stop.price) <= 99 * ONE * GAP // ONE + tick


def test_it_is_asked_for_once_and_again_only_when_it_failed() -> None:
    stops = Stops("tag", GAP)
    (stop,) = changes(stops, held(), 5).place
    stops.asked(stop)
    assert changes(stops, held(), 5) == Changes((), ())
    stops.failed(stop)
    assert changes(stops, held(), 5).place == (stop,)
    stops.confirmed(stop)
    assert changes(stops, held(), 5) == Changes((), ())


def test_a_new_quantity_is_covered_before_the_old_stop_goes() -> None:
    stops = Stops("tag", GAP)
    (first,) = changes(stops, held(), 5).place
    stops.confirmed(first)
    grown = held(qty=2 * ONE)
    (second,) = changes(stops, grown, 6).place
    assert changes(stops, grown, 6).cancel == () and second.qty == 2 * ONE and second != first
    stops.confirmed(second)
    assert changes(stops, grown, 6) == Changes((), (first,))


def test_a_step_that_became_coarser_keeps_what_rests_and_rounds_up_what_is_new() -> None:
    coarser = {SYMBOL: msgspec.structs.replace(INSTRUMENTS[SYMBOL], step_size=3 * ONE)}
    stops, positions = Stops("tag", GAP), held()
    stops.confirmed(changes(stops, positions, 5).place[0])
    assert stops.changes(positions, {SYMBOL: 5}, coarser) == Changes((), ())
    positions[SYMBOL].qty = 2 * ONE
    (stop,) = stops.changes(positions, {SYMBOL: 6}, coarser).place
    assert stop.qty == 3 * ONE
    stops.confirmed(stop)
    assert [gone.qty for gone in stops.changes(positions, {SYMBOL: 6}, coarser).cancel] == [ONE]


def test_a_flat_symbol_keeps_no_stop_and_a_flip_gets_the_other_side() -> None:
    stops = Stops("tag", GAP)
    (first,) = changes(stops, held(), 5).place
    stops.confirmed(first)
    assert changes(stops, {}, 6).cancel == (first,)
    (other,) = changes(stops, held(side=-1, stop=101 * ONE), 7).place
    assert other.side == 1


def test_a_stop_that_vanished_is_missed_from_then_on() -> None:
    stops = Stops("tag", GAP)
    (stop,) = changes(stops, held(), 5).place
    stops.confirmed(stop)
    assert stops.bare_since(held(), 100) == {}
    stops.gone(SYMBOL, stop.client_id)
    assert stops.bare_since(held(), 200) == {SYMBOL: 200} and stops.bare_since(held(), 300) == {SYMBOL: 200}
    assert changes(stops, held(), 5).place == (stop,)
    stops.seen({SYMBOL: {stop.client_id: stop}})
    assert stops.bare_since(held(), 400) == {} and stops.rests(SYMBOL)


def test_only_its_own_stops_are_its() -> None:
    stops = Stops("fgabc", GAP)
    assert stops.is_ours(stops.name(7)) and not stops.is_ours("fgabc-7") and not stops.is_ours("web_1")
