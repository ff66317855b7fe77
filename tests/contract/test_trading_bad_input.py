"""Bad input to the trading routes gets the documented error and changes nothing."""

import asyncio
import json

import pytest
from websockets.asyncio.client import connect

from tests.venue_process import running_venue
from tests.venue_trader import Trader, account_balances

ORDER, ALGO = "/fapi/v1/order", "/fapi/v1/algoOrder"
LIMIT = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.01"}
STOP = {"algoType": "CONDITIONAL", "symbol": "BTCUSDT", "side": "SELL", "type": "STOP_MARKET"}


@pytest.fixture(scope="module")
def trader():
    """A market that stands still at its first moment: its last price comes from its history."""
    with running_venue() as process:
        yield Trader(process)


@pytest.fixture
def last(trader):
    return float(trader.venue.get("/fapi/v1/ticker/price?symbol=BTCUSDT").json()["price"])


def code_of(answer):
    return answer.status, answer.json()["code"]


# --- who speaks


def test_a_request_without_or_with_another_key_is_unauthorized(trader):
    path = f"/fapi/v3/account?{trader.signed()}"
    assert code_of(trader.send("GET", path, key="")) == (401, -2014)
    assert code_of(trader.send("GET", path, key="no key")) == (401, -2014)
    assert code_of(trader.send("GET", path, key="0" * 64)) == (401, -2015)
    assert code_of(trader.send("POST", "/fapi/v1/listenKey", key="0" * 64)) == (401, -2015)


def test_a_wrong_missing_or_foreign_signature_is_refused(trader):
    signed = trader.signed(symbol="BTCUSDT")
    assert code_of(trader.send("GET", f"/fapi/v1/openOrders?{signed[:-1]}g")) == (400, -1022)
    assert code_of(trader.send("GET", f"/fapi/v1/openOrders?limit=1&{signed}")) == (400, -1022)
    assert code_of(trader.send("GET", f"/fapi/v1/openOrders?{signed.partition('&sig')[0]}")) == (400, -1102)
    assert code_of(trader.send("GET", "/fapi/v1/openOrders?symbol=BTCUSDT")) == (400, -1102)
    assert trader.send("GET", f"/fapi/v1/openOrders?{signed}").status == 200


def test_a_signature_covers_query_and_body_joined(trader, last):
    signed = trader.signed(**LIMIT, price=f"{last * 0.99:.1f}")
    head, _, tail = signed.partition("&")
    answer = trader.send("POST", f"{ORDER}?{head}", tail.encode())
    assert code_of(answer) == (400, -1022), "the joint of query and body has no ampersand"
    assert trader.send("POST", ORDER, signed.encode()).status == 200


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"timestamp": -6000}, -1021),
        ({"timestamp": 1000}, -1021),
        ({"timestamp": 999}, None),
        ({"timestamp": -5000}, None),
        ({"timestamp": -20_000, "recvWindow": 30_000}, None),
        ({"timestamp": -31_000, "recvWindow": 30_000}, -1021),
        ({"recvWindow": 60_001}, -1131),
        ({"recvWindow": "x"}, -1100),
    ],
)
def test_the_time_of_a_request_must_lie_in_its_window(trader, change, code):
    params = {**change, "timestamp": trader.now_ms() + change.get("timestamp", 0)}
    answer = trader.ask("GET", "/fapi/v3/balance", **params)
    assert code_of(answer) == (400, code) if code else answer.status == 200


def test_a_clock_that_a_fault_moves_refuses_those_who_do_not_follow_it(trader):
    before = trader.now_ms()
    trader.venue.inject(kind="clock_skew", seconds=-1.5)
    try:
        assert code_of(trader.ask("GET", "/fapi/v3/balance", timestamp=before)) == (400, -1021)
        assert trader.ask("GET", "/fapi/v3/balance").status == 200
    finally:
        trader.venue.get("/control/faults", "DELETE")


