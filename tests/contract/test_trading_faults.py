"""Faults of the trading side as a client meets them: what it is told, and what the ledger knows."""

import asyncio
import http.client
import json
import time

import pytest

from tests.venue_client import driven
from tests.venue_process import running_venue
from tests.venue_trader import UNIT, Trader, account_balances, events_of

ORDER = "/fapi/v1/order"
MARKET = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "0.01"}


@pytest.fixture
def trader():
    """A market that stands still at its first moment."""
    with running_venue() as process:
        yield Trader(process)


@pytest.fixture
def last(trader):
    return float(trader.venue.get("/fapi/v1/ticker/price?symbol=BTCUSDT").json()["price"])


def held(trader, symbol="BTCUSDT"):
    position = trader.ledger()["account"]["positions"].get(symbol)
    return position["qty"] / UNIT if position else 0.0


def resting(trader, last, client_id="resting", **more):
    return trader.order("BUY", "0.02", f"{last * 0.99:.1f}", newClientOrderId=client_id, **more)


# --- unknown outcomes


@pytest.mark.parametrize(
    ("variant", "status", "says", "executed"),
    [
        ("timeout", 408, '"code":-1007', True),
        ("unknown_503", 503, "Unknown error, please check your request or try again later.", True),
        ("gateway_504", 504, "504 Gateway Time-out", True),
        ("unavailable_503", 503, "Service Unavailable.", False),
        ("internal_503", 503, '"code":-1001', False),
        ("throttled_503", 503, '"code":-1008', False),
    ],
)
def test_an_answer_that_is_none_may_hide_an_execution(trader, variant, status, says, executed):
    trader.venue.inject(kind="order_reply", variant=variant)
    answer = trader.ask("POST", ORDER, **MARKET, newClientOrderId="lost")
    assert answer.status == status and says in answer.body.decode()
    trader.venue.get("/control/faults", "DELETE")
    assert (held(trader) == 0.01) is executed
    found = trader.ask("GET", ORDER, symbol="BTCUSDT", origClientOrderId="lost").json()
    assert found.get("status") == "FILLED" if executed else found["code"] == -2013
    account_balances(trader.ledger())


@pytest.mark.parametrize("variant", ["timeout", "unknown_503", "unavailable_503", "dropped"])
def test_whether_it_was_executed_can_be_said_for_each_text(trader, variant):
    for share, expected in ((0.0, 0.0), (1.0, 0.01)):
        trader.venue.get("/control/faults", "DELETE")
        trader.venue.inject(kind="order_reply", variant=variant, executed=share)
        if variant == "dropped":
            with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
                trader.ask("POST", ORDER, **MARKET)
        else:
            assert trader.ask("POST", ORDER, **MARKET).status >= 400
        assert held(trader) == expected


def test_a_share_of_the_requests_is_hit_by_the_seed_of_the_plan(tmp_path):
    plan = tmp_path / "plan.json"
    plan.write_text(
        '{"seed": 5, "faults": [{"kind": "order_reply", "rate": 0.5, "executed": 0.5}]}', encoding="utf-8"
    )

    def run():
        with running_venue("--faults", str(plan)) as venue:
            trader = Trader(venue)
            statuses = [trader.ask("POST", ORDER, **MARKET).status for _ in range(40)]
            return statuses, trader.ledger()["account"]["positions"]["BTCUSDT"]["qty"]

    statuses, qty = run()
    hit = statuses.count(408)
    assert set(statuses) == {200, 408} and 10 <= hit <= 30
    done = qty / UNIT / 0.01
    assert 40 - hit < done < 40, "all or none of the lost ones were executed"
    assert run() == (statuses, qty)


def test_a_throttle_exempts_what_reduces(trader):
    trader.order("BUY", "0.01")
    trader.venue.inject(kind="order_reply", variant="throttled_503")
    assert trader.ask("POST", ORDER, **MARKET).json()["code"] == -1008
    assert trader.order("SELL", "0.01", reduceOnly="true")["status"] == "FILLED"


