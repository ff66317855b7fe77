"""The venue of a simulation: the server of every local venue, without its port, moved by virtual time.

Rule: market time and loop time are one; nothing of the account or the market is decided here.
"""

from __future__ import annotations

import asyncio

from flowguardian.execution.money import units
from flowguardian.feeds.markets import Market
from flowguardian.feeds.venues import Venue
from flowguardian.market.records import SECOND_NS
from flowguardian.ops.settings import Settings
from flowguardian.venue.faults import Plan
from flowguardian.venue.server import Terms, VenueServer
from flowguardian.venue.signing import Keys
from flowguardian.venue.trading import Fees

STEP_SECONDS = 0.25
"""Market time between two moves of the market."""
KEYS = Keys("simulated-key-0123456789", "simulated-secret-0123456789")
VENUE = Venue(
    "simulated", "http://venue", "ws://venue/public", "ws://venue/market", tls=False,
    feed_kind="venue_synthetic", ws_private="ws://venue/private",
)  # fmt: skip


class Exchange:
    """One venue; it begins with the loop."""

    def __init__(self, market: Market, settings: Settings, plan: Plan, *, balance: int) -> None:
        terms = Terms(
            keys=KEYS, balance=balance,
            fees=Fees(maker=units(settings.fees.maker), taker=units(settings.fees.taker)),
            leverage=settings.execution.leverage, slippage=units(settings.execution.slippage),
        )  # fmt: skip
        self.server = VenueServer(
            market, speed=1.0, plan=plan, has_funding=settings.market.funding, terms=terms
        )
        self.server.market.ticking = self._now_ns
        self._start_ns = market.start_ns

    def _now_ns(self) -> int:
        return self._start_ns + round(asyncio.get_running_loop().time() * SECOND_NS)

    async def run(self) -> None:
        """Move the market until cancelled."""
        pacer = self.server.pacer
        while True:
            pacer.step(self._now_ns())
            pacer.hub.flush()
            pacer.wound()
            await asyncio.sleep(STEP_SECONDS)
