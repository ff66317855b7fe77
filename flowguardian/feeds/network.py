"""How a client of a venue reaches it: requests over HTTP and sockets.

Rule: whoever talks to a venue is given its network; the one of this host is the default, and the simulation
gives one that lies in memory. What is said over it is decided elsewhere.
"""

from __future__ import annotations

from typing import Any, Protocol

import aiohttp
from websockets.asyncio.client import connect


class Network(Protocol):
    """The part of aiohttp and websockets that clients of a venue use."""

    def session(self, timeout_seconds: float) -> Any:
        """An HTTP session, as of aiohttp; each request has so long."""

    def connect(self, url: str, **options: Any) -> Any:
        """A client connection, as of websockets: to be awaited, or entered."""


class HostNetwork:
    """The network of this host."""

    def session(self, timeout_seconds: float) -> Any:
        return aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=timeout_seconds))

    def connect(self, url: str, **options: Any) -> Any:
        return connect(url, **options)


HOST = HostNetwork()
