"""What the page shows of a run, made anew at each look from its journals and its tape.

Rule: `status`, `why` and `explain` are asked, not imitated; the sections are bytes, replaced whole, so that
whoever sends them never waits for whoever makes them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from flowguardian.cli.answers import Explained, moment, moment_or_none, side_name, usdt
from flowguardian.cli.books import Books, Held
from flowguardian.cli.explanation import explain
from flowguardian.cli.funnel import why
from flowguardian.cli.holds import why_now
from flowguardian.cli.language import Language, Say
from flowguardian.cli.run_rows import RunRows
from flowguardian.cli.standing import status
from flowguardian.dashboard.curves import Curve
from flowguardian.dashboard.followed import FollowedRun
from flowguardian.dashboard.lists import RowLists
from flowguardian.dashboard.shapes import (
    CurveTail,
    CurveWhole,
    Host,
    Market,
    PositionNow,
    QualityNow,
    ResourcesNow,
    RunNow,
    Said,
    StreamAge,
    WhyNow,
)
from flowguardian.dashboard.tape_bars import Bar, TapeBars
from flowguardian.execution import events as ev
from flowguardian.journal.journal import TAPE
from flowguardian.journal.ops_events import FeedSampled, HostSampled, OpsRow, quantile_ms
from flowguardian.ops.registry import Registry
from flowguardian.ops.run_result import ENGINE, SUPERVISOR
from flowguardian.ops.settings_dashboard import Dashboard
from flowguardian.ops.settings_trading import TIMEFRAME_SECONDS

TAIL = 20
"""Points of a curve sent with each change; a page that missed more asks for the whole."""
MEGABYTE = 1_000_000
ONE = 100_000_000
COMMANDED = (ENGINE, SUPERVISOR)
"""Roles that see to a command: while the supervisor lives, an engine that died comes back to it."""
STILL_SECONDS = 2.0
"""Whether the run's processes are alive is asked this often even when nothing was written."""


class NotBegun(Exception):
    """The run has no first row yet, so there is nothing to explain."""


