"""The released order of one symbol: ids follow each other, gaps wait and are filled or said."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowguardian.feeds.continuity import Line, Lost
from flowguardian.feeds.quality import Counters
from flowguardian.market.records import SECOND_NS, Flag, Kind

DEADLINE = 2 * SECOND_NS


def row(number, *, kind=Kind.TRADE):
    return (int(kind), 0, 0, 0, 0, number * 1000, 5, 7, 0, 0, number)


class Bench:
    def __init__(self, last_id=-1, max_held=1000):
        self.counts = Counters()
        self.out: list[Any] = []
        self.line = Line(
            0, self.out.append, self.counts, gap_deadline_ns=DEADLINE, max_held=max_held, last_id=last_id
        )

    def trades(self, *numbers, now=0):
        for number in numbers:
            self.line.trade(number, row(number), number * 1000, now)

    def fill(self, *numbers, now=0):
        self.line.fill([(number, row(number)) for number in numbers], now)

    @property
    def ids(self):
        return [item[10] if not isinstance(item, Lost) else "gap" for item in self.out]

    @property
    def backfilled(self):
        return [item[10] for item in self.out if not isinstance(item, Lost) and item[1] & Flag.BACKFILLED]


def test_ids_that_follow_each_other_go_out_at_once():
    bench = Bench()
    bench.trades(5, 6, 7)
    assert bench.ids == [5, 6, 7] and not bench.line.waiting


def test_a_repeated_id_is_dropped_and_counted():
    bench = Bench()
    bench.trades(5, 6, 6, 5, 7)
    assert bench.ids == [5, 6, 7]
    assert bench.counts.duplicates + bench.counts.out_of_order == 2


def test_after_an_id_gap_everything_of_the_symbol_waits_for_the_back_fill():
    bench = Bench()
    bench.trades(5, 8)
    bench.line.other(row(99, kind=Kind.TOP), 0)
    bench.trades(9)
    assert bench.ids == [5] and bench.line.wants(0) == 6
    bench.fill(6, 7, 8, 9)
    assert bench.ids == [5, 6, 7, 8, 99, 9] and bench.backfilled == [6, 7]
    assert bench.counts.backfilled == 2 and bench.counts.feed_gaps == 0 and bench.counts.lost == 0


def test_an_order_put_right_by_the_stream_itself_needs_no_back_fill():
    bench = Bench()
    bench.trades(5, 8, 7, 6, 9)
    assert bench.ids == [5, 6, 7, 8, 9] and bench.backfilled == []
    assert bench.counts.out_of_order == 2


def test_past_the_deadline_the_gap_is_said_once_and_the_rows_go_on():
    bench = Bench()
    bench.trades(5, 8, 9, now=100)
    bench.line.expire(100 + DEADLINE - 1)
    assert bench.ids == [5]
    bench.line.expire(100 + DEADLINE)
    assert bench.ids == [5, "gap", 8, 9]
    assert bench.out[1] == Lost(0, 5000, 8000, 2) and bench.counts.lost == 2
    bench.fill(6, 7)
    bench.trades(10)
    assert bench.ids == [5, "gap", 8, 9, 10] and bench.counts.late == 2


def test_what_was_back_filled_in_part_is_kept_when_the_deadline_passes():
    bench = Bench()
    bench.trades(5, 9)
    bench.fill(6)
    bench.line.expire(DEADLINE)
    assert bench.ids == [5, "gap", 6, 9] and bench.out[1].lost == 2


def test_ids_the_venue_does_not_have_are_no_loss():
    bench = Bench()
    bench.trades(5, 9)
    bench.fill(7, 9, 10)
    assert bench.ids == [5, 7, 9] and bench.counts.id_voids == 2 and bench.counts.feed_gaps == 0


def test_an_answer_that_lags_behind_the_stream_is_asked_again_for_the_rest():
    bench = Bench()
    bench.trades(5, 10, now=1)
    assert bench.line.wants(1) == 6 and bench.line.wants(2) is None
    bench.fill(6, 7)
    assert bench.ids == [5] and bench.line.wants(3) == 8
    bench.fill(8, 9)
    assert bench.ids == [5, 6, 7, 8, 9, 10]


def test_an_empty_answer_proves_nothing():
    bench = Bench()
    bench.trades(5, 7)
    bench.fill()
    assert bench.ids == [5] and bench.line.waiting


def test_two_holes_are_filled_in_the_order_of_ids():
    bench = Bench()
    bench.trades(5, 7, 10)
    bench.fill(6, 7, 8, 9, 10)
    assert bench.ids == [5, 6, 7, 8, 9, 10] and bench.backfilled == [6, 8, 9]


def test_an_outage_shows_as_a_gap_after_the_last_id_of_the_tape():
    bench = Bench(last_id=40)
    bench.trades(44)
    assert bench.line.wants(0) == 41
    bench.fill(41, 42, 43, 44)
    assert bench.ids == [41, 42, 43, 44] and bench.backfilled == [41, 42, 43]


def test_rows_that_were_on_the_tape_before_an_outage_are_not_released_again():
    bench = Bench(last_id=40)
    bench.line._last_ns = 40_000
    bench.trades(39, 40, 41)
    assert bench.ids == [41]


def test_rows_that_wait_are_bounded():
    bench = Bench(max_held=10)
    bench.trades(1, 3)
    for number in range(100, 110):
        bench.line.other(row(number, kind=Kind.TOP), 0)
    assert bench.ids == [1, "gap", 3, *range(100, 110)] and bench.counts.overflows == 1


def test_a_venue_that_numbers_anew_is_a_gap_and_not_an_endless_repetition():
    bench = Bench()
    bench.trades(10_000_000)
    late_ns = 10_000_000 * 1000 + 2 * SECOND_NS
    bench.line.trade(7, row(7), late_ns, 0)
    bench.line.trade(8, row(8), late_ns, 0)
    assert bench.ids == [10_000_000, "gap", 7, 8] and bench.counts.id_resets == 1


def test_a_garbage_id_far_ahead_heals_itself():
    bench = Bench()
    bench.trades(5, 10**12, 6, 7, now=1)
    bench.line.expire(1 + DEADLINE)
    late_ns = 10**15 + 2 * SECOND_NS
    bench.line.trade(8, row(8), late_ns, DEADLINE)
    assert bench.ids == [5, "gap", 6, 7, 10**12, "gap", 8]


def test_a_burst_behind_a_gap_loses_nothing_and_stays_linear():
    bench = Bench(max_held=50_000)
    bench.trades(1, *range(3, 30_003))
    assert bench.ids == [1]
    bench.fill(2, 3)
    assert bench.ids == list(range(1, 30_003))


@given(st.integers(0, 10**6), st.integers(2, 60), st.floats(0, 0.6))
def test_any_shuffle_with_losses_leaves_every_id_once_and_in_order(seed, many, share):
    generator = np.random.default_rng(seed)
    ids = np.arange(1, many + 1)
    kept = ids[(generator.random(many) >= share) | (ids == 1) | (ids == many)]
    arriving = np.concatenate([kept, generator.choice(kept, len(kept) // 2)])
    place = np.argsort(np.concatenate([np.arange(len(kept)), generator.integers(0, many, len(kept) // 2)])
                       + generator.integers(0, 6, len(arriving)), kind="stable")  # fmt: skip
    bench = Bench(last_id=0, max_held=10**6)
    for number in arriving[place].tolist():
        bench.trades(number)
        if (wanted := bench.line.wants(0)) is not None and generator.random() < 0.5:
            bench.fill(*range(wanted, min(wanted + 4, many) + 1))
    while (wanted := bench.line.wants(SECOND_NS)) is not None:
        bench.fill(*range(wanted, many + 1))
    assert bench.ids == list(range(1, many + 1)), f"seed {seed}"
    assert bench.counts.lost == 0


@pytest.mark.parametrize("held", [0, 3])
def test_nothing_wanted_and_nothing_given_up_without_a_gap(held):
    bench = Bench()
    bench.trades(*range(1, held + 2))
    assert bench.line.wants(0) is None
    bench.line.expire(10**18)
    bench.line.give_up()
    assert bench.counts.feed_gaps == 0
