"""The plan of a notifier: private to its user, written only when wanted, and nothing of it leaks."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from flowguardian.notify import plan as plans
from flowguardian.notify.plan import (
    Plan,
    Redactor,
    channel_names,
    forget,
    keep,
    notify_argv,
    plan_of,
    plan_path,
    read_plan,
    tell_the_rest,
)
from flowguardian.ops.loading import load
from flowguardian.ops.registry import STATE_DIRECTORY
from flowguardian.ops.settings import Settings
from tests.e2e.receivers import TOKEN

URL = f"tgram://{TOKEN}/12345678"


@pytest.fixture(autouse=True)
def _own_state_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(STATE_DIRECTORY, str(tmp_path / "state"))


def settings(*changes: str) -> Settings:
    return load(None, [f"notify.urls=['{URL}']", *changes], env={}).settings


def test_without_an_address_there_is_no_notifier_and_no_plan(tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    assert notify_argv(run_dir, load(None, env={}).settings) is None
    assert read_plan(run_dir) is None
    tell_the_rest(run_dir)


def test_without_the_library_there_is_no_notifier_and_the_configuration_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plans, "find_spec", lambda _name: None)
    assert notify_argv(tmp_path / "run", settings()) is None
    monkeypatch.setattr("flowguardian.ops.loading.find_spec", lambda _name: None)
    (told,) = [line for line in load(None, [f"notify.urls=['{URL}']"], env={}).warnings if "notify" in line]
    assert "apprise is not installed" in told and TOKEN not in told


def test_addresses_stand_in_a_private_file_outside_the_run_and_not_on_the_command_line(
    tmp_path: Path,
) -> None:
    run_dir = tmp_path / "run"
    argv = notify_argv(run_dir, settings("run.language=ko", "notify.max_attempts=3"))
    assert argv == [sys.executable, "-m", "flowguardian.notify", str(run_dir)]
    found = read_plan(run_dir)
    assert found is not None
    assert (found.urls, found.language, found.max_attempts) == ((URL,), "ko", 3)
    assert not run_dir.exists()
    if sys.platform != "win32":
        assert plan_path(run_dir).stat().st_mode & 0o077 == 0
    forget(run_dir)
    assert read_plan(run_dir) is None


def test_every_setting_of_the_notifier_is_in_its_plan(tmp_path: Path) -> None:
    wanted = {
        "incidents": "ERROR", "checkpoints": False, "watchdog_seconds": 7.0, "same_incident_seconds": 8.0,
        "send_timeout_seconds": 9.0, "retry_delay_seconds": 10.0, "longest_retry_delay_seconds": 11.0,
        "max_attempts": 12, "max_per_minute": 13, "max_waiting": 14, "drain_seconds": 15.0,
        "linger_seconds": 16.0,
    }  # fmt: skip
    made = plan_of(
        tmp_path,
        settings(
            *(
                f"notify.{name}={str(value).lower() if value is False else value}"
                for name, value in wanted.items()
            )
        ),
    )
    assert {name: getattr(made, name) for name in wanted} == wanted
    assert set(type(settings().notify).model_fields) == {*wanted, "urls"}


def test_plans_left_behind_are_removed_after_a_month(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    keep(Plan(str(old), "en", (URL,)))
    os.utime(plan_path(old), (1_000, 1_000))
    keep(Plan(str(new), "en", (URL,)))
    assert read_plan(old) is None and read_plan(new) is not None


def test_channels_are_named_without_their_address() -> None:
    names = channel_names((URL, "mailto://me:password@example.com", "no address"))
    assert list(names) == ["1 tgram", "2 mailto", "3 unknown"]


@pytest.mark.parametrize(
    "said",
    [f"POST /bot{TOKEN}/send", f"could not reach {URL}", "chat 12345678 not found", "pass word wrong"],
)
def test_no_piece_of_an_address_stays_in_a_text(said: str) -> None:
    cleaned = Redactor((URL, "mailto://me:pass%20word@example.com"))(said)
    assert not [secret for secret in (TOKEN, "12345678", "word") if secret in cleaned]
    assert "***" in cleaned and Redactor(())(said) == said
