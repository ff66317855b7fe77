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
from flowguardian.journal.journal import JOURNAL
from flowguardian.ops.manifest import MANIFEST
from flowguardian.ops.ops_journal import FILE_NAME as OPS_FILE
from flowguardian.ops.ownership import ENGINE_LOCK, RUN_LOCK, owned
from flowguardian.ops.platform_lock import LockHeld, owner_path
from flowguardian.ops.registry import Registry

LOCKS = (RUN_LOCK, ENGINE_LOCK)
WRITTEN = (MANIFEST, JOURNAL, OPS_FILE)
"""What only the run itself writes; reading a journal already touches the files beside it."""


def chosen(
    lines: Sequence[RunLine],
    living: set[str],
    *,
    keep: int | None,
    older_than_seconds: int | None,
    now_ns: int,
) -> list[RunLine]:
    """The runs that may go: beyond the newest `keep`, older than the age, and none of the `living` ids."""
    beyond = lines[: max(0, len(lines) - keep)] if keep is not None else lines
    found = [line for line in beyond if line.run_id not in living]
    if older_than_seconds is None:
        return found
    before_ns = now_ns - older_than_seconds * 1_000_000_000
    return [line for line in found if last_written_ns(Path(line.run_dir)) < before_ns]


def last_written_ns(place: Path) -> int:
    """When the run wrote its records last."""
    return max((place / name).stat().st_mtime_ns for name in WRITTEN if (place / name).is_file())


def living_ids(registry: Registry | None = None) -> set[str]:
    """Ids of the runs with a living process; one that ended may still be writing its report."""
    return {entry.run_id for entry in (registry or Registry()).living()}


def prune(going: Sequence[RunLine], *, only_shown: bool) -> Pruned:
    """Delete the runs that were chosen; one that somebody took meanwhile is kept and said."""
    deleted: list[RunLine] = []
    kept: list[RunLine] = []
    living = living_ids()
    for line in going:
        why = "a process of it is alive" if line.run_id in living else ""
        if not why and not only_shown:
            why = delete(Path(line.run_dir))
        (kept if why else deleted).append(msgspec.structs.replace(line, why=why))
    return Pruned(only_shown, tuple(deleted), tuple(kept), sum(line.size_bytes for line in deleted))


def delete(place: Path) -> str:
    """Delete a run; "" or why it is still there. While it goes, nobody can start it."""
    if place.is_symlink() or not is_run(place):
        return "not a run folder"
    locks = [place / name for name in LOCKS]
    own = {path.name for lock in locks for path in (lock, owner_path(lock))}
    try:
        with owned(locks, "runs prune"):
            # The manifest goes first: what is left of an interrupted deletion cannot be started any more.
            for path in sorted(place.iterdir(), key=lambda path: (path.name != MANIFEST, path.name)):
                if path.name not in own:
                    _remove(path)
        shutil.rmtree(place)
    except LockHeld as held:
        return str(held)
    except OSError as error:
        return str(error)
    return ""


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()
