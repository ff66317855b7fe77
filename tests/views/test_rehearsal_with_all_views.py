"""Twelve hours over sockets with everything on that looks at a run: it passes, every copy is the journal."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest

from flowguardian.execution import events as ev
from flowguardian.journal.journal import JOURNAL, read_rows
from flowguardian.journal.ops_events import Incident, ProcessExited, ProcessStarted
from flowguardian.journal.postgres_tables import TABLES
from flowguardian.ops.beside import METRICS_FILE
from flowguardian.ops.manifest import MANIFEST
from flowguardian.ops.stores import POSTGRES_URL, REDIS_URL
from tests.dashboard_client import Server, dashboard
from tests.e2e.real_runs import ROOT, Ended, argv, ops, surroundings
from tests.e2e.receivers import receiver
from tests.views.conftest import ANSWER_SECONDS
from tests.views.figures import (
    asked_of,
    held_by,
    journal_figures,
    journal_refusals,
    postgres_figures,
)

pytestmark = pytest.mark.nightly
RUN_ID, ENV = "rehearsed", "rehearsal"
DEADLINE_SECONDS = 600.0
"""Twelve hours take about ninety seconds on a machine of one's own; a run that hangs is ended here."""


class Rehearsed(NamedTuple):
    run_dir: Path
    end: Ended
    seconds: float
    titles: list[str]
    news: int
    """Events that the open page was sent."""
    scraped: str


@pytest.fixture(scope="module")
def rehearsed(postgres, valkey, tmp_path_factory) -> Rehearsed:
    place = tmp_path_factory.mktemp("rehearsal")
    run_dir, state = place / RUN_ID, place / "state"
    environment = {
        **surroundings(state), "NO_PROXY": "127.0.0.1",
        POSTGRES_URL: postgres.address(), REDIS_URL: valkey.address(),
    }  # fmt: skip
    with ExitStack() as stack:
        good = stack.enter_context(receiver())
        words = ["accept", "--stores", "urls", "--run-dir", run_dir, "--json"]
        words += ["--set", f"notify.urls=['{good.url}']", "--set", f"stores.env={ENV}"]
        began = time.monotonic()
        process = stack.enter_context(_running(argv(*words), environment))
        _wait_for((run_dir / MANIFEST).is_file, process)
        page = stack.enter_context(_open_page(stack.enter_context(dashboard(run_dir, state))))
        _wait_for(lambda: (run_dir / METRICS_FILE).is_file() and (run_dir / JOURNAL).is_file(), process)
        scraped = _scraped(run_dir)
        out, err = process.communicate(timeout=DEADLINE_SECONDS)
        seconds = time.monotonic() - began
    end = Ended(process.returncode, out, err)
    return Rehearsed(run_dir, end, seconds, good.titles(), len(page), scraped)


