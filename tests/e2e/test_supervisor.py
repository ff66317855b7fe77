"""The supervisor over a fake engine that finishes, crashes, hangs, lies and refuses to stop.

Rule: no test waits for a fixed time; each waits for a row, a file or an end, with a deadline.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from flowguardian.execution.events import Command
from flowguardian.journal.chain import read_chain, verify_chain
from flowguardian.journal.ops_events import (
    ClockStepped,
    FaultAnnounced,
    HostSampled,
    HostSlept,
    Incident,
    OpsRow,
    PreflightChecked,
    ProcessExited,
    ProcessStarted,
    RunFinished,
    SegmentClosed,
    SegmentOpened,
    Severity,
)
from flowguardian.ops.commands import ask
from flowguardian.ops.launcher import launch
from flowguardian.ops.ops_journal import OpsJournal, read_ops
from flowguardian.ops.platform_lock import LockHeld
from flowguardian.ops.platform_process import kill_tree, start_time_of
from flowguardian.ops.progress import RunView
from flowguardian.ops.registry import STATE_DIRECTORY, Registry
from flowguardian.ops.segments import HostClock
from flowguardian.ops.supervisor import RunResult, Supervisor, SupervisorOptions

DEADLINE_SECONDS = 30.0
HERE = Path(__file__).parent
FAST = SupervisorOptions(
    start_timeout_seconds=20.0,
    hang_timeout_seconds=20.0,
    stop_timeout_seconds=20.0,
    first_restart_delay_seconds=0.01,
    longest_restart_delay_seconds=0.05,
    max_restarts=3,
    sample_interval_seconds=0.05,
    check_interval_seconds=0.02,
    keep_awake=False,
)
posix_only = pytest.mark.skipif(sys.platform == "win32", reason="sends a POSIX signal")


@pytest.fixture(autouse=True)
def _own_state_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(STATE_DIRECTORY, str(tmp_path / "state"))
    monkeypatch.setenv("PYTHONPATH", str(HERE.parents[1]))


class Scene:
    """A run directory with a scenario, and a supervisor made for it."""

    def __init__(self, tmp_path: Path, *lives: dict[str, object]) -> None:
        self.run_dir = tmp_path / "run-1"
        self.run_dir.mkdir(exist_ok=True)
        (self.run_dir / "scenario.json").write_text(json.dumps(lives), encoding="utf-8")
        self.argv = [sys.executable, str(HERE / "fake_engine.py"), str(self.run_dir)]
        self.supervisor: Supervisor | None = None

    def run(
        self,
        options: SupervisorOptions = FAST,
        on_view: Callable[[Supervisor, RunView], None] | None = None,
        **settings: object,
    ) -> RunResult:
        """Run to the end; a run past the deadline is stopped and fails the test."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        late = []

        def watch(view: RunView) -> None:
            if time.monotonic() > deadline:
                late.append(view)
                supervisor.request_stop("deadline")
            elif on_view is not None:
                on_view(supervisor, view)

        supervisor = Supervisor(self.run_dir, self.argv, options, on_progress=watch, **settings)  # type: ignore[arg-type]
        self.supervisor = supervisor
        result = supervisor.run()
        assert not late, f"still going after {DEADLINE_SECONDS} s: {late[0]}"
        return result

    def rows(self, *kinds: type[OpsRow]) -> list[OpsRow]:
        rows = read_ops(self.run_dir / "ops.db")
        return [row for row in rows if isinstance(row, kinds)] if kinds else rows

    def ends(self, name: str = "engine") -> list[ProcessExited]:
        return [row for row in self.rows(ProcessExited) if row.name == name]  # type: ignore[attr-defined, misc]

    def incidents(self, severity: Severity = Severity.ERROR) -> list[Incident]:
        return [row for row in self.rows(Incident) if row.severity is severity]  # type: ignore[attr-defined, misc]


def once(act: Callable[[Supervisor, RunView], None], when: Callable[[RunView], bool]) -> Callable[..., None]:
    """A progress callback that acts the first time `when` holds."""
    done: list[bool] = []

    def watch(supervisor: Supervisor, view: RunView) -> None:
        if not done and when(view):
            done.append(True)
            act(supervisor, view)

    return watch


def is_beating(view: RunView) -> bool:
    return view.heartbeat is not None and view.pid != 0 and view.state == "running"


