"""Every answer of the trading routes and every user event has the keys and JSON types of the exchange's."""

import json
import re

import pytest

from tests.contract import trading_shapes as shapes
from tests.contract.test_venue_shapes import ABSENT, DATA, DOCS, contains, entries, has
from tests.venue_process import running_venue
from tests.venue_trader import Trader, events_of

JKORF = DATA / "fixtures" / "jkorf_binance_net"
FRAMES = DATA / "fixtures" / "recorded_frames"
TRAILING_ONLY = {"activatePrice", "priceRate", "code", "msg"}
"""Keys of recorded answers that only a trailing stop, or an error beside it, has."""


@pytest.fixture(scope="module")
def trader():
    """An account with a position, an open order, a waiting stop and a fill; its events in `events`."""
    with running_venue() as process:
        trader = Trader(process)
        last = float(process.get("/fapi/v1/ticker/price?symbol=BTCUSDT").json()["price"])

        def work():
            trader.ask("POST", "/fapi/v1/leverage", symbol="BTCUSDT", leverage=10)
            trader.order("BUY", "0.02")
            trader.order("SELL", "0.01", f"{last * 1.02:.1f}", newClientOrderId="open")
            trader.stop("SELL", f"{last * 0.97:.1f}", closePosition="true", clientAlgoId="stop")
            process.inject(kind="key_expiry")

        trader.events = events_of(trader, work, lambda told: told and told[-1]["e"] == "listenKeyExpired")
        trader.last = last
        yield trader


def event_of(trader, name, execution=""):
    found = [event for event in trader.events if event["e"] == name]
    return next(event for event in found if not execution or event["o"]["x"] == execution)


@pytest.mark.parametrize("path", [*shapes.REST])
def test_an_answer_has_its_keys_and_types(trader, path):
    path, _, query = path.partition("?")
    params = dict(part.split("=") for part in query.split("&") if part)
    body = entries(trader.get(path, **params))
    assert body
    for entry in body:
        has(entry, shapes.REST[f"{path}?{query}" if query else path], path)


@pytest.mark.parametrize("name", [*shapes.EVENTS])
def test_an_event_has_its_keys_and_types(trader, name):
    event = event_of(trader, name)
    has(event, shapes.EVENTS[name], name)
    if name in shapes.INNER:
        has(event["o"], shapes.INNER[name], name)


def test_an_account_update_has_its_balances_and_positions(trader):
    account = event_of(trader, "ACCOUNT_UPDATE")["a"]
    assert account["m"] == "ORDER"
    has(account["B"][0], shapes.BALANCE, "B")
    has(account["P"][0], shapes.POSITION, "P")


# --- against what others recorded


def requested(trader, name):
    """The venue's answer to what a recorded answer was about."""
    order = {"symbol": "BTCUSDT", "origClientOrderId": "open"}
    eth, price = {"symbol": "ETHUSDT"}, f"{trader.last * 1.03:.1f}"
    resting = {"symbol": "BTCUSDT", "side": "SELL", "type": "LIMIT", "timeInForce": "GTC",
               "quantity": "0.01", "price": price}  # fmt: skip
    waiting = {"algoType": "CONDITIONAL", "symbol": "BTCUSDT", "side": "SELL", "type": "STOP_MARKET",
               "quantity": "0.01", "triggerPrice": f"{trader.last * 0.96:.1f}"}  # fmt: skip
    asked = {
        "account_information_v2": ("GET", "/fapi/v2/account", {}),
        "account_information_v3": ("GET", "/fapi/v3/account", {}),
        "futures_account_balance_v2": ("GET", "/fapi/v2/balance", {}),
        "futures_account_balance_v3": ("GET", "/fapi/v3/balance", {}),
        "futures_account_configuration": ("GET", "/fapi/v1/accountConfig", {}),
        "get_bnb_burn_status": ("GET", "/fapi/v1/feeBurn", {}),
        "get_current_multi_assets_mode": ("GET", "/fapi/v1/multiAssetsMargin", {}),
        "get_current_position_mode": ("GET", "/fapi/v1/positionSide/dual", {}),
        "get_income_history": ("GET", "/fapi/v1/income", {}),
        "position_adl_quantile_estimation": ("GET", "/fapi/v1/adlQuantile", {}),
        "query_user_rate_limit": ("GET", "/fapi/v1/rateLimit/order", {}),
        "symbol_configuration": ("GET", "/fapi/v1/symbolConfig", {}),
        "user_commission_rate": ("GET", "/fapi/v1/commissionRate", {"symbol": "BTCUSDT"}),
        "account_trade_list": ("GET", "/fapi/v1/userTrades", {"symbol": "BTCUSDT"}),
        "all_orders": ("GET", "/fapi/v1/allOrders", {"symbol": "BTCUSDT"}),
        "auto_cancel_all_open_orders": (
            "POST", "/fapi/v1/countdownCancelAll", {**eth, "countdownTime": "9000"},
        ),
        "cancel_all_algo_open_orders": ("DELETE", "/fapi/v1/algoOpenOrders", {"symbol": "ETHUSDT"}),
        "cancel_all_open_orders": ("DELETE", "/fapi/v1/allOpenOrders", {"symbol": "ETHUSDT"}),
        "change_initial_leverage": ("POST", "/fapi/v1/leverage", {**eth, "leverage": "9"}),
        "change_margin_type": ("POST", "/fapi/v1/marginType", {**eth, "marginType": "ISOLATED"}),
        "current_all_open_orders": ("GET", "/fapi/v1/openOrders", {}),
        "new_algo_order": ("POST", "/fapi/v1/algoOrder", waiting),
        "query_algo_order": ("GET", "/fapi/v1/algoOrder", {"clientAlgoId": "stop"}),
        "current_all_algo_open_orders": ("GET", "/fapi/v1/openAlgoOrders", {}),
        "query_all_algo_orders": ("GET", "/fapi/v1/allAlgoOrders", {"symbol": "BTCUSDT"}),
        "new_order": ("POST", "/fapi/v1/order", resting),
        "place_multiple_orders": ("POST", "/fapi/v1/batchOrders", {"batchOrders": json.dumps([resting])}),
        "position_information_v2": ("GET", "/fapi/v2/positionRisk", {"symbol": "BTCUSDT"}),
        "position_information_v3": ("GET", "/fapi/v3/positionRisk", {"symbol": "BTCUSDT"}),
        "query_current_open_order": ("GET", "/fapi/v1/openOrder", order),
        "query_order": ("GET", "/fapi/v1/order", order),
        "modify_order": ("PUT", "/fapi/v1/order", {**resting, **order, "quantity": "0.012", "modifyId": "1"}),
    }  # fmt: skip
    method, path, params = asked[name]
    answer = trader.ask(method, path, **params)
    assert answer.status == 200, answer.body
    return answer.json()


