"""The dashboard's door over real sockets: nobody without the token, nothing from other sites."""

from __future__ import annotations

import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.routing import Route

from flowguardian.dashboard.gate import HEADERS, Keys
from flowguardian.dashboard.server import Application
from flowguardian.dashboard.watch import RunWatch
from flowguardian.journal.chain import ChainWriter
from flowguardian.journal.journal import JOURNAL, read_rows
from flowguardian.ops.commands import FILE_NAME as COMMANDS_FILE
from flowguardian.ops.manifest import MANIFEST
from flowguardian.ops.platform_process import ORPHANED_EXIT, PARENT_PID
from flowguardian.ops.registry import Registry
from flowguardian.ops.settings_dashboard import Dashboard
from tests.dashboard_client import Server, dashboard, make_ended
from tests.e2e.real_runs import ROOT, surroundings

PLANTED = "tgram://111222333:PLANTEDKEY-do-not-show/42"
VERDICTS = re.compile(r"\b(PASS|FAIL|INCONCLUSIVE)\b")
ENDS_WITHIN_SECONDS = 10


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("state")


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("dashboard") / "run"
    make_ended(place, [f"notify.urls=['{PLANTED}']", "dashboard.clients=3"], hours=1)
    return place


@pytest.fixture(scope="module")
def server(run_dir: Path, state: Path) -> Iterator[Server]:
    with dashboard(run_dir, state) as found:
        yield found


def paths(run_dir: Path, tmp_path: Path) -> list[tuple[str, str]]:
    """(method, path) of every route and every file, and of one that does not exist."""
    application = Application(RunWatch(run_dir, Dashboard(), Registry(tmp_path)), Keys())
    example = {"name": "equity", "symbol": "BTCUSDT", "seq:int": "12", "number:int": "1"}
    found = []
    for route in application.app()._app.routes:  # type: ignore[attr-defined]
        assert isinstance(route, Route)
        method = "POST" if route.methods == {"POST"} else "GET"
        if "{path:path}" in route.path:
            found += [(method, f"/static/{name}") for name in application._files]
        else:
            found.append((method, re.sub(r"\{([\w:]+)\}", lambda place: example[place[1]], route.path)))
    assert len(found) > 20
    return [*found, ("GET", "/no/such/path"), ("PUT", "/api/command"), ("OPTIONS", "/api/command")]


def test_no_route_answers_without_the_token(server: Server, run_dir: Path, tmp_path: Path):
    strangers: list[dict[str, str]] = [
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": f"Basic {server.token}"},
        {"Cookie": "flowguardian_00000000=wrong"},
        {"X-CSRF-Token": "guess", "Origin": f"http://127.0.0.1:{server.port}"},
    ]
    for method, path in paths(run_dir, tmp_path):
        for headers in strangers:
            answer = server.ask(method, path, headers, b'{"command":"stop"}' if method == "POST" else b"")
            assert answer.status == 401, (method, path, headers)
            assert len(answer.body) < 200
    assert not (run_dir / COMMANDS_FILE).exists() or not asked(run_dir)


def test_a_program_with_the_token_as_a_header_is_answered(server: Server):
    assert server.get("/").status == 200
    assert server.get("/static/js/main.js").headers["content-type"].startswith("text/javascript")
    assert server.get("/no/such/path").status == 404
    assert server.get("/static/../server.py").status == 404
    assert server.get("/api/curve/nothing").status == server.get("/api/bars/NOPE").status == 404
    assert server.get("/api/explain/1").json["error"]["why"].startswith("only signals")


def test_the_address_works_once_and_becomes_a_cookie(run_dir: Path, state: Path):
    with dashboard(run_dir, state) as server:
        assert server.get("/?token=wrong", {}).status == 401
        assert server.get(f"/api/hello?token={server.token}", {}).status == 401
        entered = server.get(f"/?token={server.token}", {})
        assert (entered.status, entered.headers["location"]) == (303, "/")
        cookie, *flags = [part.strip() for part in entered.headers["set-cookie"].split(";")]
        assert {"HttpOnly", "SameSite=strict", "Path=/"} <= set(flags)
        assert server.token not in cookie
        assert server.get("/", {"Cookie": cookie}).status == 200
        again = server.get(f"/?token={server.token}", {})
        assert again.status == 401 and b"has been used" in again.body
        assert server.get(f"/?token={server.token}", {"Cookie": cookie}).status == 303


def test_only_this_machine_is_asked_and_only_by_its_own_name(server: Server):
    for host in ("evil.example", "evil.example:80", "127.0.0.1.evil.example", "[::2]", ""):
        assert server.get("/", {**server.bearer, "Host": host}).status == 421, host
    for host in ("localhost:9", "[::1]:9"):
        assert server.get("/", {**server.bearer, "Host": host}).status == 200, host
    others = [str(found[4][0]) for found in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)]
    for address in set(others) - {"127.0.0.1"}:
        if not address.startswith("127."):
            with pytest.raises(OSError, match="refused"):
                socket.create_connection((address, server.port), 2)


def test_every_answer_carries_the_headers_that_keep_other_sites_out(server: Server):
    for answer in (server.get("/"), server.get("/", {}), server.get("/api/hello"), server.get("/nowhere")):
        assert {name: answer.headers.get(name.lower()) for name in HEADERS} == HEADERS
        assert not [name for name in answer.headers if name.startswith("access-control")]
    assert "unsafe" not in HEADERS["Content-Security-Policy"]
    page = server.get("/").body.decode()
    assert not re.search(r"<script(?![^>]*\bsrc=)|\son\w+=|\sstyle=|<style", page)


