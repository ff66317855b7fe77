"""A recorded market as columns, straight from its file: what a backtest reads when there are no quotes.

Rule: its stamps and prices are those of the rows that `feeds/recorded.py` would release, one by one; a file
that is not plain (disorder, a wrong value, a repeated id) is left to that module, which says what is wrong.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from flowguardian.feeds.markets import BarMarket, bars_of, history_rows
from flowguardian.feeds.recorded import open_market, window_of
from flowguardian.market.columns import EMPTY, NO_FLAGS, Columns
from flowguardian.market.instruments import INSTRUMENTS, Instrument, fit_to_grid, instrument_for
from flowguardian.market.records import MINUTE_NS, ROW, UNITS, Kind

Rows = npt.NDArray[np.void]
Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.uint8]

NEVER = 1 << 62
_LARGEST = 9.2e18
"""Float units above this do not fit in int64."""


class Trades(NamedTuple):
    """Trades of all symbols, one symbol after the other; symbol `s` is at[s]:at[s+1], in order of time."""

    venue_ns: Ints
    price: Ints
    qty: Ints
    flags: Flags
    at: Ints


@njit(cache=True, nogil=True)
def _count(codes: Any, index_of: Any, at: Any) -> None:
    """Turns `at` (zeros) into the first place of each symbol."""
    for code in codes:
        s = index_of[code]
        if s >= 0:
            at[s + 1] += 1
    for s in range(1, len(at)):
        at[s] += at[s - 1]


@njit(cache=True, nogil=True)
def _place(
    codes: Any,
    index_of: Any,
    time_ns: Any,
    price: Any,
    qty: Any,
    ids: Any,
    at: Any,
    out_ns: Any,
    out_price: Any,
    out_qty: Any,
) -> bool:
    """Puts each trade in its symbol's part; False when one is out of order, repeated, or no number."""
    following = at.copy()
    last_id = np.full(len(at), np.iinfo(np.int64).min, np.int64)
    for i in range(len(codes)):
        s = index_of[codes[i]]
        if s < 0:
            continue
        p, q = price[i] * UNITS, qty[i] * UNITS
        if not (0.0 < p <= _LARGEST and 0.0 < q <= _LARGEST):  # false for NaN as well
            return False
        k = following[s]
        if k > at[s] and time_ns[i] < out_ns[k - 1]:
            return False
        if len(ids) > 0:
            if ids[i] <= last_id[s]:
                return False
            last_id[s] = ids[i]
        out_ns[k] = time_ns[i]
        out_price[k] = np.int64(np.rint(p))
        out_qty[k] = np.int64(np.rint(q))
        following[s] = k + 1
    return True


@njit(cache=True, nogil=True)
def stamp_columns(venue_ns: Any, at: Any, clock: Any, after_ns: Any, ts_ns: Any, clock_ts: Any) -> Any:
    """Stamps as `feeds.blocks.stamp` gives to rows merged by (time, clock first, symbol); returns the last.

    Each is max(venue time, last stamp + 1). The second result tells whether any differs from its time.
    """
    symbols = len(at) - 1
    heads = at[:-1].copy()
    waiting = np.empty(symbols, np.int64)
    for s in range(symbols):
        waiting[s] = venue_ns[heads[s]] if heads[s] < at[s + 1] else NEVER
    last, k, moved = after_ns, 0, False
    while True:
        first = -1
        first_ns = clock[k] if k < len(clock) else NEVER
        for s in range(symbols):
            if waiting[s] < first_ns:
                first, first_ns = s, waiting[s]
        if first_ns == NEVER:
            return last, moved
        last = max(first_ns, last + 1)
        moved |= last != first_ns
        if first < 0:
            clock_ts[k] = last
            k += 1
        else:
            i = heads[first]
            ts_ns[i] = last
            heads[first] = i + 1
            waiting[first] = venue_ns[i + 1] if i + 1 < at[first + 1] else NEVER


