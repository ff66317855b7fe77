"""Local ends of channels for tests: one that takes messages, and ones that behave as badly as they can.

Rule: loopback only, every thread ends with its block.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

TOKEN = "s3cr3tT0kenNobodyMaySee"


class Got(NamedTuple):
    """A message as it arrived."""

    title: str
    text: str


class Receiver:
    """Takes what apprise sends to a json:// address."""

    def __init__(self, status: int = 200, body: bytes = b"ok") -> None:
        self.got: list[Got] = []
        self.requests = 0
        self.status = status
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                said = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                receiver.requests += 1
                if receiver.status < 300:
                    receiver.got.append(Got(said["title"], said["message"]))
                self.send_response(receiver.status)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_arguments: object) -> None:
                """Nothing on stderr."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()

    @property
    def url(self) -> str:
        """Its apprise address, with a secret in it."""
        return f"json://user:{TOKEN}@127.0.0.1:{self._server.server_port}/{TOKEN}/"

    def titles(self) -> list[str]:
        """What came, in order."""
        return [got.title for got in self.got]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextmanager
def receiver(status: int = 200, body: bytes = b"ok") -> Iterator[Receiver]:
    """A receiver for the time of the block."""
    made = Receiver(status, body)
    try:
        yield made
    finally:
        made.close()


@contextmanager
def bad_line(first: bytes = b"") -> Iterator[str]:
    """The address of a server that accepts, says `first` again and again (nothing when empty), never ends."""
    listener = socket.create_server(("127.0.0.1", 0))
    over = threading.Event()
    opened: list[socket.socket] = []

    def serve() -> None:
        with suppress(OSError):
            while not over.is_set():
                connection, _ = listener.accept()
                opened.append(connection)
                threading.Thread(target=talk, args=(connection,), daemon=True).start()

    def talk(connection: socket.socket) -> None:
        with suppress(OSError):
            while first and not over.wait(0.05):
                connection.sendall(first)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"json://user:{TOKEN}@127.0.0.1:{listener.getsockname()[1]}/{TOKEN}/"
    finally:
        over.set()
        listener.close()
        for connection in opened:
            connection.close()