# --- what is asked


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"symbol": "NOSUCHUSDT"}, -1121),
        ({"symbol": ""}, -1102),
        ({"side": "HOLD"}, -1117),
        ({"side": ""}, -1102),
        ({"type": "ICEBERG"}, -1116),
        ({"type": "STOP_MARKET", "stopPrice": "1"}, -4120),
        ({"type": "TAKE_PROFIT", "stopPrice": "1"}, -4120),
        ({"type": "TRAILING_STOP_MARKET", "callbackRate": "1"}, -4120),
        ({"timeInForce": ""}, -1102),
        ({"timeInForce": "DAY"}, -1115),
        ({"timeInForce": "GTD"}, -1102),
        ({"quantity": ""}, -1102),
        ({"quantity": "x"}, -1100),
        ({"quantity": "1e-3"}, -1100),
        ({"quantity": "-1"}, -4003),
        ({"quantity": "0"}, -4003),
        ({"quantity": "0.0001"}, -1111),
        ({"quantity": "0.0000000001"}, -1111),
        ({"quantity": "121"}, -4005),
        ({"price": ""}, -1102),
        ({"price": "0"}, -4001),
        ({"price": "-5"}, -4001),
        ({"price": "10.01"}, -1111),
        ({"price": "99999999"}, -4002),
        ({"positionSide": "LONG"}, -4061),
        ({"reduceOnly": "true"}, -2022),
        ({"reduceOnly": "maybe"}, -1130),
        ({"closePosition": "true"}, -4136),
        ({"newClientOrderId": "a b"}, -4015),
        ({"newClientOrderId": "x" * 37}, -4015),
        ({"newOrderRespType": "FULL"}, -1130),
        ({"quantity": "100"}, -2019),
    ],
)
def test_a_bad_order_is_refused_with_its_code(trader, last, change, code):
    answer = trader.ask("POST", ORDER, **{**LIMIT, "price": f"{last * 0.99:.1f}", **change})
    assert code_of(answer) == (400, code), answer.body
    account_balances(trader.ledger())


def test_an_order_below_the_smallest_notional_is_refused(trader):
    last = float(trader.venue.get("/fapi/v1/ticker/price?symbol=LTCUSDT").json()["price"])
    small = {"symbol": "LTCUSDT", "quantity": "0.1"}
    answer = trader.ask("POST", ORDER, **{**LIMIT, **small, "price": f"{last * 0.99:.2f}"})
    assert code_of(answer) == (400, -4164)
    answer = trader.ask("POST", ALGO, **{**STOP, **small, "triggerPrice": f"{last * 0.95:.2f}"})
    assert code_of(answer) == (400, -4164)


@pytest.mark.parametrize(("factor", "side", "code"), [(1.06, "BUY", -4016), (0.94, "SELL", -4024)])
def test_a_price_far_from_the_mark_is_refused(trader, last, factor, side, code):
    answer = trader.ask("POST", ORDER, **{**LIMIT, "side": side, "price": f"{last * factor:.1f}"})
    assert code_of(answer) == (400, code)


def test_a_market_order_takes_neither_price_nor_time_in_force(trader):
    market = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.01"}
    assert code_of(trader.ask("POST", ORDER, **market, price="1")) == (400, -1106)
    assert code_of(trader.ask("POST", ORDER, **market, timeInForce="GTC")) == (400, -1106)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"algoType": "VP"}, -1130),
        ({"type": "LIMIT"}, -1116),
        ({"type": "TRAILING_STOP_MARKET"}, -1116),
        ({"triggerPrice": ""}, -1102),
        ({"triggerPrice": "0"}, -4006),
        ({"triggerPrice": "10.01"}, -1111),
        ({"quantity": ""}, -1102),
        ({"quantity": "0.01", "closePosition": "true"}, -4137),
        ({"quantity": "0", "closePosition": "true", "reduceOnly": "true"}, -1106),
        ({"type": "STOP", "price": "1000.0", "quantity": "0.01", "closePosition": "true"}, -4136),
        ({"type": "STOP", "quantity": "0.01"}, -1102),
        ({"price": "1000.0"}, -1106),
        ({"workingType": "INDEX_PRICE"}, -1130),
        ({"timeInForce": "DAY"}, -1115),
        ({"side": "BUY"}, -2021),
        ({"clientAlgoId": "a b"}, -4015),
    ],
)
def test_a_bad_conditional_order_is_refused_with_its_code(trader, last, change, code):
    params = {**STOP, "quantity": "0.01", "triggerPrice": f"{last * 0.95:.1f}", **change}
    answer = trader.ask("POST", ALGO, **params)
    assert code_of(answer) == (400, code), answer.body


