"""The account at the venue against the books: compared all the time, and trades nobody told of are found.

Rule: a difference is first looked for among the account's trades, and one of money among its income as well;
what is left with nothing on its way, twice in a row (of money for a minute: income may be written late), is
said in a row, and the engine takes no more entries. Nothing here changes the account.
"""

from __future__ import annotations

import structlog

from flowguardian.brokers import answers
from flowguardian.brokers.answers import AccountState, Traded
from flowguardian.brokers.desk import Desk, amount_text
from flowguardian.brokers.incomes import Incomes
from flowguardian.brokers.order_track import NEVER_ARRIVED, Report, Tracked
from flowguardian.brokers.signed import OutcomeUnknown, Refused
from flowguardian.brokers.venue_stops import VenueStops
from flowguardian.execution import events as ev
from flowguardian.execution.portfolio_manager import PortfolioManager
from flowguardian.market.records import MINUTE_NS, SECOND_NS

ORDER, TRADES = "/fapi/v1/order", "/fapi/v1/userTrades"
PAGE = 1000
BY_VENUE = {
    "autoclose-": ev.ExitReason.LIQUIDATION,
    "adl_autoclose": ev.ExitReason.DELEVERAGED,
    "settlement_autoclose-": ev.ExitReason.SETTLED,
}
"""How client ids of orders begin that the venue makes itself (API documentation, ORDER_TRADE_UPDATE)."""
_MONEY_NS = MINUTE_NS
_TROUBLE = (Refused, OutcomeUnknown, answers.Unreadable)


