"""Journals to show in views: the run that journal_builder.py tells, and one row of every kind.

Rule: files and rows only; what a view must make of them is said by the tests.
"""

from __future__ import annotations

import enum
import threading
import time
import typing
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import psycopg

from flowguardian.execution import events as ev
from flowguardian.journal import ops_events as o
from flowguardian.journal.chain import ChainWriter, Record, read_chain
from flowguardian.journal.journal import JOURNAL
from flowguardian.journal.postgres_tables import SCHEMA, TABLES
from flowguardian.journal.view_worker import Pace, Standing, Store, ViewWorker
from flowguardian.journal.views import OPS
from tests.unit.journal_builder import Story

NASTY = "한국어 진입 거절 \0 끝 \\u0000 'quoted' 😀"
SHOWN = NASTY.replace("\0", "\N{SYMBOL FOR NULL}")
DEADLINE_SECONDS = 20.0
PACE = Pace(
    batch_rows=5, poll_seconds=0.05, retry_first_seconds=0.05, retry_longest_seconds=0.2,
    answer_seconds=0.5, beat_seconds=0.2,
)  # fmt: skip


def told(run_dir: Path) -> list[Record]:
    """The journal of forty minutes, and its ops journal, in `run_dir`."""
    story = Story()
    for name, rows, encode in ((JOURNAL, story.rows, ev.encode), (OPS, story.ops, o.encode_ops)):
        write(run_dir / name, rows, encode)
    return list(read_chain(run_dir / JOURNAL))


def write(path: Path, rows: Sequence[Any], encode: Any) -> None:
    """Append rows to a chained file, as its writer would."""
    writer = ChainWriter(path)
    writer.append([(row.ts_ns, type(row).__name__, encode(row)) for row in rows], durable=False)
    writer.close()


def every_kind() -> Iterator[ev.Row]:
    """A row of each kind there is, with a text that stores get wrong."""
    for number, kind in enumerate(ev.KINDS.values(), 1):
        hints = typing.get_type_hints(kind)
        yield kind(
            **{field.name: _value(hints[field.name], number) for field in msgspec.structs.fields(kind)}
        )


def _value(kind: Any, number: int) -> Any:
    if typing.get_origin(kind) is tuple:
        return ()
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return next(iter(kind))
    plain = {int: 10**17 + number, float: 0.5, str: NASTY, bool: True}
    return msgspec.Raw(b'{"a":"\\u0000"}') if kind is msgspec.Raw else plain[kind]


def wait_until(condition: Callable[[], object], what: Callable[[], object]) -> None:
    """Poll with a deadline: the only way to see another thread or process."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < deadline, f"not within {DEADLINE_SECONDS} s: {what()}"
        pause.wait(0.02)


def worker(store: Store, run_dir: Path, said: list[str] | None = None, **options: Any) -> ViewWorker:
    """A worker that has been started."""
    reports = said if said is not None else []
    made = ViewWorker(
        store, run_dir, PACE, lambda level, what, why: reports.append(f"{level}: {what}: {why}"),
        **{"until_complete": False, **options},
    )  # fmt: skip
    made.thread.start()
    return made


def drained(made: ViewWorker) -> None:
    """Let a worker deliver the rest, and wait for its end."""
    made.finish()
    wait_until(lambda: not made.thread.is_alive(), lambda: made.standing(0))
    assert made.drained


def wait_for(made: ViewWorker, state: str, last_seq: int) -> Standing:
    """Wait until a view stands so; the main thread's watch goes on meanwhile."""

    def stands() -> bool:
        made.watch()
        return made.standing(last_seq).state == state

    wait_until(stands, lambda: (state, made.standing(last_seq)))
    return made.standing(last_seq)


def content(address: str, run_id: str) -> dict[str, list[str]]:
    """All rows of a run, table by table, as text."""
    with psycopg.connect(address) as db:
        return {
            name: [
                row[0]
                for row in db.execute(
                    f"SELECT t::text FROM {SCHEMA}.{name} t WHERE run_id = %s ORDER BY seq", [run_id]
                )
            ]
            for name in TABLES
        }
