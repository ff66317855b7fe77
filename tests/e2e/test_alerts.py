"""Alerts over real processes: each kind arrives once, bad channels cost nothing, nobody's death is silent.

Rule: loopback only; every wait has a deadline; what was sent is counted at the receiving end.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
import pytest

from flowguardian.journal import ops_events as o
from flowguardian.journal.chain import ChainWriter
from flowguardian.notify.outbox import FILE_NAME, ChannelCount, Kind, counts
from flowguardian.notify.plan import keep, notify_argv, plan_of, read_plan, tell_the_rest
from flowguardian.notify.telling import NOTIFIER
from flowguardian.ops.conduct import RunPlan, conclude, create_run
from flowguardian.ops.engine_process import EngineProcess
from flowguardian.ops.loading import load
from flowguardian.ops.metrics_server import metrics_argv
from flowguardian.ops.ops_journal import FILE_NAME as OPS_FILE
from flowguardian.ops.ops_journal import OpsJournal, read_ops
from flowguardian.ops.platform_process import start_time_of
from flowguardian.ops.progress import RunView
from flowguardian.ops.recovery import Beat, write_beat
from flowguardian.ops.registry import STATE_DIRECTORY, Registry
from flowguardian.ops.segments import HostClock
from flowguardian.ops.side_children import Side
from flowguardian.ops.supervisor import Supervisor, SupervisorOptions
from tests.e2e.real_runs import ROOT, decided, ops, wait_until
from tests.e2e.receivers import TOKEN, Receiver, bad_line, receiver

HERE = Path(__file__).parent
posix_only = pytest.mark.skipif(sys.platform == "win32", reason="sends a POSIX signal")
QUICK = (
    "notify.send_timeout_seconds=5", "notify.retry_delay_seconds=0.2", "notify.longest_retry_delay_seconds=1",
    "notify.max_per_minute=1000", "notify.max_attempts=2", "notify.drain_seconds=2",
    "notify.watchdog_seconds=5",
)  # fmt: skip


@pytest.fixture(autouse=True)
def _own_state_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(STATE_DIRECTORY, str(tmp_path / "state"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def plan(run_dir: Path, *urls: str, changes: tuple[str, ...] = ()) -> None:
    said = "[" + ",".join(f"'{url}'" for url in urls) + "]"
    settings = load(None, [f"notify.urls={said}", *QUICK, *changes], env={}).settings
    keep(plan_of(run_dir, settings, "en"))


@contextmanager
def notifier(run_dir: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A notifier as the supervisor starts it, without one."""
    argv = [sys.executable, "-m", "flowguardian.notify", str(run_dir)]
    with subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert json.loads(process.stdout.readline())["event"] == "ready"
            yield process
        finally:
            process.kill()
            process.communicate()


def records(run_dir: Path) -> list[dict[str, object]]:
    """The lines of the notifier's own logs."""
    return [
        json.loads(line)
        for path in sorted((run_dir / "logs").glob("notify-*.jsonl"))
        for line in path.read_text(encoding="utf-8").splitlines()
    ]


def nothing_worse_than_a_warning(run_dir: Path) -> None:
    assert {record["level"] for record in records(run_dir)} <= {"info", "warning"}


def nobody_sees_the_token(run_dir: Path) -> None:
    assert any(path.name == FILE_NAME for path in run_dir.rglob("*"))
    for path in run_dir.rglob("*"):
        if path.is_file():
            assert TOKEN.encode() not in path.read_bytes(), path


# ---- one short run with everything in it


class SleepyClock(HostClock):
    """Jumps 40 seconds when told to, as if the host had slept."""

    slept_ns = 0

    def mono_ns(self) -> int:
        return super().mono_ns() + self.slept_ns

    def wall_ns(self) -> int:
        return super().wall_ns() + self.slept_ns


class Mischief:
    """Kills the engine once it trades, then lets the host sleep once: by what the supervisor shows."""

    def __init__(self, clock: SleepyClock) -> None:
        self._clock = clock

    def __call__(self, view: RunView) -> None:
        if view.state == "running" and view.restarts == 0:
            psutil.Process(view.pid).kill()
        elif view.state == "running" and view.restarts == 1 and not self._clock.slept_ns:
            self._clock.slept_ns = 40 * 10**9


