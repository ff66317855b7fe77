"""The Redis view against a real server: it stands where the journal stands, and touches its own keys only."""

from __future__ import annotations

import os
import signal
import sys
from collections import Counter

import msgspec
import pytest

from flowguardian.execution import events as ev
from flowguardian.execution.money import decimal
from flowguardian.journal import ops_events as o
from flowguardian.journal.journal import JOURNAL, read_rows
from flowguardian.journal.redis_view import KEYS, RedisView, clean, connect, namespace
from flowguardian.journal.views import OPS, Identity, Source, StoreTrouble
from flowguardian.ops import stores as ops_stores
from flowguardian.ops.observer import At
from flowguardian.ops.settings_stores import Stores
from tests.views.conftest import ANSWER_SECONDS
from tests.views.journals import NASTY, drained, every_kind, told, wait_for, worker, write

STREAM_ROWS = 20
FREEZES = pytest.mark.skipif(sys.platform == "win32", reason="SIGSTOP is POSIX")


def view_of(store, run_id: str) -> RedisView:
    return RedisView(
        store.address(), Identity("test", run_id), ANSWER_SECONDS, ttl_seconds=15, stream_rows=STREAM_ROWS
    )


def store_of(store, run_id: str) -> At:
    return At("redis", "redis://nowhere", lambda _: view_of(store, run_id))


@pytest.fixture
def client(valkey):
    found = connect(valkey.address(), ANSWER_SECONDS)
    yield found
    found.close()


def key(run_id: str, name: str) -> str:
    return namespace("test", run_id) + name


def shown(client, run_id: str) -> dict[str, object]:
    """All that stands there, but the heartbeat, which changes with the clock."""
    found: dict[str, object] = {name: client.hgetall(key(run_id, name)) for name in KEYS[1:-2]}
    return {
        **found,
        "cursor": client.hgetall(key(run_id, "cursor")),
        "events": client.xrange(key(run_id, "events")),
    }


def test_counts_positions_and_budget_equal_the_journal(valkey, client, tmp_path, run_id):
    records = told(tmp_path)
    drained(worker(store_of(valkey, run_id), tmp_path))
    rows = [row for _, row in read_rows(tmp_path / JOURNAL)]
    status = client.hgetall(key(run_id, "status"))
    for kind, count in Counter(record.kind for record in records).items():
        assert int(status[kind]) == count, kind
    refused = Counter(row.code.value for row in rows if isinstance(row, ev.EntryRefused))
    assert {name: int(count) for name, count in client.hgetall(key(run_id, "refusals")).items()} == refused
    last = [row for row in rows if isinstance(row, ev.CheckpointTaken)][-1]
    assert status["equity"] == str(decimal(last.equity)) and status["state"] == "completed"
    assert set(client.hgetall(key(run_id, "guards"))) == {guard.code.value for guard in last.guards}
    budget = msgspec.json.decode(client.hget(key(run_id, "budget"), last.budget[0].strategy))
    assert budget["available"] == str(decimal(last.budget[0].available))
    opened = sum(isinstance(row, ev.PositionOpened) for row in rows)
    closed = sum(isinstance(row, ev.PositionClosed) for row in rows)
    assert client.hlen(key(run_id, "positions")) == opened - closed
    assert 0 < client.ttl(key(run_id, "heartbeat")) <= 15


def test_the_stream_keeps_the_latest_rows_each_under_its_own_number(valkey, client, tmp_path, run_id):
    records = told(tmp_path)
    assert len(records) > STREAM_ROWS
    drained(worker(store_of(valkey, run_id), tmp_path))
    events = client.xrange(key(run_id, "events"))
    assert [name for name, _ in events] == [f"{record.seq}-0" for record in records[-STREAM_ROWS:]]
    assert [fields["body"] for _, fields in events] == [
        record.body.decode() for record in records[-STREAM_ROWS:]
    ]


def test_every_kind_of_row_is_taken_and_korean_and_nul_survive(valkey, client, tmp_path, run_id):
    write(tmp_path / JOURNAL, list(every_kind()), ev.encode)
    write(tmp_path / OPS, [o.Incident(5, o.Severity.WARNING, NASTY, NASTY, NASTY)], o.encode_ops)
    drained(worker(store_of(valkey, run_id), tmp_path))
    assert client.hget(key(run_id, "status"), "trading_reason") == NASTY
    assert client.hget(key(run_id, "status"), "incidents_WARNING") == "1"


def test_a_second_delivery_or_a_second_writer_counts_nothing_twice(valkey, client, tmp_path, run_id):
    records = told(tmp_path)
    first, second = view_of(valkey, run_id), view_of(valkey, run_id)
    first.connect()
    second.connect()
    first.deliver(Source.JOURNAL, records)
    once = shown(client, run_id)
    first.deliver(Source.JOURNAL, records[5:])
    with pytest.raises(StoreTrouble, match="not where this view left it"):
        second.deliver(Source.JOURNAL, records)
    assert shown(client, run_id) == once
    first.close()
    second.close()


