"""Drawdown of a backtest, from equity at every sample time: fills give the positions, the market the prices.

Rule: an answer of its own, beside the engine's books; a statistic for people, so it may be a float.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from flowguardian.market.columns import Columns
from flowguardian.market.records import UNITS

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


class Move(NamedTuple):
    """What changed an account: signed quantity of a symbol (index) at a price, and cash with it."""

    ts_ns: int
    symbol: int
    qty: int
    price: int
    cash: int
    """Fees, funding; negative is paid. The price of `qty` is not in it."""


class EquityCurve:
    """Equity in USDT on the clock rows where a sample is due, chunk by chunk."""

    def __init__(self, symbols: int, start_equity: int, interval_ns: int) -> None:
        self._interval_ns = interval_ns
        self._cash = start_equity / UNITS
        self._held = np.zeros(symbols, np.int64)
        self._marks = np.zeros(symbols, np.int64)
        self._sampled = -1
        """Number of the interval the last sample was taken in."""
        self.samples = 0
        self.peak = self.low = self._cash
        self.max_drawdown_pct = 0.0

    def add(self, columns: Columns, moves: Sequence[Move], from_ns: int = 0) -> None:
        """A chunk and the moves in it; samples before `from_ns` (the moment of going live) are left out."""
        times = self._due(columns.clock[columns.clock >= from_ns])
        table = np.array([tuple(move) for move in moves], np.int64).reshape(-1, 5)
        stamps, qty = np.ascontiguousarray(table[:, 0]), table[:, 2]
        spent = qty / UNITS * (table[:, 3] / UNITS) - table[:, 4] / UNITS
        before = np.searchsorted(stamps, times, "right")
        equity = self._cash - np.concatenate([[0.0], np.cumsum(spent)])[before]
        for symbol in range(len(self._held)):
            own = table[:, 1] == symbol
            equity += self._value(symbol, columns, times, stamps[own], qty[own])
        self._cash -= float(spent.sum())
        self._measure(equity)

    def _due(self, clock: Ints) -> Ints:
        """The first clock row of each interval."""
        number = clock // self._interval_ns
        times = clock[np.diff(number, prepend=self._sampled) > 0]
        if len(clock):
            self._sampled = int(number[-1])
        return times

    def _value(self, symbol: int, columns: Columns, times: Ints, stamps: Ints, qty: Ints) -> Floats:
        """Value of what is held of a symbol at each time; carries position and price to the next chunk."""
        low, high = int(columns.trade_at[symbol]), int(columns.trade_at[symbol + 1])
        held = self._held[symbol] + np.concatenate([[0], np.cumsum(qty)])
        self._held[symbol] = held[-1]
        value: Floats = np.zeros(len(times))
        if held.any():
            last = np.searchsorted(columns.trade_ts[low:high], times, "right") - 1
            traded = columns.price[low:high][last] if high > low else self._marks[symbol]
            marks = np.where(last >= 0, traded, self._marks[symbol])
            value = held[np.searchsorted(stamps, times, "right")] / UNITS * (marks / UNITS)
        if high > low:
            self._marks[symbol] = columns.price[high - 1]
        return value

    def _measure(self, equity: Floats) -> None:
        if not len(equity):
            return
        self.samples += len(equity)
        peaks = np.maximum.accumulate(np.maximum(equity, self.peak))
        self.max_drawdown_pct = max(self.max_drawdown_pct, float(((peaks - equity) / peaks).max()) * 100.0)
        self.peak, self.low = float(peaks[-1]), min(self.low, float(equity.min()))
