"""Checks before a run starts: one line each with a state (ok, fixed, warn, red), its cause and the exact fix.

Rule: what can be put right safely is put right and said (fixed); red stops the start; a check that breaks is
red itself, never skipped.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from flowguardian.journal.ops_events import PreflightChecked
from flowguardian.ops.ops_journal import FILE_NAME as OPS_FILE
from flowguardian.ops.platform_files import replace
from flowguardian.ops.platform_lock import LockHeld, clean_stale_owner
from flowguardian.ops.platform_power import keep_awake_means
from flowguardian.ops.registry import GRACE_SECONDS, Registry

OK, FIXED, WARN, RED = "ok", "fixed", "warn", "red"
FREE_BYTES_NEEDED = 1 << 30
EARLIEST = datetime(2025, 1, 1, tzinfo=UTC)
"""This program did not exist before: an earlier clock is wrong."""
BACKWARDS_TOLERANCE_SECONDS = 5.0
MEASURED_SECONDS = 0.02
CLOCK_RATE_TOLERANCE = 0.5


@dataclass(frozen=True, slots=True)
class PreflightPlan:
    """What is to be checked; `load_config` returns a one-line summary or raises with a message for people."""

    run_dir: Path
    load_config: Callable[[], str]
    registry: Registry
    account: str = ""
    stop_everything: bool = False
    locks: Sequence[Path] = ()
    log_dir: Path | None = None
    """Logs shared by runs (not the run's own), backed up and started anew at a first start."""
    first_start: bool = True
    free_bytes_needed: int = FREE_BYTES_NEEDED
    grace_seconds: float = GRACE_SECONDS
    wall_ns: Callable[[], int] = time.time_ns
    extra: Sequence[tuple[str, Callable[[], Checked]]] = field(default_factory=tuple)
    """Further checks of the caller, by item name."""


@dataclass(frozen=True, slots=True)
class Checked:
    """The outcome of one check."""

    state: str
    detail: str
    fix: str = ""


def run_preflight(
    plan: PreflightPlan, on_line: Callable[[PreflightChecked], None] | None = None
) -> list[PreflightChecked]:
    """Run every check in order, whatever the ones before said, and return their lines."""
    checks: list[tuple[str, Callable[[], Checked]]] = [
        ("config", lambda: check_config(plan)),
        ("earlier processes", lambda: check_earlier_processes(plan)),
        ("stale locks", lambda: check_locks(plan)),
        ("logs", lambda: check_logs(plan)),
        ("free disk", lambda: check_disk(plan)),
        ("time zone and encoding", check_encoding),
        ("clock", lambda: check_clock(plan)),
        ("sleep policy", check_sleep),
        *plan.extra,
    ]
    lines = []
    for item, check in checks:
        try:
            found = check()
        except Exception as error:  # noqa: BLE001  (a broken check is red and says so)
            found = Checked(RED, f"the check broke: {type(error).__name__}: {error}", "Report this line.")
        line = PreflightChecked(plan.wall_ns(), item, found.state, found.detail, found.fix)
        lines.append(line)
        if on_line is not None:
            on_line(line)
    return lines


def is_red(lines: Sequence[PreflightChecked]) -> bool:
    """Whether a line forbids the start."""
    return any(line.state == RED for line in lines)


def check_config(plan: PreflightPlan) -> Checked:
    """The configuration loads; its own message names file, line and key."""
    try:
        return Checked(OK, plan.load_config())
    except Exception as error:  # noqa: BLE001  (whatever the loader says, a person must read it here)
        return Checked(RED, str(error), "Correct what it names; `flowguardian config show` tells.")


def check_earlier_processes(plan: PreflightPlan) -> Checked:
    """Registered processes of this project that this start replaces are stopped; foreign ones never."""
    stale = plan.registry.clean_stale()
    stopped = plan.registry.stop_earlier(
        plan.account, everything=plan.stop_everything, grace_seconds=plan.grace_seconds
    )
    left = [entry for entry, how in stopped if not how]
    if left:
        names = ", ".join(entry.text() for entry in left)
        pids = " ".join(str(entry.pid) for entry in left)
        by_hand = f"taskkill /F /T /PID {pids}" if sys.platform == "win32" else f"kill -9 {pids}"
        return Checked(RED, f"could not be stopped: {names}", f"End it by hand: {by_hand}")
    if stopped or stale:
        done = [f"{entry.text()} {how}" for entry, how in stopped]
        if stale:
            done.append(f"{len(stale)} records of ended processes removed")
        return Checked(FIXED, "; ".join(done))
    return Checked(OK, "none")


def check_locks(plan: PreflightPlan) -> Checked:
    """Locks a start needs are free; the name a dead owner left is removed."""
    cleaned = []
    for path in plan.locks:
        try:
            owner = clean_stale_owner(path)
        except LockHeld as held:
            fix = "Wait for that process or end it with `flowguardian stop`."
            return Checked(RED, str(held), fix)
        if owner is not None:
            cleaned.append(f"{path.name} left by {owner.text()}")
    return Checked(FIXED, "; ".join(cleaned)) if cleaned else Checked(OK, "none")


def check_logs(plan: PreflightPlan) -> Checked:
    """A first start backs up the shared logs and begins new ones; a resume appends."""
    if not plan.first_start:
        return Checked(OK, "this run goes on: logs are appended to")
    if plan.log_dir is None or not plan.log_dir.is_dir():
        return Checked(OK, "no earlier logs")
    # What this process writes itself belongs to the start and must be read, not moved away.
    own = f"-{os.getpid()}"
    old = [path for path in plan.log_dir.iterdir() if path.is_file() and not path.stem.endswith(own)]
    if not old:
        return Checked(OK, "no earlier logs")
    moment = datetime.fromtimestamp(plan.wall_ns() / 1e9, UTC)
    backup = plan.log_dir / "backup" / f"{moment:%Y%m%dT%H%M%S_%fZ}"
    backup.mkdir(parents=True)
    for path in old:
        replace(path, backup / path.name)
    return Checked(FIXED, f"{len(old)} log files moved to {backup.relative_to(plan.log_dir)}")


def check_disk(plan: PreflightPlan) -> Checked:
    """The run directory can be written and has room."""
    plan.run_dir.mkdir(parents=True, exist_ok=True)
    probe = plan.run_dir / f".write-{os.getpid()}"
    try:
        probe.write_bytes(b"x")
        probe.unlink()
    except OSError as error:
        return Checked(RED, f"{plan.run_dir}: not writable: {error}", "Choose another folder for the runs.")
    free = shutil.disk_usage(plan.run_dir).free
    detail = f"{free / 1e9:.1f} GB free, {plan.free_bytes_needed / 1e9:.1f} GB needed"
    if free < plan.free_bytes_needed:
        return Checked(RED, detail, "Delete old runs (`runs/`) or choose a folder on a larger disk.")
    if free < 2 * plan.free_bytes_needed:
        return Checked(WARN, detail, "Enough to start; make room before a longer run.")
    return Checked(OK, detail)


def check_encoding() -> Checked:
    """Time zone and encodings are shown; text that cannot be printed is found here, not at hour ten."""
    local = datetime.now(UTC).astimezone()
    names = {
        "stdout": getattr(sys.stdout, "encoding", None) or "none",
        "stderr": getattr(sys.stderr, "encoding", None) or "none",
        "files": sys.getfilesystemencoding(),
    }
    shown = ", ".join(f"{name} {encoding}" for name, encoding in names.items())
    detail = f"time zone {local.tzname()} (UTC{local:%z}), stored times are UTC; {shown}"
    other = [name for name, encoding in names.items() if encoding not in ("none", "utf-8", "utf8", "UTF-8")]
    if other:
        return Checked(WARN, detail, f"Set PYTHONUTF8=1 in the environment ({', '.join(other)} not UTF-8).")
    return Checked(OK, detail)


def check_clock(plan: PreflightPlan) -> Checked:
    """The wall clock is plausible, not behind the run's own records, and goes at the monotonic rate."""
    now_ns = plan.wall_ns()
    now = datetime.fromtimestamp(now_ns / 1e9, UTC)
    command = "w32tm /resync" if sys.platform == "win32" else "timedatectl set-ntp true"
    fix = f"Set the clock: `{command}`."
    if now < EARLIEST:
        return Checked(RED, f"the clock shows {now:%Y-%m-%d %H:%M:%S} UTC", fix)
    records = plan.run_dir / OPS_FILE
    if records.is_file():
        ahead = records.stat().st_mtime - now_ns / 1e9
        if ahead > BACKWARDS_TOLERANCE_SECONDS:
            return Checked(WARN, f"the clock is {ahead:.0f} s behind this run's last record", fix)
    wall, mono = plan.wall_ns(), time.monotonic_ns()
    time.sleep(MEASURED_SECONDS)
    rate = (plan.wall_ns() - wall) / (time.monotonic_ns() - mono)
    if abs(rate - 1.0) > CLOCK_RATE_TOLERANCE:
        return Checked(WARN, f"the clock moved at {rate:.2f} times the monotonic rate: it is being set", fix)
    return Checked(OK, f"{now:%Y-%m-%d %H:%M:%S} UTC")


def check_sleep() -> Checked:
    """Whether this host can be kept awake during the run."""
    means = keep_awake_means()
    if means:
        return Checked(OK, f"kept awake by {means}")
    fix = "Switch off sleep in the system's power settings; a sleep during the run is recorded as an outage."
    return Checked(WARN, "this host offers no way to be kept awake", fix)
