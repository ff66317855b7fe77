"""Bars and stream ages for the price chart, read from the tape as it grows.

Rule: for eyes only. Whole blocks are read once each, a bounded number of bytes at a time; a block that does
not match its checksum is waited for at the end of the tape and named as damage before it.
"""

from __future__ import annotations

import struct
import zlib
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from flowguardian.market.records import FORMAT, ROW, SECOND_NS, Kind
from flowguardian.market.tape import HEADER, MAGIC, Rows, segment_paths

ONE = 100_000_000
_HEADER = struct.Struct("<4sIII")
STREAMS = {Kind.TRADE: "trade", Kind.TOP: "top", Kind.MARK: "mark"}

Bar = tuple[int, float, float, float, float]
"""Open of the interval (UTC seconds), open, high, low, close."""


@dataclass
class SymbolTape:
    """What is kept of one symbol."""

    bars: deque[Bar]
    last_ns: dict[str, int] = field(default_factory=dict)
    """Stamp of the last record of each stream."""
    records: dict[str, int] = field(default_factory=dict)


class TapeBars:
    """Follows the tape of one run."""

    def __init__(
        self, directory: Path, symbols: tuple[str, ...], *, bar_seconds: int, most_bars: int, most_bytes: int
    ) -> None:
        self.symbols = {name: SymbolTape(deque(maxlen=most_bars)) for name in symbols}
        self.last_ns = 0
        self.problem = ""
        self.is_behind = False
        """Whether there was more to read than one look allows."""
        self._directory = directory
        self._bar_ns = bar_seconds * SECOND_NS
        self._most_bytes = most_bytes
        self._segment = 0
        self._offset = 0

    def read(self) -> bool:
        """Take in what is new, at most so many bytes; whether there was anything."""
        left, found = self._most_bytes, False
        while left > 0 and not self.problem:
            paths = segment_paths(self._directory)
            if self._segment >= len(paths):
                break
            is_last = self._segment == len(paths) - 1
            used, rows = self._blocks(paths[self._segment], left, is_last=is_last)
            if rows:
                self._take(np.concatenate(rows))
                found = True
            elif not is_last and not self.problem and self._offset >= paths[self._segment].stat().st_size:
                self._segment, self._offset = self._segment + 1, 0
                continue
            if used == 0:
                break
            left -= used
        self.is_behind = left <= 0
        return found

    def _blocks(self, path: Path, most: int, *, is_last: bool) -> tuple[int, list[Rows]]:
        """Bytes of whole blocks after the place reached, and their rows."""
        with path.open("rb") as file:
            file.seek(self._offset)
            data = file.read(most)
            if len(data) >= _HEADER.size and (whole := _length(data)) > len(data):
                # One block larger than a whole look: it is read alone, or nothing would ever move on.
                data += file.read(whole - len(data))
        place, rows = 0, []
        while place + HEADER.itemsize <= len(data):
            end = place + _length(data, place)
            magic, version, count, crc = _HEADER.unpack_from(data, place)
            start = place + HEADER.itemsize
            sound = magic == MAGIC and version == FORMAT
            if sound and end > len(data):
                break
            if not sound or zlib.crc32(memoryview(data)[start:end]) != crc:
                self._doubt(path, self._offset + place, path.stat().st_size - self._offset - end, is_last)
                break
            rows.append(np.frombuffer(data, ROW, count, start))
            place = end
        self._offset += place
        return place, rows

    def _doubt(self, path: Path, at: int, behind: int, is_last: bool) -> None:
        """A torn end is cut when the engine resumes; a damaged block with more behind it stays."""
        if not is_last or behind > 0:
            self.problem = f"{path.name}: the block at byte {at} does not match its checksum"

    def _take(self, rows: Rows) -> None:
        self.last_ns = int(rows["ts_ns"][-1])
        for number, kept in enumerate(self.symbols.values()):
            mine = rows[rows["symbol"] == number]
            for kind, stream in STREAMS.items():
                own = mine["ts_ns"][mine["kind"] == kind]
                if len(own):
                    kept.last_ns[stream] = int(own[-1])
                    kept.records[stream] = kept.records.get(stream, 0) + len(own)
            priced = mine[(mine["kind"] == Kind.TRADE) | (mine["kind"] == Kind.HISTORY)]
            if len(priced):
                self._merge(kept.bars, priced)

    def _merge(self, bars: deque[Bar], rows: Rows) -> None:
        opens = rows["venue_ns"] // self._bar_ns
        order = np.argsort(opens, kind="stable")
        rows, opens = rows[order], opens[order]
        first = np.flatnonzero(np.r_[True, opens[1:] != opens[:-1]])
        last = np.r_[first[1:], len(rows)] - 1
        is_bar = rows["kind"] == Kind.HISTORY
        high = np.maximum.reduceat(np.where(is_bar, rows["b"], rows["a"]), first)
        low = np.minimum.reduceat(np.where(is_bar, rows["c"], rows["a"]), first)
        close = np.where(is_bar, rows["d"], rows["a"])[last]
        step = self._bar_ns // SECOND_NS
        for values in zip(opens[first], rows["a"][first], high, low, close, strict=True):
            _add(bars, _bar(values, step))


def _bar(values: tuple[np.int64, ...], step: int) -> Bar:
    at, opened, high, low, close = (int(value) for value in values)
    return (at * step, opened / ONE, high / ONE, low / ONE, close / ONE)


def _add(bars: deque[Bar], bar: Bar) -> None:
    """A new bar, or more of the last; what is late for a closed bar changes nothing, as in the engine."""
    if not bars or bar[0] > bars[-1][0]:
        bars.append(bar)
    elif bar[0] == bars[-1][0]:
        old = bars[-1]
        bars[-1] = (old[0], old[1], max(old[2], bar[2]), min(old[3], bar[3]), bar[4])


def _length(data: bytes, place: int = 0) -> int:
    """Bytes of the block that begins here, its header included."""
    _, _, count, _ = _HEADER.unpack_from(data, place)
    return HEADER.itemsize + int(count) * ROW.itemsize
