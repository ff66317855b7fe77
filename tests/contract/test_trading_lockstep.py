"""Trading in lock-step is deterministic, and the account outlives its venue, however that ends."""

import asyncio
import json
import os
import signal
import subprocess
from contextlib import contextmanager

import pytest
from websockets.asyncio.client import connect

from flowguardian.market.records import SECOND_NS
from tests.venue_client import Client, driven, until_closed
from tests.venue_process import ROOT, VenueProcess, command, running_venue
from tests.venue_trader import Trader, account_balances

ORDER = "/fapi/v1/order"


async def traded(client, trader, slices=30):
    """An order in every slice; the market times at which they were accepted, and the ledger after them."""
    times = []
    for number in range(slices):
        said, _ = await client.offered()
        side = "BUY" if number % 3 else "SELL"

        def send(side=side, number=number):
            bid, ask = trader.top()
            if not bid:
                return None
            if number % 2:
                return trader.order(side, "0.01", newClientOrderId=f"m{number}")
            # The trades of this market lie within its spread: a price in the middle is traded through.
            return trader.order(side, "0.02", f"{(bid + ask) / 2:.1f}", newClientOrderId=f"l{number}")

        made = await asyncio.to_thread(send)
        if made:
            assert made["time"] * 10**6 == said["to_ns"], (
                "an order is handled at the end of the slice on offer"
            )
            times.append(made["time"])
        if number == slices - 1:
            # The next slice would be made as soon as this one is taken.
            return times, await asyncio.to_thread(trader.ledger)
        await client.say(op="ack", n=said["n"])
    raise AssertionError


def session():
    with running_venue("--speed", "max") as venue:
        trader = Trader(venue)

        async def work(client):
            await client.go()
            return await traded(client, trader)

        return driven(venue, work)


def test_the_same_requests_at_the_same_slices_make_the_same_ledger():
    first, second = session(), session()
    assert first == second
    times, ledger = first
    assert len(times) > 20 and len(ledger["trades"]) > 10
    assert any(trade["maker"] for trade in ledger["trades"]), "no resting order was filled"
    account_balances(ledger)


def test_funding_is_settled_once_though_the_market_goes_back():
    with running_venue("--start", "2025-01-01T07:59:30", "--speed", "max") as venue:
        trader = Trader(venue)

        async def work(client):
            start_ns = (await client.go())["market_ns"]
            await client.slices(10)
            await asyncio.to_thread(trader.order, "BUY", "0.05")
            await client.slices(40)
            await asyncio.to_thread(trader.order, "BUY", "0.05", f"{trader.top()[0] * 0.99:.1f}")
            await client.say(op="pause")
            await client.say(op="go", from_ns=start_ns + 20 * SECOND_NS)
            while (await client.said())["op"] != "ready":
                pass
            before = await asyncio.to_thread(trader.ledger)
            await client.slices(25)
            return before, await asyncio.to_thread(trader.ledger)

        before, after = driven(venue, work)
    funded = [income for income in after["incomes"] if income["kind"] == "FUNDING_FEE"]
    assert len(funded) == 1 and funded[0]["amount"] == after["account"]["funding"] != 0
    assert before["account"] == after["account"] and before["now_ns"] < after["now_ns"]
    account_balances(after)


@contextmanager
def killable(place, *more):
    """A venue with a place that the test ends by its own handle, in any way it likes."""
    process = subprocess.Popen(
        command("--place", str(place), *more), cwd=ROOT, stdout=subprocess.PIPE, encoding="utf-8"
    )
    try:
        assert process.stdout is not None
        yield process, Trader(VenueProcess(process, json.loads(process.stdout.readline())))
    finally:
        process.kill()
        process.communicate(timeout=20)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL to send")