def test_a_late_reply_comes_after_the_order_was_executed_and_told(trader):
    trader.venue.inject(kind="order_reply", variant="late", seconds=1.0)
    began = time.monotonic()
    told: list[float] = []

    def order():
        trader.ask("POST", ORDER, **MARKET)
        told.append(time.monotonic() - began)

    events_of(trader, order, lambda events: len(events) == 4)
    assert told[0] >= 1.0


def test_a_lost_cancel_is_executed_too(trader, last):
    made = resting(trader, last)
    trader.venue.inject(kind="order_reply", path="DELETE /fapi/v1/order")
    assert trader.ask("DELETE", ORDER, symbol="BTCUSDT", orderId=made["orderId"]).json()["code"] == -1007
    assert trader.get(ORDER, symbol="BTCUSDT", orderId=made["orderId"])["status"] == "CANCELED"
    assert trader.ask("POST", ORDER, **MARKET).status == 200, "only cancels were to be lost"


# --- refusals


@pytest.mark.parametrize("code", [-2019, -2022, -4164, -1008, -1013])
def test_an_order_is_refused_with_the_code_of_the_plan(trader, code):
    trader.venue.inject(kind="order_refused", code=code)
    answer = trader.ask("POST", ORDER, **MARKET).json()
    assert answer["code"] == code and "{}" not in answer["msg"]
    assert not trader.ledger()["orders"]


def test_a_fill_between_decision_and_cancel_is_an_unknown_order(trader, last):
    made = resting(trader, last)
    trader.venue.inject(kind="race")
    assert trader.ask("DELETE", ORDER, symbol="BTCUSDT", orderId=made["orderId"]).json()["code"] == -2011
    assert trader.get(ORDER, symbol="BTCUSDT", orderId=made["orderId"])["status"] == "FILLED"
    assert held(trader) == 0.02


def test_a_part_may_fill_before_a_cancel_or_an_amendment(trader, last):
    made = resting(trader, last)
    trader.venue.inject(kind="race", share=0.5)
    price = f"{last * 0.98:.1f}"
    moved = trader.ask(
        "PUT", ORDER, symbol="BTCUSDT", orderId=made["orderId"], side="BUY", quantity="0.03", price=price
    ).json()
    assert (moved["executedQty"], moved["origQty"]) == ("0.010", "0.030")
    gone = trader.ask("DELETE", ORDER, symbol="BTCUSDT", orderId=made["orderId"]).json()
    assert (gone["status"], gone["executedQty"]) == ("CANCELED", "0.020")
    account_balances(trader.ledger())


def test_a_replaced_order_that_filled_first_cannot_be_amended(trader, last):
    made = resting(trader, last)
    trader.venue.inject(kind="race")
    moved = trader.ask(
        "PUT", ORDER, symbol="BTCUSDT", orderId=made["orderId"], side="BUY", quantity="0.03", price="1000.0"
    ).json()
    assert moved["code"] == -2013 and held(trader) == 0.02


def test_a_stop_is_triggered_just_before_it_is_cancelled(trader, last):
    trader.order("BUY", "0.02")
    stop = trader.stop("SELL", f"{last * 0.95:.1f}", quantity="0.02", reduceOnly="true")
    trader.venue.inject(kind="stop_race", path="DELETE *")
    assert trader.ask("DELETE", "/fapi/v1/algoOrder", algoId=stop["algoId"]).json()["code"] == -2011
    assert trader.get("/fapi/v1/algoOrder", algoId=stop["algoId"])["algoStatus"] == "FINISHED"
    assert held(trader) == 0
    account_balances(trader.ledger())


def test_a_stop_is_triggered_just_before_an_order_that_closes(trader, last):
    trader.order("BUY", "0.02")
    trader.stop("SELL", f"{last * 0.95:.1f}", quantity="0.02", reduceOnly="true")
    trader.venue.inject(kind="stop_race", path="POST *", symbols="BTCUSDT")
    assert trader.order("SELL", "0.02", reduceOnly="true")["code"] == -2022
    assert held(trader) == 0


def test_a_new_order_fills_in_part_and_is_cancelled_by_the_venue(trader):
    trader.venue.inject(kind="partial_then_cancel", share=0.3)
    order = trader.order("BUY", "0.02")
    assert (order["status"], order["executedQty"]) == ("CANCELED", "0.006")
    account_balances(trader.ledger())


