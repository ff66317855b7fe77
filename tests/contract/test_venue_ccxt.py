"""ccxt, REST and pro, unmodified but for its base addresses, reads the market of the local venue."""

import asyncio
from itertools import pairwise

import pytest

from tests.venue_process import SYMBOLS, running_venue

ccxt = pytest.importorskip("ccxt", reason="ccxt is not installed")
pro = pytest.importorskip("ccxt.pro", reason="ccxt.pro is not installed")

BTC = "BTC/USDT:USDT"
WITHIN_SECONDS = 30


@pytest.fixture(scope="module")
def venue():
    with running_venue("--speed", "10") as process:
        yield process


def pointed_at(exchange, venue):
    """The same client with other base addresses."""
    exchange.urls["api"]["fapiPublic"] = venue.rest + "/fapi/v1"
    exchange.urls["api"]["fapiPublicV2"] = venue.rest + "/fapi/v2"
    if "ws" in exchange.urls["api"]:
        exchange.urls["api"]["ws"]["linear"] = venue.root + "/ws"
    return exchange


@pytest.fixture(scope="module")
def rest(venue):
    exchange = pointed_at(ccxt.binanceusdm({"enableRateLimit": False}), venue)
    yield exchange
    exchange.session.close()


def watched(venue, work):
    """The result of `work(exchange)` with a client that is closed afterwards."""

    async def run():
        exchange = pointed_at(pro.binanceusdm({"enableRateLimit": False}), venue)
        try:
            return await asyncio.wait_for(work(exchange), WITHIN_SECONDS)
        finally:
            await exchange.close()

    return asyncio.run(run())


def test_markets_have_their_precision_and_limits(rest):
    markets = {market["id"]: market for market in rest.fetch_markets()}
    assert set(markets) == set(SYMBOLS)
    btc = markets["BTCUSDT"]
    assert btc["symbol"] == BTC and btc["swap"] and btc["linear"] and btc["active"]
    assert btc["precision"]["price"] == pytest.approx(0.1)
    assert btc["precision"]["amount"] == pytest.approx(0.001)
    assert btc["limits"]["cost"]["min"] == pytest.approx(100)


def test_a_ticker_has_a_last_price_between_low_and_high(rest):
    ticker = rest.fetch_ticker(BTC)
    assert ticker["low"] <= ticker["last"] <= ticker["high"]
    assert ticker["symbol"] == BTC and ticker["baseVolume"] > 0


def test_candles_follow_each_other_by_a_minute(rest):
    candles = rest.fetch_ohlcv(BTC, "1m", limit=50)
    assert len(candles) == 50
    assert {after[0] - before[0] for before, after in pairwise(candles)} == {60_000}
    for _, first, high, low, last, _ in candles:
        assert low <= min(first, last) <= max(first, last) <= high


def test_an_order_book_is_sorted_and_not_crossed(rest, venue):
    watched(venue, lambda exchange: exchange.watch_bids_asks([BTC]))  # Somebody must move the market first.
    book = rest.fetch_order_book(BTC, limit=20)
    bids, asks = [level[0] for level in book["bids"]], [level[0] for level in book["asks"]]
    assert len(bids) == len(asks) == 20
    assert bids == sorted(bids, reverse=True) and asks == sorted(asks) and bids[0] < asks[0]


def test_trades_come_in_the_order_of_their_ids(rest, venue):
    watched(venue, lambda exchange: exchange.watch_trades(BTC))
    trades = rest.fetch_trades(BTC, limit=20)
    numbers = [int(trade["id"]) for trade in trades]
    assert numbers and numbers == sorted(set(numbers))
    assert all(trade["price"] > 0 and trade["amount"] > 0 for trade in trades)


def test_the_funding_rate_names_its_next_settlement(rest):
    rate = rest.fetch_funding_rate(BTC)
    assert rate["fundingTimestamp"] > rate["timestamp"]
    assert rate["markPrice"] > 0 and abs(rate["fundingRate"]) < 0.01


def test_an_unknown_symbol_is_a_bad_symbol(rest):
    with pytest.raises(ccxt.BadSymbol):
        rest.fapiPublicGetDepth({"symbol": "NOSUCHUSDT"})


def test_pro_watches_trades(venue):
    async def work(exchange):
        seen: dict[str, dict] = {}
        while len(seen) < 5:
            seen |= {trade["id"]: trade for trade in await exchange.watch_trades(BTC)}
        return seen

    trades = watched(venue, work)
    numbers = sorted(int(number) for number in trades)
    assert numbers == list(range(numbers[0], numbers[-1] + 1)), "the stream skipped a trade"


def test_pro_watches_a_ticker_and_the_best_bid_and_ask(venue):
    async def work(exchange):
        return await exchange.watch_ticker(BTC), await exchange.watch_bids_asks([BTC])

    ticker, tops = watched(venue, work)
    assert ticker["last"] > 0
    assert tops[BTC]["bid"] < tops[BTC]["ask"]


def test_pro_watches_candles(venue):
    async def work(exchange):
        return await exchange.watch_ohlcv(BTC, "1m")

    candles = watched(venue, work)
    assert candles[-1][0] % 60_000 == 0 and candles[-1][5] > 0


def test_pro_keeps_an_order_book_from_snapshot_and_changes(venue):
    async def work(exchange):
        nonces: set[int] = set()
        while len(nonces) < 4:
            book = await exchange.watch_order_book(BTC)
            nonces.add(book["nonce"])
            assert book["bids"][0][0] < book["asks"][0][0]
        return book

    book = watched(venue, work)
    assert len(book["bids"]) == len(book["asks"]) == 20, "levels that are gone were not taken away"