def test_a_killed_venue_knows_its_orders_keys_and_balance(tmp_path):
    place = tmp_path / "venue-place.json"
    with killable(place, "--speed", "1") as (process, trader):
        trader.quoted()
        trader.order("BUY", "0.02", newClientOrderId="mine")
        resting = trader.order("SELL", "0.01", f"{trader.top()[1] * 1.03:.1f}")
        stop = trader.stop("SELL", f"{trader.top()[0] * 0.97:.1f}", closePosition="true")
        key = trader.key_of_stream()
        before = trader.ledger()
        process.send_signal(signal.SIGKILL)
    with (tmp_path / "venue-ledger.jsonl").open("ab") as file:
        file.write(b'{"changes":[["account",{"start"')  # The line that the kill tore.
    with killable(place, "--speed", "1") as (_, again):
        assert (again.key, again.secret) == (trader.key, trader.secret)
        assert [order["orderId"] for order in again.get("/fapi/v1/openOrders")] == [resting["orderId"]]
        assert [algo["algoId"] for algo in again.get("/fapi/v1/openAlgoOrders")] == [stop["algoId"]]
        assert again.get(ORDER, symbol="BTCUSDT", origClientOrderId="mine")["status"] == "FILLED"
        assert again.key_of_stream() == key
        after = again.ledger()
        assert after["account"] == before["account"] and after["trades"] == before["trades"]
        assert again.order("SELL", "0.02")["orderId"] > stop["algoId"] - 10**6
        account_balances(again.ledger())


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL to send")
def test_what_the_market_did_while_the_venue_was_dead_is_matched(tmp_path):
    """At 600 times the clock a second of being dead is ten minutes: the price comes to the order and back."""
    place = tmp_path / "venue-place.json"
    with killable(place, "--speed", "600") as (process, trader):
        trader.quoted()
        # The market stands for two requests: on a busy host they take minutes of it.
        trader.venue.get("/control/pause", "POST")
        mid = sum(trader.top()) / 2
        made = [
            trader.order("BUY", "0.02", f"{mid - 20:.1f}"),
            trader.order("SELL", "0.02", f"{mid + 20:.1f}"),
        ]
        assert [order["status"] for order in made] == ["NEW", "NEW"]
        trader.venue.get("/control/resume", "POST")
        process.send_signal(signal.SIGKILL)
    with killable(place, "--speed", "600") as (_, again):
        ledger = again.ledger()
        assert [order["id"] for order in ledger["orders"]] == [order["orderId"] for order in made]
        assert ledger["now_ns"] > made[0]["time"] * 10**6 + 300 * SECOND_NS
        filled = [order["filled"] for order in ledger["orders"]]
        assert sum(filled) == sum(trade["qty"] for trade in ledger["trades"]) > 0
        account_balances(ledger)


def test_a_planned_stop_keeps_the_account(tmp_path):
    place = tmp_path / "venue-place.json"
    with running_venue("--place", str(place)) as venue:
        Trader(venue).order("BUY", "0.02")
        before = Trader(venue).ledger()
    with running_venue("--place", str(place)) as venue:
        after = Trader(venue).ledger()
    assert before == after


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (b'{"changes":[["order",{"id":1}]]}\n', "cannot be read"),
        (b"garbage\n{}\n", "line 1 of"),
        (b'{"changes":[["countdown",{"symbol":"XRPUSDT","due_ns":9,"asked_ms":1}]]}\n', "XRPUSDT"),
    ],
)
def test_an_account_that_cannot_be_used_is_an_error_that_says_why(tmp_path, lines, says):
    (tmp_path / "venue-ledger.jsonl").write_bytes(lines)
    started = subprocess.run(
        command("--place", str(tmp_path / "venue-place.json")), cwd=ROOT, capture_output=True,
        encoding="utf-8", timeout=60, check=False,
    )  # fmt: skip
    assert started.returncode == 2 and says in started.stderr
    assert "Traceback" not in started.stderr


def test_user_events_that_a_fault_delays_come_with_a_later_slice():
    with running_venue() as venue:
        trader = Trader(venue)

        async def work(client):
            await client.go()
            await client.slices(2)
            url = f"{venue.root}/private/ws/{await asyncio.to_thread(trader.key_of_stream)}"
            async with connect(url, compression=None) as socket:
                await asyncio.to_thread(
                    lambda: venue.inject(kind="delay", seconds=3, streams="user@ORDER_TRADE_UPDATE@*")
                )
                await asyncio.to_thread(trader.order, "BUY", "0.02")
                first = [json.loads(await asyncio.wait_for(socket.recv(), 20))["e"] for _ in range(2)]
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(socket.recv(), 0.2)
                await client.slices(5)
                return first, [json.loads(await asyncio.wait_for(socket.recv(), 20))["e"] for _ in range(2)]

        first, late = driven(venue, work)
    assert first == ["TRADE_LITE", "ACCOUNT_UPDATE"] and late == ["ORDER_TRADE_UPDATE"] * 2


def test_a_cut_of_the_private_path_ends_the_user_stream_alone():
    with running_venue() as venue:
        trader = Trader(venue)

        async def work(client):
            await client.go()
            url = f"{venue.root}/private/ws/{await asyncio.to_thread(trader.key_of_stream)}"
            async with connect(url, compression=None) as socket:
                await client.slices(1)
                await asyncio.to_thread(lambda: venue.inject(kind="cut", path="private"))
                slices = await client.slices(3)
                return await until_closed(socket), slices

        code, slices = driven(venue, work)
    assert code is None and all(said["frames"]["public0"] for said, _ in slices)


def test_a_countdown_cancels_what_nobody_renews():
    with running_venue() as venue:
        trader = Trader(venue)

        def set_up():
            trader.order("BUY", "0.02", f"{trader.top()[0] * 0.99:.1f}")
            trader.ask("POST", "/fapi/v1/countdownCancelAll", symbol="BTCUSDT", countdownTime=5000)

        async def work(client: Client):
            await client.go()
            await client.slices(2)
            await asyncio.to_thread(set_up)
            await client.slices(3)
            early = await asyncio.to_thread(trader.get, "/fapi/v1/openOrders")
            await client.slices(4)
            return early, await asyncio.to_thread(trader.get, "/fapi/v1/openOrders")

        early, late = driven(venue, work)
    assert len(early) == 1 and late == []