# --- the user stream


def executions(events):
    return [event["o"]["x"] for event in events if event["e"] == "ORDER_TRADE_UPDATE"]


def test_a_key_expires_with_its_event(trader):
    events = events_of(trader, lambda: trader.venue.inject(kind="key_expiry"), lambda events: events)
    assert events[0]["e"] == "listenKeyExpired" and events[0]["listenKey"]
    assert trader.send("PUT", "/fapi/v1/listenKey").json()["code"] == -1125


def test_a_key_expires_without_a_word_and_nothing_is_told_any_more(trader):
    def work():
        trader.venue.inject(kind="key_expiry", silent=True)
        trader.order("BUY", "0.01")

    with pytest.raises(TimeoutError):
        events_of(trader, work, lambda events: events, within=0.5)
    assert held(trader) == 0.01


def test_a_keep_alive_fails_though_the_key_lives(trader):
    key = trader.key_of_stream()
    trader.venue.inject(kind="keepalive_refused")
    assert trader.send("PUT", "/fapi/v1/listenKey").json()["code"] == -1125
    assert trader.key_of_stream() == key


def test_fills_are_told_twice(trader):
    trader.venue.inject(kind="duplicate", streams="user@ORDER_TRADE_UPDATE@TRADE")
    events = events_of(trader, lambda: trader.order("BUY", "0.01"), lambda events: len(events) == 5)
    assert executions(events) == ["NEW", "TRADE", "TRADE"]
    assert len({event["o"]["t"] for event in events if event["e"] == "ORDER_TRADE_UPDATE"}) == 2


def test_fills_are_lost(trader):
    trader.venue.inject(kind="drop", streams="user@ORDER_TRADE_UPDATE@TRADE,user@TRADE_LITE")
    events = events_of(trader, lambda: trader.order("BUY", "0.01"), lambda events: len(events) == 2)
    assert [event["e"] for event in events] == ["ORDER_TRADE_UPDATE", "ACCOUNT_UPDATE"]
    assert len(trader.get("/fapi/v1/userTrades", symbol="BTCUSDT")) == 1, "REST still knows it"


def test_a_fill_overtakes_its_acknowledgement(trader):
    trader.venue.inject(kind="fill_first")
    events = events_of(trader, lambda: trader.order("BUY", "0.01"), lambda events: len(events) == 4)
    assert executions(events) == ["TRADE", "NEW"]


# --- from outside


def test_somebody_else_trades_on_the_account(trader):
    def work():
        trader.venue.inject(kind="outside_trade", symbols="BTCUSDT", side="SELL", qty=0.05)

    events = events_of(trader, work, lambda events: len(events) == 4)
    assert events[0]["o"]["c"].startswith("web_") and executions(events) == ["NEW", "TRADE"]
    assert held(trader) == -0.05
    trader.venue.inject(kind="outside_trade", symbols="BTCUSDT", side="BUY", qty=0.05, text="mine-7")
    assert trader.get(ORDER, symbol="BTCUSDT", origClientOrderId="mine-7")["status"] == "FILLED"
    account_balances(trader.ledger())


def test_a_position_is_closed_from_outside(trader):
    trader.order("BUY", "0.01")
    trader.venue.inject(kind="outside_trade", symbols="BTCUSDT")
    assert held(trader) == 0
    assert trader.get("/fapi/v3/positionRisk") == []


@pytest.mark.parametrize("silent", [True, False])
def test_a_resting_stop_is_cancelled_by_the_venue(trader, last, silent):
    trader.order("BUY", "0.01")
    stop = trader.stop("SELL", f"{last * 0.95:.1f}", closePosition="true")

    def work():
        trader.venue.inject(kind="stop_cancelled", symbols="BTCUSDT", silent=silent)

    if silent:
        with pytest.raises(TimeoutError):
            events_of(trader, work, lambda events: events, within=0.3)
    else:
        (event,) = events_of(trader, work, lambda events: events)
        assert (event["e"], event["o"]["X"]) == ("ALGO_UPDATE", "CANCELED")
    assert trader.get("/fapi/v1/openAlgoOrders") == []
    assert trader.get("/fapi/v1/algoOrder", algoId=stop["algoId"])["algoStatus"] == "CANCELED"


