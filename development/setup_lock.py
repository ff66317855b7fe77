"""One set-up of an environment at a time, even when two terminals start dev.py at once.

Rule: the operating system holds the lock, so a process that dies releases it; the file alone means nothing.
"""

from __future__ import annotations

import hashlib
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

WAIT_LIMIT_SECONDS = 1800.0


class SetupLock:
    """The lock of one environment; waiting is said once, and has a limit (TimeoutError)."""

    def __init__(
        self, venv: Path, say: Callable[[str], None], limit_seconds: float = WAIT_LIMIT_SECONDS
    ) -> None:
        name = hashlib.sha256(str(venv).encode("utf-8")).hexdigest()[:16]
        # Beside the environment it would be in the way of removing it, or of git.
        self._path = Path(tempfile.gettempdir()) / f"flowguardian-setup-{name}.lock"
        self._say = say
        self._limit_seconds = limit_seconds

    def __enter__(self) -> None:
        self._file = self._path.open("a+b")
        deadline = time.monotonic() + self._limit_seconds
        if self._try():
            return
        self._say("another dev.py is making this environment; waiting for it")
        while not self._try():
            if time.monotonic() > deadline:
                self._file.close()
                raise TimeoutError(
                    f"another dev.py has been making this environment for {self._limit_seconds:.0f} s; "
                    "end it, then start again."
                )
            time.sleep(0.2)

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def _try(self) -> bool:
        try:
            if sys.platform == "win32":
                self._file.seek(0)
                msvcrt.locking(self._file.fileno(), msvcrt.LK_NBLCK, 1)
            else:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True
