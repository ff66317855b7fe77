"""Lock-step with the local venue: slices, counts, order, pauses, and the same market as without sockets."""

import asyncio
import json

import numpy as np
import pytest
from websockets.asyncio.client import connect

from flowguardian.feeds.recorded import open_market
from flowguardian.market.records import SECOND_NS, Flag, Kind
from flowguardian.venue.shapes import text
from tests.venue_client import Client, driven, payloads
from tests.venue_process import SYMBOLS, running_venue

HOURS = "0.1"
START = "2025-01-01T07:57"  # Three minutes before a settlement.


@pytest.fixture
def venue():
    with running_venue("--start", START, "--hours", HOURS) as process:
        yield process


@pytest.fixture(scope="module")
def source():
    return open_market("synthetic:7", SYMBOLS, 1_735_718_220 * SECOND_NS, float(HOURS))


def everything(symbols=SYMBOLS):
    names = [symbol.lower() for symbol in symbols]
    public = [f"{name}@bookTicker" for name in names]
    return public, [f"{name}@{kind}" for name in names for kind in ("aggTrade", "markPrice@1s")]


def trades_of(source, symbol, from_ns=None):
    rows = source.rows(source.start_ns if from_ns is None else from_ns, source.end_ns)
    return rows[(rows["kind"] == Kind.TRADE) & (rows["symbol"] == SYMBOLS.index(symbol))]


def test_the_whole_market_comes_slice_by_slice_as_it_is_without_sockets(venue, source):
    async def work(client):
        await client.go()
        return await client.slices()

    public, market = everything()
    slices = driven(venue, work, public, market)
    assert [said["from_ns"] for said, _ in slices] == list(range(source.start_ns, source.end_ns, SECOND_NS))
    frames = payloads(slices, "market0")
    for symbol in SYMBOLS:
        rows = trades_of(source, symbol)
        told = [f for f in frames if f["e"] == "aggTrade" and f["s"] == symbol]
        assert [(f["a"], f["T"], f["m"]) for f in told] == [
            (int(r["id"]), int(r["venue_ns"]) // 10**6, bool(r["flags"] & Flag.SELLER_TAKER)) for r in rows
        ]
        assert [float(f["p"]) for f in told] == [float(text(int(r["a"]))) for r in rows]
    tops = source.rows(source.start_ns, source.end_ns)
    assert len(payloads(slices, "public0")) == np.count_nonzero(tops["kind"] == Kind.TOP)
    marks = [f for f in frames if f["e"] == "markPriceUpdate"]
    assert len(marks) == len(slices) * len(SYMBOLS)


def test_the_frame_at_a_funding_time_settles_it(venue, source):
    async def work(client):
        await client.go()
        return await client.slices()

    slices = driven(venue, work, (), ["btcusdt@markPrice@1s"])
    rows = source.rows(source.start_ns, source.end_ns)
    row = rows[(rows["kind"] == Kind.MARK) & (rows["symbol"] == 0)][0]
    settled_ms = int(row["venue_ns"]) // 10**6
    marks = {f["E"]: f for f in payloads(slices, "market0")}
    before, at = marks[settled_ms - 1000], marks[settled_ms]
    assert (before["T"], before["r"]) == (settled_ms, text(int(row["c"])))
    assert (at["p"], at["i"], at["T"]) == (text(int(row["a"])), text(int(row["b"])), int(row["d"]) // 10**6)


def test_frames_lie_inside_their_slice_and_slices_end_at_whole_seconds(venue, source):
    async def work(client):
        await client.go(source.start_ns + 300_000_000, slice_ns=500_000_000)
        return await client.slices(9)

    slices = driven(venue, work)
    assert slices[0][0]["from_ns"] == source.start_ns + 300_000_000
    assert [said["to_ns"] % 500_000_000 for said, _ in slices] == [0] * 9
    for said, frames in slices:
        for one in [json.loads(frame)["data"] for part in frames.values() for frame in part]:
            assert said["from_ns"] // 10**6 <= one["T"] < said["to_ns"] // 10**6


def test_no_slice_comes_before_the_last_one_is_taken(venue):
    async def work(client):
        await client.go()
        said, _ = await client.offered()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.control.recv(), 0.2)
        await client.say(op="ack", n=said["n"] + 1)
        assert (await client.said())["op"] == "error"
        await client.say(op="ack", n=said["n"])
        return said, (await client.offered())[0]

    first, second = driven(venue, work)
    assert second["n"] == first["n"] + 1 and second["from_ns"] == first["to_ns"]


def test_trades_of_the_slice_on_offer_can_be_asked_for_and_later_ones_cannot(venue, source):
    async def work(client):
        await client.go()
        await client.slices(5)
        said, frames = await client.offered()
        path = "/fapi/v1/aggTrades?symbol=BTCUSDT&limit=1000"
        return said, frames, await asyncio.to_thread(venue.get, path)

    said, frames, answer = driven(venue, work)
    times = [trade["T"] for trade in answer.json()]
    assert json.loads(frames["market0"][-1])["data"]["T"] == times[-1] < said["to_ns"] // 10**6


def test_a_planned_stop_keeps_the_place_of_the_slice_that_was_not_taken(venue):
    async def work(client):
        await client.go()
        taken = await client.slices(3)
        unread, frames = await client.offered()
        await client.say(op="pause")
        said = await client.said()
        await client.close()
        await client.go()
        return taken, unread, frames, said, client.ready, (await client.offered())

    taken, unread, frames, said, ready, again = driven(venue, work)
    assert said == {"op": "paused", "market_ns": unread["from_ns"]}
    assert ready["market_ns"] == unread["from_ns"] == taken[-1][0]["to_ns"]
    assert again[1] == frames


def test_a_client_that_vanished_goes_back_to_where_its_tape_ends(venue):
    async def work(client):
        await client.go()
        first = await client.slices(5)
        await client.close()
        await client.go(first[2][0]["from_ns"])
        return first, await client.slices(3)

    first, again = driven(venue, work)
    assert [frames for _, frames in again] == [frames for _, frames in first[2:]]
    assert [said["frames"] for said, _ in again] == [said["frames"] for said, _ in first[2:]]


def test_at_a_speed_with_a_number_the_market_runs_on_without_its_client():
    with running_venue("--speed", "500") as venue:

        async def work(client):
            await client.go()
            taken = await client.slices(2)
            await client.close()
            status = venue.get("/control/status").json()
            while status["now_ns"] < taken[-1][0]["to_ns"] + 20 * SECOND_NS:
                status = venue.get("/control/status").json()
            await client.go(taken[-1][0]["to_ns"])
            return taken, client.ready, await client.slices(3)

        taken, ready, after = driven(venue, work)
        last = payloads(taken, "market0")[-1]["a"]
        first = payloads(after, "market0")[0]["a"]
        missed = venue.get(f"/fapi/v1/aggTrades?symbol=BTCUSDT&fromId={last + 1}&limit=1000").json()
    assert ready["market_ns"] >= taken[-1][0]["to_ns"] + 20 * SECOND_NS
    assert [trade["a"] for trade in missed][: first - last] == list(range(last + 1, first + 1))


def test_a_socket_that_is_not_there_counts_nothing_and_the_slice_comes_all_the_same(venue):
    async def work(client):
        await client.go()
        await client.slices(2)
        await client.sockets.pop("public0").close()
        gone = await client.slices(3)
        client.sockets["public0"] = await connect(client.urls["public0"], compression=None)
        await client.slices(1)
        return gone, await client.slices(3)

    gone, back = driven(venue, work)
    assert [said["frames"].get("public0", 0) for said, _ in gone[1:]] == [0, 0]
    assert all(said["frames"]["market0"] for said, _ in gone)
    assert all(said["frames"]["public0"] for said, _ in back)


def test_the_end_of_the_market_is_said_and_can_be_said_again(venue, source):
    async def work(client):
        await client.go(source.end_ns - 2 * SECOND_NS)
        last = await client.slices()
        await client.close()
        await client.go()
        return last, await client.offered()

    last, nothing = driven(venue, work)
    assert len(last) == 2 and nothing is None


def test_the_market_stands_until_somebody_drives_it(venue, source):
    async def work():
        public, market = everything()
        client = Client(venue, public, market)
        client.sockets["market0"] = await connect(client.urls["market0"], compression=None)
        await asyncio.to_thread(venue.get, "/fapi/v1/klines?symbol=BTCUSDT&interval=1m")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.sockets["market0"].recv(), 0.2)
        await client.close()

    asyncio.run(work())
    assert venue.get("/control/status").json()["now_ns"] == source.start_ns


