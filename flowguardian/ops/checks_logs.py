"""Check of the logs: those of earlier runs are put aside, so that what is in the folder is of this run.

Rule: a log is moved, never deleted and never cut; what this process itself writes stays where it is.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

from flowguardian.ops.checked import FIXED, OK, Checked, checked
from flowguardian.ops.platform_files import replace


def check_logs(log_dir: Path | None, *, first_start: bool, now_ns: int) -> Checked:
    """A first start backs up the shared logs and begins new ones; a resume appends."""
    if not first_start:
        return checked(OK, "logs_go_on")
    if log_dir is None or not log_dir.is_dir():
        return checked(OK, "logs_none")
    # What this process writes itself belongs to the start and must be read, not moved away.
    own = f"-{os.getpid()}"
    old = [path for path in log_dir.iterdir() if path.is_file() and not path.stem.endswith(own)]
    if not old:
        return checked(OK, "logs_none")
    moment = datetime.fromtimestamp(now_ns / 1e9, UTC)
    backup = log_dir / "backup" / f"{moment:%Y%m%dT%H%M%S_%fZ}"
    backup.mkdir(parents=True)
    size = sum(path.stat().st_size for path in old)
    for path in old:
        replace(path, backup / path.name)
    where = backup.relative_to(log_dir).as_posix()
    return checked(FIXED, "logs_moved", count=len(old), size=f"{size / 1e6:.1f}", where=where)
