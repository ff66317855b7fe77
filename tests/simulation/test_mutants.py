"""Every mutant is caught, and the world it lives in is clean without it.

Rule: an oracle that sees a mutant sees it again; when another begins to see it, the record is written anew.
"""

from __future__ import annotations

from functools import lru_cache

import pytest

from tests.simulation.caught import caught_by, objections, self_test
from tests.simulation.mutants import calm
from tests.simulation.recorded_mutants import ALL, read, record

WORLDS = {repr(mutant.world): mutant.world for mutant in ALL}
REMEDY = "write it anew with: python -m tests.simulation.recorded_mutants, then python -m development.pages"


NIGHTLY = {
    "clock_skew_is_ignored", "gaps_are_not_announced", "outside_closes_are_never_seen",
    "restart_forgets_open_orders", "silence_is_not_noticed", "trades_are_never_asked_for",
}  # fmt: skip
"""Each has a world at the venue for itself, which takes seconds."""
CASES = [pytest.param(one, marks=[pytest.mark.nightly] * (one.name in NIGHTLY), id=one.name) for one in ALL]


@lru_cache
def without_a_mutant(world: str) -> dict[str, str]:
    return objections(WORLDS[world])


@pytest.mark.parametrize("mutant", CASES)
def test_a_mutant_is_caught(mutant):
    assert without_a_mutant(repr(mutant.world)) == {}
    found = caught_by(mutant)
    assert found.keys() - {"self-test", "the process"}, f"only {found}"
    assert read()[mutant.name] == record(mutant, found), REMEDY


def test_the_record_holds_every_mutant_and_no_other():
    assert {mutant.name for mutant in ALL} >= NIGHTLY
    assert list(read()) == [mutant.name for mutant in ALL]
    assert len(ALL) == len({mutant.name for mutant in ALL}) > 60


def test_the_self_test_is_green_without_a_mutant():
    assert self_test() == ""


def test_a_reduction_that_the_budget_refuses_all_the_same_is_explained():
    """`explain` marked sound refusals with ✗: it missed the row of a reduction that is not written then."""
    world = calm(
        1, 12.0, "portfolio.budget.default_allocation=1", "portfolio.max_total_exposure=1",
        "risk.max_exposure_pct=1", "risk.max_exposure_per_symbol=1", "risk.per_trade=0.05",
        "position_sizing.max_position_notional=50000", "position_sizing.multi_position_scaling=false",
    )  # fmt: skip
    assert objections(world) == {}
