"""What the simulation found, as the smallest world that shows it.

Rule: each story is a bug that was fixed at its root; the world around it is drawn from a seed.
"""

from __future__ import annotations

from flowguardian.execution import events as ev
from flowguardian.market.records import SECOND_NS
from flowguardian.simulation.world import world_of
from tests.simulation.worlds import HOURS, SEED, Story, fault


def symbols() -> list[str]:
    names = next(one for one in world_of(SEED, "hostile", HOURS).overrides if one.startswith("universe."))
    return names.partition("[")[2].rstrip("]").split(",")


def test_a_tick_that_changed_is_learned_from_the_first_refusal(tmp_path):
    """Stops were refused for their price until the filters were read again, within the hour."""
    story = Story(tmp_path, *(fault("tick_size", 4, symbols=name, tick=tick(name)) for name in symbols()))
    assert story.outcome.violations == []
    refused, learned = story.of(ev.OrderRejected), story.of(ev.InstrumentsSet, 4)
    assert learned and learned[0].ts_ns - refused[0].ts_ns < 3 * SECOND_NS
    assert all(row.ts_ns < learned[0].ts_ns for row in refused)
    assert not story.of(ev.PositionNaked)


def tick(name: str) -> str:
    """A coarser tick than any symbol has, which is still small beside its price."""
    coarse = {"BTCUSDT": "10", "ETHUSDT": "1", "BNBUSDT": "1", "SOLUSDT": "0.1", "LTCUSDT": "0.1"}
    return coarse.get(name, "0.01")


def test_exits_that_the_venue_ends_unfilled_are_not_asked_for_in_a_storm(tmp_path):
    """Each was followed by the next at once: thousands of orders until the venue's limit stopped them."""
    story = Story(tmp_path, fault("partial_then_cancel", 4, 5, share=0.0))
    assert story.outcome.violations == []
    exits = [row for row in story.of(ev.OrderRequested, 4, 9) if row.purpose is ev.Purpose.EXIT]
    closed = story.of(ev.PositionClosed, 9)
    assert 5 < len(exits) < 60 * len(symbols()) and closed
