"""The trading side of a run with an account: keys, the broker, and when its facts reach the loop.

Rule: facts of the venue become rows between two turns, never inside one. In slices the market stands until
nothing is on its way; by the wall clock a fact is taken as soon as it is there.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import msgspec

from flowguardian.brokers import answers
from flowguardian.brokers.account_state import standing_of
from flowguardian.brokers.binance import LiveBroker
from flowguardian.brokers.desk import LiveOptions
from flowguardian.brokers.signed import Keys, OutcomeUnknown, Refused, Signed, Silent
from flowguardian.execution.events import SHADOW
from flowguardian.execution.loop import MarketLoop
from flowguardian.execution.money import units
from flowguardian.feeds.base import VenueRefused, VenueUnreachable
from flowguardian.feeds.binance import BinanceFeed
from flowguardian.ops.assembly import VENUE_FILE
from flowguardian.ops.checks_account import account_lines, red_lines
from flowguardian.ops.keys import keys_of_owner, keys_of_venue
from flowguardian.ops.manifest import Manifest
from flowguardian.ops.settings import Settings

_SETTLE_SECONDS = 15.0
_MOST_ROUNDS = 100
"""Facts lead to orders, orders to facts: an exit that is refused at once must not stop the market."""


class AccountUnfit(VenueRefused):
    """The account is not one that a run may begin with."""


def tag_of(run_id: str) -> str:
    """What the client ids of a run's orders begin with: the same after a restart, another for every run."""
    return f"fg{hashlib.sha256(run_id.encode()).hexdigest()[:10]}"


def options_of(settings: Settings, run_id: str) -> LiveOptions:
    """The broker's times and distances from the settings."""
    live = settings.live
    return LiveOptions(
        tag_of(run_id),
        max_send_age_seconds=float(live.max_send_age_seconds),
        naked_seconds=float(live.naked_seconds),
        reconcile_seconds=float(live.reconcile_seconds),
        evidence_seconds=float(live.evidence_seconds),
        stop_gap=units(live.stop_gap_pct) // 100,
    )


def keys_for(manifest: Manifest, settings: Settings, run_dir: Path) -> Keys:
    """The keys of a run's account; raises KeysMissing."""
    if manifest.venue == "local":
        return keys_of_venue(run_dir / VENUE_FILE)
    return keys_of_owner(settings.live.keyring_service).keys


class LiveTrading:
    """One broker beside one loop; a run in the shadow signs questions alone."""

    def __init__(
        self, feed: BinanceFeed, loop: MarketLoop, manifest: Manifest, settings: Settings, run_dir: Path
    ) -> None:
        self._loop, self._sliced, self._settings = loop, manifest.speed != 1, settings
        self._pumping = False
        now_ns: Callable[[], int] = (lambda: loop.now_ns) if self._sliced else feed.now_ns
        kind = Silent if manifest.mode == SHADOW else Signed
        keys = keys_for(manifest, settings, run_dir)
        self._signed = kind(
            feed.venue.rest, keys, feed.limiter, venue_ns=feed.now_ns, run_ms=feed.run_ms,
            wall_ns=feed.wall_ns, network=feed.network, on_filters=feed.look_at_filters,
        )  # fmt: skip
        self.broker = LiveBroker(
            self._signed, feed.venue.ws_private, loop.engine, options_of(settings, manifest.run_id),
            pace=feed.pace, now_ns=now_ns, live_ns=lambda: loop.live_ns, on_facts=self._arrived,
        )  # fmt: skip

    async def start(self) -> None:
        """Listen, and settle what an earlier process left open; a new run looks at its account first.

        Raises AccountUnfit, VenueUnreachable.
        """
        # Later, whatever was changed at the venue, open positions are better off with their engine.
        if not self._loop.engine.live:
            await self._look_at_account()
        await self.broker.start()

    async def _look_at_account(self) -> None:
        try:
            found = await standing_of(self._signed, self._settings.universe.symbols)
        except (Refused, OutcomeUnknown, answers.Unreadable) as error:
            said = f"the account cannot be read: {error}"
            refused = isinstance(error, Refused) and error.code
            raise (AccountUnfit(said) if refused else VenueUnreachable(said)) from error
        if unfit := red_lines(account_lines(found, self._settings)):
            raise AccountUnfit(unfit)

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
