"""Puts a run together: the only file that knows the mode.

Rule: everything inside is given its parts here; nothing downstream asks where the market comes from or
whether an order is real.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from flowguardian.brokers.base import VenueBroker
from flowguardian.brokers.paper import PaperBroker
from flowguardian.execution.engine import Engine
from flowguardian.execution.events import OF_AN_ACCOUNT, RunStarted
from flowguardian.execution.limits import Limits
from flowguardian.execution.loop import MarketLoop
from flowguardian.execution.portfolio_manager import PortfolioManager
from flowguardian.execution.recorder import Recorder
from flowguardian.execution.timers import Timers
from flowguardian.feeds.base import Feed
from flowguardian.feeds.binance import BinanceFeed
from flowguardian.feeds.direct import DirectFeed
from flowguardian.feeds.recorded import Market, open_market
from flowguardian.feeds.venues import VENUES, Venue, local
from flowguardian.market.records import MINUTE_NS, SECOND_NS, UNITS
from flowguardian.market.scanner import Running, Scanner
from flowguardian.ops.limits import run_limits, shadow_rows, shadowed_limits
from flowguardian.ops.manifest import Manifest
from flowguardian.ops.registry import state_directory
from flowguardian.ops.segments import HostClock
from flowguardian.ops.settings_feed import feed_options
from flowguardian.ops.strategy_cache import load, scan_of

if TYPE_CHECKING:
    from flowguardian.ops.settings import Settings

DECIDING = ("execution", "guards", "strategies")
"""Folders whose source decides trades; their hash stands in row 1 and in the report."""

VENUE_FILE = "venue.json"
"""The addresses of a run's local venue; disposable."""
HOUR_NS = 60 * MINUTE_NS


class VenueMissing(Exception):
    """A run wants its local venue and there is none."""


MakePortfolio = Callable[[Limits], PortfolioManager]
OpenFeed = Callable[["Settings", Manifest, Path], Feed]


def code_hash() -> str:
    """sha256 over the deciding folders: file names and contents, line ends as LF."""
    package = Path(__file__).resolve().parent.parent
    digest = hashlib.sha256()
    for folder in DECIDING:
        for path in sorted((package / folder).rglob("*.py")):
            text = path.read_bytes().replace(b"\r\n", b"\n")
            digest.update(f"{path.relative_to(package).as_posix()}\n{len(text)}\n".encode() + text)
    return digest.hexdigest()


def keeps_tape(start: RunStarted) -> bool:
    """Whether a run recorded its market; a backtest reads one that is recorded already."""
    return start.kind != "backtest"


def configured_market(
    settings: Settings, spec: str, *, start_ns: int | None, hours: float | None, seed: int
) -> Market:
    """The recorded or synthetic market of a configuration; raises MarketSpecError or DatasetError."""
    market = settings.market
    return open_market(
        spec,
        settings.universe.symbols,
        start_ns,
        hours,
        market.history_bars,
        seed,
        market.prints_per_minute,
        market.tops_per_minute,
        spread=round(market.spread_bps * 10_000),
        top_share=round(market.top_share * UNITS),
        path=market.expand == "path",
        clock_interval_ns=market.clock_interval_seconds * SECOND_NS,
        synthetic_funding=market.funding,
    )


def open_feed(settings: Settings, manifest: Manifest, run_dir: Path) -> Feed:
    """Where the rows of a run come from. Raises MarketSpecError, DatasetError, or VenueMissing."""
    if manifest.venue == "direct":
        market = configured_market(
            settings,
            manifest.market,
            start_ns=manifest.start_ns,
            hours=manifest.planned_ns / HOUR_NS,
            seed=manifest.seed,
        )
        return DirectFeed(market, manifest.speed, settings.market.history_bars)
    own = manifest.venue == "local"
    options = feed_options(
        settings.feed,
        clock_interval_seconds=settings.market.clock_interval_seconds,
        bar_ns=settings.bar_seconds * SECOND_NS,
        history_bars=settings.market.history_bars,
    )
    # A ban is of this host's address at an exchange, whatever run it was earned by; our own venue is a run's.
    limits = run_dir if own else state_directory()
    return BinanceFeed(
        _own_venue(run_dir) if own else VENUES[manifest.venue],
        settings.universe.symbols,
        options,
        clock=HostClock(),
        limits_path=limits / f"limits-{manifest.venue}.json",
        lockstep_token=manifest.run_id if manifest.speed != 1 else "",
    )


def _own_venue(run_dir: Path) -> Venue:
    try:
        return local((run_dir / VENUE_FILE).read_bytes())
    except OSError as error:
        raise VenueMissing(
            f"{run_dir / VENUE_FILE}: no local venue is running for this run ({error.strerror}). "
            f"Start the run with its supervisor: flowguardian paper --run-dir {run_dir}"
        ) from error


def assemble(
    settings: Settings,
    recorder: Recorder,
    *,
    seed: int,
    planned_ns: int,
    portfolio: MakePortfolio = PortfolioManager,
    mode: str = "paper",
    start_equity: int = 0,
) -> MarketLoop:
    """A fresh loop with its engine, ready for the first fact; a live one sends nothing yet."""
    limits = run_limits(settings, mode, start_equity)
    symbols = settings.universe.symbols
    bar_ns = settings.bar_seconds * SECOND_NS
    engine = Engine(limits, shadow_rows(shadowed_limits(settings), 0), portfolio(limits))
    scanner = Scanner(
        len(symbols),
        [_running(name, settings, len(symbols)) for name in settings.active],
        interval_ns=bar_ns,
        grace_ns=round(settings.market.close_grace_seconds * SECOND_NS),
    )
    return MarketLoop(
        symbols=symbols,
        engine=engine,
        broker=VenueBroker()
        if mode in OF_AN_ACCOUNT
        else PaperBroker(limits.costs, seed, engine.instruments),
        scanner=scanner,
        recorder=recorder,
        timers=Timers(settings.run.checkpoint_interval_minutes * MINUTE_NS, planned_ns),
        bar_ns=bar_ns,
        equity_interval_ns=round(settings.market.equity_interval_seconds * SECOND_NS),
    )


def _running(name: str, settings: Settings, symbols: int) -> Running:
    strategy = load(name)
    return Running(
        name,
        scan_of(strategy),
        strategy.params_from(settings.strategies[name].params),
        [strategy.new_state() for _ in range(symbols)],
        dict(strategy.patterns),
    )
