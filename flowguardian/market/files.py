"""Parquet and CSV files of market data as named numpy columns, before any judgement of their values.

Rule: a file is understood completely or refused: an unknown layout, a cut file, a missing time or symbol
is a DatasetError that names the file, what was found and what was expected.
Known column names are one literal table; time units follow from the size of the numbers.
"""

from __future__ import annotations

import difflib
import gzip
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Column = npt.NDArray[Any]


class DatasetError(Exception):
    """A file of market data cannot be used as it is; the message says where, why and what to do."""


ALIASES: Mapping[str, tuple[str, ...]] = {
    "time": ("ts_ns", "ts", "time_ns", "time", "timestamp", "open_time", "transact_time", "date"),
    "symbol": ("symbol", "sym", "ticker", "pair"),
    "open": ("open", "o"),
    "high": ("high", "h"),
    "low": ("low", "l"),
    "close": ("close", "c"),
    "volume": ("volume", "vol", "v"),
    "trades": ("trades", "count", "n_trades", "number_of_trades"),
    "price": ("price", "px", "p"),
    "qty": ("qty", "quantity", "amount", "size", "q"),
    "side": ("side", "taker_side", "aggressor"),
    "buyer_maker": ("is_buyer_maker", "buyer_maker", "m"),
    "id": ("trade_id", "agg_trade_id", "id"),
    "rate": ("funding_rate", "last_funding_rate", "rate"),
}

LAYOUTS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "bars": (("time", "open", "high", "low", "close", "volume"), ("symbol", "trades")),
    "trades": (("time", "price", "qty"), ("symbol", "side", "buyer_maker", "id")),
    "funding": (("time", "rate"), ("symbol",)),
}
"""Kind of file: what it must have, what it may have."""

_SYMBOL_IN_NAME = re.compile(r"[A-Z0-9]{2,}(?:USDT|USDC|BUSD)")
_UNITS_NS = ((1_000_000_000, 1_000_000_000), (10**12, 1_000_000), (10**15, 1_000), (10**18, 1))
_DATE_SPAN = 10  # one scale of time spans one decade of numbers, the years 2001 to 2286


@dataclass(frozen=True)
class Raw:
    """A file's columns by their standard names; row numbers are positions in the file, from 0."""

    path: Path
    kind: str
    time_ns: Ints
    codes: npt.NDArray[np.int32]
    names: tuple[str, ...]
    columns: dict[str, Column]


def utc(time_ns: int) -> str:
    """A UTC time as ISO text, to the nanosecond where there is one."""
    whole, part = divmod(time_ns, 1_000_000_000)
    text = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=whole)).strftime("%Y-%m-%dT%H:%M:%S")
    return text + (f".{part:09d}".rstrip("0") if part else "") + "Z"


def kind_of(path: Path) -> str:
    """What a file holds, bars, trades or funding, by the columns of the file."""
    return _recognise(path, _open(path).column_names, None)[0]


def read_raw(path: Path, kind: str | None = None, names: Sequence[str] | None = None) -> Raw:
    """The columns of a file of the given kind; `names` are the symbols of an index column, in order."""
    table = _open(path)
    kind, found = _recognise(path, table.column_names, kind)
    if table.num_rows == 0:
        raise DatasetError(f"{path}: the file holds no rows; record or choose another file.")
    # Each column leaves the table when it is converted, so that two copies of one alone exist at a time.
    left = {name: table[present] for name, present in found.items()}
    del table
    try:
        time_ns = _times(path, left.pop("time"))
        codes, symbols = _symbols(path, left.pop("symbol", None), len(time_ns), names)
    except pa.ArrowInvalid as error:
        reason = str(error).split("\n")[0]
        raise DatasetError(f"{path}: a time or symbol cannot be read ({reason}); repair the file.") from error
    columns = {}
    for name in list(left):
        convert = _sides if name == "side" else _numbers
        columns[name] = convert(path, name, left.pop(name))
    pa.default_memory_pool().release_unused()
    return Raw(path, kind, time_ns, codes, symbols, columns)


def _open(path: Path) -> pa.Table:
    if not path.is_file():
        raise DatasetError(f"{path}: there is no such file; check the path of the market.")
    try:
        if path.suffix == ".parquet":
            return pq.read_table(path)
        if path.suffix in (".csv", ".gz"):
            return pa_csv.read_csv(BytesIO(_csv_bytes(path)))
    except (pa.ArrowException, OSError, EOFError, zlib.error) as error:
        reason = str(error).split("\n")[0]
        raise DatasetError(
            f"{path}: the file is damaged or cut short ({reason}); copy or download it again."
        ) from error
    raise DatasetError(
        f"{path}: files of type {path.suffix or 'none'!r} are not read; use .parquet, .csv or .csv.gz."
    )


def _csv_bytes(path: Path) -> bytes:
    data = path.read_bytes()
    if path.suffix == ".gz":
        data = gzip.decompress(data)
    if not data.endswith(b"\n"):
        # A number cut in its middle is still a number; only the line break shows that the row is whole.
        raise DatasetError(
            f"{path}: the last line does not end in a line break, so its last number may be cut; "
            "download the file again, or add the line break when the row is whole."
        )
    return data


