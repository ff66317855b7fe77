"""A few hostile seeds: nothing that must hold is violated, and the trouble did happen.

Rule: a seed that once failed stays here, with what it failed by.
"""

from __future__ import annotations

from collections import Counter

import pytest

from flowguardian.simulation.batch import run_seed, shrink, summary_of

FAILED_ONCE = {
    ("hostile", 2.0, 3): "a stop was refused for a tick that had changed, for up to an hour",
    ("hostile", 2.0, 501): "entries waited for ten minutes after the venue's clock was right again",
}


def test_calm_seeds_trade_and_violate_nothing():
    outcomes = [run_seed(seed, "calm", 12.0) for seed in range(1, 9)]
    assert [one.violations for one in outcomes] == [[]] * 8
    assert sum(one.orders for one in outcomes) > 400


@pytest.mark.slow
def test_hostile_seeds_violate_nothing_and_were_hostile():
    outcomes = [run_seed(seed, "hostile", 0.75) for seed in range(40, 50)]
    assert [(one.seed, one.violations) for one in outcomes if one.violations] == []
    seen: Counter[str] = Counter()
    for one in outcomes:
        seen.update(one.seen)
    assert sum(one.lives for one in outcomes) > len(outcomes), "somebody died"
    market, trading = {"drop", "stall", "reorder", "cut"}, {"order_reply", "stop_cancelled", "outside_trade"}
    assert market | trading <= seen.keys(), seen
    summary = summary_of(outcomes, "hostile", 60.0, interrupted=False, commit="")
    assert summary.violations == 0 and summary.simulated_hours == 7.5


@pytest.mark.slow
@pytest.mark.parametrize(("profile", "hours", "seed"), FAILED_ONCE, ids=FAILED_ONCE.values())
def test_seeds_that_failed_once_do_not_fail_again(profile, hours, seed):
    assert run_seed(seed, profile, hours).violations == []


def test_a_run_that_does_not_fail_cannot_be_shrunk():
    with pytest.raises(ValueError, match="does not fail"):
        shrink(1, "calm", 1.0, lambda *_: None)
