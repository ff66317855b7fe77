"""The exchange's own SDK, unmodified but for its base addresses, trades on the local venue."""

import asyncio

import pytest

from tests.venue_process import running_venue
from tests.venue_trader import Trader, account_balances, clocked

sdk = pytest.importorskip(
    "binance_sdk_derivatives_trading_usds_futures.derivatives_trading_usds_futures",
    reason="the official SDK is not installed",
)
configuration = pytest.importorskip("binance_common.configuration", reason="the SDK is not installed")
models = pytest.importorskip("binance_sdk_derivatives_trading_usds_futures.rest_api.models")

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
WITHIN_SECONDS = 30
BTC = "BTCUSDT"
WINDOW = 60_000


@pytest.fixture
def venue():
    with running_venue(*clocked()) as process:
        Trader(process).quoted()
        yield process


@pytest.fixture(autouse=True)
def no_shape_is_a_surprise(caplog):
    """The SDK does not fail on a shape it does not know: it warns and hands over the raw answer."""
    yield
    words = ("did not match", "Failed to parse", "Unknown user data event")
    found = [record.getMessage() for record in caplog.records]
    assert not [text for text in found if any(word in text for word in words)]


def client_of(venue):
    return sdk.DerivativesTradingUsdsFutures(
        config_rest_api=configuration.ConfigurationRestAPI(
            api_key=venue.addresses["api_key"], api_secret=venue.addresses["api_secret"], base_path=venue.rest
        ),
        config_ws_streams=configuration.ConfigurationWebSocketStreams(stream_url=venue.root),
    )


@pytest.fixture
def rest(venue):
    return client_of(venue).rest_api


def bought(rest, quantity=0.02, side="BUY", **more):
    return rest.new_order(
        symbol=BTC, side=side, type="MARKET", quantity=quantity, new_order_resp_type="RESULT",
        recv_window=WINDOW, **more,
    ).data()  # fmt: skip


def test_an_order_is_made_found_modified_and_cancelled(rest, venue):
    price = round(Trader(venue).top()[0] * 0.98, 1)
    made = rest.new_order(
        symbol=BTC, side="BUY", type="LIMIT", time_in_force="GTC", quantity=0.01, price=price,
        new_client_order_id="mine", recv_window=WINDOW,
    )  # fmt: skip
    assert ("SECOND", 10, 1) in [(one.interval, one.intervalNum, one.count) for one in made.rate_limits]
    number = made.data().order_id
    assert made.data().status == "NEW"
    found = rest.query_order(symbol=BTC, orig_client_order_id="mine", recv_window=WINDOW).data()
    assert (found.order_id, float(found.price)) == (number, price)
    moved = rest.modify_order(
        symbol=BTC, side="BUY", quantity=0.02, price=round(price * 0.99, 1), order_id=number,
        recv_window=WINDOW,
    )  # fmt: skip
    assert moved.data().orig_qty == "0.020"
    assert len(rest.current_all_open_orders(recv_window=WINDOW).data()) == 1
    gone = rest.cancel_order(symbol=BTC, order_id=number, recv_window=WINDOW).data()
    assert gone.status == "CANCELED"
    assert [one.status for one in rest.all_orders(symbol=BTC, recv_window=WINDOW).data()] == ["CANCELED"]


def test_the_account_its_positions_and_its_fills(rest, venue):
    order = bought(rest)
    assert order.status == "FILLED"
    (position,) = rest.position_information_v3(symbol=BTC, recv_window=WINDOW).data()
    assert position.position_amt == "0.020" and float(position.maint_margin) > 0
    assert rest.position_information_v2(symbol=BTC, recv_window=WINDOW).data()[0].position_amt == "0.020"
    account = rest.account_information_v3(recv_window=WINDOW).data()
    assert float(account.total_wallet_balance) < 10_000 and len(account.positions) == 1
    assert len(rest.account_information_v2(recv_window=WINDOW).data().positions) == 3
    (balance,) = rest.futures_account_balance_v3(recv_window=WINDOW).data()
    assert balance.balance == account.total_wallet_balance
    trades = rest.account_trade_list(symbol=BTC, recv_window=WINDOW).data()
    assert {trade.order_id for trade in trades} == {order.order_id}
    income = rest.get_income_history(recv_window=WINDOW).data()
    assert {line.income_type for line in income} == {"COMMISSION"}
    bought(rest, side="SELL", reduce_only="true")
    account_balances(Trader(venue).ledger())


