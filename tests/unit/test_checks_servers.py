"""Servers by connection: each answers in its own protocol, from canned bytes over a real socket."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from flowguardian.ops.checks_servers import check_server, server_checks
from flowguardian.ops.config_errors import ConfigError
from flowguardian.ops.loading import load
from flowguardian.ops.servers import Address, NotAnAddress, address_of

WAIT_SECONDS = 10.0


@contextmanager
def server(answer: bytes, heard: list[bytes] | None = None) -> Iterator[int]:
    """A server that takes one question and gives one answer."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(WAIT_SECONDS)

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(WAIT_SECONDS)
            question = connection.recv(4096)
            if heard is not None:
                heard.append(question)
            connection.sendall(answer)
            # Who has heard enough may hang up with the rest unread.
            with contextlib.suppress(OSError):
                while answer and connection.recv(4096):
                    continue

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        thread.join(WAIT_SECONDS)
        listener.close()


def message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!i", len(body) + 4) + body


def bulk(text: str) -> bytes:
    return f"${len(text)}\r\n{text}\r\n".encode()


TRUSTED = message(b"R", b"\0\0\0\0") + message(b"S", b"server_version\x0016.4\0") + message(b"Z", b"I")
ANSWERS = [
    ("redis", bulk("# Server\r\nredis_version:7.2.5\r\n"), "ok", "redis 7.2.5"),
    ("redis", bulk("# Server\r\nredis_version:7.2.4\r\nvalkey_version:8.0.1\r\n"), "ok", "valkey 8.0.1"),
    ("redis", b"-NOAUTH Authentication required.\r\n", "ok", "before a login"),
    ("redis", b"-LOADING Redis is loading the dataset in memory\r\n", "red", "LOADING"),
    ("redis", b"HTTP/1.1 400 Bad Request\r\n\r\n", "red", "is no redis"),
    ("postgres", TRUSTED, "ok", "postgres 16.4"),
    ("postgres", message(b"R", b"\0\0\0\x0aSCRAM-SHA-256\0\0"), "ok", "before a login"),
    ("postgres", message(b"E", b"SFATAL\0C28000\0Mrole does not exist\0\0"), "ok", "before a login"),
    ("postgres", message(b"E", b"SFATAL\0C57P03\0Mit is starting up\0\0"), "red", "starting up"),
    ("postgres", b"-ERR unknown command\r\n", "red", "is no postgres"),
    ("postgres", b"", "red", "hung up"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "answer", "state", "said"), ANSWERS, ids=lambda value: str(value)[:24])
def test_what_a_server_answers_is_told(kind, answer, state, said):
    heard: list[bytes] = []
    with server(answer, heard) as port:
        line = check_server(Address(kind, "127.0.0.1", port), WAIT_SECONDS)
    assert line.state == state and said in line.said.en, line
    assert (line.fix == "" or line.remedy.en == "") == (state == "ok")
    assert b"password" not in heard[0].lower()


def test_a_server_that_is_not_there_is_red_with_its_address():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    line = check_server(Address("redis", "127.0.0.1", port), WAIT_SECONDS)
    assert line.state == "red" and f"127.0.0.1:{port}" in line.said.en and "doctor.servers" in line.remedy.en


def test_a_server_that_connects_and_stays_silent_is_red_after_the_limit():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        line = check_server(Address("postgres", "127.0.0.1", listener.getsockname()[1]), 0.05)
    assert line.state == "red" and "timed out" in line.said.en


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("postgresql://db.example", Address("postgres", "db.example", 5432)),
        ("valkey://127.0.0.1:7000", Address("redis", "127.0.0.1", 7000)),
    ],
)
def test_an_address_has_a_kind_and_a_port(text, address):
    assert address_of(text) == address


@pytest.mark.parametrize("text", ["", "localhost:5432", "mysql://a", "redis://a:99999", "redis://:secret@a"])
def test_what_is_no_address_is_refused_where_it_is_configured_and_no_password_is_repeated(text):
    with pytest.raises(NotAnAddress):
        address_of(text)
    with pytest.raises(ConfigError, match="doctor.servers") as refused:
        load(None, [f"doctor.servers=['{text}']"], env={})
    assert "secret" not in str(refused.value)


def test_each_configured_server_has_a_line():
    assert [item for item, _ in server_checks(("redis://a", "postgres://b"), 1.0)] == [
        "server redis://a",
        "server postgres://b",
    ]
