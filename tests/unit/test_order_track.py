"""What is proved about an order: the same facts in whatever order and however often the venue speaks."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowguardian.brokers.order_track import NEVER_ARRIVED, Fill, Report, Tracked
from flowguardian.execution import events as ev

ONE = 10**8
QTY = 10 * ONE
PROOF_NS = 6 * 10**9


def request(qty: int = QTY) -> ev.OrderRequested:
    return ev.OrderRequested(
        ts_ns=1, order_id=7, symbol="BTCUSDT", strategy="scalping", side=1, purpose=ev.Purpose.ENTRY, qty=qty,
        limit_price=100 * ONE, reserved=1000 * ONE, reason="", bound="budget", bar_ns=0, stop_distance=1,
        target1_distance=1, target2_distance=0, trail_distance=0, hold_ns=0, equity=1, shadow=(),
    )  # fmt: skip


def fill(number: int, qty: int) -> Fill:
    return Fill(number, qty * ONE, 100 * ONE, qty)


FILLS = [fill(11, 4), fill(12, 1), fill(15, 3)]
EVIDENCE: list[tuple[str, Any]] = [
    ("report", Report("NEW", 0, 900)),
    ("report", Report("PARTIALLY_FILLED", 4 * ONE, 900)),
    ("report", Report("PARTIALLY_FILLED", 5 * ONE, 900)),
    ("report", Report("EXPIRED", 8 * ONE, 900)),
    *(("trade", one) for one in FILLS),
    ("list", FILLS[:2]),
    ("list", FILLS),
]
AFTER = {11: 4 * ONE, 12: 5 * ONE, 15: 8 * ONE}
Said = list[tuple[str, Any]]


def told(order: Tracked, evidence: Said) -> list[ev.Row]:
    found: list[ev.Row] = []
    for kind, what in evidence:
        if kind == "report":
            order.reported(what)
        elif kind == "list":
            order.listed(what)
        else:
            order.traded(what, AFTER[what.trade_id])
        found += order.facts()
    return found


def fills_of(rows: list[ev.Row]) -> list[tuple[int, int]]:
    return [(row.fill_id, row.qty) for row in rows if isinstance(row, ev.OrderFilled)]


@given(st.randoms(use_true_random=False), st.lists(st.integers(0, len(EVIDENCE) - 1), max_size=20))
def test_any_order_and_any_repetition_of_the_evidence_gives_each_fill_once_in_order(
    shuffler: random.Random, repeated: list[int]
) -> None:
    evidence = [*EVIDENCE, *(EVIDENCE[i] for i in repeated)]
    shuffler.shuffle(evidence)
    order = Tracked(request(), "tag-7")
    rows = told(order, evidence)
    assert fills_of(rows) == [(11, 4 * ONE), (12, ONE), (15, 3 * ONE)]
    assert [row for row in rows if isinstance(row, ev.OrderExpired)] == [
        ev.OrderExpired(0, 7, "BTCUSDT", 8 * ONE)
    ]
    assert rows[-1] == ev.OrderExpired(0, 7, "BTCUSDT", 8 * ONE) and order.over
    assert order.facts() == []


def test_a_fill_that_is_missing_holds_back_those_after_it_and_the_end() -> None:
    order = Tracked(request(), "tag-7")
    rows = told(order, [("report", Report("EXPIRED", 8 * ONE, 900)), ("trade", FILLS[0])])
    assert [number for number, _ in fills_of(rows)] == [11]
    assert told(order, [("trade", FILLS[2])]) == [] and order.lacks_fills and not order.over
    rows = told(order, [("trade", FILLS[1])])
    assert [number for number, _ in fills_of(rows)] == [12, 15] and order.over


def test_a_filled_order_ends_without_another_row() -> None:
    order = Tracked(request(8 * ONE), "tag-7")
    rows = told(order, [*(("trade", one) for one in FILLS), ("report", Report("FILLED", 8 * ONE, 900))])
    assert [type(row) for row in rows] == [ev.OrderFilled] * 3 and order.over


def test_unknown_is_said_once_and_leaves_on_the_word_of_the_venue_alone() -> None:
    order = Tracked(request(), "tag-7")
    order.sent_ns = 10**9
    order.unknown()
    assert [type(row) for row in order.facts()] == [ev.OrderUnknown]
    order.unknown()
    assert order.facts() == []
    order.absent(order.sent_ns + PROOF_NS, PROOF_NS)
    assert order.facts() == [], "it may still arrive"
    order.absent(order.sent_ns + PROOF_NS + 1, PROOF_NS)
    (row,) = order.facts()
    assert isinstance(row, ev.OrderRejected) and row.code == NEVER_ARRIVED and order.over


def test_absence_proves_nothing_about_an_order_that_was_seen() -> None:
    """A venue may not find for a while what it has accepted."""
    order = Tracked(request(), "tag-7")
    order.reported(Report("NEW", 0, 900))
    order.absent(10**18, PROOF_NS)
    assert order.facts() == [] and not order.over
    assert fills_of(told(order, [("trade", FILLS[0])])) == [(11, 4 * ONE)]


def test_a_refusal_after_which_the_venue_filled_is_no_refusal() -> None:
    order = Tracked(request(), "tag-7")
    order.traded(FILLS[0], 4 * ONE)
    order.refused(-1001, "disconnected")
    assert not order.is_refused and fills_of(order.facts()) == [(11, 4 * ONE)]


@pytest.mark.parametrize(
    ("end", "kind"),
    [
        (lambda order: order.refused(-2019, "Margin is insufficient."), ev.OrderRejected),
        (lambda order: order.unsent(), ev.OrderUnsent),
        (lambda order: order.reported(Report("REJECTED", 0, 900)), ev.OrderRejected),
        (lambda order: order.reported(Report("EXPIRED", 0, 900)), ev.OrderExpired),
        (lambda order: order.reported(Report("CANCELED", 0, 900)), ev.OrderExpired),
    ],
)
def test_every_end_is_one_row(end: Any, kind: type[ev.Row]) -> None:
    order = Tracked(request(), "tag-7")
    end(order)
    assert [type(row) for row in order.facts()] == [kind] and order.over
    end(order)
    assert order.facts() == []


def test_an_order_of_an_earlier_process_goes_on_where_the_books_stand() -> None:
    order = Tracked(request(), "tag-7", 5 * ONE, is_unknown=True)
    order.unknown()
    order.absent(10**18, PROOF_NS)
    assert order.facts() == [], "said already; and what was filled in part was seen"
    rows = told(order, [("report", Report("EXPIRED", 8 * ONE, 900)), ("list", FILLS)])
    assert fills_of(rows) == [(15, 3 * ONE)] and isinstance(rows[-1], ev.OrderExpired)
