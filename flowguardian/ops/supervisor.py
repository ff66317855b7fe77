"""The supervisor: starts the engine, watches it, starts it again, and writes down everything that happened.

Rule: it holds no trading logic and decides nothing about a trade; whatever ends, ends with a written reason.
One thread does everything in turns of at most the check interval; other threads only hand it things.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import msgspec

from flowguardian.execution.events import Command
from flowguardian.journal.ops_events import (
    FeedSampled,
    HostSlept,
    PreflightChecked,
    ProcessStarted,
    RunFinished,
    Severity,
)
from flowguardian.ops.build import build
from flowguardian.ops.child import Child
from flowguardian.ops.commands import CommandError, ask, withdraw
from flowguardian.ops.engine_child import EXIT_CONFIG, EngineEvent, Heartbeat, Quality, Ready
from flowguardian.ops.engine_watch import End, EngineWatch, Limits
from flowguardian.ops.host_watch import SECOND_NS, Clock, HostWatch
from flowguardian.ops.log import report_uncaught
from flowguardian.ops.ops_journal import FILE_NAME as OPS_FILE
from flowguardian.ops.ops_journal import read_ops
from flowguardian.ops.ownership import locks_of, owned
from flowguardian.ops.platform_power import keep_awake
from flowguardian.ops.platform_process import start_time_of
from flowguardian.ops.platform_signals import Wake, on_stop_signal
from flowguardian.ops.preflight import is_red
from flowguardian.ops.progress import RunView
from flowguardian.ops.recovery import Past, read_past
from flowguardian.ops.registry import Registered, Registry
from flowguardian.ops.run_record import Reports, RunRecord, tail_of
from flowguardian.ops.run_result import (
    ENGINE,
    SUPERVISOR,
    RunResult,
    SupervisorOptions,
    restart_delay_seconds,
    result_of,
)
from flowguardian.ops.segments import HostClock
from flowguardian.ops.side_children import Side, SideChildren
from flowguardian.ops.words import Words

__all__ = ["RunResult", "Supervisor", "SupervisorOptions"]

LOG_DIRECTORY = "logs"

Preflight = Callable[[bool, Sequence[Words]], Sequence[PreflightChecked]]
"""Called with whether this is the run's first start, and with the locks taken over from the dead.