def test_a_command_that_is_none_is_answered(venue):
    async def work(client):
        await client.go()
        await client.offered()
        said = []
        for message in ("{", '{"op":"dance"}', '{"op":"go","slice_ns":1}', '{"op":5}'):
            await client.control.send(message)
            said.append((await client.said())["op"])
        return said

    assert driven(venue, work) == ["error"] * 4


def test_the_place_is_kept_over_a_planned_stop_of_the_venue(tmp_path):
    place = tmp_path / "place.json"

    async def work(client):
        await client.go()
        await client.slices(7)
        await client.offered()
        await client.say(op="pause")
        return (await client.said())["market_ns"]

    with running_venue("--place", str(place)) as venue:
        stood = driven(venue, work)
    with running_venue("--place", str(place)) as venue:
        assert venue.get("/control/status").json()["now_ns"] == stood


def test_at_speed_one_the_market_moves_by_its_clock_and_can_be_paused():
    with running_venue("--speed", "1") as venue:
        assert venue.addresses["control"] == ""
        first = venue.get("/fapi/v1/time").json()["serverTime"]
        while venue.get("/fapi/v1/time").json()["serverTime"] < first + 200:
            pass
        assert venue.get("/control/pause", "POST").json()["paused"]
        stood = venue.get("/control/status").json()["now_ns"]
        assert venue.get("/fapi/v1/klines?symbol=BTCUSDT&interval=1m").status == 200
        assert venue.get("/control/status").json()["now_ns"] == stood
        venue.get("/control/resume", "POST")
        while venue.get("/control/status").json()["now_ns"] == stood:
            pass
        assert venue.get("/control/status").json()["now_ns"] < stood + 5 * SECOND_NS
