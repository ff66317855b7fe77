"""What a run amounts to, once from its journals and once from Postgres: row counts and exact sums by table.

Rule: the two sides share no code but the rows; which kind stands in which table is said once more by hand.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import psycopg
from sqlalchemy import Numeric

from flowguardian.execution import events as ev
from flowguardian.journal.chain import read_chain
from flowguardian.journal.journal import JOURNAL, read_rows
from flowguardian.journal.postgres_tables import SCHEMA, TABLES
from flowguardian.journal.redis_view import connect, namespace
from flowguardian.journal.views import OPS

HERE: Mapping[str, set[str]] = {
    "runs": {"RunStarted"},
    "signals": {"Signal"},
    "decisions": {
        "EntryRefused", "EntryReduced", "BudgetCapped", "FlipPlanned", "ExitTriggered", "GuardStarvation",
        "BudgetOver", "LimitShadowed", "TradingStateChanged", "InvariantViolated",
    },
    "orders": {"OrderRequested", "OrderRejected", "OrderUnknown", "OrderUnsent", "OrderExpired"},
    "fills": {"OrderFilled", "Liquidated", "ClosedByVenue"},
    "positions": {
        "PositionOpened", "PositionIncreased", "PositionReduced", "PositionClosed", "FundingSettled",
    },
    "checkpoints": {"CheckpointTaken"},
    "lifecycle": {
        "InstrumentsSet", "SegmentStarted", "SegmentEnded", "WentLive", "FeedGap", "CommandReceived",
        "TimerFired", "StreamWentSilent", "StreamRecovered", "ClockMeasured", "StopConfirmed",
        "PositionNaked", "AccountReconciled",
    },
}  # fmt: skip
"""Which rows of the journal stand in which table; `equity` and `incidents` are made of them and of ops.db."""
SHOWN_OPS = {"Incident", "FaultAnnounced", "HostSlept", "ClockStepped"}
RENAMED = {
    ("EntryReduced", "granted"): "room", ("BudgetCapped", "granted"): "cap",
    ("FundingSettled", "price"): "mark", ("FundingSettled", "funding"): "amount",
}  # fmt: skip
"""Columns that are named otherwise than the field they hold."""
SUMMED_BUDGET = {"budget_allocated": "allocated", "budget_used": "used", "budget_available": "available"}


class Sums(NamedTuple):
    """The rows of one kind in one table: how many, and the exact sum of each column that holds an amount."""

    rows: int
    seqs: int
    times: int
    amounts: tuple[tuple[str, Decimal | None], ...]


Figures = dict[tuple[str, str], Sums]
"""By table and kind of row."""


def amounts_of(table: str) -> list[str]:
    """The columns of a table that hold an amount."""
    return [column.name for column in TABLES[table].columns if isinstance(column.type, Numeric)]


def journal_figures(run_dir: Path) -> Figures:
    """As the journals of the run have it."""
    found: dict[tuple[str, str], list[tuple[int, int, Any]]] = defaultdict(list)
    for record, row in read_rows(run_dir / JOURNAL):
        for table in _tables(row):
            found[table, record.kind].append((record.seq, record.ts_ns, row))
    for record in read_chain(run_dir / OPS):
        if record.kind in SHOWN_OPS:
            found["incidents", record.kind].append((record.seq, record.ts_ns, None))
    return {(table, kind): _summed(table, kind, rows) for (table, kind), rows in found.items()}


def _tables(row: ev.Row) -> Iterator[str]:
    kind = type(row).__name__
    yield next(table for table, kinds in HERE.items() if kind in kinds)
    entry = isinstance(row, ev.OrderRequested) and row.purpose is ev.Purpose.ENTRY
    if entry or kind == "CheckpointTaken":
        yield "equity"


def _summed(table: str, kind: str, rows: list[tuple[int, int, Any]]) -> Sums:
    sums = []
    for column in amounts_of(table):
        of_an_order = table == "equity" and kind == "OrderRequested" and column != "equity"
        units = [] if of_an_order else [_units(kind, column, row) for _, _, row in rows]
        held = [value for value in units if value is not None]
        sums.append((column, Decimal(sum(held)).scaleb(-8) if held else None))
    return Sums(len(rows), sum(r[0] for r in rows), sum(r[1] for r in rows), tuple(sums))


def _units(kind: str, column: str, row: Any) -> int | None:
    if column in SUMMED_BUDGET:
        return sum(int(getattr(line, SUMMED_BUDGET[column])) for line in row.budget)
    found: int | None = getattr(row, RENAMED.get((kind, column), column), None)
    return found


def postgres_figures(address: str, run_id: str) -> Figures:
    """As Postgres has it; summed by the server."""
    found: Figures = {}
    with psycopg.connect(address) as db:
        for table in TABLES:
            names = amounts_of(table)
            sums = "".join(f", sum({name})" for name in names)
            query = (
                f"SELECT kind, count(*), sum(seq), sum(ts_ns){sums} FROM {SCHEMA}.{table}"
                " WHERE run_id = %s GROUP BY kind"
            )
            for kind, count, seqs, times, *amounts in db.execute(query, [run_id]):
                pairs = tuple(zip(names, amounts, strict=True))
                found[table, kind] = Sums(count, int(seqs), int(times), pairs)
    return found


def journal_refusals(run_dir: Path) -> Counter[str]:
    """Refused entries by their code."""
    return Counter(
        row.code.value for _, row in read_rows(run_dir / JOURNAL) if isinstance(row, ev.EntryRefused)
    )


class Asked(NamedTuple):
    """What people ask a run, answered by Postgres alone."""

    entries: int
    fees: Decimal
    realised: Decimal
    equity_at_the_end: Decimal
    refusals: Counter[str]


def asked_of(address: str, run_id: str) -> Asked:
    """The five answers."""
    with psycopg.connect(address) as db:

        def one(query: str) -> Any:
            row = db.execute(query, [run_id]).fetchone()
            assert row is not None, query
            return row[0]

        entries = one(
            f"SELECT count(DISTINCT o.order_id) FROM {SCHEMA}.orders o JOIN {SCHEMA}.fills f"
            " USING (run_id, order_id) WHERE o.run_id = %s AND o.purpose = 'entry'"
        )
        fees = one(f"SELECT sum(fee) FROM {SCHEMA}.fills WHERE run_id = %s")
        # What a position realised in parts stands in its end, too; one that is open has its parts alone.
        realised = one(
            f"SELECT sum(realised) FROM {SCHEMA}.positions p WHERE run_id = %s AND (kind = 'PositionClosed'"
            f" OR kind = 'PositionReduced' AND NOT EXISTS (SELECT 1 FROM {SCHEMA}.positions c WHERE"
            " c.run_id = p.run_id AND c.symbol = p.symbol AND c.kind = 'PositionClosed' AND c.seq > p.seq))"
        )
        last = one(f"SELECT equity FROM {SCHEMA}.checkpoints WHERE run_id = %s ORDER BY seq DESC LIMIT 1")
        refused = db.execute(
            f"SELECT code, count(*) FROM {SCHEMA}.decisions WHERE run_id = %s AND kind = 'EntryRefused'"
            " GROUP BY code",
            [run_id],
        ).fetchall()
    return Asked(entries, fees, realised, last, Counter(dict(refused)))


class Held(NamedTuple):
    """What Redis holds of a run."""

    status: dict[str, str]
    refusals: dict[str, str]
    positions: dict[str, str]
    cursor: dict[str, str]
    heartbeat: dict[str, Any]


def held_by(address: str, env: str, run_id: str, answer_seconds: float) -> Held:
    """All of it but the latest rows."""
    client, prefix = connect(address, answer_seconds), namespace(env, run_id)
    try:
        hashes: list[Any] = [
            client.hgetall(prefix + name) for name in ("status", "refusals", "positions", "cursor")
        ]
        beat: Any = client.get(prefix + "heartbeat")
    finally:
        client.close()
    status, refusals, positions, cursor = hashes
    return Held(status, refusals, positions, cursor, msgspec.json.decode(beat) if beat else {})
