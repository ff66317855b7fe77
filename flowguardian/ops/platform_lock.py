"""A lock the operating system releases when its owner dies: fcntl on POSIX, msvcrt on Windows.

Rule: the lock is the locked file itself, never the text beside it; that text (PID and start time) only names
the owner to people, so a stale one can mislead nobody but a reader.
"""

from __future__ import annotations

import contextlib
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from flowguardian.ops.platform_files import atomic_write
from flowguardian.ops.platform_process import is_alive, start_time_of

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl


class LockError(Exception):
    """A lock could not be taken."""


class LockHeld(LockError):
    """Another living process holds the lock."""

    def __init__(self, path: Path, owner: Owner | None) -> None:
        self.path, self.owner = path, owner
        who = owner.text() if owner else "a process that did not write its name"
        super().__init__(
            f"{path.name}: already in use by {who}. Two processes on {path.parent} would both write it. "
            f"Wait for it to end, or end it with `flowguardian stop`, then start again."
        )


class Owner(msgspec.Struct, frozen=True):
    """Who holds a lock; `role` is what it does there, "" when it did not say."""

    pid: int
    start_time: float
    role: str = ""

    @property
    def alive(self) -> bool:
        """Whether exactly this process still runs."""
        return is_alive(self.pid, self.start_time)

    @property
    def pid_is_reused(self) -> bool:
        """Whether the owner ended and its PID belongs to another process now."""
        return not self.alive and start_time_of(self.pid) is not None

    def text(self) -> str:
        """The owner for people: role, PID and start time in UTC."""
        started = datetime.fromtimestamp(self.start_time, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        return f"{self.role} PID {self.pid} (started {started})".lstrip()


def owner_path(path: Path) -> Path:
    """Where the owner of a lock is written: beside, because a locked Windows file cannot be read."""
    return path.with_name(path.name + ".owner")


def read_owner(path: Path) -> Owner | None:
    """The written owner of the lock at `path`; None without one or when the text is unreadable."""
    try:
        return msgspec.json.decode(owner_path(path).read_bytes(), type=Owner)
    except (OSError, msgspec.DecodeError):
        return None


class FileLock:
    """An exclusive lock on a file, held until `release` or the end of this process."""

    def __init__(self, path: Path, role: str = "") -> None:
        self.path = path
        self.taken_over: Owner | None = None
        """Who held the lock before without giving it back: it was killed, or the host went down."""
        self._role = role
        self._fd: int | None = None

    def acquire(self) -> None:
        """Take the lock at once or raise LockHeld naming the owner."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        # A descriptor opened by Python is not inherited, so no child can keep the lock alive.
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            _lock(fd)
        except OSError:
            os.close(fd)
            # The name may still be that of an owner who died a moment ago: it must accuse nobody.
            owner = read_owner(self.path)
            raise LockHeld(self.path, owner if owner is not None and owner.alive else None) from None
        self._fd = fd
        self.taken_over = read_owner(self.path)
        me = Owner(os.getpid(), start_time_of(os.getpid()) or 0.0, self._role)
        atomic_write(owner_path(self.path), msgspec.json.encode(me))

    def release(self) -> None:
        """Give the lock back; the file stays, because deleting a lock file invites two owners."""
        if self._fd is None:
            return
        owner_path(self.path).unlink(missing_ok=True)
        # Closing drops the lock even where unlocking is refused.
        with contextlib.suppress(OSError):
            _unlock(self._fd)
        os.close(self._fd)
        self._fd = None

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def clean_stale_owner(path: Path) -> Owner | None:
    """Remove the name a dead owner left at the lock `path` and return it; None when there was none.

    Raises LockHeld when the lock is really held.
    """
    if read_owner(path) is None:
        return None
    lock = FileLock(path)
    lock.acquire()
    lock.release()
    left = lock.taken_over
    return None if left is None or left.alive else left


if sys.platform == "win32":

    def _lock(fd: int) -> None:
        os.lseek(fd, 0, os.SEEK_SET)
        msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)

    def _unlock(fd: int) -> None:
        os.lseek(fd, 0, os.SEEK_SET)
        msvcrt.locking(fd, msvcrt.LK_UNLCK, 1)

else:

    def _lock(fd: int) -> None:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _unlock(fd: int) -> None:
        fcntl.flock(fd, fcntl.LOCK_UN)
