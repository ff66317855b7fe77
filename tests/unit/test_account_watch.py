"""The comparison of the account: missed trades are found, moving books not judged, differences seen twice."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, cast

import pytest

from flowguardian.brokers.account_watch import AccountWatch
from flowguardian.brokers.answers import Traded, trades_of
from flowguardian.brokers.desk import Desk, LiveOptions
from flowguardian.brokers.order_track import Fill, Tracked
from flowguardian.brokers.signed import OutcomeUnknown, Refused
from flowguardian.brokers.venue_stops import VenueStops
from flowguardian.execution import events as ev
from flowguardian.execution.portfolio_manager import Position
from flowguardian.feeds.pace import HostPace
from tests.builders import INSTRUMENTS, engine

ONE = 10**8
SYMBOL = "BTCUSDT"


class Venue:
    """Answers questions from plain lists; `trouble` are paths that fail."""

    def __init__(self) -> None:
        self.positions: dict[str, str] = {}
        self.wallet = "50000"
        self.algos: Any = []
        self.incomes: list[dict[str, Any]] = []
        self.trades: list[dict[str, Any]] = []
        self.orders: dict[int, str] = {}
        self.trouble: deque[str] = deque()
        self.asked: list[str] = []
        self.between: Any = None

    async def get(self, path: str, weight: int, **params: Any) -> Any:
        self.asked.append(path)
        if self.trouble and self.trouble[0] == path:
            self.trouble.popleft()
            raise OutcomeUnknown("timeout")
        if path.endswith("/balance"):
            return [{"asset": "USDT", "balance": self.wallet}]
        if path.endswith("/positionRisk"):
            if self.between:
                self.between()
            return [{"symbol": name, "positionAmt": qty} for name, qty in self.positions.items()]
        if path.endswith("/income"):
            return [one for one in self.incomes if one["incomeType"] == params["incomeType"]]
        if path.endswith("/openAlgoOrders"):
            return self.algos
        if path.endswith("/userTrades"):
            first = params.get("fromId", 0)
            return [one for one in self.trades if one["symbol"] == params["symbol"] and one["id"] >= first]
        client_id = self.orders.get(params["orderId"])
        if client_id is None:
            raise Refused(-2013, "Order does not exist.")
        return {
            "symbol": SYMBOL, "orderId": params["orderId"], "clientOrderId": client_id, "status": "FILLED",
            "executedQty": "1",
        }  # fmt: skip

    def income(self, number: int, kind: str, amount: str, symbol: str = "") -> None:
        self.incomes.append(
            {"tranId": number, "incomeType": kind, "income": amount, "asset": "USDT", "symbol": symbol,
             "time": 10**12}
        )  # fmt: skip

    def trade(self, number: int, order: int, qty: str, side: str = "SELL") -> None:
        self.trades.append(
            {"symbol": SYMBOL, "id": number, "orderId": order, "side": side, "price": "100", "qty": qty,
             "commission": "0.04", "commissionAsset": "USDT"}
        )  # fmt: skip


class Scene:
    """A watch over an engine that holds one BTC bought by trade 10."""

    def __init__(self) -> None:
        self.venue = Venue()
        self.engine = engine()
        self.engine.instruments.update({one.symbol: one for one in INSTRUMENTS})
        position = Position(SYMBOL, "scalping", 1, 1, None)
        position.qty = ONE
        self.engine.portfolio.positions[SYMBOL] = position
        position.first_fill_id = 10
        self.engine.portfolio.note_fill(SYMBOL, 10)
        self.venue.positions = {SYMBOL: "1"}
        self.now_ns = 10**18
        self.desk = Desk(
            cast("Any", self.venue), self.engine, LiveOptions("tag"), pace=HostPace(),
            now_ns=lambda: self.now_ns, live_ns=lambda: 10**17, on_facts=lambda: None,
        )  # fmt: skip
        self.orders: dict[str, Tracked] = {}
        self.watch = AccountWatch(self.desk, VenueStops(self.desk), self.orders)

    def compared(self) -> list[ev.Row]:
        """The facts of one comparison, taken."""
        asyncio.run(self.watch.compare())
        found = list(self.desk.facts)
        self.desk.facts.clear()
        return found


def traded(number: int, order: int, qty: int) -> Traded:
    return Traded(SYMBOL, order, -1, Fill(number, qty, 100 * ONE, 1))


def test_an_account_like_the_books_is_said_once_and_then_now_and_again() -> None:
    scene = Scene()
    (row,) = scene.compared()
    assert isinstance(row, ev.AccountReconciled) and row.difference == ""
    assert scene.compared() == []
    scene.now_ns += 301 * 10**9
    assert len(scene.compared()) == 1


def test_trades_nobody_told_of_are_found_even_below_one_that_was_told() -> None:
    """Our stop took 0.4 as trade 50 while the stream was away; our exit took the rest as trade 51."""
    scene = Scene()
    scene.venue.trade(50, 900, "0.4")
    scene.venue.trade(51, 901, "0.6")
    scene.venue.orders = {900: "tags10", 901: "tag-7"}
    scene.watch.noted(traded(51, 901, 60_000_000))
    scene.venue.positions = {}
    (row,) = scene.compared()
    assert isinstance(row, ev.ClosedByVenue)
    assert (row.fill_id, row.qty, row.reason) == (50, 40_000_000, ev.ExitReason.STOP)
    assert asyncio.run(scene.watch.missed(SYMBOL)) and not scene.desk.facts, "each trade once"


def test_a_trade_missed_below_a_booked_one_is_found_by_the_next_process() -> None:
    """Opened by trade 10; 12 was told to nobody, 14 was booked, then the process died."""
    scene = Scene()
    scene.engine.portfolio.note_fill(SYMBOL, 14)
    for number in (9, 10, 12, 14):
        scene.venue.trade(number, 900 + number, "0.2")
    scene.watch = AccountWatch(scene.desk, VenueStops(scene.desk), scene.orders)
    scene.venue.positions = {SYMBOL: "0.8"}
    (row,) = scene.compared()
    assert isinstance(row, ev.ClosedByVenue) and (row.fill_id, row.qty) == (12, 20_000_000)


@pytest.mark.parametrize("event", [{}, {"o": None}, {"o": "x"}, {"o": {"caid": 3, "s": SYMBOL, "X": "NEW"}}])
def test_an_event_of_a_stop_that_cannot_be_read_is_asked_for(event: dict[str, Any]) -> None:
    scene = Scene()
    stops = VenueStops(scene.desk)

    async def heard() -> None:
        stops.heard(event)
        await scene.desk.quiet(5.0)
        scene.desk.check()

    asyncio.run(heard())
    assert scene.venue.asked == ["/fapi/v1/openAlgoOrders"]


def test_a_look_that_failed_is_repeated_until_it_succeeds_and_says_nothing_before() -> None:
    scene = Scene()
    scene.venue.trade(50, 900, "1")
    scene.venue.positions = {}
    scene.venue.trouble = deque(["/fapi/v1/userTrades", "/fapi/v1/userTrades"])
    assert scene.compared() == [] and scene.compared() == []
    (row,) = scene.compared()
    assert isinstance(row, ev.ClosedByVenue) and row.reason is ev.ExitReason.OUTSIDE, (
        "of no order known there"
    )


def test_a_difference_is_said_when_it_is_there_twice() -> None:
    scene = Scene()
    scene.venue.positions = {SYMBOL: "1", "ETHUSDT": "2.5"}
    assert scene.compared() == []
    (row,) = scene.compared()
    assert (
        isinstance(row, ev.AccountReconciled)
        and "ETHUSDT: 2.5 at the venue, 0 in the books" in row.difference
    )
    scene.venue.positions = {SYMBOL: "1"}
    (row,) = scene.compared()
    assert isinstance(row, ev.AccountReconciled) and row.difference == ""


def test_a_fee_in_another_asset_is_booked_as_none_and_stops_entries_with_the_fix() -> None:
    """Before, its order was asked for without end, and the position never reached the books."""
    scene = Scene()
    scene.venue.trade(11, 7, "1", "BUY")
    scene.venue.trades[-1] |= {"commission": "0.0001", "commissionAsset": "BNB"}
    (found,) = trades_of(scene.venue.trades)
    assert (found.fill.qty, found.fill.fee, found.fill.foreign_asset) == (ONE, 0, "BNB")
    scene.watch.noted(found)
    assert scene.compared() == []
    scene.now_ns += 61 * 10**9
    (said,) = scene.compared()
    assert isinstance(said, ev.AccountReconciled)
    assert said.difference == "fees are paid in BNB: switch that off at the venue, the books are in USDT"
    assert halting(said)
    scene.now_ns += 10**9
    (after,) = scene.compared()
    assert isinstance(after, ev.AccountReconciled) and after.difference == "", "said once; a person goes on"


def test_books_that_move_while_the_venue_answers_are_not_judged() -> None:
    scene = Scene()
    scene.venue.positions = {}

    def ordered() -> None:
        scene.desk.activity += 1

    scene.venue.between = ordered
    assert scene.compared() == [] and scene.compared() == [] and scene.compared() == []


def test_an_order_that_waits_to_be_sent_does_not_stop_the_comparison() -> None:
    scene = Scene()
    request = ev.OrderRequested(
        1, 7, SYMBOL, "scalping", -1, ev.Purpose.EXIT, ONE, 0, 0, "stop", "position", 0, 0, 0, 0, 0, 0, 0, ()
    )  # fmt: skip
    scene.orders["tag-7"] = tracked = Tracked(request, "tag-7")
    assert len(scene.compared()) == 1
    tracked.sent_ns = 5
    scene.now_ns += 10**12
    assert scene.compared() == [], "an order at the venue is on its way"


def test_a_late_fill_of_an_order_of_ours_lands_under_its_number() -> None:
    scene = Scene()
    scene.watch.foreign(traded(60, 905, ONE), "tag-7")
    (row,) = scene.desk.facts
    assert isinstance(row, ev.OrderFilled) and (row.order_id, row.fill_id) == (7, 60)
    scene.watch.foreign(traded(60, 905, ONE), "tag-7")
    assert len(scene.desk.facts) == 1


def test_trades_before_this_run_are_not_its_own() -> None:
    scene = Scene()
    for number in range(1, 4):
        scene.venue.trades.append(
            {"symbol": "ETHUSDT", "id": number, "orderId": 1, "side": "BUY", "price": "1", "qty": "1",
             "commission": "0", "commissionAsset": "USDT"}
        )  # fmt: skip
    asyncio.run(scene.watch.begin())
    scene.venue.asked.clear()
    assert asyncio.run(scene.watch.missed("ETHUSDT")) and scene.venue.asked == ["/fapi/v1/userTrades"]


# ---- money


def halting(row: ev.Row) -> list[ev.Row]:
    """What the engine makes of it."""
    return [one for one in engine().process(row) if isinstance(one, ev.TradingStateChanged)]


def test_money_that_differs_for_a_minute_is_said_and_stops_entries() -> None:
    scene = Scene()
    scene.venue.wallet = "49999.5"
    for _ in range(6):
        assert scene.compared() == []
        scene.now_ns += 10 * 10**9
    (row,) = scene.compared()
    assert isinstance(row, ev.AccountReconciled) and (row.wallet, row.balance) == (
        4_999_950_000_000,
        50_000 * ONE,
    )
    assert row.difference == "wallet: 0.5 USDT less than the books" and halting(row)
    before = scene.venue.asked.count("/fapi/v1/income")
    assert scene.compared() == [] and scene.venue.asked.count("/fapi/v1/income") == before, "asked in vain"
    scene.venue.wallet = "50000"
    (row,) = scene.compared()
    assert isinstance(row, ev.AccountReconciled) and row.difference == ""


def test_a_trade_that_left_the_position_as_it_was_is_looked_for_when_money_differs() -> None:
    """Our stop reduced the position as trade 50, an order of ours that nobody told of added as much again."""
    scene = Scene()
    scene.venue.trade(50, 900, "0.4")
    scene.venue.orders = {900: "tags10"}
    scene.venue.wallet = "49999.96"
    (row,) = scene.compared()
    assert isinstance(row, ev.ClosedByVenue) and row.fill_id == 50


def test_missed_funding_is_booked_before_money_is_judged() -> None:
    scene = Scene()
    scene.venue.income(7, "FUNDING_FEE", "-0.25", SYMBOL)
    scene.venue.wallet = "49999.75"
    (row,) = scene.compared()
    assert isinstance(row, ev.FundingSettled) and row.amount == -25_000_000
    scene.engine.process(row)
    (row,) = scene.compared()
    assert isinstance(row, ev.AccountReconciled) and row.difference == ""


def test_a_transfer_is_named_and_stops_nothing() -> None:
    scene = Scene()
    scene.venue.wallet = "51000"
    scene.venue.income(8, "TRANSFER", "1000")
    (row,) = scene.compared()
    assert isinstance(row, ev.AccountReconciled) and row.difference == "" and not halting(row)
    assert row.outside == "transfer of 1000 USDT: not part of this run" and row.balance == 50_000 * ONE
    assert scene.compared() == []
    scene.venue.income(9, "TRANSFER", "-200")
    scene.venue.wallet = "50800"
    (row,) = scene.compared()
    assert isinstance(row, ev.AccountReconciled) and row.difference == ""
    assert row.outside == "2 transfers, in all of 800 USDT: not part of this run"


def test_a_transfer_explains_its_own_amount_and_no_more() -> None:
    scene = Scene()
    scene.venue.wallet = "50999"
    scene.venue.income(8, "TRANSFER", "1000")
    assert scene.compared() == []
    scene.now_ns += 61 * 10**9
    (row,) = scene.compared()
    assert isinstance(row, ev.AccountReconciled) and halting(row)
    assert row.difference == "wallet: 1 USDT less than the books"


def test_a_look_for_income_that_failed_says_nothing() -> None:
    scene = Scene()
    scene.venue.wallet = "51000"
    scene.venue.trouble = deque(["/fapi/v1/income"])
    assert scene.compared() == [] and not scene.venue.trouble
    scene.now_ns += 61 * 10**9
    assert scene.compared() == [], "the difference was seen for the first time"


@pytest.mark.parametrize(
    "algos", [{"code": 0}, ["x"], [{"symbol": SYMBOL}], [{"clientAlgoId": "tags10", "side": "BUY"}]]
)
def test_a_list_of_stops_that_cannot_be_read_ends_nothing(algos: Any) -> None:
    scene = Scene()
    scene.venue.algos = algos
    assert len(scene.compared()) == 1
