"""The Redis view: how a run stands, under `flowguardian:{env}:{run_id}:`, and its latest rows as a stream.

Rule: rows and the cursor are one MULTI that fails when anybody else moved the cursor; no key outside the
namespace is ever read, written or deleted, and nothing is listed but by SCAN.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import redis

from flowguardian.execution import events as ev
from flowguardian.execution.money import decimal
from flowguardian.journal.chain import Record
from flowguardian.journal.ops_events import OPS_KINDS, Incident, decode_ops
from flowguardian.journal.views import START, Identity, Mark, Marks, Source, StoreTrouble, without_secrets

if TYPE_CHECKING:
    from redis.client import Pipeline

PROJECT = "flowguardian"
SCAN_COUNT = 1000
KEYS = ("heartbeat", "status", "budget", "positions", "guards", "refusals", "events", "cursor")
"""Every key of a run, after its namespace."""


def namespace(env: str, run_id: str = "") -> str:
    """What the keys of an environment, or of one run in it, begin with."""
    return f"{PROJECT}:{env}:{run_id}:" if run_id else f"{PROJECT}:{env}:"


def clean(client: redis.Redis, env: str, run_id: str = "") -> int:
    """Delete the keys of an environment or of one run; returns how many. Foreign keys are not looked at."""
    escaped = re.sub(r"([*?\[\]\\])", r"\\\1", namespace(env, run_id))
    count, found = 0, []
    for key in client.scan_iter(match=escaped + "*", count=SCAN_COUNT):
        found.append(key)
        if len(found) >= SCAN_COUNT:
            count += int(client.unlink(*found))
            found.clear()
    return count + (int(client.unlink(*found)) if found else 0)


def connect(address: str, answer_seconds: float) -> redis.Redis:
    """A client every call of which ends; raises StoreTrouble when the address is none."""
    try:
        return redis.Redis.from_url(
            address,
            socket_timeout=answer_seconds,
            socket_connect_timeout=answer_seconds,
            decode_responses=True,
            retry=None,
            client_name="flowguardian-view",
        )
    except ValueError as error:
        raise StoreTrouble(without_secrets(str(error), address)) from None


class RedisView:
    """One run in one Redis."""

    def __init__(
        self, address: str, whose: Identity, answer_seconds: float, *, ttl_seconds: int, stream_rows: int
    ) -> None:
        self._address, self._answer_seconds = address, answer_seconds
        self._prefix = namespace(whose.env, whose.run_id)
        self._whose, self._ttl, self._stream_rows = whose, ttl_seconds, stream_rows
        self._client: redis.Redis | None = None
        self._marks: Marks = {}
        self._positions: dict[str, dict[str, str]] = {}

    def connect(self) -> Marks:
        """Connect and read the cursor and the open positions."""
        with self._trouble():
            self._client = connect(self._address, self._answer_seconds)
            found: dict[str, str] = self._client.hgetall(self._key("cursor"))  # type: ignore[assignment]
            self._marks = {Source(name): _mark(text) for name, text in found.items()}
            positions: dict[str, str] = self._client.hgetall(self._key("positions"))  # type: ignore[assignment]
            self._positions = {symbol: msgspec.json.decode(text) for symbol, text in positions.items()}
        return dict(self._marks)

    def deliver(self, source: Source, records: Sequence[Record]) -> None:
        """Fold rows into the keys and move the cursor, in one MULTI."""
        mark = self._marks.get(source, START)
        fresh = [record for record in records if record.seq > mark.seq]
        if not fresh:
            return
        moved = Mark(fresh[-1].seq, fresh[-1].hash)
        before = {symbol: dict(held) for symbol, held in self._positions.items()}
        try:
            with self._trouble(), self._open_client.pipeline(transaction=True) as pipe:
                pipe.watch(self._key("cursor"))  # type: ignore[no-untyped-call]
                self._demand(pipe.hget(self._key("cursor"), source.value), mark)  # type: ignore[arg-type]
                pipe.multi()
                self._fold(pipe, source, fresh)
                pipe.hset(self._key("cursor"), source.value, f"{moved.seq} {moved.hash}")
                pipe.execute()
        except StoreTrouble:
            self._positions = before
            raise
        self._marks[source] = moved

    def beat(self, seq: int, market_ns: int) -> None:
        """A key that goes away by itself when this view does not renew it."""
        said = msgspec.json.encode({"host_ns": time.time_ns(), "seq": seq, "market_ns": market_ns})
        with self._trouble():
            self._open_client.set(self._key("heartbeat"), said, ex=self._ttl)
            stored = self._open_client.hget(self._key("cursor"), Source.JOURNAL.value)
            self._demand(stored, self._marks.get(Source.JOURNAL, START))  # type: ignore[arg-type]

    def drop(self) -> int:
        """Delete the keys of this run."""
        with self._trouble():
            count = clean(self._open_client, self._whose.env, self._whose.run_id)
        self._marks, self._positions = {}, {}
        return count

    def abort(self) -> None:
        """Nothing to cut: every call of the client ends by itself."""

    def close(self) -> None:
        """Disconnect."""
        if self._client is not None:
            with contextlib.suppress(redis.RedisError, OSError):
                self._client.close()
        self._client = None

    # ---- from rows to keys

    def _fold(self, pipe: Pipeline, source: Source, records: Sequence[Record]) -> None:
        counts: Counter[str] = Counter()
        if source is Source.OPS:
            self._count(pipe, "status", _incidents(records))
            return
        refusals: Counter[str] = Counter()
        for record in records:
            self._stream(pipe, record)
            if record.kind not in ev.KINDS:
                continue
            row = ev.decode(record.kind, record.body)
            counts[record.kind] += 1
            if isinstance(row, ev.EntryRefused):
                refusals[row.code.value] += 1
            self._stand(pipe, row)
            self._hold(pipe, row)
        self._count(pipe, "status", counts)
        self._count(pipe, "refusals", refusals)
        last = records[-1]
        pipe.hset(self._key("status"), mapping={"seq": last.seq, "market_ns": last.ts_ns})

    def _stream(self, pipe: Pipeline, record: Record) -> None:
        """The number of the row is its id in the stream, so a row can stand there once only."""
        fields: dict[Any, Any] = {"ts_ns": record.ts_ns, "kind": record.kind, "body": record.body}
        pipe.xadd(
            self._key("events"), fields, id=f"{record.seq}-0", maxlen=self._stream_rows, approximate=False
        )

    def _count(self, pipe: Pipeline, key: str, counts: Counter[str]) -> None:
        for name, count in counts.items():
            pipe.hincrby(self._key(key), name, count)

    def _stand(self, pipe: Pipeline, row: ev.Row) -> None:
        """What status, budget and guards say."""
        status: dict[Any, Any] = {}
        if isinstance(row, ev.RunStarted):
            status = {"run_id": row.run_id, "kind": row.kind, "mode": row.mode, "feed": row.feed}
            status |= {"version": row.version, "state": "starting", "planned_ns": row.planned_ns}
        elif isinstance(row, ev.WentLive):
            status = {"state": "live", "trading_state": ev.TradingState.ACTIVE.value}
        elif isinstance(row, ev.SegmentStarted):
            status = {"segment": row.segment, "state": "live" if row.segment > 1 else "starting"}
        elif isinstance(row, ev.SegmentEnded):
            status = {"state": row.reason}
        elif isinstance(row, ev.TradingStateChanged):
            status = {"trading_state": row.state.value, "trading_reason": row.reason}
        elif isinstance(row, ev.CheckpointTaken):
            status = self._checkpoint(pipe, row)
        elif isinstance(row, ev.BudgetCapped):
            pipe.hset(self._key("budget"), f"{row.strategy}.last_cap", _said(row))
        if status:
            pipe.hset(self._key("status"), mapping=status)

    def _checkpoint(self, pipe: Pipeline, row: ev.CheckpointTaken) -> dict[Any, Any]:
        for line in row.budget:
            amounts = {
                name: str(decimal(getattr(line, name)))
                for name in ("allocated", "used", "reserved", "available")
            }
            pipe.hset(self._key("budget"), line.strategy, _said(amounts))
        for guard in row.guards:
            pipe.hset(self._key("guards"), guard.code.value, _said(guard))
        amounts = {name: str(decimal(getattr(row, name))) for name in ("equity", "balance", "exposure")}
        return {**amounts, "checkpoint": row.name, "run_ns": row.run_ns, "open_positions": row.open_positions}

    def _hold(self, pipe: Pipeline, row: ev.Row) -> None:
        """The open positions."""
        if isinstance(row, ev.PositionOpened):
            self._positions[row.symbol] = {
                "strategy": row.strategy,
                "side": "LONG" if row.side > 0 else "SHORT",
                "opened_ns": str(row.ts_ns),
                **{name: str(decimal(getattr(row, name))) for name in ("qty", "price", "stop", "target1")},
            }
        elif isinstance(row, ev.PositionIncreased | ev.PositionReduced):
            self._positions.setdefault(row.symbol, {})["qty"] = str(decimal(row.qty))
        elif isinstance(row, ev.PositionClosed):
            self._positions.pop(row.symbol, None)
            pipe.hdel(self._key("positions"), row.symbol)
            return
        else:
            return
        pipe.hset(self._key("positions"), row.symbol, _said(self._positions[row.symbol]))

    # ---- the connection

    @property
    def _open_client(self) -> redis.Redis:
        if self._client is None:
            raise StoreTrouble("not connected")
        return self._client

    def _key(self, name: str) -> str:
        return self._prefix + name

    def _demand(self, stored: str | None, mark: Mark) -> None:
        """The store must stand where this view left it: not emptied, not moved by another writer."""
        if (_mark(stored) if stored else START) != mark:
            raise StoreTrouble("the cursor is not where this view left it")

    @contextlib.contextmanager
    def _trouble(self) -> Iterator[None]:
        try:
            yield
        except (redis.RedisError, OSError) as error:
            said = f"{type(error).__name__}: {error}"
            raise StoreTrouble(without_secrets(said, self._address)) from None


def _mark(text: str) -> Mark:
    seq, _, digest = text.partition(" ")
    return Mark(int(seq), digest)


def _incidents(records: Sequence[Record]) -> Counter[str]:
    rows = (decode_ops(record.kind, record.body) for record in records if record.kind in OPS_KINDS)
    return Counter(f"incidents_{row.severity.value}" for row in rows if isinstance(row, Incident))


def _said(value: object) -> str:
    return msgspec.json.encode(value).decode()