def asked(run_dir: Path) -> list[str]:
    with sqlite3.connect(run_dir / COMMANDS_FILE) as db:
        found = [row[0] for row in db.execute("SELECT command FROM commands")]
    db.close()
    return found


@pytest.mark.parametrize(
    "change",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"X-CSRF-Token": ""},
        {"X-CSRF-Token": "guess"},
    ],
    ids=str,
)
def test_a_post_from_another_origin_is_refused(server: Server, run_dir: Path, change: dict[str, str]):
    answer = server.post({"command": "halt"}, {**server.allowed, **change})
    assert answer.status == 403
    assert "halt" not in asked(run_dir)


def test_a_command_nobody_can_take_is_refused_and_not_left_for_a_later_resume(server: Server, run_dir: Path):
    allowed = server.allowed
    assert server.post({"command": "halt"}, allowed).status == 409
    assert server.post({"command": "dance"}, allowed).status == 400
    assert server.post({"command": "x" * 5000}, allowed).status == 413
    assert asked(run_dir) == []


def everything(server: Server, run_dir: Path, tmp_path: Path) -> str:
    """All that the server says to one who has the token, apart from the vendored libraries."""
    said = [str(server.news())]
    for method, path in paths(run_dir, tmp_path):
        if method == "GET" and path != "/api/events" and "/vendor/" not in path:
            answer = server.get(path)
            said.append(f"{path} {answer.headers} {answer.body.decode()}")
    assert sum(map(len, said)) > 100_000
    return "\n".join(said)


def test_a_secret_of_the_settings_appears_nowhere(run_dir: Path, state: Path, tmp_path: Path):
    with dashboard(run_dir, state) as server:
        said = everything(server, run_dir, tmp_path)
        server.process.send_signal(signal.SIGTERM)
        out, err = server.process.communicate(timeout=ENDS_WITHIN_SECONDS)
    for text in (said, out, err, (run_dir / MANIFEST).read_text(encoding="utf-8")):
        assert "PLANTEDKEY" not in text
    assert PLANTED not in said


def test_before_the_end_no_text_names_a_verdict(run_dir: Path, state: Path, tmp_path: Path):
    records = [record for record, _ in read_rows(run_dir / JOURNAL)][:-1]
    writer = ChainWriter(tmp_path / JOURNAL)
    writer.append([(r.ts_ns, r.kind, r.body) for r in records], durable=False)
    writer.close()
    (tmp_path / "report.json").write_text('{"verdict": "PASS"}', encoding="utf-8")
    with dashboard(tmp_path, state) as server:
        said = everything(server, run_dir, tmp_path / "registry")
    assert not VERDICTS.search(said)


def test_after_the_end_the_verdict_is_the_reports(server: Server):
    run = server.news()["run"]
    assert run["status"]["verdict"] == "INCONCLUSIVE"  # type: ignore[index]


def test_one_page_more_than_the_setting_allows_is_refused_until_another_goes(server: Server):
    def stream():
        return server.opened("GET", "/api/events", server.bearer)

    with stream() as first, stream() as second:
        with stream() as third:
            assert all(one.readline().startswith(b"data: ") for one in (first, second, third))
            assert server.get("/api/events").status == 503
        for _ in range(100):
            with stream() as next_one:
                if next_one.status == 200:
                    break
        else:
            pytest.fail("the place of a page that went was not free again")


@pytest.mark.skipif(sys.platform == "win32", reason="SIGTERM is POSIX")
def test_it_ends_in_order_by_a_signal_though_a_page_is_open(run_dir: Path, state: Path):
    with dashboard(run_dir, state) as server, server.opened("GET", "/api/events", server.bearer) as page:
        assert page.readline()
        server.process.send_signal(signal.SIGTERM)
        _, err = server.process.communicate(timeout=ENDS_WITHIN_SECONDS)
        assert (server.process.returncode, err) == (0, "")


def test_it_ends_with_the_process_that_started_it(run_dir: Path, state: Path):
    with dashboard(run_dir, state, environment={PARENT_PID: str(os.getpid())}) as server:
        assert server.process.stdin is not None
        server.process.stdin.close()
        assert server.process.wait(ENDS_WITHIN_SECONDS) == ORPHANED_EXIT


def test_it_says_what_is_wrong_with_its_arguments(run_dir: Path, state: Path, server: Server):
    for arguments, said in (
        ([str(run_dir / "nowhere")], "no such run directory"),
        ([str(run_dir), "--port", str(server.port)], "cannot be used"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "flowguardian.dashboard", *arguments], cwd=ROOT, env=surroundings(state),
            capture_output=True, encoding="utf-8", timeout=30, check=False,
        )  # fmt: skip
        assert done.returncode == 2 and said in done.stderr and done.stdout == ""


@pytest.mark.skipif(sys.platform == "win32", reason="SIGINT is POSIX")
def test_the_command_of_the_command_line_serves_the_same_page(run_dir: Path, state: Path):
    process = subprocess.Popen(
        [sys.executable, "-m", "flowguardian", "dashboard", str(run_dir), "--json"], cwd=ROOT,
        env=surroundings(state), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        encoding="utf-8",
    )  # fmt: skip
    try:
        assert process.stdout is not None
        url = re.search(r'"(http[^"]+)"', process.stdout.readline())
        assert url is not None
        assert Server(process, url[1]).get("/api/hello").json["version"]
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=ENDS_WITHIN_SECONDS)
        assert (process.returncode, err) == (0, "")
    finally:
        process.kill()
        process.communicate()
