"""Stops that race with what replaces them, fills of strange orders, contracts that end, commands said twice.

Rule: whatever overtakes whatever, a position is closed once and never reversed, and both ledgers agree.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from flowguardian.execution import events as ev
from flowguardian.ops.commands import ask
from flowguardian.ops.live_trading import tag_of
from flowguardian.ops.verify import verify
from tests.e2e.faulted import faulted
from tests.e2e.live_stories import LiveStory, live_story, run_live
from tests.e2e.real_runs import rows, wait_until

pytestmark = pytest.mark.slow
SYMBOL = "BTCUSDT"
SELDOM = "live.reconcile_seconds=300"
"""So that nothing but the story's own requests meets the stops."""


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    return tmp_path / "run"


def never_reversed(told: LiveStory) -> None:
    """What the venue's own trades say: no position crosses zero, in no symbol."""
    held: dict[str, int] = {}
    for trade in sorted(told.ledger["trades"], key=lambda one: int(one["id"])):
        before = held.get(trade["symbol"], 0)
        held[trade["symbol"]] = after = before + trade["side"] * trade["qty"]
        assert before * after >= 0, f"reversed: {trade}"


def not_cancelled(told: LiveStory) -> list[str]:
    """Why stops were not cancelled."""
    return [line["why"] for line in told.logged if line["event"] == "a stop was not cancelled"]


# ---- stops


def test_a_stop_that_is_gone_when_it_is_cancelled_changes_nothing(run_dir: Path) -> None:
    """The venue cancels it untold; the engine's own cancel, after its exit, meets −2011."""
    fault = {"kind": "stop_cancelled", "symbols": SYMBOL, "silent": True, "minute": 5.2}
    told = live_story(run_dir, SELDOM, faults=[fault])
    assert any("-2011" in why for why in not_cancelled(told))
    assert not told.of(ev.OrderRejected) and not told.of(ev.TradingStateChanged)
    assert told.of(ev.PositionClosed) and told.entries(SYMBOL, 9)


def test_a_stop_that_triggers_while_it_is_cancelled_after_an_exit_closes_nothing_more(run_dir: Path) -> None:
    told = live_story(run_dir, faults=[{"kind": "stop_race", "path": "DELETE *", "minute": 5.1}])
    assert any("-2011" in why for why in not_cancelled(told)), "the fault hit no cancel"
    never_reversed(told)
    assert not told.of(ev.ClosedByVenue) and not told.of(ev.PositionNaked) and told.entries(first=9)


def test_a_stop_that_triggers_while_another_takes_its_place_closes_the_position_once(run_dir: Path) -> None:
    """Somebody takes a part; a stop for the rest is placed, and the old one triggers before its cancel."""
    told = live_story(
        run_dir,
        faults=[
            {"kind": "outside_trade", "symbols": SYMBOL, "qty": 0.01, "minute": 5.2},
            {"kind": "stop_race", "path": "DELETE *", "minute": 5.15, "minutes": 0.1},
        ],
    )
    never_reversed(told)
    taken = [row for row in told.of(ev.ClosedByVenue) if row.symbol == SYMBOL]
    assert [row.reason for row in taken] == [ev.ExitReason.OUTSIDE, *[ev.ExitReason.STOP] * (len(taken) - 1)]
    assert len(taken) >= 2 and any("-2011" in why for why in not_cancelled(told))
    closed = [row for row in told.of(ev.PositionClosed) if row.symbol == SYMBOL]
    assert len(closed) == len([row for row in told.of(ev.PositionOpened) if row.symbol == SYMBOL])
    resting = [one for one in told.ledger["algos"] if one["symbol"] == SYMBOL and one["status"] == "NEW"]
    assert not resting or SYMBOL in told.books().positions


def test_a_stop_that_triggers_while_an_exit_is_on_its_way_closes_the_position_once(run_dir: Path) -> None:
    """The exit meets −2022: nothing is left to reduce, and the venue's word closed the position."""
    fault = {"kind": "stop_race", "path": "POST *", "minute": 5.1, "minutes": 1.5}
    told = live_story(run_dir, faults=[fault])
    never_reversed(told)
    refused = told.of(ev.OrderRejected)
    assert refused and {row.code for row in refused} == {-2022}
    by_venue = told.of(ev.ClosedByVenue)
    assert by_venue and {row.reason for row in by_venue} == {ev.ExitReason.STOP}
    assert len(told.of(ev.PositionClosed)) == len(told.of(ev.PositionOpened)) - len(told.books().positions)
    assert told.entries(first=9) and not told.of(ev.TradingStateChanged)


# ---- fills of strange orders


def test_a_fill_of_an_order_that_is_long_over_lands_and_stops_entries(run_dir: Path) -> None:
    """A trade under the client id of this run's first order counts, and an invariant says what is wrong."""
    name = f"{tag_of(run_dir.name)}-1"
    fault = {"kind": "outside_trade", "symbols": SYMBOL, "text": name, "minute": 5.2}
    with faulted(run_dir, mode=ev.LIVE, faults=[fault]) as run:
        told = run_live(run)
    assert told.reason == "completed" and verify(run_dir).ok
    assert {row.invariant for row in told.of(ev.InvariantViolated)} == {"I03"}
    (halted,) = told.of(ev.TradingStateChanged)
    assert halted.state is ev.TradingState.HALTED and not told.entries(first=5.3)
    never_reversed(told)
    told.agrees()