def trimmed(example):
    """A recorded example without what is no answer to an ordinary order, and with null for its "None"."""
    if isinstance(example, list):
        return [trimmed(entry) for entry in example]
    if isinstance(example, dict):
        return {
            key: trimmed(value)
            for key, value in example.items()
            if key not in TRAILING_ONLY and value != "None"
        }
    return example


ACCOUNT = [
    "account_information_v2", "account_information_v3", "futures_account_balance_v2",
    "futures_account_balance_v3", "futures_account_configuration", "get_bnb_burn_status",
    "get_current_multi_assets_mode", "get_current_position_mode", "get_income_history",
    "query_user_rate_limit", "symbol_configuration", "user_commission_rate",
]  # fmt: skip
TRADE = [
    "account_trade_list", "all_orders", "auto_cancel_all_open_orders", "cancel_all_algo_open_orders",
    "cancel_all_open_orders", "change_initial_leverage", "change_margin_type", "current_all_open_orders",
    "new_algo_order", "query_algo_order", "current_all_algo_open_orders", "query_all_algo_orders",
    "new_order", "place_multiple_orders", "position_information_v2", "position_information_v3",
    "query_current_open_order", "query_order", "modify_order", "position_adl_quantile_estimation",
]  # fmt: skip


@pytest.mark.real_data
@pytest.mark.skipif(not DOCS.exists(), reason=ABSENT)
@pytest.mark.parametrize(
    ("group", "name"), [*(("account", name) for name in ACCOUNT), *(("trade", name) for name in TRADE)]
)
def test_an_answer_is_like_the_documented_one(trader, group, name):
    file = DOCS / f"rest_api__test_{group}_api.json"
    example = trimmed(json.loads(file.read_text(encoding="utf-8"))[name])
    contains(requested(trader, name), example, name)


SUBSCRIPTIONS = {
    "OrderUpdate.txt": ("ORDER_TRADE_UPDATE", "NEW"),
    "TradeUpdate.txt": ("TRADE_LITE", ""),
    "AccountUpdate.txt": ("ACCOUNT_UPDATE", ""),
    "AlgoOrderUpdate.txt": ("ALGO_UPDATE", ""),
    "Leverage.txt": ("ACCOUNT_CONFIG_UPDATE", ""),
}


@pytest.mark.real_data
@pytest.mark.skipif(not JKORF.exists(), reason=ABSENT)
@pytest.mark.parametrize("file", [*SUBSCRIPTIONS])
def test_an_event_is_like_the_one_another_client_is_tested_with(trader, file):
    text = (JKORF / "Subscriptions" / "UsdFutures" / file).read_text(encoding="utf-8")
    example = json.loads(re.split(r"=\s*(?=\{)", text)[-1])["data"]
    if "o" in example:
        example["o"] = {key: value for key, value in example["o"].items() if key not in ("AP", "cr")}
    contains(event_of(trader, *SUBSCRIPTIONS[file]), example, file)


@pytest.mark.real_data
@pytest.mark.skipif(not FRAMES.exists(), reason=ABSENT)
def test_events_are_like_the_recorded_ones(trader):
    seen = set()
    for file in sorted(FRAMES.glob("*.jsonl")):
        for line in file.read_text(encoding="utf-8").splitlines():
            example = json.loads(line)
            if example.get("e") in shapes.EVENTS:
                execution = example["o"]["x"] if example["e"] == "ORDER_TRADE_UPDATE" else ""
                contains(event_of(trader, example["e"], execution), example, example["e"])
                seen.add((example["e"], execution))
    assert len(seen) == 4, "the recordings hold no user events any more"
