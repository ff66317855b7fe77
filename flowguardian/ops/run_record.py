"""The rows a supervisor writes: exits, announced faults, samples, incidents, and its own sign of life.

Rule: used by the supervisor's loop only; other threads hand their reports over and the loop takes them.
"""

from __future__ import annotations

import threading
import traceback
from collections import deque
from collections.abc import Callable
from pathlib import Path

from flowguardian.journal.ops_events import FaultAnnounced, HostSampled, OpsRow, ProcessExited, Severity
from flowguardian.ops.engine_child import Heartbeat
from flowguardian.ops.host_watch import SECOND_NS, Clock
from flowguardian.ops.incidents import SAMPLE_CHARACTERS, IncidentBook, LogWatch
from flowguardian.ops.ops_journal import FILE_NAME as OPS_FILE
from flowguardian.ops.ops_journal import OpsJournal, read_ops
from flowguardian.ops.recovery import Beat, Past, close_past, read_beat, write_beat
from flowguardian.ops.resources import process_use, run_files
from flowguardian.ops.run_result import SUPERVISOR
from flowguardian.ops.segments import SegmentBook, segment_spans

REPORTS_KEPT = 1000
"""Reports of other threads waiting for the loop; more drop the oldest, all are the same trouble by then."""
ANNOUNCE_TIMEOUT_SECONDS = 10.0


class Reports:
    """What other threads tell the loop: uncaught exceptions and faults about to be injected."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._uncaught: deque[tuple[Severity, str, str, str]] = deque(maxlen=REPORTS_KEPT)
        self._faults: deque[tuple[str, str, threading.Event]] = deque()

    def uncaught(self, where: str, error: BaseException) -> None:
        """An exception nobody caught in this process."""
        what = f"{type(error).__name__} in {where}"
        self._uncaught.append((Severity.ERROR, SUPERVISOR, what, tail_of(error)))
        self._wake()

    def fault(self, fault: str, target: str) -> None:
        """Hand over an announcement and wait until it is durable; raises TimeoutError without a loop."""
        done = threading.Event()
        self._faults.append((fault, target, done))
        self._wake()
        if not done.wait(ANNOUNCE_TIMEOUT_SECONDS):
            raise TimeoutError(f"fault {fault!r} could not be announced: no supervisor is running")

    def take(self, record: RunRecord) -> None:
        """The loop takes everything."""
        while self._uncaught:
            record.incidents.add(*self._uncaught.popleft())
        while self._faults:
            fault, target, done = self._faults.popleft()
            record.announce(fault, target)
            done.set()


class RunRecord:
    """Everything a supervisor writes down about its run."""

    def __init__(
        self, run_dir: Path, log_dir: Path, clock: Clock, past: Past, announced_seconds: float
    ) -> None:
        self._run_dir, self._clock = run_dir, clock
        self._announced_ns = round(announced_seconds * SECOND_NS)
        self._announced: list[FaultAnnounced] = []
        self.ops = OpsJournal(run_dir / OPS_FILE)
        beat = read_beat(run_dir)
        close_past(past, beat, self.ops, clock, announced_seconds)
        rows = read_ops(run_dir / OPS_FILE)
        self.incidents = IncidentBook(self.ops.write, clock.wall_ns)
        self.incidents.restore(rows)
        self.logs = LogWatch(log_dir, self.incidents.add)
        self.logs.offsets = dict(beat.log_offsets)
        self.segments = SegmentBook(self.ops.write, clock.wall_ns, clock.boot_id, segment_spans(rows))

    def write(self, row: OpsRow) -> None:
        """Append a row."""
        self.ops.write(row)

    def exited(self, name: str, pid: int, code: int, reason: str, *, abnormal: bool) -> None:
        """A process ended; an abnormal end uses up one announcement for it."""
        announced = abnormal and self._use_announcement(name)
        self.write(ProcessExited(self._clock.wall_ns(), name, pid, code, reason, abnormal, announced))

    def announce(self, fault: str, target: str) -> None:
        """A fault is about to be injected."""
        row = FaultAnnounced(self._clock.wall_ns(), fault, target)
        self.write(row)
        self._announced.append(row)

    def _use_announcement(self, name: str) -> bool:
        since_ns = self._clock.wall_ns() - self._announced_ns
        self._announced = [row for row in self._announced if row.ts_ns >= since_ns]
        for row in self._announced:
            if row.target == name:
                self._announced.remove(row)
                return True
        return False

    def sample(self, pid: int, beat: Heartbeat) -> None:
        """Write the resources of the engine at its last sign of life."""
        use = process_use(pid)
        if use is None:
            return
        files, segments = run_files(self._run_dir), self.segments
        self.write(
            HostSampled(
                ts_ns=self._clock.wall_ns(), segment=segments.number, mono_ns=segments.last_mono_ns,
                market_ns=segments.last_market_ns, rss_bytes=use.rss_bytes, cpu_seconds=use.cpu_seconds,
                handles=use.handles, threads=use.threads, loop_lag_p50_ms=beat.lag_p50_ms,
                loop_lag_p99_ms=beat.lag_p99_ms, journal_bytes=files.journal_bytes,
                tape_bytes=files.tape_bytes, log_bytes=files.log_bytes,
            )
        )  # fmt: skip
        self.ops.checkpoint()

    def read_logs(self) -> bool:
        """Look for incidents in the logs of all processes; True when there may be more to read at once."""
        try:
            return self.logs.poll()
        except OSError as error:
            self.incidents.add(Severity.WARNING, SUPERVISOR, "log file not readable", str(error))
            return False

    def beat(self) -> None:
        """Try again what the disk refused and leave a sign of life."""
        if not self.ops.flush():
            self.incidents.add(Severity.ERROR, SUPERVISOR, "ops journal refused", self.ops.refused)
        segments = self.segments
        beat = Beat(
            segments.number, self._clock.boot_id, segments.last_mono_ns, segments.last_market_ns,
            self._clock.wall_ns(), self.logs.offsets,
        )  # fmt: skip
        try:
            write_beat(self._run_dir, beat)
        except OSError as error:
            self.incidents.add(Severity.WARNING, SUPERVISOR, "beat not written", str(error))

    def close(self) -> None:
        """Write the last counts and close; raises ChainError when rows could not be written."""
        self.incidents.close()
        self.ops.close()


def tail_of(error: BaseException) -> str:
    """The end of a traceback: where it was raised and what it said."""
    return "".join(traceback.format_exception(error))[-SAMPLE_CHARACTERS:]
