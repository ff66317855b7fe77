"""The tape: an append-only log of 64-byte market records; file order is the total order of a run.

Rule: a record is on the tape before anything looks at it, and the tape never changes afterwards.
A block is what one loop turn released: a header record (magic, count, CRC-32 of the records) and the records.
A torn last block is cut at open; a damaged block before the last is an error, never skipped.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from flowguardian.market.records import FORMAT, ROW

Rows = npt.NDArray[np.void]

HEADER = np.dtype(
    [
        ("magic", "S4"),
        ("format", "u4"),
        ("count", "u4"),
        ("crc", "u4"),
        ("first_ts_ns", "i8"),
        ("last_ts_ns", "i8"),
        ("_pad", "V32"),
    ]
)
assert HEADER.itemsize == ROW.itemsize  # noqa: S101 - the layout on disk
MAGIC = b"FGT1"
SEGMENT_BYTES = 64 * 1024 * 1024


class TapeError(Exception):
    """A tape cannot be read or written."""


class TapeDamaged(TapeError):
    """A block in the middle of a tape does not match its checksum."""


def segment_paths(directory: Path) -> list[Path]:
    """The segment files of a tape, in order."""
    return sorted(directory.glob("tape-*.fgt"))


class TapeWriter:
    """The one writer of a tape; continues after the last whole block."""

    def __init__(self, directory: Path, *, segment_bytes: int = SEGMENT_BYTES) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        self._segment_bytes = segment_bytes
        self.last_ts_ns = 0
        paths = segment_paths(directory)
        for path in paths:
            whole = 0
            for end, rows in _blocks(path, last=path == paths[-1]):
                whole = end
                self.last_ts_ns = int(rows["ts_ns"][-1])
            if path == paths[-1] and whole != path.stat().st_size:
                with path.open("r+b") as torn:
                    torn.truncate(whole)
        self._is_synced = False
        self._number = len(paths)
        self._file: BinaryIO = paths[-1].open("ab") if paths else self._next_segment()

    def append(self, rows: Rows) -> None:
        """Write one block and hand it to the operating system; raises TapeError when it is out of order."""
        if len(rows) == 0:
            return
        first, last = int(rows["ts_ns"][0]), int(rows["ts_ns"][-1])
        if first <= self.last_ts_ns:
            raise TapeError(f"{self._file.name}: stamp {first} does not follow {self.last_ts_ns}")
        body = np.ascontiguousarray(rows).tobytes()
        header = np.zeros(1, HEADER)
        header[0] = (MAGIC, FORMAT, len(rows), zlib.crc32(body), first, last, b"")
        if self._file.tell() >= self._segment_bytes:
            self.sync()
            self._file.close()
            self._file = self._next_segment()
        self._file.write(header.tobytes() + body)
        self._file.flush()
        self._is_synced = False
        self.last_ts_ns = last

    def sync(self) -> None:
        """Wait until everything appended is on the disk."""
        if not self._is_synced:
            os.fsync(self._file.fileno())
            self._is_synced = True

    def close(self) -> None:
        """Sync and close."""
        if not self._file.closed:
            self.sync()
            self._file.close()

    def _next_segment(self) -> BinaryIO:
        self._number += 1
        return (self._directory / f"tape-{self._number:05d}.fgt").open("xb")


def read_tape(directory: Path) -> Iterator[Rows]:
    """The blocks of a tape, in order; a torn last block ends it, damage before raises TapeDamaged."""
    paths = segment_paths(directory)
    if not paths:
        raise TapeError(f"{directory}: holds no tape")
    for path in paths:
        for _, rows in _blocks(path, last=path == paths[-1]):
            yield rows


def load_tape(directory: Path) -> Rows:
    """A whole tape in memory."""
    return np.concatenate([*read_tape(directory), np.empty(0, ROW)])


def _blocks(path: Path, *, last: bool) -> Iterator[tuple[int, Rows]]:
    """(offset after the block, its rows) of one segment; only the last segment may end torn."""
    data = path.read_bytes()
    end = 0
    for end, rows in whole_blocks(data):
        yield end, rows
    if end != len(data) and not (last and _nothing_whole_after(data, end)):
        raise TapeDamaged(f"{path.name}: the block at byte {end} does not match its checksum")


def whole_blocks(data: bytes) -> Iterator[tuple[int, Rows]]:
    """(offset after the block, its rows) of a segment's bytes, up to the first that is not whole."""
    offset = 0
    while offset < len(data) and (rows := _block_at(data, offset)) is not None:
        offset += HEADER.itemsize + rows.nbytes
        yield offset, rows


def _block_at(data: bytes, offset: int) -> Rows | None:
    start = offset + HEADER.itemsize
    if start > len(data):
        return None
    header = np.frombuffer(data, HEADER, 1, offset)[0]
    if header["magic"] != MAGIC or header["format"] != FORMAT:
        return None
    end = start + int(header["count"]) * ROW.itemsize
    if end > len(data) or zlib.crc32(memoryview(data)[start:end]) != header["crc"]:
        return None
    return np.frombuffer(data, ROW, int(header["count"]), start)


def _nothing_whole_after(data: bytes, offset: int) -> bool:
    """No valid block follows `offset`: what is there is a torn end, not damage in the middle."""
    position = data.find(MAGIC, offset + 1)
    while position >= 0:
        if position % ROW.itemsize == 0 and _block_at(data, position) is not None:
            return False
        position = data.find(MAGIC, position + 1)
    return True
