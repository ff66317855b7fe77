"""Funding (F46) in live runs: told, untold, settled while nobody listened, around a kill; equal ledgers."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from flowguardian.execution import events as ev
from flowguardian.market.funding import FUNDING_INTERVAL_NS
from flowguardian.market.records import SECOND_NS
from tests.e2e.faulted import MINUTE_NS, SYMBOLS, Faulted, faulted
from tests.e2e.live_stories import LiveStory, live_story, run_live
from tests.e2e.real_runs import rows, wait_until
from tests.e2e.test_live_restarts import POSIX, kill_when

pytestmark = pytest.mark.slow
SETTLED_NS = 1_747_814_400 * SECOND_NS
"""08:00 UTC: a funding time."""
SETTLED_MINUTE = 12.2
START_NS = SETTLED_NS - round(SETTLED_MINUTE * MINUTE_NS)
"""So all three symbols are held when it is settled."""
KEPT_SECONDS = 4
assert SETTLED_NS % FUNDING_INTERVAL_NS == 0


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    return tmp_path / "run"


def amounts(told: LiveStory) -> dict[str, int]:
    """What the venue settled, by symbol."""
    lines = [one for one in told.ledger["incomes"] if one["kind"] == "FUNDING_FEE"]
    assert {one["time_ns"] for one in lines} == {SETTLED_NS}
    return {one["symbol"]: one["amount"] for one in lines}


def killed(run: Faulted, condition: Callable[[], object]) -> LiveStory:
    """A run whose engine is killed once something is so; then nothing is wrong any more and it goes on."""
    kill_when(run, condition)
    over = time.monotonic() + KEPT_SECONDS
    run.heal()
    told = run_live(run)
    wait_until(lambda: time.monotonic() > over, "answers that are given, to whomever")
    return told


def booked_once(told: LiveStory, within_seconds: float) -> None:
    """Each symbol's own amount under the venue's id and time, and soon."""
    found = told.of(ev.FundingSettled)
    assert {row.symbol: row.amount for row in found} == amounts(told) and set(amounts(told)) == set(SYMBOLS)
    assert len(found) == len(SYMBOLS) == len({row.tran_id for row in found})
    assert {row.settled_ns for row in found} == {SETTLED_NS}
    assert max(row.ts_ns for row in found) - SETTLED_NS <= within_seconds * SECOND_NS
    assert told.books().funding == sum(amounts(told).values()) != 0


def test_funding_of_several_symbols_is_booked_at_once_under_their_names(run_dir: Path) -> None:
    told = live_story(run_dir, start_ns=START_NS)
    booked_once(told, within_seconds=2)


def test_funding_that_no_event_told_of_is_found_in_the_record_of_income(run_dir: Path) -> None:
    fault = {"kind": "drop", "streams": "ACCOUNT_UPDATE*", "path": "private", "minute": 0, "minutes": 20}
    told = live_story(run_dir, start_ns=START_NS, faults=[fault])
    booked_once(told, within_seconds=60)


@pytest.mark.parametrize("silent", [False, True])
def test_funding_while_the_stream_was_down_is_found(run_dir: Path, silent: bool) -> None:
    """The key ends before the funding time, and for a minute there is no other."""
    told = live_story(
        run_dir,
        start_ns=START_NS,
        faults=[
            {"kind": "key_expiry", "silent": silent, "minute": SETTLED_MINUTE - 0.1},
            {"kind": "rest", "path": "/fapi/v1/listenKey", "minute": SETTLED_MINUTE - 0.1, "minutes": 1},
        ],
    )
    booked_once(told, within_seconds=60)


def test_funding_told_twice_is_booked_once(run_dir: Path) -> None:
    fault = {"kind": "duplicate", "streams": "ACCOUNT_UPDATE*", "count": 3, "minute": 0, "minutes": 20}
    booked_once(live_story(run_dir, start_ns=START_NS, faults=[fault]), within_seconds=2)


@POSIX
def test_an_engine_killed_before_it_booked_funding_books_it_when_it_is_back(run_dir: Path) -> None:
    """The venue has settled, and does not answer the question for it until the engine is dead."""
    fault = {
        "kind": "rest",
        "path": "/fapi/v1/income",
        "status": 0,
        "seconds": KEPT_SECONDS,
        "minute": 12,
        "minutes": 9,
    }
    with faulted(run_dir, faults=[fault], mode=ev.LIVE, start_ns=START_NS) as run:
        told = killed(run, lambda: any(one["kind"] == "FUNDING_FEE" for one in run.ledger()["incomes"]))
    told.holds()
    back = next(row for row in told.of(ev.SegmentStarted) if row.segment == 2)
    assert told.rows.index(back) < told.rows.index(told.of(ev.FundingSettled)[0]), "killed too late"
    booked_once(told, within_seconds=60)


@POSIX
def test_an_engine_killed_after_it_booked_funding_books_nothing_again(run_dir: Path) -> None:
    """The exits after it are answered late: the run is not over when the engine is killed."""
    late = {"kind": "order_reply", "variant": "late", "seconds": KEPT_SECONDS, "path": "POST /fapi/v1/order"}
    fault = {**late, "minute": SETTLED_MINUTE + 0.05, "minutes": 9}
    with faulted(run_dir, faults=[fault], mode=ev.LIVE, start_ns=START_NS) as run:
        told = killed(run, lambda: any(isinstance(row, ev.FundingSettled) for row in rows(run_dir)))
    told.holds()
    assert [row.segment for row in told.of(ev.SegmentStarted)] == [1, 2]
    booked_once(told, within_seconds=60)
