"""A WebSocket server that sends prepared frames as fast as the network takes them: `paths...` or `burst N`.

Rule: it knows nothing of the feed; its first line on stdout says the port and how many frames it sends.
"""

from __future__ import annotations

import asyncio
import gzip
import struct
import sys
from collections.abc import Iterable
from pathlib import Path

from websockets.asyncio.server import ServerConnection, serve

FRAMES_PER_WRITE = 500
MOST_WAITING_BYTES = 4_000_000
TRADE = (
    '{"stream":"btcusdt@trade","data":{"e":"trade","E":1723161256322,"T":1723161256322,"s":"BTCUSDT",'
    '"t":%d,"p":"61800.30","q":"0.006","X":"MARKET","m":false}}'
)


def recorded(paths: Iterable[Path]) -> list[bytes]:
    """The frames of recordings, `local_ns json` a line, in the order of receipt."""
    found: list[tuple[int, bytes]] = []
    for path in paths:
        with gzip.open(path) as file:
            for line in file:
                local_ns, _, frame = line.rstrip().partition(b" ")
                found.append((int(local_ns), frame))
    return [frame for _, frame in sorted(found, key=lambda pair: pair[0])]


def burst(many: int) -> list[bytes]:
    """So many trades with ids that follow each other."""
    return [(TRADE % number).encode() for number in range(1, many + 1)]


def framed(payload: bytes) -> bytes:
    """A text frame of a server (RFC 6455, 5.2): not masked."""
    size = len(payload)
    if size < 126:
        return bytes((0x81, size)) + payload
    head = struct.pack(">BBH", 0x81, 126, size) if size < 65536 else struct.pack(">BBQ", 0x81, 127, size)
    return head + payload


async def send_all(frames: list[bytes]) -> None:
    """Serve one client after another, each with all frames."""
    wire = [framed(frame) for frame in frames]
    writes = [b"".join(wire[at : at + FRAMES_PER_WRITE]) for at in range(0, len(wire), FRAMES_PER_WRITE)]

    async def talk(ws: ServerConnection) -> None:
        for write in writes:
            ws.transport.write(write)
            while ws.transport.get_write_buffer_size() > MOST_WAITING_BYTES:  # noqa: ASYNC110
                await asyncio.sleep(0.001)  # A transport tells only its own protocol that it drained.
        await ws.wait_closed()

    async with serve(talk, "127.0.0.1", 0, compression=None, ping_interval=None) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        sys.stdout.write(f"{port} {len(frames)}\n")
        sys.stdout.flush()
        await asyncio.Future()


if __name__ == "__main__":
    asked = sys.argv[1:]
    asyncio.run(send_all(burst(int(asked[1])) if asked[0] == "burst" else recorded(map(Path, asked))))
