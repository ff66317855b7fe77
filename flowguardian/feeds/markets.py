"""The market of bars and the market of trades: what lies in memory, as tape rows of any span of time.

Rule: `rows(from, to)` is a function of the market alone, so any slicing of time gives the same rows, sorted
by (venue_ns, kind, symbol, id) with the clock row first. Rows come unstamped: `stamp` them at release.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from flowguardian.feeds.blocks import Blocks, block_minutes
from flowguardian.market.bridge import DEFAULT_BRIDGE, Bridge, expand, path_rows, tops_around
from flowguardian.market.funding import FUNDING_INTERVAL_NS, seeded_funding
from flowguardian.market.instruments import Instrument
from flowguardian.market.records import BAR, MINUTE_NS, ROW, SECOND_NS, UNITS, Flag, Kind
from flowguardian.market.seeds import stream_seed

Rows = npt.NDArray[np.void]
Ints = npt.NDArray[np.int64]


class Market(Protocol):
    """What a run reads its market from; `instruments` and the `symbol` of rows follow `symbols`."""

    symbols: tuple[str, ...]
    instruments: tuple[Instrument, ...]
    feed_kind: str
    start_ns: int
    end_ns: int

    def history(self, before_ns: int, bars: int) -> Rows:
        """HISTORY rows of up to `bars` closed bars per symbol before a time, by (time, symbol)."""

    def rows(self, from_ns: int, to_ns: int) -> Rows:
        """Market rows of the run and clock rows with from <= venue_ns < to; a copy, not yet stamped."""


def _inside(rows: Rows, start_ns: int, end_ns: int) -> Rows:
    low, high = np.searchsorted(rows["venue_ns"], (start_ns, end_ns))
    return rows[low:high]


def history_rows(bars: Mapping[int, Rows]) -> Rows:
    """HISTORY rows of bars by symbol index, sorted by (time, symbol)."""
    parts = [np.zeros(0, ROW)]
    for index, part in bars.items():
        rows = np.zeros(len(part), ROW)
        rows["kind"], rows["symbol"] = int(Kind.HISTORY), index
        rows["aux"], rows["venue_ns"] = part["trades"], part["open_ns"]
        rows["a"], rows["b"], rows["c"], rows["d"] = (part[name] for name in ("open", "high", "low", "close"))
        rows["id"] = np.ascontiguousarray(part["volume"]).view(np.int64)
        parts.append(rows)
    joined = np.concatenate(parts)
    return joined[np.lexsort((joined["symbol"], joined["venue_ns"]))]


class BarMarket:
    """Bars expanded by the bridge: a derived market, or the synthetic one.

    `bars` may begin before `start_ns`: those are the history. With `bridge.path` each bar is four trades
    and no tops, for backtests on bars. `funding` are FUNDING records per symbol; with `synthetic_funding`
    a seeded rate settles every 8 hours.
    """

    def __init__(
        self,
        bars: Mapping[str, Rows],
        instruments: Sequence[Instrument],
        *,
        start_ns: int,
        end_ns: int,
        seed: int,
        feed_kind: str = "derived",
        interval_ns: int = MINUTE_NS,
        bridge: Bridge = DEFAULT_BRIDGE,
        clock_interval_ns: int = SECOND_NS,
        funding: Mapping[str, Rows] | None = None,
        synthetic_funding: bool = False,
    ) -> None:
        self.symbols, self.instruments = tuple(bars), tuple(instruments)
        self.feed_kind, self.start_ns, self.end_ns = feed_kind, start_ns, end_ns
        self.interval_ns = interval_ns
        self._bars = tuple(bars.values())
        self._opens = tuple(np.ascontiguousarray(part["open_ns"]) for part in self._bars)
        self._seeds = tuple(stream_seed(seed, symbol) for symbol in self.symbols)
        self._bridge = bridge
        self._funding = [
            seeded_funding(part_seed, start_ns, end_ns) if synthetic_funding else (funding or {}).get(symbol)
            for symbol, part_seed in zip(self.symbols, self._seeds, strict=True)
        ]
        phases = {int(opens[0]) % interval_ns for opens in self._opens if len(opens)}
        if len(phases) > 1:
            raise ValueError(
                f"the bars of the symbols open at different moments of the interval: {sorted(phases)}"
            )
        per_minute = 4 if bridge.path else max(4, bridge.prints_per_minute) + bridge.tops_per_minute
        bars_per_block = max(1, block_minutes(per_minute * len(self.symbols)) * MINUTE_NS // interval_ns)
        self._blocks = Blocks(
            self._streams,
            clock_interval_ns=clock_interval_ns,
            block_ns=bars_per_block * interval_ns,
            phase_ns=phases.pop() if phases else 0,
        )

    def history(self, before_ns: int, bars: int) -> Rows:
        last: dict[int, Rows] = {}
        for index, opens in enumerate(self._opens):
            end = int(np.searchsorted(opens, before_ns - self.interval_ns, "right"))
            last[index] = self._bars[index][max(0, end - bars) : end]
        return history_rows(last)

    def rows(self, from_ns: int, to_ns: int) -> Rows:
        return self._blocks.rows(from_ns, to_ns)

    def expanded(self, index: int, first_ns: int, last_ns: int) -> Rows:
        """The run's rows of one symbol made of its bars that open in [first, last)."""
        low, high = np.searchsorted(self._opens[index], (first_ns, last_ns))
        if low >= high:
            return np.zeros(0, ROW)
        return _inside(self._expand(index, low, high), self.start_ns, self.end_ns)

    def _streams(self, low_ns: int, high_ns: int) -> list[Rows]:
        first_ns, last_ns = max(low_ns, self.start_ns - self.interval_ns + 1), min(high_ns, self.end_ns)
        made = []
        for index in range(len(self._opens)):
            rows = self.expanded(index, first_ns, last_ns)
            if len(rows):
                made.append(rows)
            marks = self._marks(index, max(low_ns, self.start_ns), last_ns)
            if len(marks):
                made.append(marks)
        return made

    def _expand(self, index: int, low: int, high: int) -> Rows:
        bars = self._bars[index][low:high]
        if self._bridge.path:
            return path_rows(bars, index, interval_ns=self.interval_ns)
        return expand(
            bars,
            index,
            self._seeds[index],
            instrument=self.instruments[index],
            bridge=self._bridge,
            interval_ns=self.interval_ns,
        )

    def _marks(self, index: int, low_ns: int, high_ns: int) -> Rows:
        """MARK rows that settle funding, at the close of the last bar that ended by then."""
        table = self._funding[index]
        if table is None:
            return np.zeros(0, ROW)
        low, high = np.searchsorted(table["time_ns"], (low_ns, max(low_ns, high_ns)))
        rows = np.zeros(high - low, ROW)
        bar = np.searchsorted(self._opens[index], table["time_ns"][low:high] - self.interval_ns, "right") - 1
        rows["kind"], rows["flags"], rows["symbol"] = int(Kind.MARK), int(Flag.FUNDING | Flag.DERIVED), index
        rows["venue_ns"] = table["time_ns"][low:high]
        rows["a"] = rows["b"] = self._bars[index]["close"][np.maximum(bar, 0)]
        rows["c"] = table["rate"][low:high]
        rows["d"] = rows["venue_ns"] + FUNDING_INTERVAL_NS
        return rows[bar >= 0]


