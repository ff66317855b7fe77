"""Preflight: each check says its state, its cause and its fix; a broken check is red."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from flowguardian.journal.ops_events import PreflightChecked
from flowguardian.ops.platform_lock import FileLock, Owner, owner_path
from flowguardian.ops.platform_process import start_child
from flowguardian.ops.preflight import Checked, PreflightPlan, is_red, run_preflight
from flowguardian.ops.registry import Registry

DEADLINE_SECONDS = 20.0


@pytest.fixture
def plan(tmp_path: Path) -> PreflightPlan:
    return PreflightPlan(
        run_dir=tmp_path / "run",
        load_config=lambda: "a.yml, hash 12ab",
        registry=Registry(tmp_path / "state"),
        account="paper",
        log_dir=tmp_path / "logs",
        free_bytes_needed=1,
        grace_seconds=5.0,
    )


def states(plan: PreflightPlan) -> dict[str, str]:
    return {line.item: line.state for line in run_preflight(plan)}


def test_a_healthy_machine_has_no_red_line_and_every_line_is_told(plan: PreflightPlan) -> None:
    told: list[PreflightChecked] = []
    lines = run_preflight(plan, told.append)
    assert told == lines and not is_red(lines)
    assert [line.item for line in lines] == [
        "config", "earlier processes", "stale locks", "logs", "free disk", "free memory", "time zone",
        "encoding", "clock", "sleep policy",
    ]  # fmt: skip
    assert all(line.detail and line.detail_ko for line in lines)


def test_a_config_that_does_not_load_is_red_with_its_own_message(plan: PreflightPlan) -> None:
    def broken() -> str:
        raise ValueError("a.yml:7: risk.max_positons: unknown key, did you mean max_positions?")

    line = run_preflight(replace(plan, load_config=broken))[0]
    assert line.state == "red" and "did you mean" in line.detail and line.fix


def test_an_earlier_process_of_the_account_is_stopped_and_said(plan: PreflightPlan) -> None:
    child = start_child([sys.executable, "-c", "print('up', flush=True); input()"])
    try:
        assert child.stdout is not None and child.stdout.readline()
        plan.registry.register("supervisor", "run-0", account="paper", pid=child.pid)
        line = next(line for line in run_preflight(plan) if line.item == "earlier processes")
        assert line.state == "fixed" and f"PID {child.pid}" in line.detail and "stopped" in line.detail
    finally:
        child.kill()
        child.communicate(timeout=DEADLINE_SECONDS)


def test_a_held_lock_is_red_and_a_dead_owners_name_is_removed(plan: PreflightPlan, tmp_path: Path) -> None:
    path = tmp_path / "account.lock"
    plan = replace(plan, locks=(path,))
    with FileLock(path):
        line = next(line for line in run_preflight(plan) if line.item == "stale locks")
        assert line.state == "red" and f"PID {os.getpid()}" in line.detail
    owner_path(path).write_text(f'{{"pid": {os.getpid()}, "start_time": 5.0}}', encoding="utf-8")
    line = next(line for line in run_preflight(plan) if line.item == "stale locks")
    assert line.state == "fixed" and Owner(os.getpid(), 5.0).text() in line.detail
    assert states(plan)["stale locks"] == "ok"


def test_logs_are_backed_up_at_the_first_start_only(plan: PreflightPlan) -> None:
    assert plan.log_dir is not None
    plan.log_dir.mkdir()
    (plan.log_dir / "old.jsonl").write_text("한글\n", encoding="utf-8")
    assert states(replace(plan, first_start=False))["logs"] == "ok"
    assert (plan.log_dir / "old.jsonl").exists(), "a resume appends"
    assert states(plan)["logs"] == "fixed"
    (kept,) = (plan.log_dir / "backup").rglob("old.jsonl")
    assert kept.read_text(encoding="utf-8") == "한글\n"
    assert states(plan)["logs"] == "ok"


def test_too_little_disk_is_red_and_names_the_numbers(plan: PreflightPlan) -> None:
    line = next(
        line for line in run_preflight(replace(plan, free_bytes_needed=10**18)) if line.item == "free disk"
    )
    assert line.state == "red" and "GB free" in line.detail and "Delete" in line.fix
    assert "여유" in line.detail_ko and "지우" in line.fix_ko


@pytest.mark.parametrize(("moment", "state"), [(0, "red"), (1_735_800_000, "warn")])
def test_a_clock_before_this_program_or_behind_its_records_is_seen(
    plan: PreflightPlan, moment: int, state: str
) -> None:
    plan.run_dir.mkdir()
    (plan.run_dir / "ops.db").touch()
    assert states(replace(plan, wall_ns=lambda: moment * 10**9))["clock"] == state


def test_a_check_that_breaks_is_red_and_the_others_still_run(plan: PreflightPlan) -> None:
    def broken() -> Checked:
        raise RuntimeError("no bus")

    lines = run_preflight(replace(plan, extra=(("bus", broken), ("more", lambda: Checked("ok", "fine")))))
    assert [line.state for line in lines[-2:]] == ["red", "ok"]
    assert "no bus" in lines[-2].detail and is_red(lines)


def test_services_come_before_what_may_need_them_and_the_namespace_has_its_line(plan: PreflightPlan) -> None:
    services = (("server a", lambda: Checked("ok", "up")),)
    lines = run_preflight(replace(plan, services=services, clean_namespace=lambda: 12))
    items = [line.item for line in lines]
    assert items.index("server a") < items.index("earlier processes") < items.index("redis namespace")
    assert _of(lines, "redis namespace") == ("fixed", "12 own keys removed")
    assert _of(run_preflight(replace(plan, clean_namespace=lambda: 0)), "redis namespace")[0] == "ok"


def test_a_namespace_that_cannot_be_cleaned_is_red_with_the_cause(plan: PreflightPlan) -> None:
    def broken() -> int:
        raise ConnectionRefusedError("no Redis")

    lines = run_preflight(replace(plan, clean_namespace=broken))
    assert _of(lines, "redis namespace") == ("red", "the check broke: ConnectionRefusedError: no Redis")


def test_a_later_check_may_exist_only_because_an_earlier_one_was_green(plan: PreflightPlan) -> None:
    seen: list[str] = []

    def first() -> Checked:
        seen.append("asked")
        return Checked("ok", "fine")

    def chain() -> Iterator[tuple[str, Callable[[], Checked]]]:
        yield "first", first
        for word in seen:
            yield word, lambda: Checked("ok", "fine")

    assert [line.item for line in run_preflight(replace(plan, extra=chain()))][-2:] == ["first", "asked"]


def _of(lines: list[PreflightChecked], item: str) -> tuple[str, str]:
    return next((line.state, line.detail) for line in lines if line.item == item)
