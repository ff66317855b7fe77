"""A small lock-step client of the local venue for tests, apart from the feed of the program.

Rule: it reads exactly the frames that a slice announces; one frame more or less makes a test hang or fail.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

WITHIN_SECONDS = 30


class Client:
    """Two data sockets and the control socket."""

    def __init__(self, venue, public, market):
        self.venue = venue
        self.urls = {
            name: f"{venue.root}/{name[:-1]}/stream?streams={'/'.join(streams)}&lockstep=test&socket={name}"
            for name, streams in (("public0", public), ("market0", market))
            if streams
        }
        self.sockets: dict[str, ClientConnection] = {}
        self.control: Any = None
        self.ready: Any = None

    async def go(self, from_ns=0, **more):
        for name, url in self.urls.items():
            if name not in self.sockets:
                self.sockets[name] = await connect(url, compression=None)
        self.control = await connect(f"{self.venue.addresses['control']}?lockstep=test", compression=None)
        await self.say(op="go", from_ns=from_ns, **more)
        self.ready = await self.said()
        return self.ready

    async def say(self, **what):
        await self.control.send(json.dumps(what))

    async def said(self):
        return json.loads(await asyncio.wait_for(self.control.recv(), WITHIN_SECONDS))

    async def offered(self):
        """The next slice and its frames per socket; None at the end of the market."""
        said = await self.said()
        if said["op"] == "finished":
            return None
        assert said["op"] == "slice", said
        frames = {}
        for name, count in said["frames"].items():
            if name not in self.sockets:
                continue  # Closed here after the venue had announced the slice: nobody reads these.
            receive = self.sockets[name].recv
            frames[name] = [await asyncio.wait_for(receive(), WITHIN_SECONDS) for _ in range(count)]
        return said, frames

    async def slices(self, count=None):
        """So many slices, each acknowledged; all of them without a count."""
        taken: list[Any] = []
        while count is None or len(taken) < count:
            one = await self.offered()
            if one is None:
                break
            taken.append(one)
            await self.say(op="ack", n=one[0]["n"])
        return taken

    async def close(self):
        for socket in (self.control, *self.sockets.values()):
            if socket is not None:
                with suppress(ConnectionClosed):
                    await socket.close()
        self.sockets = {}


def driven(venue, work, public=("btcusdt@bookTicker",), market=("btcusdt@aggTrade",)):
    """The result of `work(client)`; the client is closed afterwards."""

    async def run():
        client = Client(venue, public, market)
        try:
            return await work(client)
        finally:
            await client.close()

    return asyncio.run(run())


async def until_closed(socket):
    """The close code of a socket whose frames are read to the end; None when there was no goodbye."""
    try:
        while True:
            await asyncio.wait_for(socket.recv(), WITHIN_SECONDS)
    except ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd is not None else None


def payloads(slices, name):
    """The data of all frames of a socket."""
    return [json.loads(frame)["data"] for _, frames in slices for frame in frames.get(name, ())]
