"""The exchange's own SDK, unmodified but for its base addresses, reads the market of the local venue."""

import asyncio

import pytest

from tests.venue_process import SYMBOLS, running_venue

sdk = pytest.importorskip(
    "binance_sdk_derivatives_trading_usds_futures.derivatives_trading_usds_futures",
    reason="the official SDK is not installed",
)
configuration = pytest.importorskip("binance_common.configuration", reason="the SDK is not installed")

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
WITHIN_SECONDS = 30


@pytest.fixture(scope="module")
def venue():
    with running_venue("--speed", "10") as process:
        yield process


@pytest.fixture(scope="module")
def rest(venue):
    client = sdk.DerivativesTradingUsdsFutures(
        config_rest_api=configuration.ConfigurationRestAPI(
            api_key=venue.addresses["api_key"],
            api_secret=venue.addresses["api_secret"],
            base_path=venue.rest,
        )
    )
    return client.rest_api


def test_server_time_and_exchange_information(rest):
    assert rest.check_server_time().data().server_time > 1_600_000_000_000
    info = rest.exchange_information().data()
    assert [entry.symbol for entry in info.symbols] == list(SYMBOLS)
    assert {limit.rate_limit_type for limit in info.rate_limits} == {"REQUEST_WEIGHT", "ORDERS"}
    kinds = {part.filter_type for part in info.symbols[0].filters}
    assert kinds >= {"PRICE_FILTER", "LOT_SIZE", "MARKET_LOT_SIZE", "MIN_NOTIONAL", "PERCENT_PRICE"}


def test_book_trades_and_candles(rest, venue):
    collected(venue, "individual_symbol_book_ticker_streams", symbol="btcusdt")
    book = rest.order_book(symbol="BTCUSDT", limit=5).data()
    assert len(book.bids) == len(book.asks) == 5 and float(book.bids[0][0]) < float(book.asks[0][0])
    trades = rest.compressed_aggregate_trades_list(symbol="BTCUSDT", limit=3).data()
    assert [trade.a for trade in trades] == sorted(trade.a for trade in trades)
    assert rest.recent_trades_list(symbol="BTCUSDT", limit=3).data()[-1].id == trades[-1].a
    candles = rest.kline_candlestick_data(symbol="BTCUSDT", interval="1m", limit=5).data()
    assert len(candles) == 5


def test_marks_funding_and_tickers(rest):
    mark = rest.mark_price(symbol="BTCUSDT").data().actual_instance
    assert mark.next_funding_time > mark.time and float(mark.mark_price) > 0
    settled = rest.get_funding_rate_history(symbol="BTCUSDT").data()
    assert all(one.funding_time < mark.time for one in settled)
    top = rest.symbol_order_book_ticker(symbol="BTCUSDT").data().actual_instance
    assert top.symbol == "BTCUSDT"
    day = rest.ticker24hr_price_change_statistics(symbol="BTCUSDT").data().actual_instance
    assert float(day.low_price) <= float(day.last_price) <= float(day.high_price)


def test_an_unknown_symbol_is_its_bad_request_error(rest):
    from binance_common.errors import BadRequestError

    with pytest.raises(BadRequestError, match="Invalid symbol"):
        rest.order_book(symbol="NOSUCHUSDT")


def collected(venue, stream, count=2, **arguments):
    """The first events of a stream, as the SDK's own models."""

    async def run():
        client = sdk.DerivativesTradingUsdsFutures(
            config_ws_streams=configuration.ConfigurationWebSocketStreams(stream_url=venue.root)
        )
        connection = await client.websocket_streams.create_connection()
        events, enough = [], asyncio.Event()

        def take(event):
            events.append(event)
            if len(events) >= count:
                enough.set()

        try:
            handle = await getattr(connection, stream)(**arguments)
            handle.on("message", take)
            await asyncio.wait_for(enough.wait(), WITHIN_SECONDS)
            await handle.unsubscribe()
        finally:
            await connection.close_connection(close_session=True)
        return events[:count]

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("stream", "arguments"),
    [
        ("aggregate_trade_streams", {"symbol": "btcusdt"}),
        ("individual_symbol_book_ticker_streams", {"symbol": "btcusdt"}),
        ("mark_price_stream", {"symbol": "btcusdt", "update_speed": "1s"}),
        ("kline_candlestick_streams", {"symbol": "btcusdt", "interval": "1m"}),
        ("diff_book_depth_streams", {"symbol": "btcusdt", "update_speed": "100ms"}),
        ("partial_book_depth_streams", {"symbol": "btcusdt", "levels": 5, "update_speed": "100ms"}),
        ("individual_symbol_ticker_streams", {"symbol": "btcusdt"}),
    ],
)
def test_a_stream_is_read_by_the_models_of_the_sdk(venue, stream, arguments):
    events = collected(venue, stream, **arguments)
    assert all(event.s == "BTCUSDT" for event in events)
    unknown = {key for event in events for key in (event.additional_properties or {})}
    assert not unknown, f"fields that the models do not know: {unknown}"
