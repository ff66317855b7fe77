"""A coded tape segment comes back to the byte, whatever its rows, its blocks and its damage are."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from flowguardian.market import tape_coding
from flowguardian.market.records import FORMAT, ROW
from flowguardian.market.tape import HEADER, MAGIC, TapeWriter, segment_paths
from flowguardian.market.tape_coding import CodingError, decode, pieces_of
from tests.builders import market

rows_of_anything = hnp.arrays(ROW, st.integers(1, 40), elements=hnp.from_dtype(ROW))


def block_of(rows: np.ndarray[Any, Any], pad: bytes = b"") -> bytes:
    """A whole block as a writer makes it, or with something in its unused bytes."""
    body = rows.tobytes()
    header = np.zeros(1, HEADER)
    stamps = int(rows["ts_ns"][0]), int(rows["ts_ns"][-1])
    header[0] = (MAGIC, FORMAT, len(rows), zlib.crc32(body), *stamps, pad)
    return header.tobytes() + body


def returned(data: bytes) -> bytes:
    return b"".join(decode(piece, len(data)) for piece in pieces_of(data))


@given(blocks=st.lists(rows_of_anything, max_size=4), torn=st.binary(max_size=200))
def test_any_rows_and_any_end_come_back(blocks: list[np.ndarray[Any, Any]], torn: bytes) -> None:
    data = b"".join(block_of(rows) for rows in blocks) + torn
    assert returned(data) == data


@given(data=st.binary(max_size=400))
def test_what_is_no_tape_at_all_comes_back(data: bytes) -> None:
    assert returned(data) == data


def test_a_header_that_no_writer_makes_comes_back() -> None:
    data = block_of(market(3, minutes=1)) + block_of(market(4, minutes=1), pad=b"odd")
    assert returned(data) == data


@given(at=st.integers(0, 10**6), byte=st.integers(1, 255))
def test_a_piece_with_a_changed_byte_never_gives_other_rows(at: int, byte: int) -> None:
    data = block_of(market(3, minutes=2))
    (piece,) = pieces_of(data)
    changed = bytearray(piece)
    changed[at % len(changed)] ^= byte
    try:
        found = decode(bytes(changed), len(data))
    except CodingError:
        return
    assert found == data


def test_a_piece_that_would_unpack_to_more_than_it_may_is_refused() -> None:
    (piece,) = pieces_of(b"0" * 10_000_000)
    with pytest.raises(CodingError, match="longer"):
        decode(piece, 1000)


def test_a_longer_tape_begins_with_the_same_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tape_coding, "PIECE_ROWS", 100)
    rows = market(3, minutes=15)
    pieces = []
    for many in (len(rows) // 2, len(rows)):
        writer = TapeWriter(tmp_path / str(many))
        for low in range(0, many, 7):
            writer.append(rows[low : min(low + 7, many)])
        writer.close()
        data = segment_paths(tmp_path / str(many))[0].read_bytes()
        assert returned(data) == data
        pieces.append(list(pieces_of(data)))
    short, long = pieces
    assert len(short) > 3 and short[:-1] == long[: len(short) - 1]


def test_an_ordinary_tape_becomes_a_fifth_or_less() -> None:
    data = b"".join(block_of(rows) for rows in np.array_split(market(3, minutes=60), 3600))
    assert sum(map(len, pieces_of(data))) < len(data) / 5
