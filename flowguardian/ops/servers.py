"""Whether a Postgres or Redis server answers, asked in its own protocol without logging in.

Rule: nothing is written and no password is sent; every wait has a limit. A server tells its version before a
login only when it wants none, and then it is shown.
"""

from __future__ import annotations

import re
import socket
import struct
from typing import NamedTuple
from urllib.parse import urlsplit

PORTS = {"postgres": 5432, "redis": 6379}
KINDS = {"postgres": "postgres", "postgresql": "postgres", "redis": "redis", "valkey": "redis"}
LOGIN_FIRST = "version not told before a login"
_PROTOCOL_3 = 196608
_STARTING = "57P03"
_MOST_BYTES = 64 * 1024
_REDIS_VERSION = re.compile(r"^(valkey_version|redis_version):(\S+)", re.MULTILINE)


class NotAnAddress(ValueError):
    """A text names no server."""


class ServerBusy(Exception):
    """It answers, and says that it is not ready yet."""


class OtherServer(Exception):
    """Something else answers there."""


class Address(NamedTuple):
    """A server: `kind` is postgres or redis."""

    kind: str
    host: str
    port: int

    @property
    def where(self) -> str:
        """Host and port for people."""
        return f"{self.host}:{self.port}"


def address_of(text: str) -> Address:
    """`postgres://HOST:PORT` or `redis://HOST:PORT`; raises NotAnAddress, also when it holds a password."""
    parts = urlsplit(text)
    kind = KINDS.get(parts.scheme)
    try:
        port = parts.port
    except ValueError as error:
        raise NotAnAddress(f"{text}: {error}") from error
    if kind is None or not parts.hostname:
        raise NotAnAddress(f"{text!r} is no server: write postgres://HOST:PORT or redis://HOST:PORT")
    if parts.username or parts.password:
        raise NotAnAddress("a server is looked at without logging in: leave out name and password")
    return Address(kind, parts.hostname, port or PORTS[kind])


def ask_version(address: Address, timeout_seconds: float) -> str:
    """What the server says of itself; raises OSError, ServerBusy, OtherServer."""
    with socket.create_connection((address.host, address.port), timeout_seconds) as connection:
        connection.settimeout(timeout_seconds)
        return _ASK[address.kind](connection)


def _redis(connection: socket.socket) -> str:
    connection.sendall(b"INFO server\r\n")
    first = _line(connection)
    if first.startswith("-"):
        code = first[1:].split(" ", 1)[0]
        if code in ("LOADING", "BUSY", "MASTERDOWN"):
            raise ServerBusy(first[1:])
        if code in ("NOAUTH", "NOPERM"):
            return LOGIN_FIRST
        raise OtherServer(first[:80])
    if not first.startswith("$"):
        raise OtherServer(repr(first[:80]))
    body = _exactly(connection, min(int(first[1:]), _MOST_BYTES)).decode("utf-8", "replace")
    versions = dict(_REDIS_VERSION.findall(body))
    if "valkey_version" in versions:
        return f"valkey {versions['valkey_version']}"
    return f"redis {versions.get('redis_version', '?')}"


def _postgres(connection: socket.socket) -> str:
    body = struct.pack("!i", _PROTOCOL_3) + b"user\0flowguardian\0application_name\0doctor\0\0"
    connection.sendall(struct.pack("!i", len(body) + 4) + body)
    version = LOGIN_FIRST
    while True:
        kind = _exactly(connection, 1)
        if kind not in b"ERSKZN":
            raise OtherServer(repr(kind))
        (length,) = struct.unpack("!i", _exactly(connection, 4))
        if not 4 <= length <= _MOST_BYTES:
            raise OtherServer(f"a message of {length} bytes")
        message = _exactly(connection, length - 4)
        if kind == b"E":
            return _refused(message)
        if kind == b"S" and message.startswith(b"server_version\0"):
            version = "postgres " + message.split(b"\0")[1].decode("utf-8", "replace")
        if kind == b"Z" or (kind == b"R" and message[:4] != b"\0\0\0\0"):
            # Ready, or it asks for a password: all that can be known without one.
            connection.sendall(b"X\0\0\0\4")
            return version


def _refused(message: bytes) -> str:
    """An unknown role is refused by a server that works; one that starts says so by its code."""
    fields = {part[:1]: part[1:].decode("utf-8", "replace") for part in message.split(b"\0") if part}
    if fields.get(b"C") == _STARTING:
        raise ServerBusy(fields.get(b"M", _STARTING))
    return LOGIN_FIRST


_ASK = {"postgres": _postgres, "redis": _redis}


def _exactly(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = connection.recv(count - len(data))
        if not more:
            raise OtherServer(f"it hung up after {len(data)} of {count} bytes")
        data += more
    return data


def _line(connection: socket.socket) -> str:
    data = b""
    while not data.endswith(b"\n") and len(data) < 512:
        data += _exactly(connection, 1)
    return data.decode("utf-8", "replace").strip()
