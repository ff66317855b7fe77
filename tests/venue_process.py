"""Starts the local venue as a process of its own for a test, and ends it by its own handle.

Rule: port 0, loopback only; the addresses are those of the line it prints, and stderr must stay empty.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SYMBOLS = ("BTCUSDT", "ETHUSDT", "LTCUSDT")


class Answer:
    """Status, headers and body of one request."""

    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)


class VenueProcess:
    """A running venue: `addresses` is its ready line."""

    def __init__(self, process, addresses):
        self.process, self.addresses = process, addresses
        self.frames: dict[str, dict] = {}
        self.rest = addresses["rest"]
        self.root = addresses["ws_public"].removesuffix("/public")

    def get(self, path, method="GET", body=None):
        request = urllib.request.Request(self.rest + path, data=body, method=method)  # noqa: S310 - loopback
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310
                return Answer(answer.status, answer.headers, answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, error.headers, error.read())

    def inject(self, **fault):
        plan = json.dumps({"faults": [fault]}).encode()
        answer = self.get("/control/faults", "POST", plan)
        assert answer.status == 200, answer.body
        return answer.json()


def command(*arguments):
    """The command line of a venue over a small synthetic market."""
    given = {argument for argument in arguments if argument.startswith("--")}
    defaults = {
        "--market": "synthetic:7",
        "--symbols": ",".join(SYMBOLS),
        "--hours": "2",
        "--speed": "max",
        "--port": "0",
    }
    chosen = [part for name, value in defaults.items() if name not in given for part in (name, value)]
    return [sys.executable, "-m", "flowguardian", "venue", *chosen, *arguments]


@contextmanager
def running_venue(*arguments: str, quiet: bool = True) -> Iterator[VenueProcess]:
    """A venue that answers; `quiet` demands that it had nothing to say on stderr."""
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            command(*arguments), cwd=ROOT, stdout=subprocess.PIPE, stderr=said, encoding="utf-8"
        )
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                process.wait(timeout=20)
                said.seek(0)
                message = f"the venue did not start: {said.read().decode()}"
                raise AssertionError(message)
            yield VenueProcess(process, json.loads(line))
            assert process.poll() is None, f"the venue ended by itself with {process.returncode}"
        finally:
            process.terminate()
            process.communicate(timeout=20)
        said.seek(0)
        noise = said.read().decode()
    assert not quiet or not noise, noise
