"""Runs over real sockets: the same seed twice, kill -9 of engine and venue, a planned stop for an hour."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec
import numpy as np
import pytest

from flowguardian.execution import events as ev
from flowguardian.journal.journal import JOURNAL, TAPE, read_rows
from flowguardian.journal.ops_events import ProcessExited, ProcessStarted
from flowguardian.market.records import ROW, SECOND_NS, Flag, Kind
from flowguardian.market.tape import load_tape, segment_paths
from flowguardian.ops.assembly import VENUE_FILE
from flowguardian.ops.commands import ask
from flowguardian.ops.conduct import supervise
from flowguardian.ops.engine_process import EngineProcess
from flowguardian.ops.loading import load, settings_from
from flowguardian.ops.manifest import Manifest, read_manifest, write_manifest
from flowguardian.ops.progress import RunView
from flowguardian.ops.registry import STATE_DIRECTORY
from flowguardian.ops.segments import HostClock
from flowguardian.ops.venue_process import market_of
from flowguardian.ops.verify import verify
from tests.builders import assert_same_rows
from tests.e2e.real_runs import ROOT, decided, ops, rows, wait_until

SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
SEED = 20261127
POSIX = pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is POSIX")
pytestmark = pytest.mark.slow


def _make(
    run_dir: Path,
    *,
    venue: str = "local",
    hours: float,
    speed: float,
    start: str | None = None,
    seed: int = 5,
) -> Path:
    asked = ["universe.symbols=[BTCUSDT,ETHUSDT,SOLUSDT]", "run.restart_delay_seconds=0.05"]
    loaded = load(None, [*asked, *([f"market.start='{start}'"] if start else [])])
    start_ns = loaded.settings.market.start_ns
    write_manifest(
        run_dir,
        Manifest(
            run_id="sockets", kind="rehearsal", market="synthetic:5", start_ns=start_ns,
            planned_ns=round(hours * 3600) * SECOND_NS, speed=speed, seed=5,
            config=msgspec.Raw(msgspec.json.encode(loaded.effective)), config_hash=loaded.config_hash,
            trading_hash=loaded.trading_hash, venue=venue,
        ),
    )  # fmt: skip
    return run_dir


@contextmanager
def venue_of(run_dir: Path, port: int = 0) -> Iterator[subprocess.Popen[bytes]]:
    """The run's venue as its supervisor would start it."""
    argv = [sys.executable, "-m", "flowguardian.ops.venue_process", str(run_dir), "--port", str(port)]
    pipe = subprocess.PIPE
    with subprocess.Popen(argv, cwd=ROOT, stdin=pipe, stdout=pipe) as process:
        assert process.stdout is not None
        (run_dir / VENUE_FILE).write_bytes(process.stdout.readline())
        try:
            yield process
        finally:
            process.kill()


def _trades(run_dir: Path) -> dict[int, np.ndarray]:
    tape = load_tape(run_dir / TAPE)
    trades = tape[tape["kind"] == Kind.TRADE]
    return {index: trades[trades["symbol"] == index] for index in range(len(SYMBOLS))}


def _no_trade_is_missing_or_twice(run_dir: Path) -> int:
    """Ids follow each other for every symbol; returns how many trades were back-filled."""
    filled = 0
    for trades in _trades(run_dir).values():
        assert len(trades) > 10
        assert np.all(np.diff(trades["id"]) == 1)
        filled += int(np.count_nonzero(trades["flags"] & Flag.BACKFILLED))
    assert not [row for row in rows(run_dir) if isinstance(row, ev.FeedGap | ev.StreamWentSilent)]
    return filled


# ---- the same seed


