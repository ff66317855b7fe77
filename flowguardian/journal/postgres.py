"""The Postgres view: the journal as tables in the schema `flowguardian`.

Rule: rows and the cursor are one transaction, rows are keyed by (run_id, seq), and only this run's rows and
this project's schema are ever touched.
"""

from __future__ import annotations

import contextlib
import socket
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import psycopg
from sqlalchemy import NullPool, create_engine, delete, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.engine import Connection, Engine, make_url
from sqlalchemy.exc import SQLAlchemyError

from flowguardian.journal.chain import Record
from flowguardian.journal.postgres_rows import Columns, placed
from flowguardian.journal.postgres_tables import CURSORS, TABLES, migrate
from flowguardian.journal.views import START, Identity, Mark, Marks, Source, StoreTrouble, without_secrets

DRIVER = "postgresql+psycopg"


class PostgresView:
    """One run in one Postgres database."""

    def __init__(self, address: str, whose: Identity, answer_seconds: float) -> None:
        self._address, self._run_id = address, whose.run_id
        self._answer_seconds = answer_seconds
        self._engine: Engine | None = None
        self._connection: Connection | None = None
        self._raw: psycopg.Connection[Any] | None = None
        self._marks: Marks = {}

    def connect(self) -> Marks:
        """Connect, migrate, read the cursor."""
        with self._trouble():
            self._engine = create_engine(
                make_url(self._address).set(drivername=DRIVER),
                poolclass=NullPool,
                connect_args=self._limits(),
            )
            self._connection = self._engine.connect()
            self._raw = self._connection.connection.driver_connection
            migrate(self._connection)
            self._marks = self._read_marks(self._connection)
        return dict(self._marks)

    def deliver(self, source: Source, records: Sequence[Record]) -> None:
        """Insert rows and move the cursor in one transaction."""
        mark = self._marks.get(source, START)
        fresh = [record for record in records if record.seq > mark.seq]
        if not fresh:
            return
        rows: dict[str, list[Columns]] = defaultdict(list)
        for record in fresh:
            for name, columns in placed(self._run_id, source, record):
                rows[name].append(columns)
        moved = Mark(fresh[-1].seq, fresh[-1].hash)
        with self._trouble(), self._open_connection.begin():
            self._demand(source, mark)
            for name, batch in rows.items():
                self._open_connection.execute(insert(TABLES[name]).on_conflict_do_nothing(), batch)
            self._move(source, moved)
        self._marks[source] = moved

    def beat(self, seq: int, market_ns: int) -> None:
        """Ask for an answer, so that a dead server is noticed while there are no rows."""
        with self._trouble(), self._open_connection.begin():
            self._demand(Source.JOURNAL, self._marks.get(Source.JOURNAL, START))

    def drop(self) -> int:
        """Delete the rows of this run."""
        count = 0
        with self._trouble(), self._open_connection.begin():
            for table in (*TABLES.values(), CURSORS):
                count += self._open_connection.execute(
                    delete(table).where(table.c.run_id == self._run_id)
                ).rowcount
        self._marks = {}
        return count

    def abort(self) -> None:
        """Cut the connection under a call that waits; the call then fails in its own thread."""
        raw = self._raw
        if raw is None:
            return
        with contextlib.suppress(OSError, psycopg.Error):
            line = socket.socket(fileno=raw.pgconn.socket)
            try:
                line.shutdown(socket.SHUT_RDWR)
            finally:
                line.detach()

    def close(self) -> None:
        """Disconnect without waiting for a silent server."""
        self._raw = None
        with contextlib.suppress(SQLAlchemyError, psycopg.Error, OSError):
            if self._connection is not None:
                self._connection.invalidate()
                self._connection.close()
            if self._engine is not None:
                self._engine.dispose()
        self._connection = self._engine = None

    @property
    def _open_connection(self) -> Connection:
        if self._connection is None:
            raise StoreTrouble("not connected")
        return self._connection

    def _limits(self) -> dict[str, Any]:
        """Every wait has an end: of the client for connecting, of the server for statements and locks."""
        milliseconds = round(self._answer_seconds * 1000)
        return {
            "connect_timeout": max(2, round(self._answer_seconds)),
            "application_name": "flowguardian view",
            "options": f"-c statement_timeout={milliseconds} -c lock_timeout={milliseconds} -c timezone=UTC",
        }

    def _read_marks(self, connection: Connection) -> Marks:
        with connection.begin():
            found = connection.execute(select(CURSORS).where(CURSORS.c.run_id == self._run_id)).mappings()
            return {Source(row["source"]): Mark(row["seq"], row["hash"]) for row in found}

    def _demand(self, source: Source, mark: Mark) -> None:
        """The store must stand where this view left it: not emptied, not moved by another writer."""
        query = select(CURSORS.c.seq, CURSORS.c.hash).where(
            CURSORS.c.run_id == self._run_id, CURSORS.c.source == source.value
        )
        found = self._open_connection.execute(query.with_for_update()).first()
        if (Mark(*found) if found else START) != mark:
            raise StoreTrouble(f"the cursor of {source.value} is not where this view left it")

    def _move(self, source: Source, mark: Mark) -> None:
        row = {"run_id": self._run_id, "source": source.value, "seq": mark.seq, "hash": mark.hash}
        moved = insert(CURSORS).values(row)
        self._open_connection.execute(
            moved.on_conflict_do_update(
                index_elements=["run_id", "source"], set_={"seq": mark.seq, "hash": mark.hash}
            )
        )

    @contextlib.contextmanager
    def _trouble(self) -> Iterator[None]:
        try:
            yield
        except (SQLAlchemyError, psycopg.Error, OSError) as error:
            cause = getattr(error, "orig", None) or error
            said = next(iter(str(cause).strip().splitlines()), "no reason given")
            raise StoreTrouble(without_secrets(f"{type(cause).__name__}: {said}", self._address)) from None
