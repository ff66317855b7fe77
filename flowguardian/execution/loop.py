"""The loop: released market rows in, facts to the engine in total order, rows to the journal, orders out.

Rule: record first, act second. A row is on the tape before a kernel sees it; `[fact, *decisions]` is one
journal transaction; only then do orders leave. The order of everything is (row, phase, symbol): clock and
timers, matching, exits, signals. Any split of the rows into turns gives the same journal.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from typing import Any

import numpy as np
import numpy.typing as npt

from flowguardian.brokers.base import Broker
from flowguardian.execution import events as ev
from flowguardian.execution.engine import Engine
from flowguardian.execution.money import SCALE, fee, from_float, funding
from flowguardian.execution.recorder import Recorder
from flowguardian.execution.timers import Timers
from flowguardian.execution.watches import Watch
from flowguardian.guards.base import finite
from flowguardian.market.columns import Columns, partition
from flowguardian.market.equity import HELD, new_equity, sample_equity
from flowguardian.market.exits import HIT_LEVEL, HIT_PATH, HIT_PRICE, HIT_TS
from flowguardian.market.records import Flag, Kind
from flowguardian.market.scanner import Scanner
from flowguardian.venue.matching import Quote

CLOCK, MATCH, EXIT, SIGNAL = range(4)
"""Phases of one row."""


class MarketLoop:
    """Drives one engine over released rows."""

    def __init__(
        self,
        *,
        symbols: Sequence[str],
        engine: Engine,
        broker: Broker,
        scanner: Scanner,
        recorder: Recorder,
        timers: Timers,
        bar_ns: int,
        equity_interval_ns: int,
    ) -> None:
        self.engine = engine
        self.now_ns = 0
        """Stamp of the last released row."""
        self.live_ns = 0
        self.finished = False
        """The planned end was reached."""
        self._symbols = tuple(symbols)
        self._index = {symbol: index for index, symbol in enumerate(symbols)}
        self._broker = broker
        self._scanner = scanner
        self._recorder = recorder
        self._timers = timers
        self._bar_ns = bar_ns
        self._equity_interval_ns = equity_interval_ns
        self._equity = new_equity(engine.limits.start_equity, 0, equity_interval_ns)
        self._sampled_ns = 0
        self._held = np.zeros(len(symbols), HELD)
        self._held_count = 0
        self._held_is_old = False
        self._peak = self._day_start = engine.limits.start_equity
        self._next_sample_ns = 0
        self._skew_ns = 0
        self._wakes: list[tuple[int, int, int, int, Any]] = []
        self._pushes = 0
        self._watches: dict[str, Watch] = {}
        self._on_row: dict[type[ev.Row], Callable[[Any], None]] = {
            ev.OrderRequested: self._send,
            ev.PositionOpened: self._watch,
            ev.PositionIncreased: lambda row: self._retrigger(row, first_target=False),
            ev.PositionReduced: lambda row: self._retrigger(
                row, first_target=row.reason is ev.ExitReason.TARGET1
            ),
            ev.PositionClosed: lambda row: self._unwatch(row.symbol),
        }

    # ---- the two doors: exogenous facts, and market rows

    def fact(self, fact: ev.Row) -> None:
        """Something from outside, between two turns; its stamp is that of the last row."""
        if isinstance(fact, ev.WentLive):
            self.live_ns = self._sampled_ns = fact.ts_ns + 1
            self._timers.go_live(self.live_ns)
            start = self.engine.limits.start_equity
            self._equity = new_equity(start, self.live_ns, self._equity_interval_ns)
            self._read_equity()
        elif isinstance(fact, ev.CommandReceived) and fact.command is ev.Command.RESUME:
            # Flat and refused, an account can never climb back to its peak: a person says go on from here.
            self._equity["peak"] = self.equity()
            self._read_equity()
        elif isinstance(fact, ev.FeedGap):
            self._scanner.restart(self._index[fact.symbol])
        elif isinstance(fact, ev.ClockMeasured):
            self._skew_ns = fact.skew_ns
        elif isinstance(fact, ev.SegmentStarted):
            self._skew_ns = 0  # A new process measures anew.
            self._timers.come_back()
        self._process(fact)

    def turn(self, rows: npt.NDArray[np.void]) -> None:
        """One released block of rows: record it, then see what it leads to."""
        if len(rows) == 0:
            return
        self._recorder.market(rows)
        self._timers.begin_turn(int(rows["ts_ns"][0]), self.now_ns)
        if rows["kind"][0] == Kind.HISTORY:
            self._scanner.warm(rows)
            self.now_ns = int(rows["ts_ns"][-1])
        else:
            self.run(partition(rows, len(self._symbols)))

    def run(self, columns: Columns) -> None:
        """One chunk that is already recorded."""
        self._schedule(columns)
        wakes = self._wakes
        handlers = (self._on_clock, self._on_match, self._on_exit, self._on_signal)
        while True:
            if self._sample(wakes[0][0] if wakes else columns.end_ns):
                continue  # a liquidation changed what comes next
            if not wakes:
                break
            at_ns, phase, symbol, _, what = heappop(wakes)
            handlers[phase](at_ns, symbol, what)
        for watch in self._watches.values():
            if watch.active:
                watch.commit()
        self._scanner.finish()
        self.now_ns = columns.end_ns

    # ---- what people and processes around the loop may ask

    def record_to(self, recorder: Recorder, broker: Broker | None = None) -> None:
        """A replay has reached the end of its records: from now on rows go here, and orders to `broker`."""
        self._recorder, self._broker = recorder, broker or self._broker

    def run_ns(self) -> int:
        """Run time so far."""
        return self._timers.run_ns(self.now_ns)

    def equity(self) -> int:
        """Equity at the last prices, between two turns."""
        return self.engine.portfolio.equity(self._scanner.observe(self.now_ns, 0, self._open())[7:])

    def next_checkpoint(self) -> str:
        """The name of the checkpoint that comes next, or nothing after the last."""
        return self._timers.name()

    # ---- what is known to happen in this chunk

    def _schedule(self, columns: Columns) -> None:
        for symbol, strategy, signals in self._scanner.load(columns):
            for signal in signals:
                self._push(signal[0], SIGNAL, symbol, (strategy, signal))
        for watch in self._watches.values():
            if watch.active:
                self._scan(watch, 0)
        for order_id, (order, due_ns) in self._broker.working.items():
            self._await_match(order_id, order.symbol, due_ns)
        if len(columns.others) and not self._broker.venue_settles:
            marks = columns.others[(columns.others["flags"] & Flag.FUNDING) != 0]
            for mark in marks:
                self._push(int(mark["ts_ns"]), CLOCK, int(mark["symbol"]), mark)
        self._await_timer()

    def _push(self, at_ns: int, phase: int, symbol: int, what: object) -> None:
        self._pushes += 1
        heappush(self._wakes, (at_ns, phase, symbol, self._pushes, what))

    def _await_timer(self) -> None:
        due_ns = self._timers.next_ns()
        clock = self._scanner.clock()
        if due_ns is None or not len(clock):
            return
        row = int(np.searchsorted(clock, due_ns))
        if row < len(clock):
            self._push(int(clock[row]), CLOCK, -1, None)

    def _await_match(self, order_id: int, symbol: str, due_ns: int) -> None:
        index = self._index[symbol]
        row_ns = self._scanner.next_row(due_ns, index)
        if row_ns >= 0:
            self._push(row_ns, MATCH, index, order_id)

    def _scan(self, watch: Watch, from_ns: int) -> None:
        if watch.scan(self._scanner, from_ns):
            self._push(watch.hit[HIT_TS], EXIT, watch.symbol, (watch, watch.version))

    # ---- wakes become facts

    def _on_clock(self, at_ns: int, symbol: int, mark: np.void | None) -> None:
        if mark is not None:
            self._settle_funding(at_ns, self._symbols[symbol], mark)
            return
        marks = self._scanner.observe(at_ns, 0, self._open())[7:]
        run_ns = self._timers.run_ns(at_ns)
        self._process(
            ev.TimerFired(at_ns, self._timers.fire(), run_ns, tuple(marks), self._peak, self._day_start)
        )
        self.finished = self._timers.next_due() is None
        self._await_timer()

    def _settle_funding(self, at_ns: int, symbol: str, mark: np.void) -> None:
        position = self.engine.portfolio.positions.get(symbol)
        if position is None:
            return
        price, rate = int(mark["a"]), int(mark["c"])
        amount = funding(position.side, position.qty, price, rate)
        self._process(ev.FundingSettled(at_ns, symbol, rate, price, amount))

    def _on_match(self, at_ns: int, symbol: int, order_id: int) -> None:
        name = self._symbols[symbol]
        seen = self._scanner.observe(at_ns, symbol, ())
        watch = self._watches.get(name)
        order, _ = self._broker.working[order_id]
        level = 0
        if watch is not None and watch.hit[HIT_PATH] and watch.hit[HIT_TS] == at_ns == order.ts_ns:
            level = watch.hit[HIT_LEVEL] if order.purpose is ev.Purpose.EXIT else 0
        position = self.engine.portfolio.positions.get(name)
        held = position.qty if position is not None and position.side != order.side else 0
        quote = Quote(seen[0], seen[2], seen[3], seen[4], seen[5])
        for fact in self._broker.match(order_id, at_ns, quote, level, held):
            self._process(fact)

    def _on_exit(self, at_ns: int, symbol: int, what: tuple[Watch, int]) -> None:
        watch, version = what
        if watch.version != version:
            return
        watch.commit()
        watch.active = False
        hit = watch.hit
        self._process(
            ev.ExitTriggered(at_ns, self._symbols[symbol], watch.reason(), hit[HIT_PRICE], hit[HIT_LEVEL])
        )

    def _on_signal(self, at_ns: int, symbol: int, what: tuple[int, tuple[Any, ...]]) -> None:
        if not self.engine.live:
            return
        strategy = self._scanner.strategies[what[0]]
        _, bar_ns, side, pattern, stop, target1, target2, trail, atr, volume, mean, move, seen_bars, *_ = (
            what[1]
        )
        seen = self._scanner.observe(at_ns, symbol, self._open())
        self._process(
            ev.Signal(
                ts_ns=at_ns,
                symbol=self._symbols[symbol],
                strategy=strategy.name,
                side=side,
                pattern=strategy.patterns.get(pattern, str(pattern)),
                bar_ns=bar_ns,
                bar_end_ns=bar_ns + self._bar_ns,
                price=seen[0],
                bid=seen[2],
                ask=seen[4],
                trade_age_ns=at_ns - seen[1] if seen[1] else -1,
                top_age_ns=at_ns - seen[6] if seen[6] else -1,
                stop_distance=_distance(stop),
                target1_distance=_distance(target1),
                target2_distance=_distance(target2),
                trail_distance=_distance(trail),
                atr=finite(atr),
                volume=finite(volume),
                volume_mean=finite(mean),
                move=finite(move),
                bars_seen=seen_bars,
                clock_skew_ns=self._skew_ns,
                marks=tuple(seen[7:]),
                peak_equity=self._peak,
                day_start_equity=self._day_start,
            )
        )

    def _open(self) -> list[int]:
        return [self._index[symbol] for symbol in self.engine.portfolio.positions]

    def _process(self, fact: ev.Row) -> None:
        rows = self.engine.process(fact)
        decisions = rows[1:]
        kind = type(fact)
        # Whatever the tape cannot give back, and every order before it leaves.
        durable = kind in _EXOGENOUS or (kind in _FROM_VENUE and self._broker.venue_settles)
        durable = durable or any(type(row) is ev.OrderRequested for row in decisions)
        self._recorder.commit(rows, durable=durable)
        for row in decisions:
            if (act := self._on_row.get(type(row))) is not None:
                act(row)
        if kind in _MOVES:
            self._held_is_old = True

    def _send(self, order: ev.OrderRequested) -> None:
        due_ns = self._broker.submit(order)
        if order.purpose is ev.Purpose.EXIT:
            watch = self._watches.get(order.symbol)
            if watch is not None and watch.active:
                watch.catch_up(self._scanner, order.ts_ns)
                watch.active = False
        if self._scanner.columns is not None and not self._broker.venue_settles:
            self._await_match(order.order_id, order.symbol, due_ns)

    def _watch(self, row: ev.PositionOpened) -> None:
        strategy = self.engine.limits.strategies.get(row.strategy)  # none: a fill of an order not ours
        watch = Watch(self._index[row.symbol], row, strategy.break_even_trigger if strategy else 0)
        self._watches[row.symbol] = watch
        self._scan(watch, row.ts_ns + 1)

    def _retrigger(self, row: ev.PositionIncreased | ev.PositionReduced, *, first_target: bool) -> None:
        watch = self._watches.get(row.symbol)
        if watch is None:
            return
        watch.catch_up(self._scanner, row.ts_ns)
        if first_target and watch.opened.target2:
            watch.aim_at_second_target()
        watch.active = not self.engine.portfolio.positions[row.symbol].exit_order_id
        if watch.active:
            self._scan(watch, row.ts_ns)

    def _unwatch(self, symbol: str) -> None:
        watch = self._watches.pop(symbol, None)
        if watch is not None:
            watch.version += 1

    # ---- equity between wakes

    def _hold(self) -> None:
        """Positions changed: what the equity samples multiply."""
        self._held_is_old = False
        self._held_count = 0
        for position in self.engine.portfolio.positions.values():
            high, low = divmod(position.cost, SCALE)
            index = self._index[position.symbol]
            self._held[self._held_count] = (index, position.side, position.qty, high, low)
            self._held_count += 1

    def _read_equity(self) -> None:
        self._peak, _, _, self._day_start, self._next_sample_ns = self._equity[0].item()

    def _sample(self, until_ns: int) -> bool:
        """Take the equity samples due up to here; positions have not changed since the last call.

        True when one of them was a liquidation: then the samples after it are still to be taken.
        """
        c = self._scanner.columns
        if c is None or not self.live_ns or until_ns < self._next_sample_ns:
            self._sampled_ns = until_ns
            return False
        if self._held_is_old:
            self._hold()
        liquidated_ns = sample_equity(
            c.clock,
            self._sampled_ns,
            until_ns,
            c.trade_ts,
            c.price,
            c.trade_at,
            self._scanner.tails,
            self._held,
            self._held_count,
            self.engine.portfolio.balance(),
            self.engine.limits.costs.maintenance_margin,
            self._equity_interval_ns,
            self._equity,
        )
        self._read_equity()
        if liquidated_ns < 0:
            self._sampled_ns = until_ns
            return False
        self._sampled_ns = int(liquidated_ns)
        if not self._broker.venue_settles:
            self._liquidate(self._sampled_ns)
        return True

    def _liquidate(self, at_ns: int) -> None:
        """The account no longer covers the maintenance margin: the venue closes everything at the mark."""
        marks = self._scanner.observe(at_ns, 0, self._open())[7:]
        costs = self.engine.limits.costs
        held = tuple(self.engine.portfolio.positions.items())
        for (symbol, position), mark in zip(held, marks, strict=True):
            cost = fee(mark, position.qty, costs.taker)
            self._process(ev.Liquidated(at_ns, symbol, position.qty, mark, cost))


def _distance(value: float) -> int:
    """A distance in price as money; what a strategy could not compute (NaN, negative) is none."""
    return from_float(value) if 0.0 < value < _FARTHEST else 0


_FARTHEST = 1e9
"""Whole units of price; what lies farther is no level, and would not fit into a kernel's int64."""
_EXOGENOUS, _FROM_VENUE = frozenset(ev.EXOGENOUS), frozenset(ev.FROM_VENUE)
_MOVES = frozenset({ev.OrderFilled, ev.Liquidated, ev.ClosedByVenue})
