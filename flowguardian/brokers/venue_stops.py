"""The protective stops at the venue: placed, confirmed, replaced, cancelled, and missed when they are gone.

Rule: which stop should rest is decided in stops.py; here it is asked for, and only the venue's answer, event
or list says that it rests. A position without one for longer than allowed is an incident.
"""

from __future__ import annotations

from typing import Any

import structlog

from flowguardian.brokers import answers
from flowguardian.brokers.desk import Desk, amount_text, side_text
from flowguardian.brokers.signed import OutcomeUnknown, Refused
from flowguardian.brokers.stops import Stop, Stops
from flowguardian.execution import events as ev
from flowguardian.market.records import SECOND_NS

ALGO, OPEN_ALGOS = "/fapi/v1/algoOrder", "/fapi/v1/openAlgoOrders"
DUPLICATE = -4116
"""The venue's code for a client id that an open order has."""
_AGAIN_SECONDS = 0.5
_RESTING = ("NEW", "TRIGGERING")


class VenueStops:
    """The stops of one account."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self.stops = Stops(desk.options.tag, desk.options.stop_gap)
        self._told_naked: set[str] = set()
        self._log = structlog.get_logger("broker")

    def protect(self) -> None:
        """Bring the stops in line with the positions; called once per turn of the loop."""
        engine = self._desk.engine
        portfolio = engine.portfolio
        wanted = self.stops.changes(portfolio.positions, portfolio.last_fill_id, engine.instruments)
        for stop in wanted.place:
            self.stops.asked(stop)
            self._desk.spawn(self._place(stop))
        for stop in wanted.cancel:
            self.stops.gone(stop.symbol, stop.client_id)
            self._desk.spawn(self._cancel(stop))
        self._watch_bare()

    def _watch_bare(self) -> None:
        positions, now_ns = self._desk.engine.portfolio.positions, self._desk.now_ns()
        bare = self.stops.bare_since(positions, now_ns)
        self._told_naked &= bare.keys()
        for symbol, since_ns in bare.items():
            late = now_ns - since_ns > self._desk.options.naked_seconds * SECOND_NS
            if late and symbol not in self._told_naked:
                self._told_naked.add(symbol)
                self._log.error("a position has no stop at the venue", symbol=symbol)
                self._desk.tell(ev.PositionNaked(0, symbol, since_ns, "the venue has not confirmed a stop"))

    async def _place(self, stop: Stop) -> None:
        request = self._desk.signed.post(
            ALGO, 1, algoType="CONDITIONAL", symbol=stop.symbol, side=side_text(stop.side),
            type="STOP_MARKET", triggerPrice=amount_text(stop.price), quantity=amount_text(stop.qty),
            reduceOnly="true", clientAlgoId=stop.client_id,
        )  # fmt: skip
        try:
            await self._desk.ask(request)
        except Refused as error:
            if error.code == DUPLICATE:
                # It rests already, whatever the venue's list said a moment ago.
                self.stops.confirmed(stop)
                return
            self._log.warning("a stop was refused", symbol=stop.symbol, code=error.code, why=error.message)
            await self._desk.pace.pause(_AGAIN_SECONDS)
            self.stops.failed(stop)
        except OutcomeUnknown as error:
            self._log.warning("a stop's outcome is unknown", symbol=stop.symbol, why=str(error))
            await self._desk.pace.pause(_AGAIN_SECONDS)
            await self.read()
            self.stops.failed(stop)
        else:
            self.stops.confirmed(stop)
            self._desk.tell(ev.StopConfirmed(0, stop.symbol, stop.qty, stop.price, stop.client_id))

    async def _cancel(self, stop: Stop) -> None:
        try:
            await self._desk.ask(
                self._desk.signed.delete(ALGO, 1, symbol=stop.symbol, clientAlgoId=stop.client_id)
            )
        except (Refused, OutcomeUnknown) as error:
            # Gone already, or the next comparison of the account finds it.
            self._log.info("a stop was not cancelled", symbol=stop.symbol, why=str(error))

    def heard(self, event: dict[str, Any]) -> None:
        """An ALGO_UPDATE; one that cannot be read may tell of a stop that is gone: the list is asked."""
        try:
            found = answers.stop_event_of(event)
        except answers.Unreadable as error:
            self._log.warning("an event of a stop could not be read", why=str(error))
            self._desk.spawn(self.read())
            return
        if self.stops.is_ours(found.client_id) and found.status not in _RESTING:
            self.stops.gone(found.symbol, found.client_id)

    async def read(self) -> None:
        """The stops that really rest at the venue: what its list does not name is not there."""
        try:
            listed = answers.stops_of(await self._desk.ask(self._desk.signed.get(OPEN_ALGOS, 40)))
        except (Refused, OutcomeUnknown, answers.Unreadable) as error:
            # What was known of them stays; every comparison of the account asks again.
            self._log.warning("stops could not be read", why=str(error))
            return
        found: dict[str, dict[str, Stop]] = {}
        for stop in listed:
            if self.stops.is_ours(stop.client_id):
                found.setdefault(stop.symbol, {})[stop.client_id] = stop
        self.stops.seen(found)
