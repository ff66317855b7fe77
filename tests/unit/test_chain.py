"""The hash chain under the journal: whole batches, one writer, every change noticed."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from flowguardian.execution import events as ev
from flowguardian.journal.chain import (
    GENESIS,
    ChainBroken,
    ChainError,
    ChainWriter,
    link,
    read_chain,
    verify_chain,
)
from flowguardian.journal.journal import JOURNAL, BatchRecorder, Recorder, read_rows
from flowguardian.market.tape import load_tape
from tests.builders import INSTRUMENTS, T0, Machine, digest, market

ROWS = [(number, "Kind", f'{{"n":{number}}}'.encode()) for number in range(1, 2501)]


def write(path: Path) -> None:
    writer = ChainWriter(path)
    for low in range(0, len(ROWS), 700):
        writer.append(ROWS[low : low + 700], durable=low == 0)
    writer.close()


def change(path: Path, statement: str) -> None:
    with sqlite3.connect(path) as db:
        db.execute(statement)
    db.close()


def test_rows_come_back_in_order_and_linked(tmp_path: Path) -> None:
    write(tmp_path / "c.db")
    records = list(verify_chain(read_chain(tmp_path / "c.db")))
    assert [(r.ts_ns, r.kind, r.body) for r in records] == ROWS
    assert records[0].hash == link(GENESIS, 1, *ROWS[0])
    assert [r.seq for r in read_chain(tmp_path / "c.db", 2490)] == list(range(2491, 2501))


def test_a_second_writer_goes_on_with_the_chain(tmp_path: Path) -> None:
    write(tmp_path / "c.db")
    again = ChainWriter(tmp_path / "c.db")
    assert again.seq == 2500
    again.append([(9, "More", b"{}")], durable=True)
    again.checkpoint()
    again.close()
    assert len(list(verify_chain(read_chain(tmp_path / "c.db")))) == 2501


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("UPDATE rows SET body='{}' WHERE seq=7", "row 7 "),
        ("UPDATE rows SET ts_ns=0 WHERE seq=1500", "row 1500 "),
        ("UPDATE rows SET kind='Other' WHERE seq=2500", "row 2500 "),
        ("DELETE FROM rows WHERE seq=9", "row 9 is missing"),
    ],
)
def test_a_changed_row_is_named(tmp_path: Path, statement: str, named: str) -> None:
    write(tmp_path / "c.db")
    change(tmp_path / "c.db", statement)
    with pytest.raises(ChainBroken, match=named):
        list(verify_chain(read_chain(tmp_path / "c.db")))


def test_a_batch_that_fails_leaves_nothing_and_the_chain_goes_on(tmp_path: Path) -> None:
    writer = ChainWriter(tmp_path / "c.db")
    writer.append(ROWS[:3], durable=True)
    other = sqlite3.connect(tmp_path / "c.db")
    other.execute("INSERT INTO rows VALUES (5, 0, 'X', '', '')")
    other.commit()
    with pytest.raises(ChainError, match="could not append row 4"):
        writer.append(ROWS[3:6], durable=True)
    other.execute("DELETE FROM rows WHERE seq=5")
    other.commit()
    other.close()
    writer.append(ROWS[3:6], durable=True)
    writer.close()
    assert len(list(verify_chain(read_chain(tmp_path / "c.db")))) == 6


def test_what_is_no_journal_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ChainError, match="no such file"):
        list(read_chain(tmp_path / "none.db"))
    (tmp_path / "text.db").write_text(
        "not a database, but long enough to be looked at\n" * 40, encoding="utf-8"
    )
    with pytest.raises(ChainError, match="not readable"):
        list(read_chain(tmp_path / "text.db"))


def test_a_run_on_disk_holds_the_rows_of_a_run_in_memory(tmp_path: Path) -> None:
    rows = market(5, minutes=8)
    recorder = Recorder(tmp_path)
    on_disk = Machine(recorder=recorder).begin()
    on_disk.feed(rows, range(0, len(rows), 100))
    recorder.close()
    in_memory = Machine().begin().feed(rows)
    assert digest(row for _, row in read_rows(tmp_path / JOURNAL)) == digest(in_memory.rows)
    assert load_tape(tmp_path / "tape").tobytes() == rows.tobytes()


def test_a_batched_journal_holds_the_same_rows(tmp_path: Path) -> None:
    rows = market(5, minutes=8)
    recorder = BatchRecorder(tmp_path / "j.db", batch=10)
    Machine(recorder=recorder).begin().feed(rows)
    recorder.close()
    assert digest(row for _, row in read_rows(tmp_path / "j.db")) == digest(Machine().begin().feed(rows).rows)


def test_every_kind_of_row_survives_writing_and_reading() -> None:
    row = ev.InstrumentsSet(T0, INSTRUMENTS)
    assert ev.decode("InstrumentsSet", ev.encode(row)) == row
    with pytest.raises(ev.UnknownRow, match="newer version"):
        ev.decode("FromTheFuture", b"{}")
    assert set(ev.KINDS.values()) == {*ev.EXOGENOUS, *ev.DERIVED, *ev.DECISIONS}
