"""The wire under a stream socket: frames as bytes, and who is waited for."""

import asyncio
from typing import Any

import pytest
from websockets.client import ClientProtocol
from websockets.frames import Opcode
from websockets.protocol import State
from websockets.uri import parse_uri

from flowguardian.venue.sockets import Wire, all_drained, framed


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536, 200_000])
def test_frames_are_read_by_a_client_as_they_were_written(size):
    client = ClientProtocol(parse_uri("ws://venue/"))
    client.state = State.OPEN
    payloads = [b"x" * size, b"next"]
    reader = client.parse()
    next(reader)
    client.parser = reader
    client.receive_data(framed(payloads))
    read = [event for event in client.events_received() if getattr(event, "opcode", None) is Opcode.TEXT]
    assert [bytes(event.data) for event in read] == payloads  # type: ignore[union-attr]


class Waiting:
    """A wire whose client has not taken enough yet."""

    def __init__(self, *, hears):
        self.writable, self.hears = asyncio.Event(), hears
        self.transport: Any = None

    async def drained(self):
        await Wire.drained(self)  # type: ignore[arg-type]


def test_the_market_waits_for_a_slow_client_and_not_for_one_that_is_gone():
    async def run():
        slow: Any = Waiting(hears=True)
        gone: Any = Waiting(hears=False)
        await asyncio.wait_for(all_drained([gone]), 1)
        waiting = asyncio.create_task(all_drained([slow, gone]))
        await asyncio.sleep(0)
        assert not waiting.done()
        slow.writable.set()
        await asyncio.wait_for(waiting, 1)

    asyncio.run(run())
