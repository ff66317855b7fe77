"""The engine child of a run: feed, loop, journal, in one thread; watched and restarted by the supervisor.

Rule: start and resume are one path. On stdout, one JSON object per line, it says how it lives and ends.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import numpy.typing as npt
import structlog

from flowguardian import __version__
from flowguardian.brokers.base import VenueBroker
from flowguardian.execution import events as ev
from flowguardian.execution.loop import MarketLoop
from flowguardian.execution.portfolio_manager import PortfolioManager
from flowguardian.execution.replay import ComparingRecorder, ReplayDiverged, exogenous, replay
from flowguardian.feeds.base import Feed, FeedError, Released, StreamSilent, VenueRefused, cursor_of
from flowguardian.feeds.binance import BinanceFeed
from flowguardian.feeds.blocks import stamp
from flowguardian.feeds.recorded import MarketSpecError
from flowguardian.journal.chain import ChainError
from flowguardian.journal.journal import JOURNAL, TAPE, Recorder, read_rows
from flowguardian.market.files import DatasetError
from flowguardian.market.instruments import UnknownInstrument
from flowguardian.market.records import Kind
from flowguardian.market.tape import TapeError, read_tape, segment_paths
from flowguardian.ops.assembly import (
    MakePortfolio,
    OpenFeed,
    VenueMissing,
    assemble,
    code_hash,
    open_feed,
)
from flowguardian.ops.commands import CommandInbox
from flowguardian.ops.config_errors import ConfigError
from flowguardian.ops.engine_child import EXIT_CONFIG, EXIT_FAULT
from flowguardian.ops.heartbeat import AnnouncingRecorder, Heartbeat, announce, announce_quality
from flowguardian.ops.loading import settings_from
from flowguardian.ops.log import configure_logging, tell_seq
from flowguardian.ops.manifest import Manifest, read_manifest
from flowguardian.ops.platform_lock import FileLock
from flowguardian.ops.platform_process import die_with_parent
from flowguardian.strategies.base import StrategyError

if TYPE_CHECKING:
    from flowguardian.ops.live_trading import LiveTrading

IDLE_SECONDS = 0.25
"""Without a block for this long the loop looks for commands by itself."""
FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 1.0, 30.0
"""Between two tries to reach a venue that is away."""
POLL_SECONDS, FOLD_SECONDS, QUALITY_SECONDS = 0.05, 60.0, 60.0
"""Real time between two looks for commands, two folds of the write-ahead log, two lines on data quality."""
UNUSABLE = (
    ConfigError,
    MarketSpecError,
    DatasetError,
    UnknownInstrument,
    StrategyError,
    ChainError,
    ev.UnknownRow,
    TapeError,
    ReplayDiverged,
    VenueMissing,
)
"""What a start cannot go on with: a market or a record of this run that is gone, changed or damaged."""


class JournalLost(ChainError):
    """The tape knows more of the run than a journal can have lost in a crash."""


MakeRecorder = Callable[[Path], Recorder]


class EngineProcess:
    """One lifetime of the engine of a run."""

    def __init__(
        self, run_dir: Path, portfolio: MakePortfolio = PortfolioManager, *, connect: OpenFeed = open_feed,
        recorder: MakeRecorder = AnnouncingRecorder,
    ) -> None:  # fmt: skip
        self._manifest = read_manifest(run_dir)
        self._settings = settings_from(msgspec.json.decode(self._manifest.config))
        self._run_dir = run_dir
        self._portfolio, self._connect = portfolio, connect
        self.feed = connect(self._settings, self._manifest, run_dir)
        self.segment = 1
        self._trading: LiveTrading | None = None
        self._polled = self._folded = self._told = self._taken = 0.0
        self._running = self._stopping = False
        with ExitStack() as opened:
            self._recorder = recorder(run_dir)
            opened.callback(self._recorder.close)
            self._inbox = CommandInbox(run_dir)
            opened.callback(self._inbox.close)
            self.loop = self._resume_or_start()
            # From here on `close` is the caller's.
            opened.pop_all()
        tell_seq(lambda: self._recorder.journal.seq)
        self._heartbeat = Heartbeat(
            self.loop, self._settings.active, float(self._settings.run.heartbeat_seconds)
        )

    # ---- start is a resume with nothing to read

    def _resume_or_start(self) -> MarketLoop:
        pairs = list(read_rows(self._run_dir / JOURNAL))
        comparing = ComparingRecorder((record for record, _ in pairs), self._recorder)
        loop = assemble(
            self._settings,
            comparing,
            seed=self._manifest.seed,
            planned_ns=self._manifest.planned_ns,
            portfolio=self._portfolio,
            mode=self._manifest.mode,
            start_equity=self._manifest.start_equity,
        )
        facts = exogenous(row for _, row in pairs)
        self.segment += sum(isinstance(fact, ev.SegmentStarted) for fact in facts)
        replay(loop, self._recorded(), facts)
        comparing.finish()
        self._cursor = msgspec.structs.replace(
            cursor_of(self._recorded(), self._settings.universe.symbols),
            instruments=tuple(loop.engine.instruments.values()),
        )
        if not loop.engine.live and self._cursor.next_ns:
            raise JournalLost(
                f"{self._run_dir / JOURNAL}: holds {len(pairs)} rows and not that the run went live, but the "
                "tape goes on after it: rows were lost. Start a new run; what is here can only be judged."
            )
        loop.record_to(self._recorder)
        return loop

    def _recorded(self) -> Iterator[npt.NDArray[np.void]]:
        directory = self._run_dir / TAPE
        return (
            (block for block in read_tape(directory) if len(block)) if segment_paths(directory) else iter(())
        )

    async def prepare(self) -> None:
        """Bring a new, resumed or half-started run to live. Raises FeedError."""
        loop, feed, manifest = self.loop, self.feed, self._manifest
        await feed.start(self._cursor)
        if manifest.mode in ev.OF_AN_ACCOUNT:
            await self._start_trading(feed)
        history = feed.history()
        # On a resume before the first live row, history that is on the tape already stays there alone.
        history = history[history["venue_ns"] > self._warmed_ns()]
        if not loop.engine.live:
            # Once live, lifecycle facts repeat the last stamp: the hole in front of them is the outage.
            loop.now_ns = max(loop.now_ns, feed.start_ns - len(history) - 2)
        if self._recorder.journal.seq == 0:
            loop.fact(self._run_started(manifest, loop.now_ns))
        if tuple(loop.engine.instruments.values()) != feed.instruments:
            loop.fact(ev.InstrumentsSet(loop.now_ns, feed.instruments))
        reason = "first" if self.segment == 1 else "resume"
        loop.fact(ev.SegmentStarted(loop.now_ns, self.segment, reason))
        if not loop.engine.live:
            if len(history):
                loop.turn(stamp(history, loop.now_ns))
            loop.fact(ev.WentLive(loop.now_ns))
            # The beginning stands in the file itself from the first moment on.
            self._recorder.journal.checkpoint()

    async def _start_trading(self, feed: Feed) -> None:
        """Only now are there keys, and a broker that sends."""
        from flowguardian.ops.live_trading import LiveTrading

        assert isinstance(feed, BinanceFeed)  # noqa: S101  (a live run is made over a venue)
        self._trading = LiveTrading(feed, self.loop, self._manifest, self._settings, self._run_dir)
        self.loop.record_to(self._recorder, self._trading.broker)
        await self._trading.start()

    async def _stop_trading(self) -> None:
        """Nothing of the broker goes on: a second one beside it would book everything twice."""
        if self._trading is not None:
            self.loop.record_to(self._recorder, VenueBroker())
            await self._trading.close()
            self._trading = None

    def _warmed_ns(self) -> int:
        rows = next(self._recorded(), None)
        return int(rows["venue_ns"].max()) if rows is not None and rows["kind"][0] == Kind.HISTORY else 0

    def _run_started(self, manifest: Manifest, ts_ns: int) -> ev.RunStarted:
        return ev.RunStarted(
            ts_ns=ts_ns,
            run_id=manifest.run_id,
            kind=manifest.kind,
            mode=manifest.mode,
            feed=self.feed.feed_kind,
            config=manifest.config,
            config_hash=manifest.config_hash,
            trading_hash=manifest.trading_hash,
            code_hash=code_hash(),
            version=__version__,
            seed=manifest.seed,
            symbols=self._settings.universe.symbols,
            start_equity=self.loop.engine.limits.start_equity,
            planned_ns=manifest.planned_ns,
        )

    # ---- one lifetime

    def lifetime(self) -> str:
        """`live` in a loop of its own, and everything closed after it."""
        try:
            return asyncio.run(self.live())
        finally:
            self.close()

    async def live(self) -> str:
        """From start to end; returns the reason of the end. Raises FeedError."""
        working = asyncio.current_task()
        idling = asyncio.create_task(self._idle(working))
        # What ends it ends the process: a loop that went on would not be the one in the journal.
        idling.add_done_callback(
            lambda task: working.cancel() if working and not task.cancelled() and task.exception() else None
        )
        try:
            await self._prepare_patiently()
            return await self.run()
        except asyncio.CancelledError:
            if idling.done() and not idling.cancelled() and (error := idling.exception()) is not None:
                raise error from None
            if not self._stopping:
                raise
            return await self._stopped()
        finally:
            idling.cancel()
            await asyncio.gather(idling, return_exceptions=True)
            await self._stop_trading()
            await self.feed.close()

    async def _prepare_patiently(self) -> None:
        """A run that was live waits for a venue that is away, as it would without having been restarted."""
        delay = FIRST_WAIT_SECONDS
        while True:
            try:
                await self.prepare()
            except FeedError as error:
                if not self.loop.engine.live:
                    raise
                structlog.get_logger("engine").warning("the venue is away", why=str(error), wait=delay)
                await self._stop_trading()
                await self.feed.close()
                await asyncio.sleep(delay)
                delay = min(2 * delay, LONGEST_WAIT_SECONDS)
                self.feed = self._connect(self._settings, self._manifest, self._run_dir)
            else:
                return

    async def run(self) -> str:
        """Take what the feed releases until the planned end or a stop; returns the reason."""
        # What was made so far stays: the collector need not look at it again in every full collection.
        gc.collect()
        gc.freeze()
        announce("ready", market_ns=self.loop.now_ns, segment=self.segment)
        self._running = True
        self._taken = asyncio.get_running_loop().time()
        reason = await self._work()
        return await self._stopped() if reason == "stopped" else self._ended(reason)

    async def _stopped(self) -> str:
        if self._running:
            self._take(await self.feed.drain())
        return self._ended("stopped")

    def _ended(self, reason: str) -> str:
        if self._running:
            self.loop.fact(ev.SegmentEnded(self.loop.now_ns, self.segment, reason))
            self._tell(force=True)
        return reason

    async def _work(self) -> str:
        async for items in self.feed.released():
            began = time.perf_counter()
            self._take(items)
            if self._trading is not None:
                await self._trading.step()
            self._taken = asyncio.get_running_loop().time()
            if self.loop.finished:
                return "completed"
            if not self._obey():
                return "stopped"
            self._heartbeat.beat(time.perf_counter() - began)
            self._tell()
            await self.feed.ack()
        return "completed"

    def _take(self, items: Sequence[Released]) -> None:
        for item in items:
            if isinstance(item, np.ndarray):
                self.loop.turn(item)
            else:
                self.loop.fact(item)

    async def _idle(self, working: asyncio.Task[Any] | None) -> None:
        """While the feed waits the loop still says that it lives, and obeys a stop."""
        while True:
            await asyncio.sleep(IDLE_SECONDS)
            silent = asyncio.get_running_loop().time() - self._taken
            if self._running and not IDLE_SECONDS <= silent <= self.feed.patience_seconds:
                # The loop speaks for itself; and a feed silent for longer than it ever waits is a hang.
                continue
            self._heartbeat.beat(0.0)
            if not self._obey() and working is not None:
                self._stopping = True
                working.cancel()
                return

    def _obey(self) -> bool:
        """Turn waiting commands into facts; False when one of them was `stop`."""
        now = asyncio.get_running_loop().time()
        if now - self._polled < POLL_SECONDS:
            return True
        self._polled = now
        if self._recorder.journal.seq == 0:
            # Row 1 says what the run is: before it only a stop can be obeyed, and it leaves nothing behind.
            return all(asked.command is not ev.Command.STOP for asked in self._inbox.pending())
        going = True
        for asked in self._inbox.pending():
            self.loop.fact(ev.CommandReceived(self.loop.now_ns, asked.id, asked.command, asked.by))
            self._inbox.acknowledge(asked.id, self.loop.now_ns)
            going = going and asked.command is not ev.Command.STOP
        return going

    def _tell(self, *, force: bool = False) -> None:
        """Now and then: fold the journal's write-ahead log in, and say how good the data was."""
        now = asyncio.get_running_loop().time()
        if force:
            self._heartbeat.beat(0.0, force=True)
        elif self._manifest.speed and now - self._folded >= FOLD_SECONDS:
            self._folded = now
            self._recorder.journal.checkpoint()
        if force or now - self._told >= QUALITY_SECONDS:
            self._told = now
            if (quality := self.feed.stats()) is not None:
                announce_quality(self.segment, self.feed.feed_kind, quality)

    def close(self) -> None:
        """Everything durable, nothing open."""
        self._recorder.close()
        self._inbox.close()


def main(run_dir: Path, portfolio: MakePortfolio = PortfolioManager) -> int:
    """Run one lifetime; returns the exit code the supervisor expects."""
    die_with_parent()
    manifest = read_manifest(run_dir)
    configure_logging("engine", run_dir / "logs", run_id=manifest.run_id)
    log = structlog.get_logger("engine")
    with FileLock(run_dir / "engine.lock"):
        try:
            process = EngineProcess(run_dir, portfolio)
        except UNUSABLE as error:
            # Starting again would find the same: said in one line, and a person has to put it right.
            sys.stderr.write(f"{type(error).__name__}: {error}\n")
            return EXIT_CONFIG
        log.info("engine starts", segment=process.segment)
        try:
            reason = process.lifetime()
        except FeedError as error:
            if process.segment == 1 and isinstance(error, VenueRefused | StreamSilent):
                # It never worked: a person has to put it right.
                sys.stderr.write(f"{type(error).__name__}: {error}\n")
                return EXIT_CONFIG
            announce("fault", reason=f"{type(error).__name__}: {error}")
            return EXIT_FAULT
    announce("finished", reason=reason)
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
