"""One seed from its market to its end: lives of the engine one after the other, a venue, and a person.

Rule: the engine process is the real one; it is started, killed and started again until its run is over.
"""

from __future__ import annotations

import asyncio
import io
import random
from collections import Counter
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import msgspec
import structlog

from flowguardian.execution.events import LIVE
from flowguardian.execution.money import units
from flowguardian.execution.portfolio_manager import PortfolioManager
from flowguardian.feeds.base import Feed, FeedError
from flowguardian.feeds.direct import DirectFeed
from flowguardian.feeds.markets import Market
from flowguardian.journal.chain import ChainError
from flowguardian.market.records import MINUTE_NS
from flowguardian.ops.assembly import VENUE_FILE, MakePortfolio, configured_market
from flowguardian.ops.engine_process import EngineProcess
from flowguardian.ops.loading import Loaded, load
from flowguardian.ops.manifest import Manifest, write_manifest
from flowguardian.ops.settings import Settings
from flowguardian.simulation.crashpoints import Deaths, Killed
from flowguardian.simulation.exchange import KEYS, Exchange
from flowguardian.simulation.lives import RESTART_SECONDS, Life
from flowguardian.simulation.network import Air
from flowguardian.simulation.virtual_time import NothingToCome, VirtualClock, VirtualLoop
from flowguardian.simulation.watcher import Watcher
from flowguardian.simulation.world import CALM, World

HOUR_NS = 60 * MINUTE_NS
SPAN_HOURS = 36.0
"""A market is always a multiple of this long: the beginning of a longer run is the shorter one."""
_MOST_LIVES = 500


class Told(msgspec.Struct):
    """What is left of a run beside its files."""

    reason: str = ""
    lives: int = 0
    problems: list[str] = []
    """What must not happen, in words."""
    seen: Counter[str] = msgspec.field(default_factory=Counter)
    """Faults that happened, by kind."""
    ledger: dict[str, Any] | None = None
    watcher: Watcher | None = None
    market_seconds: float = 0.0


