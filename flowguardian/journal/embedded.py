"""Servers from wheels: a Postgres and a Valkey of this run alone, for machines where nobody installed one.

Rule: a server is a child of this process, started and ended by its own handle; it listens on a Unix socket in
a private folder (Windows: loopback, a free port), with a random password. What it holds can be rebuilt.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import msgspec

from flowguardian.journal.views import StoreTrouble
from flowguardian.ops.platform_files import atomic_write
from flowguardian.ops.platform_process import ending_with_starter, kill_tree, start_time_of
from flowguardian.ops.platform_signals import FAST_STOP

START_SECONDS, STOP_SECONDS, LOOK_SECONDS = 30.0, 10.0, 0.05
NOBODY = "nobody"
"""Whom Postgres runs as when this process is root, which it refuses to be."""
KEPT_VARIABLES = ("PATH", "SYSTEMROOT", "TEMP", "TMP", "TMPDIR")

Adopt = Callable[[str, int], Callable[[], None]]
"""Registers a process under a name; what it returns takes that back."""


class Account(NamedTuple):
    """A user of the system and its group."""

    uid: int
    gid: int


class _Left(msgspec.Struct):
    """What a server leaves when its starter is killed: the process and its folder."""

    pid: int
    start_time: float
    folder: str


def wheel_folder(package: str) -> Path | None:
    """Where an installed wheel lies, without importing it; None where there is none."""
    spec = find_spec(package)
    places = list(spec.submodule_search_locations or ()) if spec is not None else []
    return Path(places[0]) if places else None


def other_account() -> Account | None:
    """The account for servers that refuse root; None where this process is not root."""
    if sys.platform == "win32" or os.geteuid() != 0:
        return None
    import pwd

    try:
        found = pwd.getpwnam(NOBODY)
    except KeyError:
        raise StoreTrouble(f"this is root, and there is no user {NOBODY} to run a server as") from None
    return Account(found.pw_uid, found.pw_gid)


def is_reachable(path: Path) -> bool:
    """Whether any account of this system may pass to `path`."""
    return all(parent.stat().st_mode & 0o001 for parent in path.resolve().parents)


class Server:
    """One server process with its private folder, started again when it ended."""

    def __init__(self, name: str, stores: Path, log: Path, adopt: Adopt) -> None:
        self.name, self.stores = name, stores
        self.account: Account | None = None
        """Whom it runs as; None = as this process."""
        self.password = secrets.token_urlsafe(24)
        self._log, self._adopt = log, adopt
        self._left = stores / f"{name}.process.json"
        self._process: subprocess.Popen[bytes] | None = None
        self._release: Callable[[], None] | None = None
        self._folder: Path | None = None

    @property
    def folder(self) -> Path:
        """A short private folder for sockets: their paths have at most about a hundred bytes."""
        if self._folder is None:
            self.stores.mkdir(parents=True, exist_ok=True)
            self._end_leftover()
            self._folder = Path(tempfile.mkdtemp(prefix="fg-"))
            self.give(self._folder)
        return self._folder

    @property
    def pid(self) -> int:
        """The server's process, 0 while there is none."""
        return self._process.pid if self.runs and self._process is not None else 0

    @property
    def runs(self) -> bool:
        """Whether the process lives; it may be frozen all the same."""
        return self._process is not None and self._process.poll() is None

    def give(self, path: Path) -> None:
        """Let the server's account own a path."""
        if sys.platform != "win32" and self.account is not None:
            os.chown(path, self.account.uid, self.account.gid)

    def start(self, argv: Sequence[str | Path], *, ends_by: int, stdin: bytes = b"") -> None:
        """Start the process; its output goes to its own log. Raises StoreTrouble.

        On Linux it gets the signal `ends_by` when the thread that calls this ends.
        """
        self._forget()
        self._log.parent.mkdir(parents=True, exist_ok=True)
        try:
            with self._log.open("ab") as log:
                self._process = self._open(argv, log.fileno(), subprocess.PIPE, ends_by=ends_by)
        except OSError as error:
            raise StoreTrouble(f"{self.name} could not be started: {error}") from error
        pid = self._process.pid
        left = _Left(pid, start_time_of(pid) or 0.0, str(self.folder))
        atomic_write(self._left, msgspec.json.encode(left))
        self._release = self._adopt(self.name, pid)
        if self._process.stdin is not None:
            with contextlib.suppress(OSError):
                self._process.stdin.write(stdin)
                self._process.stdin.close()

    def run_to_end(self, argv: Sequence[str | Path]) -> None:
        """Run a tool of the server with its account; raises StoreTrouble with its last line."""
        try:
            with self._log.open("ab") as log:
                done = self._open(argv, log.fileno(), subprocess.DEVNULL).wait(START_SECONDS)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise StoreTrouble(f"{Path(argv[0]).name} of {self.name}: {error}") from error
        if done:
            raise StoreTrouble(f"{Path(argv[0]).name} ended with {done}; {self._log.name} says why")

    def wait_for(self, answers: Callable[[], bool]) -> None:
        """Wait until the server answers; raises StoreTrouble when it ends or takes too long."""
        deadline = time.monotonic() + START_SECONDS
        while not answers():
            if not self.runs:
                code = self._process.returncode if self._process is not None else None
                self._forget()
                raise StoreTrouble(f"{self.name} ended with {code}; {self._log.name} says why")
            if time.monotonic() > deadline:
                raise StoreTrouble(f"{self.name} did not answer within {START_SECONDS:.0f} s")
            time.sleep(LOOK_SECONDS)

    def stop(self, ask: Callable[[subprocess.Popen[bytes]], None]) -> None:
        """End the process, first by asking, and remove its folder."""
        process = self._process
        if process is not None and process.poll() is None:
            ask(process)
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                kill_tree(process.pid, start_time_of(process.pid) or 0.0)
                process.kill()
                process.wait(STOP_SECONDS)
        self._forget()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None
        with contextlib.suppress(OSError):
            # What cannot be removed names a process that is gone, which the next one sees.
            self._left.unlink(missing_ok=True)

    def _forget(self) -> None:
        if self._release is not None:
            self._release()
        self._process = self._release = None

    def _open(
        self, argv: Sequence[str | Path], log: int, stdin: int, *, ends_by: int = 0
    ) -> subprocess.Popen[bytes]:
        kept = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
        environment = {**kept, "LC_ALL": "C", "TZ": "UTC"}
        words, account = [str(word) for word in argv], self.account
        if sys.platform == "win32":
            return subprocess.Popen(
                words, cwd=self.folder, env=environment, stdin=stdin, stdout=log, stderr=log,
                creationflags=subprocess.CREATE_NEW_PROCESS_GROUP,
            )  # fmt: skip
        if ends_by and (launched := ending_with_starter(words, ends_by, account)) is not None:
            words, account = launched, None
        # A group of its own: a Ctrl-C in the terminal must not end it before the last rows are in. It stays
        # in the session, so that whoever ends this process finds it.
        return subprocess.Popen(
            words, cwd=self.folder, env=environment, stdin=stdin, stdout=log, stderr=log,
            process_group=0, user=account.uid if account else None, group=account.gid if account else None,
            extra_groups=[] if account else None,
        )  # fmt: skip

    def _end_leftover(self) -> None:
        """End the server that a killed observer of this run left, recognised by PID and start time."""
        try:
            left = msgspec.json.decode(self._left.read_bytes(), type=_Left)
        except (OSError, msgspec.DecodeError):
            return
        kill_tree(left.pid, left.start_time)
        folder = Path(left.folder)
        if folder.name.startswith("fg-"):
            shutil.rmtree(folder, ignore_errors=True)
        self._left.unlink(missing_ok=True)


def ask_fast(process: subprocess.Popen[bytes]) -> None:
    """Ask to end without waiting for clients."""
    with contextlib.suppress(OSError):
        process.send_signal(FAST_STOP)


def ask_to_end(process: subprocess.Popen[bytes]) -> None:
    """Ask to end in order."""
    with contextlib.suppress(OSError):
        process.terminate()
