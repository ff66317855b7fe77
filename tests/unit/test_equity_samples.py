"""Equity samples on clock rows: when they are taken and what they keep."""

from __future__ import annotations

from typing import Any

import numpy as np

from flowguardian.execution.money import SCALE, units
from flowguardian.market.columns import new_tails
from flowguardian.market.equity import DAY_NS, HELD, new_equity, sample_equity

MARGIN = units("0.005")
NOTHING = np.empty(0, np.int64)


def position(side: int = 1, qty: int = units(2), price: int = units(100)) -> Any:
    held = np.zeros(1, HELD)
    held[0] = (0, side, qty, *divmod(qty * price, SCALE))
    return held


def sample(state: Any, clock: list[int], ts: list[int], price: list[int], held: Any, **how: Any) -> int:
    tails = new_tails(1)
    tails[0, 0] = how.get("last", 0)
    return int(
        sample_equity(
            np.array(clock, np.int64),
            how.get("after", 0),
            how.get("until", 10**18),
            np.array(ts, np.int64),
            np.array(price, np.int64),
            np.array([0, len(ts)], np.int64),
            tails,
            held,
            how.get("count", len(held)),
            how.get("balance", units(1_000)),
            how.get("margin", MARGIN),
            10,
            state,
        )
    )


def test_a_sample_is_due_once_per_interval_on_the_first_clock_row() -> None:
    state = new_equity(units(1_000), 0, 10)
    sample(state, [5, 9, 12, 13, 31], [1, 12, 13], [units(100), units(101), units(150)], position())
    assert state["peak"][0] == units(1_100), "the sample at 12 saw 101, the one at 31 saw 150"
    assert state["next_ns"][0] == 40
    state = new_equity(units(1_000), 0, 10)
    sample(state, [5, 9, 12, 13], [1, 12, 13], [units(100), units(101), units(150)], position())
    assert state["peak"][0] == units(1_002)


def test_samples_lie_after_the_last_and_not_after_the_end() -> None:
    state = new_equity(units(1_000), 0, 10)
    sample(state, [10, 20, 30], [1], [units(101)], position(), after=10, until=20)
    assert state["next_ns"][0] == 30
    sample(state, [10, 20, 30], [1], [units(101)], position(), after=20, until=29)
    assert state["next_ns"][0] == 30


def test_peak_and_low_are_kept_and_a_short_gains_when_prices_fall() -> None:
    state = new_equity(units(1_000), 0, 10)
    sample(state, [10, 20], [1, 15], [units(90), units(120)], position(-1))
    assert (state["peak"][0], state["low"][0]) == (units(1_020), units(960))


def test_a_symbol_without_a_trade_in_the_chunk_has_its_last_price() -> None:
    state = new_equity(units(1_000), 0, 10)
    sample(state, [10], [], [], position(), last=units(105))
    assert state["peak"][0] == units(1_010)


def test_the_day_starts_with_its_first_sample() -> None:
    state = new_equity(units(1_000), DAY_NS - 20, 10)
    sample(state, [DAY_NS - 10, DAY_NS, DAY_NS + 10], [1, DAY_NS + 5], [units(101), units(90)], position())
    assert (state["day"][0], state["day_start"][0]) == (1, units(1_002))


def test_a_liquidation_is_reported_when_equity_no_longer_covers_the_margin() -> None:
    how = {"balance": units(21), "margin": units("0.01")}
    state = new_equity(units(21), 0, 10)
    assert sample(state, [10, 20, 30], [1, 15], [units(100), units(90)], position(), **how) == 20
    assert state["next_ns"][0] == 30, "the samples after it are still to be taken"
    assert sample(new_equity(units(21), 0, 10), [10], [1], [units(95)], position(), **how) == -1


def test_a_flat_account_is_never_liquidated() -> None:
    state = new_equity(0, 0, 10)
    assert sample(state, [10], [], [], position(), count=0, balance=-5) == -1
