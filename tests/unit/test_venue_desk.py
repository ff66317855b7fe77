"""The trading half over a market: what was missed is matched as if it had been seen, and nothing twice."""

import pytest

from flowguardian.market.records import SECOND_NS
from flowguardian.venue.account import fee_of
from flowguardian.venue.admission import AlgoRequest, OrderRequest
from flowguardian.venue.desk import Desk
from flowguardian.venue.faults import Fault, Faults, Plan
from flowguardian.venue.market import VenueMarket
from flowguardian.venue.opening import open_venue_market
from flowguardian.venue.signing import Keys
from flowguardian.venue.trading_faults import TradingFaults
from flowguardian.venue.trading_log import TradingLog

UNIT = 100_000_000
SYMBOLS = ("BTCUSDT", "ETHUSDT", "LTCUSDT")
KEYS = Keys("k" * 64, "s" * 64)


def desk_of(path=None, faults=(), at_ns=0):
    """A desk over the same market each time; it stands at its start, or where a venue is started again."""
    opened = open_venue_market("synthetic:7", SYMBOLS, hours=12, start_ns=1_735_713_000 * SECOND_NS)
    found = Faults(Plan(list(faults)), SYMBOLS, opened.market.start_ns)
    market = VenueMarket(opened.market, rewriter=found, has_funding=opened.has_funding)
    if at_ns:
        market.jump(at_ns)
    return Desk(market, TradingFaults(found), keys=KEYS, balance=30_000 * UNIT, log=TradingLog(path))


def shown(desk, seconds):
    """The market goes on by steps of a second, as the pacer makes them."""
    for _ in range(seconds):
        rows = desk.market.advance(desk.market.now_ns + SECOND_NS)
        desk.show(rows, desk.market.now_ns)
        for row in rows:
            desk.market.took(row)


def order(desk, symbol, side, qty, price=0):
    desk.begin()
    request = OrderRequest(
        symbol, side, "LIMIT" if price else "MARKET", "GTC", round(qty * UNIT), price, "", False,
        "EXPIRE_MAKER", 0, False,
    )  # fmt: skip
    made = desk.trading.place(request, desk.now_ns).order
    desk.commit()
    return made


def busy(desk):
    """Positions in two symbols, orders around the price of a third, a stop below the first."""
    shown(desk, 90)
    order(desk, "BTCUSDT", 1, 0.5)
    order(desk, "ETHUSDT", 1, 20)
    last = desk.market.last[2]
    for side in (1, -1):
        for far in (1, 3, 5):
            order(desk, "LTCUSDT", side, 10, (last - side * far * last // 10_000) // 10**6 * 10**6)
    trigger = desk.market.last[0] * 9_995 // 10_000 // 10**7 * 10**7
    desk.begin()
    desk.conditionals.place(
        AlgoRequest(
            "BTCUSDT", -1, "STOP_MARKET", "GTC", 0, 0, trigger, "", True, True, "CONTRACT_PRICE", False,
            "EXPIRE_MAKER", 0,
        ),
        desk.now_ns,
    )  # fmt: skip
    desk.commit()


def books(desk):
    state = desk.state
    return (
        state.account, list(state.orders.values()), list(state.algos.values()), list(state.trades.values()),
        list(state.incomes.values()),
    )  # fmt: skip


@pytest.mark.parametrize("seconds", [20, 6_000])
def test_a_desk_that_was_away_ends_like_its_twin_that_was_not(tmp_path, seconds):
    """Over funding at 08:00, stops and resting orders of three symbols."""
    path = tmp_path / "ledger.jsonl"
    away, twin = desk_of(path), desk_of()
    for desk in (away, twin):
        busy(desk)
    shown(twin, seconds)
    away.log.close()
    again = desk_of(path, at_ns=twin.now_ns)
    again.log.close()
    assert books(again) == books(twin)
    if seconds > 5_400:
        assert len(again.state.trades) > 4 and again.state.account.funding
    shown(again, 30)
    shown(twin, 30)
    assert books(again) == books(twin)


def test_rows_that_are_shown_again_change_nothing():
    desk, twin = desk_of(), desk_of()
    for one in (desk, twin):
        busy(one)
        shown(one, 5_500)
    assert desk.state.account.funding, "the span that is shown again was to hold a settlement"
    desk.market.jump(desk.now_ns - 300 * SECOND_NS)
    desk.jumped()
    shown(desk, 300)
    assert books(desk) == books(twin)
    shown(desk, 60)
    shown(twin, 60)
    assert books(desk) == books(twin)


def test_a_fault_of_a_moment_happens_once_at_its_time():
    desk = desk_of(faults=[Fault("outside_trade", at_seconds=30, symbols="ETHUSDT", side="BUY", qty=2)])
    shown(desk, 29)
    assert not desk.state.trades
    shown(desk, 10)
    (trade,) = desk.state.trades.values()
    assert trade.time_ns == desk.market.start_ns + 30 * SECOND_NS
    assert trade.fee == fee_of(trade.price, trade.qty, 50_000)
    shown(desk, 30)
    assert len(desk.state.trades) == 1


def test_a_listen_key_lives_an_hour_from_when_it_was_kept_alive():
    desk, told = desk_of(), []
    desk.send = lambda key, name, payload: told.append((name, payload))
    key = desk.make_key()
    shown(desk, 3_000)
    assert desk.keep_key() == key
    shown(desk, 3_599)
    assert desk.state.stream_key.key == key and not told
    shown(desk, 2)
    assert desk.state.stream_key.key == "" and [name for name, _ in told] == ["listenKeyExpired"]