def test_an_engine_that_finishes_leaves_one_segment_and_a_reason_for_every_process(tmp_path: Path) -> None:
    scene = Scene(tmp_path, {"beats": 10})
    result = scene.run()
    assert (result.reason, result.restarts, result.exit_codes) == ("completed", 0, (0,))
    kinds = [type(row).__name__ for row in scene.rows() if not isinstance(row, HostSampled)]
    assert kinds == [
        "ProcessStarted", "BuildIdentified", "ProcessStarted", "SegmentOpened", "SegmentClosed",
        "ProcessExited", "ProcessExited", "RunFinished",
    ]  # fmt: skip
    assert [(row.name, row.reason, row.abnormal) for row in (*scene.ends(), *scene.ends("supervisor"))] == [
        ("engine", "completed", False),
        ("supervisor", "completed", False),
    ]
    assert result.segments[0].closed_reason == "finished"
    assert result.run_ns >= 9 * 10_000_000, "ten beats of 10 ms each lie inside the segment"
    assert not scene.rows(Incident)
    assert len(list(verify_chain(read_chain(scene.run_dir / "ops.db")))) == len(scene.rows())


def test_samples_carry_resources_of_the_engine(tmp_path: Path) -> None:
    scene = Scene(tmp_path, {"end": "run"})
    scene.run(on_view=once(lambda s, _: s.request_stop(), lambda _view: len(scene.rows(HostSampled)) >= 2))
    sample = scene.rows(HostSampled)[-1]
    assert isinstance(sample, HostSampled)
    assert sample.segment == 1 and sample.rss_bytes > 1_000_000 and sample.handles > 2 and sample.threads >= 2
    assert sample.loop_lag_p99_ms == 0.9 and sample.mono_ns > 0 and sample.market_ns > 0


def test_a_crash_is_recorded_and_the_run_goes_on_until_it_is_complete(tmp_path: Path) -> None:
    scene = Scene(tmp_path, {"beats": 3, "end": "crash"}, {"beats": 3, "end": "fault"}, {"beats": 3})
    result = scene.run()
    assert (result.reason, result.restarts, result.exit_codes) == ("completed", 2, (9, 5, 0))
    assert [(end.abnormal, end.announced) for end in scene.ends()] == [(True, False)] * 2 + [(False, False)]
    assert "9" in scene.ends()[0].reason and "could not be appended" in scene.ends()[1].reason
    assert [span.closed_reason for span in result.segments] == ["crashed", "crashed", "finished"]
    assert [span.opened_reason for span in result.segments] == ["first start", "restarted", "restarted"]
    assert result.run_ns == sum(span.run_ns for span in result.segments)


def test_a_hung_engine_is_killed_restarted_and_its_silence_does_not_count(tmp_path: Path) -> None:
    scene = Scene(tmp_path, {"beats": 2, "end": "hang"}, {"beats": 2})
    options = replace(FAST, hang_timeout_seconds=0.4)
    result = scene.run(options)
    assert result.reason == "completed"
    first = scene.ends()[0]
    assert first.abnormal and first.reason.startswith("hung: no heartbeat for 0.4 s")
    assert result.segments[0].closed_reason == "hung"
    assert result.segments[0].run_ns < 400_000_000, "the segment ends at the last heartbeat, not at the kill"
    assert not psutil.pid_exists(first.pid)


def test_an_engine_that_never_gets_ready_is_given_the_start_timeout(tmp_path: Path) -> None:
    scene = Scene(tmp_path, {"end": "not ready"}, {"beats": 2})
    result = scene.run(replace(FAST, start_timeout_seconds=1.0))
    assert result.reason == "completed" and "not ready" in scene.ends()[0].reason
    assert len(result.segments) == 1, "an engine that was never live opens no segment"


def test_a_finished_engine_that_does_not_exit_is_ended_and_the_run_is_complete(tmp_path: Path) -> None:
    scene = Scene(tmp_path, {"end": "linger"})
    result = scene.run(replace(FAST, stop_timeout_seconds=0.3))
    assert result.reason == "completed"
    assert scene.ends()[0].abnormal and "did not exit" in scene.ends()[0].reason


def test_a_crash_after_finishing_is_abnormal_but_the_run_is_complete(tmp_path: Path) -> None:
    scene = Scene(tmp_path, {"end": "finish then crash"})
    assert scene.run().reason == "completed"
    assert scene.ends()[0].abnormal


