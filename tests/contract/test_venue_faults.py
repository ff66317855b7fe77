"""Faults as clients meet them: on live sockets and requests of the local venue, by plan and by command."""

import asyncio
import json
from itertools import pairwise

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from flowguardian.market.records import SECOND_NS
from tests.venue_client import driven, payloads, until_closed
from tests.venue_process import running_venue

AGG = "/fapi/v1/aggTrades?symbol=BTCUSDT"


@pytest.fixture
def venue():
    with running_venue() as process:
        yield process


def after(venue, slices=8, **fault):
    """Two slices before a fault is injected by command, and those after it."""

    async def work(client):
        await client.go()
        before = await client.slices(2)
        await asyncio.to_thread(lambda: venue.inject(**fault))
        # The slice on offer was made before the fault.
        before += await client.slices(1)
        return before, await client.slices(slices)

    return driven(venue, work)


def ids(slices, key="a"):
    return [frame[key] for frame in payloads(slices, "market0")]


def test_a_plan_file_holds_from_the_start_of_the_market(tmp_path):
    plan = tmp_path / "plan.json"
    fault = {"kind": "stall", "at_seconds": 3, "for_seconds": 4, "streams": "btcusdt@aggTrade"}
    plan.write_text(json.dumps({"seed": 1, "faults": [fault]}), encoding="utf-8")

    async def work(client):
        await client.go()
        return await client.slices(10)

    with running_venue("--faults", str(plan)) as venue:
        slices = driven(venue, work)
    counts = [said["frames"]["market0"] for said, _ in slices]
    assert counts[3:7] == [0, 0, 0, 0] and all(counts[:3]) and all(counts[7:])
    assert all(said["frames"]["public0"] for said, _ in slices), "another stream was stalled too"


def test_dropped_trades_are_subtracted_from_the_counts_and_stay_in_rest(venue):
    _, slices = after(venue, kind="drop", for_seconds=3, streams="btcusdt@aggTrade")
    shown = ids(slices)
    known = [trade["a"] for trade in venue.get(AGG).json()]
    assert set(shown) < set(known)
    assert known == list(range(known[0], known[-1] + 1))


def test_a_delayed_trade_comes_in_a_later_slice(venue):
    _, slices = after(venue, kind="delay", for_seconds=2, seconds=3, streams="btcusdt@aggTrade")
    late = [said for said, frames in slices for frame in payloads([(said, frames)], "market0")
            if frame["T"] * 10**6 < said["from_ns"]]  # fmt: skip
    assert late and sorted(ids(slices)) == list(range(min(ids(slices)), max(ids(slices)) + 1))


def test_a_duplicate_is_counted_where_it_is_sent(venue):
    _, slices = after(venue, kind="duplicate", count=2, streams="btcusdt@aggTrade")
    shown = ids(slices)
    assert len(shown) == 3 * len(set(shown))


def test_reordered_trades_all_come(venue):
    _, slices = after(venue, 14, kind="reorder", for_seconds=8, seconds=5, streams="btcusdt@aggTrade")
    shown = ids(slices)
    assert shown != sorted(shown) and sorted(shown) == list(range(min(shown), max(shown) + 1))


def test_an_id_gap_is_the_same_over_sockets_and_rest(venue):
    before, slices = after(venue, kind="id_gap", count=1000, symbols="BTCUSDT")
    shown = ids(before) + ids(slices)
    assert 1001 in [second - first for first, second in pairwise(shown)]
    known = [trade["a"] for trade in venue.get(AGG + "&limit=1000").json()]
    assert known[: len(shown)] == shown


def test_a_burst_is_many_trades_at_once_with_ids_that_follow(venue):
    before, slices = after(venue, kind="burst", count=50, for_seconds=4, symbols="BTCUSDT")
    shown = ids(before) + ids(slices)
    assert shown == list(range(shown[0], shown[0] + len(shown))) and len(shown) > 150


