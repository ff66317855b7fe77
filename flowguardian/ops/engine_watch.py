"""One lifetime of the engine as its supervisor sees it: what it said, whether it is overdue, why it ended.

Rule: an end is in order only if the engine said so and left with 0; everything else is abnormal.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec

from flowguardian.journal.ops_events import Severity
from flowguardian.ops.child import Child, Stderr
from flowguardian.ops.engine_child import (
    EXIT_CONFIG,
    EXIT_FAULT,
    EXIT_FINISHED,
    Checkpoint,
    EngineEvent,
    Fault,
    Finished,
    Heartbeat,
    Ready,
    decode_event,
)
from flowguardian.ops.host_watch import SECOND_NS
from flowguardian.ops.incidents import IncidentBook

SOURCE = "engine"
AT_ONCE = "ended at once, as asked by a second interrupt"


@dataclass(frozen=True, slots=True)
class Limits:
    """How long an engine may be silent, in seconds."""

    start_seconds: float
    hang_seconds: float
    stop_seconds: float


@dataclass(frozen=True, slots=True)
class End:
    """How a lifetime ended; `segment_reason` is for its open segment."""

    code: int
    reason: str
    abnormal: bool
    segment_reason: str


class EngineWatch:
    """Reads one child and judges its silence and its end."""

    def __init__(
        self, child: Child, limits: Limits, incidents: IncidentBook, log_dir: Path, now_ns: int
    ) -> None:
        self.child = child
        self._limits, self._incidents = limits, incidents
        self._stderr = Stderr(child, SOURCE, incidents, log_dir)
        self.heard_ns = now_ns
        self.ready = False
        self.finished = ""
        self.fault = ""
        self.heartbeat: Heartbeat | None = None
        self.checkpoint: Checkpoint | None = None

    def read(self, now_ns: int) -> list[EngineEvent]:
        """Take what the child said since the last call."""
        self._stderr.take()
        dropped = self.child.stdout.take_dropped()
        if dropped:
            # The oldest went, and the ready line is the oldest of all.
            self.ready = True
            text = f"{dropped} lines of the engine's stdout dropped: it spoke faster than it was read"
            self._incidents.add(Severity.WARNING, SOURCE, "stdout queue full", text)
        events = [event for line in self.child.stdout.take() if (event := self._event(line)) is not None]
        if events:
            self.heard_ns = now_ns
        return events

    def _event(self, line: str) -> EngineEvent | None:
        try:
            event = decode_event(line)
        except msgspec.DecodeError:
            if line.strip():
                self._incidents.add(Severity.WARNING, SOURCE, "stdout line that is no event", line)
            return None
        match event:
            case Ready():
                self.ready = True
            case Heartbeat():
                self.heartbeat = event
            case Checkpoint():
                self.checkpoint = event
            case Finished():
                self.finished = event.reason
            case Fault():
                self.fault = event.reason
        return event

    def overdue(self, now_ns: int, stop_asked_ns: int | None, *, at_once: bool = False) -> str:
        """Why the child has to be killed now, "" while it is in order."""
        if at_once:
            return AT_ONCE
        silent = (now_ns - self.heard_ns) / SECOND_NS
        broken = self.child.broken_drain()
        if broken:
            return f"hung: the thread `{broken}` of the supervisor died, the engine cannot be heard"
        if self.finished:
            limit = self._limits.stop_seconds
            return f"hung: said finished and did not exit for {limit:g} s" if silent > limit else ""
        if stop_asked_ns is not None and (now_ns - stop_asked_ns) / SECOND_NS > self._limits.stop_seconds:
            return f"ignored the stop for {self._limits.stop_seconds:g} s"
        limit = self._limits.hang_seconds if self.ready else self._limits.start_seconds
        if silent > limit:
            what = "no heartbeat" if self.ready else "not ready"
            return f"hung: {what} for {limit:g} s"
        return ""

    def ended(self, code: int, killed_because: str, stop_reason: str) -> End:
        """Judge an end; call after `read` has taken the last lines. `stop_reason` "": nobody asked."""
        self._stderr.flush()
        if killed_because:
            segment_reason = "hung" if killed_because.startswith("hung") else "interrupted"
            return End(code, killed_because, killed_because != AT_ONCE, segment_reason)
        if self.finished and code == EXIT_FINISHED:
            in_order = "finished" if self.finished == "completed" else "stopped"
            return End(code, self.finished, False, stop_reason or in_order)
        return End(code, self._abnormal_reason(code), True, "finished" if self.finished else "crashed")

    def _abnormal_reason(self, code: int) -> str:
        said = self.fault or self._stderr.last
        if self.finished:
            return f"{self.finished}, then exit code {code}"
        if code == EXIT_CONFIG:
            return f"config error: {said}"[:500]
        if code == EXIT_FAULT:
            return f"fault: {said or 'no reason given'}"[:500]
        if code == EXIT_FINISHED:
            return "exit code 0 without a finished event"
        return f"killed by signal {-code}" if code < 0 else f"crashed with exit code {code}"