class Simulation:
    """One world in one directory."""

    def __init__(self, world: World, run_dir: Path, portfolio: MakePortfolio = PortfolioManager) -> None:
        self.world, self.run_dir, self._portfolio = world, run_dir, portfolio
        self.loaded = load(None, world.overrides, {})
        self.told = Told()
        self._market = market_of(world, self.loaded.settings)
        write_manifest(run_dir, _manifest(world, self.loaded, run_dir.name))

    def run(self) -> Told:
        """All lives; what they wrote lies in the directory."""
        loop = VirtualLoop()
        loop.set_exception_handler(self._unheard)
        before = random.getstate()
        # Back-offs are jittered by the process's own chance.
        random.seed(self.world.seed)
        try:
            with _silence(self.told), redirect_stdout(_Nowhere()):
                loop.run_until_complete(self._lives() if self.world.profile != CALM else self._one_life())
        except NothingToCome as error:
            self.told.problems.append(f"the run stands still: {error}")
        finally:
            random.setstate(before)
            _finish(loop)
            self.told.market_seconds = loop.time()
        return self.told

    def _unheard(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if not isinstance(error, Killed):
            self.told.problems.append(f"a task ended unheard: {context.get('message')} {error!r}")

    async def _leave(self, before: set[asyncio.Task[Any]], air: Air, *, killed: bool) -> None:
        """A process that ended by itself leaves nothing running: it would go on beside its next start."""
        await asyncio.sleep(0)
        left = asyncio.all_tasks() - before - air.tasks
        for task in left:
            task.cancel()
        if left and not killed:
            names = sorted(getattr(one.get_coro(), "__qualname__", "") for one in left)
            self.told.problems.append(f"life {self.told.lives} left running: {', '.join(names)}")

    # ---- without trouble

    async def _one_life(self) -> None:
        process = EngineProcess(self.run_dir, self._portfolio, connect=self._direct)
        self.told.lives = 1
        try:
            self.told.reason = await process.live()
        finally:
            process.close()

    def _direct(self, settings: Settings, manifest: Manifest, run_dir: Path) -> Feed:
        return DirectFeed(self._market, manifest.speed, settings.market.history_bars)

    # ---- with it

    async def _lives(self) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)  # noqa: S101 - this is what `run` made
        world, settings = self.world, self.loaded.settings
        exchange = Exchange(self._market, settings, world.plan, balance=units(settings.account.equity))
        air = Air(exchange.server.app(), world.weather, world.network_seconds, f"{world.seed}:network delays")
        clock = VirtualClock(loop, self._market.start_ns)
        deaths = Deaths(world.crashes, loop.time)
        (self.run_dir / VENUE_FILE).write_bytes(
            msgspec.json.encode({"api_key": KEYS.key, "api_secret": KEYS.secret})
        )
        watcher = self.told.watcher = Watcher(world, exchange, self.run_dir)
        beside = [loop.create_task(exchange.run()), loop.create_task(watcher.watch())]
        while not self.told.reason and self.told.lives < _MOST_LIVES and not self.told.problems:
            away = await self._one_of_many(
                Life(self.run_dir, self._portfolio, air, clock, deaths), watcher, air
            )
            if not self.told.reason:
                await asyncio.sleep(away)
        await asyncio.sleep(1.0)
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
        self.told.ledger = exchange.server.desk.ledger()
        self.told.seen.update(air.seen)
        self.told.seen.update(deaths.seen)

    async def _one_of_many(self, life: Life, watcher: Watcher, air: Air) -> float:
        """One life; returns how long the process stays away after it."""
        self.told.lives += 1
        before = asyncio.all_tasks()
        try:
            watcher.process = life.start()
            self.told.reason = await life.over()
        except Killed:
            return life.away_seconds
        except FeedError as error:
            self.told.seen[f"ended: {type(error).__name__}"] += 1
            return RESTART_SECONDS
        except ChainError as error:
            if "disk full" not in str(error):
                raise
            return life.away_seconds
        finally:
            watcher.process = None
            life.bury()
            await self._leave(before, air, killed=life.killed)
        return 0.0


def market_of(world: World, settings: Settings) -> Market:
    """The market of a seed; it goes on after the run."""
    spans = 1 + int(world.hours // (SPAN_HOURS - 12))
    return configured_market(
        settings, f"synthetic:{world.seed}", start_ns=None, hours=spans * SPAN_HOURS, seed=world.seed
    )


def _manifest(world: World, loaded: Loaded, name: str) -> Manifest:
    networked = world.profile != CALM
    return Manifest(
        run_id=name,
        kind="rehearsal",
        market=f"synthetic:{world.seed}",
        start_ns=None,
        planned_ns=round(world.hours * HOUR_NS),
        speed=1.0 if networked else 0.0,
        seed=world.seed,
        config=msgspec.Raw(msgspec.json.encode(loaded.effective)),
        config_hash=loaded.config_hash,
        trading_hash=loaded.trading_hash,
        venue="local" if networked else "direct",
        mode=world.mode,
        start_equity=units(loaded.settings.account.equity) if world.mode == LIVE else 0,
    )


class _Nowhere(io.TextIOBase):
    """What a process says to its supervisor; there is none."""

    def write(self, text: str) -> int:
        return len(text)


@contextmanager
def _silence(told: Told) -> Iterator[None]:
    """Log lines are counted: an error is a problem."""

    def note(_: Any, level: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
        told.seen[f"log {level}"] += 1
        if (
            level in ("error", "critical", "exception")
            and event["event"] != "a position has no stop at the venue"
        ):
            told.problems.append(f"logged as {level}: {event}")
        raise structlog.DropEvent

    before = structlog.get_config()
    structlog.configure(
        processors=[note], wrapper_class=structlog.BoundLogger, cache_logger_on_first_use=False
    )
    try:
        yield
    finally:
        structlog.configure(**before)


def _finish(loop: VirtualLoop) -> None:
    """Nothing of the run goes on."""
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    loop.set_exception_handler(lambda *_: None)
    if tasks:
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
    loop.close()