def test_malformed_and_unknown_frames_are_counted_too(venue):
    async def work(client):
        await client.go()
        await asyncio.to_thread(lambda: venue.inject(kind="malformed", streams="btcusdt@aggTrade"))
        await asyncio.to_thread(lambda: venue.inject(kind="unknown", streams="btcusdt@bookTicker"))
        return await client.slices(4)

    slices = driven(venue, work)
    broken = [frame for _, frames in slices for frame in frames["market0"]][-1]
    with pytest.raises(json.JSONDecodeError):
        json.loads(broken)
    assert {frame["e"] for frame in payloads(slices, "public0")} == {"bookTicker", "neverHeardOf"}


def test_a_non_market_print_has_its_word_on_the_trade_stream(venue):
    async def work(client):
        await client.go()
        await asyncio.to_thread(lambda: venue.inject(kind="non_market", text="INSURANCE_FUND"))
        return await client.slices(4)

    prints = payloads(driven(venue, work, market=["btcusdt@trade"]), "market0")
    kinds = {(frame["X"], float(frame["p"]) > 0) for frame in prints[2:]}
    assert kinds == {("INSURANCE_FUND", False), ("MARKET", True)}


def test_a_cut_ends_the_socket_and_it_may_come_back(venue):
    async def work(client):
        await client.go()
        await client.slices(2)
        await asyncio.to_thread(lambda: venue.inject(kind="cut", path="market"))
        slices = await client.slices(2)
        with pytest.raises(ConnectionClosed):
            await asyncio.wait_for(client.sockets["market0"].recv(), 20)
        client.sockets["market0"] = await connect(client.urls["market0"], compression=None)
        await client.slices(1)
        return slices, await client.slices(2)

    gone, back = driven(venue, work)
    assert "market0" not in gone[-1][0]["frames"] and gone[-1][0]["frames"]["public0"]
    assert all(said["frames"]["market0"] for said, _ in back), "the new connection was cut as well"


def test_every_connection_ends_after_a_day():
    with running_venue("--hours", "25") as venue:

        async def work(client):
            await client.go()
            await client.offered()
            first_ns = client.ready["market_ns"]
            await client.say(op="pause")
            await client.said()
            await client.say(op="go", from_ns=first_ns + 24 * 3600 * SECOND_NS + SECOND_NS)
            assert (await client.said())["op"] == "ready"
            said = await client.said()
            assert await until_closed(client.sockets["market0"]) is None
            return said

        assert driven(venue, work)["frames"] == {}


def test_a_half_open_socket_says_nothing_and_answers_no_ping(venue):
    async def work(client):
        await client.go()
        await client.slices(1)
        await asyncio.to_thread(lambda: venue.inject(kind="half_open", path="market0", for_seconds=5))
        slices = await client.slices(2)
        silent = client.sockets["market0"]
        pong = await silent.ping()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(pong), 0.3)
        frames = [said["frames"].get("market0", 0) for said, _ in slices]
        await client.slices(6)
        with pytest.raises(ConnectionClosed):
            await asyncio.wait_for(silent.recv(), 20)
        pong.cancel()
        return frames

    assert driven(venue, work)[-1] == 0


def test_a_silent_path_connects_and_tells_nothing(venue):
    venue.inject(kind="silent_path", path="market")

    async def work(client):
        await client.go()
        return await client.slices(3)

    slices = driven(venue, work)
    assert [said["frames"]["market0"] for said, _ in slices] == [0, 0, 0]
    assert sum(said["frames"]["public0"] for said, _ in slices)


