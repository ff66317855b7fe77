"""The lock-step side of a feed: a slice of market time is read, healed, released, and acknowledged.

Rule: one slice is one block; the next one is asked for only after the engine took this one, so the same
market gives the same tape however fast the machine and the network are.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import Protocol

from websockets.exceptions import ConnectionClosed

from flowguardian.feeds.base import (
    LOOK_NS,
    FeedOptions,
    LockstepBroken,
    Released,
    StreamSilent,
    VenueUnreachable,
)
from flowguardian.feeds.intake import Intake
from flowguardian.feeds.lockstep import Buffers, Control, Said
from flowguardian.feeds.release import Release
from flowguardian.feeds.socket_group import SocketGroup
from flowguardian.feeds.upkeep import Upkeep
from flowguardian.market.records import SECOND_NS

_STALL_SECONDS = 60.0
"""Real time in which the frames of a slice, or a venue that was killed, must come."""
_RECONNECT_SECONDS = 10.0


class Owner(Protocol):
    """What slices need of the feed around them."""

    async def sockets_up(self, seconds: float) -> bool: ...
    @property
    def group(self) -> SocketGroup: ...
    async def settle(self, seconds: float) -> None: ...
    async def ask_what_was_missed(self, now_ns: int) -> None: ...
    async def heal(self, now_ns: int) -> None: ...
    def waiting_facts(self) -> list[Released]: ...
    def renew_all(self) -> None: ...
    def silent(self, missing: Sequence[str]) -> StreamSilent: ...


class Slices:
    """One run in slices."""

    def __init__(
        self,
        control: Control,
        buffers: Buffers,
        intake: Intake,
        upkeep: Upkeep,
        release: Release,
        options: FeedOptions,
        owner: Owner,
    ) -> None:
        self.buffers = buffers
        self._control, self._intake, self._upkeep = control, intake, upkeep
        self._release, self._options, self._owner = release, options, owner
        self._taken: Said | None = None
        self._start_ns = self._next_ns = self._healed_ns = 0

    async def begin(self, from_ns: int) -> Said:
        """Ask for slices from a venue time on; 0 = where the venue stands."""
        ready = await self._control.go(from_ns, self._options.slice_ns)
        self._start_ns = self._next_ns = self._healed_ns = ready.market_ns
        self._intake.freshness.begin(ready.market_ns)
        return ready

    async def released(self) -> AsyncIterator[list[Released]]:
        gated = False
        while True:
            try:
                said = await self._control.next()
            except ConnectionClosed:
                await self._rejoin()
                continue
            if said is None:
                # The clock row that stands exactly at the end belongs to the run.
                end_ns = self._next_ns
                if items := self._release.slice(self._intake.release(end_ns, final=True), end_ns, end_ns + 1):
                    yield items
                return
            items = await self._one(said)
            if not gated and said.to_ns - self._start_ns >= self._options.gate_seconds * SECOND_NS:
                gated = True
                await self._gate(said.to_ns)
            self._taken = said
            if items:
                yield items
            else:
                await self.ack()

    async def ack(self) -> None:
        if self._taken is None:
            return
        number, self._taken = self._taken.n, None
        # A socket whose wait is over is back, or was refused, before market time goes on.
        await self._owner.settle(_RECONNECT_SECONDS)
        with suppress(ConnectionClosed):  # What was taken is on the tape; the next look rejoins.
            await self._control.ack(number)

    async def pause(self) -> None:
        """A planned stop: the slice on offer is offered again when the run goes on."""
        await self._control.pause()

    async def close(self) -> None:
        await self._control.close()

    async def _one(self, said: Said) -> list[Released]:
        try:
            frames = await self.buffers.slice(said.frames, _STALL_SECONDS, down=self._owner.group.down())
        except TimeoutError as error:
            raise LockstepBroken(
                f"slice {said.n} announced {said.frames} frames and they did not come within "
                f"{_STALL_SECONDS:g} s. The venue stalled; restart it, the run resumes."
            ) from error
        await self._owner.group.notice(self.buffers.names - said.frames.keys(), _RECONNECT_SECONDS)
        intake, now_ns = self._intake, said.to_ns
        intake.learn_first_ids(frames)
        for frame in frames:
            intake.take(frame, now_ns)
        await self._owner.ask_what_was_missed(now_ns)
        for index, number in intake.wants(now_ns):
            await self._upkeep.backfill(index, number, now_ns)
        if now_ns - self._healed_ns >= LOOK_NS:
            self._healed_ns = now_ns
            await self._owner.heal(now_ns)
        self._next_ns = now_ns
        out = intake.release(now_ns)
        return self._release.slice(out, said.from_ns, said.to_ns) + self._owner.waiting_facts()

    async def _gate(self, now_ns: int) -> None:
        """Every stream must have delivered by now; a quiet symbol's trades are proved by REST."""
        missing = set(self._intake.freshness.missing())
        for index, names in enumerate(self._intake.names):
            if names[0] in missing and await self._upkeep.prove_quiet(index, now_ns):
                missing.discard(names[0])
        if missing:
            raise self._owner.silent(sorted(missing))

    async def _rejoin(self) -> None:
        """The venue went away: wait for it, then go on with the first time that is not on the tape."""
        self.buffers.clear()
        await self._control.close()
        self._owner.renew_all()
        if not await self._owner.sockets_up(2 * _STALL_SECONDS):
            raise VenueUnreachable("the venue went away and did not come back; start it, the run resumes.")
        self.buffers.clear()
        await self._control.go(self._next_ns, self._options.slice_ns)
