"""Bugs of programs that trade an account, rebuilt as patches: orders, fills, stops and restarts.

Rule: as in `mutants`; each story has the one trouble of the venue or the process that brings the bug out.
"""

from __future__ import annotations

import msgspec

from flowguardian.brokers import answers
from flowguardian.brokers.account_watch import AccountWatch
from flowguardian.brokers.binance import LiveBroker
from flowguardian.brokers.order_track import Tracked
from flowguardian.brokers.signed import OutcomeUnknown, Signed
from flowguardian.brokers.venue_stops import VenueStops
from flowguardian.execution import events as ev
from flowguardian.execution.engine import Engine
from flowguardian.execution.loop import MarketLoop
from flowguardian.execution.orders import Order
from flowguardian.feeds.release import Release
from flowguardian.guards.clock_skew import ClockSkew
from flowguardian.guards.stale_data import StaleData
from flowguardian.simulation.crashpoints import AFTER_COMMIT, Crash
from flowguardian.simulation.world import HOSTILE, World, world_of
from flowguardian.venue.faults import Fault, Plan
from tests.simulation.mutants import Mutant, never, registering
from tests.simulation.worlds import HOURS, SEED, fault

LIVE: list[Mutant] = []


def story(*faults: Fault, crashes: tuple[Crash, ...] = (), mode: str = "live") -> World:
    """A world with one trouble."""
    return msgspec.structs.replace(
        world_of(SEED, HOSTILE, HOURS), plan=Plan(list(faults), SEED), weather=(), crashes=crashes, mode=mode
    )


CALM = story()
RESTART = story(crashes=(Crash(400.0, AFTER_COMMIT, 5.0),))
PAPER_RESTART = story(crashes=(Crash(700.0, AFTER_COMMIT, 5.0),), mode="paper")
TIMEOUT = story(fault("order_reply", 3, 6, path="POST /fapi/v1/order", variant="timeout", executed=1.0))
HIDDEN = story(
    fault("invisible", 3, 6, seconds=4.0),
    fault("order_reply", 3, 6, path="POST /fapi/v1/order", variant="timeout", executed=1.0),
    fault("drop", 3, 6, streams="user@*"),
)
OUTAGE = story(
    fault("rest", 7.5, 4, path="/fapi/v1/order", status=502, rate=1.0, text="<html>Bad Gateway</html>")
)
DEAF = story(fault("drop", 3, 6, streams="user@*"))


mutant = registering(LIVE, CALM)


@mutant("A position was opened and its stop never sent to the venue.")
def stops_are_never_placed(patch):
    patch.setattr(VenueStops, "protect", lambda self: None)


@mutant("The stop at the venue was placed with the side of the position, and made it larger.")
def stop_with_the_side_of_the_position(patch):
    post = Signed.post

    async def wrong(self, path, weight, **params):
        if "triggerPrice" in params:
            params["side"] = {"BUY": "SELL", "SELL": "BUY"}[params["side"]]
        return await post(self, path, weight, **params)

    patch.setattr(Signed, "post", wrong)


@mutant("The trades of the venue were booked without the fee it took.")
def fills_without_their_fee(patch):
    traded = Tracked.traded
    patch.setattr(
        Tracked, "traded", lambda self, fill, executed: traded(self, fill._replace(fee=0), executed)
    )


@mutant("An order without an answer was taken for one that never arrived.", HIDDEN)
def unknown_is_given_up_without_proof(patch):
    patch.setattr(
        Tracked, "absent", lambda self, asked_ns, proof_ns: self.refused(-2013, "I think it never arrived")
    )


@mutant("The reservation of an order was released as soon as its answer was late.", OUTAGE)
def reservation_released_on_a_timeout(patch):
    apply = Order.apply

    def releasing(self, row):
        apply(self, row)
        if isinstance(row, ev.OrderUnknown):
            self.reserved = 0

    patch.setattr(Order, "apply", releasing)