def a_run(place: Path, *changes: str) -> tuple[Path, list[str]]:
    """A planned run of 70 minutes in which no entry comes through, and its engine with an ERROR record."""
    base = ["universe.symbols=[BTCUSDT,ETHUSDT]", "market.speed=max", "run.keep_awake=false"]
    starve = ["guards.flash_move.max_move_pct=0.00001", f"paper.duration_hours={70 / 60:.8f}"]
    loaded = load(None, [*base, *starve, *changes], env={})
    run_dir = create_run(RunPlan(loaded, "synthetic:1", None, 70 / 60, 0.0, 1, run_dir=place))
    argv = notify_argv(run_dir, loaded.settings, "en")
    assert argv is None or TOKEN not in " ".join(argv)
    return run_dir, [sys.executable, "-m", "tests.e2e.troubled", "engine", "error_record", str(run_dir)]


def supervised(run_dir: Path, argv: list[str]) -> None:
    clock = SleepyClock()
    options = SupervisorOptions(
        check_interval_seconds=0.02, sample_interval_seconds=0.05, first_restart_delay_seconds=0.01,
        keep_awake=False,
    )  # fmt: skip
    supervisor = Supervisor(
        run_dir, argv, options, registry=Registry(run_dir.parent / "registry"), clock=clock,
        on_progress=Mischief(clock),
    )  # fmt: skip
    assert supervisor.run().reason == "completed"


@pytest.mark.slow
def test_each_kind_of_message_arrives_once_while_other_channels_hang_refuse_and_talk_nonsense(
    tmp_path: Path,
) -> None:
    twin, _ = a_run(tmp_path / "twin")
    assert EngineProcess(twin).lifetime() == "completed"
    with ExitStack() as stack:
        good = stack.enter_context(receiver())
        refusing = stack.enter_context(receiver(status=429))
        hanging = stack.enter_context(bad_line())
        garbage = stack.enter_context(bad_line(b"\x00\xffHTTP nonsense " * 50))
        urls = f"notify.urls=['{hanging}','{garbage}','{refusing.url}','{good.url}']"
        run_dir, argv = a_run(tmp_path / "run", urls, *QUICK)
        with notifier(run_dir) as process:
            supervised(run_dir, argv)
            conclude(run_dir, "en")
            wait_until(lambda: any(got.title.startswith("FAIL") for got in good.got), "verdict")
            process.terminate()
            assert process.wait(30) == 0
            tell_the_rest(run_dir)
        _each_kind_came_once(good)
        assert refusing.requests and not refusing.got
    assert decided(run_dir) == decided(twin), "the run is the same as without a notifier"
    nothing_worse_than_a_warning(run_dir)
    warnings = Counter(r["channel"] for r in records(run_dir) if r["level"] == "warning")
    assert set(warnings) == {"1 json", "2 json", "3 json"} and max(warnings.values()) <= 2
    sources = {(row.source, row.severity) for row in ops(run_dir, o.Incident)}
    assert {severity for source, severity in sources if source == "notify"} == {o.Severity.WARNING}
    nobody_sees_the_token(run_dir)
    assert read_plan(run_dir) is None, "the addresses are forgotten after the verdict"


def _each_kind_came_once(good: Receiver) -> None:
    titles = good.titles()
    expected = {
        "Run started": Kind.START, "M5 ": Kind.CHECKPOINT, "M10 ": Kind.CHECKPOINT, "M30 ": Kind.CHECKPOINT,
        "M60 ": Kind.CHECKPOINT, "END ": Kind.CHECKPOINT, "Guard starvation: flash_move": Kind.STARVATION,
        "engine ended": Kind.INCIDENT, "ERROR in engine": Kind.INCIDENT,
        "The engine runs again": Kind.RESTART, "The computer slept": Kind.SLEEP,
        "Run ended (completed)": Kind.END, "FAIL (rehearsal)": Kind.VERDICT,
    }  # fmt: skip
    assert set(expected.values()) == set(Kind) - {Kind.GONE, Kind.TEST, Kind.TRADING}
    found = {begin: [title for title in titles if title.startswith(begin)] for begin in expected}
    assert all(len(one) == 1 for one in found.values()), "\n".join(titles)
    assert len(titles) == len(expected), titles
    verdict = next(got for got in good.got if got.title.startswith("FAIL"))
    for figure in (
        "Run time",
        "Entry SUCCESS 0",
        "Budget Cap Applied",
        "Portfolio Budget BLOCK",
        "ERROR/CRIT",
    ):
        assert figure in verdict.text


# ---- a run told by hand: no engine, so that the notifier alone is looked at


