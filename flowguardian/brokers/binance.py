"""The live broker of a venue of the Binance USD-M dialect: orders out once, the venue's word in as facts.

Rule: an order is in the journal before it gets here and is sent once; yes, no and unknown are three outcomes,
and unknown leaves only on evidence from the venue. What the venue says becomes facts for the loop, stamped by
it; nothing here decides a trade.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import structlog

from flowguardian.brokers import answers
from flowguardian.brokers.answers import Traded
from flowguardian.brokers.base import VenueBroker
from flowguardian.brokers.order_track import NEVER_ARRIVED, Tracked
from flowguardian.brokers.signed import RECV_WINDOW_MS, OutcomeUnknown, Refused, Signed
from flowguardian.brokers.stops import Stop, Stops
from flowguardian.brokers.user_stream import UserStream
from flowguardian.execution import events as ev
from flowguardian.execution.engine import Engine
from flowguardian.execution.money import decimal, units
from flowguardian.feeds.pace import Pace

SECOND_NS = 1_000_000_000
PROOF_NS = RECV_WINDOW_MS * 1_000_000 + SECOND_NS
"""After so long an order that the venue does not know cannot arrive any more (DESIGN §3c)."""
ORDER, ALGO = "/fapi/v1/order", "/fapi/v1/algoOrder"
_FIRST_LOOK_SECONDS, _LONGEST_LOOK_SECONDS = 0.5, 8.0
_BY_VENUE = {
    "autoclose-": ev.ExitReason.LIQUIDATION,
    "adl_autoclose": ev.ExitReason.DELEVERAGED,
    "settlement_autoclose-": ev.ExitReason.SETTLED,
}
"""How client ids of orders begin that the venue makes itself (API documentation, ORDER_TRADE_UPDATE)."""
_PAGE = 1000


@dataclass(frozen=True, slots=True)
class LiveOptions:
    """Times in seconds of the run clock."""

    tag: str
    """Begins the client id of every order of this run; letters, digits, `-`, at most 20."""
    max_send_age_seconds: float = 1.0
    naked_seconds: float = 5.0
    reconcile_seconds: float = 10.0
    evidence_seconds: float = 300.0


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
        on_facts: Callable[[], None] = lambda: None,
    ) -> None:
        self._signed, self._engine, self._options = signed, engine, options
        self._pace, self._now_ns, self._on_facts = pace, now_ns, on_facts
        self._stream = UserStream(stream_base, signed, self._heard, self._caught_up_later, pace)
        self._orders: dict[str, Tracked] = {}
        """By client id: what is not over, and everything of this run that may still be spoken of."""
        self._facts: deque[ev.Row] = deque()
        self._stops = Stops(options.tag)
        self._told_naked: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._requests = 0
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._failed_exits: dict[str, int] = {}
        self._last_trade: dict[str, int] = {}
        self._said: tuple[str, int] | None = None
        self._log = structlog.get_logger("broker")

    # ---- what the loop uses

    def submit(self, order: ev.OrderRequested) -> int:
        """Take an order that is in the journal; it leaves at the next turn of the event loop."""
        tracked = Tracked(order, f"{self._options.tag}-{order.order_id}")
        self._orders[tracked.client_id] = tracked
        self._spawn(self._send(tracked))
        return order.ts_ns

    def take(self) -> list[ev.Row]:
        """Facts since the last call, in order; the loop stamps them."""
        self._check()
        found = list(self._facts)
        self._facts.clear()
        return found

    # ---- life

    async def start(self) -> None:
        """Listen, settle what an earlier process left open, and keep comparing the account."""
        portfolio = self._engine.portfolio
        self._last_trade = dict(portfolio.last_fill_id)
        for order in list(portfolio.orders.values()):
            tracked = Tracked(order.request, f"{self._options.tag}-{order.request.order_id}")
            tracked.sent_ns = order.request.ts_ns
            tracked.unknown()
            self._orders[tracked.client_id] = tracked
            self._spawn(self._resolve(tracked))
        self._stream.begin()
        await asyncio.wait_for(self._stream.up.wait(), 30.0)
        await self._read_stops()
        self._spawn(self._keep_reconciling())

    async def settle(self, seconds: float) -> None:
        """Wait, a bounded time, until no request is on its way: in slices the market stands meanwhile."""
        for _ in range(4):
            await asyncio.sleep(0)
        try:
            await asyncio.wait_for(self._quiet.wait(), seconds)
        except TimeoutError:
            self._log.warning("requests are still on their way", many=self._requests)

    async def close(self) -> None:
        """Leave everything at the venue as it is: stops stay."""
        await self._stream.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._signed.close()

    # ---- orders

    async def _send(self, tracked: Tracked) -> None:
        order = tracked.order
        is_exit = order.purpose is ev.Purpose.EXIT
        if is_exit and (failures := self._failed_exits.get(order.symbol, 0)):
            # What the venue refused is asked again, and not in a storm.
            await self._pace.pause(min(_LONGEST_LOOK_SECONDS, _FIRST_LOOK_SECONDS * 2.0**failures))
        age_ns = self._now_ns() - order.ts_ns
        if not is_exit and age_ns > self._options.max_send_age_seconds * SECOND_NS:
            tracked.unsent()
            self._changed(tracked)
            return
        tracked.sent_ns = self._now_ns()
        try:
            body = await self._ask(self._signed.post(ORDER, 1, **self._parameters(tracked)))
            tracked.reported(answers.order_of(body)[1])
        except Refused as error:
            tracked.refused(error.code, error.message)
        except (OutcomeUnknown, answers.Unreadable) as error:
            self._log.warning("outcome unknown", order=order.order_id, why=str(error))
            tracked.unknown()
        if is_exit:
            refused = tracked.is_refused
            self._failed_exits[order.symbol] = self._failed_exits.get(order.symbol, 0) + 1 if refused else 0
        self._changed(tracked)
        await self._resolve(tracked)

    def _parameters(self, tracked: Tracked) -> dict[str, object]:
        order = tracked.order
        entry = order.purpose is ev.Purpose.ENTRY
        return {
            "symbol": order.symbol,
            "side": "BUY" if order.side > 0 else "SELL",
            "type": "LIMIT" if entry else "MARKET",
            "timeInForce": "IOC" if entry else None,
            "quantity": _text(order.qty),
            "price": _text(order.limit_price) if entry else None,
            "reduceOnly": None if entry else "true",
            "newClientOrderId": tracked.client_id,
            "newOrderRespType": "RESULT",
        }

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
        try:
            body = await self._ask(
                self._signed.get(ORDER, 1, symbol=tracked.order.symbol, origClientOrderId=tracked.client_id)
            )
            tracked.reported(answers.order_of(body)[1])
        except Refused as error:
            # Only the venue's own word that there is none counts; a network that fails proves nothing.
            if error.code == NEVER_ARRIVED:
                tracked.absent(self._now_ns(), PROOF_NS)
        except (OutcomeUnknown, answers.Unreadable) as error:
            self._log.warning("an order could not be looked up", order=tracked.order.order_id, why=str(error))

    async def _look_at_trades(self, tracked: Tracked) -> None:
        try:
            body = await self._ask(
                self._signed.get(
                    "/fapi/v1/userTrades", 5, symbol=tracked.order.symbol, orderId=tracked.venue_id
                )
            )
            for traded in answers.trades_of(body):
                self._note_trade(traded)
                tracked.traded([traded.fill])
        except (Refused, OutcomeUnknown, answers.Unreadable) as error:
            self._log.warning("trades could not be looked up", order=tracked.order.order_id, why=str(error))

    def _changed(self, tracked: Tracked) -> None:
        self._tell(*tracked.facts(0))

    # ---- the user stream

    def _heard(self, event: dict[str, Any]) -> None:
        """An event, in the order of the venue."""
        kind = event.get("e")
        if kind == "ORDER_TRADE_UPDATE":
            self._order_event(answers.event_of(event))
        elif kind == "ALGO_UPDATE":
            self._stop_event(event.get("o", {}))
        elif kind == "ACCOUNT_UPDATE":
            self._account_event(event.get("a", {}))

    def _order_event(self, found: answers.OrderEvent) -> None:
        tracked = self._orders.get(found.client_id)
        if tracked is not None:
            tracked.reported(found.report)
            if found.traded is not None:
                self._note_trade(found.traded)
                tracked.traded([found.traded.fill])
            self._changed(tracked)
        elif found.traded is not None:
            self._foreign(found.traded, found.client_id)

    def _stop_event(self, body: dict[str, Any]) -> None:
        client_id, status = str(body.get("caid", "")), body.get("X")
        if self._stops.is_ours(client_id) and status not in ("NEW", "TRIGGERING"):
            self._stops.gone(str(body.get("s", "")), client_id)

    def _account_event(self, body: dict[str, Any]) -> None:
        if body.get("m") != "FUNDING_FEE":
            return
        amount = sum(units(one.get("bc", "0")) for one in body.get("B", ()) if one.get("a") == answers.QUOTE)
        symbols = [one["s"] for one in body.get("P", ())]
        if amount:
            self._tell(ev.FundingSettled(0, symbols[0] if symbols else "", 0, 0, amount))

    def _foreign(self, traded: Traded, client_id: str) -> None:
        """A fill that no order of the engine asked for."""
        fill, symbol = traded.fill, traded.symbol
        if fill.trade_id <= self._last_trade.get(symbol, 0):
            return
        self._note_trade(traded)
        position = self._engine.portfolio.positions.get(symbol)
        if position is None or traded.side == position.side:
            # It opens or adds: the next comparison of the account says so and stops entries.
            return
        made = [reason for prefix, reason in _BY_VENUE.items() if client_id.startswith(prefix)]
        stop = ev.ExitReason.STOP if self._stops.is_ours(client_id) else ev.ExitReason.OUTSIDE
        reason = made[0] if made else stop
        qty = min(fill.qty, position.qty)
        self._tell(ev.ClosedByVenue(0, symbol, qty, fill.price, fill.fee, fill.trade_id, reason))

    def _note_trade(self, traded: Traded) -> None:
        self._last_trade[traded.symbol] = max(self._last_trade.get(traded.symbol, 0), traded.fill.trade_id)

    def _caught_up_later(self) -> None:
        """The stream is up again: what it did not say is asked for."""
        if self._stream.connected > 1:
            self._spawn(self._catch_up())

    async def _catch_up(self) -> None:
        """Trades since the last known one of every symbol, and what became of every open order."""
        for symbol in tuple(self._engine.instruments):
            await self._missed(symbol)
        for tracked in [one for one in self._orders.values() if not one.over and one.sent_ns]:
            await self._look_at(tracked)
            if tracked.lacks_fills:
                await self._look_at_trades(tracked)
            self._changed(tracked)

    async def _missed(self, symbol: str) -> None:
        last = self._last_trade.get(symbol, 0)
        if not last:
            return
        try:
            body = await self._ask(
                self._signed.get("/fapi/v1/userTrades", 5, symbol=symbol, fromId=last + 1, limit=_PAGE)
            )
            for traded in answers.trades_of(body):
                await self._place(traded)
        except (Refused, OutcomeUnknown, answers.Unreadable) as error:
            self._log.warning("missed trades could not be looked up", symbol=symbol, why=str(error))

    async def _place(self, traded: Traded) -> None:
        """A trade found by REST: of an order of ours, or of nobody's."""
        known = next((one for one in self._orders.values() if one.venue_id == traded.venue_id), None)
        if known is not None:
            self._note_trade(traded)
            known.traded([traded.fill])
            self._changed(known)
            return
        body = await self._ask(self._signed.get(ORDER, 1, symbol=traded.symbol, orderId=traded.venue_id))
        client_id, report = answers.order_of(body)
        tracked = self._orders.get(client_id)
        if tracked is None:
            self._foreign(traded, client_id)
            return
        tracked.reported(report)
        self._note_trade(traded)
        tracked.traded([traded.fill])
        self._changed(tracked)

    # ---- protective stops

    def protect(self) -> None:
        """Bring the stops at the venue in line with the positions; called once per turn of the loop."""
        portfolio, now_ns = self._engine.portfolio, self._now_ns()
        wanted = self._stops.changes(portfolio.positions, portfolio.last_fill_id, self._engine.instruments)
        for stop in wanted.place:
            self._stops.asked(stop)
            self._spawn(self._place_stop(stop))
        for stop in wanted.cancel:
            self._stops.gone(stop.symbol, stop.client_id)
            self._spawn(self._cancel_stop(stop))
        bare = self._stops.bare_since(portfolio.positions, now_ns)
        self._told_naked &= bare.keys()
        for symbol, since_ns in bare.items():
            position = portfolio.positions[symbol]
            late = now_ns - since_ns > self._options.naked_seconds * SECOND_NS
            if late and not position.exit_order_id and symbol not in self._told_naked:
                self._told_naked.add(symbol)
                self._log.error("a position has no stop at the venue", symbol=symbol)
                self._tell(ev.PositionNaked(0, symbol, since_ns, self._stream.last_error or "not confirmed"))

    async def _place_stop(self, stop: Stop) -> None:
        try:
            await self._ask(
                self._signed.post(
                    ALGO, 1, algoType="CONDITIONAL", symbol=stop.symbol,
                    side="BUY" if stop.side > 0 else "SELL", type="STOP_MARKET",
                    triggerPrice=_text(stop.price), quantity=_text(stop.qty), reduceOnly="true",
                    clientAlgoId=stop.client_id,
                )
            )  # fmt: skip
        except Refused as error:
            self._log.warning("a stop was refused", symbol=stop.symbol, code=error.code, why=error.message)
            await self._pace.pause(_FIRST_LOOK_SECONDS)
            self._stops.failed(stop)
            return
        except OutcomeUnknown as error:
            self._log.warning("a stop's outcome is unknown", symbol=stop.symbol, why=str(error))
            await self._pace.pause(_FIRST_LOOK_SECONDS)
            self._stops.failed(stop)
            await self._read_stops()
            return
        self._stops.confirmed(stop)
        self._tell(ev.StopConfirmed(0, stop.symbol, stop.qty, stop.price, stop.client_id))

    async def _cancel_stop(self, stop: Stop) -> None:
        try:
            await self._ask(self._signed.delete(ALGO, 1, symbol=stop.symbol, clientAlgoId=stop.client_id))
        except (Refused, OutcomeUnknown) as error:
            # Gone already, or the comparison of the account finds it again.
            self._log.info("a stop was not cancelled", symbol=stop.symbol, why=str(error))

    async def _read_stops(self) -> None:
        """The stops that really rest at the venue."""
        try:
            body = await self._ask(self._signed.get("/fapi/v1/openAlgoOrders", 40))
        except (Refused, OutcomeUnknown) as error:
            self._log.warning("stops could not be read", why=str(error))
            return
        found: dict[str, dict[str, Stop]] = {}
        for one in body if isinstance(body, list) else ():
            client_id = str(one.get("clientAlgoId", ""))
            if self._stops.is_ours(client_id):
                stop = Stop(
                    one["symbol"], answers.side_of(one["side"]), units(one["quantity"]),
                    units(one["triggerPrice"]), client_id,
                )  # fmt: skip
                found.setdefault(stop.symbol, {})[client_id] = stop
        self._stops.seen(found)

    # ---- comparing the account

    async def _keep_reconciling(self) -> None:
        while True:
            await self.reconcile()
            await self._pace.sleep(self._options.reconcile_seconds)

    async def reconcile(self) -> None:
        """Compare the account with the books when nothing is on its way; missed trades come first."""
        if self._is_moving():
            return
        try:
            balances = await self._ask(self._signed.get("/fapi/v3/balance", 5))
            positions = await self._ask(self._signed.get("/fapi/v3/positionRisk", 5))
            account = answers.account_of(balances, positions)
        except (Refused, OutcomeUnknown, answers.Unreadable) as error:
            self._log.warning("the account could not be compared", why=str(error))
            return
        await self._read_stops()
        if self._is_moving():
            return
        held = {name: one.side * one.qty for name, one in self._engine.portfolio.positions.items()}
        differing = [
            symbol for symbol in {*held, *account.positions}
            if held.get(symbol, 0) != account.positions.get(symbol, 0)
        ]  # fmt: skip
        if differing and self._said is not None and not self._said[0]:
            for symbol in differing:
                await self._missed(symbol)
            if self._facts:
                return  # The books move first; the next comparison sees what is left.
        self._compared(account, held, sorted(differing))

    def _is_moving(self) -> bool:
        return bool(self._facts) or any(not one.over for one in self._orders.values())

    def _compared(self, account: answers.AccountState, held: dict[str, int], differing: list[str]) -> None:
        parts = [
            f"{symbol}: {_text(account.positions.get(symbol, 0))} at the venue, "
            f"{_text(held.get(symbol, 0))} in the books"
            for symbol in differing
        ]
        difference, now_ns = "; ".join(parts), self._now_ns()
        due = self._said is None or now_ns - self._said[1] >= self._options.evidence_seconds * SECOND_NS
        if due or self._said is None or difference != self._said[0]:
            self._said = (difference, now_ns)
            self._tell(
                ev.AccountReconciled(
                    0, account.wallet, self._engine.portfolio.balance(), len(account.positions),
                    sum(not one.over for one in self._orders.values()), difference,
                )
            )  # fmt: skip

    # ---- parts

    def _tell(self, *facts: ev.Row) -> None:
        if facts:
            self._facts.extend(facts)
            self._on_facts()

    async def _ask(self, request: Coroutine[Any, Any, Any]) -> Any:
        """A request, counted while it is on its way."""
        self._requests += 1
        self._quiet.clear()
        try:
            return await request
        finally:
            self._requests -= 1
            if not self._requests:
                self._quiet.set()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if task.cancelled() or task.exception() is None:
            self._tasks.discard(task)

    def _check(self) -> None:
        """A task that died ends the run's process with its reason: none dies unseen."""
        self._stream.check()
        for task in tuple(self._tasks):
            if task.done():
                task.result()


def _text(amount: int) -> str:
    """An amount as the venue writes it, without an exponent."""
    return f"{decimal(amount).normalize():f}"
