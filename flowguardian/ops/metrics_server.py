"""Serves the figures of a run to Prometheus, and writes its trading log.

Usage: python -m flowguardian.ops.metrics_server RUN_DIR [--port 0]. The first line of stdout says where.

Rule: it follows the records of a run and can touch none of them; it listens on the loopback address alone,
answers one reader at a time for a bounded time, and ends with its parent.
"""

from __future__ import annotations

import argparse
import os
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import cast

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from flowguardian.execution import events as ev
from flowguardian.journal.chain import ChainError, Record
from flowguardian.journal.follow import Follower, readable
from flowguardian.journal.journal import JOURNAL
from flowguardian.journal.ops_events import decode_ops
from flowguardian.ops.announcing import announce
from flowguardian.ops.log import configure_logging, get, tell_seq
from flowguardian.ops.metrics import registry_of
from flowguardian.ops.metrics_figures import Figures
from flowguardian.ops.ops_journal import FILE_NAME as OPS_FILE
from flowguardian.ops.platform_process import PARENT_PID, die_with_parent
from flowguardian.ops.platform_signals import Wake, on_stop_signal
from flowguardian.ops.recovery import read_beat
from flowguardian.ops.settings import Settings
from flowguardian.ops.trading_log import TradingLog

LOOPBACK = "127.0.0.1"
READER_SECONDS = 5.0
"""A reader that does not send its request or take the answer by then is left."""
BATCHES_PER_LOOK = 50
TROUBLES = (ChainError, OSError)
"""What a look at records that are just being written can meet; the next look tries again."""


def metrics_argv(run_dir: Path, settings: Settings) -> list[str] | None:
    """The command line of a run's metrics server, None when it is switched off."""
    metrics = settings.metrics
    if not metrics.enabled:
        return None
    options = {
        "--port": metrics.port, "--poll-seconds": metrics.poll_seconds,
        "--log-mb": metrics.trading_log_mb, "--log-files": metrics.trading_log_files,
    }  # fmt: skip
    said = [part for name, value in options.items() for part in (name, str(value))]
    return [sys.executable, "-m", "flowguardian.ops.metrics_server", str(run_dir), *said]


class Follow:
    """Journal and ops journal of one run, folded into figures and written into the trading log."""

    def __init__(self, run_dir: Path, trading_log: TradingLog) -> None:
        self._run_dir, self._trading_log = run_dir, trading_log
        self._journal, self._ops = Follower(run_dir / JOURNAL), Follower(run_dir / OPS_FILE)
        self._figures = Figures()
        self._registry = registry_of(lambda: self._figures)
        self._lock = threading.RLock()
        self._trouble = ""
        tell_seq(lambda: self._journal.seq)

    def exposed(self, encode: Callable[[CollectorRegistry], bytes]) -> bytes:
        """The figures up to the last row there is, all of one moment."""
        with self._lock:
            self.look()
            return encode(self._registry)

    def look(self) -> None:
        """Take the rows that came; trouble is a WARNING and tried again."""
        with self._lock:
            try:
                self._take()
            except TROUBLES as error:
                self._say_once(f"{type(error).__name__}: {error}")
            else:
                self._trouble = ""

    def _take(self) -> None:
        for _ in range(BATCHES_PER_LOOK):
            records = self._journal.read()
            rows = list(readable(records, ev.decode, self._unreadable))
            for seq, row in rows:
                self._figures.row(seq, row)
            self._trading_log.write(rows)
            if len(records) < self._journal.batch:
                break
        for _ in range(BATCHES_PER_LOOK):
            found = self._ops.read()
            for _, ops_row in readable(found, decode_ops, self._unreadable):
                self._figures.ops(ops_row)
            if len(found) < self._ops.batch:
                break
        self._figures.beat_seconds = read_beat(self._run_dir).wall_ns / 1e9

    def _unreadable(self, record: Record, error: Exception) -> None:
        get("metrics").warning(
            "a row could not be read", row=record.seq, kind=record.kind, why=type(error).__name__
        )

    def _say_once(self, trouble: str) -> None:
        if trouble != self._trouble:
            get("metrics").warning("the run could not be followed", why=trouble)
        self._trouble = trouble


class MetricsServer(HTTPServer):
    """One reader at a time: Prometheus comes every few seconds."""

    def __init__(self, port: int, follow: Follow) -> None:
        super().__init__((LOOPBACK, port), Handler)
        self.follow = follow

    def handle_error(self, request: object, client_address: object) -> None:
        """A reader that went away is no news; the traceback socketserver would print is an incident."""
        error = sys.exc_info()[1]
        say = get("metrics").info if isinstance(error, OSError) else get("metrics").warning
        say("a reader got no answer", why=f"{type(error).__name__}: {error}")

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://{LOOPBACK}:{self.server_port}/metrics"


class Handler(BaseHTTPRequestHandler):
    """GET /metrics, and nothing else."""

    def handle(self) -> None:
        """Serve one reader; one that sends its request byte by byte is cut off, too."""
        guard = threading.Timer(READER_SECONDS, self._cut)
        guard.daemon = True
        guard.start()
        try:
            super().handle()
        finally:
            guard.cancel()

    def _cut(self) -> None:
        with suppress(OSError):
            # It may have gone by itself in the meantime.
            self.connection.shutdown(socket.SHUT_RDWR)

    def do_GET(self) -> None:
        """Answer in OpenMetrics when the reader asks for it, in the older text format otherwise."""
        # A page from elsewhere that points its own name at this machine is no reader of ours.
        host = self.headers.get("Host", "").rsplit(":", 1)[0]
        if self.path.partition("?")[0] != "/metrics" or host not in (LOOPBACK, "localhost", ""):
            self.send_error(404)
            return
        encode, kind = choose_encoder(self.headers.get("Accept", ""))
        text = cast("MetricsServer", self.server).follow.exposed(encode)
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the standard library's
        """A scrape every few seconds is no news."""


def main(arguments: Sequence[str]) -> int:
    """Serve until told to stop."""
    if PARENT_PID in os.environ:
        die_with_parent()
    options = _options(arguments)
    run_dir: Path = options.run_dir
    logs = run_dir / "logs"
    configure_logging("metrics", logs, run_id=run_dir.name, console_level="CRITICAL")
    trading_log = TradingLog(
        logs, run_dir.name, max_bytes=round(options.log_mb * 1e6), max_files=options.log_files
    )
    follow, wake, stops = Follow(run_dir, trading_log), Wake(), list[str]()

    def stop(name: str) -> None:
        stops.append(name)
        wake.set()

    server = _server(options.port, follow)
    thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
    with on_stop_signal(stop):
        thread.start()
        announce("ready", url=server.url)
        while not stops:
            follow.look()
            wake.wait(options.poll_seconds)
    server.shutdown()
    server.server_close()
    follow.look()
    trading_log.close()
    return 0


def _server(port: int, follow: Follow) -> MetricsServer:
    """On the wanted port, or else on any: a port that is taken must not end a child of a run."""
    try:
        return MetricsServer(port, follow)
    except OSError as error:
        get("metrics").warning("the port cannot be used, another is", port=port, why=str(error.strerror))
        return MetricsServer(0, follow)


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m flowguardian.ops.metrics_server")
    parser.add_argument("run_dir", type=Path)
    parser.add_argument("--port", type=int, default=0, help="0 = any free port")
    parser.add_argument("--poll-seconds", type=float, default=1.0)
    parser.add_argument("--log-mb", type=float, default=20.0, help="size of one trading log file")
    parser.add_argument("--log-files", type=int, default=20, help="how many of them are kept")
    return parser.parse_args(list(arguments))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
