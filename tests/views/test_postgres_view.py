"""The Postgres view against a real server: equal to the journal, whatever happens to the server."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections import Counter
from decimal import Decimal

import psycopg
import pytest

from flowguardian.execution import events as ev
from flowguardian.journal import ops_events as o
from flowguardian.journal.chain import read_chain
from flowguardian.journal.journal import JOURNAL, read_rows
from flowguardian.journal.postgres import PostgresView
from flowguardian.journal.postgres_tables import SCHEMA, STEPS, TABLES
from flowguardian.journal.views import OPS, Identity, Source, StoreTrouble
from flowguardian.ops.observer import At
from tests.views.conftest import ANSWER_SECONDS
from tests.views.figures import HERE
from tests.views.journals import NASTY, SHOWN, content, drained, every_kind, told, wait_for, worker, write

FREEZES = pytest.mark.skipif(sys.platform == "win32", reason="SIGSTOP is POSIX")


def view_of(store, run_id: str) -> PostgresView:
    return PostgresView(store.address(), Identity("test", run_id), ANSWER_SECONDS)


def store_of(store, run_id: str) -> At:
    return At("postgres", store.address(), lambda _: view_of(store, run_id))


def sums(address: str, table: str, run_id: str, where: str, *columns: str) -> list[Decimal]:
    asked = ", ".join(f"coalesce(sum({column}), 0)" for column in columns)
    with psycopg.connect(address) as db:
        query = f"SELECT {asked} FROM {SCHEMA}.{table} WHERE run_id = %s {where}"
        row = db.execute(query, [run_id]).fetchone()
    assert row is not None
    return list(row)


def units(rows, kind: type, *names: str) -> list[Decimal]:
    """Sums over the journal in integers, then as exact decimals."""
    found = [row for row in rows if type(row) is kind]
    assert found, kind
    return [Decimal(sum(getattr(row, name) for row in found)).scaleb(-8) for name in names]


def test_row_counts_and_sums_of_every_table_equal_the_journal(postgres, tmp_path, run_id):
    told(tmp_path)
    drained(worker(store_of(postgres, run_id), tmp_path))
    rows = [row for _, row in read_rows(tmp_path / JOURNAL)]
    kinds = Counter(type(row).__name__ for row in rows)
    found = {name: len(texts) for name, texts in content(postgres.address(), run_id).items()}
    incidents = found.pop("incidents")
    points = found.pop("equity")
    assert found == {name: sum(kinds[kind] for kind in HERE[name]) for name in HERE}
    assert sum(found.values()) == len(rows)
    entries = sum(isinstance(row, ev.OrderRequested) and row.purpose is ev.Purpose.ENTRY for row in rows)
    assert points == kinds["CheckpointTaken"] + entries
    ops = [o.decode_ops(record.kind, record.body) for record in read_chain(tmp_path / OPS)]
    shown = o.Incident | o.FaultAnnounced | o.HostSlept | o.ClockStepped
    assert incidents == sum(isinstance(row, shown) for row in ops)

    address, of_kind = postgres.address(), "AND kind = '{}'".format
    assert sums(address, "fills", run_id, "", "qty", "price", "fee") == units(
        rows, ev.OrderFilled, "qty", "price", "fee"
    )
    closed = ("realised", "fees", "funding")
    assert sums(address, "positions", run_id, of_kind("PositionClosed"), *closed) == units(
        rows, ev.PositionClosed, *closed
    )
    capped = sums(address, "decisions", run_id, of_kind("BudgetCapped"), "wanted", "granted")
    assert capped == units(rows, ev.BudgetCapped, "wanted", "cap")
    ordered = ("qty", "limit_price", "reserved")
    assert sums(address, "orders", run_id, "", *ordered) == units(rows, ev.OrderRequested, *ordered)
    taken = ("equity", "balance", "realised", "fees", "funding", "unrealised", "exposure")
    assert sums(address, "checkpoints", run_id, "", *taken) == units(rows, ev.CheckpointTaken, *taken)


def test_every_kind_of_row_finds_its_table_and_korean_and_nul_survive(postgres, tmp_path, run_id):
    rows = list(every_kind())
    write(tmp_path / JOURNAL, rows, ev.encode)
    incident = o.Incident(5, o.Severity.WARNING, NASTY, NASTY, NASTY)
    write(tmp_path / OPS, [incident], o.encode_ops)
    drained(worker(store_of(postgres, run_id), tmp_path))
    with psycopg.connect(postgres.address()) as db:
        for name, kinds in HERE.items():
            found = db.execute(f"SELECT kind FROM {SCHEMA}.{name} WHERE run_id = %s", [run_id]).fetchall()
            assert {kind for (kind,) in found} == kinds, name
        row = db.execute(
            f"SELECT message FROM {SCHEMA}.orders WHERE run_id = %s AND kind = 'OrderRejected'", [run_id]
        ).fetchone()
        assert row == (SHOWN,)
        row = db.execute(
            f"SELECT sample, body->>'what' FROM {SCHEMA}.incidents WHERE run_id = %s", [run_id]
        ).fetchone()
        assert row == (SHOWN, SHOWN)
        assert set(HERE) | {"equity", "incidents"} == set(TABLES)


def test_a_lost_cursor_or_a_second_delivery_changes_nothing(postgres, tmp_path, run_id):
    records = told(tmp_path)
    view = view_of(postgres, run_id)
    view.connect()
    view.deliver(Source.JOURNAL, records[:20])
    view.deliver(Source.JOURNAL, records[10:])
    once = content(postgres.address(), run_id)
    with psycopg.connect(postgres.address()) as db:
        db.execute(f"DELETE FROM {SCHEMA}.cursors WHERE run_id = %s", [run_id])
    again = view_of(postgres, run_id)
    assert again.connect() == {}
    again.deliver(Source.JOURNAL, records)
    assert content(postgres.address(), run_id) == once
    view.close()
    again.close()


def test_of_two_writers_the_one_that_is_behind_is_told_so_and_keeps_nothing(postgres, tmp_path, run_id):
    records = told(tmp_path)
    first, second = view_of(postgres, run_id), view_of(postgres, run_id)
    first.connect()
    second.connect()
    first.deliver(Source.JOURNAL, records[:10])
    with pytest.raises(StoreTrouble, match="not where this view left it"):
        second.deliver(Source.JOURNAL, records)
    assert len(content(postgres.address(), run_id)["signals"]) <= 10
    assert second.connect()[Source.JOURNAL].seq == 10
    first.close()
    second.close()


def test_a_rebuild_gives_identical_content(postgres, tmp_path, run_id):
    told(tmp_path)
    drained(worker(store_of(postgres, run_id), tmp_path))
    before = content(postgres.address(), run_id)
    with psycopg.connect(postgres.address()) as db:
        db.execute(f"UPDATE {SCHEMA}.fills SET fee = fee + 1 WHERE run_id = %s", [run_id])
    assert content(postgres.address(), run_id) != before
    drained(worker(store_of(postgres, run_id), tmp_path, rebuild=True))
    assert content(postgres.address(), run_id) == before


def test_rows_of_another_journal_under_the_same_name_are_replaced(
    postgres, tmp_path, run_id, tmp_path_factory
):
    write(tmp_path / JOURNAL, list(every_kind()), ev.encode)
    drained(worker(store_of(postgres, run_id), tmp_path))
    other = tmp_path_factory.mktemp("other")
    told(other)
    said: list[str] = []
    drained(worker(store_of(postgres, run_id), other, said))
    assert any("another journal" in text for text in said)
    assert len(content(postgres.address(), run_id)["runs"]) == 1
    fees = units([row for _, row in read_rows(other / JOURNAL)], ev.OrderFilled, "fee")
    assert sums(postgres.address(), "fills", run_id, "", "fee") == fees


def test_a_full_disk_keeps_nothing_of_a_batch_and_the_view_catches_up(postgres, tmp_path, run_id):
    records = told(tmp_path)
    address = postgres.address()
    made = view_of(postgres, run_id)
    made.connect()
    made.close()
    with psycopg.connect(address) as db:
        # What Postgres says when a table cannot grow (SQLSTATE 53100), after the twelfth row.
        db.execute(
            f"CREATE FUNCTION {SCHEMA}.full() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
            " IF NEW.seq > 12 THEN RAISE EXCEPTION 'could not extend file: No space left on device'"
            " USING ERRCODE = '53100'; END IF; RETURN NEW; END $$"
        )
        db.execute(
            f"CREATE TRIGGER full_disk BEFORE INSERT ON {SCHEMA}.signals FOR EACH ROW"
            f" WHEN (NEW.run_id = '{run_id}') EXECUTE FUNCTION {SCHEMA}.full()"
        )
    said: list[str] = []
    busy = worker(store_of(postgres, run_id), tmp_path, said)
    standing = wait_for(busy, "waiting", len(records))
    assert "No space left on device" in standing.why and standing.since
    assert 0 < standing.seq < len(records) and standing.behind == len(records) - standing.seq
    assert len(content(address, run_id)["runs"]) == 1
    with psycopg.connect(address) as db:
        db.execute(f"DROP FUNCTION {SCHEMA}.full() CASCADE")
    wait_for(busy, "current", len(records))
    drained(busy)
    # One warning for the outage, however often it was tried, and one word that it is over.
    assert [text.partition(":")[0] for text in said] == ["warning", "info"]
    signals = sum(record.kind == "Signal" for record in records)
    assert len(content(address, run_id)["signals"]) == signals


@FREEZES
def test_a_frozen_server_is_noticed_and_caught_up_with_when_it_thaws(postgres, tmp_path, run_id):
    records = told(tmp_path)
    busy = worker(store_of(postgres, run_id), tmp_path)
    wait_for(busy, "current", len(records))
    pids = backends(postgres)
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        write(tmp_path / JOURNAL, list(every_kind())[1:3], ev.encode)
        standing = wait_for(busy, "waiting", len(records) + 2)
        assert standing.behind == 2
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
    wait_for(busy, "current", len(records) + 2)
    drained(busy)


def backends(store) -> list[int]:
    """The server process with those that serve its clients."""
    import psutil

    server = psutil.Process(store.server.pid)
    return [server.pid, *(child.pid for child in server.children(recursive=True))]


@FREEZES
def test_a_killed_server_is_started_again_and_the_view_goes_on(postgres, tmp_path, run_id):
    records = told(tmp_path)
    made = At("postgres", "", lambda _: view_of(postgres, run_id))
    busy = worker(made, tmp_path)
    wait_for(busy, "current", len(records))
    killed = postgres.server.pid
    os.kill(killed, signal.SIGKILL)
    write(tmp_path / JOURNAL, list(every_kind())[1:3], ev.encode)
    wait_for(busy, "current", len(records) + 2)
    assert postgres.server.pid != killed
    assert len(content(postgres.address(), run_id)["lifecycle"]) > 2
    drained(busy)


def foreign(address: str) -> list[tuple[object, ...]]:
    """A schema of somebody else, down to the place and transaction of each of its rows."""
    with psycopg.connect(address) as db:
        rows = db.execute("SELECT ctid::text, xmin::text, * FROM other.thing ORDER BY id").fetchall()
        files = db.execute(
            "SELECT relname, relfilenode FROM pg_class WHERE relnamespace = 'other'::regnamespace"
        )
        return [*rows, *sorted(files.fetchall())]


def test_a_foreign_schema_and_other_runs_are_identical_after_run_and_clean_up(postgres, tmp_path, run_id):
    address = postgres.address()
    with psycopg.connect(address) as db:
        db.execute("CREATE SCHEMA other")
        db.execute("CREATE TABLE other.thing (id int PRIMARY KEY, text text)")
        db.execute("INSERT INTO other.thing SELECT n, '남의 것 ' || n FROM generate_series(1, 1000) n")
    before = foreign(address)
    told(tmp_path)
    drained(worker(store_of(postgres, f"{run_id}-a"), tmp_path))
    kept = content(address, f"{run_id}-a")
    drained(worker(store_of(postgres, f"{run_id}-b"), tmp_path))
    view = view_of(postgres, f"{run_id}-b")
    view.connect()
    assert view.drop() > len(kept["fills"])
    view.close()
    assert not any(content(address, f"{run_id}-b").values())
    assert content(address, f"{run_id}-a") == kept
    assert foreign(address) == before


def test_two_observers_that_start_together_migrate_once(postgres, run_id):
    with psycopg.connect(postgres.address(), autocommit=True) as db:
        db.execute("CREATE DATABASE together")
    address = postgres.address().replace("/postgres?", "/together?")
    views = [PostgresView(address, Identity("test", f"{run_id}{number}"), 5.0) for number in range(4)]
    failed: list[StoreTrouble] = []

    def start(view: PostgresView) -> None:
        try:
            view.connect()
        except StoreTrouble as error:
            failed.append(error)

    threads = [threading.Thread(target=start, args=(view,)) for view in views]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    with psycopg.connect(address) as db:
        numbers = db.execute(f"SELECT number FROM {SCHEMA}.migrations ORDER BY number").fetchall()
    assert [number for (number,) in numbers] == list(range(1, len(STEPS) + 1))
    for view in views:
        view.close()


@pytest.mark.parametrize(
    "address",
    ["postgresql://flowguardian:{}@/postgres?host={}", "postgresql://u:{}@127.0.0.1:1/none", "{}://u:p"],
)
def test_no_message_shows_the_password_of_an_address(postgres, run_id, address):
    secret = "pl@nted-s3cret"
    host = postgres.server.folder
    view = PostgresView(address.format(secret, host), Identity("test", run_id), 2.0)
    with pytest.raises(StoreTrouble) as trouble:
        view.connect()
    view.close()
    assert "s3cret" not in str(trouble.value)
    assert trouble.value.__suppress_context__