class FlatMarket:
    """Trades of a window, ready to be cut into chunks; `source` answers for the history before it."""

    def __init__(
        self,
        trades: Trades,
        *,
        symbols: Sequence[str],
        instruments: Sequence[Instrument],
        feed_kind: str,
        start_ns: int,
        end_ns: int,
        source: BarMarket | None = None,
    ) -> None:
        self.symbols, self.instruments = tuple(symbols), tuple(instruments)
        self.feed_kind, self.start_ns, self.end_ns = feed_kind, start_ns, end_ns
        self._trades, self._source = trades, source

    def __len__(self) -> int:
        first, last = self._cut(self.start_ns), self._cut(self.end_ns)
        return int((last - first).sum())

    def history(self, before_ns: int, bars: int) -> Rows:
        """HISTORY rows of up to `bars` closed bars per symbol before a time, by (time, symbol)."""
        if self._source is not None:
            return self._source.history(before_ns, bars)
        end_ns = before_ns // MINUTE_NS * MINUTE_NS
        first, last = self._cut(end_ns - bars * MINUTE_NS), self._cut(end_ns)
        return history_rows({s: bars_of(self._rows(s, first[s], last[s])) for s in range(len(first))})

    def chunks(self, after_ns: int, clock_interval_ns: int, chunk_rows: int) -> Iterator[Columns]:
        """The run's trades and clock rows in chunks of about so many rows, all symbols up to one moment."""
        cuts = self._moments(chunk_rows)
        before = self._cut(self.start_ns)
        for from_ns, to_ns in zip([self.start_ns, *cuts], [*cuts, self.end_ns + 1], strict=True):
            upto = self._cut(min(to_ns, self.end_ns))
            first = -(-from_ns // clock_interval_ns) * clock_interval_ns
            clock = np.arange(first, to_ns, clock_interval_ns, dtype=np.int64)
            if len(clock) or (upto > before).any():
                chunk = self._chunk(before, upto, clock, after_ns)
                after_ns = chunk.end_ns
                yield chunk
            before = upto

    def _moments(self, chunk_rows: int) -> list[int]:
        parts = max(1, -(-len(self) // chunk_rows))
        span_ns = self.end_ns - self.start_ns
        return [self.start_ns + span_ns * part // parts for part in range(1, parts)]

    def _cut(self, at_ns: int) -> Ints:
        """Per symbol, the place of its first trade at or after a time."""
        venue_ns, at = self._trades.venue_ns, self._trades.at
        found = [
            low + int(np.searchsorted(venue_ns[low:high], at_ns))
            for low, high in zip(at[:-1].tolist(), at[1:].tolist(), strict=True)
        ]
        return np.array(found, np.int64)

    def _chunk(self, first: Ints, last: Ints, clock: Ints, after_ns: int) -> Columns:
        trades = self._trades
        at = np.zeros(len(trades.at), np.int64)
        np.cumsum(last - first, out=at[1:])
        if at[-1] == len(trades.price):
            venue, price, qty, flags = trades.venue_ns, trades.price, trades.qty, trades.flags
        else:
            venue, price, qty = (_picked(part, first, last) for part in trades[:3])
            flags = _picked(trades.flags, first, last) if len(trades.flags) else NO_FLAGS
        ts, clock_ts = np.empty(len(venue), np.int64), np.empty(len(clock), np.int64)
        end_ns, moved = stamp_columns(venue, at, clock, after_ns, ts, clock_ts)
        return Columns(
            trade_ts=ts if moved else venue,
            trade_venue=venue,
            price=price,
            qty=qty,
            flags=flags,
            trade_at=at,
            top_ts=EMPTY,
            bid=EMPTY,
            bid_qty=EMPTY,
            ask=EMPTY,
            ask_qty=EMPTY,
            top_at=np.zeros(len(at), np.int64),
            clock=clock_ts,
            others=np.empty(0, ROW),
            in_order=True,
            end_ns=int(end_ns),
        )

    def _rows(self, symbol: int, low: int, high: int) -> Rows:
        rows = np.zeros(high - low, ROW)
        rows["kind"], rows["symbol"] = int(Kind.TRADE), symbol
        rows["venue_ns"], rows["a"] = self._trades.venue_ns[low:high], self._trades.price[low:high]
        rows["b"] = self._trades.qty[low:high]
        return rows


def _picked(column: npt.NDArray[Any], first: Ints, last: Ints) -> npt.NDArray[Any]:
    return np.concatenate([column[low:high] for low, high in zip(first.tolist(), last.tolist(), strict=True)])


def open_flat(
    spec: str,
    symbols: Sequence[str],
    start_ns: int | None = None,
    hours: float | None = None,
    history_bars: int = 240,
    *,
    path: bool = False,
    tops: bool = True,
) -> FlatMarket | None:
    """A market file as columns: bars as paths, or trades without tops; None when it must come as rows.

    Raises what `open_market` raises for a file, a symbol or a window that cannot be used.
    """
    kind, _, rest = spec.partition(":")
    if kind == "synthetic":
        return None
    from flowguardian.market.datasets import kind_of

    place = Path(rest if kind in ("bars", "trades") else spec)
    kind = kind if kind in ("bars", "trades") else kind_of(place)
    if kind == "bars" and path:
        market = open_market(f"bars:{place}", symbols, start_ns, hours, history_bars, path=True)
        return _of_bars(market) if isinstance(market, BarMarket) else None
    if kind == "trades" and not tops:
        trades = _read_trades(place, symbols)
        return None if trades is None else _of_trades(place, trades, symbols, start_ns, hours, history_bars)
    return None


def _of_bars(market: BarMarket) -> FlatMarket:
    parts: list[tuple[npt.NDArray[Any], ...]] = []
    for index in range(len(market.symbols)):
        rows = market.expanded(index, market.start_ns - market.interval_ns + 1, market.end_ns)
        # Copies: a view would keep the whole records of every symbol in memory.
        parts.append(tuple(np.ascontiguousarray(rows[name]) for name in ("venue_ns", "a", "b", "flags")))
    at = np.zeros(len(parts) + 1, np.int64)
    np.cumsum([len(part[0]) for part in parts], out=at[1:])
    venue_ns, price, qty, flags = (np.concatenate(column) for column in zip(*parts, strict=True))
    return FlatMarket(
        Trades(venue_ns, price, qty, flags, at),
        symbols=market.symbols,
        instruments=market.instruments,
        feed_kind=market.feed_kind,
        start_ns=market.start_ns,
        end_ns=market.end_ns,
        source=market,
    )


def _read_trades(place: Path, symbols: Sequence[str]) -> Trades | None:
    """The trades of the symbols; None when the file is not plain or lacks a symbol."""
    from flowguardian.market.files import read_raw

    raw = read_raw(place, "trades", symbols)
    index_of = np.array([symbols.index(name) if name in symbols else -1 for name in raw.names], np.int64)
    at = np.zeros(len(symbols) + 1, np.int64)
    _count(raw.codes, index_of, at)
    if (np.diff(at) == 0).any():
        return None
    ids = raw.columns.get("id", EMPTY)
    venue_ns, price, qty = (np.empty(int(at[-1]), np.int64) for _ in range(3))
    columns = (raw.time_ns, raw.columns["price"], raw.columns["qty"], ids)
    plain = _place(raw.codes, index_of, *columns, at, venue_ns, price, qty)
    return Trades(venue_ns, price, qty, NO_FLAGS, at) if plain else None


def _of_trades(
    place: Path,
    trades: Trades,
    symbols: Sequence[str],
    start_ns: int | None,
    hours: float | None,
    history_bars: int,
) -> FlatMarket:
    ranges = list(zip(symbols, trades.at[:-1].tolist(), trades.at[1:].tolist(), strict=True))
    venue_ns, price = trades.venue_ns, trades.price
    spans = {name: (int(venue_ns[low]), int(venue_ns[high - 1]) + MINUTE_NS) for name, low, high in ranges}
    start_ns, end_ns = window_of(str(place), spans, start_ns, hours, history_bars * MINUTE_NS)
    return FlatMarket(
        trades,
        symbols=symbols,
        instruments=[
            fit_to_grid(instrument_for(name, INSTRUMENTS), price[low:high]) for name, low, high in ranges
        ],
        feed_kind="recorded",
        start_ns=start_ns,
        end_ns=end_ns,
    )
