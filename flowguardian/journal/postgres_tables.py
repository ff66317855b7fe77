"""The tables of the Postgres view, as numbered migrations.

Rule: a migration that was released never changes; a new one follows it. Money is NUMERIC, exact from the
journal's integers; times are nanoseconds as in the journal, with a timestamp beside them for people.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import BigInteger, Column, Double, Integer, MetaData, Numeric, Table, Text, func, select, text
from sqlalchemy import DateTime as DateTimeType
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import Connection
from sqlalchemy.schema import CreateTable

SCHEMA = "flowguardian"
LOCK = 7_061_993_012
"""Advisory lock of migrations: two observers starting together do not both create the tables."""

METADATA = MetaData(schema=SCHEMA)


def _table(name: str, *columns: Column[object]) -> Table:
    """A table of rows: keyed by run and number of the journal row, with its time."""
    return Table(
        name, METADATA,
        Column("run_id", Text, primary_key=True), Column("seq", BigInteger, primary_key=True),
        Column("ts_ns", BigInteger, nullable=False),
        Column("at", DateTimeType(timezone=True), nullable=False),
        Column("kind", Text, nullable=False),
        *columns,
    )  # fmt: skip


def _texts(*names: str) -> list[Column[object]]:
    return [Column(name, Text) for name in names]


def _amounts(*names: str) -> list[Column[object]]:
    return [Column(name, Numeric) for name in names]


def _counts(*names: str) -> list[Column[object]]:
    return [Column(name, BigInteger) for name in names]


RUNS = _table(
    "runs",
    *_texts("run_kind", "mode", "feed", "version", "code_hash", "config_hash", "trading_hash"),
    *_counts("seed", "planned_ns"), Column("symbols", JSONB), *_amounts("start_equity"),
    Column("config", JSONB),
)  # fmt: skip
SIGNALS = _table(
    "signals", *_texts("symbol", "strategy", "pattern"), Column("side", BigInteger), *_counts("bar_ns"),
    *_amounts("price", "bid", "ask", "stop_distance"), Column("atr", Double), Column("body", JSONB),
)  # fmt: skip
DECISIONS = _table(
    "decisions", *_texts("symbol", "strategy", "code"), Column("side", BigInteger),
    Column("limit_value", Double), Column("value", Double), *_texts("release"), *_counts("release_ns"),
    *_amounts("wanted", "granted"), Column("body", JSONB),
)  # fmt: skip
ORDERS = _table(
    "orders", *_counts("order_id"), *_texts("symbol", "strategy", "purpose"), Column("side", BigInteger),
    *_amounts("qty", "limit_price", "reserved", "filled"), *_texts("reason", "bound", "message"),
    Column("code", BigInteger),
)  # fmt: skip
FILLS = _table(
    "fills", *_counts("order_id", "fill_id"), *_texts("symbol"), Column("side", BigInteger),
    *_amounts("qty", "price", "fee"),
)  # fmt: skip
POSITIONS = _table(
    "positions", *_texts("symbol", "strategy", "reason"), Column("side", BigInteger), *_counts("order_id"),
    *_amounts("qty", "closed", "price", "realised", "fees", "funding"), *_counts("opened_ns"),
)  # fmt: skip
EQUITY = _table("equity", *_amounts("equity", "balance", "unrealised", "peak_equity", "exposure"))
CHECKPOINTS = _table(
    "checkpoints", *_texts("name"),
    *_counts(
        "run_ns", "signals", "entries", "budget_caps", "budget_blocks", "check_blocks", "closed",
        "open_positions",
    ),
    *_amounts(
        "equity", "balance", "realised", "fees", "funding", "unrealised", "peak_equity", "ledger_difference",
        "exposure", "budget_allocated", "budget_used", "budget_available",
    ),
    *_texts("trading_state", "state_hash"), Column("budget", JSONB), Column("guards", JSONB),
)  # fmt: skip
LIFECYCLE = _table("lifecycle", *_texts("symbol"), Column("body", JSONB))
INCIDENTS = _table("incidents", *_texts("severity", "source", "what", "sample"), Column("body", JSONB))
TABLES: Mapping[str, Table] = {
    table.name: table
    for table in (
        RUNS, SIGNALS, DECISIONS, ORDERS, FILLS, POSITIONS, EQUITY, CHECKPOINTS, LIFECYCLE, INCIDENTS,
    )
}  # fmt: skip

CURSORS = Table(
    "cursors", METADATA,
    Column("run_id", Text, primary_key=True), Column("source", Text, primary_key=True),
    Column("seq", BigInteger, nullable=False), Column("hash", Text, nullable=False),
)  # fmt: skip
MIGRATIONS = Table(
    "migrations", METADATA,
    Column("number", Integer, primary_key=True), Column("applied", DateTimeType(timezone=True)),
)  # fmt: skip


def _first(connection: Connection) -> None:
    for table in (*TABLES.values(), CURSORS):
        connection.execute(CreateTable(table))


def _time_indexes(connection: Connection) -> None:
    """Boards ask for the rows of a run in a span of time."""
    for name in TABLES:
        connection.execute(text(f"CREATE INDEX ON {SCHEMA}.{name} (run_id, at)"))


STEPS = (_first, _time_indexes)
"""Applied in order, each once; the number of a step is its place, from one."""


def migrate(connection: Connection) -> int:
    """Bring the schema up to date in one transaction; returns how many steps that took."""
    with connection.begin():
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})
        there = text("SELECT to_regclass(:name)")
        if connection.execute(there, {"name": f"{SCHEMA}.migrations"}).scalar() is None:
            # Where an operator made the schema, this role need not be allowed to make one.
            there = text("SELECT 1 FROM pg_namespace WHERE nspname = :name")
            if connection.execute(there, {"name": SCHEMA}).scalar() is None:
                connection.execute(text(f"CREATE SCHEMA {SCHEMA}"))
            connection.execute(CreateTable(MIGRATIONS))
        done = int(connection.execute(select(func.max(MIGRATIONS.c.number))).scalar() or 0)
        for number, step in enumerate(STEPS[done:], done + 1):
            step(connection)
            row = {"number": number, "applied": func.now()}
            connection.execute(MIGRATIONS.insert().values(row))
    return max(0, len(STEPS) - done)
