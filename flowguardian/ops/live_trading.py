"""The trading side of a live run's process: keys, the broker, and when its facts reach the loop.

Rule: facts of the venue become rows between two turns, never inside one. In slices the market stands until
nothing is on its way; by the wall clock a fact is taken as soon as it is there.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import msgspec

from flowguardian.brokers.binance import LiveBroker
from flowguardian.brokers.desk import LiveOptions
from flowguardian.brokers.signed import Keys, Signed
from flowguardian.execution.loop import MarketLoop
from flowguardian.feeds.base import VenueRefused
from flowguardian.feeds.binance import BinanceFeed

KEY_VARIABLE, SECRET_VARIABLE = "FLOWGUARDIAN_API_KEY", "FLOWGUARDIAN_API_SECRET"
_SETTLE_SECONDS = 15.0
_MOST_ROUNDS = 100
"""Facts lead to orders, orders to facts: an exit that is refused at once must not stop the market."""


class KeysMissing(VenueRefused):
    """There is no key for the venue."""


class _Said(msgspec.Struct):
    """The part of a local venue's ready line that names its account."""

    api_key: str = ""
    api_secret: str = ""


def keys_of(venue_file: Path | None) -> Keys:
    """The keys of the run's own venue, or those in the environment; raises KeysMissing."""
    if venue_file is not None:
        said = msgspec.json.decode(venue_file.read_bytes(), type=_Said)
        return Keys(said.api_key, said.api_secret)
    key, secret = os.environ.get(KEY_VARIABLE, ""), os.environ.get(SECRET_VARIABLE, "")
    if not key or not secret:
        raise KeysMissing(
            f"{KEY_VARIABLE} and {SECRET_VARIABLE} are not set. Make a key that may trade futures and not "
            "withdraw, bind it to this address, and set both in the environment of this process."
        )
    return Keys(key, secret)


def tag_of(run_id: str) -> str:
    """What the client ids of a run's orders begin with: the same after a restart, another for every run."""
    return f"fg{hashlib.sha256(run_id.encode()).hexdigest()[:10]}"


class LiveTrading:
    """One broker beside one loop."""

    def __init__(self, feed: BinanceFeed, loop: MarketLoop, keys: Keys, run_id: str, *, sliced: bool) -> None:
        self._loop, self._sliced = loop, sliced
        self._pumping = False
        now_ns: Callable[[], int] = (lambda: loop.now_ns) if sliced else feed.now_ns
        signed = Signed(
            feed.venue.rest, keys, feed.limiter, venue_ns=feed.now_ns, run_ms=feed.run_ms,
            wall_ns=feed.wall_ns, network=feed.network, on_filters=feed.look_at_filters,
        )  # fmt: skip
        self.broker = LiveBroker(
            signed, feed.venue.ws_private, loop.engine, LiveOptions(tag_of(run_id)),
            pace=feed.pace, now_ns=now_ns, on_facts=self._arrived,
        )  # fmt: skip

    async def start(self) -> None:
        """Listen and settle what an earlier process left open."""
        await self.broker.start()

    async def step(self) -> None:
        """After a turn: what the venue said meanwhile, until nothing new comes of it."""
        for _ in range(_MOST_ROUNDS):
            self.broker.protect()
            if self._sliced:
                await self.broker.settle(_SETTLE_SECONDS)
            if not self._pump():
                return

    async def close(self) -> None:
        await self.broker.close()

    def _arrived(self) -> None:
        """A fact is there; by the wall clock it is taken at the next turn of the event loop."""
        if not self._sliced and not self._pumping:
            self._pumping = True
            # A task, whose end is looked at: an error in a callback would be told to nobody.
            self.broker.beside(self._pump_later())

    async def _pump_later(self) -> None:
        self._pumping = False
        self._pump()

    def _pump(self) -> bool:
        facts = self.broker.take()
        for fact in facts:
            self._loop.fact(msgspec.structs.replace(fact, ts_ns=self._loop.now_ns))
        if facts:
            self.broker.protect()
        return bool(facts)
