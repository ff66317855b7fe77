"""The matching of the venue's one account: requests and market rows become fills, and events about them.

Rule: pure; no clock, no chance: everything is a function of the requests and rows in their order. A taker
walks the published book within its limit; a resting order fills at its own price when a trade goes through it
or a quote crosses it, up to the size of that trade or quote. Units 1e-8, times UTC nanoseconds of the market.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from copy import copy
from typing import Any, NamedTuple

from flowguardian.market.records import MINUTE_NS, Kind
from flowguardian.venue import margin, orders, user_events
from flowguardian.venue.account import fee_of
from flowguardian.venue.admission import LIMIT, MARKET, OrderRequest, check_notional, check_price, check_qty
from flowguardian.venue.books import Books, Listing
from flowguardian.venue.limits import MOST_OPEN_ORDERS
from flowguardian.venue.orders import Order, UserTrade
from flowguardian.venue.refusals import refuse
from flowguardian.venue.shapes import MILLISECOND_NS, Form, form_of
from flowguardian.venue.state import Countdown, State

Tell = Callable[[str, dict[str, Any]], None]
RowTuple = tuple[int, int, int, int, int, int, int, int, int, int, int]
_TRADE, _TOP, _CLOCK = int(Kind.TRADE), int(Kind.TOP), int(Kind.CLOCK)
DAY_NS = 1440 * MINUTE_NS
_BAND_PCT = 5
"""PERCENT_PRICE: a limit may be so far from the mark."""
_KEPT_NS, _KEPT_UNFILLED_NS = 90 * DAY_NS, 3 * DAY_NS


class Fees(NamedTuple):
    """Rates of the account, 1e-8 of the notional."""

    maker: int = 20_000
    taker: int = 50_000


class Placed(NamedTuple):
    """An order as it stands, and as it was when it was accepted."""

    order: Order
    accepted: Order


class Stale(NamedTuple):
    """An order as queries go on showing it, and until when."""

    order: Order
    until_ns: int


class Trading:
    """Open orders of the account against one market."""

    def __init__(
        self, listing: Listing, state: State, fees: Fees, tell: Tell, slippage: int | None = None
    ) -> None:
        self.listing, self.state, self.fees, self.tell = listing, state, fees, tell
        self.books = Books(listing, slippage)
        self.hide_ns = 0
        """New orders are hidden from queries for so long (a fault)."""
        self.stale_ns = 0
        """Queries show orders for so long as they were before their last change (a fault)."""
        self.stale: dict[int, Stale] = {}
        self.fill_share: Callable[[Order], float | None] = lambda _order: None
        """A fault: the share of a new order that fills before the venue cancels it; None = no such fault."""
        self.after_change: Callable[[Order, int], None] = lambda _order, _at_ns: None
        """Called when an order filled or ended, after that was told."""

    # ---- looking up

    def form(self, symbol: str) -> Form:
        return form_of(self.listing.instruments[self.listing.index[symbol]])

    def mark(self, symbol: str) -> int:
        """The mark price: the last trade, as the venue's streams tell it."""
        return self.books.last[self.listing.index[symbol]]

    def marks(self) -> dict[str, int]:
        return dict(zip(self.listing.symbols, self.books.last, strict=True))

    # ---- requests

    def place(self, request: OrderRequest, now_ns: int) -> Placed:
        """Accept an order and match it at once. Raises Refusal; nothing happened then."""
        symbol = request.symbol
        if request.client_id and any(
            order.client_id == request.client_id for order in self.state.open.get(symbol, {}).values()
        ):
            raise refuse(-4116)
        if len(self.state.open.get(symbol, {})) >= MOST_OPEN_ORDERS:
            raise refuse(-2025)
        self.check(request)
        return self.enter(request, now_ns)

    def enter(self, request: OrderRequest, now_ns: int, **more: Any) -> Placed:
        """Make the order of a request that was found good, tell it and match it; `more` are its extras."""
        number = self.state.next_order()
        order = Order(
            number, request.client_id or f"venue_{number}", request.symbol, request.side, request.type,
            request.time_in_force, request.qty, request.price, now_ns, now_ns,
            reduce_only=request.reduce_only, stp_mode=request.stp_mode, good_till_ms=request.good_till_ms,
            hidden_until_ns=now_ns + self.hide_ns if self.hide_ns else 0, **more,
        )  # fmt: skip
        accepted = copy(order)
        self.state.changed(order)
        self.tell_order(order, "NEW", now_ns)
        share = self.fill_share(order)
        if share is not None:
            self._part_then_cancel(order, share, now_ns)
            return Placed(order, accepted)
        self._sweep(order, now_ns)
        if order.status in orders.OPEN and (order.type == MARKET or order.time_in_force in ("IOC", "FOK")):
            self.close(order, orders.EXPIRED, now_ns)
        return Placed(order, accepted)

    def cancel(self, symbol: str, order_id: int, client_id: str, now_ns: int) -> Order:
        """Cancel an open order. Raises Refusal −2011."""
        order = self._open(symbol, order_id, client_id, -2011)
        self.close(order, orders.CANCELED, now_ns)
        return order

    def cancel_all(self, symbol: str, now_ns: int) -> None:
        for order in self.state.open_orders(symbol):
            self.close(order, orders.CANCELED, now_ns)

    def amend(
        self, symbol: str, order_id: int, client_id: str, *, side: int, qty: int, price: int, reduces: bool,
        now_ns: int,
    ) -> Order:  # fmt: skip
        """Change price and quantity of an open limit order. Raises Refusal; the order is as it was then.

        A quantity not above what is filled cancels it, and so does a price at which a GTX order would take;
        any other price that crosses trades at once. `reduces` only says what the client thinks of the order.
        """
        order = self._open(symbol, order_id, client_id, -2013)
        if order.type != LIMIT or order.side != side:
            raise refuse(-5025)
        if reduces and not order.reduce_only:
            raise refuse(-5047)
        self._check_amendment(order, qty, price, reduces=reduces)
        crosses = self.books.available(self.listing.index[symbol], side, price) > 0
        self._keep_stale(order, now_ns)
        order.qty, order.price, order.updated_ns, order.last_change_ns = qty, price, now_ns, now_ns
        self.state.changed(order)
        self.tell_order(order, "AMENDMENT", now_ns)
        if order.left <= 0 or (crosses and order.time_in_force == "GTX"):
            self.close(order, orders.CANCELED, now_ns)
        else:
            self._sweep(order, now_ns)
        return order

    def _check_amendment(self, order: Order, qty: int, price: int, *, reduces: bool) -> None:
        """Whether an order may be amended so. Raises Refusal."""
        symbol = order.symbol
        instrument = self.listing.instruments[self.listing.index[symbol]]
        if (qty, price) == (order.qty, order.price):
            raise refuse(-5027)
        check_qty(qty, instrument)
        check_price(price, instrument)
        self._check_band(symbol, price, order.side)
        if not reduces:
            check_notional(qty, price, instrument)
        if not order.reduce_only:
            others = {**self.state.open, symbol: dict(self.state.open.get(symbol, {}))}
            others[symbol].pop(order.id)
            margin.check(
                self.state.account, others, self.marks(), symbol,
                side=order.side, qty=max(0, qty - order.filled), price=price,
            )  # fmt: skip

    def _open(self, symbol: str, order_id: int, client_id: str, code: int) -> Order:
        """An open order. Raises Refusal with a code where there is none."""
        order = self.state.find(symbol, order_id, client_id)
        if order is None or order.status not in orders.OPEN:
            raise refuse(code)
        return order

    # ---- checks that need the account or the market

    def check(self, request: OrderRequest) -> None:
        """Whether the account and the market allow an order now. Raises Refusal."""
        index = self.listing.index[request.symbol]
        instrument = self.listing.instruments[index]
        touch = self.books.touch(index, request.side)
        price = request.price or touch
        if request.type == LIMIT:
            self._check_band(request.symbol, price, request.side)
        elif not touch:
            raise refuse(-4131)
        if request.reduce_only:
            # An order that reduces needs a position on the other side.
            if self.state.account.position(request.symbol).qty * request.side >= 0:
                raise refuse(-2022)
        else:
            check_notional(request.qty, price, instrument)
            margin.check(
                self.state.account, self.state.open, self.marks(), request.symbol,
                side=request.side, qty=request.qty, price=price,
            )  # fmt: skip
        if request.time_in_force not in ("FOK", "GTX"):
            return
        found = self.books.available(index, request.side, request.price)
        if request.time_in_force == "FOK" and found < request.qty:
            raise refuse(-5021)
        if request.time_in_force == "GTX" and found:
            raise refuse(-5022)

    def _check_band(self, symbol: str, price: int, side: int) -> None:
        """PERCENT_PRICE for limits. Raises Refusal −4016, −4024."""
        mark, form = self.mark(symbol), self.form(symbol)
        highest, lowest = mark * (100 + _BAND_PCT) // 100, mark * (100 - _BAND_PCT) // 100
        if mark and side > 0 and price > highest:
            raise refuse(-4016, user_events.priced(highest, form))
        if mark and side < 0 and price < lowest:
            raise refuse(-4024, user_events.priced(lowest, form))

    # ---- matching

    def _sweep(self, order: Order, now_ns: int) -> None:
        """Take what the book holds within the order's limit."""
        index = self.listing.index[order.symbol]
        for price, size in list(self.books.levels(index, order.side, order.price)):
            qty = min(size, self._may_fill(order))
            if qty <= 0:
                break
            self.books.take(index, price, qty)
            self.trade(order, qty, price, now_ns, maker=False)
        if order.reduce_only and order.status in orders.OPEN and not self._may_fill(order):
            self.close(order, orders.EXPIRED, now_ns)

    def _may_fill(self, order: Order) -> int:
        """How much of an order may still trade: one that reduces stops where the position is flat."""
        if not order.reduce_only:
            return order.left
        return min(order.left, max(0, -self.state.account.position(order.symbol).qty * order.side))

    def _part_then_cancel(self, order: Order, share: float, now_ns: int) -> None:
        """A fault: a share of the order fills, the venue cancels the rest."""
        index = self.listing.index[order.symbol]
        step = self.listing.instruments[index].step_size
        qty = min(int(order.qty * share) // step * step, self._may_fill(order))
        price = order.price if order.type == LIMIT else self.books.touch(index, order.side)
        if qty:
            self.trade(order, qty, price, now_ns, maker=False)
        if order.status in orders.OPEN:
            self.close(order, orders.CANCELED, now_ns)

    def trade(
        self, order: Order, qty: int, price: int, at_ns: int, *, maker: bool, fee: int | None = None,
        execution: str = "TRADE", reason: str = "ORDER",
    ) -> UserTrade:  # fmt: skip
        """Fill a part of an order, book it and tell it; the fee is the account's unless one is given."""
        account, symbol = self.state.account, order.symbol
        if fee is None:
            fee = fee_of(price, qty, self.fees.maker if maker else self.fees.taker)
        self._keep_stale(order, at_ns)
        booked = account.fill(symbol, order.side, qty, price, fee, at_ns)
        order.filled += qty
        order.quote += price * qty
        order.move(orders.PARTIALLY_FILLED if order.left else orders.FILLED, at_ns)
        fill = UserTrade(
            self.state.next_trade(), order.id, symbol, order.side, price, qty, booked.fee, booked.realised,
            maker, at_ns,
        )  # fmt: skip
        self.state.changed(fill)
        self.state.changed(order)
        self.state.add_income(symbol, "COMMISSION", -booked.fee, at_ns, fill.id)
        if booked.realised:
            self.state.add_income(symbol, "REALIZED_PNL", booked.realised, at_ns, fill.id)
        form = self.form(symbol)
        if execution == "TRADE":
            self.tell(user_events.LITE, user_events.trade_lite(order, form, fill, at_ns))
        self.tell_order(order, execution, at_ns, fill)
        self.tell_account(reason, [symbol], at_ns)
        self.after_change(order, at_ns)
        self._expire_reducers(symbol, at_ns)
        return fill

    def close(self, order: Order, status: str, at_ns: int) -> None:
        """End an open order without a fill."""
        self._keep_stale(order, at_ns)
        order.move(status, at_ns)
        self.state.changed(order)
        self.tell_order(order, status, at_ns)
        self.after_change(order, at_ns)

    def _keep_stale(self, order: Order, at_ns: int) -> None:
        """A fault: what queries show of an order that is about to change."""
        self.stale = {number: one for number, one in self.stale.items() if one.until_ns > at_ns}
        if self.stale_ns and order.id not in self.stale:
            self.stale[order.id] = Stale(copy(order), at_ns + self.stale_ns)

    def shown(self, order: Order, at_ns: int) -> Order | None:
        """An order as queries see it; None while they do not, or not any more.

        Source: the exchange forgets what ended without a fill 3 days after it was made, the rest after 90.
        """
        kept_ns = _KEPT_NS if order.filled or order.status in orders.OPEN else _KEPT_UNFILLED_NS
        if order.hidden_until_ns > at_ns or order.created_ns + kept_ns < at_ns:
            return None
        stale = self.stale.get(order.id)
        return stale.order if stale is not None and stale.until_ns > at_ns else order

    def _expire_reducers(self, symbol: str, at_ns: int) -> None:
        """Resting reduce-only orders with nothing left to reduce end."""
        position = self.state.account.position(symbol).qty
        for order in self.state.open_orders(symbol):
            resting = order.type == LIMIT and order.time_in_force in ("GTC", "GTX", "GTD")
            if order.reduce_only and resting and order.side * position >= 0:
                self.close(order, orders.EXPIRED, at_ns)

    # ---- the market moves

    def row(self, row: RowTuple) -> None:
        """One trade or quote: prices as they stand after it, and the resting orders that it fills."""
        index, at_ns = row[2], row[5]
        if row[0] == _TOP:
            self.books.top(index, row[10], (row[6], row[7]), (row[8], row[9]))
            self._cross(index, -1, row[6], row[7], at_ns)
            self._cross(index, 1, row[8], row[9], at_ns)
        elif row[0] == _TRADE and row[6]:
            self.books.last[index] = row[6]
            symbol, size = self.listing.symbols[index], row[7]
            for order in self._resting(symbol):
                if (order.price - row[6]) * order.side > 0:
                    size -= self._rest_fills(order, size, at_ns)

    def _cross(self, index: int, side: int, price: int, size: int, at_ns: int) -> None:
        """A bid (side −1, meets sell orders) or an ask (side +1, meets buy orders) that crosses."""
        if not price:
            return
        for order in self._resting(self.listing.symbols[index]):
            if order.side == side and (order.price - price) * side >= 0:
                filled = self._rest_fills(order, size, at_ns)
                self.books.take(index, price, filled)
                size -= filled

    def _resting(self, symbol: str) -> Iterable[Order]:
        """Open orders of a symbol, best price first, then oldest."""
        if symbol not in self.state.open:
            return ()
        return sorted(self.state.open_orders(symbol), key=lambda order: (-order.price * order.side, order.id))

    def _rest_fills(self, order: Order, size: int, at_ns: int) -> int:
        qty = min(size, self._may_fill(order)) if order.status in orders.OPEN else 0
        if qty > 0:
            self.trade(order, qty, order.price, at_ns, maker=True)
        return max(0, qty)

    def time(self, at_ns: int) -> None:
        """What is due by a time: GTD orders, and countdowns that nobody renewed."""
        for order in self.state.open_orders():
            if order.good_till_ms and order.good_till_ms * MILLISECOND_NS <= at_ns:
                self.close(order, orders.EXPIRED, at_ns)
        for one in [one for one in self.state.countdowns.values() if one.due_ns <= at_ns]:
            self.cancel_all(one.symbol, at_ns)
            self.state.changed(Countdown(one.symbol, 0, 0))

    # ---- telling

    def tell_order(self, order: Order, execution: str, at_ns: int, trade: UserTrade | None = None) -> None:
        open_ones = self.state.open.get(order.symbol, {}).values()
        payload = user_events.order_update(
            order, self.form(order.symbol), execution, at_ns, trade=trade,
            bids=user_events.open_notional(open_ones, 1), asks=user_events.open_notional(open_ones, -1),
        )  # fmt: skip
        self.tell(f"{user_events.ORDER}@{execution}", payload)

    def tell_account(self, reason: str, symbols: Iterable[str], at_ns: int, changed: int = 0) -> None:
        forms = [self.form(symbol) for symbol in symbols]
        account, marks = self.state.account, self.marks()
        payload = user_events.account_update(account, reason, changed, marks, forms, at_ns)
        self.tell(f"{user_events.ACCOUNT}@{reason}", payload)
