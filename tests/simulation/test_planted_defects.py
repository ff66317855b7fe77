"""The oracles see: each planted defect, of the books, the broker or the recorder, is found by a seed.

Rule: a defect is planted in the product's own classes; an oracle that nothing can wake is a defect itself.
"""

from __future__ import annotations

from collections.abc import Sequence

from flowguardian.brokers.account_watch import AccountWatch
from flowguardian.brokers.order_track import Tracked
from flowguardian.brokers.venue_stops import VenueStops
from flowguardian.execution import position_sizer
from flowguardian.execution.events import Row
from flowguardian.journal.journal import Recorder
from flowguardian.simulation.batch import run_seed, shrink
from flowguardian.simulation.leaks import LeakyPortfolio
from tests.simulation.worlds import Story, fault


def test_a_run_that_fails_is_shrunk_to_its_beginning():
    tried: list[float] = []
    found = shrink(3, "calm", 4.0, lambda hours, _: tried.append(hours), LeakyPortfolio)
    assert found.violations and found.hours < 4.0 and len(tried) > 2


def test_a_budget_leak_is_found_by_the_invariants_the_replay_and_the_judge():
    violations = run_seed(1, "calm", 4.0, LeakyPortfolio).violations
    for oracle in ("I06", "verify", "the judge: budget_limits"):
        assert any(text.startswith(oracle) for text in violations), oracle


def test_stops_that_are_never_placed_are_found(tmp_path, monkeypatch):
    monkeypatch.setattr(VenueStops, "protect", lambda self: None)
    violations = Story(tmp_path).outcome.violations
    assert any("had no stop" in text and "nobody said so" in text for text in violations)


def test_fills_that_are_booked_without_their_fee_are_found(tmp_path, monkeypatch):
    traded = Tracked.traded
    monkeypatch.setattr(
        Tracked, "traded", lambda self, fill, executed: traded(self, fill._replace(fee=0), executed)
    )
    assert any("in the wallet" in text for text in Story(tmp_path).outcome.violations)


def test_an_unknown_order_that_is_given_up_without_proof_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr(
        Tracked, "absent", lambda self, asked_ns, proof_ns: self.refused(-2013, "I think it never arrived")
    )
    hidden = (
        fault("invisible", 3, 6, seconds=4.0),
        fault("order_reply", 3, 6, path="POST /fapi/v1/order", variant="timeout", executed=1.0),
        fault("drop", 3, 6, streams="user@*"),
    )
    assert any("I03" in text for text in Story(tmp_path, *hidden).outcome.violations)


def test_an_outside_close_that_is_never_looked_for_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr(AccountWatch, "foreign", lambda self, traded, client_id: None)
    violations = Story(tmp_path, fault("outside_trade", 5.5)).outcome.violations
    assert violations, "the venue closed a position, and the books never heard of it"


def test_rows_that_are_not_those_decided_are_found(monkeypatch):
    commit = Recorder.commit

    def forgetful(self: Recorder, rows: Sequence[Row], *, durable: bool) -> None:
        commit(self, rows[:1] if len(rows) > 3 else rows, durable=durable)

    monkeypatch.setattr(Recorder, "commit", forgetful)
    assert any(text.startswith("verify") for text in run_seed(1, "calm", 2.0).violations)


def test_orders_that_do_not_fit_the_filters_are_found(monkeypatch):
    monkeypatch.setattr(position_sizer, "floor_step", lambda qty, _: qty)
    assert any("does not fit the filters" in text for text in run_seed(1, "calm", 2.0).violations)