def test_an_exit_with_zero_that_was_not_said_is_abnormal_and_restarted(tmp_path: Path) -> None:
    scene = Scene(tmp_path, {"end": "silent"}, {})
    result = scene.run()
    assert (result.reason, result.restarts) == ("completed", 1)
    assert scene.ends()[0].abnormal and "without a finished event" in scene.ends()[0].reason


def test_a_restart_storm_without_progress_ends_the_run_with_a_reason(tmp_path: Path) -> None:
    scene = Scene(tmp_path, {"beats": 1, "stuck": True, "end": "crash"})
    result = scene.run()
    assert result.reason == "failed_to_restart"
    # The first life counts as progress, then max_restarts lives do not, and the last of them ends it.
    assert len(result.exit_codes) in (4, 5)
    assert scene.rows()[-1] == scene.rows(RunFinished)[-1]


def test_crashes_with_progress_between_them_never_exhaust_the_restarts(tmp_path: Path) -> None:
    crashes = 6
    scene = Scene(tmp_path, *[{"beats": 2, "end": "crash"}] * crashes, {"beats": 1})
    result = scene.run(replace(FAST, max_restarts=2))
    assert (result.reason, result.restarts) == ("completed", crashes)


def test_a_config_error_is_not_restarted(tmp_path: Path) -> None:
    scene = Scene(tmp_path, {"end": "config"})
    result = scene.run()
    assert (result.reason, result.exit_codes) == ("config_error", (2,))
    assert "risk.max_positions" in scene.ends()[0].reason


def test_a_program_that_does_not_exist_ends_as_failed_to_restart(tmp_path: Path) -> None:
    scene = Scene(tmp_path, {})
    scene.argv = [str(tmp_path / "no-such-program")]
    assert scene.run().reason == "failed_to_restart"
    assert any("could not be started" in row.what for row in scene.incidents())


@pytest.mark.parametrize(
    ("action", "source", "words"),
    [
        ("error record", "engine", "order lost"),
        ("traceback", "engine", "ValueError: price # is odd"),
        ("dead thread", "engine", "ZeroDivisionError"),
    ],
)
def test_each_kind_of_trouble_in_the_engine_becomes_an_incident(
    tmp_path: Path, action: str, source: str, words: str
) -> None:
    scene = Scene(tmp_path, {"do": [action, "chatter"]})
    assert scene.run().reason == "completed"
    found = scene.incidents() + scene.incidents(Severity.CRITICAL)
    assert any(row.source == source and words in row.what for row in found), found
    kept = (scene.run_dir / "logs" / "engine-stderr.log").read_text(encoding="utf-8")
    assert "비트코인 ₿" in kept and not any("harmless" in row.sample for row in found)


def test_a_record_of_a_library_is_an_incident_too(tmp_path: Path) -> None:
    scene = Scene(tmp_path, {"do": ["library record"]})
    scene.run()
    (found,) = scene.incidents(Severity.CRITICAL)
    assert found.what == "some.library: socket gone"


def test_a_line_that_is_no_event_is_a_warning(tmp_path: Path) -> None:
    scene = Scene(tmp_path, {"do": ["garbage"]})
    assert scene.run().reason == "completed"
    (found,) = scene.incidents(Severity.WARNING)
    assert found.sample == "this is no event"


def test_a_flood_on_stderr_neither_stops_the_engine_nor_fills_the_journal(tmp_path: Path) -> None:
    scene = Scene(tmp_path, {"do": ["flood"], "beats": 5})
    assert scene.run().reason == "completed"
    assert len(scene.rows(Incident)) < 200


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_trouble_in_a_thread_of_the_supervisor_is_an_incident(tmp_path: Path) -> None:
    scene = Scene(tmp_path, {"end": "run"})

    def die(supervisor: Supervisor, _view: RunView) -> None:
        thread = threading.Thread(target=lambda: int("x"), name="planted")
        thread.start()
        thread.join()
        supervisor.request_stop()

    scene.run(on_view=once(die, is_beating))
    assert [row.what for row in scene.incidents()] == ["ValueError in thread planted"]


def test_a_broken_display_is_an_incident_and_the_run_goes_on(tmp_path: Path) -> None:
    scene = Scene(tmp_path, {"beats": 20})

    def broken(_supervisor: Supervisor, _view: RunView) -> None:
        raise RuntimeError("no screen")

    assert scene.run(on_view=broken).reason == "completed"
    assert any("progress display" in row.what for row in scene.incidents())


