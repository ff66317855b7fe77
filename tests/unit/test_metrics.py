"""Metrics: valid OpenMetrics, labels from enums, figures equal to the journal's, bounded memory."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import openmetrics
from prometheus_client.openmetrics.exposition import generate_latest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as plain_text

from flowguardian.execution import events as ev
from flowguardian.execution.events import Reason
from flowguardian.journal import ops_events as o
from flowguardian.journal.journal import JOURNAL, read_rows
from flowguardian.ops import metrics_server
from flowguardian.ops.loading import load
from flowguardian.ops.metrics import METRICS, registry_of
from flowguardian.ops.metrics_figures import REQUESTS_KEPT, Figures
from flowguardian.ops.metrics_server import Follow, MetricsServer, metrics_argv
from flowguardian.ops.run_result import result_of
from flowguardian.ops.segments import run_time_ns, segment_spans
from flowguardian.ops.trading_log import TradingLog
from tests.e2e.real_runs import ROOT
from tests.golden.market_run import make_run
from tests.unit.journal_builder import Story

REQUIRED = {
    "flowguardian_equity_usdt", "flowguardian_drawdown_ratio", "flowguardian_budget_used_usdt",
    "flowguardian_budget_available_usdt", "flowguardian_open_positions", "flowguardian_entries_total",
    "flowguardian_refusals_total", "flowguardian_budget_caps_total", "flowguardian_incidents_total",
    "flowguardian_restarts_total", "flowguardian_run_seconds", "flowguardian_engine_rss_bytes",
    "flowguardian_loop_lag_p99_seconds",
}  # fmt: skip


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("metrics") / "run"
    make_run(place, hours=1.5)
    return place


def samples(text: str, read: Any = open_metrics) -> dict[str, float]:
    """Every sample by its name and labels."""
    return {
        sample.name + "".join(f"{{{value}}}" for value in sample.labels.values()): sample.value
        for family in read(text)
        for sample in family.samples
    }


def exposed(figures: Figures) -> dict[str, float]:
    return samples(generate_latest(registry_of(lambda: figures)).decode())


def folded(rows: list[ev.Row]) -> Figures:
    figures = Figures()
    for seq, row in enumerate(rows, 1):
        figures.row(seq, row)
    return figures


def test_the_names_that_were_promised_are_there_and_each_is_said_once() -> None:
    names = [metric.name for metric in METRICS]
    assert set(names) >= REQUIRED and len(names) == len(set(names))
    assert all(name.startswith("flowguardian_") for name in names)
    assert {metric.name for metric in METRICS if metric.values} == {
        "flowguardian_refusals_total", "flowguardian_incidents_total", "flowguardian_trading_state",
    }  # fmt: skip


def test_before_the_first_row_every_metric_is_there_and_zero() -> None:
    found = exposed(Figures())
    assert len(found) == sum(len(metric.values) if metric.values else 1 for metric in METRICS)
    assert set(found.values()) == {0.0}


def test_at_every_checkpoint_the_figures_are_those_of_the_engine(run_dir: Path) -> None:
    figures, checkpoints = Figures(), 0
    for record, row in read_rows(run_dir / JOURNAL):
        figures.row(record.seq, row)
        if not isinstance(row, ev.CheckpointTaken):
            continue
        checkpoints += 1
        found = exposed(figures)
        lines = row.budget
        assert {
            "flowguardian_equity_usdt": row.equity / 1e8,
            "flowguardian_balance_usdt": row.balance / 1e8,
            "flowguardian_drawdown_ratio": (row.peak_equity - row.equity) / row.peak_equity,
            "flowguardian_budget_allocated_usdt": sum(line.allocated for line in lines) / 1e8,
            "flowguardian_budget_used_usdt": sum(line.used for line in lines) / 1e8,
            "flowguardian_budget_reserved_usdt": sum(line.reserved for line in lines) / 1e8,
            "flowguardian_budget_available_usdt": sum(line.available for line in lines) / 1e8,
            "flowguardian_open_positions": row.open_positions,
            "flowguardian_signals_total": row.signals,
            "flowguardian_entries_total": row.entries,
            "flowguardian_budget_caps_total": row.budget_caps,
            "flowguardian_refusals_total{portfolio_budget}": row.budget_blocks,
            "flowguardian_closed_positions_total": row.closed,
            "flowguardian_trading_state{ACTIVE}": 1.0,
            "flowguardian_journal_seq": record.seq,
        }.items() <= found.items()
        for guard in row.guards:
            assert found[f"flowguardian_refusals_total{{{guard.code}}}"] == guard.refused, guard.code
    assert checkpoints >= 18
    assert found["flowguardian_entries_total"] > 5 and sum(figures.refusals.values()) > 5


def test_the_ops_figures_are_those_of_the_result() -> None:
    story = Story()
    story.ops += [
        o.ProcessExited(1, "engine", 7, -9, "crashed", True, False),
        o.ProcessStarted(2, "engine", 8, 1.0),
        o.SegmentOpened(3, 9, "b", 10**9, 0, 8, "restarted"),
        o.HostSampled(4, 9, 4 * 10**9, 0, 123, 1.0, 17, 3, 0.5, 2.5, 11, 12, 13),
        o.HostSampled(5, 9, 6 * 10**9, 0, 456, 1.0, 18, 3, 0.5, 3.5, 21, 22, 23),
        o.Incident(6, o.Severity.ERROR, "engine", "lost", ""),
        o.Incident(7, o.Severity.WARNING, "engine", "late", ""),
    ]
    figures = Figures()
    for row in story.ops:
        figures.ops(row)
    found, result = exposed(figures), result_of("x", story.ops)
    assert result.restarts == 1
    assert found["flowguardian_restarts_total"] == 1
    assert found["flowguardian_run_seconds"] == run_time_ns(segment_spans(story.ops)) / 1e9 > 5
    assert found["flowguardian_engine_rss_bytes"] == 456
    assert found["flowguardian_loop_lag_p99_seconds"] == 0.0035
    incidents = {s: sum(isinstance(r, o.Incident) and r.severity == s for r in story.ops) for s in o.Severity}
    assert {s: found[f"flowguardian_incidents_total{{{s}}}"] for s in o.Severity} == incidents


def test_what_is_remembered_of_orders_and_segments_is_bounded(run_dir: Path) -> None:
    rows = [row for _, row in read_rows(run_dir / JOURNAL)]
    figures = folded(rows)
    request = next(row for row in rows if isinstance(row, ev.OrderRequested))
    fields = {name: getattr(request, name) for name in request.__struct_fields__}
    for number in range(REQUESTS_KEPT + 50):
        figures._count(ev.OrderRequested(**{**fields, "order_id": 1000 + number}))
    for segment in range(1, 500):
        figures.ops(o.SegmentOpened(1, segment, "b", 0, 0, 1, "restarted"))
        figures.ops(o.HostSampled(1, segment, 10**9, 0, 1, 1.0, 1, 1, 0.0, 0.0, 1, 1, 1))
        figures.ops(o.SegmentClosed(1, segment, "b", 2 * 10**9, 0, "crashed"))
    assert len(figures._unfilled) == REQUESTS_KEPT and len(figures._segment) <= 3
    assert figures.run_seconds == 2 * 499
    assert figures._books is not None and not figures._books.requests


def test_metrics_can_be_switched_off_and_get_their_settings(tmp_path: Path) -> None:
    assert metrics_argv(tmp_path, load(None, ["metrics.enabled=false"], env={}).settings) is None
    argv = metrics_argv(
        tmp_path, load(None, ["metrics.port=9105", "metrics.poll_seconds=2"], env={}).settings
    )
    assert argv is not None and argv[:4] == [
        sys.executable, "-m", "flowguardian.ops.metrics_server", str(tmp_path),
    ]  # fmt: skip
    said = dict(zip(argv[4::2], argv[5::2], strict=True))
    assert said["--port"] == "9105" and said["--poll-seconds"] == "2" and said["--log-files"] == "20"


@pytest.fixture
def server(run_dir: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    argv = metrics_argv(run_dir, load(None, [], env={}).settings)
    assert argv is not None
    with subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            yield process, json.loads(process.stdout.readline())["url"]
        finally:
            process.kill()
            process.communicate()


def get(url: str, **headers: str) -> tuple[str, str]:
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - loopback
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10) as answer:
        return answer.headers["Content-Type"], answer.read().decode()


def test_the_server_answers_on_loopback_writes_the_trading_log_and_ends_when_asked(
    run_dir: Path, server: tuple[subprocess.Popen[bytes], str]
) -> None:
    process, url = server
    assert url.startswith("http://127.0.0.1:")
    kind, text = get(url, Accept=openmetrics.exposition.CONTENT_TYPE_LATEST)
    assert kind.startswith("application/openmetrics-text")
    found = samples(text)
    rows = [row for _, row in read_rows(run_dir / JOURNAL)]
    assert found["flowguardian_journal_seq"] == len(rows)
    refused = sum(isinstance(row, ev.EntryRefused) for row in rows)
    assert sum(found[f"flowguardian_refusals_total{{{code}}}"] for code in Reason) == refused > 0
    kind, text = get(url)
    assert kind.startswith("text/plain") and samples(text, plain_text) == found
    for wrong, headers in ((url.replace("/metrics", "/"), {}), (url, {"Host": "elsewhere.example:80"})):
        with pytest.raises(urllib.error.HTTPError) as refusal:
            get(wrong, **headers)
        assert refusal.value.code == 404
        refusal.value.close()
    process.terminate()
    assert process.wait(20) == 0
    assert process.stderr is not None and process.stderr.read() == b""
    log = (run_dir / "logs" / "trading.log").read_text(encoding="utf-8")
    assert log.count("[ENTRY BLOCK] reason=") == refused
    assert log.count("[Budget Cap Applied]") == sum(isinstance(row, ev.BudgetCapped) for row in rows) > 0


def test_a_reader_that_hangs_or_breaks_costs_the_others_a_bounded_time_and_no_traceback(
    run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(metrics_server, "READER_SECONDS", 0.3)
    log = TradingLog(tmp_path, "run", max_bytes=10**6, max_files=2)
    server = MetricsServer(0, Follow(run_dir, log))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    over = threading.Event()
    try:
        with socket.create_connection(("127.0.0.1", server.server_port)) as silent:
            assert "flowguardian_equity_usdt" in get(server.url)[1]
            assert silent.recv(10) == b""
        with socket.create_connection(("127.0.0.1", server.server_port)) as dripping:
            dripper = threading.Thread(target=drip, args=(dripping, over))
            dripper.start()
            assert "flowguardian_equity_usdt" in get(server.url)[1]
            over.set()
            dripper.join()
        try:
            (tmp_path / "gone").read_bytes()
        except OSError:
            # As socketserver calls it when a reader went away.
            server.handle_error(None, None)
    finally:
        over.set()
        server.shutdown()
        server.server_close()
        thread.join()
        log.close()
    assert capsys.readouterr().err == ""


def drip(connection: socket.socket, over: threading.Event) -> None:
    """A request without an end."""
    with suppress(OSError):
        while not over.wait(0.05):
            connection.sendall(b"G")
