"""Checks before a run starts: one line each with a state (ok, fixed, warn, red), its cause and the exact fix.

Rule: what can be put right safely is put right and said (fixed); red stops the start; a check that breaks is
red itself, never skipped.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from flowguardian.journal.ops_events import PreflightChecked
from flowguardian.journal.views import StoreTrouble
from flowguardian.ops.check_words import words
from flowguardian.ops.checked import FIXED, OK, RED, WARN, Checked, checked
from flowguardian.ops.checks_clock import check_clock
from flowguardian.ops.checks_host import (
    check_disk,
    check_encoding,
    check_memory,
    check_sleep,
    check_time_zone,
)
from flowguardian.ops.checks_logs import check_logs
from flowguardian.ops.checks_processes import check_locks, check_processes
from flowguardian.ops.registry import GRACE_SECONDS, Registry
from flowguardian.ops.words import Words

__all__ = ["FIXED", "OK", "RED", "WARN", "Checked", "PreflightPlan", "is_red", "run_preflight"]

FREE_BYTES_NEEDED = 1 << 30
Check = tuple[str, Callable[[], Checked]]
"""An item and what looks at it."""


@dataclass(frozen=True, slots=True)
class PreflightPlan:
    """What is to be checked; `load_config` returns a one-line summary or raises with a message for people."""

    run_dir: Path
    load_config: Callable[[], str]
    registry: Registry
    account: str = ""
    stop_everything: bool = False
    """Also living runs of other accounts are stopped: somebody decided that."""
    locks: Sequence[Path] = ()
    taken_over: Sequence[Words] = ()
    """From whom this process took locks over that it holds already, as `ownership.owned` says."""
    log_dir: Path | None = None
    """Logs shared by runs (not the run's own), backed up and started anew at a first start."""
    first_start: bool = True
    free_bytes_needed: int = FREE_BYTES_NEEDED
    free_memory_needed: int = 0
    grace_seconds: float = GRACE_SECONDS
    wall_ns: Callable[[], int] = time.time_ns
    services: Sequence[Check] = ()
    """Containers and servers: they come first, as other checks may need them."""
    clean_namespace: Callable[[], int] | None = None
    """Empties this project's own namespace in Redis and returns how many keys that were; None: not used."""
    extra: Iterable[Check] = field(default_factory=tuple)
    """Further checks of the caller; each is run before the next one is taken, so a later one may need it."""


def run_preflight(
    plan: PreflightPlan, on_line: Callable[[PreflightChecked], None] | None = None
) -> list[PreflightChecked]:
    """Run every check in order, whatever the ones before said, and return their lines."""
    lines = []
    for item, check in _checks(plan):
        line = _line(plan, item, _looked(check))
        lines.append(line)
        if on_line is not None:
            on_line(line)
    return lines


def is_red(lines: Sequence[PreflightChecked]) -> bool:
    """Whether a line forbids the start."""
    return any(line.state == RED for line in lines)


def _checks(plan: PreflightPlan) -> Iterator[Check]:
    yield "config", lambda: check_config(plan.load_config)
    yield from plan.services
    yield (
        "earlier processes",
        lambda: check_processes(
            plan.registry, plan.account, everything=plan.stop_everything, grace_seconds=plan.grace_seconds
        ),
    )
    yield "stale locks", lambda: check_locks(plan.locks, plan.taken_over)
    if (clean := plan.clean_namespace) is not None:
        yield "redis namespace", lambda: check_namespace(clean)
    yield (
        "logs",
        lambda: check_logs(plan.log_dir, first_start=plan.first_start, now_ns=plan.wall_ns()),
    )
    yield "free disk", lambda: check_disk(plan.run_dir, plan.free_bytes_needed)
    yield "free memory", lambda: check_memory(plan.free_memory_needed)
    yield "time zone", check_time_zone
    yield "encoding", check_encoding
    yield "clock", lambda: check_clock(plan.run_dir, plan.wall_ns)
    yield "sleep policy", check_sleep
    yield from plan.extra


def _looked(check: Callable[[], Checked]) -> Checked:
    try:
        return check()
    except Exception as error:  # noqa: BLE001  (a broken check is red and says so)
        return checked(RED, "check_broke", error=f"{type(error).__name__}: {error}")


def _line(plan: PreflightPlan, item: str, found: Checked) -> PreflightChecked:
    detail, fix = found.said, found.remedy
    return PreflightChecked(plan.wall_ns(), item, found.state, detail.en, fix.en, detail.ko, fix.ko)


def check_config(load_config: Callable[[], str]) -> Checked:
    """The configuration loads; its own message names file, line and key."""
    try:
        return Checked(OK, load_config())
    except Exception as error:  # noqa: BLE001  (whatever the loader says, a person must read it here)
        return Checked(RED, str(error), words("config_fix"))


def check_namespace(clean: Callable[[], int]) -> Checked:
    """What an earlier run left in this project's own namespace is removed; nothing else is looked at."""
    try:
        count = clean()
    except StoreTrouble as trouble:
        # The views catch up with a store that comes back; no start waits for it.
        return checked(WARN, "namespace_away", why=str(trouble))
    return checked(FIXED, "namespace_cleaned", count=count) if count else checked(OK, "namespace_empty")