def test_an_announced_kill_is_an_announced_abnormal_end_and_the_next_one_is_not(tmp_path: Path) -> None:
    scene = Scene(tmp_path, {"end": "run"}, {"end": "run"}, {"beats": 2})
    killed: set[int] = set()

    def kill(supervisor: Supervisor, view: RunView) -> None:
        if is_beating(view) and view.pid not in killed and len(killed) < 2:
            if not killed:
                supervisor.announce("kill -9", "engine")
            killed.add(view.pid)
            psutil.Process(view.pid).kill()

    result = scene.run(on_view=kill)
    assert (result.reason, result.restarts) == ("completed", 2)
    assert [(end.abnormal, end.announced) for end in scene.ends()] == [
        (True, True), (True, False), (False, False),
    ]  # fmt: skip
    rows = scene.rows(FaultAnnounced, ProcessExited)
    assert isinstance(rows[0], FaultAnnounced), "announced before it happened"


def test_a_fault_announced_from_another_thread_is_durable_when_announce_returns(tmp_path: Path) -> None:
    scene = Scene(tmp_path, {"end": "run"}, {"beats": 1})
    seen: list[bool] = []

    def drill(supervisor: Supervisor, view: RunView) -> None:
        def act() -> None:
            supervisor.announce("kill -9", "engine")
            seen.append(bool(scene.rows(FaultAnnounced)))
            psutil.Process(view.pid).kill()

        threading.Thread(target=act).start()

    assert scene.run(on_view=once(drill, is_beating)).reason == "completed"
    assert seen == [True] and scene.ends()[0].announced


def test_what_the_engine_started_ends_with_it(tmp_path: Path) -> None:
    scene = Scene(tmp_path, {"do": ["grandchild"], "end": "crash"}, {})
    scene.run()
    pid = int((scene.run_dir / "grandchild").read_text(encoding="utf-8"))
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_a_stop_leaves_a_run_that_resumes_and_run_time_adds_up(tmp_path: Path) -> None:
    scene = Scene(tmp_path, {"end": "run"}, {"beats": 3})
    first = scene.run(on_view=once(lambda s, _: s.request_stop(), is_beating))
    assert first.reason == "interrupted" and first.exit_codes == (0,)
    assert not scene.ends()[0].abnormal and first.segments[0].closed_reason == "interrupted"
    second = scene.run()
    assert second.reason == "completed" and second.restarts == 0
    assert [span.segment for span in second.segments] == [1, 2]
    assert second.segments[1].opened_reason == "resumed"
    assert second.run_ns == first.run_ns + second.segments[1].run_ns
    assert [row.reason for row in scene.rows(RunFinished)] == ["interrupted", "completed"]  # type: ignore[attr-defined]


def test_a_complete_run_is_not_run_again(tmp_path: Path) -> None:
    scene = Scene(tmp_path, {})
    scene.run()
    count = len(scene.rows())
    assert scene.run().reason == "completed"
    assert len(scene.rows()) == count and (scene.run_dir / "lives").stat().st_size == 1


def test_an_operators_stop_command_ends_the_run_as_stopped(tmp_path: Path) -> None:
    scene = Scene(tmp_path, {"end": "run"})
    result = scene.run(on_view=once(lambda s, _: ask(s.run_dir, Command.STOP, "operator"), is_beating))  # type: ignore[arg-type]
    assert result.reason == "stopped" and result.segments[0].closed_reason == "stopped"


def test_an_engine_that_ignores_the_stop_is_ended_and_the_resume_is_not_stopped_by_the_old_wish(
    tmp_path: Path,
) -> None:
    scene = Scene(tmp_path, {"end": "run", "ignore_stop": True}, {"beats": 3})
    stop = once(lambda s, _: s.request_stop(), is_beating)
    result = scene.run(replace(FAST, stop_timeout_seconds=0.3), stop)
    assert result.reason == "interrupted"
    assert scene.ends()[0].abnormal and "ignored the stop" in scene.ends()[0].reason
    assert scene.run().reason == "completed"


def test_a_second_start_of_the_same_run_is_refused_and_names_the_owner(tmp_path: Path) -> None:
    scene = Scene(tmp_path, {"end": "run"})
    refused: list[LockHeld] = []

    def start_again(supervisor: Supervisor, _view: RunView) -> None:
        try:
            Supervisor(scene.run_dir, scene.argv, FAST).run()
        except LockHeld as held:
            refused.append(held)
        supervisor.request_stop()

    scene.run(on_view=once(start_again, is_beating))
    (held,) = refused
    assert f"PID {os.getpid()}" in str(held) and "started" in str(held)


