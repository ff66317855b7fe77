"""Run time, and the checkpoints it brings: named ones and the evidence in between, all on clock rows.

Rule: a timer fires once, on the first clock row at or after its due moment of run time; run time stands still
while no process of the run is there.
"""

from __future__ import annotations

MINUTE_NS = 60_000_000_000
OUTAGE_NS = 30_000_000_000
"""A longer hole in front of a process that came back is no run time: the end moves by it."""
NAMED = {5: "M5", 10: "M10", 30: "M30", 60: "M60", 180: "H3", 360: "H6", 540: "H9", 720: "H12"}


class Timers:
    """The next due moment of run time, and its name; ends with the planned end of the run."""

    def __init__(self, every_ns: int, planned_ns: int) -> None:
        self._every_ns = every_ns
        self._planned_ns = planned_ns
        self._count = 0
        self._live_ns = self._away_ns = 0
        self._returned = False

    def go_live(self, live_ns: int) -> None:
        """Run time begins."""
        self._live_ns = live_ns

    def come_back(self) -> None:
        """Another process goes on: the rows before its first one tell how long nobody was there."""
        self._returned = bool(self._live_ns)

    def begin_turn(self, first_ns: int, last_ns: int) -> None:
        """The first stamp of a turn, and the last one before it."""
        if self._returned:
            self._returned = False
            self._away_ns += first_ns - last_ns if first_ns - last_ns > OUTAGE_NS else 0

    def run_ns(self, at_ns: int) -> int:
        """Run time at a stamp; 0 before the run went live."""
        return at_ns - self._live_ns - self._away_ns if self._live_ns else 0

    def next_ns(self) -> int | None:
        """The stamp from which on the next timer is due; None after the last, and before the run is live."""
        due = self.next_due()
        return None if due is None or not self._live_ns else self._live_ns + self._away_ns + due

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
