"""From rows of the journal to rows of the tables.

Rule: every journal row has one table; a checkpoint and the request of an entry also give a point of equity.
Integers of 1e-8 become exact decimals; nothing is rounded and nothing is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import msgspec

from flowguardian.execution import events as ev
from flowguardian.execution.money import decimal
from flowguardian.journal import postgres_tables as tables
from flowguardian.journal.chain import Record
from flowguardian.journal.ops_events import OPS_KINDS, FaultAnnounced, Incident, decode_ops
from flowguardian.journal.views import Source, storable, storable_tree

Columns = dict[str, Any]
Placed = tuple[str, Columns]
"""A table's name and the columns of one row in it."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SHOWN_OPS = ("Incident", "FaultAnnounced", "HostSlept", "ClockStepped")
"""Rows of the ops journal that are incidents: what went wrong, or was made to."""


def moment(ts_ns: int) -> datetime:
    """Nanoseconds as a time for people; microseconds are what a timestamp can hold."""
    return EPOCH + timedelta(microseconds=ts_ns // 1000)


def placed(run_id: str, source: Source, record: Record) -> Iterator[Placed]:
    """The table rows of a row of the journal or of the ops journal."""
    place = _placed if source is Source.JOURNAL else _placed_ops
    for name, columns in place(run_id, record):
        # Texts of a venue, an operator or a traceback may hold anything.
        yield (
            name,
            {key: storable(value) if isinstance(value, str) else value for key, value in columns.items()},
        )


def _placed(run_id: str, record: Record) -> Iterator[Placed]:
    base = _base(run_id, record)
    writer = _WRITERS.get(record.kind)
    if writer is None:
        # Lifecycle, and whatever a newer version of the engine may write.
        body = _body(record)
        symbol = body.get("symbol")
        yield tables.LIFECYCLE.name, {**base, "symbol": symbol, "body": body}
        return
    name, columns_of = writer
    row = ev.decode(record.kind, record.body)
    columns = columns_of(row)
    if "body" in tables.TABLES[name].columns:
        columns["body"] = _body(record)
    yield name, {**base, **columns}
    point = _equity(row)
    if point is not None:
        yield tables.EQUITY.name, {**base, **point}


def _placed_ops(run_id: str, record: Record) -> Iterator[Placed]:
    if record.kind not in SHOWN_OPS:
        return
    columns: Columns = {"severity": "", "source": "", "what": record.kind, "sample": ""}
    row = decode_ops(record.kind, record.body) if record.kind in OPS_KINDS else None
    if isinstance(row, Incident):
        columns = {
            "severity": row.severity.value,
            "source": row.source,
            "what": row.what,
            "sample": row.sample,
        }
    elif isinstance(row, FaultAnnounced):
        columns |= {"source": row.target, "what": row.fault}
    yield tables.INCIDENTS.name, {**_base(run_id, record), **columns, "body": _body(record)}


def _base(run_id: str, record: Record) -> Columns:
    return {
        "run_id": run_id,
        "seq": record.seq,
        "ts_ns": record.ts_ns,
        "at": moment(record.ts_ns),
        "kind": record.kind,
    }


def _body(record: Record) -> dict[str, Any]:
    return cast("dict[str, Any]", storable_tree(msgspec.json.decode(record.body)))


def _amounts(row: ev.Row, *names: str) -> Columns:
    return {name: decimal(getattr(row, name)) for name in names}


def _run(row: ev.RunStarted) -> Columns:
    return {
        "run_kind": row.kind, "mode": row.mode, "feed": row.feed, "version": row.version,
        "code_hash": row.code_hash, "config_hash": row.config_hash, "trading_hash": row.trading_hash,
        "seed": row.seed, "planned_ns": row.planned_ns, "symbols": list(row.symbols),
        "config": storable_tree(msgspec.json.decode(row.config)), **_amounts(row, "start_equity"),
    }  # fmt: skip


def _signal(row: ev.Signal) -> Columns:
    return {
        "symbol": row.symbol, "strategy": row.strategy, "pattern": row.pattern, "side": row.side,
        "bar_ns": row.bar_ns, "atr": row.atr, **_amounts(row, "price", "bid", "ask", "stop_distance"),
    }  # fmt: skip


_NO_DECISION: Columns = dict.fromkeys(
    (
        "symbol",
        "strategy",
        "code",
        "side",
        "limit_value",
        "value",
        "release",
        "release_ns",
        "wanted",
        "granted",
    )
)


def _refused(row: ev.EntryRefused) -> Columns:
    return _NO_DECISION | {
        "symbol": row.symbol, "strategy": row.strategy, "side": row.side, "code": row.code.value,
        "limit_value": row.limit, "value": row.value, "release": row.release,
        "release_ns": row.release_ns,
    }  # fmt: skip


def _reduced(row: ev.EntryReduced) -> Columns:
    return _NO_DECISION | {
        "symbol": row.symbol, "strategy": row.strategy, "side": row.side, "code": row.code.value,
        "wanted": decimal(row.wanted), "granted": decimal(row.room),
    }  # fmt: skip


def _capped(row: ev.BudgetCapped) -> Columns:
    return _NO_DECISION | {
        "symbol": row.symbol, "strategy": row.strategy, "side": row.side, "code": "budget_cap",
        "wanted": decimal(row.wanted), "granted": decimal(row.cap),
    }  # fmt: skip


def _decided(row: ev.Row) -> Columns:
    """What only says that something was concluded: its fields stand in the body."""
    code = next(
        (getattr(row, name) for name in ("guard", "reason", "invariant", "limit") if hasattr(row, name)), None
    )
    return _NO_DECISION | {
        "symbol": getattr(row, "symbol", None), "strategy": getattr(row, "strategy", None),
        "side": getattr(row, "side", None), "code": None if code is None else str(code),
    }  # fmt: skip


_NO_ORDER: Columns = dict.fromkeys(
    (
        "strategy",
        "purpose",
        "side",
        "qty",
        "limit_price",
        "reserved",
        "filled",
        "reason",
        "bound",
        "message",
        "code",
    )
)


def _requested(row: ev.OrderRequested) -> Columns:
    return _NO_ORDER | {
        "order_id": row.order_id, "symbol": row.symbol, "strategy": row.strategy, "side": row.side,
        "purpose": row.purpose.value, "reason": row.reason, "bound": row.bound,
        **_amounts(row, "qty", "limit_price", "reserved"),
    }  # fmt: skip


def _rejected(row: ev.OrderRejected) -> Columns:
    return _order(row) | {"code": row.code, "message": row.message}


def _expired(row: ev.OrderExpired) -> Columns:
    return _order(row) | {"filled": decimal(row.filled)}


def _order(row: ev.OrderRejected | ev.OrderUnknown | ev.OrderUnsent | ev.OrderExpired) -> Columns:
    return _NO_ORDER | {"order_id": row.order_id, "symbol": row.symbol}


def _filled(row: ev.OrderFilled) -> Columns:
    return {
        "order_id": row.order_id, "fill_id": row.fill_id, "symbol": row.symbol, "side": row.side,
        **_amounts(row, "qty", "price", "fee"),
    }  # fmt: skip


def _liquidated(row: ev.Liquidated) -> Columns:
    """The venue's own fill: no order of ours."""
    nobody: Columns = dict.fromkeys(("order_id", "fill_id", "side"))
    return nobody | {"symbol": row.symbol, **_amounts(row, "qty", "price", "fee")}


def _closed_by_venue(row: ev.ClosedByVenue) -> Columns:
    return _liquidated(row) | {"fill_id": row.fill_id}


_NO_POSITION: Columns = dict.fromkeys(
    (
        "strategy",
        "reason",
        "side",
        "order_id",
        "qty",
        "closed",
        "price",
        "realised",
        "fees",
        "funding",
        "opened_ns",
    )
)


def _opened(row: ev.PositionOpened) -> Columns:
    return _NO_POSITION | {
        "symbol": row.symbol, "strategy": row.strategy, "side": row.side, "order_id": row.order_id,
        "opened_ns": row.ts_ns, **_amounts(row, "qty", "price"),
    }  # fmt: skip


def _increased(row: ev.PositionIncreased) -> Columns:
    return _NO_POSITION | {"symbol": row.symbol, "order_id": row.order_id, **_amounts(row, "qty", "price")}


def _position_reduced(row: ev.PositionReduced) -> Columns:
    return _NO_POSITION | {
        "symbol": row.symbol, "order_id": row.order_id, "reason": row.reason.value,
        **_amounts(row, "qty", "closed", "realised"),
    }  # fmt: skip


def _closed(row: ev.PositionClosed) -> Columns:
    return _NO_POSITION | {
        "symbol": row.symbol, "strategy": row.strategy, "side": row.side, "reason": row.reason.value,
        "opened_ns": row.opened_ns, **_amounts(row, "realised", "fees", "funding"),
    }  # fmt: skip


def _funding(row: ev.FundingSettled) -> Columns:
    return _NO_POSITION | {"symbol": row.symbol, "price": decimal(row.mark), "funding": decimal(row.amount)}


def _checkpoint(row: ev.CheckpointTaken) -> Columns:
    counts = (
        "name", "run_ns", "signals", "entries", "budget_caps", "budget_blocks", "check_blocks", "closed",
        "open_positions", "state_hash",
    )  # fmt: skip
    amounts = (
        "equity", "balance", "realised", "fees", "funding", "unrealised", "peak_equity", "ledger_difference",
        "exposure",
    )  # fmt: skip
    return {
        **{name: getattr(row, name) for name in counts},
        **_amounts(row, *amounts),
        "trading_state": row.trading_state.value,
        "budget_allocated": decimal(sum(line.allocated for line in row.budget)),
        "budget_used": decimal(sum(line.used for line in row.budget)),
        "budget_available": decimal(sum(line.available for line in row.budget)),
        "budget": msgspec.to_builtins(row.budget),
        "guards": msgspec.to_builtins(row.guards),
    }


def _equity(row: ev.Row) -> Columns | None:
    if isinstance(row, ev.CheckpointTaken):
        return _amounts(row, "equity", "balance", "unrealised", "peak_equity", "exposure")
    if isinstance(row, ev.OrderRequested) and row.purpose is ev.Purpose.ENTRY:
        empty = dict.fromkeys(("balance", "unrealised", "peak_equity", "exposure"))
        return {**empty, "equity": decimal(row.equity)}
    return None


_Writer = Callable[[Any], Columns]
_WRITERS: Mapping[str, tuple[str, _Writer]] = {
    kind.__name__: (table.name, columns_of)
    for kind, table, columns_of in (
        (ev.RunStarted, tables.RUNS, _run),
        (ev.Signal, tables.SIGNALS, _signal),
        (ev.EntryRefused, tables.DECISIONS, _refused),
        (ev.EntryReduced, tables.DECISIONS, _reduced),
        (ev.BudgetCapped, tables.DECISIONS, _capped),
        (ev.FlipPlanned, tables.DECISIONS, _decided),
        (ev.ExitTriggered, tables.DECISIONS, _decided),
        (ev.GuardStarvation, tables.DECISIONS, _decided),
        (ev.BudgetOver, tables.DECISIONS, _decided),
        (ev.LimitShadowed, tables.DECISIONS, _decided),
        (ev.TradingStateChanged, tables.DECISIONS, _decided),
        (ev.InvariantViolated, tables.DECISIONS, _decided),
        (ev.OrderRequested, tables.ORDERS, _requested),
        (ev.OrderRejected, tables.ORDERS, _rejected),
        (ev.OrderUnknown, tables.ORDERS, _order),
        (ev.OrderUnsent, tables.ORDERS, _order),
        (ev.OrderExpired, tables.ORDERS, _expired),
        (ev.OrderFilled, tables.FILLS, _filled),
        (ev.Liquidated, tables.FILLS, _liquidated),
        (ev.ClosedByVenue, tables.FILLS, _closed_by_venue),
        (ev.PositionOpened, tables.POSITIONS, _opened),
        (ev.PositionIncreased, tables.POSITIONS, _increased),
        (ev.PositionReduced, tables.POSITIONS, _position_reduced),
        (ev.PositionClosed, tables.POSITIONS, _closed),
        (ev.FundingSettled, tables.POSITIONS, _funding),
        (ev.CheckpointTaken, tables.CHECKPOINTS, _checkpoint),
    )
}
