"""The user data stream: events of the account to every private socket that named its listen key.

Rule: an event leaves at once on its own socket and is no part of a slice; faults of frames see it as the
stream `user@EVENT` (`user@ORDER_TRADE_UPDATE@TRADE` for a fill). A socket with another key hears nothing.
"""

from __future__ import annotations

from typing import Any

import msgspec

from flowguardian.venue.faults import Faults
from flowguardian.venue.market import VenueMarket
from flowguardian.venue.subscriptions import PRIVATE, Hub


class UserStreams:
    """Sends events to the private sockets of the hub."""

    def __init__(self, market: VenueMarket, hub: Hub, faults: Faults) -> None:
        self._market, self._hub, self._faults = market, hub, faults
        self._number = 0

    def send(self, key: str, name: str, payload: dict[str, Any]) -> None:
        """One event to everybody who listens to a key; in the envelope where the socket wants one."""
        self._number += 1
        at_ns, raw = self._market.now_ns, msgspec.json.encode(payload)
        faulty = self._faults.touches_frames(at_ns, at_ns + 1)
        for connection in self._hub.connections:
            if connection.category != PRIVATE or key not in connection.streams:
                continue
            data = b'{"stream":"%s","data":%s}' % (key.encode(), raw) if connection.combined else raw
            frames = [data]
            if faulty:
                frames = self._faults.frame(connection.key, f"user@{name}", self._number, at_ns, data)
            if frames:
                connection.wire.write_frames(frames)
