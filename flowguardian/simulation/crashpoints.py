"""Where a process may die: at any moment, and around each write to its tape and journal.

Rule: what was written before the death stays, what comes after it never happens. A death is an exception that
no handler of the product knows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from flowguardian.execution.events import Row
from flowguardian.journal.chain import ChainError
from flowguardian.market.tape import segment_paths
from flowguardian.ops.heartbeat import AnnouncingRecorder

ANY_MOMENT, BEFORE_COMMIT, AFTER_COMMIT, AFTER_ORDER, TORN_TAPE, FULL_DISK = POINTS = (
    "any_moment", "before_commit", "after_commit", "after_order", "torn_tape", "full_disk",
)  # fmt: skip
"""after_order: between the row of an order and its request. full_disk: a commit fails, and the process ends
by that error."""


class Killed(BaseException):
    """The process is no more."""


class Crash(msgspec.Struct, frozen=True):
    """From a moment of the loop on the next such point is deadly; the process stays away for a while."""

    at_seconds: float
    point: str
    away_seconds: float


class Deaths:
    """The crashes of a run, in order; each happens once."""

    def __init__(self, crashes: Sequence[Crash], now: Callable[[], float]) -> None:
        self._coming = sorted(crashes, key=lambda one: one.at_seconds)
        self._now = now
        self.kill: Callable[[], None] = lambda: None
        """Ends the process that lives now."""
        self.last: Crash | None = None
        self.seen: dict[str, int] = {}

    def next_moment(self) -> float | None:
        """When the next death at any moment comes."""
        return self._coming[0].at_seconds if self._coming and self._coming[0].point == ANY_MOMENT else None

    def comes(self, *points: str) -> str:
        """The point that is deadly here and now, or nothing; it is used up."""
        if (
            not self._coming
            or self._coming[0].at_seconds > self._now()
            or self._coming[0].point not in points
        ):
            return ""
        self.last = self._coming.pop(0)
        self.seen[self.last.point] = self.seen.get(self.last.point, 0) + 1
        return self.last.point


class FragileRecorder(AnnouncingRecorder):
    """The recorder of a process that may die."""

    def __init__(self, run_dir: Path, deaths: Deaths) -> None:
        super().__init__(run_dir)
        self._run_dir, self._deaths = run_dir, deaths
        self._is_dead = False

    def market(self, rows: npt.NDArray[np.void]) -> None:
        self._live()
        torn = self._deaths.comes(TORN_TAPE)
        super().market(rows)
        if torn:
            self.tape.close()
            path = segment_paths(self.tape_directory)[-1]
            with path.open("r+b") as file:
                file.truncate(path.stat().st_size - rows.itemsize // 2)
            self._die()

    def commit(self, rows: Sequence[Row], *, durable: bool) -> None:
        self._live()
        if self._deaths.comes(FULL_DISK):
            raise ChainError(f"{self.journal.path}: could not append row {self.journal.seq + 1}: disk full")
        if self._deaths.comes(BEFORE_COMMIT):
            self._die()
        super().commit(rows, durable=durable)
        if self._deaths.comes(AFTER_COMMIT, *[AFTER_ORDER] * durable):
            self._die()

    @property
    def tape_directory(self) -> Path:
        return self._run_dir / "tape"

    def killed(self) -> None:
        """From now on nothing is written."""
        self._is_dead = True

    def _live(self) -> None:
        if self._is_dead:
            raise Killed

    def _die(self) -> None:
        self._deaths.kill()
        raise Killed
