"""Replacing a file so that a reader sees the old or the new one, never a half: the only place of os.replace.

Rule: write beside, then rename; on Windows a virus scanner or indexer may hold the target for a moment, so
the rename is tried again for a bounded time and then fails loudly.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

REPLACE_DEADLINE_SECONDS = 2.5
"""How long a rename is tried: long enough for a scanner, short enough to notice."""
FIRST_PAUSE_SECONDS = 0.005


class ReplaceRefused(OSError):
    """The system kept refusing to put the new file in place."""


def atomic_write(path: Path, data: bytes, *, durable: bool = False) -> None:
    """Put `data` at `path` in one step; `durable` also waits for the disk. Raises OSError, ReplaceRefused."""
    beside = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        with beside.open("wb") as file:
            file.write(data)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        replace(beside, path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise
    if durable:
        fsync_directory(path.parent)


def replace(source: Path, target: Path) -> None:
    """Rename over `target`, with a bounded retry while another process holds it open (Windows)."""
    deadline = time.monotonic() + REPLACE_DEADLINE_SECONDS
    pause = FIRST_PAUSE_SECONDS
    while True:
        try:
            os.replace(source, target)  # noqa: PTH105  (this is its one place)
        except PermissionError as error:
            if time.monotonic() + pause > deadline:
                raise ReplaceRefused(
                    f"{target}: could not be replaced for {REPLACE_DEADLINE_SECONDS} s: {error}. "
                    f"Another program keeps it open; exclude the run folder from virus scans."
                ) from error
            time.sleep(pause)
            pause *= 2
        else:
            return


if sys.platform == "win32":

    def fsync_directory(path: Path) -> None:
        """Nothing to do: NTFS journals renames, and a directory cannot be opened for syncing."""

else:

    def fsync_directory(path: Path) -> None:
        """Make a rename or creation inside `path` survive a power cut."""
        fd = os.open(path, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
