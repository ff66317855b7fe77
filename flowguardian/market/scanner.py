"""The dense half of the engine: per-symbol kernel state, and what kernels find in a chunk.

Rule: state in, rows in, findings out, the same for any split of the rows. Nothing here knows an account.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from flowguardian.market.bars import NEVER, close_bars, history_bars, new_open_bars, room_for
from flowguardian.market.columns import EMPTY, Columns, carry, new_tails, next_row, observe
from flowguardian.market.exits import scan_exit
from flowguardian.market.records import BAR, SIGNAL


class MarketError(Exception):
    """Market rows contradict themselves."""


class Running(NamedTuple):
    """A strategy at work: its scan, its parameters, one state per symbol (restart = a zeroed copy)."""

    name: str
    scan: Any
    params: npt.NDArray[np.void]
    states: list[npt.NDArray[np.void]]
    patterns: dict[int, str]


class Scanner:
    """Bars, strategies, last prices of all symbols; one chunk at a time."""

    def __init__(
        self, symbols: int, strategies: Sequence[Running], *, interval_ns: int, grace_ns: int
    ) -> None:
        self.symbols = symbols
        self.strategies = strategies
        self._columns: Columns | None = None
        self.tails = new_tails(symbols)
        self._open_bars = new_open_bars(symbols)
        self._interval_ns = interval_ns
        self._grace_ns = grace_ns
        self._bars = np.zeros(64, BAR)
        self._signals = np.zeros(64, SIGNAL)
        self._seen = np.zeros(symbols + 8, np.int64)
        self._wanted = np.zeros(symbols + 1, np.int64)
        self._hit = np.zeros(5, np.int64)
        # The chunk's columns as the arguments of kernels.
        self._carried: tuple[Any, ...] = ()

    @property
    def columns(self) -> Columns | None:
        """The chunk at hand."""
        return self._columns

    @columns.setter
    def columns(self, columns: Columns | None) -> None:
        self._columns = c = columns
        if c is not None:
            tops = (c.top_ts, c.bid, c.bid_qty, c.ask, c.ask_qty, c.top_at)
            self._carried = (c.trade_ts, c.price, c.trade_at, *tops, self.tails)

    @property
    def late_trades(self) -> int:
        """Trades that came after their bar had closed."""
        return int(self._open_bars["late"].sum())

    def warm(self, history: npt.NDArray[np.void]) -> None:
        """History records only warm kernels: bars that never signal."""
        for symbol in range(self.symbols):
            own = history[history["symbol"] == symbol]
            bars = history_bars(own, self._open_bars, symbol, self._interval_ns)
            if len(bars):
                self.tails[symbol, 0] = bars["close"][-1]
                self._grow(len(bars))
                for strategy in self.strategies:
                    strategy.scan(bars, len(bars), strategy.states[symbol], strategy.params, self._signals)

    def restart(self, symbol: int) -> None:
        """A symbol lost data for good: its strategies start anew and warm up again."""
        for strategy in self.strategies:
            strategy.states[symbol].view(np.uint8)[:] = 0

    def load(self, columns: Columns) -> Iterator[tuple[int, int, list[tuple[Any, ...]]]]:
        """Take a chunk; yields (symbol, strategy index, SIGNAL records as tuples) of every bar it closes."""
        self.columns = columns
        for symbol in range(self.symbols):
            count = self._close_bars(symbol, columns)
            if not count:
                continue
            for index, strategy in enumerate(self.strategies):
                found = strategy.scan(
                    self._bars, count, strategy.states[symbol], strategy.params, self._signals
                )
                if found:
                    yield symbol, index, self._signals[:found].tolist()

    def _close_bars(self, symbol: int, columns: Columns) -> int:
        lo, hi = columns.trade_at[symbol], columns.trade_at[symbol + 1]
        start = int(self._open_bars["start"][symbol]) or (int(columns.trade_venue[lo]) if lo < hi else 0)
        if not start:
            return 0
        self._grow(room_for(columns.end_ns - start, self._interval_ns))
        count = close_bars(
            columns.trade_ts,
            columns.trade_venue,
            columns.price,
            columns.qty,
            lo,
            hi,
            columns.clock,
            columns.in_order,
            self._open_bars,
            symbol,
            self._interval_ns,
            self._grace_ns,
            self._bars,
        )
        if count < 0:
            raise MarketError(
                f"symbol {symbol}: a trade's venue time lies more than a bar ahead of its stamp"
            )
        return int(count)

    def _grow(self, room: int) -> None:
        if room > len(self._bars):
            self._bars = np.zeros(room, BAR)
            self._signals = np.zeros(room, SIGNAL)

    def observe(self, at_ns: int, symbol: int, others: Sequence[int]) -> list[int]:
        """(price, its stamp, bid, quantity, ask, quantity, stamp) of `symbol`, then prices of `others`."""
        wanted = self._wanted
        wanted[0] = symbol
        count = 1
        for other in others:
            wanted[count] = other
            count += 1
        if self._columns is None:
            return [*self.tails[symbol].tolist(), *(int(self.tails[other, 0]) for other in others)]
        observe(at_ns, wanted, count, self._seen, *self._carried)
        return self._seen[: 6 + count].tolist()  # type: ignore[no-any-return]

    def next_row(self, due_ns: int, symbol: int) -> int:
        """Stamp of the symbol's first trade or top at or after `due_ns` in this chunk, or -1."""
        c = self._columns
        if c is None:
            return -1
        return int(next_row(due_ns, symbol, c.trade_ts, c.trade_at, c.top_ts, c.top_at))

    def scan_exit(
        self, symbol: int, watches: npt.NDArray[np.void], w: int, from_ns: int, before_ns: int = NEVER
    ) -> list[int]:
        """The first hit (stamp, code, price, level, path) of `watches[w]` in this chunk; code 0 = none."""
        c = self._columns
        if c is None:
            return [0, 0, 0, 0, 0]
        scan_exit(
            c.trade_ts,
            c.price,
            c.flags,
            c.trade_at[symbol],
            c.trade_at[symbol + 1],
            from_ns,
            before_ns,
            c.clock,
            self.tails[symbol, 0],
            watches,
            w,
            self._hit,
        )
        return self._hit.tolist()

    def clock(self) -> npt.NDArray[np.int64]:
        """The chunk's clock rows."""
        return self._columns.clock if self._columns is not None else EMPTY

    def finish(self) -> None:
        """The chunk is done: keep what the next one needs."""
        if self._columns is not None:
            carry(*self._carried)
            self.columns = None
