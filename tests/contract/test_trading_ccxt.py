"""ccxt, REST and pro, unmodified but for its base addresses, trades on the local venue."""

import asyncio

import pytest

from tests.venue_process import running_venue
from tests.venue_trader import Trader, account_balances, clocked

ccxt = pytest.importorskip("ccxt", reason="ccxt is not installed")
pro = pytest.importorskip("ccxt.pro", reason="ccxt.pro is not installed")

BTC = "BTC/USDT:USDT"
WITHIN_SECONDS = 30


@pytest.fixture
def venue():
    with running_venue(*clocked()) as process:
        Trader(process).quoted()
        yield process


def pointed_at(exchange, venue):
    """The same client with other base addresses."""
    api = exchange.urls["api"]
    for name in ("Public", "PublicV2", "Private", "PrivateV2", "PrivateV3"):
        version = name[-2:].lower() if "V" in name else "v1"
        api[f"fapi{name}"] = f"{venue.rest}/fapi/{version}"
    if "ws" in api:
        api["ws"]["linear"] = venue.root + "/ws"
    return exchange


def settings(venue):
    return {
        "apiKey": venue.addresses["api_key"],
        "secret": venue.addresses["api_secret"],
        "enableRateLimit": False,
        # The clock of the venue is its market's; currencies are not asked of a futures address.
        "options": {"adjustForTimeDifference": True, "fetchCurrencies": False, "fetchMarkets": ["linear"]},
    }


@pytest.fixture
def rest(venue):
    exchange = pointed_at(ccxt.binanceusdm(settings(venue)), venue)
    exchange.load_time_difference()
    yield exchange
    exchange.session.close()


def test_an_order_is_made_found_edited_and_cancelled(rest):
    bid = rest.fetch_bids_asks([BTC])[BTC]["bid"]
    made = rest.create_order(BTC, "limit", "buy", 0.01, round(bid * 0.98, 1), {"clientOrderId": "mine-1"})
    assert made["status"] == "open" and made["clientOrderId"] == "mine-1" and made["filled"] == 0
    assert rest.fetch_order(made["id"], BTC)["price"] == made["price"]
    assert [order["id"] for order in rest.fetch_open_orders(BTC)] == [made["id"]]
    edited = rest.edit_order(made["id"], BTC, "limit", "buy", 0.02, round(bid * 0.97, 1))
    assert (edited["id"], edited["amount"]) == (made["id"], 0.02)
    assert rest.cancel_order(made["id"], BTC)["status"] == "canceled"
    assert rest.fetch_open_orders(BTC) == []
    assert [order["status"] for order in rest.fetch_orders(BTC)] == ["canceled"]
    with pytest.raises(ccxt.OrderNotFound):
        rest.cancel_order(made["id"], BTC)


def test_orders_come_and_go_in_batches(rest):
    bid = rest.fetch_bids_asks([BTC])[BTC]["bid"]
    orders = [
        {"symbol": BTC, "type": "limit", "side": "buy", "amount": 0.01, "price": round(bid * share, 1)}
        for share in (0.99, 0.98, 0.90)
    ]
    orders.append({**orders[2], "amount": 0.001})
    made = rest.create_orders(orders)
    refused = [order["info"]["code"] for order in made if order["status"] == "rejected"]
    resting = [order["id"] for order in made if order["status"] == "open"]
    assert refused == [-4164] and len(resting) == 3
    gone = rest.cancel_orders(resting[:2], BTC)
    assert [order["status"] for order in gone] == ["canceled", "canceled"]
    rest.cancel_all_orders(BTC)
    assert rest.fetch_open_orders(BTC) == []


def wallet(exchange):
    return float(exchange.fetch_balance()["info"]["totalWalletBalance"])


def test_a_market_order_makes_a_position_a_trade_and_a_fee(rest, venue):
    before = wallet(rest)
    order = rest.create_order(BTC, "market", "buy", 0.02)
    assert order["status"] == "closed" and order["filled"] == 0.02
    (position,) = rest.fetch_positions([BTC])
    assert position["side"] == "long" and position["contracts"] == 0.02
    assert position["entryPrice"] == pytest.approx(order["average"])
    assert position["leverage"] in (None, 20.0)
    trades = rest.fetch_my_trades(BTC)
    assert sum(trade["amount"] for trade in trades) == pytest.approx(0.02)
    assert all(trade["order"] == order["id"] and trade["takerOrMaker"] == "taker" for trade in trades)
    fees = sum(trade["fee"]["cost"] for trade in trades)
    assert before - wallet(rest) == pytest.approx(fees)
    rest.create_order(BTC, "market", "sell", 0.02, None, {"reduceOnly": True})
    assert rest.fetch_positions([BTC]) == []
    account_balances(Trader(venue).ledger())


