"""What happens to an account without a request: funding, margin calls, liquidation, ADL, end, transfers.

Rule: pure; each is an order of the venue's own, told and booked like any other, so that the ledger always
explains the account. Client ids are the exchange's: autoclose-, adl_autoclose, settlement_autoclose-.
"""

from __future__ import annotations

from flowguardian.venue import orders, user_events
from flowguardian.venue.account import Position, fee_of
from flowguardian.venue.admission import MARKET
from flowguardian.venue.brackets import UNIT
from flowguardian.venue.conditional import Conditionals
from flowguardian.venue.orders import Order, UserTrade
from flowguardian.venue.shapes import MILLISECOND_NS
from flowguardian.venue.trading import Trading

LIQUIDATION_FEE = 1_250_000
"""exchangeInfo's liquidationFee, 1e-8 of the notional."""
_CALL_PCT = 80
"""A margin call goes out when maintenance margin reaches this share of the equity."""


class Forced:
    """The venue as a party to the account."""

    def __init__(self, trading: Trading, conditionals: Conditionals) -> None:
        self._trading, self._conditionals, self._state = trading, conditionals, trading.state
        self._called = False

    def fund(self, index: int, mark: int, rate: int, at_ns: int) -> None:
        """A funding time: positions pay or receive (a long pays a positive rate)."""
        symbol = self._trading.listing.symbols[index]
        if not self._state.account.position(symbol).qty:
            return
        amount = self._state.account.settle(symbol, mark, rate, at_ns)
        self._state.add_income(symbol, "FUNDING_FEE", amount, at_ns)
        self._trading.tell_account("FUNDING_FEE", [], at_ns, changed=amount)
        self.watch(at_ns)

    def transfer(self, amount: int, at_ns: int) -> None:
        """The owner moves money in, or out when it is negative: no more than there is."""
        amount = max(amount, -max(0, self._state.account.wallet))
        self._state.account.transfer(amount, at_ns)
        self._state.add_income("", "TRANSFER", amount, at_ns)
        self._trading.tell_account("DEPOSIT" if amount > 0 else "WITHDRAW", [], at_ns, changed=amount)
        self.watch(at_ns)

    def watch(self, at_ns: int) -> None:
        """After a move of a mark: liquidate an account whose equity does not cover its maintenance margin."""
        account, marks = self._state.account, self._trading.marks()
        if not account.open_positions:
            self._called = False
            return
        if not all(marks[one.symbol] for one in account.open_positions):
            return  # A market that was just opened: nothing is known of a price yet.
        equity, needed = account.equity(marks), account.maintenance(marks)
        if equity <= needed:
            self.liquidate(at_ns)
            return
        called = needed * 100 >= equity * _CALL_PCT
        if called and not self._called:
            payload = user_events.margin_call(account, marks, at_ns)
            self._trading.tell(user_events.MARGIN_CALL, payload)
        self._called = called

    def liquidate(self, at_ns: int) -> None:
        """Everything ends: open orders are cancelled, every position is taken over at its mark.

        The fee is 1.25 % of the notional and never more than what is left; what the positions cost beyond
        the wallet is paid by the insurance fund. The account is flat afterwards.
        """
        for symbol in list(self._state.open):
            self._trading.cancel_all(symbol, at_ns)
        for symbol in list(self._state.open_algos):
            self._conditionals.cancel_all(symbol, at_ns)
        for position in self._state.account.open_positions:
            mark = self._trading.mark(position.symbol)
            left = max(0, self._state.account.wallet + self._unrounded(position, mark))
            fee = min(fee_of(mark, abs(position.qty), LIQUIDATION_FEE), left)
            name = f"autoclose-{at_ns // MILLISECOND_NS}{position.symbol}"[:36]
            self.close(position, abs(position.qty), mark, name, at_ns, fee=fee, execution="CALCULATED")
        paid = self._state.account.insure()
        if paid:
            self._state.add_income("", "INSURANCE_CLEAR", paid, at_ns)
            self._trading.tell_account("INSURANCE_CLEAR", [], at_ns, changed=paid)

    def _unrounded(self, position: Position, mark: int) -> int:
        """What closing a position at a mark adds to the wallet before the fee."""
        return (mark * abs(position.qty) - position.cost) * position.side // UNIT

    def deleverage(self, symbol: str, share: float, at_ns: int) -> None:
        """ADL: a share of the position is closed at its mark against a bankrupt one; no fee."""
        position = self._state.account.position(symbol)
        step = self._trading.listing.instruments[self._trading.listing.index[symbol]].step_size
        qty = min(abs(position.qty), max(step, int(abs(position.qty) * share) // step * step))
        if position.qty:
            self.close(position, qty, self._trading.mark(symbol), "adl_autoclose", at_ns, fee=0)

    def delist(self, symbol: str, at_ns: int) -> None:
        """The contract ends: open orders are cancelled, the position is settled at its last mark."""
        self._trading.cancel_all(symbol, at_ns)
        self._conditionals.cancel_all(symbol, at_ns)
        position = self._state.account.position(symbol)
        if position.qty:
            name = f"settlement_autoclose-{at_ns // MILLISECOND_NS}"
            self.close(position, abs(position.qty), self._trading.mark(symbol), name, at_ns)

    def outside(self, symbol: str, side: int, qty: int, at_ns: int, client_id: str = "") -> None:
        """Somebody with the same account trades from outside at the touch; qty 0 closes the position."""
        held = self._state.account.position(symbol).qty
        side = side or (-1 if held > 0 else 1)
        qty = qty or abs(held)
        price = self._trading.books.touch(self._trading.listing.index[symbol], side)
        if qty and price:
            name = client_id or f"web_{at_ns // MILLISECOND_NS}"
            order = self._order(symbol, side, qty, name, at_ns, MARKET)
            self._trading.trade(order, qty, price, at_ns, maker=False)

    def close(
        self, position: Position, qty: int, price: int, client_id: str, at_ns: int, *, fee: int | None = None,
        execution: str = "TRADE",
    ) -> UserTrade:  # fmt: skip
        """An order of the venue's own that closes a part of a position at a price."""
        kind = "LIQUIDATION" if execution == "CALCULATED" else MARKET
        order = self._order(position.symbol, -position.side, qty, client_id, at_ns, kind)
        return self._trading.trade(order, qty, price, at_ns, maker=False, fee=fee, execution=execution)

    def _order(self, symbol: str, side: int, qty: int, client_id: str, at_ns: int, kind: str) -> Order:
        order = Order(
            self._state.next_order(), client_id, symbol, side, kind, "IOC" if kind != MARKET else "GTC",
            qty, 0, at_ns, at_ns,
        )  # fmt: skip
        self._state.changed(order)
        self._trading.tell_order(order, "NEW", at_ns)
        return order

    def fill_resting(self, order: Order, share: float, at_ns: int) -> None:
        """A fault: a share of a resting order fills at its own price, as if somebody had come first."""
        step = self._trading.listing.instruments[self._trading.listing.index[order.symbol]].step_size
        qty = order.left if share >= 1.0 else int(order.left * share) // step * step
        if order.reduce_only:
            held = self._state.account.position(order.symbol).qty
            qty = min(qty, max(0, -held * order.side))
        if qty and order.price and order.status in orders.OPEN:
            self._trading.trade(order, qty, order.price, at_ns, maker=True)
