"""Limits, engines, loops and small markets for the tests of the core: one ordinary case, changed by keyword.

Rule: with nothing changed an entry is made; every random market is a function of its seed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec
import numpy as np

from flowguardian.brokers.paper import PaperBroker
from flowguardian.execution import events as ev
from flowguardian.execution.engine import Engine
from flowguardian.execution.limits import (
    BudgetLimits,
    Costs,
    GuardLimits,
    Limits,
    SizingLimits,
    StrategyLimits,
)
from flowguardian.execution.loop import MarketLoop
from flowguardian.execution.money import SCALE, units
from flowguardian.execution.timers import Timers
from flowguardian.journal.journal import MemoryRecorder
from flowguardian.market.instruments import Instrument
from flowguardian.market.records import NO_SYMBOL, ROW, Flag, Kind
from flowguardian.market.scanner import Running, Scanner
from flowguardian.strategies.base import Param, Strategy, python_scan

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
T0 = 1_747_828_800 * SECOND
"""2025-05-21 12:00 UTC."""

SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
TICK, STEP = units("0.01"), units("0.001")
INSTRUMENTS = tuple(Instrument(name, TICK, STEP, STEP, units(10_000), units(5)) for name in SYMBOLS)

_PARTS: dict[str, Any] = {
    "sizing": SizingLimits(
        min_notional=units(100),
        max_notional=units(15_000),
        risk_per_trade=units("0.003"),
        multi_position_scaling=True,
        exposure_reduction=units("0.95"),
        allow_partial_entry=True,
        context_enabled=False,
        atr_low=0,
        atr_high=0,
        low_volatility_mult=SCALE,
        high_volatility_mult=SCALE,
        leverage=10,
    ),
    "budget": BudgetLimits(
        allocation={},
        default_allocation=units("0.25"),
        max_positions=3,
        max_strategy_positions=5,
        max_symbol_exposure=units("0.35"),
        max_total_exposure=units("0.95"),
        max_total_notional=None,
    ),
    "guards": GuardLimits(
        enabled=frozenset({ev.Reason.READY_GATE, ev.Reason.WARMUP, ev.Reason.STALE_SIGNAL})
        | {ev.Reason.SIGNAL_IDEMPOTENCY, ev.Reason.DUPLICATE_ENTRY, ev.Reason.PRICE_SANITY}
        | {ev.Reason.MAX_POSITIONS, ev.Reason.MAX_STRATEGY_POSITIONS},
        warmup_bars=2,
        max_trade_age_ns=30 * SECOND,
        max_top_age_ns=0,
        max_signal_age_ns=30 * SECOND,
        max_clock_skew_ns=SECOND,
        flash_move=units("0.05"),
        volume_spike_mult=4.0,
        volume_thin_mult=0.0,
        max_spread=units("0.01"),
        max_price_deviation=units("0.01"),
        symbol_cooldown_ns=0,
        entry_cooldown_ns=0,
        max_consecutive_losses=3,
        loss_pause_ns=0,
        max_daily_loss=units("0.9"),
        max_drawdown=units("0.9"),
        starvation_window_ns=HOUR,
        starvation_signals=3,
    ),
    "costs": Costs(
        taker=units("0.0004"),
        maker=units("0.0002"),
        slippage=units("0.0005"),
        max_slippage=units("0.002"),
        latency_min_ns=0,
        latency_max_ns=0,
        maintenance_margin=units("0.005"),
    ),
}
_STRATEGY = StrategyLimits(
    name="coin",
    max_hold_ns=4 * MINUTE,
    target1_fraction=units("0.5"),
    break_even_trigger=0,
    allow_add=False,
    max_adds=0,
    on_opposite="ignore",
)


def limits(
    *, start_equity: int = units(50_000), strategies: Sequence[str] = ("coin",), **changed: Any
) -> Limits:
    """The ordinary limits, any field of any part replaced by keyword; strategy fields go to all of them."""
    parts = {}
    for name, part in {**_PARTS, "strategy": _STRATEGY}.items():
        own = {key: changed.pop(key) for key in tuple(changed) if key in part.__struct_fields__}
        parts[name] = msgspec.structs.replace(part, **own)
    assert not changed, f"no such limits: {sorted(changed)}"
    one = parts.pop("strategy")
    named = {name: msgspec.structs.replace(one, name=name) for name in strategies}
    return Limits(start_equity=start_equity, strategies=named, **parts)


def engine(of: Limits | None = None, *, live: bool = True) -> Engine:
    """An engine that knows its instruments and, unless told otherwise, went live."""
    made = Engine(of or limits())
    made.process(ev.InstrumentsSet(T0, INSTRUMENTS))
    if live:
        made.process(ev.WentLive(T0))
    return made


def signal(ts_ns: int, symbol: str = SYMBOLS[0], side: int = 1, **changed: Any) -> ev.Signal:
    """A healthy signal at 100 USDT with a stop 1 USDT away, of a bar that closed just now."""
    fields: dict[str, Any] = {
        "ts_ns": ts_ns,
        "symbol": symbol,
        "strategy": "coin",
        "side": side,
        "pattern": "coin",
        "bar_ns": ts_ns - MINUTE,
        "bar_end_ns": ts_ns,
        "price": units(100),
        "bid": 0,
        "ask": 0,
        "trade_age_ns": 0,
        "top_age_ns": -1,
        "stop_distance": units(1),
        "target1_distance": units(2),
        "target2_distance": 0,
        "trail_distance": 0,
        "atr": 0.5,
        "volume": 10.0,
        "volume_mean": 10.0,
        "move": 0.0,
        "bars_seen": 100,
        "clock_skew_ns": 0,
        "marks": (),
        "peak_equity": 0,
        "day_start_equity": 0,
    }
    return ev.Signal(**{**fields, **changed})


def filled(
    order: ev.OrderRequested, fill_id: int, qty: int, price: int, ts_ns: int | None = None
) -> ev.OrderFilled:
    """A fill of an order, with the taker fee of the ordinary limits rounded up."""
    fee = -(-price * qty * _PARTS["costs"].taker // (SCALE * SCALE))
    at = order.ts_ns if ts_ns is None else ts_ns
    return ev.OrderFilled(at, order.order_id, fill_id, order.symbol, order.side, qty, price, fee)


def one(rows: Iterable[ev.Row], kind: type[ev.Row]) -> Any:
    """The only row of a kind."""
    found = [row for row in rows if isinstance(row, kind)]
    assert len(found) == 1, f"{len(found)} rows of {kind.__name__}"
    return found[0]


def of_kind(rows: Iterable[ev.Row], kind: type[Any]) -> list[Any]:
    """The rows of a kind, in order."""
    return [row for row in rows if isinstance(row, kind)]


# ---- a strategy that signals often, whatever the market does


def _coin(state: Any, bar: Any, params: Any, out: Any) -> int:
    """One bar in `one_in` signals; the side follows from the bar alone."""
    mixed = (int(bar.close) // TICK * 2654435761 + int(bar.open_ns) // MINUTE * 40503) >> 3
    if mixed % params.one_in:
        return 0
    close = bar.close / SCALE
    out.pattern = 1
    out.atr = close * 0.001
    out.stop = close * params.stop
    out.target1 = close * params.target1
    out.target2 = close * params.target2
    out.trail = close * params.trail
    return 1 if (mixed >> 7) & 1 else -1


COIN = Strategy(
    name="coin",
    step=_coin,
    state=np.dtype([("unused", "i8")]),
    params={
        "one_in": Param(2, 1, 1000),
        "stop": Param(0.002, 0.0, 1.0),
        "target1": Param(0.002, 0.0, 1.0),
        "target2": Param(0.0, 0.0, 1.0),
        "trail": Param(0.0, 0.0, 1.0),
    },
    patterns={1: "coin"},
    warmup=lambda _: 2,
)


# ---- a market of everything that can come


def market(
    seed: int,
    *,
    minutes: int = 30,
    symbols: int = 3,
    per_minute: int = 12,
    tops: bool = True,
    thin: bool = True,
    backfilled: float = 0.0,
    path: float = 0.0,
    funding_every_ns: int = 0,
    quiet: bool = True,
    volatility: float = 0.0008,
    clock_ns: int = SECOND,
    start_ns: int = T0,
) -> np.ndarray[Any, Any]:
    """Stamped rows of a random walk per symbol: trades, tops, clock rows, marks, quiet spells, late rows."""
    rng = np.random.default_rng(seed)
    end_ns = start_ns + minutes * MINUTE
    parts = [_clock(start_ns, end_ns, clock_ns)]
    for symbol in range(symbols):
        times = np.sort(rng.integers(start_ns + 1, end_ns, minutes * per_minute))
        if quiet and symbol:
            for _ in range(2):
                low = rng.integers(start_ns, end_ns)
                times = times[(times < low) | (times > low + 3 * MINUTE)]
        count = len(times)
        steps = rng.normal(0, volatility, count)
        prices = (np.rint(100 * (symbol + 1) * np.exp(np.cumsum(steps)) * 100) * TICK).astype(np.int64)
        trades = np.zeros(count, ROW)
        trades["kind"], trades["symbol"], trades["venue_ns"], trades["ts_ns"] = (
            Kind.TRADE,
            symbol,
            times,
            times,
        )
        trades["a"], trades["b"] = prices, rng.integers(1, 5000, count) * STEP
        trades["flags"][rng.random(count) < path] |= int(Flag.PATH)
        late = rng.random(count) < backfilled
        trades["flags"][late] |= int(Flag.BACKFILLED)
        trades["venue_ns"][late] -= rng.integers(0, 90, late.sum()) * SECOND
        parts.append(trades)
        if tops:
            quotes = np.zeros(count, ROW)
            quotes["kind"], quotes["symbol"] = Kind.TOP, symbol
            quotes["ts_ns"] = quotes["venue_ns"] = times + rng.integers(1, SECOND, count)
            quotes["a"], quotes["c"] = prices - TICK, prices + TICK
            sizes = 4000 if thin else 10**9
            quotes["b"], quotes["d"] = rng.integers(0, sizes, (2, count)) * STEP
            parts.append(quotes)
        if funding_every_ns:
            at = np.arange(start_ns + funding_every_ns, end_ns, funding_every_ns)
            marks = np.zeros(len(at), ROW)
            marks["kind"], marks["flags"], marks["symbol"] = Kind.MARK, int(Flag.FUNDING), symbol
            marks["ts_ns"] = marks["venue_ns"] = at + symbol + 1
            marks["a"] = marks["b"] = 100 * (symbol + 1) * SCALE + 12_345
            marks["c"] = rng.integers(-30_000, 30_000, len(at))
            parts.append(marks)
    rows = np.concatenate(parts)
    rows = rows[np.argsort(rows["ts_ns"], kind="stable")]
    for i in range(1, len(rows)):
        if rows["ts_ns"][i] <= rows["ts_ns"][i - 1]:
            rows["ts_ns"][i] = rows["ts_ns"][i - 1] + 1
    return rows


def _clock(start_ns: int, end_ns: int, every_ns: int) -> np.ndarray[Any, Any]:
    times = np.arange(start_ns + every_ns, end_ns + every_ns, every_ns)
    rows = np.zeros(len(times), ROW)
    rows["kind"], rows["symbol"] = Kind.CLOCK, NO_SYMBOL
    rows["ts_ns"] = rows["venue_ns"] = times
    return rows


def trade(
    ts_ns: int, price: str, *, symbol: int = 0, qty: str = "1", flags: int = 0, venue_ns: int = 0
) -> Any:
    """One TRADE row."""
    row = np.zeros(1, ROW)
    row["kind"], row["flags"], row["symbol"] = Kind.TRADE, flags, symbol
    row["ts_ns"], row["venue_ns"] = ts_ns, venue_ns or ts_ns
    row["a"], row["b"] = units(price), units(qty)
    return row


def clock(ts_ns: int) -> Any:
    """One CLOCK row."""
    return _clock(ts_ns - 1, ts_ns, 1)


# ---- the whole pipeline


class Machine:
    """A loop over a memory recorder, with what it is made of at hand."""

    def __init__(
        self,
        of: Limits | None = None,
        *,
        seed: int = 7,
        params: dict[str, Any] | None = None,
        strategies: Sequence[str] = ("coin",),
        timer_ns: int = 5 * MINUTE,
        planned_ns: int = 0,
        equity_interval_ns: int = 10 * SECOND,
        recorder: Any = None,
    ) -> None:
        self.limits = of or limits(strategies=strategies)
        self.engine = Engine(self.limits)
        self.recorder = recorder if recorder is not None else MemoryRecorder()
        running = []
        for number, name in enumerate(strategies):
            own = {**(params or {}), "one_in": (params or {}).get("one_in", 2) + number}
            states = [COIN.new_state() for _ in SYMBOLS]
            running.append(
                Running(name, python_scan(COIN), COIN.params_from(own), states, dict(COIN.patterns))
            )
        self.scanner = Scanner(len(SYMBOLS), running, interval_ns=MINUTE, grace_ns=SECOND)
        self.broker = PaperBroker(self.limits.costs, seed, self.engine.instruments)
        self.loop = MarketLoop(
            symbols=SYMBOLS,
            engine=self.engine,
            broker=self.broker,
            scanner=self.scanner,
            recorder=self.recorder,
            timers=Timers(timer_ns, planned_ns),
            bar_ns=MINUTE,
            equity_interval_ns=equity_interval_ns,
        )

    @property
    def rows(self) -> list[ev.Row]:
        """Every row so far."""
        rows: list[ev.Row] = self.recorder.rows
        return rows

    def begin(self, at_ns: int = T0 - 1) -> Machine:
        """Instruments known, live."""
        self.loop.fact(ev.InstrumentsSet(at_ns, INSTRUMENTS))
        self.loop.fact(ev.WentLive(at_ns))
        return self

    def feed(
        self,
        rows: np.ndarray[Any, Any],
        cuts: Iterable[int] = (),
        facts: Iterable[tuple[int, Callable[[int], ev.Row]]] = (),
    ) -> Machine:
        """Turns cut at the given row numbers; each fact comes after the rows before its number."""
        due: dict[int, list[Callable[[int], ev.Row]]] = {}
        for at, make in facts:
            due.setdefault(at, []).append(make)
        before = 0
        for cut in sorted({*cuts, *due, len(rows)}):
            if cut > before:
                self.loop.turn(rows[before:cut])
                before = cut
            for make in due.get(cut, ()):
                self.loop.fact(make(self.loop.now_ns))
        return self


def command(what: ev.Command, number: int = 1) -> Callable[[int], ev.Row]:
    """A command fact, made with the stamp at which it comes."""
    return lambda ts_ns: ev.CommandReceived(ts_ns, number, what, "test")


def digest(rows: Iterable[ev.Row]) -> str:
    """The bytes of a journal as one hash."""
    whole = hashlib.sha256()
    for row in rows:
        whole.update(type(row).__name__.encode() + ev.encode(row))
    return whole.hexdigest()


def first_difference(left: Sequence[ev.Row], right: Sequence[ev.Row]) -> str:
    """What an assertion about two journals should show; empty when they are the same."""
    for number, (mine, other) in enumerate(zip(left, right, strict=False)):
        if ev.encode(mine) != ev.encode(other) or type(mine) is not type(other):
            return f"row {number}: {mine} != {other}"
    return "" if len(left) == len(right) else f"{len(left)} rows != {len(right)} rows"


def assert_same_rows(ours: np.ndarray[Any, Any], theirs: np.ndarray[Any, Any]) -> None:
    """The same bytes; a difference is told by its first row and not by megabytes."""
    if ours.tobytes() == theirs.tobytes():
        return
    both = min(len(ours), len(theirs))
    differs = np.flatnonzero(ours[:both] != theirs[:both])
    first = int(differs[0]) if len(differs) else both
    raise AssertionError(
        f"{len(ours)} rows against {len(theirs)}, {len(differs)} of them differ; the first is row {first}:\n"
        f"{ours[first : first + 2]}\n{theirs[first : first + 2]}"
    )
