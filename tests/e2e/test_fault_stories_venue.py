"""Faults of the venue itself: refusals, bans, filters, delisting, silent paths, and what people are shown.

Each story says what is injected, what the engine does, and what the journal says; see `faulted`.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from flowguardian.cli.app import main
from flowguardian.execution import events as ev
from flowguardian.feeds.base import (
    FeedError,
    Released,
    StreamSilent,
    VenueBanned,
    VenueRefused,
    VenueUnreachable,
)
from flowguardian.market.records import SECOND_NS, UNITS
from flowguardian.ops.commands import ask
from flowguardian.ops.conduct import conclude
from flowguardian.ops.engine_child import EXIT_CONFIG
from flowguardian.ops.engine_process import EngineProcess
from flowguardian.ops.segments import HostClock
from tests.e2e.faulted import MINUTE_NS, SYMBOLS, Fault, Faulted, Story, faulted, plan, story
from tests.e2e.real_runs import DEADLINE_SECONDS, ROOT, rows

AT_START = 7
"""Requests of a start: the clock three times, the filters, the history of three symbols."""
HOLE = {"kind": "drop", "streams": "btcusdt@aggTrade", "minute": 2.5, "for_seconds": 5}
REFUSALS: dict[str, Fault] = {
    "429": {"status": 429, "retry_after_seconds": 60},
    "418": {"status": 418, "retry_after_seconds": 60},
    "403": {"status": 403},
    "451": {"status": 451},
    "503": {"status": 503},
    "503 unknown": {"status": 503, "text": "Unknown error, please check your request or try again later."},
    "503 overloaded": {"status": 503, "code": -1008, "text": "Server is currently overloaded"},
    "502 page": {"status": 502, "text": "<html>Bad Gateway</html>"},
    "no answer": {"status": 0, "seconds": 0.01},
}
SILENT_FOR_A_MINUTE = ("429", "418", "403", "451")

pytestmark = pytest.mark.slow


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    return tmp_path / "run"


def refusing(name: str, **when: Any) -> Fault:
    return {"kind": "rest", "path": "/fapi/v1/aggTrades", **REFUSALS[name], **when}


# ---- REST while the run goes on


@pytest.mark.parametrize("name", REFUSALS)
def test_a_back_fill_that_is_refused_costs_exactly_the_trades_that_were_dropped(
    run_dir: Path, name: str
) -> None:
    """Then the venue answers again, and the next hole is healed."""
    later = {**HOLE, "streams": "ethusdt@aggTrade", "minute": 4.2}
    faults = [HOLE, later, refusing(name, minute=2.4, minutes=1)]
    with faulted(run_dir, faults=faults, minutes=5) as run:
        told = run.run()
        asked = run.requests() - AT_START
    told.holds()
    assert [(row.symbol, row.lost) for row in told.of(ev.FeedGap)] == [("BTCUSDT", 5)]
    assert told.counts["lost"] == 5 and told.backfilled() == 5
    assert told.counts["rest_failures"] >= 1 and told.last.odd_frames
    # After the gap the symbol is warmed anew, the others trade on.
    assert told.entries("BTCUSDT", 2.5) == []
    # One question was answered by silence, the other hole by one answer; what may pass is asked repeatedly.
    assert asked == 2 if name in SILENT_FOR_A_MINUTE else 4 < asked < 60


def test_a_refusal_shorter_than_the_deadline_of_a_gap_costs_nothing(run_dir: Path) -> None:
    short = refusing("503", at_seconds=155.5, for_seconds=1)
    told = story(run_dir, faults=[HOLE, short], minutes=4)
    assert told.counts["rest_failures"] >= 1, "the fault did not hit the back-fill"
    assert told.lost() == 0 and told.backfilled() == 5


def test_in_a_ban_nothing_is_sent_until_its_stamp_and_the_market_goes_on(run_dir: Path) -> None:
    """The hole within the minute of the ban stays, the one after it is healed: a minute of market time."""
    second = {**HOLE, "streams": "ethusdt@aggTrade", "minute": 3.2}
    third = {**HOLE, "streams": "solusdt@aggTrade", "minute": 3.7}
    ban = refusing("418", minute=2.4, minutes=0.5)
    with faulted(run_dir, faults=[HOLE, second, third, ban], minutes=5) as run:
        told = run.run()
        asked = run.requests() - AT_START
    told.holds()
    assert [(row.symbol, row.lost) for row in told.of(ev.FeedGap)] == [("BTCUSDT", 5), ("ETHUSDT", 5)]
    assert asked == 2 and told.backfilled() == 5


# ---- REST at the start


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A venue whose market stands, for starts that fail."""
    with faulted(tmp_path_factory.mktemp("standing") / "run") as run:
        yield run