def test_the_same_seed_twice_over_sockets_gives_the_same_tape_and_rows(tmp_path: Path) -> None:
    runs = [_make(tmp_path / name, hours=1, speed=0) for name in ("first", "second")]
    for run_dir in runs:
        with venue_of(run_dir):
            assert EngineProcess(run_dir).lifetime() == "completed"
    first, second = runs
    assert_same_rows(load_tape(first / TAPE), load_tape(second / TAPE))
    every = [[record[1:] for record in read_rows(run_dir / JOURNAL)] for run_dir in runs]
    assert every[0] == every[1] and len(every[0]) > 30
    direct = _make(tmp_path / "direct", venue="direct", hours=1, speed=0)
    assert EngineProcess(direct).lifetime() == "completed"
    assert decided(first) == decided(direct), "sockets change nothing that is decided"
    assert verify(first).ok


# ---- kill -9


class _Killer:
    """Kills lives of a role at random moments: one in two while it starts, the others while it works."""

    def __init__(self, run_dir: Path, role: str, kills: int, *, starting: bool) -> None:
        self.killed: list[int] = []
        self._run_dir, self._role, self._kills, self._starting = run_dir, role, kills, starting
        self._random = random.Random(SEED)
        self._seen: set[int] = set()

    def watch(self, view: RunView) -> None:
        """Called by the supervisor's loop."""
        started = [row.pid for row in ops(self._run_dir, ProcessStarted) if row.name == self._role]
        if not started or started[-1] in self._seen or len(self._seen) >= self._kills:
            return
        early = self._starting and len(self._seen) % 2 == 1
        if not early and view.state != "running":
            return
        self._seen.add(started[-1])
        timer = threading.Timer(self._random.uniform(0.05, 1.2), self._kill, [started[-1]])
        timer.daemon = True
        timer.start()

    def _kill(self, pid: int) -> None:
        self.killed.append(pid)
        os.kill(pid, signal.SIGKILL)


@pytest.fixture
def own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(STATE_DIRECTORY, str(tmp_path / "state"))


@POSIX
@pytest.mark.usefixtures("own_state")
@pytest.mark.parametrize(
    ("kills", "hours"), [(6, 1), pytest.param(20, 3, marks=pytest.mark.nightly)], ids=["six", "twenty"]
)
def test_an_engine_killed_at_many_moments_back_fills_what_the_market_did_meanwhile(
    tmp_path: Path, kills: int, hours: int
) -> None:
    run_dir = _make(tmp_path / "run", hours=hours, speed=200)
    killer = _Killer(run_dir, "engine", kills, starting=True)
    result = supervise(run_dir, twins={}, on_progress=killer.watch, check_interval_seconds=0.05)
    assert result.reason == "completed", ops(run_dir, ProcessExited)[-3:]
    assert (len(killer.killed), result.restarts) == (kills, kills)
    filled = _no_trade_is_missing_or_twice(run_dir)
    assert filled > 100, "the market ran on while the engine was dead"
    verified = verify(run_dir)
    assert verified.ok, verified.message


@POSIX
@pytest.mark.usefixtures("own_state")
def test_a_venue_killed_under_a_running_engine_comes_back_and_nothing_is_lost(tmp_path: Path) -> None:
    run_dir = _make(tmp_path / "run", hours=1, speed=300)
    killer = _Killer(run_dir, "venue", 3, starting=False)
    result = supervise(run_dir, twins={}, on_progress=killer.watch, check_interval_seconds=0.05)
    assert (result.reason, result.restarts) == ("completed", 0)
    ended = [row for row in ops(run_dir, ProcessExited) if row.name == "venue"]
    assert [row.abnormal for row in ended] == [True, True, True, False]
    _no_trade_is_missing_or_twice(run_dir)
    verified = verify(run_dir)
    assert verified.ok, verified.message


# ---- real time


