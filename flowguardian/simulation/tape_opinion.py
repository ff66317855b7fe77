"""What the tape says about a paper run: levels that were hit, ages and volumes seen, time that passed.

Rule: plain loops over recorded rows, apart from the kernels that decide; prices, stamps and quantities are
integers and must agree exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from flowguardian.acceptance.evidence import Config
from flowguardian.acceptance.ledger import Held, Ledger
from flowguardian.execution import events as ev
from flowguardian.execution.money import units
from flowguardian.market.records import ROW, Flag, Kind
from flowguardian.market.tape import read_tape

_ONE = 10**8
_DAY = 86_400 * 10**9
_SETTLED = 120 * 10**9
"""So long after midnight every figure of the day is that of the new day."""
_CLOSE = 1e-9
Rows = npt.NDArray[np.void]


class Tape:
    """The records of a run, by kind and symbol."""

    def __init__(self, directory: Path, symbols: Sequence[str]) -> None:
        rows = np.concatenate([*read_tape(directory), np.empty(0, ROW)])
        self.clock = rows["ts_ns"][rows["kind"] == Kind.CLOCK]
        self.trades, self.tops = dict[str, Rows](), dict[str, Rows]()
        for index, name in enumerate(symbols):
            own = rows[rows["symbol"] == index]
            self.trades[name] = own[own["kind"] == Kind.TRADE]
            self.tops[name] = own[own["kind"] == Kind.TOP]


def the_tape_agrees(rows: list[ev.Row], directory: Path) -> Iterator[str]:
    """Everything of a paper run that follows from its tape without deciding anything."""
    started = next(row for row in rows if isinstance(row, ev.RunStarted))
    tape = Tape(directory, started.symbols)
    config = Config(msgspec.json.decode(started.config))
    yield from _signals(rows, tape)
    yield from exits_follow_the_levels(rows, tape, config)
    yield from what_is_ruined_is_liquidated(rows, started.start_equity, config)


# ---- signals


def _signals(rows: list[ev.Row], tape: Tape) -> Iterator[str]:
    live = False
    for row in rows:
        live = live or isinstance(row, ev.WentLive)
        if not isinstance(row, ev.Signal):
            continue
        trades, tops = tape.trades[row.symbol], tape.tops[row.symbol]
        ages = _age(trades, row.ts_ns), _age(tops, row.ts_ns)
        if ages != (row.trade_age_ns, row.top_age_ns):
            yield f"{row.symbol}: ages {(row.trade_age_ns, row.top_age_ns)}, the tape says {ages}"
        # A bar holds what was released before it closed and happened in it; the closing row is a later one's.
        seen = trades[: int(np.searchsorted(trades["ts_ns"], row.ts_ns, "right"))]
        inside = seen[(seen["venue_ns"] >= row.bar_ns) & (seen["venue_ns"] < row.bar_end_ns)]
        volume = int(inside["b"].sum()) / _ONE
        if abs(volume - row.volume) > _CLOSE * max(volume, 1.0):
            yield f"{row.symbol}: a bar of {row.volume}, the tape says {volume}"
        if row.ts_ns < row.bar_end_ns:
            yield f"{row.symbol}: a signal on a bar that had not ended"


def _age(records: Rows, at_ns: int) -> int:
    last = int(np.searchsorted(records["ts_ns"], at_ns, "right")) - 1
    return at_ns - int(records["ts_ns"][last]) if last >= 0 else -1


# ---- exits


class _Levels:
    """What one position waits for."""

    def __init__(self, row: ev.PositionOpened, trigger: int) -> None:
        self.row, self.side = row, row.side
        self.stop, self.target, self.best = row.stop, row.target1, row.price
        self.moved = self.second = self.waits_for_fill = False
        distance = abs(row.price - row.stop) * trigger // _ONE
        self.break_even = row.price + row.side * distance if trigger else 0
        self.from_ns = row.ts_ns + 1

    def hit(self, price: int) -> tuple[str, int] | None:
        """What this trade sets off, or None after having moved the levels along."""
        side = self.side
        if (price - self.stop) * side <= 0:
            return ("break_even" if self.moved else "stop"), self.stop
        if self.target and (price - self.target) * side >= 0:
            return ("target2" if self.second else "target1"), self.target
        trail = self.row.trail_distance
        if trail and (price - self.best) * side <= -trail:
            return "trailing", self.best - side * trail
        self.best = max(self.best, price) if side > 0 else min(self.best, price)
        if self.break_even and not self.moved and (price - self.break_even) * side >= 0:
            self.moved = True
            if (self.row.price - self.stop) * side > 0:
                self.stop = self.row.price
        return None


def exits_follow_the_levels(rows: list[ev.Row], tape: Tape, config: Config) -> Iterator[str]:
    """Each position leaves at the first row of the tape that meets a level of its own, and only there."""
    walk = _Exits(rows, tape, config)
    for row, after in zip(rows, [*rows[1:], None], strict=True):
        if (step := walk.by_kind.get(type(row))) is not None:
            yield from step(row)
        exits = isinstance(after, ev.OrderRequested) and after.purpose is ev.Purpose.EXIT
        if isinstance(row, ev.ExitTriggered) and row.symbol in walk.held and not exits:
            yield f"exit of {row.symbol} at {row.ts_ns}: nothing was ordered"
    yield from walk.passed(rows[-1].ts_ns - 1)


class _Exits:
    """One walk over the rows, with what each open position waits for."""

    def __init__(self, rows: list[ev.Row], tape: Tape, config: Config) -> None:
        self._orders = {row.order_id: row for row in rows if isinstance(row, ev.OrderRequested)}
        self._tape, self._config = tape, config
        self.held: dict[str, _Levels] = {}
        self.by_kind: dict[type[ev.Row], Callable[[Any], Iterator[str]]] = {
            ev.PositionOpened: self._opened,
            ev.PositionReduced: self._reduced,
            ev.PositionClosed: self._closed,
            ev.ExitTriggered: self._triggered,
            ev.OrderRequested: self._requested,
        }

    def _opened(self, row: ev.PositionOpened) -> Iterator[str]:
        yield from _wrong_levels(row, self._orders[row.order_id])
        trigger = self._config.number(f"strategies.{row.strategy}.break_even_trigger_r")
        self.held[row.symbol] = _Levels(row, units(trigger or 0))

    def _closed(self, row: ev.PositionClosed) -> Iterator[str]:
        self.held.pop(row.symbol, None)
        yield from ()

    def _reduced(self, row: ev.PositionReduced) -> Iterator[str]:
        if (levels := self.held.get(row.symbol)) is not None:
            levels.from_ns, levels.waits_for_fill = row.ts_ns, False
            if row.reason is ev.ExitReason.TARGET1 and levels.row.target2:
                levels.second, levels.target = True, levels.row.target2
        yield from ()

    def _triggered(self, row: ev.ExitTriggered) -> Iterator[str]:
        if (levels := self.held.get(row.symbol)) is None:
            return
        due = _first_hit(levels, self._tape, row.symbol, row.ts_ns)
        said = (row.ts_ns, str(row.reason), row.level)
        if due != said:
            yield f"exit of {row.symbol} {said}, the tape says {due}"
        levels.waits_for_fill = True

    def _requested(self, row: ev.OrderRequested) -> Iterator[str]:
        levels = self.held.get(row.symbol)
        if row.purpose is ev.Purpose.EXIT and levels is not None:
            yield from self.passed(row.ts_ns - 1, row.symbol)
            levels.waits_for_fill = True

    def passed(self, until_ns: int, only: str = "") -> Iterator[str]:
        """Positions that went by a level without leaving."""
        for symbol, levels in self.held.items():
            if levels.waits_for_fill or (only and symbol != only):
                continue
            if (due := _first_hit(levels, self._tape, symbol, until_ns)) is not None:
                yield f"{symbol} passed {due} and was still held"


def _wrong_levels(row: ev.PositionOpened, order: ev.OrderRequested) -> Iterator[str]:
    side, price = order.side, row.price
    due = (
        price - side * order.stop_distance,
        price + side * order.target1_distance if order.target1_distance else 0,
        price + side * order.target2_distance if order.target2_distance else 0,
        order.trail_distance,
        row.ts_ns + order.hold_ns if order.hold_ns else 0,
    )
    said = (row.stop, row.target1, row.target2, row.trail_distance, row.expiry_ns)
    if said != due:
        yield f"{row.symbol} opened with (stop, targets, trail, expiry) {said}, its order asked for {due}"


def _first_hit(levels: _Levels, tape: Tape, symbol: str, until_ns: int) -> tuple[int, str, int] | None:
    """The first row up to a stamp that sets a position off; its levels are moved along to there."""
    trades = tape.trades[symbol]
    lo = int(np.searchsorted(trades["ts_ns"], levels.from_ns))
    hi = int(np.searchsorted(trades["ts_ns"], until_ns, "right"))
    expires = _expiry(levels, tape.clock, until_ns)
    levels.from_ns = until_ns + 1
    for at_ns, price, flags in zip(
        trades["ts_ns"][lo:hi].tolist(), trades["a"][lo:hi].tolist(), trades["flags"][lo:hi].tolist(),
        strict=True,
    ):  # fmt: skip
        if flags & Flag.BACKFILLED:
            continue
        if levels.row.expiry_ns and at_ns >= levels.row.expiry_ns:
            at_ns = min(at_ns, expires or at_ns)  # noqa: PLW2901 - the clock may have been first
            return at_ns, "expiry", 0
        if expires and at_ns > expires:
            break
        if (found := levels.hit(price)) is not None:
            return at_ns, *found
    return (expires, "expiry", 0) if expires else None


def _expiry(levels: _Levels, clock: Any, until_ns: int) -> int:
    """The clock row that ends a position's time, 0 when there is none yet."""
    if not levels.row.expiry_ns:
        return 0
    at = int(np.searchsorted(clock, max(levels.row.expiry_ns, levels.from_ns)))
    return int(clock[at]) if at < len(clock) and clock[at] <= until_ns else 0


