"""Small worlds for tests: a drawn one, and one with nothing in it but the trouble of a story.

Rule: a story names its faults by the minute of the market at which they begin.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from flowguardian.execution import events as ev
from flowguardian.journal.journal import JOURNAL, read_rows
from flowguardian.market.records import SECOND_NS
from flowguardian.simulation.batch import NAME, Outcome, run_world
from flowguardian.simulation.crashpoints import Crash
from flowguardian.simulation.network import Weather
from flowguardian.simulation.world import HOSTILE, World, world_of
from flowguardian.venue.faults import Fault, Plan

SEED = 11
HOURS = 0.5


class Story:
    """A world with one trouble, run to its end."""

    def __init__(
        self, place: Path, *faults: Fault, weather: tuple[Weather, ...] = (), crashes: tuple[Crash, ...] = ()
    ) -> None:
        self.world: World = msgspec.structs.replace(
            world_of(SEED, HOSTILE, HOURS), plan=Plan(list(faults), SEED), weather=weather, crashes=crashes
        )
        print(f"seed {SEED}, {faults} {weather} {crashes}")  # noqa: T201 - shown when a test fails
        self.outcome: Outcome = run_world(self.world, place / NAME)
        self.rows = [row for _, row in read_rows(place / NAME / JOURNAL)]
        live = next(row.ts_ns for row in self.rows if isinstance(row, ev.WentLive))
        self._start_ns = live // (3600 * SECOND_NS) * 3600 * SECOND_NS

    def of(self, kind: type[ev.Row], first: float = 0.0, last: float = 1e9) -> list[Any]:
        """Rows of a kind between two minutes of the market."""
        low, high = (self._start_ns + minute * 60 * SECOND_NS for minute in (first, last))
        return [row for row in self.rows if isinstance(row, kind) and low <= row.ts_ns < high]


def fault(kind: str, minute: float, minutes: float | None = None, **more: Any) -> Fault:
    """A fault of the venue."""
    return Fault(kind, at_seconds=minute * 60, for_seconds=None if minutes is None else minutes * 60, **more)
