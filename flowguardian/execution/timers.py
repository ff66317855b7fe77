"""Checkpoints of a run: the named ones and the evidence in between, all on clock rows.

Rule: a timer fires once, on the first clock row at or after its due moment of run time.
"""

from __future__ import annotations

MINUTE_NS = 60_000_000_000
NAMED = {5: "M5", 10: "M10", 30: "M30", 60: "M60", 180: "H3", 360: "H6", 540: "H9", 720: "H12"}


class Timers:
    """The next due moment of run time, and its name; ends with the planned end of the run."""

    def __init__(self, every_ns: int, planned_ns: int) -> None:
        self._every_ns = every_ns
        self._planned_ns = planned_ns
        self._count = 0

    def next_due(self) -> int | None:
        """Run time of the next timer, or None after the last."""
        if self._planned_ns and self._count * self._every_ns >= self._planned_ns:
            return None
        due = (self._count + 1) * self._every_ns
        return min(due, self._planned_ns) if self._planned_ns else due

    def name(self) -> str:
        """The name of the next timer, empty after the last."""
        due = self.next_due()
        if due is None:
            return ""
        if due % MINUTE_NS == 0 and (name := NAMED.get(due // MINUTE_NS)):
            return name
        return "END" if due == self._planned_ns else f"E{due / MINUTE_NS:g}"

    def fire(self) -> str:
        """The name of the timer that is due; moves on to the next one."""
        name = self.name()
        self._count += 1
        return name
