"""The engine child of a run: feed, loop, journal, in one thread; watched and restarted by the supervisor.

Rule: start and resume are one path. On stdout, one JSON object per line, it says how it lives and ends.
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import msgspec
import structlog

from flowguardian import __version__
from flowguardian.execution import events as ev
from flowguardian.execution.loop import MarketLoop
from flowguardian.execution.portfolio_manager import PortfolioManager
from flowguardian.execution.replay import ComparingRecorder, ReplayDiverged, exogenous, replay
from flowguardian.feeds.recorded import Market, MarketSpecError, stamp
from flowguardian.journal.chain import ChainError
from flowguardian.journal.journal import JOURNAL, TAPE, Recorder, read_rows
from flowguardian.market.files import DatasetError
from flowguardian.market.instruments import UnknownInstrument
from flowguardian.market.tape import TapeError, read_tape, segment_paths
from flowguardian.ops.assembly import MakePortfolio, assemble, code_hash, open_feed
from flowguardian.ops.commands import CommandInbox
from flowguardian.ops.config_errors import ConfigError
from flowguardian.ops.engine_child import EXIT_CONFIG
from flowguardian.ops.heartbeat import Heartbeat, announce, told
from flowguardian.ops.loading import settings_from
from flowguardian.ops.log import configure_logging
from flowguardian.ops.manifest import Manifest, read_manifest
from flowguardian.ops.platform_lock import FileLock
from flowguardian.ops.platform_process import die_with_parent
from flowguardian.strategies.base import StrategyError

SLICE_NS = 60_000_000_000
"""Market time per turn when running as fast as it will go."""
PACED_SLICE_NS = 250_000_000
"""Market time per turn at 1×, grown with the speed."""
HOUR_NS = 3_600_000_000_000
IDLE_SECONDS, FOLD_SECONDS = 0.1, 60.0
"""With this long until the next turn, and at most this often, the journal's write-ahead log is folded in."""
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
)
"""What a start cannot go on with: a market or a record of this run that is gone, changed or damaged."""


class JournalLost(ChainError):
    """The tape knows more of the run than a journal can have lost in a crash."""


class AnnouncingRecorder(Recorder):
    """Says on stdout when a checkpoint is durable."""

    def commit(self, rows: Sequence[ev.Row], *, durable: bool) -> None:
        """Write the batch, then tell about the checkpoint in it."""
        super().commit(rows, durable=durable)
        for row in rows:
            if isinstance(row, ev.CheckpointTaken):
                announce("checkpoint", name=row.name, market_ns=row.ts_ns, run_ns=row.run_ns, line=told(row))


