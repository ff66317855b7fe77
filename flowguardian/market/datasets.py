"""Recorded bars, trades and funding from Parquet and CSV files, checked row by row.

Rule: a value is right or the file is refused; nothing is guessed. A DatasetError names the file, the
symbol, the first offending row (counted from 0) with its UTC time, and what to do. A hole in time is no
error: it is counted in the DatasetReport. Duplicates and disorder are repaired only when asked to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np
import numpy.typing as npt

from flowguardian.market.files import Column, DatasetError, Ints, Raw, kind_of, nearest, read_raw, utc
from flowguardian.market.funding import FUNDING
from flowguardian.market.instruments import to_units
from flowguardian.market.records import BAR, ROW, Flag, Kind

__all__ = [
    "DatasetError",
    "DatasetReport",
    "SymbolReport",
    "describe",
    "kind_of",
    "load_bars",
    "load_trades",
    "read_bars",
    "read_funding",
    "read_trades",
]

Rows = npt.NDArray[np.void]
OnDuplicate = Literal["error", "drop"]


_LARGEST = 9.2e10  # what int64 holds in units of 1e-8, with a little room
_REPAIR = "Repair the file or remove the row."


class SymbolReport(msgspec.Struct, frozen=True):
    """What was found for one symbol inside the window."""

    symbol: str
    rows: int
    gaps: int | None  # holes in time (bars) or in the ids (trades); None: the file cannot show them
    missing: int | None  # how many bars or ids are absent in those holes
    duplicates: int
    out_of_order: int
    dropped: int
    first_ns: int
    last_ns: int


class DatasetReport(msgspec.Struct, frozen=True):
    """What a file holds and what was repaired while reading it."""

    path: str
    kind: str
    rows: int
    interval_ns: int  # of bars; 0 for the rest
    symbols: tuple[SymbolReport, ...]


class _Part:
    """The rows of one symbol, in file order at first; every refusal is raised from here."""

    def __init__(self, raw: Raw, symbol: str, rows: npt.NDArray[np.intp]) -> None:
        self.raw, self.symbol, self.rows = raw, symbol, rows
        self.time_ns = raw.time_ns[rows]
        self.out_of_order = self.duplicates = self.dropped = 0

    def column(self, name: str) -> Column:
        return self.raw.columns[name][self.rows]

    def refuse(self, bad: npt.NDArray[np.bool_], what: Callable[[int], str], remedy: str) -> None:
        """Raises DatasetError for the first row (in file order) where `bad` holds."""
        if not bad.any():
            return
        places = np.flatnonzero(bad)
        at = int(places[np.argmin(self.rows[places])])
        raise DatasetError(
            f"{self.raw.path}: {self.symbol}, row {int(self.rows[at])}, {utc(int(self.time_ns[at]))}: "
            f"{what(at)} ({len(places)} such rows). {remedy}"
        )

    def keep(self, chosen: npt.NDArray[np.intp] | npt.NDArray[np.bool_]) -> None:
        self.rows, self.time_ns = self.rows[chosen], self.time_ns[chosen]


def _parts(raw: Raw, symbols: Sequence[str] | None) -> Iterator[_Part]:
    for symbol in raw.names if symbols is None else symbols:
        code = raw.names.index(symbol) if symbol in raw.names else -1
        rows = np.flatnonzero(raw.codes == code)
        if len(rows) == 0 and symbols is not None:
            present = [raw.names[code] for code in np.unique(raw.codes)]
            raise DatasetError(f"{raw.path}: no rows for the symbol {symbol}; {nearest(symbol, present)}")
        if len(rows):
            yield _Part(raw, symbol, rows)


def _check_numbers(part: _Part, names: Sequence[str], *, zero_allowed: Sequence[str] = ()) -> None:
    for name in names:
        _check_number(part, name, zero_allowed=name in zero_allowed)


def _check_number(part: _Part, name: str, *, zero_allowed: bool) -> None:
    values = part.column(name)
    part.refuse(
        ~np.isfinite(values),
        lambda at: f"{name} is {'missing or NaN' if np.isnan(values[at]) else values[at]}",
        _REPAIR,
    )
    allowed = "zero or more" if zero_allowed else "above zero"
    part.refuse(
        values < 0 if zero_allowed else values <= 0,
        lambda at: f"{name} is {values[at]:g}, it must be {allowed}",
        _REPAIR,
    )
    part.refuse(
        values > _LARGEST,
        lambda at: f"{name} is {values[at]:g}, more than 64 bits hold in units of 1e-8",
        "Check the column's scale.",
    )


def _check_shape(part: _Part) -> None:
    high, low = part.column("high"), part.column("low")
    part.refuse(high < low, lambda at: f"high {high[at]:g} is below low {low[at]:g}", _REPAIR)
    for name in ("open", "close"):
        _check_between(part, name, low, high)


def _check_between(part: _Part, name: str, low: Column, high: Column) -> None:
    values = part.column(name)
    part.refuse(
        (values > high) | (values < low),
        lambda at: f"{name} {values[at]:.9g} is outside low {low[at]:.9g} .. high {high[at]:.9g}",
        _REPAIR,
    )


def _put_in_order(part: _Part, sort: bool) -> None:
    back = np.zeros(len(part.rows), np.bool_)
    back[1:] = part.time_ns[1:] < part.time_ns[:-1]
    part.out_of_order = int(np.count_nonzero(back))
    if not part.out_of_order:
        return
    if not sort:
        part.refuse(
            back,
            lambda at: f"the row is earlier than the one before it ({utc(int(part.time_ns[at - 1]))})",
            "The rows are out of order; read with sort=True to repair, or sort the file.",
        )
    part.keep(np.argsort(part.time_ns, kind="stable"))


def _drop_repeats(part: _Part, keys: Ints, on_duplicate: OnDuplicate, what: str) -> None:
    """Keys that came before (in time order) are duplicates; the first one stays."""
    first = np.zeros(len(keys), np.bool_)
    first[np.unique(keys, return_index=True)[1]] = True
    part.duplicates = int(np.count_nonzero(~first))
    if not part.duplicates:
        return
    if on_duplicate == "error":
        part.refuse(
            ~first,
            lambda at: f"{what} appears for the second time",
            'Read with on_duplicate="drop" to keep the first of each, or repair the file.',
        )
    part.keep(first)
    part.dropped = part.duplicates


def _window(part: _Part, start_ns: int | None, end_ns: int | None) -> None:
    first, last = int(part.time_ns[0]), int(part.time_ns[-1])
    low = 0 if start_ns is None else int(np.searchsorted(part.time_ns, start_ns, "left"))
    high = len(part.rows) if end_ns is None else int(np.searchsorted(part.time_ns, end_ns, "left"))
    if low >= high:
        start = "the start" if start_ns is None else utc(start_ns)
        end = "the end" if end_ns is None else utc(end_ns)
        raise DatasetError(
            f"{part.raw.path}: {part.symbol} has no rows in the window {start} .. {end}; its rows "
            f"{int(part.rows[0])} .. {int(part.rows[-1])} cover {utc(first)} .. {utc(last)}. "
            "Choose a window inside that."
        )
    part.keep(np.arange(low, high))


def _report(part: _Part, gaps: int | None, missing: int | None) -> SymbolReport:
    return SymbolReport(
        part.symbol,
        len(part.rows),
        gaps,
        missing,
        part.duplicates,
        part.out_of_order,
        part.dropped,
        int(part.time_ns[0]),
        int(part.time_ns[-1]),
    )


def _interval(parts: Sequence[_Part]) -> int:
    """The most frequent distance of two bars; a minute when there are no two."""
    steps = [np.diff(part.time_ns) for part in parts if len(part.rows) > 1]
    if not steps:
        return 60_000_000_000
    values, counts = np.unique(np.concatenate(steps), return_counts=True)
    return int(values[np.argmax(counts)])


def _bars_of(part: _Part) -> Rows:
    bars = np.zeros(len(part.rows), BAR)
    bars["open_ns"] = part.time_ns
    for name in ("open", "high", "low", "close"):
        bars[name] = to_units(part.column(name))
    bars["volume"] = part.column("volume")
    if "trades" in part.raw.columns:
        bars["trades"] = part.column("trades")
    return bars


def load_bars(
    path: Path,
    symbols: Sequence[str] | None = None,
    start_ns: int | None = None,
    end_ns: int | None = None,
    *,
    on_duplicate: OnDuplicate = "error",
    sort: bool = False,
) -> tuple[dict[str, Rows], DatasetReport]:
    """BAR records per symbol with start_ns <= open < end_ns, and what was found; raises DatasetError.

    A file whose symbol column is a number takes `symbols` as the names of 0, 1, 2, …
    """
    raw = read_raw(Path(path), "bars", symbols)
    parts = list(_parts(raw, symbols))
    for part in parts:
        _check_numbers(part, ("open", "high", "low", "close", "volume"), zero_allowed=("volume",))
        _check_shape(part)
        _put_in_order(part, sort)
        _drop_repeats(part, part.time_ns, on_duplicate, "this time")
    interval = _interval(parts)
    found: dict[str, Rows] = {}
    reports = []
    for part in parts:
        part.refuse(
            (part.time_ns - part.time_ns[0]) % interval != 0,
            lambda at: f"the bar is not on the grid of {interval / 1e9:g} s that the other bars keep",
            "Repair the file; bars of two intervals cannot be mixed.",
        )
        _window(part, start_ns, end_ns)
        holes = np.diff(part.time_ns) // interval - 1
        reports.append(_report(part, int(np.count_nonzero(holes)), int(holes.sum())))
        found[part.symbol] = _bars_of(part)
    return found, DatasetReport(str(path), "bars", sum(r.rows for r in reports), interval, tuple(reports))


def read_bars(
    path: Path,
    symbols: Sequence[str] | None = None,
    start_ns: int | None = None,
    end_ns: int | None = None,
    *,
    on_duplicate: OnDuplicate = "error",
    sort: bool = False,
) -> dict[str, Rows]:
    """`load_bars` without its report."""
    return load_bars(path, symbols, start_ns, end_ns, on_duplicate=on_duplicate, sort=sort)[0]


def _trades_of(part: _Part, index: int) -> Rows:
    rows = np.zeros(len(part.rows), ROW)
    rows["kind"] = int(Kind.TRADE)
    rows["symbol"] = index
    rows["venue_ns"] = part.time_ns
    rows["a"] = to_units(part.column("price"))
    rows["b"] = to_units(part.column("qty"))
    for name in ("buyer_maker", "side"):
        if name in part.raw.columns:
            rows["flags"] = part.column(name).astype(np.uint8) * int(Flag.SELLER_TAKER)
            break
    rows["id"] = part.column("id") if "id" in part.raw.columns else np.arange(1, len(rows) + 1)
    return rows


def load_trades(
    path: Path,
    symbols: Sequence[str] | None = None,
    start_ns: int | None = None,
    end_ns: int | None = None,
    *,
    on_duplicate: OnDuplicate = "error",
    sort: bool = False,
) -> tuple[dict[str, Rows], DatasetReport]:
    """TRADE rows per symbol (ts_ns 0, symbol = place in the result), and what was found.

    Duplicates and gaps are those of the trade ids; a file without ids cannot show any, and its rows are
    numbered from 1 within the window.
    """
    raw = read_raw(Path(path), "trades", symbols)
    found: dict[str, Rows] = {}
    reports = []
    for index, part in enumerate(_parts(raw, symbols)):
        _check_numbers(part, ("price", "qty"))
        _put_in_order(part, sort)
        gaps = missing = None
        if "id" in raw.columns:
            _drop_repeats(part, part.column("id").astype(np.int64), on_duplicate, "this trade id")
        _window(part, start_ns, end_ns)
        if "id" in raw.columns:
            holes = np.diff(np.sort(part.column("id").astype(np.int64))) - 1
            gaps, missing = int(np.count_nonzero(holes)), int(holes.sum())
        reports.append(_report(part, gaps, missing))
        found[part.symbol] = _trades_of(part, index)
    return found, DatasetReport(str(path), "trades", sum(r.rows for r in reports), 0, tuple(reports))


def read_trades(
    path: Path,
    symbols: Sequence[str] | None = None,
    start_ns: int | None = None,
    end_ns: int | None = None,
    *,
    on_duplicate: OnDuplicate = "error",
    sort: bool = False,
) -> dict[str, Rows]:
    """`load_trades` without its report."""
    return load_trades(path, symbols, start_ns, end_ns, on_duplicate=on_duplicate, sort=sort)[0]


def _check_rate(part: _Part) -> None:
    rates = part.column("rate")
    part.refuse(~(np.abs(rates) < 1), lambda at: f"the funding rate is {rates[at]}", _REPAIR)


def _load_funding(
    path: Path, symbols: Sequence[str] | None, sort: bool
) -> tuple[dict[str, Rows], DatasetReport]:
    raw = read_raw(Path(path), "funding", symbols)
    found: dict[str, Rows] = {}
    reports = []
    for part in _parts(raw, symbols):
        _check_rate(part)
        _put_in_order(part, sort)
        _drop_repeats(part, part.time_ns, "error", "this time")
        table = np.zeros(len(part.rows), FUNDING)
        table["time_ns"], table["rate"] = part.time_ns, to_units(part.column("rate"))
        reports.append(_report(part, None, None))
        found[part.symbol] = table
    return found, DatasetReport(str(path), "funding", sum(r.rows for r in reports), 0, tuple(reports))


def read_funding(path: Path, symbols: Sequence[str] | None = None) -> dict[str, Rows]:
    """FUNDING records per symbol, in order of time; raises DatasetError."""
    return _load_funding(path, symbols, sort=False)[0]


def describe(path: Path, names: Sequence[str] | None = None) -> DatasetReport:
    """What a file holds, with duplicates and disorder counted; wrong values still raise DatasetError."""
    kind = kind_of(Path(path))
    if kind == "bars":
        return load_bars(path, names, on_duplicate="drop", sort=True)[1]
    if kind == "trades":
        return load_trades(path, names, on_duplicate="drop", sort=True)[1]
    return _load_funding(path, names, sort=True)[1]