@pytest.mark.parametrize(
    ("method", "path", "params", "code"),
    [
        ("GET", ORDER, {"symbol": "BTCUSDT"}, -1102),
        ("GET", ORDER, {"symbol": "BTCUSDT", "orderId": 7}, -2013),
        ("GET", ORDER, {"symbol": "BTCUSDT", "origClientOrderId": "nobody"}, -2013),
        ("GET", "/fapi/v1/openOrder", {"symbol": "BTCUSDT", "orderId": 7}, -2013),
        ("DELETE", ORDER, {"symbol": "BTCUSDT", "orderId": 7}, -2011),
        ("DELETE", ORDER, {"symbol": "BTCUSDT", "orderId": "x"}, -1100),
        ("PUT", ORDER, {"symbol": "BTCUSDT", "orderId": 7, "side": "BUY", "quantity": 1, "price": 1}, -2013),
        ("PUT", ORDER, {"symbol": "BTCUSDT", "orderId": 7, "side": "BUY", "quantity": 1}, -1102),
        ("GET", ALGO, {"algoId": 7}, -2013),
        ("DELETE", ALGO, {"clientAlgoId": "nobody"}, -2011),
        ("DELETE", ALGO, {}, -1102),
        ("GET", "/fapi/v1/allOrders", {}, -1102),
        ("GET", "/fapi/v1/allOrders", {"symbol": "BTCUSDT", "limit": 1001}, -1130),
        ("GET", "/fapi/v1/userTrades", {"symbol": "BTCUSDT", "startTime": 9, "endTime": 8}, -1023),
        ("GET", "/fapi/v1/userTrades", {"symbol": "BTCUSDT", "startTime": 9, "fromId": 8}, -1128),
        ("GET", "/fapi/v1/allOrders", {"symbol": "BTCUSDT", "startTime": 0, "endTime": 604800001}, -4165),
        ("DELETE", "/fapi/v1/allOpenOrders", {}, -1102),
        ("POST", "/fapi/v1/countdownCancelAll", {"symbol": "BTCUSDT"}, -1102),
        ("POST", "/fapi/v1/batchOrders", {"batchOrders": "[]"}, -1130),
        ("POST", "/fapi/v1/batchOrders", {"batchOrders": "{"}, -1130),
        ("DELETE", "/fapi/v1/batchOrders", {"symbol": "BTCUSDT"}, -1130),
        ("POST", "/fapi/v1/leverage", {"symbol": "BTCUSDT", "leverage": 126}, -4028),
        ("POST", "/fapi/v1/leverage", {"symbol": "BTCUSDT"}, -1102),
        ("POST", "/fapi/v1/marginType", {"symbol": "BTCUSDT", "marginType": "CROSSED"}, -4046),
        ("POST", "/fapi/v1/marginType", {"symbol": "BTCUSDT", "marginType": "BOTH"}, -1130),
        ("POST", "/fapi/v1/positionSide/dual", {"dualSidePosition": "false"}, -4059),
        ("GET", "/fapi/v1/commissionRate", {}, -1102),
    ],
)
def test_a_bad_request_is_refused_with_its_code(trader, method, path, params, code):
    assert code_of(trader.ask(method, path, **params)) == (400, code)


@pytest.mark.parametrize(
    ("method", "path"),
    [("PATCH", ORDER), ("GET", "/fapi/v1/leverage"), ("POST", "/fapi/v1/depth"), ("GET", "/fapi/v9/account")],
)
def test_a_path_or_method_that_is_none_is_not_found(trader, method, path):
    answer = trader.ask(method, path)
    assert answer.status in (404, 405)
    assert method == "PATCH" or answer.json()["code"] == -5000


# --- the stream


def test_a_key_that_was_never_made_or_is_closed_does_not_exist(trader):
    assert code_of(trader.send("PUT", "/fapi/v1/listenKey")) == (400, -1125)
    key = trader.key_of_stream()
    assert trader.key_of_stream() == key, "an active key is given again"
    assert trader.send("PUT", "/fapi/v1/listenKey").json() == {"listenKey": key}
    assert trader.send("DELETE", "/fapi/v1/listenKey").json() == {}
    assert code_of(trader.send("PUT", "/fapi/v1/listenKey")) == (400, -1125)
    assert trader.key_of_stream() != key


@pytest.mark.parametrize("path", ["/private/ws/{}", "/private/ws?listenKey={}", "/private/stream?streams={}"])
def test_a_foreign_listen_key_connects_and_hears_nothing(trader, path):
    async def run():
        own = await asyncio.to_thread(trader.key_of_stream)
        urls = [trader.venue.root + path.format(key) for key in (own, own[::-1])]
        async with connect(urls[0], compression=None) as mine, connect(urls[1], compression=None) as foreign:
            await asyncio.to_thread(trader.order, "BUY", "0.01", None)
            heard = json.loads(await asyncio.wait_for(mine.recv(), 20))
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(foreign.recv(), 0.3)
            return heard

    heard = asyncio.run(run())
    event = heard["data"] if "stream" in path else heard
    assert event["e"] == "ORDER_TRADE_UPDATE"
    account_balances(trader.ledger())


# --- limits


def test_too_many_orders_are_refused_and_counted_in_the_headers():
    with running_venue() as venue:
        trader = Trader(venue)
        order = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0"}
        first = trader.ask("POST", ORDER, **order)
        assert first.headers["X-MBX-ORDER-COUNT-10S"] == first.headers["X-MBX-ORDER-COUNT-1M"] == "1"
        query = trader.signed(**order)
        codes = [trader.send("POST", f"{ORDER}?{query}").json()["code"] for _ in range(300)]
        assert codes == [-4003] * 299 + [-1015]
