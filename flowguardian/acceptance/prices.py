"""The tape as the judge sees it: what a symbol's last trade and quote were at a stamp, and how lively it was.

Rule: arithmetic on the recorded rows alone; a damaged tape gives what can be read and a problem line.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from flowguardian.market.records import MINUTE_NS, ROW, SECOND_NS, Flag, Kind
from flowguardian.market.tape import TapeError, read_tape

Ints = npt.NDArray[np.int64]
Rows = npt.NDArray[np.void]
LONGEST_SILENCE_NS = 120 * SECOND_NS
"""Between two records of the whole tape; longer is an outage and no market time."""


class Top(NamedTuple):
    """Best bid and ask; zeros before the first."""

    bid: int
    bid_qty: int
    ask: int
    ask_qty: int


class Stream(NamedTuple):
    """How one kind of record of one symbol arrived while the run was live."""

    symbol: str
    kind: str
    records: int
    max_silence_ns: int
    max_silence_at_ns: int


class _Symbol(NamedTuple):
    trade_ts: Ints
    price: Ints
    trade_venue: Ints
    path: npt.NDArray[np.bool_]
    top_ts: Ints
    tops: Rows
    mark_ts: Ints
    marks: Rows


class Prices:
    """All records of a tape, by symbol."""

    def __init__(self, rows: Rows, symbols: tuple[str, ...]) -> None:
        self.symbols = symbols
        self.ts: Ints = np.ascontiguousarray(rows["ts_ns"])
        self.records = len(rows)
        self._by: dict[str, _Symbol] = {}
        kind, symbol = rows["kind"], rows["symbol"]
        wanted = {k: np.flatnonzero(kind == k) for k in (Kind.TRADE, Kind.TOP, Kind.MARK)}
        for index, name in enumerate(symbols):
            part = {k: rows[at[symbol[at] == index]] for k, at in wanted.items()}
            self._by[name] = _columns(part[Kind.TRADE], part[Kind.TOP], part[Kind.MARK])

    @property
    def first_ns(self) -> int:
        """Stamp of the first record, 0 without any."""
        return int(self.ts[0]) if self.records else 0

    @property
    def last_ns(self) -> int:
        """Stamp of the last record, 0 without any."""
        return int(self.ts[-1]) if self.records else 0

    def trade(self, symbol: str, at_ns: int) -> int | None:
        """Price of the last trade at or before a stamp."""
        s = self._by.get(symbol)
        i = -1 if s is None else int(np.searchsorted(s.trade_ts, at_ns, "right")) - 1
        return None if s is None or i < 0 else int(s.price[i])

    def trades(self, symbol: str, at: Ints) -> Ints:
        """Price of the last trade at or before each stamp, 0 where there was none."""
        s = self._by[symbol]
        i = np.searchsorted(s.trade_ts, at, "right") - 1
        if not len(s.price):
            return np.zeros(len(at), np.int64)
        return np.where(i >= 0, s.price[i], 0)

    def range(self, symbol: str, from_ns: int, to_ns: int) -> tuple[int, int] | None:
        """Lowest and highest trade in a span of stamps (both ends included)."""
        s = self._by.get(symbol)
        if s is None:
            return None
        lo, hi = np.searchsorted(s.trade_ts, from_ns), np.searchsorted(s.trade_ts, to_ns, "right")
        part = s.price[lo:hi]
        return (int(part.min()), int(part.max())) if len(part) else None

    def top(self, symbol: str, at_ns: int) -> Top:
        """The last quote at or before a stamp."""
        s = self._by.get(symbol)
        i = -1 if s is None else int(np.searchsorted(s.top_ts, at_ns, "right")) - 1
        if s is None or i < 0:
            return Top(0, 0, 0, 0)
        row = s.tops[i]
        return Top(int(row["a"]), int(row["b"]), int(row["c"]), int(row["d"]))

    def path_step(self, symbol: str, at_ns: int) -> tuple[int, int] | None:
        """When the trade at exactly this stamp is a point of a path: the price before it, and its own."""
        s = self._by.get(symbol)
        i = -1 if s is None else int(np.searchsorted(s.trade_ts, at_ns))
        if s is None or i >= len(s.trade_ts) or s.trade_ts[i] != at_ns or not s.path[i] or i == 0:
            return None
        return int(s.price[i - 1]), int(s.price[i])

    def has_row(self, symbol: str, at_ns: int) -> bool:
        """Whether a trade or quote of the symbol carries exactly this stamp."""
        s = self._by.get(symbol)
        return s is not None and (_holds(s.trade_ts, at_ns) or _holds(s.top_ts, at_ns))

    def funding(self, symbol: str, at_ns: int) -> tuple[int, int] | None:
        """(mark price, rate) of the funding record at exactly this stamp."""
        s = self._by.get(symbol)
        i = -1 if s is None else int(np.searchsorted(s.mark_ts, at_ns))
        if s is None or i >= len(s.mark_ts) or s.mark_ts[i] != at_ns:
            return None
        row = s.marks[i]
        return (int(row["a"]), int(row["c"])) if row["flags"] & Flag.FUNDING else None

    def covered_ns(self, from_ns: int) -> int:
        """Market time on the tape since a stamp: the steps between records, without outages."""
        ts = self.ts[np.searchsorted(self.ts, from_ns) :]
        if not len(ts):
            return 0
        steps = np.diff(ts, prepend=min(from_ns, int(ts[0])))
        return int(steps[steps <= LONGEST_SILENCE_NS].sum())

    def streams(self, from_ns: int) -> list[Stream]:
        """Trades and quotes of each symbol since a stamp: how many, and the longest silence."""
        found = []
        for name, s in self._by.items():
            for kind, stamps in (("TRADE", s.trade_ts), ("TOP", s.top_ts)):
                ts = stamps[np.searchsorted(stamps, from_ns) :]
                edges = np.concatenate(([from_ns], ts, [max(self.last_ns, from_ns)]))
                steps = np.diff(edges)
                worst = int(np.argmax(steps))
                found.append(Stream(name, kind, len(ts), int(steps[worst]), int(edges[worst])))
        return found

    def mean_atr_pct(self, from_ns: int) -> dict[str, float]:
        """Mean true range of the 1-minute bars since a stamp in % of the price, by symbol."""
        found = {}
        for name, s in self._by.items():
            lo = int(np.searchsorted(s.trade_ts, from_ns))
            mean = _mean_true_range_pct(s.trade_venue[lo:], s.price[lo:])
            if mean is not None:
                found[name] = mean
        return found


def read_prices(directory: Path, symbols: tuple[str, ...]) -> tuple[Prices, list[str]]:
    """The prices of a tape, and what is wrong with it."""
    blocks: list[Rows] = []
    problems: list[str] = []
    try:
        for block in read_tape(directory):  # not a comprehension: what came before the damage is kept
            blocks.append(block)  # noqa: PERF402
    except (TapeError, OSError) as error:
        problems.append(f"tape: {error}")
    rows = np.concatenate([*blocks, np.empty(0, ROW)])
    stamps = rows["ts_ns"]
    if len(rows) > 1 and not bool(np.all(stamps[1:] > stamps[:-1])):
        first = int(np.argmin(stamps[1:] > stamps[:-1])) + 1
        problems.append(f"tape: record {first} does not come after the one before it")
        rows = rows[np.argsort(stamps, kind="stable")]
    return Prices(rows, symbols), problems


def _columns(trades: Rows, tops: Rows, marks: Rows) -> _Symbol:
    return _Symbol(
        np.ascontiguousarray(trades["ts_ns"]),
        np.ascontiguousarray(trades["a"]),
        np.ascontiguousarray(trades["venue_ns"]),
        (trades["flags"] & int(Flag.PATH)) != 0,
        np.ascontiguousarray(tops["ts_ns"]),
        tops,
        np.ascontiguousarray(marks["ts_ns"]),
        marks,
    )


def _holds(stamps: Ints, at_ns: int) -> bool:
    i = int(np.searchsorted(stamps, at_ns))
    return i < len(stamps) and int(stamps[i]) == at_ns


def _mean_true_range_pct(venue_ns: Ints, price: Ints) -> float | None:
    if not len(price):
        return None
    minute = venue_ns // MINUTE_NS
    if not bool(np.all(minute[1:] >= minute[:-1])):  # back-filled trades stand later than they happened
        order = np.argsort(minute, kind="stable")
        minute, price = minute[order], price[order]
    first = np.flatnonzero(np.concatenate(([True], minute[1:] != minute[:-1])))
    high, low = np.maximum.reduceat(price, first), np.minimum.reduceat(price, first)
    close = price[np.concatenate((first[1:] - 1, [len(price) - 1]))]
    before = np.concatenate((close[:1], close[:-1]))
    before[0] = price[0]
    true_range = np.maximum(high, before) - np.minimum(low, before)
    return float(np.mean(true_range / close) * 100.0)
