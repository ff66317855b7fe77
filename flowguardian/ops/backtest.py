"""A backtest: the engine and loop of every other mode over a market file, as fast as the file can be read.

Rule: it makes the facts a run begins with and hands over chunks; no decision is taken here, no tape is
written, and what is reported is counted from rows.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Literal, Protocol

import msgspec

from flowguardian import __version__
from flowguardian.execution import events as ev
from flowguardian.execution.loop import MarketLoop
from flowguardian.execution.money import decimal
from flowguardian.feeds.flat import FlatMarket, open_flat
from flowguardian.feeds.recorded import Market, stamp
from flowguardian.journal.journal import JOURNAL, BatchRecorder, MemoryRecorder
from flowguardian.market.columns import Columns, partition
from flowguardian.market.records import MINUTE_NS, SECOND_NS
from flowguardian.ops.assembly import assemble, code_hash, configured_market
from flowguardian.ops.equity_curve import EquityCurve, Move
from flowguardian.ops.loading import DEFAULT, Loaded, load
from flowguardian.ops.manifest import Manifest, write_manifest
from flowguardian.ops.resources import peak_rss_mb

Journal = Literal["memory", "batched", "off"]
HOUR_NS = 60 * MINUTE_NS
CHUNK_ROWS = 8_000_000
"""Rows of a chunk that lies in columns already; smaller ones only cost time."""
BLOCK_ROWS = 400_000
"""Rows of a chunk that is made row by row first."""
FOR_LONG_RUNS = {"market.clock_interval_seconds": "60", "run.checkpoint_interval_minutes": "720"}
"""What a backtest sets where neither file nor --set says otherwise."""


class Inner(Protocol):
    """Where rows are kept, if anywhere."""

    def commit(self, rows: Sequence[ev.Row], *, durable: bool) -> None:
        """One fact and its decisions."""


@dataclass(frozen=True, slots=True)
class BacktestPlan:
    """What somebody asked for; `hours` None is to the end of the file (a synthetic market: 12)."""

    loaded: Loaded
    market: str
    start_ns: int | None = None
    hours: float | None = None
    seed: int = 1
    journal: Journal = "memory"
    run_dir: Path | None = None
    chunk_rows: int = CHUNK_ROWS


class BacktestResult(msgspec.Struct, frozen=True):
    """What came of it; money in USDT. `seconds` is the engine alone, `load_seconds` opening the market."""

    run_id: str
    market: str
    feed: str
    symbols: int
    start: str
    end: str
    market_hours: float
    rows: int
    signals: int
    entries: int
    budget_caps: int
    refused: dict[str, int]
    closed: int
    open_positions: int
    wins: int
    win_rate_pct: float | None
    fees: Decimal
    funding: Decimal
    realised: Decimal
    start_equity: Decimal
    equity: Decimal
    max_drawdown_pct: float
    violations: int
    load_seconds: float
    seconds: float
    rows_per_second: int
    peak_rss_mb: float
    config_hash: str
    trading_hash: str
    run_dir: str | None


def backtest_config(path: Path | None, overrides: Sequence[str]) -> Loaded:
    """The configuration, with a coarser clock and rarer checkpoints unless it says how it wants them."""
    loaded = load(path, overrides)
    open_keys = [f"{key}={value}" for key, value in FOR_LONG_RUNS.items() if loaded.origins[key] == DEFAULT]
    return load(path, [*overrides, *open_keys]) if open_keys else loaded


class Tally:
    """Passes rows on and keeps what the result needs: moves of the account, wins, violations."""

    def __init__(self, symbols: Sequence[str], inner: Inner | None) -> None:
        self._inner = inner
        self._index = {symbol: index for index, symbol in enumerate(symbols)}
        self._sides: dict[str, int] = {}
        self.moves: list[Move] = []
        self.wins = self.violations = 0
        self._on: dict[type[ev.Row], Callable[..., None]] = {
            ev.OrderFilled: self._filled,
            ev.FundingSettled: self._funded,
            ev.PositionOpened: self._opened,
            ev.PositionClosed: self._closed,
            ev.Liquidated: self._liquidated,
            ev.InvariantViolated: self._violated,
        }

    def market(self, rows: object) -> None:
        """The data is on disk already."""

    def commit(self, rows: Sequence[ev.Row], *, durable: bool) -> None:
        """Keep the rows, then count."""
        if self._inner is not None:
            self._inner.commit(rows, durable=durable)
        for row in rows:
            if (count := self._on.get(type(row))) is not None:
                count(row)

    def _filled(self, row: ev.OrderFilled) -> None:
        move = Move(row.ts_ns, self._index[row.symbol], row.side * row.qty, row.price, -row.fee)
        self.moves.append(move)

    def _funded(self, row: ev.FundingSettled) -> None:
        self.moves.append(Move(row.ts_ns, self._index[row.symbol], 0, 0, row.amount))

    def _opened(self, row: ev.PositionOpened) -> None:
        self._sides[row.symbol] = row.side

    def _liquidated(self, row: ev.Liquidated) -> None:
        qty = -self._sides[row.symbol] * row.qty
        self.moves.append(Move(row.ts_ns, self._index[row.symbol], qty, row.price, -row.fee))

    def _closed(self, row: ev.PositionClosed) -> None:
        self.wins += row.realised - row.fees + row.funding > 0

    def _violated(self, _: ev.InvariantViolated) -> None:
        self.violations += 1


class Backtest:
    """One market, opened once; `run` may be called again and gives the same rows (benchmarks do)."""

    def __init__(self, plan: BacktestPlan) -> None:
        self.plan, self.settings = plan, plan.loaded.settings
        began = time.perf_counter()
        self.market = self._open()
        self.load_seconds = time.perf_counter() - began
        self.loop: MarketLoop
        self.rows: list[ev.Row] = []
        """The journal of the last run, when it is kept in memory."""

    def _open(self) -> FlatMarket | Market:
        plan, market = self.plan, self.settings.market
        flat = open_flat(
            plan.market,
            self.settings.universe.symbols,
            plan.start_ns,
            plan.hours,
            market.history_bars,
            path=market.expand == "path",
            tops=market.tops_per_minute > 0,
        )
        if flat is not None:
            return flat
        return configured_market(
            self.settings, plan.market, start_ns=plan.start_ns, hours=plan.hours, seed=plan.seed
        )

    # ---- chunks

    def chunks(self, after_ns: int) -> Iterator[Columns]:
        """The market in the order of time; stamps go on after the one given."""
        market, interval_ns = self.market, self.settings.market.clock_interval_seconds * SECOND_NS
        if isinstance(market, FlatMarket):
            yield from market.chunks(after_ns, interval_ns, self.plan.chunk_rows)
            return
        span_ns = self._span_ns(market)
        for from_ns in range(market.start_ns, market.end_ns + 1, span_ns):
            rows = market.rows(from_ns, min(from_ns + span_ns, market.end_ns + 1))
            if len(rows):
                stamp(rows, after_ns)
                after_ns = int(rows["ts_ns"][-1])
                yield partition(rows, len(market.symbols))

    def _span_ns(self, market: Market) -> int:
        """Market time of a chunk; the number of rows of the first minute is taken for that of all."""
        per_minute = len(market.rows(market.start_ns, market.start_ns + MINUTE_NS))
        return max(1, min(self.plan.chunk_rows, BLOCK_ROWS) // max(1, per_minute)) * MINUTE_NS

    # ---- the run

    def run(self, on_progress: Callable[[float], None] | None = None) -> BacktestResult:
        """Run from the start; closes the journal also when it is interrupted."""
        plan = self.plan
        run_id, run_dir = self._place()
        batch = BatchRecorder(run_dir / JOURNAL) if run_dir is not None else None
        memory = MemoryRecorder() if plan.journal == "memory" else None
        tally = Tally(self.settings.universe.symbols, batch or memory)
        try:
            spent, rows, curve = self._drive(run_id, tally, on_progress or (lambda _: None))
            if batch is not None:
                closing = time.perf_counter()
                batch.flush()
                spent += time.perf_counter() - closing
        finally:
            if batch is not None:
                batch.close()
        self.rows = memory.rows if memory is not None else []
        return self._result(run_id, run_dir, tally, curve, rows, spent)

    def _place(self) -> tuple[str, Path | None]:
        plan, moment = self.plan, datetime.now(UTC)
        run_id = f"{moment:%Y%m%d-%H%M%S}-{moment.microsecond // 1000:03d}-backtest"
        if plan.journal != "batched":
            return run_id, None
        run_dir = plan.run_dir or Path(self.settings.run.directory) / run_id
        write_manifest(run_dir, self._manifest(run_dir.name))
        return run_dir.name, run_dir

    def _manifest(self, run_id: str) -> Manifest:
        plan, loaded = self.plan, self.plan.loaded
        return Manifest(
            run_id=run_id,
            kind="backtest",
            market=plan.market,
            start_ns=self.market.start_ns,
            planned_ns=self.market.end_ns - self.market.start_ns,
            speed=0.0,
            seed=plan.seed,
            config=msgspec.Raw(msgspec.json.encode(loaded.effective)),
            config_hash=loaded.config_hash,
            trading_hash=loaded.trading_hash,
        )

    def _drive(
        self, run_id: str, tally: Tally, on_progress: Callable[[float], None]
    ) -> tuple[float, int, EquityCurve]:
        """The whole market through a fresh loop: engine seconds, market rows, the curve."""
        market, settings = self.market, self.settings
        planned_ns = market.end_ns - market.start_ns
        self.loop = loop = assemble(settings, tally, seed=self.plan.seed, planned_ns=planned_ns)
        interval_ns = settings.market.equity_interval_seconds * SECOND_NS
        curve = EquityCurve(len(market.symbols), loop.engine.limits.start_equity, interval_ns)
        self._begin(run_id)
        spent, rows = 0.0, 0
        for columns in self.chunks(loop.now_ns):
            began = time.perf_counter()
            loop.run(columns)
            spent += time.perf_counter() - began
            rows += len(columns.trade_ts) + len(columns.top_ts) + len(columns.others)
            curve.add(columns, tally.moves, loop.live_ns)
            tally.moves.clear()
            on_progress(min(1.0, (columns.end_ns - market.start_ns) / planned_ns))
        loop.fact(ev.SegmentEnded(loop.now_ns, 1, "completed"))
        return spent, rows, curve

    def _begin(self, run_id: str) -> None:
        """The facts every run begins with, and the history that warms the indicators."""
        loop, market, loaded = self.loop, self.market, self.plan.loaded
        history = market.history(market.start_ns, self.settings.market.history_bars)
        loop.now_ns = before_ns = market.start_ns - len(history) - 2
        loop.fact(
            ev.RunStarted(
                ts_ns=before_ns,
                run_id=run_id,
                kind="backtest",
                mode="backtest",
                feed=market.feed_kind,
                config=msgspec.Raw(msgspec.json.encode(loaded.effective)),
                config_hash=loaded.config_hash,
                trading_hash=loaded.trading_hash,
                code_hash=code_hash(),
                version=__version__,
                seed=self.plan.seed,
                symbols=self.settings.universe.symbols,
                start_equity=loop.engine.limits.start_equity,
                planned_ns=market.end_ns - market.start_ns,
            )
        )
        loop.fact(ev.InstrumentsSet(before_ns, tuple(market.instruments)))
        loop.fact(ev.SegmentStarted(before_ns, 1, "first"))
        if len(history):
            loop.turn(stamp(history, before_ns))
        loop.fact(ev.WentLive(loop.now_ns))

    def _result(
        self, run_id: str, run_dir: Path | None, tally: Tally, curve: EquityCurve, rows: int, spent: float
    ) -> BacktestResult:
        market, loaded = self.market, self.plan.loaded
        score, portfolio = self.loop.engine.score, self.loop.engine.portfolio
        return BacktestResult(
            run_id=run_id,
            market=self.plan.market,
            feed=market.feed_kind,
            symbols=len(market.symbols),
            start=_utc(market.start_ns),
            end=_utc(market.end_ns),
            market_hours=round((market.end_ns - market.start_ns) / HOUR_NS, 4),
            rows=rows,
            signals=score.signals,
            entries=score.entries,
            budget_caps=score.budget_caps,
            refused={code.value: count for code, count in score.refused.items() if count},
            closed=score.closed,
            open_positions=len(portfolio.positions),
            wins=tally.wins,
            win_rate_pct=round(tally.wins * 100 / score.closed, 2) if score.closed else None,
            fees=decimal(portfolio.fees),
            funding=decimal(portfolio.funding),
            realised=decimal(portfolio.realised),
            start_equity=decimal(self.loop.engine.limits.start_equity),
            equity=decimal(self.loop.equity()),
            max_drawdown_pct=round(curve.max_drawdown_pct, 4),
            violations=tally.violations,
            load_seconds=round(self.load_seconds, 4),
            seconds=round(spent, 4),
            rows_per_second=math.floor(rows / spent) if spent else 0,
            peak_rss_mb=round(peak_rss_mb(), 1),
            config_hash=loaded.config_hash,
            trading_hash=loaded.trading_hash,
            run_dir=str(run_dir) if run_dir else None,
        )


def _utc(time_ns: int) -> str:
    return datetime.fromtimestamp(time_ns // SECOND_NS, UTC).isoformat().replace("+00:00", "Z")