def start_fails(run: Faulted) -> FeedError:
    with pytest.raises(FeedError) as failed:
        EngineProcess(run.run_dir).lifetime()
    assert rows(run.run_dir) == [], "a run that never began left rows"
    return failed.value


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("403", VenueRefused), ("451", VenueRefused), ("503", VenueUnreachable),
        ("503 unknown", VenueUnreachable), ("503 overloaded", VenueUnreachable),
        ("502 page", VenueUnreachable), ("no answer", VenueUnreachable),
    ],
)  # fmt: skip
def test_a_start_that_is_refused_says_why_and_asks_no_more_than_it_may(
    standing: Faulted, name: str, kind: type[FeedError]
) -> None:
    standing.inject(**refusing(name) | {"path": "/fapi/v1/*"})
    before = standing.requests()
    error = start_fails(standing)
    standing.heal()
    assert type(error) is kind and "/fapi/v1/time" in str(error)
    assert standing.requests() - before == (1 if kind is VenueRefused else 4)


@pytest.mark.parametrize("name", ["429", "418"])
def test_a_ban_at_the_start_is_kept_by_the_next_process_too(
    run_dir: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with faulted(run_dir, minutes=1) as run:
        run.inject(**refusing(name) | {"path": "/fapi/v1/*"})
        assert isinstance(start_fails(run), VenueBanned)
        run.heal()
        asked = run.requests()
        assert asked == 1
        error = start_fails(run)
        assert isinstance(error, VenueBanned) and name in str(error)
        assert run.requests() == asked, "a restarted process asked during the ban"
        real = HostClock.wall_ns
        monkeypatch.setattr(HostClock, "wall_ns", lambda clock: real(clock) + 61 * 10**9)
        run.run().holds()


def test_a_path_that_connects_and_tells_nothing_refuses_the_run_with_exit_code_2(run_dir: Path) -> None:
    with faulted(run_dir, faults=[{"kind": "silent_path", "path": "market"}], minutes=2):
        # The child lives as long as its stdin does.
        child = subprocess.Popen(
            [sys.executable, "-m", "flowguardian.ops.engine_process", str(run_dir)], cwd=ROOT,
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, encoding="utf-8",
        )  # fmt: skip
        try:
            code = child.wait(DEADLINE_SECONDS)
        finally:
            child.kill()
            _, said = child.communicate()
    assert code == EXIT_CONFIG
    assert StreamSilent.__name__ in said and "btcusdt@markPrice@1s" in said
    assert not [row for row in rows(run_dir) if isinstance(row, ev.OrderRequested)]


# ---- filters and listings


def test_a_tick_that_changes_while_the_run_goes_on_is_that_of_later_orders(run_dir: Path) -> None:
    fault = {"kind": "tick_size", "symbols": "BTCUSDT", "tick": "1", "minute": 7}
    told = story(run_dir, "feed.refresh_minutes=1", faults=[fault])
    first, *changed = told.of(ev.InstrumentsSet)
    assert told.counts["filter_changes"] == len(changed) == 1
    assert 7 <= told.minute(changed[0].ts_ns) <= 8.1
    ticks = [{i.symbol: i.tick_size for i in row.instruments}["BTCUSDT"] for row in (first, changed[0])]
    assert ticks[0] < ticks[1] == UNITS
    before, after = told.entries("BTCUSDT", 0, 7), told.entries("BTCUSDT", 8.2)
    assert any(row.limit_price % UNITS for row in before), "every price fits the new tick anyway"
    assert after and all(row.limit_price % UNITS == 0 for row in after)


def test_a_symbol_delisted_with_an_open_position_is_left_alone_and_the_others_trade_on(
    run_dir: Path,
) -> None:
    told = story(run_dir, faults=[{"kind": "delist", "symbols": "BTCUSDT", "minute": 5.2}])
    assert told.entries("BTCUSDT", 4.9, 5.2), "no position was open"
    assert ("BTCUSDT", "trading") in told.silent() and {s for s, _ in told.silent()} == {"BTCUSDT"}
    assert told.entries("BTCUSDT", 5.5) == [] and told.last.halted == ("BTCUSDT",)
    assert told.entries("ETHUSDT", 9) and told.entries("SOLUSDT", 9)
    assert all(back is None for _, back in told.silences())
    # Nothing heals it, so nothing is renewed for it time and again: the others keep their connections.
    assert told.counts["reconnects"] <= 2
    assert told.last.judged_ns - told.last.fresh_ns <= 5 * 10**9, "one dead symbol made the whole feed stale"


def test_a_run_goes_on_although_a_symbol_was_delisted_while_it_was_down(run_dir: Path) -> None:
    with faulted(run_dir) as run:
        ask(run_dir, ev.Command.STOP, "test")
        stopped = run.run()
        assert stopped.reason == "stopped" and stopped.minute(stopped.rows[-1].ts_ns) < 5
        run.inject(kind="delist", symbols="BTCUSDT")
        told = run.run()
    told.holds()
    assert ("BTCUSDT", "trading") in told.silent() and told.entries("BTCUSDT", 5) == []
    assert told.entries("ETHUSDT", 9) and told.entries("SOLUSDT", 9)
    assert {i.symbol for row in told.of(ev.InstrumentsSet) for i in row.instruments} == set(SYMBOLS)


# ---- the clock


def test_no_entry_while_the_clocks_differ_by_more_than_the_limit(run_dir: Path) -> None:
    """In slices there is one clock, so the fact that a live feed brings (test_feed_live) is put in."""
    plan(run_dir, venue="direct")
    process = EngineProcess(run_dir)
    real = process.feed.released

    async def skewed() -> AsyncIterator[list[Released]]:
        async for items in real():
            yield items
            minute = (process.loop.now_ns - process.loop.live_ns) / MINUTE_NS
            if 4 <= minute <= 8:
                yield [ev.ClockMeasured(process.loop.now_ns, 3 * SECOND_NS if minute < 7.5 else 0)]

    process.feed.released = skewed  # type: ignore[method-assign]
    assert process.lifetime() == "completed"
    told = Story(run_dir, "completed")
    told.holds()
    refused = told.refused(ev.Reason.CLOCK_SKEW)
    assert {row.symbol for row in refused if 5 <= told.minute(row.ts_ns) < 5.5} == set(SYMBOLS)
    assert told.entries(first=4.1, last=8) == [] and told.entries(first=9)


# ---- what people see


def test_a_silent_stream_is_shown_by_why_and_by_the_report(
    run_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    faults = [
        {"kind": "stall", "streams": "btcusdt@bookTicker", "minute": 4.5, "minutes": 1},
        {"kind": "stall", "streams": "ethusdt@markPrice@1s", "minute": 8},
    ]
    told = story(run_dir, faults=faults)
    assert told.silent() == {("BTCUSDT", "bookTicker"), ("ETHUSDT", "markPrice@1s")}
    capsys.readouterr()
    assert main(["why", str(run_dir), "--lang", "en"]) == 0
    said = capsys.readouterr().out
    assert "ETHUSDT" in said and "markPrice@1s" in said and "stale_data" in said
    judgement, _ = conclude(run_dir, "en")
    assert [(one.symbol, one.stream, one.seconds is None) for one in judgement.silences] == [
        ("BTCUSDT", "bookTicker", False),
        ("ETHUSDT", "markPrice@1s", True),
    ]
    report = (run_dir / "report.md").read_text(encoding="utf-8")
    shown = [line for line in report.splitlines() if "| journal #" in line or "journal #" in line]
    assert any("BTCUSDT" in line and "bookTicker" in line for line in shown)
    assert any("ETHUSDT" in line and "markPrice@1s" in line for line in shown)
