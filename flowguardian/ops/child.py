"""A child process of the supervisor: its stdout and stderr, both drained by threads.

Rule: the child is never held up by this process: pipes are always emptied, queues are bounded and drop their
oldest line, and what was dropped is counted.
"""

from __future__ import annotations

import contextlib
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from flowguardian.journal.ops_events import Severity
from flowguardian.ops.incidents import IncidentBook, TracebackFinder
from flowguardian.ops.platform_process import kill_tree, request_stop, start_child, start_time_of

QUEUED_LINES = 4096
LINE_BYTES = 1 << 16
"""A longer line is taken in pieces: a child that never ends its line must not fill the memory."""
JOIN_SECONDS = 2.0
STDERR_BYTES = 50 * 1024 * 1024
"""Kept stderr of a process over a run; more is counted as an incident and left out."""


class LineQueue:
    """Lines of one stream, taken by a thread of its own; full means the oldest is dropped and counted."""

    def __init__(self, stream: IO[bytes] | None, name: str, on_line: Callable[[], None]) -> None:
        self._lines: deque[str] = deque(maxlen=QUEUED_LINES)
        self._lock = threading.Lock()
        self._stream, self._on_line = stream, on_line
        self._dropped = 0
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self._drain, name=f"drain {name}", daemon=True)
        self.thread.start()

    def take(self) -> list[str]:
        """Lines that arrived since the last call."""
        with self._lock:
            lines = list(self._lines)
            self._lines.clear()
        return lines

    def take_dropped(self) -> int:
        """Lines dropped since the last call."""
        with self._lock:
            dropped, self._dropped = self._dropped, 0
        return dropped

    def _drain(self) -> None:
        while self._stream is not None and (piece := self._stream.readline(LINE_BYTES)):
            line = piece.decode("utf-8", errors="replace").rstrip("\r\n")
            with self._lock:
                self._dropped += len(self._lines) == QUEUED_LINES
                self._lines.append(line)
            self._on_line()
        self.ended.set()
        self._on_line()


class Child:
    """A running process of a run."""

    def __init__(self, name: str, argv: Sequence[str], wake: Callable[[], None]) -> None:
        self._process = start_child(argv, cwd=None, environment={})
        self.pid = self._process.pid
        # A child that already ended is still a zombie of ours, so its start time can be read.
        self.start_time = start_time_of(self.pid) or 0.0
        self.stdout = LineQueue(self._process.stdout, f"{name} stdout", wake)
        self.stderr = LineQueue(self._process.stderr, f"{name} stderr", wake)

    def exit_code(self) -> int | None:
        """Exit code, negative for a signal on POSIX; None while it runs."""
        return self._process.poll()

    def broken_drain(self) -> str:
        """Name of a drain thread that died before its stream ended, "" when all are well."""
        for lines in (self.stdout, self.stderr):
            if not lines.thread.is_alive() and not lines.ended.is_set():
                return lines.thread.name
        return ""

    def ask_to_stop(self) -> None:
        """Ask it to end in order, as far as this system can."""
        request_stop(self.pid, self.start_time)

    def wait(self, seconds: float) -> int | None:
        """Its exit code once it has ended, None when it still runs after so long."""
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def kill(self) -> int:
        """Kill it with everything it started; returns its exit code."""
        kill_tree(self.pid, self.start_time)
        self._process.kill()
        return self._process.wait()

    def close(self) -> None:
        """After its end: kill what it left behind, let the threads read to the end, close the pipes."""
        kill_tree(self.pid, self.start_time)
        for lines in (self.stdout, self.stderr):
            lines.thread.join(JOIN_SECONDS)
        with contextlib.suppress(OSError):
            if self._process.stdin is not None:
                self._process.stdin.close()
        for lines, pipe in ((self.stdout, self._process.stdout), (self.stderr, self._process.stderr)):
            # Closing a pipe another thread still reads would block; such a thread is left to the end.
            if pipe is not None and not lines.thread.is_alive():
                pipe.close()


class Stderr:
    """What a child writes to stderr: kept in a file for eyes, its tracebacks become incidents."""

    def __init__(self, child: Child, source: str, incidents: IncidentBook, log_dir: Path) -> None:
        self._child, self._source, self._incidents = child, source, incidents
        self._path = log_dir / f"{source}-stderr.log"
        self._full = False
        self._tracebacks = TracebackFinder(self._traceback)
        self.last = ""
        """The last line that says something."""

    def take(self) -> None:
        """Read what came since the last call."""
        lines = self._child.stderr.take()
        dropped = self._child.stderr.take_dropped()
        if dropped:
            text = f"{dropped} lines of the {self._source}'s stderr dropped: it spoke faster than it was read"
            self._incidents.add(Severity.WARNING, self._source, "stderr queue full", text)
        for line in lines:
            self._tracebacks.feed(line)
            self.last = line.strip() or self.last
        if lines:
            self._keep(lines)

    def flush(self) -> None:
        """The child ended: a traceback that it began is complete."""
        self._tracebacks.flush()

    def _traceback(self, what: str, text: str) -> None:
        self._incidents.add(Severity.ERROR, self._source, what, text)

    def _keep(self, lines: list[str]) -> None:
        stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        try:
            with self._path.open("a", encoding="utf-8", errors="backslashreplace") as file:
                if file.tell() < STDERR_BYTES:
                    file.writelines(f"{stamp} {self._child.pid} {line}\n" for line in lines)
                elif not self._full:
                    self._full = True
                    text = f"{self._path.name} reached {STDERR_BYTES} bytes, further lines are not kept"
                    self._incidents.add(Severity.WARNING, self._source, "stderr file full", text)
        except OSError as error:
            self._incidents.add(Severity.WARNING, self._source, "stderr could not be kept", str(error))
