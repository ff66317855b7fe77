"""Following a journal while it is written: short reads, in order, nothing twice, in no writer's way."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from flowguardian.journal import ops_events as o
from flowguardian.journal.chain import READ_BATCH, ChainError, ChainWriter, Record
from flowguardian.journal.follow import Follower, readable


def write(writer: ChainWriter, number: int) -> None:
    writer.append([(5, "HostSlept", b'{"ts_ns":5,"gap_seconds":1.0}')] * number, durable=False)


def test_a_follower_reads_on_from_where_it_was_in_batches(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    follower = Follower(path)
    assert follower.read() == [], "no file yet"
    writer = ChainWriter(path)
    assert follower.read() == [], "no row yet"
    write(writer, READ_BATCH + 5)
    assert [len(follower.read()) for _ in range(3)] == [READ_BATCH, 5, 0]
    write(writer, 2)
    assert [record.seq for record in follower.read()] == [READ_BATCH + 6, READ_BATCH + 7]
    assert [record.seq for record in Follower(path, READ_BATCH + 6).read()] == [READ_BATCH + 7]
    assert len(Follower(path, batch=10**9).read()) == READ_BATCH, "never more in one transaction"
    writer.close()


def test_between_two_reads_nothing_is_held_that_a_writer_waits_for(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    writer = ChainWriter(path)
    write(writer, 10)
    follower = Follower(path)
    follower.read()
    (busy, _, _) = sqlite3.connect(path).execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    assert busy == 0 and path.with_name("journal.db-wal").stat().st_size == 0
    write(writer, 1)
    assert len(follower.read()) == 1
    writer.close()


def test_a_file_that_is_no_journal_is_an_error_and_one_without_a_table_has_no_rows(tmp_path: Path) -> None:
    (tmp_path / "broken.db").write_bytes(b"this is no database and is long enough to say so " * 40)
    with pytest.raises(ChainError, match="broken.db"):
        Follower(tmp_path / "broken.db").read()
    (tmp_path / "empty.db").touch()
    assert Follower(tmp_path / "empty.db").read() == []


def test_a_row_of_a_newer_version_is_passed_over_and_reported() -> None:
    records = [
        Record(1, 5, "HostSlept", b'{"ts_ns":5,"gap_seconds":1.0}', ""),
        Record(2, 5, "FromTheFuture", b"{}", ""),
        Record(3, 5, "HostSlept", b'{"ts_ns":"later"}', ""),
        Record(4, 5, "HostSlept", b'{"ts_ns":6,"gap_seconds":2.0}', ""),
    ]
    bad: list[tuple[int, str]] = []
    found = list(
        readable(records, o.decode_ops, lambda record, error: bad.append((record.seq, type(error).__name__)))
    )
    assert found == [(1, o.HostSlept(5, 1.0)), (4, o.HostSlept(6, 2.0))]
    assert bad == [(2, "KeyError"), (3, "ValidationError")]