A red line keeps the engine from starting.
"""


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
        sides: Sequence[Side] = (),
    ) -> None:
        self.run_dir, self._argv = run_dir, list(argv)
        self._options = options or SupervisorOptions()
        self._on_progress, self._preflight = on_progress, preflight
        self._registry = registry or Registry()
        self._clock: Clock = clock or HostClock()
        self._sides_wanted = sides
        self._wake = Wake()
        self._reports = Reports(self._wake.set)
        self._account = self._options.account or str(run_dir.resolve())
        self._loop_thread: int | None = None
        self._stops = 0
        self._stop_reason = "interrupted"
        self._begun_run_ns = 0
        self._stop_asked_ns: int | None = None
        self._watch: EngineWatch | None = None
        self._entry: Registered | None = None
        self._start_reason = "first start"
        self._start_at_ns = self._sample_at_ns = self._tick_at_ns = 0
        self._reopen = ""
        """Why the next sign of life opens a segment, "" when none is to be opened."""
        self._attempts = self._restarts = self._best_market_ns = 0
        self._heartbeat: Heartbeat | None = None

    # ---- for other threads and signal handlers

    def request_stop(self, why: str = "asked") -> None:
        """Stop gracefully and leave a run that can be resumed; asked twice, the engine is ended at once."""
        self._stops += 1
        self._wake.set()

    def announce(self, fault: str, target: str) -> None:
        """Write durably that a fault is about to be injected.

        The next abnormal end of `target` (engine, supervisor, a side by its name) is then an announced one.
        Raises TimeoutError when no loop takes it.
        """
        if threading.get_ident() == self._loop_thread:
            self._record.announce(fault, target)
        else:
            self._reports.fault(fault, target)

    # ---- the run

    def run(self) -> RunResult:
        """Supervise until the run ends. Raises LockHeld when another process supervises it already."""
        log_dir = self.run_dir / LOG_DIRECTORY
        log_dir.mkdir(parents=True, exist_ok=True)
        ops_path = self.run_dir / OPS_FILE
        with ExitStack() as stack:
            locks = locks_of(self.run_dir, self._account, self._registry.directory.parent)
            self._owned = stack.enter_context(owned(locks, f"{SUPERVISOR} of run {self.run_dir.name}"))
            past = read_past(read_ops(ops_path))
            reason = past.finished
            if reason != "completed":
                options = self._options
                self._record = RunRecord(self.run_dir, log_dir, self._clock, past, options.announced_seconds)
                stack.callback(self._record.close)
                self._sides = SideChildren(
                    self._sides_wanted, self._record, self._registry, options, self._clock, self._wake.set,
                    log_dir, self.run_dir.name, self._account,
                )  # fmt: skip
                self._begin(past, stack)
                reason = self._guarded(past)
        return result_of(reason, read_ops(ops_path))

    def _begin(self, past: Past, stack: ExitStack) -> None:
        options = self._options
        self._loop_thread = threading.get_ident()
        self._best_market_ns = past.best_market_ns
        self._begun_run_ns = self._record.segments.run_ns
        if not past.first_start:
            self._start_reason = "resumed"
        entry = self._registry.register(SUPERVISOR, self.run_dir.name, account=self._account)
        stack.callback(self._registry.unregister, entry)
        stack.callback(report_uncaught(self._reports.uncaught))
        stack.enter_context(on_stop_signal(self.request_stop))
        if options.keep_awake:
            stack.enter_context(keep_awake())
        # Last, so that a slow beginning is not taken for sleep.
        self._host = HostWatch(
            self._clock, sleep_gap_seconds=options.sleep_gap_seconds, step_seconds=options.clock_step_seconds
        )

    def _guarded(self, past: Past) -> str:
        me, record = os.getpid(), self._record
        record.write(ProcessStarted(self._clock.wall_ns(), SUPERVISOR, me, start_time_of(me) or 0.0))
        record.write(build(self._clock.wall_ns()))
        try:
            withdraw(self.run_dir, Command.STOP, SUPERVISOR)
            reason = self._checked(first_start=past.first_start) or self._loop()
        except BaseException as error:
            self._abandon(error)
            raise
        self._sides.stop()
        self._reports.take(record)
        record.exited(SUPERVISOR, me, 0, reason, abnormal=False)
        record.write(RunFinished(self._clock.wall_ns(), reason))
        record.beat()
        return reason

    def _checked(self, *, first_start: bool) -> str:
        lines = self._preflight(first_start, self._owned.taken_over) if self._preflight is not None else ()
        for line in lines:
            self._record.write(line)
        return "preflight" if is_red(lines) else ""

    def _loop(self) -> str:
        while True:
            now_ns = self._clock.mono_ns()
            self._watch_host(now_ns)
            self._reports.take(self._record)
            outcome = self._turn(now_ns)
            if outcome or now_ns >= self._tick_at_ns:
                self._tick(now_ns)
            if outcome:
                return outcome
            self._wake.wait(self._pause_seconds())

    def _turn(self, now_ns: int) -> str:
        """One look at the engine; the reason of the run's end, "" while it goes on."""
        lost = self._sides.turn(now_ns)
        if self._watch is None:
            if self._stops:
                return "interrupted"
            if lost:
                self._record.incidents.add(Severity.ERROR, SUPERVISOR, "a needed process does not stay", lost)
                return "failed_to_restart"
            wanted = now_ns >= self._start_at_ns and self._sides.ready
            return self._start_engine(now_ns) if wanted else ""
        if self._segment_is_over() and not self._stops:
            self._stop_reason = "stopped"
            self._stops = 1
        if self._stops and self._stop_asked_ns is None:
            self._ask_to_stop(now_ns)
        # The exit first, the pipes after it: what was said before the end is then surely in them.
        code = self._watch.child.exit_code()
        self._listen(self._watch, now_ns)
        if code is not None:
            return self._engine_ended(self._watch, code, "")
        why = self._watch.overdue(now_ns, self._stop_asked_ns, at_once=self._stops > 1)
        return self._engine_ended(self._watch, self._watch.child.kill(), why) if why else ""

    def _segment_is_over(self) -> bool:
        """Whether this start has had the run time that it was given."""
        run_ns = self._record.segments.run_ns - self._begun_run_ns
        return run_ns >= self._options.segment_seconds * SECOND_NS

    # ---- the engine

    def _start_engine(self, now_ns: int) -> str:
        options = self._options
        try:
            child = Child(ENGINE, self._argv, self._wake.set)
        except OSError as error:
            self._record.incidents.add(Severity.ERROR, SUPERVISOR, "engine could not be started", str(error))
            return self._plan_restart()
        limits = Limits(
            options.start_timeout_seconds, options.hang_timeout_seconds, options.stop_timeout_seconds
        )
        log_dir = self.run_dir / LOG_DIRECTORY
        self._watch = EngineWatch(child, limits, self._record.incidents, log_dir, now_ns)
        self._reopen, self._start_reason = self._start_reason, "restarted"
        self._record.write(ProcessStarted(self._clock.wall_ns(), ENGINE, child.pid, child.start_time))
        try:
            self._entry = self._registry.register(
                ENGINE, self.run_dir.name, account=self._account, pid=child.pid, parent_pid=os.getpid()
            )
        except ProcessLookupError:
            # It ended already; the next turn reads its exit code.
            self._entry = None
        return ""

    def _listen(self, watch: EngineWatch, now_ns: int) -> None:
        for event in watch.read(now_ns):
            self._hear(watch, event, now_ns)

    def _hear(self, watch: EngineWatch, event: EngineEvent, now_ns: int) -> None:
        segments = self._record.segments
        if isinstance(event, Quality):
            self._record.write(FeedSampled(self._clock.wall_ns(), **msgspec.structs.asdict(event)))
        if not isinstance(event, Ready | Heartbeat):
            segments.alive(now_ns, segments.last_market_ns)
            return
        if watch.ready and self._reopen:
            segments.open(now_ns, event.market_ns, watch.child.pid, self._reopen)
            self._reopen, self._sample_at_ns = "", now_ns
        segments.alive(now_ns, event.market_ns)
        if isinstance(event, Heartbeat):
            self._heartbeat = event
            if event.market_ns > self._best_market_ns:
                self._best_market_ns, self._attempts = event.market_ns, 0

    def _engine_ended(self, watch: EngineWatch, code: int, killed_because: str) -> str:
        watch.child.close()
        self._listen(watch, self._clock.mono_ns())
        end = watch.ended(code, killed_because, self._stop_reason if self._stops else "")
        while self._record.read_logs():
            # The last words of the engine are read before its end is written.
            continue
        self._record.segments.close(end.segment_reason)
        self._record.exited(ENGINE, watch.child.pid, code, end.reason, abnormal=end.abnormal)
        if self._entry is not None:
            self._registry.unregister(self._entry)
        self._watch = self._entry = None
        return self._outcome(watch, end)

    def _outcome(self, watch: EngineWatch, end: End) -> str:
        if watch.finished == "completed":
            return "completed"
        if self._stops:
            return self._stop_reason
        if watch.finished:
            return "stopped"
        return "config_error" if end.code == EXIT_CONFIG else self._plan_restart()

    def _plan_restart(self) -> str:
        self._attempts += 1
        if self._attempts > self._options.max_restarts:
            return "failed_to_restart"
        delay_ns = round(restart_delay_seconds(self._options, self._attempts) * SECOND_NS)
        self._start_at_ns = self._clock.mono_ns() + delay_ns
        self._restarts += 1
        return ""

    def _ask_to_stop(self, now_ns: int) -> None:
        self._stop_asked_ns = now_ns
        try:
            ask(self.run_dir, Command.STOP, SUPERVISOR)
        except CommandError as error:
            # The engine is then ended after the stop timeout; the run stays resumable either way.
            self._record.incidents.add(Severity.WARNING, SUPERVISOR, "stop could not be asked", str(error))

    # ---- the host and the display

    def _watch_host(self, now_ns: int) -> None:
        row = self._host.tick()
        if row is None:
            return
        self._record.write(row)
        if isinstance(row, HostSlept) and self._watch is not None:
            was_open = bool(self._record.segments.number)
            self._record.segments.close("slept")
            # What waits in the pipes was said before the sleep: it opens no new segment.
            self._listen(self._watch, now_ns)
            self._watch.heard_ns = now_ns
            self._reopen = "slept" if was_open else self._reopen

    def _tick(self, now_ns: int) -> None:
        self._tick_at_ns = now_ns + round(self._options.check_interval_seconds * SECOND_NS)
        if self._record.read_logs():
            self._wake.set()
        if self._watch is not None and self._record.segments.number and now_ns >= self._sample_at_ns:
            self._sample_at_ns = now_ns + round(self._options.sample_interval_seconds * SECOND_NS)
            self._record.sample(self._watch.child.pid, self._heartbeat or Heartbeat())
        self._record.beat()
        if self._on_progress is None:
            return
        try:
            self._on_progress(self._view())
        except Exception as error:  # noqa: BLE001  (a broken display must not end a run)
            self._on_progress = None
            self._reports.uncaught("the progress display", error)

    def _view(self) -> RunView:
        watch, count = self._watch, self._record.incidents.count
        state = "running" if watch is not None and watch.ready else "starting"
        if watch is None:
            state = "restarting" if self._restarts else "starting"
        return RunView(
            run_id=self.run_dir.name, state="stopping" if self._stops else state,
            pid=watch.child.pid if watch is not None else 0, run_ns=self._record.segments.run_ns,
            planned_seconds=self._options.planned_seconds, restarts=self._restarts,
            warnings=count[Severity.WARNING], errors=count[Severity.ERROR] + count[Severity.CRITICAL],
            heartbeat=self._heartbeat, checkpoint=watch.checkpoint if watch is not None else None,
        )  # fmt: skip

    def _pause_seconds(self) -> float:
        until_ns = self._tick_at_ns
        if self._watch is None:
            until_ns = min(until_ns, self._start_at_ns)
        return min(self._options.check_interval_seconds, (until_ns - self._clock.mono_ns()) / SECOND_NS)

    def _abandon(self, error: BaseException) -> None:
        """The loop itself broke: end the engine, say why; the run can be resumed."""
        record = self._record
        record.incidents.add(
            Severity.CRITICAL, SUPERVISOR, f"{type(error).__name__} in the loop", tail_of(error)
        )
        if self._watch is not None:
            child = self._watch.child
            code = child.kill()
            child.close()
            record.segments.close("crashed")
            record.exited(ENGINE, child.pid, code, "its supervisor broke", abnormal=True)
        self._sides.stop()
        reason = f"uncaught {type(error).__name__}: {error}"[:500]
        record.exited(SUPERVISOR, os.getpid(), 1, reason, abnormal=True)
