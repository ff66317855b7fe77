"""Checks of what this project left running, or left behind: processes and locks.

Rule: only a process that registered itself, found again by PID and start time, is ever ended; a living run of
somebody else is shown and left alone unless the caller decided otherwise.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from flowguardian.ops.check_words import words
from flowguardian.ops.checked import FIXED, OK, RED, Checked, checked
from flowguardian.ops.platform_lock import LockHeld, Owner, clean_stale_owner
from flowguardian.ops.registry import Registered, Registry
from flowguardian.ops.words import Words


def check_processes(registry: Registry, account: str, *, everything: bool, grace_seconds: float) -> Checked:
    """Processes of the same account and orphans are stopped, killed after the grace; others are listed."""
    stale = registry.clean_stale()
    stopped = registry.stop_earlier(account, everything=everything, grace_seconds=grace_seconds)
    left = [entry for entry, how in stopped if not how]
    if left:
        pids = " ".join(str(entry.pid) for entry in left)
        by_hand = f"taskkill /F /T /PID {pids}" if sys.platform == "win32" else f"kill -9 {pids}"
        return checked(RED, "processes_left", names=_names(left), command=by_hand)
    parts = [words(_HOW.get(how, "process_gone"), name=entry.text()) for entry, how in stopped]
    if stale:
        parts.append(words("records_removed", count=len(stale)))
    alone = registry.earlier(everything=True)
    if alone:
        parts.append(words("processes_alone", names=_names(alone)))
    if not parts:
        return checked(OK, "none")
    fix = words("processes_alone_fix") if alone else Words("", "")
    return Checked(FIXED if stopped or stale else OK, _joined(parts), fix)


_HOW = {"stopped": "process_stopped", "killed": "process_killed"}


def _names(entries: Iterable[Registered]) -> str:
    return ", ".join(entry.text() for entry in entries)


def _joined(parts: Sequence[Words]) -> Words:
    return Words("; ".join(part.en for part in parts), "; ".join(part.ko for part in parts))


def check_locks(locks: Sequence[Path], taken_over: Sequence[Words] = ()) -> Checked:
    """Locks a start needs are free; the name a dead owner left is removed.

    `taken_over` says whose locks this process holds already (`ownership.owned`).
    """
    cleaned = list(taken_over)
    for path in locks:
        try:
            owner = clean_stale_owner(path)
        except LockHeld as held:
            return checked(RED, "lock_held", why=held)
        if owner is not None:
            cleaned.append(left_by(path, owner))
    return Checked(FIXED, _joined(cleaned)) if cleaned else checked(OK, "none")


def left_by(path: Path, owner: Owner) -> Words:
    """Who left a lock behind: a process that ended, or one whose PID another program has now."""
    key = "lock_left_reused" if owner.pid_is_reused else "lock_left"
    return words(key, lock=path.name, owner=owner.text())