@pytest.mark.parametrize(
    ("fault", "status", "said"),
    [
        ({"status": 429, "retry_after_seconds": 7}, 429, "-1003"),
        ({"status": 418, "retry_after_seconds": 7}, 418, "banned until"),
        ({"status": 403}, 403, "<html>"),
        ({"status": 451}, 451, "restricted location"),
        ({"status": 503}, 503, "Service Unavailable"),
        ({"status": 503, "text": "Unknown error, please check your request."}, 503, "Unknown"),
        ({"status": 503, "code": -1008, "text": "Server is currently overloaded"}, 503, "-1008"),
        ({"status": 502, "text": "<html>Bad Gateway</html>"}, 502, "Bad Gateway"),
        ({"status": 0, "seconds": 0.1}, 504, ""),
    ],
)
def test_a_request_fails_in_the_way_that_was_asked_for(shared, fault, status, said):
    shared.inject(kind="rest", path="/fapi/v1/time", **fault)
    answer = shared.get("/fapi/v1/time")
    assert answer.status == status and said in answer.body.decode()
    assert answer.headers["Retry-After"] == ("7" if status in (429, 418) else None)
    assert shared.get("/fapi/v1/ping").status == 200
    shared.get("/control/faults", "DELETE")
    assert shared.get("/fapi/v1/time").status == 200


@pytest.fixture(scope="module")
def shared():
    with running_venue() as process:
        yield process


def test_a_clock_that_is_wrong(shared):
    right = shared.get("/fapi/v1/time").json()["serverTime"]
    shared.inject(kind="clock_skew", seconds=-3)
    assert shared.get("/fapi/v1/time").json()["serverTime"] == right - 3000
    shared.get("/control/faults", "DELETE")


def test_an_unreadable_plan_is_refused(shared):
    answer = shared.get("/control/faults", "POST", b'{"faults":[{"kind":"earthquake"}]}')
    assert answer.status == 400 and "earthquake" in answer.json()["error"]
    assert shared.get("/control/faults").json()["faults"] is not None


def filters(venue, symbol):
    for contract in venue.get("/fapi/v1/exchangeInfo").json()["symbols"]:
        if contract["symbol"] == symbol:
            price = next(part for part in contract["filters"] if part["filterType"] == "PRICE_FILTER")
            return contract["status"], price["tickSize"]
    return None


def test_a_tick_size_changes_while_the_market_runs(venue):
    assert filters(venue, "BTCUSDT") == ("TRADING", "0.10")
    after(venue, kind="tick_size", symbols="BTCUSDT", tick="0.01")
    assert filters(venue, "BTCUSDT") == ("TRADING", "0.01")


def test_a_step_and_a_smallest_notional_change_while_the_market_runs(venue):
    after(venue, kind="tick_size", symbols="BTCUSDT", step="0.01", min_notional="500")
    (contract,) = (
        one for one in venue.get("/fapi/v1/exchangeInfo").json()["symbols"] if one["symbol"] == "BTCUSDT"
    )
    found = {part["filterType"]: part for part in contract["filters"]}
    assert filters(venue, "BTCUSDT") == ("TRADING", "0.10")
    assert {found[name]["stepSize"] for name in ("LOT_SIZE", "MARKET_LOT_SIZE")} == {"0.01"}
    assert found["LOT_SIZE"]["minQty"] == "0.01" and float(found["MIN_NOTIONAL"]["notional"]) == 500


def test_a_delisted_symbol_settles_and_falls_silent(venue):
    _, slices = after(venue, kind="delist", symbols="BTCUSDT")
    assert ids(slices) == []
    assert filters(venue, "BTCUSDT")[0] == "SETTLING" and filters(venue, "ETHUSDT")[0] == "TRADING"


def test_maintenance_cuts_every_socket_and_refuses_until_it_is_over(venue):
    async def work(client):
        await client.go()
        await client.slices(1)
        await asyncio.to_thread(lambda: venue.inject(kind="maintenance", for_seconds=4))
        slices = await client.slices(2)
        for socket in client.sockets.values():
            assert await until_closed(socket) is None
        with pytest.raises(InvalidStatus) as refused:
            await connect(client.urls["market0"])
        status = (await asyncio.to_thread(venue.get, "/fapi/v1/time")).status
        await client.slices(4)
        client.sockets["market0"] = await connect(client.urls["market0"], compression=None)
        await client.slices(1)
        return slices, refused.value.response.status_code, status, await client.slices(2)

    down, refused, status, up = driven(venue, work)
    assert down[-1][0]["frames"] == {} and refused == 503 and status == 503
    assert all(said["frames"]["market0"] for said, _ in up)