def _recognise(path: Path, present: Sequence[str], kind: str | None) -> tuple[str, dict[str, str]]:
    lower = {name.lower(): name for name in present}
    for candidate, (needed, optional) in LAYOUTS.items():
        if kind not in (None, candidate):
            continue
        found: dict[str, str] = {}
        for name in needed + optional:
            match = next((lower[alias] for alias in ALIASES[name] if alias in lower), None)
            if match is not None:
                found[name] = match
        if all(name in found for name in needed):
            return candidate, found
    wanted = [f"{k}: {', '.join(LAYOUTS[k][0])}" for k in LAYOUTS if kind in (None, k)]
    raise DatasetError(
        f"{path}: columns found: {', '.join(present)}; columns expected: {'; or '.join(wanted)} "
        "(with symbol, unless the file's name holds it). Rename the columns."
    )


def _whole(column: pa.ChunkedArray, to: pa.DataType) -> Column:
    values: Column = column.cast(to).to_numpy()
    return values


def _refuse_nulls(path: Path, name: str, column: pa.ChunkedArray) -> None:
    if column.null_count:
        row = int(np.argmax(_whole(pc.is_null(column), pa.bool_())))
        raise DatasetError(f"{path}: row {row} has no {name}; repair the file or remove the row.")


def _times(path: Path, column: pa.ChunkedArray) -> Ints:
    _refuse_nulls(path, "time", column)
    if pa.types.is_date(column.type):
        column = column.cast(pa.timestamp("s"))
    if pa.types.is_timestamp(column.type):
        # A timestamp without a zone is UTC: exchanges and this project write nothing else.
        return _whole(column.cast(pa.timestamp("ns", tz=column.type.tz)), pa.int64())
    if not pa.types.is_integer(column.type):
        raise DatasetError(
            f"{path}: the time column is of type {column.type}; "
            "write times as UTC timestamps or as whole numbers of s, ms, us or ns."
        )
    values = _whole(column, pa.int64())
    low, high = int(values.min()), int(values.max())
    for least, factor in _UNITS_NS:
        if least <= low and high < least * _DATE_SPAN:
            return values if factor == 1 else values * np.int64(factor)
    row = int(values.argmin())
    raise DatasetError(
        f"{path}: row {row} has time {low} (the largest is {high}); as s, ms, us or ns that is not one scale "
        "of dates after 2001. Repair the time column."
    )


def _symbols(
    path: Path, column: pa.ChunkedArray | None, rows: int, names: Sequence[str] | None
) -> tuple[npt.NDArray[np.int32], tuple[str, ...]]:
    if column is None:
        return np.zeros(rows, np.int32), (_symbol_of_name(path, names),)
    _refuse_nulls(path, "symbol", column)
    if pa.types.is_integer(column.type):
        codes = _whole(column, pa.int64())
        last = int(codes.max())
        if names is None or int(codes.min()) < 0 or last >= len(names):
            raise DatasetError(
                f"{path}: the symbol column holds the numbers {int(codes.min())}..{last}; "
                f"pass the names of all {last + 1} symbols, in that order."
            )
        return codes.astype(np.int32), tuple(names)
    if not pa.types.is_dictionary(column.type):
        column = column.cast(pa.string()).dictionary_encode()
    coded = column.combine_chunks()
    return coded.indices.to_numpy(zero_copy_only=False).astype(np.int32), tuple(coded.dictionary.to_pylist())


def _symbol_of_name(path: Path, names: Sequence[str] | None) -> str:
    if names is not None and len(names) == 1:
        return names[0]
    in_name = set(_SYMBOL_IN_NAME.findall(path.name.upper()))
    if len(in_name) == 1:
        return str(in_name.pop())
    raise DatasetError(f"{path}: the file has no symbol column; ask for the one symbol that it holds.")


def _numbers(path: Path, name: str, column: pa.ChunkedArray) -> Column:
    if name == "buyer_maker":
        _refuse_nulls(path, "buyer side", column)
    target = {"buyer_maker": pa.bool_(), "id": pa.int64(), "trades": pa.int64()}.get(name, pa.float64())
    if name in ("id", "trades"):
        _refuse_nulls(path, name, column)
    try:
        return _whole(column, target)
    except pa.ArrowInvalid as error:
        raise DatasetError(
            f"{path}: the column {name} is not numbers ({str(error).split(chr(10))[0]}); repair the file."
        ) from error


_SELL_WORDS = ("sell", "s", "ask", "short", "-1", "0", "2")
_BUY_WORDS = ("buy", "b", "bid", "long", "1")


def _sides(path: Path, name: str, column: pa.ChunkedArray) -> Column:
    """True where the taker sold; numbers: 1 bought, 0, -1 or 2 sold."""
    _refuse_nulls(path, name, column)
    # Encoded before it becomes text: millions of rows hold two or three different values.
    coded = column.dictionary_encode().combine_chunks()
    words = [str(word).lower() for word in coded.dictionary.to_pylist()]
    strange = [word for word in words if word not in _SELL_WORDS + _BUY_WORDS]
    if strange:
        raise DatasetError(
            f"{path}: the side column holds {strange[0]!r}; "
            f"expected one of {', '.join(_BUY_WORDS + _SELL_WORDS)}."
        )
    sold = np.array([word in _SELL_WORDS for word in words], np.bool_)
    indices: npt.NDArray[np.int32] = coded.indices.to_numpy(zero_copy_only=False)
    return sold[indices]


def nearest(symbol: str, names: Sequence[str]) -> str:
    """What a wrong symbol may have meant, as the end of an error message."""
    near = difflib.get_close_matches(symbol.upper(), names, n=1, cutoff=0.5)
    return (f"did you mean {near[0]}? " if near else "") + f"It holds: {', '.join(sorted(names))}."