class AccountWatch:
    """Compares one account; `orders` are those that are not over, by client id."""

    def __init__(self, desk: Desk, stops: VenueStops, orders: dict[str, Tracked]) -> None:
        self._desk, self._stops, self._orders = desk, stops, orders
        self.incomes = Incomes(desk)
        self._listed: dict[str, int] = _accounted_for(desk.engine.portfolio)
        """By symbol: every trade up to this id was listed by the venue and is accounted for."""
        self._seen: dict[str, set[int]] = {}
        """Trades beyond it that are accounted for; between them may be some that nobody told of."""
        self._said: tuple[tuple[str, str], int] | None = None
        """The last outcome (difference, outside) and when it was said."""
        self._suspected = ""
        self._suspected_ns = 0
        self._foreign_fees = ""
        """In what asset fees were paid since the last word on the account, when not in the books' money."""
        self._log = structlog.get_logger("broker")

    async def begin(self) -> None:
        """Where the trades of symbols begin that this run has not traded: older ones are not its own."""
        for symbol in self._desk.engine.instruments:
            if symbol in self._listed:
                continue
            try:
                last = await self._ask_trades(symbol, limit=1)
            except _TROUBLE as error:
                self._log.warning("the last trade could not be looked up", symbol=symbol, why=str(error))
            else:
                self._listed[symbol] = last[-1].fill.trade_id if last else 0

    # ---- trades

    def noted(self, traded: Traded) -> None:
        """A trade that is accounted for."""
        self._foreign_fees = traded.fill.foreign_asset or self._foreign_fees
        self._seen.setdefault(traded.symbol, set()).add(traded.fill.trade_id)

    def is_noted(self, traded: Traded) -> bool:
        """Whether a trade is accounted for already."""
        number = traded.fill.trade_id
        symbol, books = traded.symbol, self._desk.engine.portfolio
        is_listed = number <= self._listed.get(symbol, 0)
        return is_listed or number in self._seen.get(symbol, ()) or books.has_fill(symbol, number)

    def foreign(self, traded: Traded, client_id: str) -> None:
        """A trade of no order that is open here: what it takes from a position is a fact."""
        if self.is_noted(traded):
            return
        self.noted(traded)
        fill, symbol = traded.fill, traded.symbol
        if (number := self._own_number(client_id)) is not None:
            # An order of ours that counted as over: a fill always lands, and the engine says what is wrong.
            self._desk.tell(
                ev.OrderFilled(0, number, fill.trade_id, symbol, traded.side, fill.qty, fill.price, fill.fee)
            )
            return
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

    def _own_number(self, client_id: str) -> int | None:
        prefix, _, number = client_id.rpartition("-")
        return int(number) if prefix == self._desk.options.tag and number.isdecimal() else None

    async def missed(self, symbol: str) -> bool:
        """Account for all trades of a symbol that the venue lists; False when it could not be asked."""
        try:
            while True:
                first = self._listed.get(symbol, 0) + 1
                page = await self._ask_trades(symbol, fromId=first, limit=PAGE)
                await self._account_for([one for one in page if not self.is_noted(one)])
                if page:
                    last = page[-1].fill.trade_id
                    self._listed[symbol] = last
                    self._seen[symbol] = {one for one in self._seen.get(symbol, ()) if one > last}
                if len(page) < PAGE:
                    return True
        except _TROUBLE as error:
            self._log.warning("missed trades could not be looked up", symbol=symbol, why=str(error))
            return False

    async def _ask_trades(self, symbol: str, **asked: object) -> list[Traded]:
        signed = self._desk.signed
        return answers.trades_of(await self._desk.ask(signed.get(TRADES, 5, symbol=symbol, **asked)))

    async def _account_for(self, found: list[Traded]) -> None:
        """Trades found by REST, oldest first: of an open order of ours, or of nobody's."""
        known: dict[int, tuple[str, Report | None]] = {}
        for traded in found:
            if traded.venue_id not in known:
                known[traded.venue_id] = await self._order_of(traded)
            client_id, report = known[traded.venue_id]
            tracked = self._orders.get(client_id)
            if tracked is None:
                self.foreign(traded, client_id)
            elif report is not None:
                self.noted(traded)
                tracked.reported(report)  # Who resolves it asks for its trades.

    async def _order_of(self, traded: Traded) -> tuple[str, Report | None]:
        """Client id and standing of the order of a trade; "" when the venue does not know it any more."""
        request = self._desk.signed.get(ORDER, 1, symbol=traded.symbol, orderId=traded.venue_id)
        try:
            return answers.order_of(await self._desk.ask(request))
        except Refused as error:
            if error.code != NEVER_ARRIVED:
                raise
            return "", None

    # ---- the comparison

    async def keep_comparing(self) -> None:
        """Until the run ends."""
        while True:
            await self.incomes.after_funding_time()
            await self.compare()
            await self._desk.pace.sleep(self._desk.options.reconcile_seconds)

    async def compare(self) -> None:
        """Compare when nothing is on its way and nothing happened meanwhile; missed trades come first."""
        if self._is_moving():
            return
        before, signed, asked_ns = self._desk.activity, self._desk.signed, self._desk.now_ns()
        try:
            balances = await self._desk.ask(signed.get("/fapi/v3/balance", 5))
            positions = await self._desk.ask(signed.get("/fapi/v3/positionRisk", 5))
            account = answers.account_of(balances, positions)
        except _TROUBLE as error:
            self._log.warning("the account could not be compared", why=str(error))
            return
        await self._stops.read()
        differing = self._differing(account)
        if not await self._looked(differing, is_money=bool(self._gap(account))):
            return
        if self._desk.activity != before or self._is_moving():
            return  # The books moved meanwhile: the next comparison sees what is left.
        if not self._gap(account):
            self.incomes.agreed(asked_ns)
        difference = self._difference(account, differing)
        if self._is_sure(difference, is_money_alone=not differing):
            self._tell(account, difference)

    async def _looked(self, differing: list[str], *, is_money: bool) -> bool:
        """Look for what nobody told of; False when it could not be asked. What was said is left at that."""
        is_said = self._said is not None and self._suspected == self._said[0][0]
        looks = is_money and not (self._suspected and is_said)
        for symbol in self._desk.engine.instruments if looks else differing:
            if not await self.missed(symbol):
                return False
        return not looks or (
            await self.incomes.look_for_funding() and await self.incomes.look_for_transfers()
        )

    def _is_sure(self, difference: str, *, is_money_alone: bool) -> bool:
        """Whether a difference was there before, and for long enough; no difference needs no second look."""
        now_ns = self._desk.now_ns()
        if difference != self._suspected:
            self._suspected, self._suspected_ns = difference, now_ns
            return not difference
        return not is_money_alone or now_ns - self._suspected_ns >= _MONEY_NS or not difference

    def _gap(self, account: AccountState) -> int:
        """What the wallet holds beyond the books, apart from what its owner is known to have moved."""
        return account.wallet - self._desk.engine.portfolio.balance() - self.incomes.transferred

    def _is_moving(self) -> bool:
        """Whether an order is at the venue, or on its way there or back."""
        return bool(self._desk.facts) or any(one.sent_ns for one in self._orders.values() if not one.over)

    def _held(self) -> dict[str, int]:
        return {name: one.side * one.qty for name, one in self._desk.engine.portfolio.positions.items()}

    def _differing(self, account: AccountState) -> list[str]:
        held = self._held()
        symbols = sorted({*held, *account.positions})
        return [one for one in symbols if held.get(one, 0) != account.positions.get(one, 0)]

    def _difference(self, account: AccountState, differing: list[str]) -> str:
        held = self._held()
        found = [
            f"{symbol}: {amount_text(account.positions.get(symbol, 0))} at the venue, "
            f"{amount_text(held.get(symbol, 0))} in the books"
            for symbol in differing
        ]
        if gap := self._gap(account):
            found.append(
                f"wallet: {amount_text(abs(gap))} USDT {'more' if gap > 0 else 'less'} than the books"
            )
        if asset := self._foreign_fees:
            found.append(f"fees are paid in {asset}: switch that off at the venue, the books are in USDT")
        return "; ".join(found)

    def _tell(self, account: AccountState, difference: str) -> None:
        now_ns = self._desk.now_ns()
        fresh_ns = self._desk.options.evidence_seconds * SECOND_NS
        outcome = difference, self.incomes.outside()
        if self._said is not None and outcome == self._said[0] and now_ns - self._said[1] < fresh_ns:
            return
        self._said, self._foreign_fees = (outcome, now_ns), ""
        balance = self._desk.engine.portfolio.balance()
        self._desk.tell(ev.AccountReconciled(0, account.wallet, balance, len(account.positions), *outcome))


def _accounted_for(books: PortfolioManager) -> dict[str, int]:
    """By symbol, where an earlier process cannot have missed a trade that matters now.

    What it missed below its last fill is still to be found while the position is open that the trade changed.
    """
    return books.last_fill_id | {name: one.first_fill_id for name, one in books.positions.items()}
