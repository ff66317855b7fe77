"""The process that talks to channels: reads one JSON line per message, answers with one, and nothing else.

Rule: whatever a channel does (accept and never answer, send garbage without end, crash its library) ends
with this process at the latest, after the seconds the line allows. Libraries log nothing here: an address
could stand in it.
"""

from __future__ import annotations

import logging
import os
import sys
import threading

import apprise
import msgspec

TIMED_OUT_EXIT = 75


class Order(msgspec.Struct, frozen=True):
    """A message for one address."""

    url: str
    title: str
    body: str
    kind: str
    seconds: float


class Answer(msgspec.Struct, frozen=True):
    """Whether it arrived, and what the channel said if not."""

    sent: bool
    why: str = ""


def main() -> int:
    """Answer orders until stdin ends."""
    for line in sys.stdin.buffer:
        order = msgspec.json.decode(line, type=Order)
        # os._exit, because nothing else ends a thread that waits inside a library.
        guard = threading.Timer(order.seconds, os._exit, (TIMED_OUT_EXIT,))
        guard.daemon = True
        guard.start()
        answer = _send(order)
        guard.cancel()
        sys.stdout.buffer.write(msgspec.json.encode(answer) + b"\n")
        sys.stdout.buffer.flush()
    return 0


def _send(order: Order) -> Answer:
    asset = apprise.AppriseAsset(
        app_id="FlowGuardian", app_desc="FlowGuardian", app_url="",
        storage_mode=apprise.PersistentStoreMode.MEMORY, async_mode=False,
    )  # fmt: skip
    with apprise.LogCapture(level=logging.WARNING, fmt="%(message)s") as said:  # type: ignore[no-untyped-call]
        channel = apprise.Apprise(asset=asset)
        if not channel.add(order.url):
            return Answer(sent=False, why="apprise does not understand this address")
        sent = channel.notify(
            body=order.body, title=order.title, notify_type=apprise.NotifyType(order.kind),
            body_format=apprise.NotifyFormat.TEXT,
        )  # fmt: skip
        return Answer(sent=bool(sent), why="" if sent else str(said.getvalue())[-500:])


if __name__ == "__main__":
    sys.exit(main())