def bars_of(trades: Rows, interval_ns: int = MINUTE_NS) -> Rows:
    """The bars of sorted trades of one symbol; an interval without trades has none."""
    if len(trades) == 0:
        return np.zeros(0, BAR)
    opens = trades["venue_ns"] // interval_ns * interval_ns
    first = np.flatnonzero(np.diff(opens, prepend=opens[0] - 1))
    last = np.append(first[1:], len(trades)) - 1
    bars = np.zeros(len(first), BAR)
    bars["open_ns"] = opens[first]
    bars["open"], bars["close"] = trades["a"][first], trades["a"][last]
    bars["high"] = np.maximum.reduceat(trades["a"], first)
    bars["low"] = np.minimum.reduceat(trades["a"], first)
    bars["volume"] = np.add.reduceat(trades["b"], first).astype(np.float64) / UNITS
    bars["trades"] = last - first + 1
    return bars


class TradeMarket:
    """Recorded trades (TRADE rows per symbol, sorted), with derived tops around them when asked for.

    Trades before `start_ns` are the history.
    """

    def __init__(
        self,
        trades: Mapping[str, Rows],
        instruments: Sequence[Instrument],
        *,
        start_ns: int,
        end_ns: int,
        seed: int,
        bridge: Bridge = DEFAULT_BRIDGE,
        clock_interval_ns: int = SECOND_NS,
    ) -> None:
        self.symbols, self.instruments = tuple(trades), tuple(instruments)
        self.feed_kind, self.start_ns, self.end_ns = "recorded", start_ns, end_ns
        self._trades = tuple(_renumbered(rows, index) for index, rows in enumerate(trades.values()))
        self._times = tuple(np.ascontiguousarray(rows["venue_ns"]) for rows in self._trades)
        self._seeds = tuple(stream_seed(seed, symbol) for symbol in self.symbols)
        self._bridge = bridge
        count = sum(len(rows) for rows in self._trades)
        minutes = max(1, (end_ns - start_ns) // MINUTE_NS)
        per_minute = count // minutes + bridge.tops_per_minute * len(self.symbols)
        self._blocks = Blocks(
            self._streams,
            clock_interval_ns=clock_interval_ns,
            block_ns=block_minutes(per_minute) * MINUTE_NS,
            phase_ns=0,
        )

    def history(self, before_ns: int, bars: int) -> Rows:
        """HISTORY rows of the whole minutes before a time in which the symbol traded."""
        end_ns = before_ns // MINUTE_NS * MINUTE_NS
        return history_rows(
            {
                index: bars_of(_inside(rows, end_ns - bars * MINUTE_NS, end_ns))
                for index, rows in enumerate(self._trades)
            }
        )

    def rows(self, from_ns: int, to_ns: int) -> Rows:
        return self._blocks.rows(from_ns, to_ns)

    def _streams(self, low_ns: int, high_ns: int) -> list[Rows]:
        if high_ns <= self.start_ns or low_ns >= self.end_ns:
            return []
        made = []
        for index, times in enumerate(self._times):
            window = (max(low_ns, self.start_ns), min(high_ns, self.end_ns))
            low, high = np.searchsorted(times, window)
            made.append(self._trades[index][low:high])
            if self._bridge.tops_per_minute:
                made.append(_inside(self._tops_of(index, low_ns, high_ns), *window))
        return made

    def _tops_of(self, index: int, low_ns: int, high_ns: int) -> Rows:
        low, high = np.searchsorted(self._times[index], (low_ns, high_ns))
        return tops_around(
            self._trades[index][max(0, low - 1) : high],
            index,
            self._seeds[index],
            from_ns=low_ns,
            to_ns=high_ns,
            instrument=self.instruments[index],
            bridge=self._bridge,
        )


def _renumbered(rows: Rows, index: int) -> Rows:
    if np.all(rows["symbol"] == index):
        return rows
    rows = rows.copy()
    rows["symbol"] = index
    return rows