@contextmanager
def _running(words: list[str], environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        words, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8",
        start_new_session=sys.platform != "win32",
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def _wait_for(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    pause = threading.Event()
    while not condition():
        assert process.poll() is None, process.communicate()
        pause.wait(0.05)


@contextmanager
def _open_page(server: Server) -> Iterator[list[bytes]]:
    """Somebody looks at the page all the time: its stream is read as a browser would."""
    events: list[bytes] = []

    def read() -> None:
        # The block ends the stream under the reader.
        with suppress(OSError, ValueError), server.opened("GET", "/api/events", server.bearer) as answer:
            while line := answer.readline():
                events.extend([b""] if line.startswith(b"data: ") else [])

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    yield events
    server.process.kill()
    thread.join(10)


def _scraped(run_dir: Path) -> str:
    address = urlsplit(json.loads((run_dir / METRICS_FILE).read_bytes())["url"])
    connection = http.client.HTTPConnection(address.netloc, timeout=10)
    try:
        connection.request("GET", address.path)
        return connection.getresponse().read().decode()
    finally:
        connection.close()


def test_the_rehearsal_passes_with_every_view_on(rehearsed: Rehearsed, capsys) -> None:
    with capsys.disabled():
        sys.stdout.write(f"\nrehearsal with all views: {rehearsed.seconds:.1f} s from start to verdict\n")
    assert rehearsed.end.code == 0, rehearsed.end.err
    assert "PASS (rehearsal)" in rehearsed.end.err
    answer = rehearsed.end.answer
    assert (answer["verdict"], answer["kind"]) == ("PASS", "rehearsal")
    assert answer["market_hours"] == pytest.approx(12, rel=0.005)


def test_everything_that_looks_on_was_there_once_and_ended_in_order(rehearsed: Rehearsed) -> None:
    expected = {"engine", "venue", "metrics", "observer", "notify", "supervisor"}
    started = [row.name for row in ops(rehearsed.run_dir, ProcessStarted)]
    assert sorted(started) == sorted(expected), "each once"
    assert {row.name for row in ops(rehearsed.run_dir, ProcessExited) if not row.abnormal} == expected
    assert not ops(rehearsed.run_dir, Incident)
    assert rehearsed.news > 10, "the open page was kept up to date"
    assert "\nflowguardian_equity_usdt" in rehearsed.scraped
    titles = rehearsed.titles
    begin = ("Run started", "M5 ", "H12 ", "Run ended (completed)", "PASS (rehearsal)")
    assert [sum(title.startswith(text) for title in titles) for text in begin] == [1] * len(begin), titles


def test_counts_and_sums_of_every_table_equal_the_journal(rehearsed: Rehearsed, postgres) -> None:
    wanted = journal_figures(rehearsed.run_dir)
    found = postgres_figures(postgres.address(), RUN_ID)
    assert found == wanted
    rows = sum(1 for _ in read_rows(rehearsed.run_dir / JOURNAL))
    assert sum(of.rows for (table, _), of in found.items() if table not in ("equity", "incidents")) == rows
    assert {table for table, _ in found} == set(TABLES) - {"incidents"}, (
        "nothing went wrong, all else happened"
    )


def test_what_people_ask_has_the_same_answer_in_postgres_and_in_the_report(
    rehearsed: Rehearsed, postgres
) -> None:
    asked = asked_of(postgres.address(), RUN_ID)
    report: dict[str, Any] = json.loads((rehearsed.run_dir / "report.json").read_text(encoding="utf-8"))
    money = {name: Decimal(report["money"][name]).scaleb(-8) for name in ("fees", "realised", "end")}
    assert (asked.fees, asked.realised, asked.equity_at_the_end) == (
        money["fees"], money["realised"], money["end"],
    )  # fmt: skip
    assert asked.entries == report["counts"]["entries"] >= 100
    assert asked.refusals == journal_refusals(rehearsed.run_dir)
    assert asked.refusals.total() == report["counts"]["refusals"] > 0


def test_redis_holds_how_the_run_ended(rehearsed: Rehearsed, valkey) -> None:
    held = held_by(valkey.address(), ENV, RUN_ID, ANSWER_SECONDS)
    pairs = list(read_rows(rehearsed.run_dir / JOURNAL))
    last = pairs[-1][0]
    kinds: dict[str, int] = {}
    for _, row in pairs:
        kinds[type(row).__name__] = kinds.get(type(row).__name__, 0) + 1
    checkpoint = [row for _, row in pairs if isinstance(row, ev.CheckpointTaken)][-1]
    assert held.cursor["journal"] == f"{last.seq} {last.hash}"
    status = held.status
    assert (status["state"], status["seq"], status["checkpoint"]) == (
        "completed",
        str(last.seq),
        checkpoint.name,
    )
    assert Decimal(status["equity"]) == Decimal(checkpoint.equity).scaleb(-8)
    assert {name: int(status[name]) for name in kinds} == kinds
    assert {code: int(count) for code, count in held.refusals.items()} == journal_refusals(rehearsed.run_dir)
    assert len(held.positions) == checkpoint.open_positions
