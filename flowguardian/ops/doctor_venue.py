"""The venue that `doctor` listens to: a known one, one that runs at an address, or a local one of its own.

Rule: a venue that is started here is registered like every process of this project, so that it is found when
this one dies, and is ended with the block.
"""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import msgspec

from flowguardian.feeds.venues import VENUES, Venue, local
from flowguardian.ops.platform_process import start_child
from flowguardian.ops.registry import Registry

LOCAL = "local"
ROLE = "venue"
END_SECONDS = 5.0
HOURS = "2"
"""Length of the market of a local venue: longer than anybody listens."""


class VenueNotStarted(Exception):
    """The local venue did not come up."""


class UnknownVenue(Exception):
    """A name or address stands for no venue."""


@contextmanager
def venue_at(
    name: str, symbols: Sequence[str], *, seed: int, start_seconds: float, registry: Registry
) -> Iterator[Venue]:
    """The venue of a known name or of an address; raises VenueNotStarted."""
    if name in VENUES:
        yield VENUES[name]
    elif name == LOCAL:
        with _started(symbols, seed, start_seconds, registry) as venue:
            yield venue
    else:
        yield _at_address(name.rstrip("/"))


def is_known(name: str) -> str:
    """The name back; raises UnknownVenue when it is neither that of a venue nor an address."""
    if name in VENUES or name == LOCAL or name.startswith(("http://", "https://")):
        return name
    known = ", ".join([*VENUES, LOCAL])
    raise UnknownVenue(f"{name} is no venue; known are {known}, or the address of one, http://HOST:PORT")


def host_of(name: str) -> str:
    """Which host a venue is at, for people."""
    venue = VENUES.get(name)
    return (venue.rest if venue else name).partition("://")[2] or "this computer"


def _at_address(rest: str) -> Venue:
    """A local venue that runs already; its streams are on the same port."""
    ws = "ws" + rest.removeprefix("http")
    ready = {"rest": rest, "ws_public": f"{ws}/public", "ws_market": f"{ws}/market"}
    return local(msgspec.json.encode(ready))


@contextmanager
def _started(symbols: Sequence[str], seed: int, start_seconds: float, registry: Registry) -> Iterator[Venue]:
    argv = [
        sys.executable, "-m", "flowguardian", "venue", "--market", f"synthetic:{seed}",
        "--symbols", ",".join(symbols), "--hours", HOURS, "--speed", "1", "--port", "0",
    ]  # fmt: skip
    child = start_child(argv)
    try:
        line = _first_line(child, start_seconds)
        try:
            entry = registry.register(ROLE, "doctor", pid=child.pid, parent_pid=os.getpid())
        except ProcessLookupError as error:
            raise VenueNotStarted(str(error)) from error
        try:
            yield local(line)
        finally:
            registry.unregister(entry)
    finally:
        _end(child)


def _end(child: subprocess.Popen[bytes]) -> None:
    """Its own handle, so no PID can be mistaken."""
    child.terminate()
    try:
        child.communicate(timeout=END_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        child.communicate()


def _first_line(child: subprocess.Popen[bytes], seconds: float) -> bytes:
    """The ready line; a thread reads it, because a pipe cannot be waited for with a limit on every system."""
    lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    assert child.stdout is not None  # noqa: S101 - start_child always gives pipes
    reader = threading.Thread(target=lambda: lines.put(child.stdout.readline()), daemon=True)  # type: ignore[union-attr]
    reader.start()
    try:
        line = lines.get(timeout=seconds)
    except queue.Empty:
        raise VenueNotStarted(f"no address within {seconds:g} s") from None
    if not line:
        said = child.stderr.read() if child.stderr is not None else b""
        raise VenueNotStarted(said.decode("utf-8", "replace").strip()[-500:] or "it ended without a word")
    return line