@mutant("An order without an answer was sent again under a new client id, and filled twice.", TIMEOUT)
def blind_resend_with_a_new_id(patch):
    post = Signed.post

    async def again(self, path, weight, **params):
        try:
            return await post(self, path, weight, **params)
        except OutcomeUnknown:
            if "newClientOrderId" not in params:
                raise
            params["newClientOrderId"] = f"{params['newClientOrderId']}r"
            return await post(self, path, weight, **params)

    patch.setattr(Signed, "post", again)


@mutant("A position that somebody closed at the exchange was held for ever in the books.",
        story(fault("outside_trade", 5.5)))  # fmt: skip
def outside_closes_are_never_seen(patch):
    patch.setattr(AccountWatch, "foreign", lambda self, traded, client_id: None)


@mutant("Trades were believed when the stream told them, and never asked for when it did not.", DEAF)
def trades_are_never_asked_for(patch):
    async def told_already(self, symbol, **asked):
        return []

    async def believed(self, tracked):
        """Ask nothing."""

    patch.setattr(AccountWatch, "_ask_trades", told_already)
    patch.setattr(LiveBroker, "_look_at_trades", believed)


@mutant("The answer that an order was accepted counted as its end.", TIMEOUT)
def accepted_counts_as_over(patch):
    patch.setattr(Tracked, "is_final", property(lambda self: self.was_seen))


@mutant("A quantity was read through a float on its way from the venue.")
def amounts_through_a_float(patch):
    patch.setattr(answers, "amount", lambda text: int(float(text) * 1e8))


@mutant("Exits were sent as plain orders: what the stop had closed already was opened the other way.",
        story(fault("outside_trade", 6.98), fault("drop", 6.5, 2, streams="user@*")))  # fmt: skip
def exits_are_not_reduce_only(patch):
    made = LiveBroker._parameters
    patch.setattr(LiveBroker, "_parameters", lambda self, tracked: made(self, tracked) | {"reduceOnly": None})


@mutant("A new process counted its orders from one again.", RESTART)
def restart_forgets_the_order_numbers(patch):
    appliers = Engine._appliers

    def forgetful(self):
        table = appliers(self)
        return table | {ev.SegmentStarted: lambda _: setattr(self.portfolio, "last_order_id", 0)}

    patch.setattr(Engine, "_appliers", forgetful)


@mutant("A restart took the equity of the moment for the peak, and the drawdown began anew.", PAPER_RESTART)
def restart_resets_the_peak(patch):
    fact = MarketLoop.fact

    def reset(self, row):
        if isinstance(row, ev.SegmentStarted) and self.live_ns:
            self._equity["peak"] = self.equity()
            self._read_equity()
        fact(self, row)

    patch.setattr(MarketLoop, "fact", reset)


@mutant("After a restart nobody asked what had become of the orders on their way.",
        story(crashes=(Crash(475.0, "after_order", 5.0),)))  # fmt: skip
def restart_forgets_open_orders(patch):
    start = LiveBroker.start

    async def empty(self):
        resolve, self._resolve = self._resolve, _nothing
        try:
            await start(self)
        finally:
            self._resolve = resolve

    patch.setattr(LiveBroker, "start", empty)


async def _nothing(tracked):
    """Ask nothing."""


@mutant("The clocks were seconds apart and orders went on.", story(fault("clock_skew", 8, 6, seconds=3.0)))
def clock_skew_is_ignored(patch):
    patch.setattr(ClockSkew, "review", never)


@mutant("A stream had been silent for a minute and its last price was traded.",
        story(fault("drop", 3, 6, streams="*@aggTrade", rate=1.0)))  # fmt: skip
def silence_is_not_noticed(patch):
    patch.setattr(StaleData, "apply", lambda self, row: None)
    patch.setattr(StaleData, "review", never)


@mutant("Trades that were missing in the feed were never spoken of.",
        story(fault("drop", 4, 2, streams="*@aggTrade", rate=0.5),
              fault("rest", 4, 4, path="/fapi/v1/aggTrades", status=503, rate=1.0)))  # fmt: skip
def gaps_are_not_announced(patch):
    for name in ("live", "slice"):
        told = getattr(Release, name)

        def silent(self, *args, told=told):
            return [one for one in told(self, *args) if not isinstance(one, ev.FeedGap)]

        patch.setattr(Release, name, silent)
