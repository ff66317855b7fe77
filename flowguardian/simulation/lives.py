"""One lifetime of the engine process: made, run, killed or ended, and buried.

Rule: what the process has of its host (network, clock, disk) is given here; a death takes all of it at once.
"""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path

import msgspec

from flowguardian.feeds.base import Feed
from flowguardian.feeds.binance import BinanceFeed
from flowguardian.market.records import SECOND_NS
from flowguardian.ops.assembly import MakePortfolio
from flowguardian.ops.engine_process import EngineProcess
from flowguardian.ops.manifest import Manifest
from flowguardian.ops.settings import Settings
from flowguardian.ops.settings_feed import feed_options
from flowguardian.simulation.crashpoints import ANY_MOMENT, Crash, Deaths, FragileRecorder, Killed
from flowguardian.simulation.exchange import VENUE
from flowguardian.simulation.network import Air, MemoryNetwork
from flowguardian.simulation.virtual_time import VirtualClock

RESTART_SECONDS = 1.0
_LOOK_SECONDS = 0.5
"""Between two looks of the feed at what is due: a tenth of a second would only be slower."""


class Life:
    """One process lifetime."""

    def __init__(
        self,
        run_dir: Path,
        portfolio: MakePortfolio,
        air: Air,
        clock: VirtualClock,
        deaths: Deaths,
    ) -> None:
        self._run_dir, self._portfolio, self._clock, self._deaths = run_dir, portfolio, clock, deaths
        self._network = MemoryNetwork(air)
        self._process: EngineProcess | None = None
        self._recorder: FragileRecorder | None = None
        self._task: asyncio.Task[str] | None = None
        self.killed = False
        self.away_seconds = RESTART_SECONDS

    def start(self) -> EngineProcess:
        """The process, with everything read back."""
        self._process = EngineProcess(
            self._run_dir, self._portfolio, connect=self._connect, recorder=self._record
        )
        return self._process

    def _connect(self, settings: Settings, _: Manifest, run_dir: Path) -> Feed:
        options = feed_options(
            settings.feed,
            clock_interval_seconds=settings.market.clock_interval_seconds,
            bar_ns=settings.bar_seconds * SECOND_NS,
            history_bars=settings.market.history_bars,
        )
        options = msgspec.structs.replace(options, look_seconds=_LOOK_SECONDS)
        return BinanceFeed(
            VENUE, settings.universe.symbols, options, clock=self._clock, limits_path=run_dir / "limits.json",
            network=self._network,
        )  # fmt: skip

    def _record(self, run_dir: Path) -> FragileRecorder:
        self._recorder = FragileRecorder(run_dir, self._deaths)
        return self._recorder

    async def over(self) -> str:
        """Until it ends by itself or is killed. Raises Killed, and what ended it."""
        assert self._process is not None  # noqa: S101
        self._deaths.kill = self._kill
        self._task = asyncio.ensure_future(self._process.live())
        dying = asyncio.ensure_future(self._die_some_day())
        try:
            return await self._task
        except asyncio.CancelledError:
            if self.killed:
                raise Killed from None
            raise
        finally:
            dying.cancel()
            self._take_over(self._deaths.last)

    async def _die_some_day(self) -> None:
        while True:
            moment = self._deaths.next_moment()
            if moment is not None and moment <= self._clock.mono_ns() / SECOND_NS:
                self._deaths.comes(ANY_MOMENT)
                self._kill()
                return
            now = self._clock.mono_ns() / SECOND_NS
            await asyncio.sleep(1.0 if moment is None else min(1.0, moment - now))

    def _kill(self) -> None:
        self.killed = True
        if self._recorder is not None:
            self._recorder.killed()
        self._network.die()
        # Its own task ends by the exception that brings it here: a cancellation would cut that short.
        if self._task is not None and asyncio.current_task() is not self._task:
            self._task.cancel()

    def _take_over(self, crash: Crash | None) -> None:
        if crash is not None:
            self.away_seconds = crash.away_seconds

    def bury(self) -> None:
        """What the operating system does for a process that is gone."""
        if self._process is not None:
            self._process.close()
        gc.unfreeze()
