"""Exit scans that run ahead: where each open position's next hit is, if nothing changes before it.

Rule: a scan runs on a copy and is committed only when its wake is popped. Whatever changes the triggers first
brings the committed state up to the changing row, then discards the copy and scans on from there.
"""

from __future__ import annotations

import numpy as np

from flowguardian.execution.events import ExitReason, PositionOpened
from flowguardian.execution.money import share
from flowguardian.market.exits import BREAK_EVEN, EXPIRY, NOTHING, STOP, TARGET, TRAILING, WATCH
from flowguardian.market.scanner import MarketError, Scanner

COMMITTED, AHEAD = 0, 1
_REASONS = {
    STOP: ExitReason.STOP,
    TARGET: ExitReason.TARGET1,
    BREAK_EVEN: ExitReason.BREAK_EVEN,
    TRAILING: ExitReason.TRAILING,
    EXPIRY: ExitReason.EXPIRY,
}


class Watch:
    """The exit scan of one position."""

    __slots__ = ("_from_ns", "_moves", "_states", "active", "hit", "opened", "second", "symbol", "version")

    def __init__(self, symbol: int, opened: PositionOpened, break_even_trigger: int) -> None:
        self.symbol = symbol
        self.opened = opened
        self.second = False
        self.active = True
        self.version = 0
        self.hit: list[int] = [0, 0, 0, 0, 0]
        self._from_ns = 0
        trigger = 0
        if break_even_trigger:
            distance = abs(opened.price - opened.stop)
            trigger = opened.price + opened.side * share(distance, break_even_trigger)
        self._moves = bool(opened.trail_distance or trigger)
        """Levels that move make a scan ahead change the state; fixed ones need no copy."""
        self._states = np.empty(2, WATCH)
        self._states[COMMITTED] = (
            opened.side,
            opened.stop,
            opened.target1,
            opened.trail_distance,
            opened.side * opened.price,
            trigger,
            opened.price,
            opened.expiry_ns,
            0,
        )

    def scan(self, scanner: Scanner, from_ns: int) -> bool:
        """Scan ahead from `from_ns` to the end of the chunk; True when `hit` holds a hit."""
        self._from_ns = from_ns
        if self._moves:
            self._states[AHEAD] = self._states[COMMITTED]
        self.hit = scanner.scan_exit(self.symbol, self._states, AHEAD if self._moves else COMMITTED, from_ns)
        return self.hit[1] != NOTHING

    def commit(self) -> None:
        """The rows scanned ahead have really happened."""
        if self._moves:
            self._states[COMMITTED] = self._states[AHEAD]

    def catch_up(self, scanner: Scanner, at_ns: int) -> None:
        """Bring the committed state up to the rows before `at_ns` and drop the scan ahead."""
        self.version += 1
        if self.active and scanner.columns is not None:
            hit = scanner.scan_exit(self.symbol, self._states, COMMITTED, self._from_ns, at_ns)
            if hit[1] != NOTHING:
                raise MarketError(f"a hit at {hit[0]} was passed over before {at_ns}")

    def aim_at_second_target(self) -> None:
        """The first target was taken: the rest waits for the second."""
        self.second = True
        self._states["target"][COMMITTED] = self.opened.target2

    def reason(self) -> ExitReason:
        """What the hit is called."""
        reason = _REASONS[self.hit[1]]
        return ExitReason.TARGET2 if self.second and reason is ExitReason.TARGET1 else reason