def test_fills_of_an_order_that_is_not_ours_close_what_they_take_and_no_more(run_dir: Path) -> None:
    fault = {"kind": "outside_trade", "symbols": SYMBOL, "text": "somebody-1", "minute": 5.2}
    told = live_story(run_dir, faults=[fault, {"kind": "duplicate", "streams": "user@*", "minute": 5.1}])
    taken = [row for row in told.of(ev.ClosedByVenue) if row.symbol == SYMBOL]
    assert taken and taken[0].reason is ev.ExitReason.OUTSIDE
    assert len(taken) == len({row.fill_id for row in taken})
    never_reversed(told)


def test_an_order_that_filled_before_its_ack_with_the_reply_lost_is_known_by_its_fills(run_dir: Path) -> None:
    """No reply, no query sees it, and the fill overtakes the NEW: the stream alone speaks of the order."""
    dropped = {"kind": "order_reply", "variant": "dropped", "executed": 1.0, "path": "POST /fapi/v1/order"}
    told = live_story(
        run_dir,
        faults=[
            {"kind": "fill_first", "minute": 0, "minutes": 14},
            {"kind": "invisible", "seconds": 120, "minute": 0, "minutes": 14},
            {**dropped, "minute": 4, "minutes": 10},
        ],
    )
    filled = {row.order_id for row in told.of(ev.OrderFilled)}
    ended = filled | {row.order_id for row in told.of(ev.OrderExpired)}
    assert len(filled) >= 4 and ended == {row.order_id for row in told.of(ev.OrderRequested)}
    assert not told.of(ev.OrderUnknown) and not told.of(ev.OrderRejected)
    never_reversed(told)


# ---- contracts that end


def test_a_contract_that_ends_settles_its_position_and_the_others_trade_on(run_dir: Path) -> None:
    told = live_story(run_dir, faults=[{"kind": "delist", "symbols": SYMBOL, "minute": 5.2}])
    (settled,) = told.of(ev.ClosedByVenue)
    assert (settled.symbol, settled.reason) == (SYMBOL, ev.ExitReason.SETTLED)
    assert (SYMBOL, "trading") in told.silent() and not told.entries(SYMBOL, 6)
    assert told.entries("ETHUSDT", 9) and told.entries("SOLUSDT", 9)
    assert SYMBOL not in told.books().positions and not told.of(ev.TradingStateChanged)
    assert not [row for row in told.of(ev.PositionNaked) if row.symbol == SYMBOL]
    never_reversed(told)


# ---- commands


def _acknowledged(run_dir: Path, command: ev.Command) -> int:
    """Ask, and wait until it is a row."""
    number = ask(run_dir, command, "operator")

    def known() -> bool:
        return any(isinstance(row, ev.CommandReceived) and row.command_id == number for row in rows(run_dir))

    wait_until(known, f"{command} in the journal")
    return number


def test_halt_flatten_and_stop_said_twice_with_positions_open_close_once(run_dir: Path) -> None:
    """The exits of the first flatten are answered late: the second arrives while they are on their way."""
    late = {"kind": "order_reply", "variant": "late", "seconds": 1.0, "path": "POST /fapi/v1/order"}
    numbers: list[int] = []

    def operator() -> None:
        wait_until(lambda: any(isinstance(row, ev.PositionOpened) for row in rows(run_dir)), "a position")
        numbers.extend(_acknowledged(run_dir, ev.Command.HALT) for _ in range(2))
        numbers.extend(_acknowledged(run_dir, ev.Command.FLATTEN) for _ in range(2))
        stops = {ask(run_dir, ev.Command.STOP, "operator") for _ in range(2)}
        assert len(stops) == 1, "one that waits is the same"
        numbers.extend(stops)

    with faulted(run_dir, mode=ev.LIVE, speed=20, minutes=8, faults=[{**late, "minute": 5.05}]) as run:
        with ThreadPoolExecutor(1) as beside:
            said = beside.submit(operator)
            stopped = run_live(run)
        said.result()
        ask(run_dir, ev.Command.STOP, "operator")
        again = run_live(run)
        told = run_live(run)
    assert (stopped.reason, again.reason) == ("stopped", "stopped")
    told.holds()
    assert numbers == sorted(set(numbers)) and len(numbers) == 5
    exits = [row for row in told.of(ev.OrderRequested) if row.purpose is ev.Purpose.EXIT]
    flattened = [row for row in exits if row.reason == ev.ExitReason.FLATTEN]
    assert flattened, "nothing was open any more when flatten came"
    assert len(exits) == len({row.symbol for row in exits}) == len(told.of(ev.PositionClosed))
    assert [row.state for row in told.of(ev.TradingStateChanged)] == [ev.TradingState.HALTED]
    assert not told.books().positions and told.sent_twice() == []
    never_reversed(told)
