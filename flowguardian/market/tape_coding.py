"""A tape segment in a tenth of its size: differences instead of numbers, stream by stream.

Rule: lossless to the byte, whatever the bytes are; what is not whole blocks (a torn end, damage) is kept as
it is behind them. Columns lie stream after stream (kind and symbol), as differences in units of the largest
step that a stream's numbers share, each byte of a number in a plane of its own; LZMA does the rest.
"""

from __future__ import annotations

import lzma
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress

import numpy as np
import numpy.typing as npt

from flowguardian.market.records import FORMAT, ROW, Kind
from flowguardian.market.tape import HEADER, MAGIC, whole_blocks

Numbers = npt.NDArray[np.uint64]
Rows = npt.NDArray[np.void]

PIECE_ROWS = 250_000
"""Rows of one piece: what is packed again after more was recorded begins with the same pieces."""
_FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 6, "lc": 0, "lp": 0, "pb": 0, "dict_size": 1 << 24}]
_DIFFERENCES = ("venue_ns", "a", "b", "c", "d", "id")
_PLAIN = ("kind", "flags", "symbol", "aux")
_WORDS = np.dtype("<u8")


class CodingError(Exception):
    """Coded bytes cannot be what an encoder wrote."""


def pieces_of(data: bytes) -> Iterator[bytes]:
    """A segment file in coded pieces; each but the last holds `PIECE_ROWS` rows or a few more."""
    begin, rows, counts = 0, 0, []
    end = 0
    for end, block in whole_blocks(data):
        counts.append(len(block))
        rows += len(block)
        if rows >= PIECE_ROWS:
            yield _piece(data[begin:end], counts)
            begin, rows, counts = end, 0, []
    if counts:
        yield _piece(data[begin:end], counts)
    if end != len(data):
        yield _packed(b"R", data[end:])


def _piece(data: bytes, counts: Sequence[int]) -> bytes:
    """Coded, unless something in its headers is not as a writer makes it: then as it is."""
    coded = encode(data, counts)
    with suppress(CodingError):
        if decode(coded, len(data)) == data:
            return coded
    return _packed(b"R", data)


def encode(data: bytes, counts: Sequence[int]) -> bytes:
    """Whole blocks of these numbers of rows."""
    rows = _rows_of(data, counts)
    order = _streams(rows)
    planes = [_as_planes(np.array(counts, np.uint64)), _as_planes(_difference(rows["ts_ns"].view(np.uint64)))]
    planes += [_as_planes(rows[name].astype(np.uint64)) for name in _PLAIN]
    sorted_rows = rows[order]
    starts = _starts(sorted_rows)
    steps = []
    for name in _DIFFERENCES:
        numbers = sorted_rows[name] - _base(sorted_rows, name)
        coded, step = _in_steps(numbers, starts)
        steps += step
        planes.append(_as_planes(coded))
    head = np.array([len(counts), len(rows), len(steps), *steps], _WORDS).tobytes()
    return _packed(b"T", head + b"".join(planes))


def decode(piece: bytes, size: int) -> bytes:
    """The bytes of one piece; `size` is the most that they may be. Raises CodingError."""
    kind, body = piece[:1], piece[1:]
    # Planes hold eight bytes for each number of a row, the layout on disk hardly fewer.
    unpacked = _unpacked(body, 2 * size + 4096)
    if kind == b"R":
        return unpacked
    if kind != b"T":
        raise CodingError(f"a piece of unknown kind {kind!r}")
    try:
        return _decoded(unpacked)
    except (ValueError, IndexError, OverflowError) as error:
        raise CodingError(str(error)) from error


def _decoded(data: bytes) -> bytes:
    blocks, many, known = (int(word) for word in np.frombuffer(data, _WORDS, 3))
    if many > len(data) or blocks > many or known > len(data):
        raise CodingError("the numbers at the head of a piece cannot be")
    steps = np.frombuffer(data, _WORDS, known, 24).astype(np.uint64)
    reader = _Planes(data, 24 + 8 * known)
    counts = reader.next(blocks).astype(np.int64)
    if int(counts.sum()) != many:
        raise CodingError("the blocks of a piece do not hold its rows")
    rows = np.zeros(many, ROW)
    rows["ts_ns"] = np.cumsum(_unzigzag(reader.next(many)), dtype=np.uint64).view(np.int64)
    for name in _PLAIN:
        rows[name] = reader.next(many)
    order = _streams(rows)
    sorted_rows = rows[order]
    starts = _starts(sorted_rows)
    for place, name in enumerate(_DIFFERENCES):
        step = steps[place * len(starts) : (place + 1) * len(starts)]
        numbers = _from_steps(reader.next(many), starts, step)
        sorted_rows[name] = numbers + _base(sorted_rows, name)
    rows[order] = sorted_rows
    return b"".join(_blocks(rows, counts))


