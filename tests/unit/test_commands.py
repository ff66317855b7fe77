"""The command file: idempotent to write, never a wait for the engine."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

import pytest

from flowguardian.execution.events import Command
from flowguardian.ops.commands import FILE_NAME, CommandError, CommandInbox, ask, withdraw


def test_a_command_is_pending_until_it_is_acknowledged(tmp_path: Path) -> None:
    inbox = CommandInbox(tmp_path)
    first = ask(tmp_path, Command.HALT, "operator")
    second = ask(tmp_path, Command.FLATTEN, "operator")
    assert [(a.id, a.command, a.by) for a in inbox.pending()] == [
        (first, Command.HALT, "operator"),
        (second, Command.FLATTEN, "operator"),
    ]
    assert [a.id for a in inbox.pending(after_id=first)] == [second]
    inbox.acknowledge(first, 1_000)
    assert [a.id for a in inbox.pending()] == [second]
    inbox.close()
    again = CommandInbox(tmp_path)
    assert [a.id for a in again.pending()] == [second]
    again.close()


def test_the_same_waiting_command_is_one_command_and_a_later_one_is_new(tmp_path: Path) -> None:
    inbox = CommandInbox(tmp_path)
    first = ask(tmp_path, Command.HALT, "operator")
    assert ask(tmp_path, Command.HALT, "dashboard") == first
    inbox.acknowledge(first, 1)
    assert ask(tmp_path, Command.HALT, "operator") > first
    inbox.close()


def test_a_writer_that_stalls_in_its_transaction_delays_the_engine_by_milliseconds(tmp_path: Path) -> None:
    inbox = CommandInbox(tmp_path)
    number = ask(tmp_path, Command.STOP, "operator")
    stalled = sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)
    stalled.execute("BEGIN EXCLUSIVE")
    began = time.monotonic()
    assert [a.id for a in inbox.pending()] == [number], "reading does not wait for a writer"
    inbox.acknowledge(number, 5)
    assert inbox.pending() == [], "done commands do not come back while the file is blocked"
    assert time.monotonic() - began < 0.5
    stalled.execute("ROLLBACK")
    stalled.close()
    inbox.pending()
    check = sqlite3.connect(tmp_path / FILE_NAME)
    assert check.execute("SELECT acknowledged_ns FROM commands").fetchall() == [(5,)]
    check.close()
    inbox.close()


def test_only_the_askers_own_waiting_command_is_withdrawn(tmp_path: Path) -> None:
    assert withdraw(tmp_path, Command.STOP, "supervisor") == 0
    ask(tmp_path, Command.STOP, "supervisor")
    ask(tmp_path, Command.HALT, "operator")
    assert withdraw(tmp_path, Command.STOP, "supervisor") == 1
    inbox = CommandInbox(tmp_path)
    assert [a.command for a in inbox.pending()] == [Command.HALT]
    inbox.close()


def test_a_command_for_a_run_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="no such run"):
        ask(tmp_path / "nowhere", Command.STOP, "operator")


def test_a_command_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    inbox = CommandInbox(tmp_path)
    other = sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)
    other.execute("INSERT INTO commands (command, asked_by, asked_ns) VALUES ('dance', 'x', 1)")
    other.close()
    number = ask(tmp_path, Command.STOP, "operator")
    assert [a.id for a in inbox.pending()] == [number]
    inbox.close()