@POSIX
def test_at_real_time_a_killed_venue_a_killed_engine_and_an_hours_pause_lose_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_dir = _make(tmp_path / "run", hours=1, speed=1, start="2025-01-01T08:59:56Z")
    with ExitStack() as venues:
        _while_running(run_dir, lambda: _dies_and_comes_back(run_dir, venues), venues)
    paused = load_tape(run_dir / TAPE)
    place = msgspec.json.decode((run_dir / "venue-place.json").read_bytes())
    assert place["paused"] and place["now_ns"] - int(paused["ts_ns"][-1]) < SECOND_NS
    _an_hour_later(monkeypatch)
    with ExitStack() as venues:
        until_ns = int(paused["ts_ns"][-1]) + 5 * SECOND_NS
        _while_running(run_dir, lambda: _wait_for_market(run_dir, until_ns), venues)
    tape = load_tape(run_dir / TAPE)
    assert np.all(np.diff(tape["ts_ns"]) > 0)
    after = tape[len(paused) :]
    assert int(after["ts_ns"][0]) - int(paused["ts_ns"][-1]) < 2 * SECOND_NS, (
        "the market went on where it was"
    )
    assert not np.any(after["flags"] & Flag.BACKFILLED), "nothing happened while it stood still"
    _no_trade_is_missing_or_twice(run_dir)
    _tape_holds_the_market(run_dir)
    skews = [row.skew_ns for row in rows(run_dir) if isinstance(row, ev.ClockMeasured)]
    assert all(abs(skew) < SECOND_NS for skew in skews)
    verified = verify(run_dir)
    assert verified.ok, verified.message


def _while_running(run_dir: Path, work: Callable[[], None], venues: ExitStack) -> None:
    """Venue and engine (in a thread) while the caller does something; then a planned stop."""
    venues.enter_context(venue_of(run_dir))
    reasons: list[str] = []
    thread = threading.Thread(target=lambda: reasons.append(EngineProcess(run_dir).lifetime()), daemon=True)
    thread.start()
    work()
    ask(run_dir, ev.Command.STOP, "operator")
    thread.join(30)
    assert reasons == ["stopped"]


def _market_ns(run_dir: Path) -> int:
    """Market time on the tape, 0 before anything is there."""
    tape = load_tape(run_dir / TAPE) if segment_paths(run_dir / TAPE) else np.zeros(0, ROW)
    return int(tape["ts_ns"][-1]) if len(tape) else 0


def _wait_for_market(run_dir: Path, until_ns: int) -> None:
    wait_until(lambda: _market_ns(run_dir) > until_ns, "market time")


def _dies_and_comes_back(run_dir: Path, venues: ExitStack) -> None:
    start_ns = read_manifest(run_dir).start_ns
    assert start_ns is not None
    _wait_for_market(run_dir, start_ns + 9 * SECOND_NS)
    rest = msgspec.json.decode((run_dir / VENUE_FILE).read_bytes())["rest"]
    venues.close()
    venues.enter_context(venue_of(run_dir, int(rest.rpartition(":")[2])))
    _wait_for_market(run_dir, start_ns + 22 * SECOND_NS)


def _an_hour_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """The host's clocks, as they stand when the run goes on after an hour."""
    wall, mono = HostClock.wall_ns, HostClock.mono_ns
    hour = 3600 * SECOND_NS
    monkeypatch.setattr(HostClock, "wall_ns", lambda self: wall(self) + hour)
    monkeypatch.setattr(HostClock, "mono_ns", lambda self: mono(self) + hour)


def _tape_holds_the_market(run_dir: Path) -> None:
    """Every trade of the market in the time of the tape is on it, as it was."""
    manifest = read_manifest(run_dir)
    market = market_of(settings_from(msgspec.json.decode(manifest.config)), manifest)
    for index, trades in _trades(run_dir).items():
        first_ns, last_ns = int(trades["venue_ns"][0]), int(trades["venue_ns"][-1])
        wanted = market.rows(first_ns, last_ns + 1)
        wanted = wanted[(wanted["kind"] == Kind.TRADE) & (wanted["symbol"] == index)]
        # Over the wire a time has milliseconds.
        for name in ("id", "a", "b"):
            assert np.array_equal(trades[name], wanted[name]), name
