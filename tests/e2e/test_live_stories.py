"""Faults of the trading side (F26 to F50): injected, what the engine does, and both ledgers at the end."""

from __future__ import annotations

from pathlib import Path

import pytest

from flowguardian.execution import events as ev
from flowguardian.ops.verify import verify
from tests.e2e.faulted import Fault, faulted
from tests.e2e.live_stories import LiveStory, live_story, run_live

pytestmark = pytest.mark.slow
EVERY_EVENT = "ORDER*,TRADE_LITE*,ACCOUNT*,ALGO*"


def live_story_that_differs(run_dir: Path, *faults: Fault) -> LiveStory:
    """A run whose account is not its own any more: everything holds but that both ledgers agree."""
    with faulted(run_dir, faults=faults, mode=ev.LIVE) as run:
        told = run_live(run)
    assert told.reason == "completed" and verify(run_dir).ok and not told.of(ev.InvariantViolated)
    return told


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    return tmp_path / "run"


def test_a_run_without_faults_trades_and_both_ledgers_agree(run_dir: Path) -> None:
    told = live_story(run_dir)
    assert len(told.entries()) >= 3 and told.of(ev.PositionClosed)
    assert len(told.of(ev.StopConfirmed)) >= len(told.of(ev.PositionOpened))
    assert not told.of(ev.PositionNaked) and not told.of(ev.OrderUnknown)
    compared = told.of(ev.AccountReconciled)
    assert compared and all(row.difference == "" and row.wallet == row.balance for row in compared)


