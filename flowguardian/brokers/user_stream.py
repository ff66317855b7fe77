"""The user data stream of an account: one listen key, one owner, events in order, a word when it was away.

Rule: events say what happened, never that nothing did: after every reconnect whoever listens asks by REST.
The key is renewed long before it ends, and a new one is taken when the venue says that it expired.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec
from websockets.exceptions import WebSocketException

from flowguardian.brokers.signed import OutcomeUnknown, Refused, Signed
from flowguardian.feeds.pace import Pace

KEY_PATH = "/fapi/v1/listenKey"
RENEW_SECONDS = 20 * 60.0
"""The venue ends a key 60 minutes after its last renewal."""
_FIRST_DELAY_SECONDS, _LONGEST_DELAY_SECONDS = 0.25, 20.0
_LOST = (OSError, TimeoutError, WebSocketException, Refused, OutcomeUnknown)
EXPIRED = "listenKeyExpired"


class UserStream:
    """Listens until it is closed."""

    def __init__(
        self,
        base: str,
        signed: Signed,
        on_event: Callable[[dict[str, Any]], None],
        on_up: Callable[[], None],
        pace: Pace,
        *,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._base, self._signed, self._pace, self._jitter = base, signed, pace, jitter
        self._on_event, self._on_up = on_event, on_up
        self.up = asyncio.Event()
        self.connected = 0
        self.last_error = ""
        self._owner: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Connect, and stay connected."""
        self._owner = asyncio.create_task(self._own())

    def check(self) -> None:
        """Raise what ended the owner, if something did."""
        if self._owner is not None and self._owner.done():
            self._owner.result()

    async def close(self) -> None:
        """End it; the key ends by itself."""
        if self._owner is not None:
            self._owner.cancel()
            await asyncio.gather(self._owner, return_exceptions=True)

    async def _own(self) -> None:
        failures = 0
        while True:
            try:
                key = (await self._signed.keyed("POST", KEY_PATH))["listenKey"]
                url = f"{self._base}/ws/{key}"
                async with self._signed.network.connect(url, compression=None, ping_interval=60) as socket:
                    self.connected += 1
                    failures = 0
                    self.up.set()
                    self._on_up()
                    await self._listen(socket)
            except _LOST as error:
                self.last_error = f"{type(error).__name__}: {error}"
            finally:
                self.up.clear()
            grown = min(_LONGEST_DELAY_SECONDS, _FIRST_DELAY_SECONDS * 2.0 ** min(failures, 10))
            failures += 1
            await self._pace.pause(grown * (0.5 + self._jitter() / 2))

    async def _listen(self, socket: Any) -> None:
        renewing = asyncio.create_task(self._renew(socket))
        try:
            async for frame in socket:
                event: Any = None
                with suppress(msgspec.DecodeError):
                    event = msgspec.json.decode(frame)
                if not isinstance(event, dict):
                    continue
                if event.get("e") == EXPIRED:
                    return
                self._on_event(event)
        finally:
            renewing.cancel()
            await asyncio.gather(renewing, return_exceptions=True)

    async def _renew(self, socket: Any) -> None:
        """Renew the key in time; one that cannot be renewed is given up, with its connection."""
        while True:
            await self._pace.sleep(RENEW_SECONDS)
            try:
                await self._signed.keyed("PUT", KEY_PATH)
            except (Refused, OutcomeUnknown) as error:
                self.last_error = f"{type(error).__name__}: {error}"
                await socket.close()
                return