def test_a_red_preflight_line_keeps_the_engine_from_starting(tmp_path: Path) -> None:
    scene = Scene(tmp_path, {})
    asked: list[object] = []

    def preflight(first_start: object, _taken: object) -> list[PreflightChecked]:
        asked.append(first_start)
        return [PreflightChecked(1, "free disk", "red", "no room", "make room")]

    result = scene.run(preflight=preflight)
    assert result.reason == "preflight" and asked == [True]
    assert not [row for row in scene.rows(ProcessStarted) if row.name == "engine"]  # type: ignore[attr-defined]
    assert scene.run(preflight=lambda _first, _taken: []).reason == "completed"


class LeapingClock(HostClock):
    """A host clock that can be moved."""

    def __init__(self) -> None:
        super().__init__()
        self.wall_extra_ns = self.mono_extra_ns = 0

    def wall_ns(self) -> int:
        return super().wall_ns() + self.wall_extra_ns

    def mono_ns(self) -> int:
        return super().mono_ns() + self.mono_extra_ns


def test_sleep_of_the_host_closes_the_segment_and_is_not_counted(tmp_path: Path) -> None:
    clock = LeapingClock()
    scene = Scene(tmp_path, {"end": "run"})

    def sleep(_supervisor: Supervisor, _view: RunView) -> None:
        clock.wall_extra_ns += 300 * 10**9
        clock.mono_extra_ns += 300 * 10**9

    nap = once(sleep, is_beating)
    stop = once(lambda s, _: s.request_stop(), lambda _view: len(scene.rows(SegmentOpened)) == 2)

    def both(supervisor: Supervisor, view: RunView) -> None:
        nap(supervisor, view)
        stop(supervisor, view)

    result = scene.run(on_view=both, clock=clock)
    (slept,) = scene.rows(HostSlept)
    assert isinstance(slept, HostSlept) and slept.gap_seconds == pytest.approx(300, abs=5)
    assert [row.reason for row in scene.rows(SegmentClosed)] == ["slept", "interrupted"]  # type: ignore[attr-defined]
    assert result.segments[1].opened_reason == "slept" and result.run_ns < 60 * 10**9
    assert result.exit_codes == (0,), "waking up is no reason to kill the engine"


def test_a_step_of_the_wall_clock_is_recorded_and_changes_no_run_time(tmp_path: Path) -> None:
    clock = LeapingClock()
    scene = Scene(tmp_path, {"end": "run"})

    def step(_supervisor: Supervisor, _view: RunView) -> None:
        clock.wall_extra_ns -= 3600 * 10**9

    stepped = once(step, is_beating)
    stop = once(lambda s, _: s.request_stop(), lambda _view: bool(scene.rows(ClockStepped)))

    def both(supervisor: Supervisor, view: RunView) -> None:
        stepped(supervisor, view)
        stop(supervisor, view)

    result = scene.run(on_view=both, clock=clock)
    (row,) = scene.rows(ClockStepped)
    assert isinstance(row, ClockStepped) and row.step_seconds == pytest.approx(-3600, abs=1)
    assert 0 < result.run_ns < 60 * 10**9 and not scene.rows(HostSlept)


def test_no_text_before_the_end_contains_a_verdict(tmp_path: Path) -> None:
    scene = Scene(tmp_path, {"do": ["checkpoint"], "end": "crash"}, {"do": ["checkpoint"]})
    scene.run()
    text = "\n".join(
        path.read_text(encoding="utf-8") for path in (scene.run_dir / "logs").iterdir() if path.is_file()
    ) + "\n".join(str(row) for row in scene.rows())
    assert not [word for word in ("PASS", "FAIL", "INCONCLUSIVE") if word in text]


# ---- supervisors that die, as processes of their own


def start_supervisor(scene: Scene) -> subprocess.Popen[bytes]:
    argv = [sys.executable, str(HERE / "supervise_fake.py"), str(scene.run_dir)]
    return subprocess.Popen(argv, stdout=subprocess.DEVNULL, start_new_session=sys.platform != "win32")


