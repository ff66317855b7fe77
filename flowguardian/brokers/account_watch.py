"""The account at the venue against the books: compared all the time, and trades nobody told of are found.

Rule: a difference is first looked for among the account's trades; what is left of it is said in a row, and
the engine takes no more entries. Nothing here changes the account.
"""

from __future__ import annotations

import structlog

from flowguardian.brokers import answers
from flowguardian.brokers.answers import AccountState, Traded
from flowguardian.brokers.desk import Desk, amount_text
from flowguardian.brokers.order_track import Tracked
from flowguardian.brokers.signed import OutcomeUnknown, Refused
from flowguardian.brokers.venue_stops import VenueStops
from flowguardian.execution import events as ev

ORDER, TRADES = "/fapi/v1/order", "/fapi/v1/userTrades"
SECOND_NS = 1_000_000_000
PAGE = 1000
BY_VENUE = {
    "autoclose-": ev.ExitReason.LIQUIDATION,
    "adl_autoclose": ev.ExitReason.DELEVERAGED,
    "settlement_autoclose-": ev.ExitReason.SETTLED,
}
"""How client ids of orders begin that the venue makes itself (API documentation, ORDER_TRADE_UPDATE)."""
_TROUBLE = (Refused, OutcomeUnknown, answers.Unreadable)


class AccountWatch:
    """Compares one account; `orders` are those of this run by client id."""

    def __init__(self, desk: Desk, stops: VenueStops, orders: dict[str, Tracked]) -> None:
        self._desk, self._stops, self._orders = desk, stops, orders
        self._last_trade = dict(desk.engine.portfolio.last_fill_id)
        self._said: tuple[str, int] | None = None
        self._log = structlog.get_logger("broker")

    # ---- trades

    def noted(self, traded: Traded) -> None:
        """A trade that is accounted for."""
        last = self._last_trade.get(traded.symbol, 0)
        self._last_trade[traded.symbol] = max(last, traded.fill.trade_id)

    def foreign(self, traded: Traded, client_id: str) -> None:
        """A trade that no order of the engine asked for: what it takes from a position is a fact."""
        fill, symbol = traded.fill, traded.symbol
        if fill.trade_id <= self._last_trade.get(symbol, 0):
            return
        self.noted(traded)
        position = self._desk.engine.portfolio.positions.get(symbol)
        if position is None or traded.side == position.side:
            # It opens or adds: the next comparison of the account says so and stops entries.
            return
        own = ev.ExitReason.STOP if self._stops.stops.is_ours(client_id) else ev.ExitReason.OUTSIDE
        made = (reason for prefix, reason in BY_VENUE.items() if client_id.startswith(prefix))
        qty = min(fill.qty, position.qty)
        self._desk.tell(
            ev.ClosedByVenue(0, symbol, qty, fill.price, fill.fee, fill.trade_id, next(made, own))
        )

    async def missed(self, symbol: str) -> None:
        """Trades of a symbol after the last one accounted for."""
        last = self._last_trade.get(symbol, 0)
        signed = self._desk.signed
        asked: dict[str, object] = {"fromId": last + 1} if last else {}
        try:
            body = await self._desk.ask(signed.get(TRADES, 5, symbol=symbol, limit=PAGE, **asked))
            for traded in answers.trades_of(body):
                if traded.fill.trade_id > self._last_trade.get(symbol, 0):
                    await self._place(traded)
        except _TROUBLE as error:
            self._log.warning("missed trades could not be looked up", symbol=symbol, why=str(error))

    async def _place(self, traded: Traded) -> None:
        """A trade found by REST: of an order of ours, or of nobody's."""
        body = await self._desk.ask(
            self._desk.signed.get(ORDER, 1, symbol=traded.symbol, orderId=traded.venue_id)
        )
        client_id, report = answers.order_of(body)
        known = self._orders.get(client_id)
        if known is None:
            self.foreign(traded, client_id)
        else:
            self.noted(traded)
            known.reported(report)  # Who resolves it asks for its trades.

    # ---- the comparison

    async def keep_comparing(self) -> None:
        """Until the run ends."""
        while True:
            await self.compare()
            await self._desk.pace.sleep(self._desk.options.reconcile_seconds)

    async def compare(self) -> None:
        """Compare when nothing is on its way; missed trades come first."""
        if self._is_moving():
            return
        signed = self._desk.signed
        try:
            balances = await self._desk.ask(signed.get("/fapi/v3/balance", 5))
            positions = await self._desk.ask(signed.get("/fapi/v3/positionRisk", 5))
            account = answers.account_of(balances, positions)
        except _TROUBLE as error:
            self._log.warning("the account could not be compared", why=str(error))
            return
        await self._stops.read()
        if self._is_moving():
            return
        differing = self._differing(account)
        if differing and (self._said is None or not self._said[0]):
            for symbol in differing:
                await self.missed(symbol)
            if self._desk.facts:
                return  # The books move first; the next comparison sees what is left.
        self._tell(account, differing)

    def _differing(self, account: AccountState) -> list[str]:
        held = self._held()
        symbols = sorted({*held, *account.positions})
        return [one for one in symbols if held.get(one, 0) != account.positions.get(one, 0)]

    def _held(self) -> dict[str, int]:
        return {name: one.side * one.qty for name, one in self._desk.engine.portfolio.positions.items()}

    def _is_moving(self) -> bool:
        return bool(self._desk.facts) or any(not one.over for one in self._orders.values())

    def _tell(self, account: AccountState, differing: list[str]) -> None:
        held = self._held()
        difference = "; ".join(
            f"{symbol}: {amount_text(account.positions.get(symbol, 0))} at the venue, "
            f"{amount_text(held.get(symbol, 0))} in the books"
            for symbol in differing
        )
        now_ns = self._desk.now_ns()
        fresh_ns = self._desk.options.evidence_seconds * SECOND_NS
        if self._said is not None and difference == self._said[0] and now_ns - self._said[1] < fresh_ns:
            return
        self._said = (difference, now_ns)
        balance = self._desk.engine.portfolio.balance()
        many = len(account.positions)
        self._desk.tell(ev.AccountReconciled(0, account.wallet, balance, many, 0, difference))