def _blocks(rows: Rows, counts: npt.NDArray[np.int64]) -> Iterator[bytes]:
    begin = 0
    for count in counts.tolist():
        block = rows[begin : begin + count]
        body = block.tobytes()
        header = np.zeros(1, HEADER)
        first, last = int(block["ts_ns"][0]), int(block["ts_ns"][-1])
        header[0] = (MAGIC, FORMAT, count, zlib.crc32(body), first, last, b"")
        yield header.tobytes()
        yield body
        begin += count


def _rows_of(data: bytes, counts: Sequence[int]) -> Rows:
    """The rows of the blocks without their headers."""
    records = np.frombuffer(data, ROW)
    keep = np.ones(len(records), bool)
    keep[np.cumsum([0, *(count + 1 for count in counts[:-1])])] = False
    return records[keep]


def _keys(rows: Rows) -> npt.NDArray[np.int64]:
    """One number for each stream."""
    keys: npt.NDArray[np.int64] = rows["kind"].astype(np.int64) << 16 | rows["symbol"]
    return keys


def _streams(rows: Rows) -> npt.NDArray[np.intp]:
    """The order in which rows lie stream after stream, each in the order of the tape."""
    return np.argsort(_keys(rows), kind="stable")


def _starts(rows: Rows) -> npt.NDArray[np.intp]:
    """Where each stream begins in rows that lie stream after stream."""
    key = _keys(rows)
    return (
        np.flatnonzero(np.concatenate([[True], key[1:] != key[:-1]])) if len(rows) else np.zeros(0, np.intp)
    )


def _base(rows: Rows, name: str) -> npt.NDArray[np.int64]:
    """What a column is written against: the ask of a quote moves with its bid."""
    is_ask = (rows["kind"] == Kind.TOP) & (name == "c")
    return np.where(is_ask, rows["a"], 0)


def _in_steps(numbers: npt.NDArray[np.int64], starts: npt.NDArray[np.intp]) -> tuple[Numbers, list[int]]:
    """Differences in units of the largest step that all numbers of a stream share."""
    steps = np.gcd.reduceat(numbers, starts) if len(starts) else numbers[:0]
    steps = np.where(steps > 0, steps, 1)
    whole = numbers // np.repeat(steps, np.diff([*starts, len(numbers)]))
    words = whole.view(np.uint64)
    shifted = _before(words)
    shifted[starts] = 0
    return _zigzag(words - shifted), steps.tolist()


def _from_steps(coded: Numbers, starts: npt.NDArray[np.intp], steps: Numbers) -> npt.NDArray[np.int64]:
    differences = _unzigzag(coded)
    summed = np.cumsum(differences, dtype=np.uint64)
    lengths = np.diff([*starts, len(coded)])
    before = np.repeat(summed[starts] - differences[starts], lengths)
    found: Numbers = (summed - before) * np.repeat(steps, lengths)
    return found.view(np.int64)


def _difference(words: Numbers) -> Numbers:
    return _zigzag(words - _before(words))


def _before(words: Numbers) -> Numbers:
    """What stands before each word; 0 before the first."""
    return np.concatenate([words[:1] * np.uint64(0), words[:-1]])


def _zigzag(words: Numbers) -> Numbers:
    """Small numbers for small differences of either sign."""
    signed = words.view(np.int64)
    return ((signed << 1) ^ (signed >> 63)).view(np.uint64)


def _unzigzag(coded: Numbers) -> Numbers:
    return (coded >> np.uint64(1)) ^ (np.uint64(0) - (coded & np.uint64(1)))


def _as_planes(numbers: Numbers) -> bytes:
    """How many bytes a number needs, then the lowest byte of all, then the next one, …"""
    used = (int(numbers.max()).bit_length() + 7) // 8 if len(numbers) else 0
    planes = numbers.astype(_WORDS).view(np.uint8).reshape(-1, 8)[:, :used]
    return bytes([used]) + np.ascontiguousarray(planes.T).tobytes()


class _Planes:
    """Reads what `_as_planes` wrote."""

    def __init__(self, data: bytes, offset: int) -> None:
        self._data, self._offset = data, offset

    def next(self, many: int) -> Numbers:
        """The next column."""
        used = self._data[self._offset]
        if used > 8:
            raise CodingError("a number of more than eight bytes")
        planes = np.frombuffer(self._data, np.uint8, many * used, self._offset + 1).reshape(used, many)
        self._offset += 1 + many * used
        numbers = np.zeros((many, 8), np.uint8)
        numbers[:, :used] = planes.T
        return numbers.reshape(-1).view(_WORDS).astype(np.uint64)


def _packed(kind: bytes, body: bytes) -> bytes:
    return kind + lzma.compress(body, lzma.FORMAT_XZ, filters=_FILTERS)


def _unpacked(body: bytes, most: int) -> bytes:
    reader = lzma.LZMADecompressor(lzma.FORMAT_XZ)
    try:
        found = reader.decompress(body, most)
    except lzma.LZMAError as error:
        raise CodingError(str(error)) from error
    if not reader.eof or reader.unused_data:
        raise CodingError("a piece is longer or shorter than it says")
    return found