def wait_until(condition: Callable[[], object], what: str) -> None:
    """Poll with a deadline: the only way to see another process."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < deadline, f"no {what} after {DEADLINE_SECONDS} s"
        pause.wait(0.02)


def is_live(scene: Scene) -> bool:
    """Two samples: the segment has lasted for a moment."""
    return len(scene.rows(HostSampled)) >= 2


@posix_only
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_stops_gracefully_and_the_run_can_be_resumed(
    tmp_path: Path, number: signal.Signals
) -> None:
    scene = Scene(tmp_path, {"end": "run"}, {"beats": 2})
    process = start_supervisor(scene)
    try:
        wait_until(lambda: is_live(scene), "sample")
        process.send_signal(number)
        assert process.wait(DEADLINE_SECONDS) == 130
    finally:
        process.kill()
        process.wait(DEADLINE_SECONDS)
    assert scene.rows()[-1].reason == "interrupted"  # type: ignore[attr-defined]
    assert not scene.ends()[0].abnormal and not Registry().living()
    assert scene.run().reason == "completed"


def test_the_engine_dies_with_its_supervisor_and_the_next_one_resumes_and_writes_what_was_missing(
    tmp_path: Path,
) -> None:
    scene = Scene(tmp_path, {"end": "run"}, {"beats": 2})
    process = start_supervisor(scene)
    try:
        wait_until(lambda: is_live(scene), "sample")
    finally:
        process.kill()
        process.wait(DEADLINE_SECONDS)
    engine = next(row for row in scene.rows(ProcessStarted) if row.name == "engine")  # type: ignore[attr-defined]
    wait_until(lambda: start_time_of(engine.pid) != engine.start_time, "end of the engine")  # type: ignore[attr-defined]
    result = scene.run()
    assert result.reason == "completed"
    assert [span.closed_reason for span in result.segments] == ["crashed", "finished"]
    assert result.segments[0].run_ns > 0
    assert scene.ends()[0].abnormal and not scene.ends()[0].announced
    assert [end.abnormal for end in scene.ends("supervisor")] == [True, False]


@posix_only
def test_an_engine_that_outlived_its_supervisor_is_ended_before_a_new_one_starts(tmp_path: Path) -> None:
    scene = Scene(tmp_path, {"end": "run"}, {"beats": 2})
    scene.run(on_view=once(lambda s, _: s.request_stop(), is_beating))
    # A process that no supervisor holds any more, written down as the engine of this run.
    orphan = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    ops = OpsJournal(scene.run_dir / "ops.db")
    ops.write(ProcessStarted(1, "engine", orphan.pid, start_time_of(orphan.pid) or 0.0))
    ops.close()
    try:
        assert scene.run().reason == "completed"
        orphan.wait(DEADLINE_SECONDS)
    finally:
        orphan.kill()
    assert any("outlived" in end.reason for end in scene.ends())


@posix_only
def test_the_launcher_restarts_a_killed_supervisor_and_hands_on_a_normal_exit(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    scene = Scene(tmp_path, {"end": "run"}, {"beats": 2})

    def kill_first() -> None:
        wait_until(lambda: is_live(scene), "sample")
        first = next(row for row in scene.rows(ProcessStarted) if row.name == "supervisor")  # type: ignore[attr-defined]
        psutil.Process(first.pid).kill()  # type: ignore[attr-defined]

    killer = threading.Thread(target=kill_first)
    killer.start()
    argv = [sys.executable, str(HERE / "supervise_fake.py"), str(scene.run_dir)]
    code = launch(argv, first_delay_seconds=0.01)
    killer.join()
    assert code == 0
    assert "signal 9" in capfd.readouterr().err
    assert scene.rows()[-1].reason == "completed"  # type: ignore[attr-defined]


def test_an_exception_in_the_loop_is_critical_ends_the_engine_and_leaves_the_run_resumable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = Scene(tmp_path, {"end": "run"}, {"beats": 2})

    def broken(_self: Supervisor) -> float:
        if scene.rows(HostSampled):
            raise MemoryError("planted")
        return 0.02

    with monkeypatch.context() as patched:
        patched.setattr(Supervisor, "_pause_seconds", broken)
        with pytest.raises(MemoryError):
            scene.run()
    assert [row.what for row in scene.incidents(Severity.CRITICAL)] == ["MemoryError in the loop"]
    assert scene.ends()[0].abnormal and scene.ends("supervisor")[0].abnormal
    assert not psutil.pid_exists(scene.ends()[0].pid)
    assert scene.run().reason == "completed"


def test_kill_tree_never_touches_a_process_with_another_start_time() -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        assert kill_tree(process.pid, (start_time_of(process.pid) or 0.0) - 100)
        assert process.poll() is None
    finally:
        process.communicate(b"\n", timeout=DEADLINE_SECONDS)