def test_a_store_that_was_emptied_is_filled_again_with_the_same_content(valkey, client, tmp_path, run_id):
    records = told(tmp_path)
    said: list[str] = []
    busy = worker(store_of(valkey, run_id), tmp_path, said)
    wait_for(busy, "current", len(records))
    before = shown(client, run_id)
    assert (
        clean(client, "test", run_id)
        == sum(map(client.exists, ())) + len([name for name in before if before[name]]) + 1
    )
    wait_for(busy, "waiting", len(records))
    wait_for(busy, "current", len(records))
    drained(busy)
    assert shown(client, run_id) == before
    drained(worker(store_of(valkey, run_id), tmp_path, rebuild=True))
    assert shown(client, run_id) == before


def test_ten_thousand_foreign_keys_are_identical_after_run_and_clean_up(valkey, client, tmp_path, run_id):
    foreign = {f"other:{number}": f"남의 값 {number}" for number in range(9_995)}
    foreign |= {
        "flowguardian:test2:x:status": "1", "flowguardian": "2", "xflowguardian:test:": "3",
        "flowguardian:tes?:x": "4", namespace("test", run_id.replace("run-", "run*")) + "status": "5",
    }  # fmt: skip
    client.mset(foreign)
    before = {name: client.dump(name) for name in foreign}
    told(tmp_path)
    drained(worker(store_of(valkey, run_id), tmp_path))
    written = sum(client.exists(key(run_id, name)) for name in KEYS)
    assert written >= 6
    assert clean(client, "test", run_id) == written
    assert clean(client, "test", run_id) == 0
    assert {name: client.dump(name) for name in foreign} == before
    client.delete(*foreign)


def test_preflight_cleans_the_environment_it_was_given_and_says_how_many(valkey, client, tmp_path, run_id):
    told(tmp_path)
    drained(worker(store_of(valkey, run_id), tmp_path))
    written = sum(client.exists(key(run_id, name)) for name in KEYS)
    urls = Stores(mode="urls", redis_url=valkey.address(), env="test")
    assert ops_stores.clean_redis(urls, run_id) == written
    assert ops_stores.clean_redis(urls.model_copy(update={"env": "test3"})) == 0
    assert ops_stores.clean_redis(Stores()) == 0


def test_a_full_server_refuses_and_the_view_catches_up_when_there_is_room(valkey, client, tmp_path, run_id):
    records = told(tmp_path)
    client.config_set("maxmemory", "1")
    busy = worker(store_of(valkey, run_id), tmp_path)
    try:
        standing = wait_for(busy, "waiting", len(records))
        assert "OutOfMemory" in standing.why or "maxmemory" in standing.why
        assert standing.seq == 0 and standing.behind == len(records)
    finally:
        client.config_set("maxmemory", "64mb")
    wait_for(busy, "current", len(records))
    drained(busy)
    signals = sum(record.kind == "Signal" for record in records)
    assert client.hget(key(run_id, "status"), "Signal") == str(signals)


@FREEZES
def test_a_frozen_or_killed_server_is_noticed_and_caught_up_with(valkey, tmp_path, run_id):
    records = told(tmp_path)
    busy = worker(store_of(valkey, run_id), tmp_path)
    wait_for(busy, "current", len(records))
    frozen = valkey.server.pid
    os.kill(frozen, signal.SIGSTOP)
    try:
        write(tmp_path / JOURNAL, list(every_kind())[1:3], ev.encode)
        assert wait_for(busy, "waiting", len(records) + 2).behind == 2
    finally:
        os.kill(frozen, signal.SIGCONT)
    wait_for(busy, "current", len(records) + 2)
    os.kill(frozen, signal.SIGKILL)
    wait_for(busy, "waiting", len(records) + 2)
    wait_for(busy, "current", len(records) + 2)
    drained(busy)
    assert valkey.server.pid != frozen
    again = connect(valkey.address(), ANSWER_SECONDS)
    assert again.hget(key(run_id, "status"), "InstrumentsSet") == "2"
    again.close()


def test_no_message_shows_the_password_of_an_address(valkey, run_id):
    for address in ("redis://:pl@nted-s3cret@127.0.0.1:1/0", "redis://:pl@nted-s3cret@127.0.0.1:no/0"):
        view = RedisView(address, Identity("test", run_id), 1.0, ttl_seconds=15, stream_rows=1)
        with pytest.raises(StoreTrouble) as trouble:
            view.connect()
        assert "s3cret" not in str(trouble.value)
        view.close()
