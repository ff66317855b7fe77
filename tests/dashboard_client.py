"""The dashboard as a process of its own, asked over real sockets, and runs for it to show.

Rule: nothing here decides what is right; a started process is always ended.
"""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit

import msgspec

from flowguardian.journal import ops_events as ops
from flowguardian.ops.engine_process import EngineProcess
from flowguardian.ops.loading import load
from flowguardian.ops.manifest import Manifest, write_manifest
from flowguardian.ops.ops_journal import FILE_NAME as OPS_FILE
from flowguardian.ops.ops_journal import OpsJournal
from tests.e2e.real_runs import ROOT, surroundings
from tests.golden.market_run import make_manifest

TIMEOUT_SECONDS = 20.0
HOST_NS = 1_800_000_000 * 10**9


class Answer(NamedTuple):
    """What the server said."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)


class Server:
    """A dashboard that answers."""

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        parts = urlsplit(url)
        self.process, self.url = process, url
        self.port = parts.port or 0
        self.token = parse_qs(parts.query)["token"][0]

    @property
    def bearer(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    def ask(self, method: str, path: str, headers: Mapping[str, str] = {}, body: bytes = b"") -> Answer:
        with self.opened(method, path, headers, body) as answer:
            return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())

    def get(self, path: str, headers: Mapping[str, str] | None = None) -> Answer:
        """As a program with the token, or with the headers given."""
        return self.ask("GET", path, self.bearer if headers is None else headers)

    def post(self, body: object, headers: Mapping[str, str]) -> Answer:
        return self.ask("POST", "/api/command", headers, json.dumps(body).encode())

    @property
    def allowed(self) -> dict[str, str]:
        """The headers the page itself sends with a command."""
        csrf = self.get("/api/hello").json["csrf"]
        return {**self.bearer, "Origin": f"http://127.0.0.1:{self.port}", "X-CSRF-Token": csrf}

    @contextmanager
    def opened(
        self, method: str, path: str, headers: Mapping[str, str] = {}, body: bytes = b""
    ) -> Iterator[http.client.HTTPResponse]:
        """An answer that is still open."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT_SECONDS)
        try:
            connection.request(method, path, body or None, dict(headers))
            with connection.getresponse() as answer:
                yield answer
        finally:
            connection.close()

    def news(self) -> dict[str, object]:
        """The first event of the stream: every section."""
        with self.opened("GET", "/api/events", self.bearer) as answer:
            line = answer.readline()
            assert line.startswith(b"data: "), line
            found: dict[str, object] = json.loads(line[6:])
            return found


@contextmanager
def dashboard(run_dir: Path, state: Path, *, environment: Mapping[str, str] = {}) -> Iterator[Server]:
    """`python -m flowguardian.dashboard`, ended with the block."""
    process = subprocess.Popen(
        [sys.executable, "-m", "flowguardian.dashboard", str(run_dir)], cwd=ROOT,
        env={**surroundings(state), **environment}, encoding="utf-8",
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, process.communicate()[1]
        yield Server(process, json.loads(line)["url"])
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


def plan(
    overrides: list[str], *, hours: float = 2, market: str = "synthetic:7", speed: float = 0.0
) -> Manifest:
    """A run with settings of its own."""
    loaded = load(None, ["universe.symbols=[BTCUSDT,ETHUSDT,SOLUSDT]", *overrides])
    return msgspec.structs.replace(
        make_manifest(market=market, hours=hours, speed=speed),
        config=msgspec.Raw(msgspec.json.encode(loaded.effective)), config_hash=loaded.config_hash,
    )  # fmt: skip


def make_ended(run_dir: Path, overrides: list[str], *, hours: float = 2) -> None:
    """A run that came to its end, with an ops journal and the report of a judge."""
    write_manifest(run_dir, plan(overrides, hours=hours))
    reasons: list[str] = []
    # The browser's own event loop runs in this thread.
    thread = threading.Thread(target=lambda: reasons.append(EngineProcess(run_dir).lifetime()))
    thread.start()
    thread.join()
    assert reasons == ["completed"]
    write_ops(run_dir, [*host_samples(30), *incidents(3), ops.RunFinished(HOST_NS, "completed")])
    (run_dir / "report.json").write_text('{"verdict": "INCONCLUSIVE"}', encoding="utf-8")


def write_ops(run_dir: Path, rows: list[ops.OpsRow]) -> None:
    """Append to the ops journal."""
    journal = OpsJournal(run_dir / OPS_FILE)
    for row in rows:
        journal.write(row)
    journal.close()


def host_samples(count: int, first: int = 0) -> list[ops.OpsRow]:
    """Samples a minute apart whose numbers all differ."""
    return [
        ops.HostSampled(
            HOST_NS + k * 60 * 10**9, 1, k, 0, 200_000_000 + k * 1_000_000, k / 10, 20 + k, 4, 0.5,
            1.5 + k % 7, 1000 * k, 2000 * k, 30 * k,
        )
        for k in range(first, first + count)
    ]  # fmt: skip


def incidents(count: int) -> list[ops.OpsRow]:
    """The same incident several times."""
    return [
        ops.Incident(HOST_NS + k, ops.Severity.WARNING, "engine", "clock drifts", f"sample {k}")
        for k in range(count)
    ]
