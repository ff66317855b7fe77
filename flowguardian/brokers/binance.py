"""The live broker of a venue of the Binance USD-M dialect: orders out once, the venue's word in as facts.

Rule: an order is in the journal before it gets here and is sent once; yes, no and unknown are three outcomes,
and unknown leaves only on evidence from the venue. Nothing here decides a trade.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

from flowguardian.brokers import answers
from flowguardian.brokers.account_watch import ORDER, PAGE, TRADES, AccountWatch
from flowguardian.brokers.base import VenueBroker
from flowguardian.brokers.desk import Desk, LiveOptions, amount_text, side_text
from flowguardian.brokers.incomes import FUNDING
from flowguardian.brokers.order_track import NEVER_ARRIVED, Tracked
from flowguardian.brokers.signed import RECV_WINDOW_MS, OutcomeUnknown, Refused, Signed
from flowguardian.brokers.user_stream import UserStream
from flowguardian.brokers.venue_stops import VenueStops
from flowguardian.execution import events as ev
from flowguardian.execution.engine import Engine
from flowguardian.execution.money import ceil_step
from flowguardian.execution.orders import OrderState
from flowguardian.feeds.base import VenueUnreachable
from flowguardian.feeds.pace import Pace
from flowguardian.market.records import SECOND_NS

PROOF_NS = RECV_WINDOW_MS * 1_000_000 + SECOND_NS
"""After so long an order that the venue does not know cannot arrive any more (DESIGN §3c)."""
STREAM_SECONDS = 30.0
_FIRST_LOOK_SECONDS, _LONGEST_LOOK_SECONDS = 0.5, 8.0
_FORGOTTEN_NS = 20 * SECOND_NS
"""So long after an exit that came short the next one is another matter."""


class LiveBroker(VenueBroker):
    """Orders of one engine at one venue."""

    def __init__(
        self,
        signed: Signed,
        stream_base: str,
        engine: Engine,
        options: LiveOptions,
        *,
        pace: Pace,
        now_ns: Callable[[], int],
        live_ns: Callable[[], int],
        on_facts: Callable[[], None] = lambda: None,
    ) -> None:
        self._desk = Desk(
            signed, engine, options, pace=pace, now_ns=now_ns, live_ns=live_ns, on_facts=on_facts
        )
        self._signed, self._pace = signed, pace
        self._orders: dict[str, Tracked] = {}
        """By client id: what is not over."""
        self._stops = VenueStops(self._desk)
        self.account = AccountWatch(self._desk, self._stops, self._orders)
        self._stream = UserStream(stream_base, signed, self._heard, self._is_up, pace)
        self._failed_exits: dict[str, tuple[int, int]] = {}
        """Exits in a row that came short and the moment of the last, by symbol."""
        self._log = structlog.get_logger("broker")

    # ---- what the loop uses

    def submit(self, order: ev.OrderRequested) -> int:
        """Take an order that is in the journal; it leaves at the next turn of the event loop."""
        self._desk.activity += 1
        self._desk.spawn(self._send(self._track(order)))
        return order.ts_ns

    def take(self) -> list[ev.Row]:
        """Facts since the last call, in order; the loop stamps them. Raises what ended a task."""
        self._desk.check()
        self._stream.check()
        found = list(self._desk.facts)
        self._desk.facts.clear()
        return found

    def beside(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something beside the loop; `take` raises what ends it."""
        self._desk.spawn(work)

    def protect(self) -> None:
        """See to the stops at the venue."""
        self._stops.protect()

    # ---- life

    async def start(self) -> None:
        """Listen, settle what an earlier process left open, and keep comparing the account.

        Raises VenueUnreachable when the user data stream does not come up.
        """
        for order in list(self._desk.engine.portfolio.orders.values()):
            unknown = order.state is OrderState.UNKNOWN
            tracked = self._track(order.request, order.filled, is_unknown=unknown)
            # An earlier process may have sent it as late as just now.
            tracked.sent_ns = self._desk.now_ns()
            tracked.unknown()
            self._desk.spawn(self._resolve(tracked))
        self._stream.begin()
        try:
            async with asyncio.timeout(STREAM_SECONDS):
                await self._stream.up.wait()
        except TimeoutError:
            raise VenueUnreachable(
                f"the user data stream does not come up ({self._stream.last_error or 'no answer'}). "
                "Look at the key, the network and the venue's status page; the run resumes where it stopped."
            ) from None
        await self._stops.read()
        await self.account.begin()
        self._desk.spawn(self.account.keep_comparing())

    async def settle(self, seconds: float) -> None:
        """Wait, a bounded time, until no request is on its way: in slices the market stands meanwhile."""
        if not await self._desk.quiet(seconds):
            self._log.warning("requests are still on their way")

    async def close(self) -> None:
        """Leave everything at the venue as it is: stops stay."""
        await self._stream.close()
        await self._desk.close()

    # ---- orders

    def _track(self, order: ev.OrderRequested, landed: int = 0, *, is_unknown: bool = False) -> Tracked:
        client_id = f"{self._desk.options.tag}-{order.order_id}"
        tracked = Tracked(order, client_id, landed, is_unknown=is_unknown)
        self._orders[tracked.client_id] = tracked
        return tracked

    async def _send(self, tracked: Tracked) -> None:
        order = tracked.order
        is_exit = order.purpose is ev.Purpose.EXIT
        failures = self._failures(order.symbol)
        if is_exit and failures:
            # What the venue refused, or ended before it was filled, is asked again, and not in a storm.
            grown = _FIRST_LOOK_SECONDS * 2.0 ** min(failures, 10)
            await self._pace.pause(min(_LONGEST_LOOK_SECONDS, grown))
        now_ns = self._desk.now_ns()
        if not is_exit and now_ns - order.ts_ns > self._desk.options.max_send_age_seconds * SECOND_NS:
            tracked.unsent()
            self._changed(tracked)
            return
        tracked.sent_ns = now_ns
        try:
            body = await self._desk.ask(self._signed.post(ORDER, 1, **self._parameters(tracked)))
            tracked.reported(answers.order_of(body)[1])
        except Refused as error:
            tracked.refused(error.code, error.message)
        except (OutcomeUnknown, answers.Unreadable) as error:
            self._log.warning("outcome unknown", order=order.order_id, why=str(error))
            tracked.unknown()
        tracked.sent_ns = self._desk.now_ns()
        if is_exit and tracked.is_refused:
            await self.account.missed(order.symbol)  # Somebody else may have closed it.
        self._changed(tracked)
        await self._resolve(tracked)

    async def _resolve(self, tracked: Tracked) -> None:
        """Ask until the end of an order is proved and its trades are known, unless the stream is faster."""
        delay = _FIRST_LOOK_SECONDS
        while not tracked.over:
            if tracked.lacks_fills:
                await self._look_at_trades(tracked)
            elif not tracked.is_final:
                await self._look_at(tracked)
            self._changed(tracked)
            if not tracked.over:
                await self._pace.pause(delay)
                delay = min(_LONGEST_LOOK_SECONDS, 2 * delay)

    async def _look_at(self, tracked: Tracked) -> None:
        symbol, client_id, asked_ns = tracked.order.symbol, tracked.client_id, self._desk.now_ns()
        try:
            request = self._signed.get(ORDER, 1, symbol=symbol, origClientOrderId=client_id)
            tracked.reported(answers.order_of(await self._desk.ask(request))[1])
        except Refused as error:
            # Only the venue's own word that there is none counts; a network that fails proves nothing.
            if error.code == NEVER_ARRIVED:
                tracked.absent(asked_ns, PROOF_NS)
        except (OutcomeUnknown, answers.Unreadable) as error:
            self._log.warning("an order could not be looked up", order=tracked.order.order_id, why=str(error))

    async def _look_at_trades(self, tracked: Tracked) -> None:
        symbol = tracked.order.symbol
        try:
            request = self._signed.get(TRADES, 5, symbol=symbol, orderId=tracked.venue_id, limit=PAGE)
            found = answers.trades_of(await self._desk.ask(request))
            tracked.listed(traded.fill for traded in found)
            for traded in found:
                self.account.noted(traded)
        except (Refused, OutcomeUnknown, answers.Unreadable) as error:
            self._log.warning("trades could not be looked up", order=tracked.order.order_id, why=str(error))

    def _changed(self, tracked: Tracked) -> None:
        self._desk.tell(*tracked.facts())
        if tracked.over:
            # Its trades are accounted for: what is still said of it changes nothing.
            gone = self._orders.pop(tracked.client_id, None)
            if gone is not None and tracked.came_short and tracked.order.purpose is ev.Purpose.EXIT:
                symbol = tracked.order.symbol
                self._failed_exits[symbol] = (self._failures(symbol) + 1, self._desk.now_ns())

    def _failures(self, symbol: str) -> int:
        """Exits of a symbol that came short in a row."""
        failures, last_ns = self._failed_exits.get(symbol, (0, 0))
        return failures if self._desk.now_ns() - last_ns <= _FORGOTTEN_NS else 0

    def _parameters(self, tracked: Tracked) -> dict[str, object]:
        order = tracked.order
        entry = order.purpose is ev.Purpose.ENTRY
        return {
            "symbol": order.symbol,
            "side": side_text(order.side),
            "type": "LIMIT" if entry else "MARKET",
            "timeInForce": "IOC" if entry else None,
            "quantity": amount_text(self._quantity(order)),
            "price": amount_text(order.limit_price) if entry else None,
            "reduceOnly": None if entry else "true",
            "newClientOrderId": tracked.client_id,
            "newOrderRespType": "RESULT",
        }

    def _quantity(self, order: ev.OrderRequested) -> int:
        """What is asked for: an exit of everything fits the step of now; it takes no more than there is."""
        engine = self._desk.engine
        position = engine.portfolio.positions.get(order.symbol)
        if order.purpose is ev.Purpose.ENTRY or position is None or order.qty < position.qty:
            return order.qty
        return ceil_step(order.qty, engine.instruments[order.symbol].step_size)

    # ---- the user stream

    def _heard(self, event: dict[str, Any]) -> None:
        """An event, in the order of the venue."""
        kind = event.get("e")
        try:
            if kind == "ORDER_TRADE_UPDATE":
                self._order_event(answers.event_of(event))
            elif kind == "ALGO_UPDATE":
                self._stops.heard(event)
            elif kind == "ACCOUNT_UPDATE" and answers.reason_of(event) == FUNDING:
                # One event may cover several symbols and names none: the venue's own record is asked.
                self.account.incomes.told()
        except answers.Unreadable as error:
            # Orders of ours are asked for by REST as well; of others' the comparison sees what matters.
            self._log.warning("an event could not be read", kind=kind, why=str(error))

    def _order_event(self, found: answers.OrderEvent) -> None:
        tracked = self._orders.get(found.client_id)
        if tracked is None:
            if found.traded is not None:
                self.account.foreign(found.traded, found.client_id)
            return
        tracked.reported(found.report)
        if found.traded is not None:
            self.account.noted(found.traded)
            tracked.traded(found.traded.fill, found.report.executed)
        self._changed(tracked)

    def _is_up(self) -> None:
        """The stream is up; when it was up before, what it did not say is asked for."""
        if self._stream.connected > 1:
            self._desk.spawn(self._catch_up())

    async def _catch_up(self) -> None:
        """Trades and funding nobody told of, and the stops; every open order is being asked for already."""
        for symbol in tuple(self._desk.engine.instruments):
            await self.account.missed(symbol)
        await self.account.incomes.look_for_funding()
        await self._stops.read()
