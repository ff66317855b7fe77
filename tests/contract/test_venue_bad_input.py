"""Bad input to the local venue gets the documented error and never ends it."""

import asyncio
import json
import socket

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.venue_client import until_closed
from tests.venue_process import running_venue

ORIGIN = "symbol=BTCUSDT"


@pytest.fixture(scope="module")
def venue():
    with running_venue("--speed", "10") as process:
        yield process


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/fapi/v1/depth", 400, -1102),
        ("/fapi/v1/depth?symbol=", 400, -1102),
        ("/fapi/v1/depth?symbol=NOSUCHUSDT", 400, -1121),
        ("/fapi/v1/depth?symbol=btc%20usdt", 400, -1100),
        ("/fapi/v1/depth?symbol=%00%ff", 400, -1100),
        (f"/fapi/v1/depth?{ORIGIN}&limit=7", 400, -4021),
        (f"/fapi/v1/depth?{ORIGIN}&limit=x", 400, -1100),
        (f"/fapi/v1/trades?{ORIGIN}&limit=0", 400, -1130),
        (f"/fapi/v1/trades?{ORIGIN}&limit=1001", 400, -1130),
        (f"/fapi/v1/aggTrades?{ORIGIN}&limit=", 400, -1102),
        (f"/fapi/v1/aggTrades?{ORIGIN}&fromId=-1", 400, -1100),
        (f"/fapi/v1/aggTrades?{ORIGIN}&startTime=5&endTime=4", 400, -1023),
        (f"/fapi/v1/aggTrades?{ORIGIN}&startTime=0&endTime=3600001", 400, -1127),
        (f"/fapi/v1/klines?{ORIGIN}", 400, -1102),
        (f"/fapi/v1/klines?{ORIGIN}&interval=7m", 400, -1120),
        (f"/fapi/v1/klines?{ORIGIN}&interval=1m&limit=1501", 400, -1130),
        (f"/fapi/v1/klines?{ORIGIN}&interval=1m&startTime=999999999999999999", 400, -1130),
        (f"/fapi/v1/klines?{ORIGIN}&interval=1m&startTime=9&endTime=8", 400, -1023),
        (f"/fapi/v1/fundingRate?{ORIGIN}&limit=99999999999999999999", 400, -1100),
        ("/fapi/v1/fundingRate?startTime=9&endTime=8", 400, -1023),
        ("/fapi/v1/ticker/24hr?symbol=BTCUSD_201225", 400, -1121),
        ("/fapi/v1/nothing", 404, -5000),
        ("/", 404, -5000),
        ("/fapi/v1/" + "x" * 4000, 404, -5000),
    ],
)
def test_a_bad_request_is_refused_with_its_code(venue, path, status, code):
    answer = venue.get(path)
    assert (answer.status, answer.json()["code"]) == (status, code)
    assert answer.json()["msg"]


def test_odd_but_valid_requests_are_answered(venue):
    far = "startTime=4000000000000000000"
    for path in (
        f"/fapi/v1/aggTrades?{ORIGIN}&fromId=999999999999999999",
        f"/fapi/v1/klines?{ORIGIN}&interval=1M&limit=1500",
        f"/fapi/v1/klines?{ORIGIN}&interval=1m&startTime=4000000000000",
        f"/fapi/v1/klines?{ORIGIN}&interval=1w&endTime=0",
        f"/fapi/v1/fundingRate?{ORIGIN}&startTime=0",
        f"/fapi/v1/time?{far}",
    ):
        assert venue.get(path).status == 200, path


def test_another_method_is_refused(venue):
    assert venue.get("/fapi/v1/time", "POST", b"{}").json()["code"] == -5000


def test_the_weight_of_requests_is_told(venue):
    before = int(venue.get("/fapi/v1/time").headers["X-MBX-USED-WEIGHT-1M"])
    after = int(venue.get(f"/fapi/v1/aggTrades?{ORIGIN}").headers["X-MBX-USED-WEIGHT-1M"])
    assert after - before == 20 or after == 20, "unless a new minute has begun"


def test_too_many_requests_are_429_and_then_418_with_retry_after():
    with running_venue() as venue:
        seen = []
        for _ in range(200):
            answer = venue.get(f"/fapi/v1/aggTrades?{ORIGIN}")
            if answer.status not in seen:
                seen.append(answer.status)
            if answer.status != 200:
                assert answer.json()["code"] == -1003
                assert int(answer.headers["Retry-After"]) > 0
            if answer.status == 418:
                break
        assert seen == [200, 429, 418]