# ---- time and equity


def time_goes_on(rows: list[ev.Row]) -> Iterator[str]:
    """A timer fires once, a peak never falls unless a person says go on, a day has one beginning."""
    run_ns, names, peak, day = 0, set[str](), 0, (-1, 0)
    for row in rows:
        if isinstance(row, ev.CommandReceived) and row.command is ev.Command.RESUME:
            peak = 0
        if isinstance(row, ev.TimerFired):
            if row.run_ns <= run_ns or row.name in names:
                yield f"timer {row.name} at {row.run_ns} ns of run time, after {run_ns}"
            run_ns = row.run_ns
            names.add(row.name)
        if isinstance(row, ev.TimerFired | ev.Signal) and row.peak_equity:
            if row.peak_equity < peak:
                yield f"the peak fell from {peak} to {row.peak_equity}"
            peak = max(peak, row.peak_equity)
            number, into = divmod(row.ts_ns, _DAY)
            if into > _SETTLED:
                if day[0] == number and day[1] != row.day_start_equity:
                    yield f"the day began with {day[1]}, now with {row.day_start_equity}"
                day = (number, row.day_start_equity)


def what_is_ruined_is_liquidated(rows: list[ev.Row], start: int, config: Config) -> Iterator[str]:
    """An account below its maintenance margin at one checkpoint holds nothing of it at the next."""
    ledger, orders = Ledger(start), dict[int, str]()
    margin = units(config.number("execution.maintenance_margin") or 0)
    ruined: dict[str, Held] = {}
    for row in rows:
        if isinstance(row, ev.OrderRequested):
            orders[row.order_id] = row.strategy
        elif isinstance(row, ev.OrderFilled):
            ledger.fill(row, orders.get(row.order_id, ""))
        elif isinstance(row, ev.Liquidated):
            ledger.liquidate(row)
        elif isinstance(row, ev.FundingSettled):
            ledger.fund(row)
        elif isinstance(row, ev.TimerFired):
            if len(row.marks) != (many := len(ledger.positions)):
                yield f"{row.name}: {len(row.marks)} positions have marks, the fills say {many}"
                return
            marks = dict(zip(ledger.positions, row.marks, strict=True))
            worth = [held.qty * marks[name] // _ONE for name, held in ledger.positions.items()]
            was, ruined = ruined, {}
            if worth and ledger.equity(marks) < sum(worth) * margin // _ONE:
                ruined = dict(ledger.positions)
            if still := [name for name in ruined if ruined[name] is was.get(name)]:
                yield f"{row.name}: below the maintenance margin, and {still} are still held"
