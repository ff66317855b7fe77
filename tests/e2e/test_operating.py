"""halt, resume, flatten and stop from the command line: journaled, idempotent, exits not blocked."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import pytest

from flowguardian.cli import app
from flowguardian.execution.events import CommandReceived, TradingStateChanged
from flowguardian.journal.journal import JOURNAL, read_rows
from flowguardian.ops.commands import CommandInbox
from flowguardian.ops.engine_process import EngineProcess
from flowguardian.ops.manifest import write_manifest
from flowguardian.ops.registry import STATE_DIRECTORY, Registry
from tests.golden.market_run import make_manifest


@pytest.fixture
def going(tmp_path: Path) -> tuple[Path, threading.Thread]:
    run_dir = tmp_path / "run"
    write_manifest(run_dir, make_manifest(speed=60.0))
    # The run lives in one thread: its SQLite connections stay with the thread that opened them.
    live = threading.Event()
    thread = threading.Thread(target=_whole, args=(run_dir, live))
    thread.start()
    # A first start compiles kernels; an operator's command is asked of an engine that is live.
    assert live.wait(120), "the engine did not go live"
    return run_dir, thread


def _whole(run_dir: Path, live: threading.Event) -> None:
    class Telling(EngineProcess):
        async def prepare(self) -> None:
            await super().prepare()
            live.set()

    Telling(run_dir).lifetime()


def _asked(capsys: pytest.CaptureFixture[str], command: str, run_dir: Path) -> dict[str, object]:
    assert app.main([command, str(run_dir), "--json"]) == 0
    answer: dict[str, object] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return answer


def test_a_run_obeys_its_operator(
    going: tuple[Path, threading.Thread], capsys: pytest.CaptureFixture[str]
) -> None:
    run_dir, thread = going
    for command in ("halt", "resume", "flatten", "stop"):
        began = time.monotonic()
        assert _asked(capsys, command, run_dir)["done"] is True
        took = time.monotonic() - began
        assert took < 1.0, f"{command} took effect after {took:.2f} s"
    thread.join(20)
    assert not thread.is_alive()
    rows = [row for _, row in read_rows(run_dir / JOURNAL)]
    assert [row.command.value for row in rows if isinstance(row, CommandReceived)] == [
        "halt",
        "resume",
        "flatten",
        "stop",
    ]
    assert [row.state.value for row in rows if isinstance(row, TradingStateChanged)] == [
        "HALTED",
        "ACTIVE",
        "HALTED",
    ]


@pytest.mark.parametrize("command", ["halt", "resume", "flatten", "stop"])
def test_a_command_that_nobody_is_there_to_take_is_taken_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """A stop that waited would end the next start."""
    monkeypatch.setenv(STATE_DIRECTORY, str(tmp_path / "state"))
    run_dir = tmp_path / "run"
    write_manifest(run_dir, make_manifest())
    assert app.main([command, str(run_dir), "--json"]) == 2
    said = capsys.readouterr()
    assert "taken back" in said.err and json.loads(said.out.splitlines()[-1])["error"]["exit_code"] == 2
    inbox = CommandInbox(run_dir)
    assert inbox.pending() == []
    inbox.close()


def test_a_command_to_an_engine_that_is_being_started_again_waits_and_is_one_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(STATE_DIRECTORY, str(tmp_path / "state"))
    run_dir = tmp_path / "run"
    write_manifest(run_dir, make_manifest())
    entry = Registry().register("supervisor", run_dir.name, account="somewhere")
    first, second = (_asked(capsys, "halt", run_dir) for _ in range(2))
    Registry().unregister(entry)
    assert first == second and first["done"] is False
    inbox = CommandInbox(run_dir)
    assert [asked.command.value for asked in inbox.pending()] == ["halt"]
    inbox.close()
