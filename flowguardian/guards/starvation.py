"""The alarm for entries that never come: signals arrive, every one is refused, and nobody would see it.

Rule: a window that started after the run went live, with enough signals and no entry, is one
`GuardStarvation` row; the next row needs an entry in between. `due` only reads: the episode counts as
reported when the row itself is applied, so a fold over the journal ends in the same state.
"""

from __future__ import annotations

from collections import deque

from flowguardian.execution.events import (
    EntryRefused,
    GuardStarvation,
    OrderRequested,
    Purpose,
    Reason,
    Row,
    Signal,
    WentLive,
)
from flowguardian.execution.limits import Limits
from flowguardian.guards.base import PortfolioView

REMEMBERED = 1024
"""Signals and refusals kept at most; in a longer flood the newest ones tell the same story."""

FULL: frozenset[Reason] = frozenset(
    (Reason.MAX_POSITIONS, Reason.MAX_STRATEGY_POSITIONS, Reason.DUPLICATE_ENTRY)
)
"""Refusals of a portfolio that works as intended, unless a position has outlived its maximum hold."""

_ENTRY = Purpose.ENTRY
_ORDER = {code: place for place, code in enumerate(Reason)}


class StarvationWatch:
    """Remembers what happened since the last entry, at most one window of it."""

    __slots__ = (
        "_cap",
        "_counts",
        "_needed",
        "_refusals",
        "_releases",
        "_reported",
        "_signals",
        "_since_ns",
        "_window_ns",
    )
    rows: tuple[type[Row], ...] = (WentLive, Signal, EntryRefused, OrderRequested, GuardStarvation)

    def __init__(self, limits: Limits) -> None:
        self._window_ns = limits.guards.starvation_window_ns
        self._needed = limits.guards.starvation_signals
        # The last entry or going live, whichever came later; -1 before the run is live.
        self._since_ns = -1
        self._reported = False
        self._cap = max(REMEMBERED, self._needed)
        self._signals: deque[int] = deque(maxlen=self._cap)
        self._refusals: deque[tuple[int, Reason]] = deque()
        self._counts: dict[Reason, int] = {}
        self._releases: dict[Reason, str] = {}

    def apply(self, row: Row) -> None:
        """Learn from a row that was written; rows before `WentLive` mean nothing here."""
        if isinstance(row, WentLive):
            self._restart(row.ts_ns)
        elif self._since_ns < 0:
            return
        elif isinstance(row, Signal):
            self._forget_before(row.ts_ns - self._window_ns)
            self._signals.append(row.ts_ns)
        elif isinstance(row, EntryRefused):
            self._refused(row)
        elif isinstance(row, OrderRequested):
            if row.purpose is _ENTRY:
                self._restart(row.ts_ns)
                self._reported = False
        elif isinstance(row, GuardStarvation):
            self._reported = True

    def due(self, ts_ns: int, portfolio: PortfolioView) -> GuardStarvation | None:
        """The row to write now, if any; to be asked after each signal's outcome and at each timer, cheap.

        All remembered signals lie within one window of each other and after the last entry, so once a
        whole window has passed since that entry there is one without an entry that holds all of them.
        """
        if self._reported or len(self._signals) < self._needed or self._since_ns < 0:
            return None
        if ts_ns - self._since_ns < self._window_ns or not self._counts:
            return None
        overdue = any(0 < held.expiry_ns < ts_ns for held in portfolio.positions.values())
        counted = [code for code in self._counts if overdue or code not in FULL]
        if not counted:
            return None
        worst = min(counted, key=lambda code: (-self._counts[code], _ORDER[code]))
        return GuardStarvation(
            ts_ns=ts_ns,
            guard=worst,
            since_ns=self._signals[0],
            signals=len(self._signals),
            refusals=self._counts[worst],
            release=self._releases[worst],
        )

    def snapshot(self) -> object:
        """The whole memory in JSON types, equal for equal histories."""
        return [
            self._since_ns,
            self._reported,
            list(self._signals),
            [[ts_ns, code.value] for ts_ns, code in self._refusals],
            sorted([code.value, release] for code, release in self._releases.items()),
        ]

    def _restart(self, ts_ns: int) -> None:
        self._since_ns = ts_ns
        if self._signals or self._refusals:
            self._signals.clear()
            self._refusals.clear()
            self._counts.clear()
            self._releases.clear()

    def _refused(self, row: EntryRefused) -> None:
        self._forget_before(row.ts_ns - self._window_ns)
        if len(self._refusals) >= self._cap:
            self._forget_oldest_refusal()
        self._refusals.append((row.ts_ns, row.code))
        self._counts[row.code] = self._counts.get(row.code, 0) + 1
        self._releases[row.code] = row.release

    def _forget_before(self, from_ns: int) -> None:
        """Drop what is a window old or older: at the window's far edge it is outside."""
        signals, refusals = self._signals, self._refusals
        while signals and signals[0] <= from_ns:
            signals.popleft()
        while refusals and refusals[0][0] <= from_ns:
            self._forget_oldest_refusal()

    def _forget_oldest_refusal(self) -> None:
        _, code = self._refusals.popleft()
        left = self._counts[code] - 1
        if left > 0:
            self._counts[code] = left
        else:
            del self._counts[code]
            del self._releases[code]