def test_an_account_is_liquidated(trader, last):
    trader.order("BUY", "0.01")
    resting(trader, last)
    events = events_of(
        trader,
        lambda: trader.venue.inject(kind="liquidation"),
        lambda events: events[-1:] and "a" in events[-1],
    )
    assert executions(events) == ["CANCELED", "NEW", "CALCULATED"]
    assert events[-2]["o"]["c"].startswith("autoclose-") and events[-2]["o"]["o"] == "LIQUIDATION"
    (forced,) = trader.get("/fapi/v1/forceOrders", autoCloseType="LIQUIDATION")
    assert forced["status"] == "FILLED" and trader.get("/fapi/v1/forceOrders", autoCloseType="ADL") == []
    ledger = trader.ledger()
    assert held(trader) == 0 and ledger["maintenance"] == 0
    account_balances(ledger)


def test_a_position_is_reduced_by_adl(trader):
    trader.order("BUY", "0.02")
    trader.venue.inject(kind="adl", symbols="BTCUSDT", share=0.5)
    assert held(trader) == 0.01
    assert trader.get("/fapi/v1/allOrders", symbol="BTCUSDT")[-1]["clientOrderId"] == "adl_autoclose"
    account_balances(trader.ledger())


def test_a_delisted_contract_is_settled_and_closed(trader, last):
    trader.order("BUY", "0.02")
    made = resting(trader, last)
    trader.venue.inject(kind="delist", symbols="BTCUSDT")
    assert held(trader) == 0
    orders = {order["orderId"]: order for order in trader.get("/fapi/v1/allOrders", symbol="BTCUSDT")}
    assert orders[made["orderId"]]["status"] == "CANCELED"
    assert orders[max(orders)]["clientOrderId"].startswith("settlement_autoclose-")
    assert trader.order("BUY", "0.02")["code"] == -4141
    assert trader.order("BUY", "1", symbol="LTCUSDT")["status"] == "FILLED"
    account_balances(trader.ledger())


def test_an_accepted_order_is_invisible_to_queries_for_a_while():
    with running_venue() as venue:
        trader = Trader(venue)

        def place():
            venue.inject(kind="invisible", seconds=5)
            return trader.order("BUY", "0.02", f"{trader.top()[0] * 0.99:.1f}", newClientOrderId="hidden")

        def asked():
            query = trader.ask("GET", ORDER, symbol="BTCUSDT", origClientOrderId="hidden")
            return query.json().get("code"), len(trader.get("/fapi/v1/openOrders", symbol="BTCUSDT"))

        async def work(client):
            await client.go()
            await client.slices(2)
            await asyncio.to_thread(place)
            first = await asyncio.to_thread(asked)
            await client.slices(6)
            return first, await asyncio.to_thread(asked)

        first, then = driven(venue, work)
    assert first == (-2013, 0) and then == (None, 1)


def test_queries_show_the_cancelled_half_of_a_replacement_as_still_open():
    with running_venue() as venue:
        trader = Trader(venue)

        def replace():
            price = f"{trader.top()[0] * 0.99:.1f}"
            first = trader.order("BUY", "0.02", price)
            venue.inject(kind="stale", seconds=5)
            trader.ask("DELETE", ORDER, symbol="BTCUSDT", orderId=first["orderId"])
            trader.order("BUY", "0.03", price)

        def open_quantities():
            return [order["origQty"] for order in trader.get("/fapi/v1/openOrders", symbol="BTCUSDT")]

        async def work(client):
            await client.go()
            await client.slices(2)
            await asyncio.to_thread(replace)
            first = await asyncio.to_thread(open_quantities)
            await client.slices(7)
            return first, await asyncio.to_thread(open_quantities)

        first, then = driven(venue, work)
    assert first == ["0.020", "0.030"] and then == ["0.030"]


def test_a_plan_with_an_unknown_reply_or_share_is_refused(trader):
    for fault in ({"kind": "order_reply", "variant": "nothing"}, {"kind": "race", "share": 1.5}):
        body = json.dumps({"faults": [fault]}).encode()
        assert trader.venue.get("/control/faults", "POST", body).status == 400