def test_conditional_orders_go_by_the_algo_routes(rest, venue):
    bought(rest)
    trigger = round(Trader(venue).top()[0] * 0.9, 1)
    stop = rest.new_algo_order(
        algo_type="CONDITIONAL", symbol=BTC, side="SELL", type="STOP_MARKET", trigger_price=trigger,
        close_position="true", client_algo_id="guard", recv_window=WINDOW,
    ).data()  # fmt: skip
    assert (stop.algo_status, stop.client_algo_id) == ("NEW", "guard")
    (found,) = rest.current_all_algo_open_orders(recv_window=WINDOW).data()
    assert found.algo_id == stop.algo_id and found.close_position is True
    assert rest.query_algo_order(algo_id=stop.algo_id, recv_window=WINDOW).data().algo_status == "NEW"
    rest.cancel_algo_order(algo_id=stop.algo_id, recv_window=WINDOW)
    every = rest.query_all_algo_orders(symbol=BTC, recv_window=WINDOW).data()
    assert [one.algo_status for one in every] == ["CANCELED"]


def test_settings_limits_and_brackets(rest):
    assert rest.change_initial_leverage(symbol=BTC, leverage=7, recv_window=WINDOW).data().leverage == 7
    rest.change_margin_type(symbol=BTC, margin_type="ISOLATED", recv_window=WINDOW)
    (config,) = rest.symbol_configuration(symbol=BTC, recv_window=WINDOW).data()
    assert (config.leverage, config.margin_type) == (7, "ISOLATED")
    assert rest.get_current_position_mode(recv_window=WINDOW).data().dual_side_position is False
    assert rest.get_current_multi_assets_mode(recv_window=WINDOW).data().multi_assets_margin is False
    assert rest.futures_account_configuration(recv_window=WINDOW).data().can_trade is True
    fee = rest.user_commission_rate(symbol=BTC, recv_window=WINDOW).data()
    assert (fee.maker_commission_rate, fee.taker_commission_rate) == ("0.000200", "0.000500")
    rest.notional_and_leverage_brackets(symbol=BTC, recv_window=WINDOW).data()
    assert len(rest.query_user_rate_limit(recv_window=WINDOW).data()) == 2
    countdown = rest.auto_cancel_all_open_orders(symbol=BTC, countdown_time=60_000, recv_window=WINDOW)
    assert countdown.data().countdown_time == "60000"


def test_refusals_are_the_errors_of_the_client(rest, venue):
    from binance_common.errors import BadRequestError, UnauthorizedError

    with pytest.raises(BadRequestError, match="Margin is insufficient"):
        bought(rest, quantity=100)
    with pytest.raises(BadRequestError, match="ReduceOnly Order is rejected"):
        bought(rest, side="SELL", reduce_only="true")
    with pytest.raises(BadRequestError, match="Unknown order sent"):
        rest.cancel_order(symbol=BTC, order_id=12345, recv_window=WINDOW)
    other = sdk.DerivativesTradingUsdsFutures(
        config_rest_api=configuration.ConfigurationRestAPI(
            api_key="somebody_else_than_this", api_secret="x", base_path=venue.rest
        )
    )
    with pytest.raises(UnauthorizedError, match="Invalid API-key"):
        other.rest_api.futures_account_balance_v3(recv_window=WINDOW)


def test_the_user_stream_is_read_by_the_models_of_the_sdk(venue):
    async def run():
        client = client_of(venue)
        key = (await asyncio.to_thread(client.rest_api.start_user_data_stream)).data().listen_key
        connection = await client.websocket_streams.create_connection()
        events, done = [], asyncio.Event()

        def take(event):
            events.append(event.actual_instance)
            if sum(type(one).__name__ == "AccountUpdate" for one in events) == 1:
                done.set()

        try:
            handle = await connection.user_data(key)
            handle.on("message", take)
            await asyncio.sleep(0.5)  # The SDK does not tell when its subscription is acknowledged.
            await asyncio.to_thread(bought, client.rest_api)
            await asyncio.wait_for(done.wait(), WITHIN_SECONDS)
            kept = await asyncio.to_thread(client.rest_api.keepalive_user_data_stream)
            assert kept.data().listen_key == key
            await asyncio.to_thread(client.rest_api.close_user_data_stream)
        finally:
            await connection.close_connection(close_session=True)
        return events

    events = asyncio.run(run())
    assert [type(one).__name__ for one in events[:4]] == [
        "OrderTradeUpdate", "TradeLite", "OrderTradeUpdate", "AccountUpdate",
    ]  # fmt: skip
    assert [one.o.x for one in events if type(one).__name__ == "OrderTradeUpdate"][:2] == ["NEW", "TRADE"]