def talked(venue, *messages, path="/market/ws"):
    """The replies to messages on one socket."""

    async def run():
        async with connect(venue.root + path, compression=None) as client:
            replies = []
            for message in messages:
                await client.send(message)
                replies.append(json.loads(await asyncio.wait_for(client.recv(), 20)))
            return replies

    return asyncio.run(run())


def test_garbage_on_a_socket_is_answered_and_the_socket_lives(venue):
    ask = '{"method":"LIST_SUBSCRIPTIONS","id":9}'
    replies = talked(venue, "garbage", b"\x00\xff", "[" * 1000, '{"method":"NO","id":1}', ask)
    assert [reply.get("error", {}).get("code") for reply in replies] == [3, 3, 3, 2, None]
    assert replies[-1] == {"result": [], "id": 9}


@pytest.mark.parametrize(("size", "code"), [(5_000, 3001), (200_000, 1009)])
def test_an_oversized_frame_closes_its_connection_with_a_code(venue, size, code):
    async def run():
        async with connect(venue.root + "/market/ws", compression=None) as client:
            await client.send("x" * size)
            return await until_closed(client)

    assert asyncio.run(run()) == code
    assert venue.get("/fapi/v1/ping").status == 200


def test_a_client_that_talks_too_much_is_disconnected(venue):
    async def run():
        async with connect(venue.root + "/market/ws", compression=None) as client:
            for _ in range(11):
                await client.send('{"method":"LIST_SUBSCRIPTIONS","id":9}')
            return await until_closed(client)

    assert asyncio.run(run()) == 1008


@pytest.mark.parametrize(
    "path", ["/ws", "/stream?streams=btcusdt@aggTrade", "/ws/btcusdt@bookTicker", "/private/ws"]
)
def test_legacy_and_private_paths_connect_acknowledge_and_stay_silent(venue, path):
    async def run():
        async with connect(venue.root + path, compression=None) as client:
            await client.send('{"method":"SUBSCRIBE","params":["btcusdt@aggTrade"],"id":1}')
            reply = json.loads(await asyncio.wait_for(client.recv(), 20))
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(client.recv(), 0.4)
            return reply

    assert asyncio.run(run()) == {"result": None, "id": 1}


def test_a_path_that_is_none_is_refused_at_the_handshake(venue):
    async def run():
        with pytest.raises(InvalidStatus) as refused:
            await connect(venue.root + "/elsewhere/ws")
        return refused.value.response.status_code

    assert asyncio.run(run()) in (403, 404)


def test_bytes_that_are_no_http_are_answered_and_survived():
    with running_venue(quiet=False) as venue:
        host, port = venue.rest.removeprefix("http://").split(":")
        for garbage in (b"\x16\x03\x01\x02\x00", b"GET\r\n\r\n", b"\x00" * 100_000):
            with socket.create_connection((host, int(port)), 5) as raw:
                raw.sendall(garbage)
                raw.shutdown(socket.SHUT_WR)
                while raw.recv(65536):
                    pass
        assert venue.get("/fapi/v1/ping").status == 200


def test_a_thousand_connections_are_served_or_refused_by_name():
    resource = pytest.importorskip("resource", reason="this system does not say how many files may be open")
    if resource.getrlimit(resource.RLIMIT_NOFILE)[0] < 700:
        pytest.skip("this host allows too few open files for 300 connections at both ends")
    with running_venue("--speed", "1") as venue:
        url = venue.root + "/market/ws/btcusdt@aggTrade"

        async def one():
            try:
                return await connect(url, compression=None, open_timeout=60)
            except InvalidStatus as refused:
                return refused.response.status_code

        async def run():
            made = []
            for _ in range(20):
                made += await asyncio.gather(*(one() for _ in range(50)))
            open_ones = [client for client in made if not isinstance(client, int)]
            frame = json.loads(await asyncio.wait_for(open_ones[-1].recv(), 20))
            await asyncio.gather(*(client.close() for client in open_ones))
            return [client for client in made if isinstance(client, int)], len(open_ones), frame

        refused, opened, frame = asyncio.run(run())
        assert opened == 300 and set(refused) == {429} and len(refused) == 700
        assert frame["e"] == "aggTrade"
        assert venue.get("/fapi/v1/ping").status == 200