def test_conditional_orders_go_by_the_algo_routes(rest):
    rest.create_order(BTC, "market", "buy", 0.02)
    last = rest.fetch_ticker(BTC)["last"]
    stop = rest.create_order(
        BTC, "market", "sell", 0.02, None, {"stopLossPrice": round(last * 0.9, 1), "reduceOnly": True}
    )
    profit = rest.create_order(
        BTC, "limit", "sell", 0.02, round(last * 1.1, 1), {"takeProfitPrice": round(last * 1.09, 1)}
    )
    waiting = {order["id"] for order in rest.fetch_open_orders(BTC, params={"stop": True})}
    assert waiting == {stop["id"], profit["id"]}
    assert rest.fetch_order(stop["id"], BTC, {"stop": True})["type"] in ("market", "stop_market")
    rest.cancel_order(stop["id"], BTC, {"stop": True})
    rest.cancel_all_orders(BTC, {"stop": True})
    assert rest.fetch_open_orders(BTC, params={"stop": True}) == []


def test_settings_of_the_account(rest):
    assert rest.set_leverage(10, BTC)["leverage"] == 10
    rest.set_margin_mode("isolated", BTC)
    assert rest.fetch_position_mode(BTC)["hedged"] is False
    rest.set_position_mode(True)
    assert rest.fetch_position_mode(BTC)["hedged"] is True
    fee = rest.fetch_trading_fee(BTC)
    assert (fee["maker"], fee["taker"]) == (0.0002, 0.0005)
    tiers = rest.fetch_leverage_tiers([BTC])[BTC]
    assert tiers[0]["maxLeverage"] == 125 and tiers[0]["maintenanceMarginRate"] == 0.004
    assert rest.fetch_leverage(BTC)["longLeverage"] == 10


def test_refusals_are_the_errors_of_the_client(rest):
    bid = rest.fetch_bids_asks([BTC])[BTC]["bid"]
    # The client knows the classes of futures codes by the exchange's own host name only.
    with pytest.raises(ccxt.ExchangeError, match="-2019"):
        rest.create_order(BTC, "market", "buy", 100)
    with pytest.raises(ccxt.ExchangeError, match="-2022"):
        rest.create_order(BTC, "market", "sell", 0.01, None, {"reduceOnly": True})
    with pytest.raises(ccxt.ExchangeError, match="-4164"):
        rest.create_order(BTC, "limit", "buy", 0.001, round(bid * 0.951, 1))
    with pytest.raises(ccxt.OrderNotFound):
        rest.fetch_order("12345", BTC)
    rest.secret = "another"
    with pytest.raises(ccxt.AuthenticationError):
        rest.fetch_balance()


def watched(venue, work):
    """The result of `work(exchange)` with a client that is closed afterwards."""

    async def run():
        exchange = pointed_at(pro.binanceusdm(settings(venue)), venue)
        try:
            await exchange.load_time_difference()
            await exchange.load_markets()
            return await asyncio.wait_for(work(exchange), WITHIN_SECONDS)
        finally:
            await exchange.close()

    return asyncio.run(run())


async def private_socket(exchange):
    """Until the client has connected to its user stream."""
    for _ in range(1000):
        found = [url for url in exchange.clients if "private" in url]
        if found:
            await exchange.clients[found[0]].connected
            return
        await asyncio.sleep(0.01)
    raise AssertionError("the client opened no user stream")


def test_pro_watches_orders_and_fills(venue):
    async def work(exchange):
        orders = asyncio.create_task(exchange.watch_orders(BTC))
        await private_socket(exchange)
        trades = asyncio.create_task(exchange.watch_my_trades(BTC))
        await asyncio.sleep(0)
        made = await exchange.create_order(BTC, "market", "buy", 0.01)
        found = await orders
        while found[-1]["status"] != "closed":
            found = await exchange.watch_orders(BTC)
        return made, found[-1], (await trades)[-1]

    made, order, trade = watched(venue, work)
    assert order["id"] == made["id"] == trade["order"]
    assert order["filled"] == 0.01 and trade["fee"]["cost"] > 0


def test_pro_watches_a_stop_that_rests_and_is_cancelled(venue):
    async def work(exchange):
        orders = asyncio.create_task(exchange.watch_orders(BTC))
        await private_socket(exchange)
        last = Trader(venue).top()[0]
        stop = await exchange.create_order(
            BTC, "market", "sell", 0.01, None, {"stopLossPrice": round(last * 0.95, 1)}
        )
        first = dict((await orders)[-1])  # The client goes on writing into what it gave.
        later = asyncio.create_task(exchange.watch_orders(BTC))
        await asyncio.sleep(0)
        await exchange.cancel_order(stop["id"], BTC, {"stop": True})
        return stop, first, (await later)[-1]

    stop, first, last = watched(venue, work)
    assert first["id"] == last["id"] == stop["id"]
    assert (first["status"], last["status"]) == ("open", "canceled")


def test_pro_watches_balance_and_positions(venue):
    async def work(exchange):
        balance = asyncio.create_task(exchange.watch_balance())
        await private_socket(exchange)
        positions = asyncio.create_task(exchange.watch_positions([BTC]))
        await asyncio.sleep(0)
        await exchange.create_order(BTC, "market", "sell", 0.01)
        found = await positions
        while not any(one["contracts"] for one in found):
            found = await exchange.watch_positions([BTC])
        return await balance, found

    balance, positions = watched(venue, work)
    assert balance["USDT"]["total"] < 10_000
    assert positions[-1]["side"] == "short" and positions[-1]["contracts"] == 0.01