class EngineProcess:
    """One lifetime of the engine of a run."""

    def __init__(self, run_dir: Path, portfolio: MakePortfolio = PortfolioManager) -> None:
        self._manifest = read_manifest(run_dir)
        self._settings = settings_from(msgspec.json.decode(self._manifest.config))
        self._run_dir = run_dir
        self._portfolio = portfolio
        self._market = self._open_market(self._manifest)
        self.segment = 1
        self._fold_at = 0.0
        with ExitStack() as opened:
            self._recorder = AnnouncingRecorder(run_dir)
            opened.callback(self._recorder.close)
            self._inbox = CommandInbox(run_dir)
            opened.callback(self._inbox.close)
            self.loop = self._resume_or_start()
            # From here on `close` is the caller's.
            opened.pop_all()
        self._heartbeat = Heartbeat(
            self.loop, self._settings.active, float(self._settings.run.heartbeat_seconds)
        )

    def _open_market(self, manifest: Manifest) -> Market:
        hours = manifest.planned_ns / HOUR_NS
        return open_feed(
            self._settings, manifest.market, start_ns=manifest.start_ns, hours=hours, seed=manifest.seed
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
        )
        blocks = read_tape(self._run_dir / TAPE) if segment_paths(self._run_dir / TAPE) else iter(())
        facts = exogenous(row for _, row in pairs)
        self.segment += sum(isinstance(fact, ev.SegmentStarted) for fact in facts)
        replay(loop, (block for block in blocks if len(block)), facts)
        comparing.finish()
        if not loop.engine.live and loop.now_ns >= self._market.start_ns:
            raise JournalLost(
                f"{self._run_dir / JOURNAL}: holds {len(pairs)} rows and not that the run went live, but the "
                "tape goes on after it: rows were lost. Start a new run; what is here can only be judged."
            )
        loop.record_to(self._recorder)
        return loop

    def prepare(self) -> None:
        """Bring a new, resumed or half-started run to live."""
        loop, market, manifest = self.loop, self._market, self._manifest
        history = market.history(market.start_ns, self._settings.market.history_bars)
        before_ns = market.start_ns - len(history) - 2
        loop.now_ns = max(loop.now_ns, before_ns)
        if self._recorder.journal.seq == 0:
            loop.fact(self._run_started(manifest, loop.now_ns))
        if not loop.engine.instruments:
            loop.fact(ev.InstrumentsSet(loop.now_ns, tuple(market.instruments)))
        reason = "first" if self.segment == 1 else "resume"
        loop.fact(ev.SegmentStarted(loop.now_ns, self.segment, reason))
        if not loop.engine.live:
            if loop.now_ns == before_ns and len(history):
                loop.turn(stamp(history, before_ns))
            loop.fact(ev.WentLive(loop.now_ns))
            # The beginning stands in the file itself from the first moment on.
            self._recorder.journal.checkpoint()

    def _run_started(self, manifest: Manifest, ts_ns: int) -> ev.RunStarted:
        return ev.RunStarted(
            ts_ns=ts_ns,
            run_id=manifest.run_id,
            kind=manifest.kind,
            mode="paper",
            feed=self._market.feed_kind,
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

    # ---- the loop

    def run(self) -> str:
        """Release the market slice by slice until the planned end or a stop; returns the reason."""
        market, loop, speed = self._market, self.loop, self._manifest.speed
        slice_ns = SLICE_NS if speed == 0 else max(PACED_SLICE_NS, int(PACED_SLICE_NS * speed))
        from_ns = max(market.start_ns, loop.now_ns + 1)
        began_ns, began = from_ns, time.monotonic()
        # What was made so far stays: the collector need not look at it again in every full collection.
        gc.collect()
        gc.freeze()
        announce("ready", market_ns=loop.now_ns, segment=self.segment)
        reason = "completed"
        while not loop.finished and from_ns <= market.end_ns:
            if not self._obey():
                reason = "stopped"
                break
            to_ns = min(from_ns + slice_ns, market.end_ns + 1)
            if speed:
                self._wait_until(began + (to_ns - began_ns) / 1e9 / speed)
            turn_began = time.perf_counter()
            rows = market.rows(from_ns, to_ns)
            if len(rows):
                loop.turn(stamp(rows, loop.now_ns))
            self._heartbeat.beat(time.perf_counter() - turn_began)
            from_ns = to_ns
        loop.fact(ev.SegmentEnded(loop.now_ns, self.segment, reason))
        self._heartbeat.beat(0.0, force=True)
        return reason

    def _wait_until(self, moment: float) -> None:
        if moment - time.monotonic() > IDLE_SECONDS and time.monotonic() >= self._fold_at:
            # Idle: nobody waits while the write-ahead log goes into the journal.
            self._recorder.journal.checkpoint()
            self._fold_at = time.monotonic() + FOLD_SECONDS
        while (left := moment - time.monotonic()) > 0:
            self._heartbeat.beat(0.0)
            time.sleep(min(left, 0.25))

    def _obey(self) -> bool:
        """Turn waiting commands into facts; False when one of them was `stop`."""
        going = True
        for asked in self._inbox.pending():
            self.loop.fact(ev.CommandReceived(self.loop.now_ns, asked.id, asked.command, asked.by))
            self._inbox.acknowledge(asked.id, self.loop.now_ns)
            going = going and asked.command is not ev.Command.STOP
        return going

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
        process.prepare()
        log.info("engine is live", segment=process.segment)
        reason = process.run()
        process.close()
    announce("finished", reason=reason)
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
