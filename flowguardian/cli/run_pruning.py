"""`runs prune`: which runs go, and how they are deleted.

Rule: a run that anybody holds (a living process, a lock) is never touched, and only folders that are runs are
ever deleted. Both conditions, when both are given, have to hold.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import msgspec

from flowguardian.cli.answers import Pruned, RunLine
from flowguardian.cli.locate import is_run
from flowguardian.cli.run_list import list_runs
from flowguardian.ops.ownership import ENGINE_LOCK, RUN_LOCK, owned
from flowguardian.ops.platform_lock import LockHeld, owner_path
from flowguardian.ops.registry import Registry

BUSY = ("running", "starting")
LOCKS = (RUN_LOCK, ENGINE_LOCK)


def chosen(
    lines: Sequence[RunLine], *, keep: int | None, older_than_seconds: int | None, now_ns: int
) -> list[RunLine]:
    """The runs that may go: beyond the newest `keep`, older than the age, and never a living one."""
    beyond = lines[: max(0, len(lines) - keep)] if keep is not None else lines
    found = [line for line in beyond if line.state not in BUSY]
    if older_than_seconds is None:
        return found
    before_ns = now_ns - older_than_seconds * 1_000_000_000
    return [line for line in found if last_written_ns(Path(line.run_dir)) < before_ns]


def last_written_ns(place: Path) -> int:
    """When anything of a run was written last."""
    return max((path.lstat().st_mtime_ns for path in place.rglob("*")), default=place.stat().st_mtime_ns)


def prune(runs: Path, going: Sequence[RunLine], *, dry_run: bool, registry: Registry | None = None) -> Pruned:
    """Delete the runs that were chosen; one that somebody took meanwhile is kept and said."""
    deleted: list[RunLine] = []
    busy = {line.run_id for line in list_runs(runs, registry).runs if line.state in BUSY}
    kept: list[RunLine] = []
    for line in going:
        why = "a process of it is alive" if line.run_id in busy else ""
        if not why and not dry_run:
            why = delete(Path(line.run_dir))
        (kept if why else deleted).append(msgspec.structs.replace(line, why=why))
    return Pruned(dry_run, tuple(deleted), tuple(kept), sum(line.size_bytes for line in deleted))


def delete(place: Path) -> str:
    """Delete a run; "" or why it is still there. While it goes, nobody can start it."""
    if place.is_symlink() or not is_run(place):
        return "not a run folder"
    locks = [place / name for name in LOCKS]
    own = {path.name for lock in locks for path in (lock, owner_path(lock))}
    try:
        with owned(locks, "runs prune"):
            # The marks go first: what is left of an interrupted deletion is no run any more.
            for path in sorted(place.iterdir(), key=lambda path: (not _is_mark(path), path.name)):
                if path.name in own:
                    continue
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                else:
                    path.unlink()
        shutil.rmtree(place)
    except LockHeld as held:
        return str(held)
    except OSError as error:
        return str(error)
    return ""


def _is_mark(path: Path) -> bool:
    return path.name == "run.json"
