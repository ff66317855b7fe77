"""What moves market time: a clock, the listeners, or a lock-step client slice by slice.

Rule: one mover at a time. At speed 1 the clock moves it always; at other speeds a lock-step client does once
it said go, and until somebody listens the market stands. A client that vanishes without `pause` does not
stop a market that has a clock; only a planned stop does.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from flowguardian.market.records import SECOND_NS, UNITS
from flowguardian.venue.desk import Desk
from flowguardian.venue.faults import Faults
from flowguardian.venue.market import VenueMarket, slice_end
from flowguardian.venue.sockets import all_drained
from flowguardian.venue.streams import Publisher
from flowguardian.venue.subscriptions import Connection, Hub

MAX_SPEED = 0.0
"""As fast as clients take it."""
CONNECTION_NS = 24 * 3600 * SECOND_NS
"""The exchange ends every connection after a day."""
_TICK_SECONDS = 0.02
_STEP_NS = SECOND_NS
_MOST_WAITING_BYTES = 32 * 1024 * 1024
"""A client of the clock that is so far behind is let go: the market does not wait for it."""

Say = Callable[[dict[str, Any]], None]


class Pacer:
    """Owns market time."""

    def __init__(
        self, market: VenueMarket, hub: Hub, publisher: Publisher, faults: Faults, speed: float
    ) -> None:
        self.market, self.hub, self.faults, self.speed = market, hub, faults, speed
        self.paused = False
        self._publisher = publisher
        self._session: Session | None = None
        self._running = speed == 1.0
        self._ran_free = self._driven = False
        self._wake = asyncio.Event()
        self._filters_set: set[int] = set()
        self.desk: Desk | None = None
        """The trading half: it sees rows before they are published."""

    # ---- commands

    def nudge(self) -> None:
        """Something changed that may let the market move."""
        self._wake.set()

    def pause(self) -> None:
        """A planned stop: market time stands until `resume` or go."""
        self.paused = True
        self._wake.set()

    def resume(self) -> None:
        self.paused = False
        self._wake.set()

    def go(self, session: Session, from_ns: int) -> int:
        """A lock-step client takes over; returns the market time at which it begins."""
        if self._session is not None:
            self._session.stop()
        self._session = session
        behind = from_ns and from_ns < self.market.now_ns and not self._ran_free
        if behind or from_ns > self.market.now_ns:
            self._jump(from_ns)
        self.paused, self._ran_free, self._driven = False, False, True
        self._wake.set()
        return self.market.now_ns

    def left(self, session: Session, *, planned: bool) -> None:
        """A lock-step client is gone."""
        session.stop()
        if self._session is not session:
            return
        self._session = None
        if planned:
            # What was on offer and not taken is offered again.
            if session.offered_ns is not None and session.offered_ns < self.market.now_ns:
                self._jump(session.offered_ns)
            self.paused, self._running = True, self.speed == 1.0
        else:
            self._running = self.speed != MAX_SPEED
        self._wake.set()

    # ---- the market

    def _jump(self, to_ns: int) -> None:
        self.market.jump(to_ns)
        if self.desk is not None:
            self.desk.jumped()

    def step(self, to_ns: int) -> None:
        """Make the frames up to a time; they lie in the sockets' `out` afterwards."""
        from_ns = self.market.now_ns
        rows = self.market.advance(to_ns)
        if self.desk is not None:
            self.desk.show(rows, self.market.now_ns)
        self._publisher.show(rows, from_ns, self.market.now_ns)

    def wound(self) -> None:
        """Faults of connections, and the daily cut, as they are due now."""
        now_ns = self.market.now_ns
        self._filters(now_ns)
        for connection in list(self.hub.connections):
            if self._is_cut(connection, now_ns):
                connection.wire.cut()
                self.hub.remove(connection)
            elif self._is_mute(connection, now_ns) != connection.wire.muted:
                if connection.wire.muted:
                    # The router has forgotten the connection: what comes now is refused.
                    connection.wire.cut()
                    self.hub.remove(connection)
                else:
                    connection.wire.mute()

    def _is_mute(self, connection: Connection, now_ns: int) -> bool:
        return any(_is_for(connection, one.fault.path) for one in self.faults.of("half_open", now_ns))

    def _is_cut(self, connection: Connection, now_ns: int) -> bool:
        if now_ns - connection.opened_ns >= CONNECTION_NS or self.faults.of("maintenance", now_ns):
            return True
        for one in self.faults.active:
            if one.fault.kind != "cut" or not _is_for(connection, one.fault.path):
                continue
            due_ns = one.from_ns
            if one.fault.every_seconds and now_ns >= due_ns:
                every_ns = round(one.fault.every_seconds * SECOND_NS)
                due_ns += (min(now_ns, one.to_ns - 1) - due_ns) // every_ns * every_ns
            if connection.opened_ns < due_ns <= now_ns:
                return True
        return False

    def _filters(self, now_ns: int) -> None:
        for one in self.faults.active:
            if one.fault.kind != "tick_size" or now_ns < one.from_ns or one.number in self._filters_set:
                continue
            self._filters_set.add(one.number)
            fault = one.fault
            said = {"tick_size": fault.tick, "step_size": fault.step, "min_notional": fault.min_notional}
            changed = {name: int(Decimal(text) * UNITS) for name, text in said.items() if text}
            if fault.step:
                changed["min_qty"] = changed["step_size"]
            for symbol, index in self.market.index.items():
                if symbol == fault.symbols:
                    self.market.set_instrument(index, **changed)

    # ---- the movers

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            if self.paused or self.market.now_ns >= self.market.end_ns:
                await self._woken()
            elif self._session is not None:
                await self._lockstep(self._session)
            elif self._running or self._listened_to:
                await self._free()
            else:
                await self._woken()

    @property
    def sliced(self) -> bool:
        """Whether a lock-step client moves the market."""
        return self._session is not None

    @property
    def _listened_to(self) -> bool:
        """Whether listeners alone move the market: never one that a lock-step client has begun to drive."""
        return not self._driven and self.hub.free_listeners

    async def _woken(self) -> None:
        await self._wake.wait()
        self._wake.clear()

    async def _free(self) -> None:
        """By the clock, or at full speed as long as somebody listens."""
        began, began_ns = time.monotonic(), self.market.now_ns
        self._wake.clear()
        if self.speed != MAX_SPEED:
            self.market.ticking = lambda: (
                began_ns + round((time.monotonic() - began) * self.speed * SECOND_NS)
            )
        try:
            await self._tick(began, began_ns)
        finally:
            self.market.ticking = None

    async def _tick(self, began: float, began_ns: int) -> None:
        while not self._wake.is_set() and self.market.now_ns < self.market.end_ns:
            if self.speed == MAX_SPEED:
                to_ns = self.market.now_ns + _STEP_NS
            else:
                to_ns = began_ns + round((time.monotonic() - began) * self.speed * SECOND_NS)
            self._ran_free = True
            while self.market.now_ns < min(to_ns, self.market.end_ns) and not self._wake.is_set():
                self.step(min(to_ns, self.market.now_ns + _STEP_NS))
                self.hub.flush()
                self.wound()
                await self._after_step()
            if self.speed == MAX_SPEED:
                if not self._listened_to:
                    return
            else:
                await asyncio.sleep(_TICK_SECONDS)

    async def _after_step(self) -> None:
        if self.speed != 1.0:
            await all_drained([connection.wire for connection in self.hub.connections])
            await asyncio.sleep(0)
            return
        for connection in list(self.hub.connections):
            if connection.wire.waiting_bytes > _MOST_WAITING_BYTES:
                connection.wire.cut()
                self.hub.remove(connection)

    async def _lockstep(self, session: Session) -> None:
        """One slice, or the word that there are no more."""
        self._wake.clear()
        market = self.market
        from_ns = market.now_ns
        to_ns = slice_end(from_ns, session.slice_ns, market.end_ns)
        if not await session.wait_for_turn(to_ns, self.speed):
            return
        self.wound()
        self.step(to_ns)
        session.offer(from_ns, to_ns, self.hub.counts(session.token))
        self.hub.flush()
        await session.taken.wait()
        if not session.stopped:
            await all_drained([one.wire for one in self.hub.connections if not one.token])
            if market.now_ns >= market.end_ns:
                session.say({"op": "finished"})