@pytest.mark.parametrize("executed", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("variant", ["timeout", "unknown_503", "gateway_504", "dropped"])
def test_an_unknown_outcome_is_settled_by_the_venue_and_never_sent_again(
    run_dir: Path, variant: str, executed: float
) -> None:
    fault = {"kind": "order_reply", "variant": variant, "executed": executed, "path": "POST /fapi/v1/order"}
    told = live_story(run_dir, faults=[{**fault, "minute": 4, "minutes": 6}])
    unknown = told.of(ev.OrderUnknown)
    if executed < 1.0:
        assert unknown, "the fault hit no order"
    ended = {row.order_id for row in told.rows if isinstance(row, ev.OrderRejected | ev.OrderExpired)}
    ended |= {row.order_id for row in told.of(ev.OrderFilled)}
    assert {row.order_id for row in unknown} <= ended, "an unknown order was left"


# ---- refusals


@pytest.mark.parametrize("variant", ["unavailable_503", "throttled_503", "internal_503"])
def test_a_definite_no_ends_the_entry_and_the_next_signal_is_another_order(
    run_dir: Path, variant: str
) -> None:
    fault = {"kind": "order_reply", "variant": variant, "path": "POST /fapi/v1/order"}
    told = live_story(run_dir, faults=[{**fault, "minute": 4.5, "minutes": 2}])
    hit = [row for row in told.rows if isinstance(row, ev.OrderRejected | ev.OrderUnknown)]
    assert hit and told.entries(first=9), "the fault hit no order, or nothing was entered after it"


@pytest.mark.parametrize("code", [-2019, -4164, -1111])
def test_an_entry_the_venue_refuses_gives_its_budget_back(run_dir: Path, code: int) -> None:
    fault = {"kind": "order_refused", "code": code, "path": "POST /fapi/v1/order"}
    told = live_story(run_dir, faults=[{**fault, "minute": 4.5, "minutes": 1}])
    refused = told.of(ev.OrderRejected)
    assert refused and {row.code for row in refused} == {code}
    assert told.entries(first=9) and not told.books().orders


def test_an_exit_that_is_refused_is_asked_again_until_it_is_done_and_not_in_a_storm(run_dir: Path) -> None:
    """Refused as if another order would already close; the position stays guarded by its stop."""
    fault = {"kind": "order_refused", "code": -2022, "path": "POST /fapi/v1/order"}
    told = live_story(run_dir, faults=[{**fault, "minute": 5.2, "minutes": 3}])
    refused = [row for row in told.of(ev.OrderRejected) if row.code == -2022]
    assert 1 <= len(refused) <= 3 * 60, "asked in a storm"
    assert not told.of(ev.PositionNaked)


def test_a_clock_that_is_wrong_is_measured_again_and_nothing_is_lost(run_dir: Path) -> None:
    told = live_story(run_dir, faults=[{"kind": "clock_skew", "seconds": 9, "minute": 4.5, "minutes": 6}])
    assert told.entries(first=4.5, last=10.5) and not told.of(ev.PositionNaked)
    assert not [row for row in told.of(ev.OrderRejected) if row.code == -1021]


# ---- fills and events


def test_a_part_fill_and_a_cancel_keep_the_part(run_dir: Path) -> None:
    told = live_story(
        run_dir, faults=[{"kind": "partial_then_cancel", "share": 0.4, "minute": 4, "minutes": 7}]
    )
    expired = [row for row in told.of(ev.OrderExpired) if row.filled]
    assert expired
    assert told.of(ev.PositionOpened)


def test_fills_that_overtake_their_order_land_once(run_dir: Path) -> None:
    told = live_story(run_dir, faults=[{"kind": "fill_first", "minute": 0, "minutes": 14}])
    assert told.of(ev.PositionOpened) and not told.of(ev.OrderUnknown)


@pytest.mark.parametrize("kind", ["duplicate", "drop"])
@pytest.mark.parametrize("event", ["ORDER_TRADE_UPDATE*", "ACCOUNT_UPDATE*", "ALGO_UPDATE*", EVERY_EVENT])
def test_events_that_come_twice_or_never_change_nothing(run_dir: Path, kind: str, event: str) -> None:
    told = live_story(
        run_dir, faults=[{"kind": kind, "streams": event, "path": "private", "minute": 0, "minutes": 14}]
    )
    assert told.of(ev.PositionOpened) and not told.of(ev.PositionNaked)


def test_an_order_that_queries_do_not_find_for_two_minutes_is_not_taken_for_gone(run_dir: Path) -> None:
    """It was accepted; only its fills, or the venue's word after it, end it."""
    dropped = {"kind": "order_reply", "variant": "dropped", "executed": 1.0, "path": "POST /fapi/v1/order"}
    told = live_story(
        run_dir,
        faults=[
            {"kind": "invisible", "seconds": 120, "minute": 4, "minutes": 3},
            {**dropped, "minute": 4, "minutes": 3},
        ],
    )
    assert told.of(ev.PositionOpened)


@pytest.mark.parametrize("silent", [False, True])
def test_a_listen_key_that_ends_is_replaced_and_what_it_hid_is_asked_for(run_dir: Path, silent: bool) -> None:
    told = live_story(run_dir, faults=[{"kind": "key_expiry", "silent": silent, "minute": 5.02}])
    assert told.of(ev.PositionClosed)


def test_a_key_that_cannot_be_renewed_is_replaced(run_dir: Path) -> None:
    told = live_story(run_dir, faults=[{"kind": "keepalive_refused", "minute": 0, "minutes": 40}], minutes=45)
    assert told.of(ev.PositionClosed)


# ---- what others do to the account


@pytest.mark.parametrize("silent", [False, True])
def test_a_stop_that_the_venue_cancelled_is_back_within_five_seconds(run_dir: Path, silent: bool) -> None:
    fault = {"kind": "stop_cancelled", "silent": silent, "minute": 5.1}
    told = live_story(run_dir, faults=[fault])
    assert not told.of(ev.PositionNaked) or silent
    assert len(told.of(ev.StopConfirmed)) > len(told.of(ev.PositionOpened))


def test_a_position_that_somebody_closed_is_closed_here_too(run_dir: Path) -> None:
    told = live_story(run_dir, faults=[{"kind": "outside_trade", "minute": 5.1}])
    closed = told.of(ev.ClosedByVenue)
    assert closed and {row.reason for row in closed} <= {ev.ExitReason.OUTSIDE, ev.ExitReason.STOP}
    assert any(row.reason is ev.ExitReason.OUTSIDE for row in closed)


def test_a_position_that_somebody_opened_stops_entries_and_is_said(run_dir: Path) -> None:
    fault = {"kind": "outside_trade", "symbols": "ETHUSDT", "side": "BUY", "qty": 1.5, "minute": 3}
    told = live_story_that_differs(run_dir, fault)
    halted = [row for row in told.of(ev.TradingStateChanged) if row.state is ev.TradingState.HALTED]
    assert halted and "ETHUSDT" in halted[0].reason and not told.entries(first=3.5)


@pytest.mark.parametrize(("kind", "reason"), [("liquidation", "liquidation"), ("adl", "deleveraged")])
def test_what_the_venue_takes_is_booked_under_its_name(run_dir: Path, kind: str, reason: str) -> None:
    told = live_story(run_dir, faults=[{"kind": kind, "minute": 5.1}])
    assert reason in {row.reason.value for row in told.of(ev.ClosedByVenue)}


@pytest.mark.parametrize("side", ["BUY", "SELL"])
def test_a_transfer_is_named_and_trading_goes_on_with_the_same_budget(run_dir: Path, side: str) -> None:
    """What its owner moves is in the wallet alone: neither in the books nor in what a strategy may use."""
    with faulted(
        run_dir, mode=ev.LIVE, faults=[{"kind": "transfer", "qty": 1234.5, "side": side, "minute": 3}]
    ) as run:
        told = run_live(run)
    assert told.reason == "completed" and verify(run_dir).ok and not told.of(ev.InvariantViolated)
    named = [row for row in told.of(ev.AccountReconciled) if row.outside]
    amount = "1234.5" if side == "BUY" else "-1234.5"
    assert named and {row.outside for row in named} == {f"transfer of {amount} USDT: not part of this run"}
    assert {row.difference for row in told.of(ev.AccountReconciled)} == {""}
    assert told.minute(named[0].ts_ns) < 3.5 and told.entries(first=4) and not told.of(ev.TradingStateChanged)
    books, account = told.books(), told.ledger["account"]
    assert account["wallet"] - account["transferred"] == books.balance() and told.ledger["difference"] == 0
    assert books.limits.start_equity == account["start"]


def test_money_that_nothing_explains_stops_entries_and_is_said(run_dir: Path) -> None:
    """The wallet holds less than the books and no trade, funding or transfer is on record for it."""
    hidden = {
        "kind": "rest",
        "path": "/fapi/v1/income",
        "status": 200,
        "text": "[]",
        "minute": 0,
        "minutes": 20,
    }
    fault = {"kind": "transfer", "qty": 50, "side": "SELL", "minute": 3}
    told = live_story_that_differs(run_dir, fault, hidden)
    halted = [row for row in told.of(ev.TradingStateChanged) if row.state is ev.TradingState.HALTED]
    assert len(halted) == 1 and "wallet: 50 USDT less than the books" in halted[0].reason
    assert 4 <= told.minute(halted[0].ts_ns) < 5 and not told.entries(first=5)
