"""The engine as a child process: its protocol on stdout, its stderr, both drained by threads.

Rule: the child is never held up by this process: pipes are always emptied, queues are bounded and drop their
oldest line, and what was dropped is counted.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

import msgspec

from flowguardian.ops.platform_process import kill_tree, start_child, start_time_of

QUEUED_LINES = 4096
LINE_BYTES = 1 << 16
"""A longer line is taken in pieces: a child that never ends its line must not fill the memory."""
JOIN_SECONDS = 2.0

EXIT_FINISHED, EXIT_CONFIG, EXIT_FAULT = 0, 2, 5


class Ready(msgspec.Struct, tag_field="event", tag="ready"):
    """The engine is live and fresh."""

    market_ns: int = 0


class Heartbeat(msgspec.Struct, tag_field="event", tag="heartbeat"):
    """Sent by the loop itself at least each wall second; money in 1e-8 USDT."""

    market_ns: int = 0
    run_ns: int = 0
    equity: int = 0
    budget_used: int = 0
    budget_allocated: int = 0
    entries: int = 0
    budget_caps: int = 0
    budget_blocks: int = 0
    open_positions: int = 0
    next_checkpoint: str = ""
    why: str = ""
    lag_p50_ms: float = 0.0
    lag_p99_ms: float = 0.0


class Checkpoint(msgspec.Struct, tag_field="event", tag="checkpoint"):
    """A checkpoint was taken; `line` is what people read about it."""

    name: str
    market_ns: int = 0
    run_ns: int = 0
    line: str = ""


class Finished(msgspec.Struct, tag_field="event", tag="finished"):
    """The engine is done: completed or stopped; it exits with 0 next."""

    reason: str


class Fault(msgspec.Struct, tag_field="event", tag="fault"):
    """The engine cannot go on and exits with 5 next."""

    reason: str


EngineEvent = Ready | Heartbeat | Checkpoint | Finished | Fault
_DECODER: msgspec.json.Decoder[EngineEvent] = msgspec.json.Decoder(EngineEvent)


def decode_event(line: str) -> EngineEvent:
    """One stdout line; raises msgspec.DecodeError (a ValidationError included) when it is none."""
    return _DECODER.decode(line)


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


class EngineChild:
    """A running engine process."""

    def __init__(
        self, argv: Sequence[str], cwd: Path | None, environment: Mapping[str, str], wake: Callable[[], None]
    ) -> None:
        self._process = start_child(argv, cwd=cwd, environment=environment)
        self.pid = self._process.pid
        # A child that already ended is still a zombie of ours, so its start time can be read.
        self.start_time = start_time_of(self.pid) or 0.0
        self.stdout = LineQueue(self._process.stdout, "engine stdout", wake)
        self.stderr = LineQueue(self._process.stderr, "engine stderr", wake)

    def exit_code(self) -> int | None:
        """Exit code, negative for a signal on POSIX; None while it runs."""
        return self._process.poll()

    def broken_drain(self) -> str:
        """Name of a drain thread that died before its stream ended, "" when all are well."""
        for lines in (self.stdout, self.stderr):
            if not lines.thread.is_alive() and not lines.ended.is_set():
                return lines.thread.name
        return ""

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
