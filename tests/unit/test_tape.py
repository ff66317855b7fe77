"""The tape: what was appended comes back; a torn end is cut, damage before it is an error."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from flowguardian.market.tape import (
    TapeDamaged,
    TapeError,
    TapeWriter,
    load_tape,
    read_tape,
    segment_paths,
)
from tests.builders import T0, market

ROWS = market(3, minutes=2)


def write(directory: Path, rows: np.ndarray = ROWS, block: int = 50, **how: int) -> TapeWriter:
    writer = TapeWriter(directory, **how)
    for low in range(0, len(rows), block):
        writer.append(rows[low : low + block])
    writer.close()
    return writer


def test_what_was_appended_comes_back_in_its_blocks(tmp_path: Path) -> None:
    write(tmp_path)
    assert load_tape(tmp_path).tobytes() == ROWS.tobytes()
    assert [len(block) for block in read_tape(tmp_path)][:2] == [50, 50]


def test_segments_follow_each_other(tmp_path: Path) -> None:
    write(tmp_path, segment_bytes=4096)
    assert len(segment_paths(tmp_path)) == 3
    assert load_tape(tmp_path).tobytes() == ROWS.tobytes()


def test_a_second_writer_goes_on_where_the_first_ended(tmp_path: Path) -> None:
    write(tmp_path, ROWS[:100])
    again = TapeWriter(tmp_path)
    assert again.last_ts_ns == ROWS["ts_ns"][99]
    again.append(ROWS[100:])
    again.close()
    assert load_tape(tmp_path).tobytes() == ROWS.tobytes()


def test_rows_that_go_back_in_time_are_refused(tmp_path: Path) -> None:
    writer = TapeWriter(tmp_path)
    writer.append(ROWS[10:20])
    with pytest.raises(TapeError, match="does not follow"):
        writer.append(ROWS[19:30])
    writer.close()


def test_an_empty_block_leaves_no_trace(tmp_path: Path) -> None:
    writer = TapeWriter(tmp_path)
    writer.append(ROWS[:0])
    writer.close()
    assert len(load_tape(tmp_path)) == 0


@pytest.mark.parametrize("cut", [1, 63, 64, 65, 1000])
def test_a_torn_end_is_cut_and_the_tape_goes_on(tmp_path: Path, cut: int) -> None:
    write(tmp_path)
    last = segment_paths(tmp_path)[-1]
    data = last.read_bytes()
    last.write_bytes(data[:-cut])
    whole = len(load_tape(tmp_path))
    assert whole == len(ROWS) // 50 * 50
    writer = TapeWriter(tmp_path)
    assert writer.last_ts_ns == ROWS["ts_ns"][whole - 1]
    writer.append(ROWS[whole:])
    writer.close()
    assert load_tape(tmp_path).tobytes() == ROWS.tobytes()


@pytest.mark.parametrize("at", [0, 10, 64, 500])
def test_damage_before_the_end_is_an_error_and_never_skipped(tmp_path: Path, at: int) -> None:
    write(tmp_path)
    path = segment_paths(tmp_path)[0]
    data = bytearray(path.read_bytes())
    data[at] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(TapeDamaged, match="checksum"):
        load_tape(tmp_path)
    with pytest.raises(TapeDamaged):
        TapeWriter(tmp_path)


def test_a_torn_end_of_an_earlier_segment_is_damage(tmp_path: Path) -> None:
    write(tmp_path, segment_bytes=4096)
    first = segment_paths(tmp_path)[0]
    first.write_bytes(first.read_bytes()[:-1])
    with pytest.raises(TapeDamaged):
        load_tape(tmp_path)


def test_no_tape_is_an_error_that_names_the_place(tmp_path: Path) -> None:
    with pytest.raises(TapeError, match=str(T0)):
        load_tape(tmp_path / str(T0))
