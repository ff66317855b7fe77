"""Live runs that die: kill -9 of the engine at random moments, with replies that leave the outcome open.

Rule: whatever the moment, no order is sent twice, none is lost, and no position stays without its stop.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from flowguardian.execution import events as ev
from flowguardian.feeds.base import VenueUnreachable
from flowguardian.journal.journal import JOURNAL, read_rows
from flowguardian.ops import engine_process
from flowguardian.ops.live_trading import LiveTrading
from tests.e2e.faulted import SYMBOLS, Faulted, faulted
from tests.e2e.live_stories import LiveStory, run_live
from tests.e2e.real_runs import ROOT, rows, surroundings, wait_until

POSIX = pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is POSIX")
pytestmark = pytest.mark.slow
SEED = 20261127
LATE = {"kind": "order_reply", "variant": "late", "rate": 0.5, "seconds": 0.5, "path": "POST /fapi/v1/order"}
"""Replies that take their time: most moments of the run lie between an order and its reply."""
AMBIGUOUS = {"kind": "order_reply", "variant": "timeout", "rate": 0.1, "executed": 0.5, "path": "*"}


def killed_until_the_end(run: Faulted, kills: int) -> tuple[int, int]:
    """Start the engine again and again, killing it at random moments; returns (kills, its last exit code)."""
    chance, killed = random.Random(SEED), 0
    argv = [sys.executable, "-m", "flowguardian.ops.engine_process", str(run.run_dir)]
    deadline = time.monotonic() + 280
    while time.monotonic() < deadline:
        with subprocess.Popen(
            argv, cwd=ROOT, env=surroundings(run.run_dir.parent / "state"),
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        ) as process:  # fmt: skip
            try:
                return killed, process.wait(chance.uniform(1.2, 3.0) if killed < kills else 200)
            except subprocess.TimeoutExpired:
                os.kill(process.pid, signal.SIGKILL)
                killed += 1
    raise AssertionError(f"not done after {killed} kills")


@POSIX
@pytest.mark.parametrize("kills", [8])
def test_an_engine_killed_at_random_moments_sends_nothing_twice_and_loses_nothing(
    tmp_path: Path, kills: int
) -> None:
    run_dir = tmp_path / "run"
    faults = [{**fault, "minute": 0, "minutes": 600} for fault in (AMBIGUOUS, LATE)]
    with faulted(run_dir, faults=faults, minutes=180, mode=ev.LIVE) as run:
        killed, code = killed_until_the_end(run, kills)
        told = LiveStory(run_dir, "completed", run.ledger())
    assert killed >= kills / 2 and code == 0
    told.holds()
    assert told.sent_twice() == []
    sent = {row.order_id for row in told.of(ev.OrderRequested)}
    assert len(sent) > 30 and told.of(ev.OrderUnknown)
    ended = {record.kind for record, _ in read_rows(run_dir / JOURNAL)}
    assert "PositionNaked" not in ended and len(SYMBOLS) == 3


@POSIX
def test_a_start_that_is_tried_again_leaves_no_second_broker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two brokers beside one loop would book every fill twice."""
    begin, end = LiveTrading.start, LiveTrading.close
    said: list[str] = []

    async def start(self: LiveTrading) -> None:
        await begin(self)
        said.append("started")
        if len(said) == 1:
            raise VenueUnreachable("the user data stream does not come up")

    async def close(self: LiveTrading) -> None:
        said.append("closed")
        await end(self)

    monkeypatch.setattr(LiveTrading, "start", start)
    monkeypatch.setattr(LiveTrading, "close", close)
    monkeypatch.setattr(engine_process, "FIRST_WAIT_SECONDS", 0.05)
    run_dir = tmp_path / "run"
    with faulted(run_dir, minutes=120, mode=ev.LIVE) as run:
        kill_when(run, lambda: any(isinstance(row, ev.OrderFilled) for row in rows(run_dir)))
        told = run_live(run)
    told.holds()
    assert said == ["started", "closed", "started", "closed"] and told.sent_twice() == []


@POSIX
def test_a_trade_missed_below_a_booked_one_before_a_kill_is_found_after_it(tmp_path: Path) -> None:
    """Somebody took a part of a position twice, the first time untold; the exit's reply comes too late.

    The account is compared at starts alone: the process that is killed does not look, and the next one must.
    """
    taken = {"kind": "outside_trade", "symbols": "BTCUSDT", "qty": 0.01}
    faults = [
        {**taken, "minute": 5.2},
        {"kind": "drop", "streams": "user@*", "path": "private", "minute": 5.19, "minutes": 0.03},
        {**taken, "minute": 5.4},
        {**LATE, "rate": 1.0, "seconds": 4.0, "minute": 5.3, "minutes": 9},
    ]
    run_dir = tmp_path / "run"
    with faulted(run_dir, "live.reconcile_seconds=300", faults=faults, mode=ev.LIVE) as run:
        kill_when(run, lambda: any(isinstance(row, ev.ClosedByVenue) for row in rows(run_dir)))
        over = time.monotonic() + 4.0
        run.heal()
        told = run_live(run)
        wait_until(lambda: time.monotonic() > over, "answers that are given, to whomever")
    told.holds()
    first, second = told.of(ev.ClosedByVenue)[:2]
    back = next(row for row in told.of(ev.SegmentStarted) if row.segment == 2)
    assert told.rows.index(first) < told.rows.index(back) < told.rows.index(second)
    assert second.fill_id < first.fill_id and second.reason is ev.ExitReason.OUTSIDE
    assert not told.of(ev.TradingStateChanged)


def kill_when(run: Faulted, condition: Callable[[], object]) -> None:
    """Start the engine and kill it as soon as something is so."""
    argv = [sys.executable, "-m", "flowguardian.ops.engine_process", str(run.run_dir)]
    with subprocess.Popen(
        argv, cwd=ROOT, env=surroundings(run.run_dir.parent / "state"),
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        try:
            wait_until(condition, "the moment to kill")
        finally:
            os.kill(process.pid, signal.SIGKILL)
