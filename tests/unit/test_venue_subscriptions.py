"""Requests on a stream socket: each gets the documented answer, whatever was sent."""

import json
from typing import Any

import pytest

from flowguardian.venue.subscriptions import MOST_STREAMS, Connection, Hub, answer, delivers


class Line:
    """A wire that keeps what is written."""

    hears = True
    muted = False

    def __init__(self):
        self.frames = []

    def write_frames(self, frames):
        self.frames += frames


RUN_NAME = "one-run"


def wire() -> Any:
    return Line()


@pytest.fixture
def hub():
    return Hub()


@pytest.fixture
def connection(hub):
    made = Connection(wire(), "market", combined=True, token=RUN_NAME, name="market0")
    hub.add(made, [])
    return made


def asked(hub, connection, **request):
    return json.loads(answer(hub, connection, json.dumps(request)))


def test_subscribing_and_listing_and_leaving(hub, connection):
    streams = ["btcusdt@aggTrade", "ethusdt@aggTrade"]
    assert asked(hub, connection, method="SUBSCRIBE", params=streams, id=1) == {"result": None, "id": 1}
    assert asked(hub, connection, method="LIST_SUBSCRIPTIONS", id="x")["result"] == streams
    assert set(hub.routes) == set(streams)
    asked(hub, connection, method="UNSUBSCRIBE", params=streams[:1], id=3)
    assert asked(hub, connection, method="LIST_SUBSCRIPTIONS", id=4)["result"] == streams[1:]
    assert set(hub.routes) == {streams[1]}


def test_a_stream_of_the_other_path_is_acknowledged_and_never_routed(hub, connection):
    reply = asked(hub, connection, method="SUBSCRIBE", params=["btcusdt@bookTicker"], id=1)
    assert reply == {"result": None, "id": 1}
    assert not hub.routes


@pytest.mark.parametrize(
    ("stream", "public", "market"),
    [
        ("btcusdt@bookTicker", True, False),
        ("btcusdt@depth20@100ms", True, False),
        ("btcusdt@depth", True, False),
        ("!bookTicker", True, False),
        ("btcusdt@trade", True, True),
        ("btcusdt@aggTrade", False, True),
        ("btcusdt@kline_1M", False, True),
        ("btcusdt@kline_7m", False, False),
        ("btcusdt@markPrice@1s", False, True),
        ("!forceOrder@arr", False, True),
        ("BTCUSDT@aggTrade", False, False),
        ("nonsense", False, False),
    ],
)
def test_where_a_stream_flows(stream, public, market):
    assert (delivers("public", stream), delivers("market", stream)) == (public, market)
    assert not delivers("private", stream) and not delivers("legacy", stream)


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("{", 3),
        (b"\xff\xfe", 3),
        ("", 3),
        ("[]", 2),
        ("17", 2),
        ('{"method":"SUBSCRIBE","params":["btcusdt@aggTrade"]}', 2),
        ('{"method":"SUBSCRIBE","params":["btcusdt@aggTrade"],"id":-1}', 2),
        ('{"method":"SUBSCRIBE","params":["btcusdt@aggTrade"],"id":true}', 2),
        ('{"method":"SHOUT","id":1}', 2),
        ('{"method":["SUBSCRIBE"],"id":1}', 2),
        ('{"method":"SUBSCRIBE","params":"btcusdt@aggTrade","id":1}', 2),
        ('{"method":"SUBSCRIBE","params":[],"id":1}', 2),
        ('{"method":"SUBSCRIBE","params":["not a stream"],"id":1}', 2),
        ('{"method":"SUBSCRIBE","params":[5],"id":1}', 2),
        ('{"method":"GET_PROPERTY","params":["colour"],"id":1}', 0),
        ('{"method":"SET_PROPERTY","params":["combined"],"id":1}', 0),
        ('{"method":"SET_PROPERTY","params":["combined",5],"id":1}', 1),
    ],
)
def test_a_bad_request_is_answered_by_its_code(hub, connection, message, code):
    reply = json.loads(answer(hub, connection, message))
    assert reply["error"]["code"] == code and reply["error"]["msg"]
    assert not connection.streams


def test_more_streams_than_allowed_are_refused_whole(hub, connection):
    names = [f"s{number}usdt@aggTrade" for number in range(MOST_STREAMS + 1)]
    assert "error" in asked(hub, connection, method="SUBSCRIBE", params=names, id=1)
    assert not connection.streams
    assert asked(hub, connection, method="SUBSCRIBE", params=names[1:], id=1)["result"] is None


def test_the_envelope_is_a_property(hub, connection):
    assert asked(hub, connection, method="GET_PROPERTY", params=["combined"], id=1)["result"] is True
    asked(hub, connection, method="SET_PROPERTY", params=["combined", False], id=2)
    assert asked(hub, connection, method="GET_PROPERTY", params=["combined"], id=3)["result"] is False


def test_frames_are_counted_by_the_names_of_a_lock_step_client(hub, connection):
    stranger = Connection(wire(), "market", combined=True)
    hub.add(stranger, ["btcusdt@aggTrade"])
    connection.out = [b"1", b"2"]
    stranger.out = [b"3"]
    assert hub.counts(RUN_NAME) == {"market0": 2}
    hub.flush()
    assert connection.wire.frames == [b"1", b"2"] and stranger.wire.frames == [b"3"] and not connection.out


def test_a_socket_that_is_gone_counts_nothing(hub, connection):
    connection.out = [b"1"]
    connection.wire.hears = False
    assert hub.counts(RUN_NAME) == {}
    connection.wire.muted = True
    assert hub.counts(RUN_NAME) == {connection.name: 0}, "half-open is no end that anybody could know of"
    hub.remove(connection)
    assert not hub.connections and not hub.free_listeners