class RunWatch:
    """One run under observation; `look` may run in any thread, one at a time."""

    def __init__(self, run_dir: Path, settings: Dashboard, registry: Registry | None = None) -> None:
        self.run_dir = run_dir
        self.settings = settings
        self.sections: Mapping[str, bytes] = {}
        """Name → JSON; replaced as a whole at each look."""
        self._registry = registry or Registry()
        self._lock = threading.Lock()
        self._followed = FollowedRun(run_dir)
        self._lists = RowLists(settings.rows)
        self._books: Books | None = None
        self._equity = Curve(settings.points, largest=(2,))
        self._host = Curve(settings.points, largest=(2,))
        self._sample: HostSampled | None = None
        self._quality: FeedSampled | None = None
        self._tape: TapeBars | None = None
        self._looked = 0.0

    # ---- looking

    def look(self) -> bool:
        """Read what is new and make the sections anew; whether any of them changed."""
        with self._lock:
            new = self._read()
            if not new and time.monotonic() - self._looked < STILL_SECONDS:
                return False
            self._looked = time.monotonic()
            sections = self._made(self._followed.run)
            changed = sections != self.sections
            self.sections = sections
            return changed

    @property
    def is_behind(self) -> bool:
        """Whether the tape has more than was read so far."""
        return self._tape is not None and self._tape.is_behind

    def _read(self) -> bool:
        count = 0
        for seq, row in self._followed.new_rows():
            count += 1
            self._apply(seq, row)
        for ops_row in self._followed.new_ops():
            count += 1
            self._apply_ops(ops_row)
        return self._read_tape() or count > 0

    def _read_tape(self) -> bool:
        run = self._followed.run
        if run is None:
            return False
        if self._tape is None:
            self._tape = TapeBars(
                self.run_dir / TAPE,
                run.start.symbols,
                bar_seconds=TIMEFRAME_SECONDS[run.config["universe"]["timeframe"]],
                most_bars=self.settings.bars,
                most_bytes=self.settings.tape_mb_per_refresh * MEGABYTE,
            )
        return self._tape.read()

    def _apply(self, seq: int, row: ev.Row) -> None:
        if isinstance(row, ev.RunStarted):
            run = self._followed.run
            assert run is not None  # noqa: S101 - row 1 is what makes a run
            self._books = Books.of(row, run.config)
        self._lists.apply(seq, row)
        books = self._books
        if books is None:
            return
        books.apply(seq, row)
        if isinstance(row, ev.Signal | ev.TimerFired | ev.OrderFilled):
            self._equity.add(self._point(books, row.ts_ns))

    def _point(self, books: Books, ts_ns: int) -> tuple[float, ...]:
        active = [name for name, block in books.config["strategies"].items() if block["enabled"]]
        used = sum(books.used(name) for name in active)
        fallen = 100 * (books.peak - books.equity) / books.peak if books.peak else 0.0
        free = sum(max(0, books.allocated(name) - books.used(name)) for name in active)
        return (ts_ns // 10**9, books.equity / ONE, fallen, used / ONE, free / ONE)

    def _apply_ops(self, row: OpsRow) -> None:
        self._lists.apply_ops(row)
        if isinstance(row, HostSampled):
            self._sample = row
            self._host.add(
                (row.ts_ns // 10**9, row.rss_bytes / MEGABYTE, row.loop_lag_p99_ms, float(row.handles))
            )
        elif isinstance(row, FeedSampled):
            self._quality = row

    # ---- the sections

    def _made(self, run: RunRows | None) -> dict[str, bytes]:
        now_ns = run.market_ns if run is not None else 0
        parts: dict[str, Any] = {
            "run": self._run_now(run),
            "why": WhyNow(why(run, Say("en")) if run is not None else None),
            "positions": self._positions(),
            "lists": self._lists.lists(now_ns),
            "events": self._lists.events(),
            "equity": _tail(self._equity),
            "resources": _tail(self._host),
            "market": self._market(),
            "host": Host(_resources(self._sample), _quality(self._quality)),
        }
        return {name: msgspec.json.encode(part) for name, part in parts.items()}

    def _run_now(self, run: RunRows | None) -> RunNow:
        problem = self._followed.problem or (self._tape.problem if self._tape else "")
        if run is None or self._books is None:
            empty = Said("", "")
            return RunNow(self.run_dir.name, None, empty, problem, False, False, (), ())
        standing = status(run, Say("en"), self._registry)
        said = [why_now(run, self._books, Say(language)).sentence for language in ("en", "ko")]
        return RunNow(
            run_id=run.start.run_id,
            status=standing,
            why_now=Said(*said),
            problem=problem,
            catching_up=self.is_behind,
            commandable=self._is_manned(run),
            symbols=run.start.symbols,
            strategies=tuple(run.config["strategies"]),
        )

    def _positions(self) -> tuple[PositionNow, ...]:
        held = self._books.positions.items() if self._books is not None else ()
        return tuple(self._position(symbol, position) for symbol, position in held)

    def _position(self, symbol: str, held: Held) -> PositionNow:
        # A position the engine did not open itself (a fill nobody asked for) has no journaled levels.
        seq, opened = self._lists.opened.get(symbol, (0, None))
        levels = (opened.stop, opened.target1, opened.target2, opened.trail_distance) if opened else (0,) * 4
        stop, target1, target2, trail = (usdt(units) if units else None for units in levels)
        bars = self._tape.symbols[symbol].bars if self._tape else None
        return PositionNow(
            seq=seq,
            symbol=symbol,
            strategy=held.strategy,
            side=side_name(held.side),
            qty=usdt(held.qty),
            price=usdt(held.cost // held.qty),
            value_usdt=usdt(held.value),
            stop=stop,
            target1=target1,
            target2=target2,
            trail=trail,
            last=bars[-1][4] if bars else None,
            opened=moment(held.opened_ns),
            expires=moment_or_none(held.expiry_ns),
            reduced=self._lists.reduced[symbol],
        )

    def _market(self) -> Market:
        if self._tape is None:
            return Market({}, (), None)
        bars = {name: tuple(kept.bars)[-2:] for name, kept in self._tape.symbols.items() if kept.bars}
        ages = tuple(
            StreamAge(name, stream, kept.records[stream], (self._tape.last_ns - last_ns) / 1e9)
            for name, kept in self._tape.symbols.items()
            for stream, last_ns in kept.last_ns.items()
        )
        return Market(bars, ages, moment_or_none(self._tape.last_ns))

    # ---- what a page asks for

    def takes_commands(self) -> bool:
        """Whether there is an engine to take a command: a row nobody takes would steer a later resume."""
        with self._lock:
            run = self._followed.run
            return run is not None and self._is_manned(run)

    def _is_manned(self, run: RunRows) -> bool:
        living = (entry for entry in self._registry.living() if entry.run_id == run.start.run_id)
        return not run.ended and any(entry.role in COMMANDED for entry in living)

    def curve(self, name: str) -> CurveWhole:
        """A whole curve: equity or resources; raises KeyError."""
        with self._lock:
            curve = {"equity": self._equity, "resources": self._host}[name]
            return CurveWhole(curve.epoch, tuple(curve.points))

    def bars(self, symbol: str) -> tuple[Bar, ...]:
        """All bars kept of a symbol; raises KeyError."""
        with self._lock:
            if self._tape is None:
                raise KeyError(symbol)
            return tuple(self._tape.symbols[symbol].bars)

    def explained(self, seq: int, language: Language) -> Explained:
        """The arithmetic of an attempt; raises CliError when the row belongs to none, NotBegun."""
        with self._lock:
            run = self._followed.run
            if run is None:
                raise NotBegun
            return explain(run, seq, Say(language))


def _tail(curve: Curve) -> CurveTail:
    return CurveTail(curve.epoch, len(curve.points), tuple(curve.points[-TAIL:]))


def _resources(row: HostSampled | None) -> ResourcesNow | None:
    if row is None:
        return None
    return ResourcesNow(
        at=moment(row.ts_ns),
        rss_mb=row.rss_bytes / MEGABYTE,
        cpu_seconds=row.cpu_seconds,
        handles=row.handles,
        threads=row.threads,
        loop_lag_p50_ms=row.loop_lag_p50_ms,
        loop_lag_p99_ms=row.loop_lag_p99_ms,
        journal_mb=row.journal_bytes / MEGABYTE,
        tape_mb=row.tape_bytes / MEGABYTE,
        log_mb=row.log_bytes / MEGABYTE,
    )


def _quality(row: FeedSampled | None) -> QualityNow | None:
    if row is None:
        return None
    silence: dict[str, float] = {}
    for name, ns in row.longest_silence_ns.items():
        kind = name.partition("@")[2]
        silence[kind] = max(silence.get(kind, 0.0), ns / 1e9)
    p50, p95, p99 = (quantile_ms(row.latency_us, share) for share in (0.50, 0.95, 0.99))
    return QualityNow(
        at=moment(row.ts_ns), lifetime=row.lifetime, feed=row.feed,
        fresh_pct=row.fresh_ns * 100 / row.judged_ns if row.judged_ns else None,
        latency_p50_ms=p50, latency_p95_ms=p95, latency_p99_ms=p99,
        longest_silence_s=silence, clock_skew_ms=row.clock_skew_ns / 1e6, used_weight=row.used_weight,
        counts=row.counts, halted=", ".join(row.halted),
    )  # fmt: skip