def _is_for(connection: Connection, path: str) -> bool:
    return path in ("*", connection.category, connection.name)


class Session:
    """One lock-step client between go and its end."""

    def __init__(self, token: str, slice_ns: int, say: Say) -> None:
        self.token, self.slice_ns, self.say = token, slice_ns, say
        self.offered_ns: int | None = None
        """Where the slice on offer begins; None when none is."""
        self.stopped = False
        self.taken = asyncio.Event()
        self._number = 0
        self._began = 0.0
        self._began_ns = -1

    async def wait_for_turn(self, to_ns: int, speed: float) -> bool:
        """At a speed with a number a slice is not offered before its end by the clock."""
        if self.stopped:
            return False
        if speed == MAX_SPEED:
            return True
        now = time.monotonic()
        if self._began_ns < 0:
            self._began, self._began_ns = now, to_ns - self.slice_ns
        early = (to_ns - self._began_ns) / (speed * SECOND_NS) - (now - self._began)
        if early < -1.0:
            # The client was slow; the time it lost is not made up for in a rush.
            self._began, self._began_ns = now, to_ns
        elif early > 0.001:
            await asyncio.sleep(early)
        return not self.stopped

    def offer(self, from_ns: int, to_ns: int, frames: dict[str, int]) -> None:
        self._number += 1
        self.offered_ns = from_ns
        self.taken.clear()
        self.say({"op": "slice", "n": self._number, "from_ns": from_ns, "to_ns": to_ns, "frames": frames})

    def ack(self, number: int) -> bool:
        """Whether this is the slice on offer."""
        if self.offered_ns is None or number != self._number:
            return False
        self.offered_ns = None
        self.taken.set()
        return True

    def stop(self) -> None:
        self.stopped = True
        self.taken.set()
