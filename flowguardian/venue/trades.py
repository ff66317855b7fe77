"""The trades of one symbol that the venue has shown so far, in the order of their ids.

Rule: bounded; the oldest half goes when the room is full, as an exchange forgets old trades too.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from flowguardian.market.records import ROW

Rows = npt.NDArray[np.void]

MOST_TRADES = 400_000
_FIRST_ROOM = 1024


class Trades:
    """TRADE rows, ids and times never decreasing."""

    def __init__(self, most: int = MOST_TRADES) -> None:
        self._rows = np.zeros(min(_FIRST_ROOM, most), ROW)
        self._count = 0
        self._most = most

    def __len__(self) -> int:
        return self._count

    @property
    def rows(self) -> Rows:
        return self._rows[: self._count]

    def add(self, rows: Rows) -> None:
        if len(rows) > self._most:
            rows = rows[-self._most :]
        need = self._count + len(rows)
        if need > self._most:
            kept = self.rows[-(self._most // 2) :] if len(rows) <= self._most // 2 else self.rows[:0]
            self._rows[: len(kept)] = kept.copy()
            self._count = len(kept)
            need = self._count + len(rows)
        if need > len(self._rows):
            room = np.zeros(min(self._most, max(need, 2 * len(self._rows))), ROW)
            room[: self._count] = self.rows
            self._rows = room
        self._rows[self._count : need] = rows
        self._count = need

    def cut(self, from_ns: int) -> None:
        """Forget what came at or after a time: the market goes back there."""
        self._count = int(np.searchsorted(self.rows["venue_ns"], from_ns))

    def from_id(self, number: int, limit: int) -> Rows:
        first = int(np.searchsorted(self.rows["id"], number))
        return self.rows[first : first + limit]

    def between(self, from_ns: int, to_ns: int) -> Rows:
        """Trades with from <= venue time < to."""
        low, high = np.searchsorted(self.rows["venue_ns"], (from_ns, to_ns))
        return self.rows[low:high]

    def last(self, limit: int) -> Rows:
        return self.rows[max(0, self._count - limit) :]