class Told:
    """A run directory whose ops journal is written row by row."""

    def __init__(self, run_dir: Path) -> None:
        run_dir.mkdir()
        self.run_dir = run_dir
        self._ops = OpsJournal(run_dir / OPS_FILE)
        self._count = 0

    def supervisor(self, pid: int) -> None:
        self._ops.write(o.ProcessStarted(time.time_ns(), "supervisor", pid, start_time_of(pid) or 0.0))
        write_beat(self.run_dir, Beat(wall_ns=time.time_ns()))

    def incidents(self, number: int) -> None:
        for _ in range(number):
            self._count += 1
            what = "kind " + "a" * self._count
            self._ops.write(o.Incident(time.time_ns(), o.Severity.ERROR, "engine", what, ""))

    def finished(self, reason: str = "completed") -> None:
        self._ops.write(o.RunFinished(time.time_ns(), reason))

    def close(self) -> None:
        self._ops.close()


@pytest.fixture
def told(tmp_path: Path) -> Iterator[Told]:
    made = Told(tmp_path / "run")
    yield made
    made.close()


def test_a_notifier_that_is_killed_and_started_again_sends_nothing_twice(told: Told) -> None:
    told.supervisor(os.getpid())
    told.incidents(10)
    with receiver() as good:
        plan(told.run_dir, good.url)
        with notifier(told.run_dir) as process:
            wait_until(lambda: len(good.got) >= 4, "messages")
            process.kill()
        told.incidents(3)
        with notifier(told.run_dir):
            wait_until(lambda: len({got.text for got in good.got}) >= 13, "the rest")
        told.finished("interrupted")
        with notifier(told.run_dir) as process:
            wait_until(_alarm(good, "Run ended"), "the end")
            process.terminate()
            assert process.wait(20) == 0
        bodies = [got.text.splitlines()[0] for got in good.got]
        repeated = [got.title for got in good.got if "possibly repeated" in got.title]
    # The one message that was on its way when it was killed may come again, and says so.
    assert len(set(bodies)) == 14
    assert len(bodies) - len(repeated) == 14 and len(repeated) <= 1


def test_a_notifier_that_is_asked_to_end_while_it_begins_ends(told: Told) -> None:
    told.supervisor(os.getpid())
    plan(told.run_dir, "json://127.0.0.1:9/")
    with notifier(told.run_dir) as process:
        # It has only just said that it is ready.
        process.terminate()
        assert process.wait(20) == 0


def test_messages_that_no_channel_takes_are_given_up_and_bounded(told: Told) -> None:
    told.supervisor(os.getpid())
    told.incidents(25)
    with receiver(status=500) as bad:
        plan(told.run_dir, bad.url, changes=("notify.max_waiting=10", "notify.max_attempts=2"))
        with notifier(told.run_dir) as process:
            wait_until(lambda: _count(told.run_dir).failed == 10, "giving up")
            process.terminate()
            assert process.wait(20) == 0
        assert bad.requests == 20
    count = _count(told.run_dir)
    assert (count.sent, count.waiting, count.failed, count.dropped) == (0, 0, 10, 15)
    assert "500" in count.why or "Internal" in count.why
    nothing_worse_than_a_warning(told.run_dir)
    assert Counter(r["event"] for r in records(told.run_dir) if r["level"] == "warning") == {
        "too many messages wait, the oldest were dropped": 1, "a message could not be sent": 1,
    }  # fmt: skip
    nobody_sees_the_token(told.run_dir)


def _count(run_dir: Path) -> ChannelCount:
    return next(iter(counts(run_dir / FILE_NAME)), ChannelCount("none yet", 0, 0, 0, 0, ""))


def test_no_more_messages_than_allowed_are_sent_in_a_minute_but_the_end_is_told(told: Told) -> None:
    told.supervisor(os.getpid())
    with receiver() as good:
        plan(told.run_dir, good.url, changes=("notify.max_per_minute=3", "notify.incidents=WARNING"))
        with notifier(told.run_dir):
            for number in range(8):
                what = "kind " + "a" * number
                told._ops.write(o.Incident(time.time_ns(), o.Severity.WARNING, "engine", what, ""))
            wait_until(lambda: len(good.got) >= 3, "three messages")
            told.incidents(1)
            wait_until(lambda: any("ERROR" in title for title in good.titles()), "the alarm")
            # It is received before it is written down as sent.
            wait_until(lambda: _count(told.run_dir).waiting == 5, "five that wait")
    assert len(good.got) == 4


def test_a_journal_that_cannot_be_read_is_a_warning_and_tried_again(told: Told) -> None:
    told.supervisor(os.getpid())
    journal = told.run_dir / "journal.db"
    journal.write_bytes(b"this is no database, and it is long enough to say so " * 50)
    with receiver() as good:
        plan(told.run_dir, good.url)
        with notifier(told.run_dir):
            wait_until(lambda: [r for r in records(told.run_dir) if r["level"] == "warning"], "warning")
            journal.unlink()
            ChainWriter(journal).close()
            told.incidents(1)
            wait_until(lambda: good.got, "message")
    nothing_worse_than_a_warning(told.run_dir)


