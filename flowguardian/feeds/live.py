"""The real-time side of a feed: frames arrive at their own pace, rows leave at the run clock.

Rule: rows wait for nobody but a gap of their own symbol; clock rows come each interval whatever the streams
do. A run begins with a whole minute and goes on with what it missed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from typing import Any, Protocol

from flowguardian.feeds.base import Cursor, FeedOptions, Released, StreamSilent
from flowguardian.feeds.continuity import NO_ID, VENUE_NS, Lost, RowTuple
from flowguardian.feeds.intake import Intake
from flowguardian.feeds.release import Release
from flowguardian.feeds.rest import RECOVERABLE, Rest
from flowguardian.feeds.socket_group import SocketGroup
from flowguardian.feeds.upkeep import Upkeep
from flowguardian.market.records import SECOND_NS

_SLEPT_NS = 30 * SECOND_NS
_UPKEEP_SECONDS = 1.0
_SETTLE_SECONDS = 2.0


class Owner(Protocol):
    """What the real-time side needs of the feed around it."""

    async def sockets_up(self, seconds: float) -> bool: ...
    async def heal(self, now_ns: int) -> None: ...
    async def ask_what_was_missed(self, now_ns: int) -> None: ...
    def waiting_facts(self) -> list[Released]: ...
    def renew_all(self) -> None: ...
    def silent(self, missing: Sequence[str]) -> StreamSilent: ...


class Live:
    """One run in real time; `operator` is the base of the addresses that pause our own venue, or empty."""

    def __init__(
        self,
        operator: str,
        rest: Rest,
        intake: Intake,
        upkeep: Upkeep,
        release: Release,
        group: SocketGroup,
        options: FeedOptions,
        owner: Owner,
    ) -> None:
        self._operator, self._rest, self._intake, self._upkeep = operator, rest, intake, upkeep
        self._release, self._group, self._options, self._owner = release, group, options, owner
        self.room, self._arrived = asyncio.Event(), asyncio.Event()
        self.room.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._filling: set[int] = set()
        self._start_ns = 0
        self._early: list[RowTuple | Lost] = []

    # ---- frames

    def take(self, name: str, frame: bytes) -> None:
        """A frame of a socket; readers wait while too many rows are not yet released."""
        self._intake.take(frame, self._rest.now_ns())
        self._arrived.set()
        if self._intake.pending > self._options.max_pending_rows:
            self.room.clear()

    def woken(self, name: str) -> None:
        """A socket went down."""
        self._arrived.set()

    # ---- start

    async def begin(self, cursor: Cursor, read_history: Callable[[int], Awaitable[None]]) -> int:
        """Prove every stream, catch up or wait for a whole minute; returns when the rows begin.

        Raises a FeedError that says what is missing.
        """
        options = self._options
        if self._operator:
            # Our own venue stands until we listen, so that nothing is missed; its clock counts from then on.
            if not await self._owner.sockets_up(options.gate_seconds):
                raise self._owner.silent(sorted(self._group.down()))
            await self._rest.operate(self._operator, "resume")
            await self._rest.measure_clock()
        await self._prove_streams()
        if cursor.next_ns:
            await self._catch_up()
        elif options.whole_bars:
            await self._wait_for_whole_minute()
        else:
            self._start_ns = self._rest.now_ns()
        self._release.last_ns = max(cursor.after_ns, self._start_ns - 1)
        self._release.begin(self._start_ns)
        self._intake.freshness.begin(self._start_ns)
        if not cursor.next_ns:
            await asyncio.sleep(options.closed_seconds)
            await read_history(self._start_ns)
        self._spawn(self._keep_up())
        return self._start_ns

    async def _catch_up(self) -> None:
        """What was traded since the tape ended, before any clock row can close a bar without it."""
        await self._upkeep.catch_up(self._rest.now_ns())
        self._start_ns = self._rest.now_ns()
        self._early = self._intake.release(self._start_ns)

    async def _wait_for_whole_minute(self) -> None:
        """The first bar is a whole one: what comes before it is history."""
        align_ns = self._options.align_ns
        self._start_ns = -(-self._rest.now_ns() // align_ns) * align_ns
        while (left_ns := self._start_ns - self._rest.now_ns()) > 0:
            self.check_tasks()
            self._drop_before(self._intake.release(self._rest.now_ns()))
            self.room.set()
            await asyncio.sleep(min(left_ns / SECOND_NS, self._options.look_seconds))
        self._drop_before(self._intake.release(self._rest.now_ns()))

    def _drop_before(self, out: Sequence[RowTuple | Lost]) -> None:
        self._early += [row for row in out if not isinstance(row, Lost) and row[VENUE_NS] >= self._start_ns]

    async def _prove_streams(self) -> None:
        intake, gate_ns = self._intake, self._options.gate_seconds * SECOND_NS
        began_ns = self._rest.now_ns()
        intake.freshness.begin(began_ns)
        asked: set[int] = set()
        while missing := intake.freshness.missing():
            self.check_tasks()
            if self._rest.now_ns() - began_ns > gate_ns:
                raise self._owner.silent(missing)
            quiet = [i for i, names in enumerate(intake.names) if names[0] in missing and i not in asked]
            if quiet and self._rest.now_ns() - began_ns > gate_ns / 10:
                asked.add(quiet[0])
                await self._prove_quiet(quiet[0])
                continue
            await self._until_arrived(self._options.look_seconds)

    async def _prove_quiet(self, index: int) -> None:
        """A symbol that has not traded since we listen: the venue's last trade is where its ids begin."""
        intake = self._intake
        trades = await self._rest.trades(intake.symbols[index], None, 1)
        line = intake.lines[index]
        if trades and line.last_id == NO_ID:
            line.last_id = trades[-1].id
        if trades:
            intake.freshness.saw(intake.names[index][0], self._rest.now_ns())

    # ---- the rows

    async def released(self) -> AsyncIterator[list[Released]]:
        """Blocks as they become due; ends only by an error or with the feed."""
        if early := self._release.live(self._early, self._start_ns):
            self._early = []
            yield early
        while True:
            self.check_tasks()
            now_ns = self._rest.now_ns()
            for index, number in self._intake.wants(now_ns):
                if index not in self._filling:
                    self._filling.add(index)
                    self._spawn(self._backfill(index, number, now_ns))
            items = self._release.live(self._intake.release(now_ns), now_ns)
            self.room.set()
            items += self._owner.waiting_facts()
            if items:
                yield items
            until_tick = (self._release.next_tick_ns - self._rest.now_ns()) / SECOND_NS
            await self._until_arrived(min(max(until_tick, 0.0), self._options.look_seconds))

    async def _until_arrived(self, seconds: float) -> None:
        self._arrived.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._arrived.wait()
        except TimeoutError:
            return

    async def _backfill(self, index: int, number: int, now_ns: int) -> None:
        try:
            await self._upkeep.backfill(index, number, now_ns)
        finally:
            self._filling.discard(index)
            self._arrived.set()

    async def _keep_up(self) -> None:
        last_ns = self._rest.now_ns()
        while True:
            await asyncio.sleep(_UPKEEP_SECONDS)
            now_ns = self._rest.now_ns()
            if now_ns - last_ns > _SLEPT_NS:
                # After a sleep of the host sockets look alive and are not.
                self._owner.renew_all()
            last_ns = now_ns
            await self._owner.heal(now_ns)

    # ---- the end

    async def drain(self) -> list[Released]:
        """Our own venue stands still, what it sent is released up to there; another one is only left."""
        if not self._operator:
            return []
        try:
            stopped_ns = await self._rest.operate(self._operator, "pause")
        except RECOVERABLE:
            return []  # It is gone: what it sent last is asked for when the run goes on.
        for socket in self._group.sockets.values():
            await socket.settle(_SETTLE_SECONDS)
        await self._owner.ask_what_was_missed(stopped_ns)
        for index, number in self._intake.wants(stopped_ns):
            await self._upkeep.backfill(index, number, stopped_ns)
        return self._release.live(self._intake.release(stopped_ns), stopped_ns)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if task.cancelled() or task.exception() is None:
            self._tasks.discard(task)

    def check_tasks(self) -> None:
        """A task that died ends the feed with its reason: none dies unseen."""
        self._group.check()
        for task in tuple(self._tasks):
            if task.done():
                task.result()
