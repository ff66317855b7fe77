"""One writer per account and per run directory, by locks of the operating system.

Rule: all of them or none; who holds one is named, who left one behind is named too, and a lock whose owner
died is taken over without asking, because the system gave it back already.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from flowguardian.ops.checks_processes import left_by
from flowguardian.ops.platform_lock import FileLock, read_owner
from flowguardian.ops.registry import state_directory
from flowguardian.ops.words import Words

RUN_LOCK, ENGINE_LOCK = "run.lock", "engine.lock"


class Ownership(NamedTuple):
    """What is held, and who held it before without giving it back."""

    locks: tuple[Path, ...]
    taken_over: tuple[Words, ...]


def account_lock(account: str, directory: Path | None = None) -> Path:
    """The lock of an account: one per user and account, whatever run directory a start names."""
    # The name is for people, the hash keeps two accounts of similar names apart.
    name = re.sub(r"[^A-Za-z0-9]+", "-", account).strip("-")[-40:]
    digest = hashlib.sha256(account.encode()).hexdigest()[:16]
    return (directory or state_directory()) / "accounts" / f"{name}-{digest}.lock"


def locks_of(run_dir: Path, account: str, directory: Path | None = None) -> tuple[Path, ...]:
    """The locks of a run, in the order in which they are taken."""
    return (account_lock(account, directory), run_dir / RUN_LOCK)


def left_behind(run_dirs: Iterable[Path], directory: Path | None = None) -> list[Path]:
    """Locks of accounts and runs that still carry the name of an owner who is dead."""
    accounts = sorted(((directory or state_directory()) / "accounts").glob("*.lock"))
    locks = [*accounts, *(run_dir / name for run_dir in run_dirs for name in (RUN_LOCK, ENGINE_LOCK))]
    return [path for path in locks if (owner := read_owner(path)) is not None and not owner.alive]


@contextmanager
def owned(locks: Sequence[Path], role: str) -> Iterator[Ownership]:
    """While inside, this process owns all of them; raises LockHeld, naming the owner, when one is not free.

    Nothing is held after a refusal, and the files of the present owner are not touched.
    """
    with ExitStack() as held:
        taken_over = []
        for path in locks:
            lock = held.enter_context(FileLock(path, role))
            if (before := lock.taken_over) is not None:
                taken_over.append(left_by(path, before))
        yield Ownership(tuple(locks), tuple(taken_over))