# ---- beside the engine


def test_notifier_and_metrics_live_and_end_in_order_as_children_of_a_supervisor(tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    (run_dir / "scenario.json").write_text('[{"beats": 1000000}]', encoding="utf-8")
    with receiver() as good:
        plan(run_dir, good.url)
        metrics = metrics_argv(run_dir, load(None, [], env={}).settings)
        assert metrics is not None
        ready = [run_dir / "notify.json", run_dir / "metrics.json"]
        sides = [
            Side(NOTIFIER, [sys.executable, "-m", "flowguardian.notify", str(run_dir)], ready_file=ready[0]),
            Side("metrics", metrics, ready_file=ready[1]),
        ]
        supervisor = Supervisor(
            run_dir, [sys.executable, str(HERE / "fake_engine.py"), str(run_dir)],
            SupervisorOptions(check_interval_seconds=0.05, keep_awake=False),
            registry=Registry(tmp_path / "registry"), sides=sides,
        )  # fmt: skip
        thread = threading.Thread(target=supervisor.run)
        thread.start()
        wait_until(lambda: all(path.is_file() for path in ready), "both ready lines")
        assert json.loads(ready[1].read_bytes())["url"].startswith("http://127.0.0.1:")
        supervisor.request_stop()
        thread.join()
        tell_the_rest(run_dir)
        assert good.titles() == ["Run ended (interrupted): run"]
    ends = {row.name: row for row in ops(run_dir, o.ProcessExited)}
    assert {"notify", "metrics"} < set(ends) and not [name for name, row in ends.items() if row.abnormal]
    assert not ops(run_dir, o.Incident)


# ---- who watches the watchman


@contextmanager
def supervising(run_dir: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A real supervisor, over the fake engine, as a process of its own."""
    run_dir.mkdir()
    (run_dir / "scenario.json").write_text('[{"end": "run"}]', encoding="utf-8")
    argv = [sys.executable, "-m", "tests.e2e.supervise_fake", str(run_dir)]
    with subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            wait_until(lambda: any(isinstance(row, o.SegmentOpened) for row in _ops(run_dir)), "an engine")
            yield process
        finally:
            process.kill()
            process.wait()


def _ops(run_dir: Path) -> list[o.OpsRow]:
    return read_ops(run_dir / OPS_FILE)


def _alarm(good: Receiver, begin: str) -> Callable[[], bool]:
    return lambda: any(title.startswith(begin) for title in good.titles())


def test_a_supervisor_that_is_killed_is_told_within_a_minute_and_the_notifier_ends_itself(
    tmp_path: Path,
) -> None:
    run_dir = tmp_path / "run"
    with receiver() as good, bad_line() as hanging, supervising(run_dir) as supervisor:
        plan(run_dir, hanging, good.url, changes=("notify.send_timeout_seconds=3",))
        with notifier(run_dir) as process:
            wait_until(lambda: _loops(process), "the notifier")
            supervisor.kill()
            killed = time.monotonic()
            wait_until(_alarm(good, "ALARM: the supervisor is gone"), "alarm")
            assert time.monotonic() - killed < 60
            assert process.wait(60) == 0, "it ends itself when nobody is left"
    alarms = [got for got in good.got if got.title.startswith("ALARM")]
    assert len(alarms) == 1 and str(supervisor.pid) in alarms[0].text and "KST" in alarms[0].text
    assert read_plan(run_dir) is None
    nothing_worse_than_a_warning(run_dir)


def _loops(process: subprocess.Popen[bytes]) -> bool:
    return psutil.Process(process.pid).cpu_times().user > 0.1


@posix_only
def test_a_supervisor_that_stands_still_is_told_and_goes_on_being_watched(tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    with receiver() as good, supervising(run_dir) as supervisor:
        plan(run_dir, good.url)
        with notifier(run_dir) as process:
            psutil.Process(supervisor.pid).suspend()
            wait_until(_alarm(good, "ALARM: the supervisor is silent"), "alarm")
            psutil.Process(supervisor.pid).resume()
            supervisor.terminate()
            wait_until(_alarm(good, "Run ended (interrupted)"), "end")
            assert process.wait(30) == 0
    assert len([title for title in good.titles() if title.startswith("ALARM")]) == 1


def test_a_run_that_ends_in_order_raises_no_alarm(tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    with receiver() as good, supervising(run_dir) as supervisor:
        plan(run_dir, good.url)
        with notifier(run_dir) as process:
            supervisor.terminate()
            assert process.wait(30) == 0
    assert good.titles() == ["Run ended (interrupted): run"]
