"""The supervisor: starts the engine, watches it, starts it again, and writes down everything that happened.

Rule: it holds no trading logic and decides nothing about a trade; whatever ends, ends with a written reason.
One thread does everything in turns of at most the check interval; other threads only hand it things.
"""

from __future__ import annotations

import os
import threading
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from flowguardian.execution.events import Command
from flowguardian.journal.ops_events import (
    FaultAnnounced,
    HostSampled,
    HostSlept,
    OpsRow,
    PreflightChecked,
    ProcessExited,
    ProcessStarted,
    RunFinished,
    Severity,
)
from flowguardian.ops.commands import CommandError, ask, withdraw
from flowguardian.ops.engine_child import EXIT_CONFIG, EngineChild, EngineEvent, Heartbeat, Ready
from flowguardian.ops.engine_watch import End, EngineWatch, Limits
from flowguardian.ops.host_watch import SECOND_NS, Clock, HostWatch
from flowguardian.ops.incidents import IncidentBook, LogWatch
from flowguardian.ops.log import report_uncaught
from flowguardian.ops.ops_journal import FILE_NAME as OPS_FILE
from flowguardian.ops.ops_journal import OpsJournal, read_ops
from flowguardian.ops.platform_lock import FileLock
from flowguardian.ops.platform_power import keep_awake
from flowguardian.ops.platform_process import start_time_of
from flowguardian.ops.platform_signals import Wake, on_stop_signal
from flowguardian.ops.preflight import is_red
from flowguardian.ops.progress import RunView
from flowguardian.ops.recovery import Beat, Past, close_past, read_beat, read_past, write_beat
from flowguardian.ops.registry import Registered, Registry
from flowguardian.ops.resources import process_use, run_files
from flowguardian.ops.segments import HostClock, SegmentBook, SegmentSpan, segment_spans

LOCK_FILE = "run.lock"
SUPERVISOR = "supervisor"
ENGINE = "engine"
ANNOUNCE_TIMEOUT_SECONDS = 10.0
REPORTS_KEPT = 1000
"""Reports of other threads waiting for the loop; more drop the oldest, all are the same trouble by then."""


@dataclass(frozen=True, slots=True)
class SupervisorOptions:
    """Times in wall-clock seconds; nothing here changes what is traded."""

    start_timeout_seconds: float = 300.0
    hang_timeout_seconds: float = 30.0
    stop_timeout_seconds: float = 30.0
    first_restart_delay_seconds: float = 0.5
    longest_restart_delay_seconds: float = 30.0
    max_restarts: int = 10
    """Restarts in a row during which market time does not get any further."""
    sample_interval_seconds: float = 60.0
    check_interval_seconds: float = 1.0
    sleep_gap_seconds: float = 30.0
    clock_step_seconds: float = 1.0
    announced_seconds: float = 60.0
    """How long an announced fault may take to end a process."""
    keep_awake: bool = True
    planned_seconds: float = 0.0
    """Planned run time, shown only: the engine ends the run."""
    account: str = ""
    """What two runs may not share; the run directory when empty."""


@dataclass(frozen=True, slots=True)
class RunResult:
    """How a run stands after this supervisor: over all its lifetimes."""

    reason: str
    """completed, stopped, interrupted, failed_to_restart, config_error or preflight."""
    restarts: int
    """Engine starts that followed an abnormal end."""
    exit_codes: tuple[int, ...]
    segments: tuple[SegmentSpan, ...]
    run_ns: int


Preflight = Callable[[bool], Sequence[PreflightChecked]]


