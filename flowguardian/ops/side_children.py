"""The children of a supervisor beside the engine: the local venue, and whatever looks at a run from outside.

Rule: each is started, heard, restarted with growing delay, and ended by its own handle. The engine waits only
for those it needs; none of the others can hold it up.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from flowguardian.journal.ops_events import ProcessStarted, Severity
from flowguardian.ops.child import Child, Stderr
from flowguardian.ops.host_watch import SECOND_NS, Clock
from flowguardian.ops.platform_files import atomic_write
from flowguardian.ops.registry import Registered, Registry
from flowguardian.ops.run_record import RunRecord
from flowguardian.ops.run_result import SupervisorOptions, restart_delay_seconds

_GOOD_NS = 60 * SECOND_NS
"""A child that lived this long was well: the next delay is the first again."""


@dataclass(frozen=True, slots=True)
class Side:
    """A program to run beside the engine. Its first line on stdout says that it is ready."""

    name: str
    argv: Sequence[str]
    needed: bool = False
    """The engine starts only when it is ready."""
    ready_file: Path | None = None
    """Where its ready line is put for others to read."""
    stop_seconds: float | None = None
    """How long it may take to end in order, where that is longer than the others may take."""
    on_ready: Callable[[str], None] | None = None
    """Told the ready line of each lifetime; it must return at once."""
    argv_again: Callable[[str], Sequence[str]] | None = None
    """The command of a restart, given the first ready line (to keep an address)."""


class SideChildren:
    """All of them; used by the supervisor's loop only."""

    def __init__(
        self,
        sides: Sequence[Side],
        record: RunRecord,
        registry: Registry,
        options: SupervisorOptions,
        clock: Clock,
        wake: Callable[[], None],
        log_dir: Path,
        run_id: str,
        account: str,
    ) -> None:
        def make(side: Side) -> _Running:
            return _Running(side, record, registry, options, clock, wake, log_dir, (run_id, account))

        self._all = [make(side) for side in sides]
        self._stop_seconds = options.side_stop_seconds

    @property
    def ready(self) -> bool:
        """Whether everything that the engine needs is there."""
        return all(one.ready for one in self._all if one.side.needed)

    def turn(self, now_ns: int) -> str:
        """Look at each; returns why the run cannot go on, "" as a rule."""
        whys = [one.turn(now_ns) for one in self._all]
        return next((why for why, one in zip(whys, self._all, strict=True) if why and one.side.needed), "")

    def stop(self) -> None:
        """End them in order, the ones that are needed last."""
        for needed in (False, True):
            asked = [one for one in self._all if one.side.needed is needed and one.ask_to_stop()]
            for one in asked:
                one.end(one.side.stop_seconds or self._stop_seconds)


class _Running:
    """One side child over its lifetimes."""

    def __init__(
        self,
        side: Side,
        record: RunRecord,
        registry: Registry,
        options: SupervisorOptions,
        clock: Clock,
        wake: Callable[[], None],
        log_dir: Path,
        names: tuple[str, str],
    ) -> None:
        self.side = side
        self._record, self._registry, self._options = record, registry, options
        self._clock, self._wake, self._log_dir = clock, wake, log_dir
        self._run_id, self._account = names
        self._child: Child | None = None
        self._entry: Registered | None = None
        self._first_line = ""
        self._start_at_ns = self._started_ns = 0
        self._attempts = 0
        self.ready = False

    def turn(self, now_ns: int) -> str:
        if self._child is None:
            return self._start(now_ns) if now_ns >= self._start_at_ns else ""
        code = self._child.exit_code()
        self._listen()
        if code is not None:
            return self._ended(now_ns, code)
        late = (now_ns - self._started_ns) / SECOND_NS > self._options.start_timeout_seconds
        if late and not self.ready:
            return self._ended(now_ns, self._child.kill(), "hung: not ready")
        return ""

    def _start(self, now_ns: int) -> str:
        argv, again = self.side.argv, self.side.argv_again
        if self._first_line and again is not None:
            argv = again(self._first_line)
        self._started_ns = now_ns
        try:
            child = Child(self.side.name, argv, self._wake)
        except OSError as error:
            what = f"{self.side.name} could not be started"
            self._record.incidents.add(Severity.ERROR, self.side.name, what, str(error))
            return self._plan(now_ns)
        self._child = child
        self._stderr = Stderr(child, self.side.name, self._record.incidents, self._log_dir)
        self._record.write(ProcessStarted(self._clock.wall_ns(), self.side.name, child.pid, child.start_time))
        try:
            self._entry = self._registry.register(
                self.side.name, self._run_id, account=self._account, pid=child.pid, parent_pid=os.getpid()
            )
        except ProcessLookupError:
            self._entry = None  # It ended already; the next turn reads its exit code.
        return ""

    def _listen(self) -> None:
        if self._child is None:
            return
        self._stderr.take()
        # Only the first line of a lifetime is for this program; the queue is bounded and drops the rest.
        lines = self._child.stdout.take()
        self._child.stdout.take_dropped()
        if lines and not self.ready:
            self._hear_ready(lines[0])

    def _hear_ready(self, line: str) -> None:
        self._first_line = self._first_line or line
        if self.side.ready_file is not None:
            try:
                atomic_write(self.side.ready_file, line.encode())
            except OSError as error:
                what = f"{self.side.ready_file.name} could not be written"
                self._record.incidents.add(Severity.ERROR, self.side.name, what, str(error))
                return
        self.ready = True
        if self.side.on_ready is not None:
            self.side.on_ready(line)

    def _ended(self, now_ns: int, code: int, why: str = "") -> str:
        reason = why or (f"killed by signal {-code}" if code < 0 else f"exit code {code}")
        self._close(
            code, f"{reason}: {self._stderr.last}"[:500] if self._stderr.last else reason, abnormal=True
        )
        if now_ns - self._started_ns >= _GOOD_NS:
            self._attempts = 0
        return self._plan(now_ns)

    def _close(self, code: int, reason: str, *, abnormal: bool) -> None:
        if self._child is None:
            return
        self._child.close()
        self._listen()
        self._stderr.flush()
        self._record.exited(self.side.name, self._child.pid, code, reason, abnormal=abnormal)
        if self._entry is not None:
            self._registry.unregister(self._entry)
        self._child, self._entry, self.ready = None, None, False

    def _plan(self, now_ns: int) -> str:
        self._attempts += 1
        delay_ns = round(restart_delay_seconds(self._options, self._attempts) * SECOND_NS)
        self._start_at_ns = now_ns + delay_ns
        if self._attempts > self._options.max_restarts:
            return f"{self.side.name} ended {self._attempts} times in a row"
        return ""

    # ---- the end

    def ask_to_stop(self) -> bool:
        """Ask it to end in order; False when it does not run."""
        if self._child is None:
            return False
        self._child.ask_to_stop()
        return True

    def end(self, seconds: float) -> None:
        """Wait for its end, then end it."""
        child = self._child
        if child is None:
            return
        code = child.wait(seconds)
        if code is None:
            self._close(child.kill(), f"did not end within {seconds:g} s, was killed", abnormal=True)
        else:
            self._close(code, "stopped", abnormal=False)