class Supervisor:
    """Runs one run to its end, or until it is stopped; a later supervisor resumes it."""

    def __init__(
        self,
        run_dir: Path,
        argv: Sequence[str],
        options: SupervisorOptions | None = None,
        *,
        on_progress: Callable[[RunView], None] | None = None,
        preflight: Preflight | None = None,
        registry: Registry | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.run_dir, self._argv = run_dir, list(argv)
        self._options = options or SupervisorOptions()
        self._on_progress, self._preflight = on_progress, preflight
        self._registry = registry or Registry()
        self._clock: Clock = clock or HostClock()
        self._wake = Wake()
        self._log_dir = run_dir / "logs"
        self._reports: deque[tuple[Severity, str, str, str]] = deque(maxlen=REPORTS_KEPT)
        self._inbox: deque[tuple[str, str, threading.Event]] = deque()
        self._announced: list[FaultAnnounced] = []
        self._loop_thread: int | None = None
        self._stops = 0
        self._stop_asked_ns: int | None = None
        self._watch: EngineWatch | None = None
        self._child_entry: Registered | None = None
        self._reopen = ""
        self._attempts = 0
        self._restarts = 0
        self._restart_at_ns = 0
        self._best_market_ns = 0
        self._sample_at_ns = self._tick_at_ns = 0
        self._last_heartbeat: Heartbeat | None = None

    # ---- for other threads and signal handlers

    def request_stop(self, why: str = "asked") -> None:
        """Stop gracefully and leave a run that can be resumed; asked twice, the engine is ended at once."""
        self._stops += 1
        self._wake.set()

    def announce(self, fault: str, target: str) -> None:
        """Write that a fault is about to be injected, durably, before it is; then an abnormal end of
        `target` (engine, supervisor) is an announced one. Raises TimeoutError when no loop takes it."""
        if threading.get_ident() == self._loop_thread:
            self._write_announcement(fault, target)
            return
        done = threading.Event()
        self._inbox.append((fault, target, done))
        self._wake.set()
        if not done.wait(ANNOUNCE_TIMEOUT_SECONDS):
            raise TimeoutError(f"fault {fault!r} was not announced: the supervisor of {self.run_dir} is not running")

    # ---- the run

    def run(self) -> RunResult:
        """Supervise until the run ends. Raises LockHeld when another process supervises it already."""
        self._log_dir.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            stack.enter_context(FileLock(self.run_dir / LOCK_FILE))
            past = read_past(read_ops(self.run_dir / OPS_FILE))
            if past.finished == "completed":
                return self._result(past.finished)
            self._ops = OpsJournal(self.run_dir / OPS_FILE)
            stack.callback(self._ops.close)
            self._begin(past, stack)
            reason = self._guarded(past)
        return self._result(reason)

    def _begin(self, past: Past, stack: ExitStack) -> None:
        self._loop_thread = threading.get_ident()
        beat = read_beat(self.run_dir)
        close_past(past, beat, self._ops, self._clock, self._options.announced_seconds)
        rows = read_ops(self.run_dir / OPS_FILE)
        self._incidents = IncidentBook(self._ops.write, self._clock.wall_ns)
        self._incidents.restore(rows)
        stack.callback(self._incidents.close)
        self._logs = LogWatch(self._log_dir, self._incidents.add)
        self._logs.offsets = dict(beat.log_offsets)
        boot, wall_ns = self._clock.boot_id, self._clock.wall_ns
        self._segments = SegmentBook(self._ops.write, wall_ns, boot, segment_spans(rows))
        self._best_market_ns = past.best_market_ns
        self._host = HostWatch(
            self._clock,
            sleep_gap_seconds=self._options.sleep_gap_seconds,
            step_seconds=self._options.clock_step_seconds,
        )
        entry = self._registry.register(SUPERVISOR, self.run_dir.name, account=self._account())
        stack.callback(self._registry.unregister, entry)
        stack.callback(report_uncaught(self._report_uncaught))
        stack.enter_context(on_stop_signal(self.request_stop))
        if self._options.keep_awake:
            stack.enter_context(keep_awake())

    def _guarded(self, past: Past) -> str:
        me = os.getpid()
        self._ops.write(ProcessStarted(self._clock.wall_ns(), SUPERVISOR, me, start_time_of(me) or 0.0))
        withdraw(self.run_dir, Command.STOP, SUPERVISOR)
        try:
            reason = self._preflight_reason(past.first_start) or self._loop(past.first_start)
        except BaseException as error:
            self._abandon(error)
            raise
        self._exited(SUPERVISOR, me, 0, reason, abnormal=False)
        self._ops.write(RunFinished(self._clock.wall_ns(), reason))
        self._beat()
        return reason

    def _preflight_reason(self, first_start: bool) -> str:
        lines = self._preflight(first_start) if self._preflight is not None else ()
        for line in lines:
            self._ops.write(line)
        return "preflight" if is_red(lines) else ""

    def _loop(self, first_start: bool) -> str:
        self._start_engine("first start" if first_start else "resumed")
        while True:
            self._wake.wait(self._pause_seconds())
            now_ns = self._clock.mono_ns()
            self._watch_host(now_ns)
            self._take_from_threads()
            outcome = self._turn(now_ns)
            if now_ns >= self._tick_at_ns or outcome:
                self._tick(now_ns)
            if outcome:
                return outcome

    def _turn(self, now_ns: int) -> str:
        """One look at the engine; the reason of the run's end or "" while it goes on."""
        if self._stops and self._stop_asked_ns is None:
            self._ask_to_stop(now_ns)
        if self._watch is None:
            if self._stops:
                return "interrupted"
            if now_ns >= self._restart_at_ns:
                self._start_engine("restarted")
            return ""
        # The exit first, the pipes after it: what was said before the end is then surely in them.
        code = self._watch.child.exit_code()
        self._read_engine(now_ns)
        if code is not None:
            return self._engine_ended(code, "")
        why = self._watch.overdue(now_ns, self._stop_asked_ns)
        if not why and self._stops > 1:
            why = "ended at once by a second interrupt"
        return self._engine_ended(self._watch.child.kill(), why) if why else ""

    # ---- the engine

    def _start_engine(self, why: str) -> None:
        now_ns = self._clock.mono_ns()
        try:
            child = EngineChild(self._argv, None, {}, self._wake.set)
        except OSError as error:
            self._incidents.add(Severity.ERROR, SUPERVISOR, "engine could not be started", str(error))
            self._plan_restart()
            return
        options = self._options
        limits = Limits(
            options.start_timeout_seconds, options.hang_timeout_seconds, options.stop_timeout_seconds
        )
        self._watch = EngineWatch(child, limits, self._incidents, self._log_dir, now_ns)
        self._reopen = why
        self._ops.write(ProcessStarted(self._clock.wall_ns(), ENGINE, child.pid, child.start_time))
        try:
            self._child_entry = self._registry.register(
                ENGINE, self.run_dir.name, account=self._account(), pid=child.pid, parent_pid=os.getpid()
            )
        except ProcessLookupError:
            # It ended already; the next turn reads its exit code.
            self._child_entry = None

    def _read_engine(self, now_ns: int) -> None:
        watch = self._watch
        assert watch is not None
        for event in watch.read(now_ns):
            self._hear(watch, event, now_ns)

    def _hear(self, watch: EngineWatch, event: EngineEvent, now_ns: int) -> None:
        market_ns = getattr(event, "market_ns", 0)
        if watch.ready and self._reopen and isinstance(event, Ready | Heartbeat):
            self._segments.open(now_ns, market_ns, watch.child.pid, self._reopen)
            self._reopen = ""
            self._sample_at_ns = now_ns
        self._segments.alive(now_ns, market_ns)
        if isinstance(event, Heartbeat):
            self._last_heartbeat = event
            if event.market_ns > self._best_market_ns:
                self._best_market_ns, self._attempts = event.market_ns, 0

    def _engine_ended(self, code: int, killed_because: str) -> str:
        watch = self._watch
        assert watch is not None
        watch.child.close()
        self._read_engine(self._clock.mono_ns())
        end = watch.ended(code, killed_because, stop_asked=bool(self._stops))
        self._read_logs()
        self._segments.close(end.segment_reason)
        self._exited(ENGINE, watch.child.pid, code, end.reason, abnormal=end.abnormal)
        if self._child_entry is not None:
            self._registry.unregister(self._child_entry)
        self._watch = self._child_entry = None
        return self._outcome(watch, end)

    def _outcome(self, watch: EngineWatch, end: End) -> str:
        if watch.finished == "completed":
            return "completed"
        if self._stops:
            return "interrupted"
        if watch.finished:
            return "stopped"
        if end.code == EXIT_CONFIG:
            return "config_error"
        return self._plan_restart()

    def _plan_restart(self) -> str:
        self._attempts += 1
        if self._attempts > self._options.max_restarts:
            return "failed_to_restart"
        delay = min(
            self._options.longest_restart_delay_seconds,
            self._options.first_restart_delay_seconds * 2.0 ** (self._attempts - 1),
        )
        self._restart_at_ns = self._clock.mono_ns() + round(delay * SECOND_NS)
        self._restarts += 1
        return ""

    def _ask_to_stop(self, now_ns: int) -> None:
        self._stop_asked_ns = now_ns
        if self._watch is None:
            return
        try:
            ask(self.run_dir, Command.STOP, SUPERVISOR)
        except CommandError as error:
            # The engine is then ended after the stop timeout; the run stays resumable either way.
            self._incidents.add(Severity.WARNING, SUPERVISOR, "stop could not be asked", str(error))

    # ---- rows

    def _exited(self, name: str, pid: int, code: int, reason: str, *, abnormal: bool) -> None:
        announced = abnormal and self._use_announcement(name)
        self._ops.write(ProcessExited(self._clock.wall_ns(), name, pid, code, reason, abnormal, announced))

    def _use_announcement(self, name: str) -> bool:
        since_ns = self._clock.wall_ns() - round(self._options.announced_seconds * SECOND_NS)
        self._announced = [row for row in self._announced if row.ts_ns >= since_ns]
        for row in self._announced:
            if row.target == name:
                self._announced.remove(row)
                return True
        return False

    def _write_announcement(self, fault: str, target: str) -> None:
        row = FaultAnnounced(self._clock.wall_ns(), fault, target)
        self._ops.write(row)
        self._announced.append(row)

    def _watch_host(self, now_ns: int) -> None:
        row: OpsRow | None = self._host.tick()
        if row is None:
            return
        self._ops.write(row)
        if isinstance(row, HostSlept) and self._watch is not None:
            # What waits in the pipes was said before the sleep: it opens no new segment.
            was_open = bool(self._segments.number)
            self._segments.close("slept")
            self._read_engine(now_ns)
            self._watch.heard_ns = now_ns
            self._reopen = "slept" if was_open else self._reopen

    def _take_from_threads(self) -> None:
        while self._reports:
            self._incidents.add(*self._reports.popleft())
        while self._inbox:
            fault, target, done = self._inbox.popleft()
            self._write_announcement(fault, target)
            done.set()

    def _tick(self, now_ns: int) -> None:
        self._tick_at_ns = now_ns + round(self._options.check_interval_seconds * SECOND_NS)
        self._read_logs()
        if self._segments.number and now_ns >= self._sample_at_ns:
            self._sample_at_ns = now_ns + round(self._options.sample_interval_seconds * SECOND_NS)
            self._sample(now_ns)
        if not self._ops.flush():
            self._incidents.add(Severity.ERROR, SUPERVISOR, "ops journal refused", self._ops.refused)
        self._beat()
        self._show()

    def _read_logs(self) -> None:
        try:
            if self._logs.poll():
                self._wake.set()
        except OSError as error:
            self._incidents.add(Severity.WARNING, SUPERVISOR, "log file not readable", str(error))

    def _sample(self, now_ns: int) -> None:
        use = process_use(self._watch.child.pid) if self._watch is not None else None
        if use is None:
            return
        files, beat = run_files(self.run_dir), self._last_heartbeat or Heartbeat()
        self._ops.write(
            HostSampled(
                ts_ns=self._clock.wall_ns(), segment=self._segments.number,
                mono_ns=self._segments.last_mono_ns, market_ns=self._segments.last_market_ns,
                rss_bytes=use.rss_bytes, cpu_seconds=use.cpu_seconds, handles=use.handles,
                threads=use.threads, loop_lag_p50_ms=beat.lag_p50_ms, loop_lag_p99_ms=beat.lag_p99_ms,
                journal_bytes=files.journal_bytes, tape_bytes=files.tape_bytes, log_bytes=files.log_bytes,
            )
        )  # fmt: skip
        self._ops.checkpoint()

    def _beat(self) -> None:
        segments = self._segments
        beat = Beat(
            segments.number, self._clock.boot_id, segments.last_mono_ns, segments.last_market_ns,
            self._clock.wall_ns(), self._logs.offsets,
        )  # fmt: skip
        try:
            write_beat(self.run_dir, beat)
        except OSError as error:
            self._incidents.add(Severity.WARNING, SUPERVISOR, "beat not written", str(error))

    def _show(self) -> None:
        if self._on_progress is None:
            return
        try:
            self._on_progress(self._view())
        except Exception as error:  # noqa: BLE001  (a broken display must not end a run)
            self._on_progress = None
            self._report_uncaught("progress display", error)

    def _view(self) -> RunView:
        watch, count = self._watch, self._incidents.count
        state = "running" if watch is not None and watch.ready else "starting"
        if watch is None:
            state = "restarting"
        return RunView(
            run_id=self.run_dir.name, state="stopping" if self._stops else state,
            pid=watch.child.pid if watch is not None else 0, run_ns=self._segments.run_ns,
            planned_seconds=self._options.planned_seconds, restarts=self._restarts,
            warnings=count[Severity.WARNING], errors=count[Severity.ERROR] + count[Severity.CRITICAL],
            heartbeat=self._last_heartbeat, checkpoint=watch.checkpoint if watch is not None else None,
        )  # fmt: skip

    # ---- trouble of our own

    def _report_uncaught(self, where: str, error: BaseException) -> None:
        text = "".join(traceback.format_exception(error))[-500:]
        self._reports.append((Severity.ERROR, SUPERVISOR, f"{type(error).__name__} in {where}", text))
        self._wake.set()

    def _abandon(self, error: BaseException) -> None:
        """The loop itself broke: end the engine, say why; the run can be resumed."""
        text = "".join(traceback.format_exception(error))[-500:]
        self._incidents.add(Severity.CRITICAL, SUPERVISOR, f"{type(error).__name__} in the loop", text)
        if self._watch is not None:
            code = self._watch.child.kill()
            self._segments.close("crashed")
            self._exited(ENGINE, self._watch.child.pid, code, "its supervisor broke", abnormal=True)
            self._watch.child.close()
        reason = f"uncaught {type(error).__name__}: {error}"[:500]
        self._exited(SUPERVISOR, os.getpid(), 1, reason, abnormal=True)

    def _pause_seconds(self) -> float:
        until_ns = self._tick_at_ns
        if self._watch is None:
            until_ns = min(until_ns, self._restart_at_ns)
        return min(self._options.check_interval_seconds, (until_ns - self._clock.mono_ns()) / SECOND_NS)

    def _account(self) -> str:
        return self._options.account or str(self.run_dir.resolve())

    def _result(self, reason: str) -> RunResult:
        rows = read_ops(self.run_dir / OPS_FILE)
        restarts, codes, broke = 0, [], False
        for row in rows:
            if isinstance(row, ProcessStarted) and row.name == ENGINE:
                restarts, broke = restarts + broke, False
            elif isinstance(row, ProcessExited) and row.name == ENGINE:
                codes.append(row.code)
                broke = row.abnormal
        spans = tuple(segment_spans(rows))
        return RunResult(reason, restarts, tuple(codes), spans, sum(span.run_ns for span in spans))
