"""Who listens to what: stream sockets, their subscriptions, and the requests they send.

Rule: a stream is delivered only under its own path, as the exchange does since its paths were split: under
another one it is acknowledged and stays silent. `trade` is served under both (sources disagree on it).
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from flowguardian.venue.candles import INTERVALS
from flowguardian.venue.sockets import Wire

MOST_STREAMS = 200
"""Per connection."""
MOST_REQUEST_BYTES = 4096
PUBLIC, MARKET, PRIVATE = "public", "market", "private"
CATEGORIES = (PUBLIC, MARKET, PRIVATE)
LEGACY = "legacy"
_LONGEST_ID = 64
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What reading a message of a stranger can end in; brackets within brackets have no end."""
_NAME = re.compile(r"[!0-9A-Za-z_@.]{1,100}")
_METHODS = ("SUBSCRIBE", "UNSUBSCRIBE", "LIST_SUBSCRIPTIONS", "SET_PROPERTY", "GET_PROPERTY")
_PUBLIC_KIND = re.compile(
    r"(?:[0-9a-z_]+@(?:bookTicker|trade|depth(?:5|10|20)?(?:@(?:100|250|500)ms)?)|!bookTicker)"
)
_MARKET_KIND = re.compile(
    r"(?:[0-9a-z_]+@(?:aggTrade|trade|markPrice(?:@1s)?|kline_(?:" + "|".join(INTERVALS) + r")"
    r"|ticker|miniTicker|forceOrder)|!(?:markPrice@arr(?:@1s)?|ticker@arr|miniTicker@arr|forceOrder@arr))"
)


class BadRequest(Exception):
    """A message of a client is answered by {"error": {"code", "msg"}}."""

    def __init__(self, code: int, text: str, number: object = None) -> None:
        super().__init__(text)
        self.code, self.text, self.number = code, text, number


def delivers(category: str, stream: str) -> bool:
    """Whether a stream flows under a path."""
    if category == PUBLIC:
        return _PUBLIC_KIND.fullmatch(stream) is not None
    return category == MARKET and _MARKET_KIND.fullmatch(stream) is not None


class Connection:
    """One stream socket; `out` are the frames of the slice that is being made."""

    def __init__(
        self, wire: Wire, category: str, *, combined: bool, token: str = "", name: str = "", number: int = 0
    ) -> None:
        self.wire, self.category, self.combined = wire, category, combined
        self.token, self.name = token, name
        self.key = name or f"{category}/{number}"
        """What faults know it by."""
        self.streams: dict[str, None] = {}
        self.out: list[bytes] = []
        self.silent = False
        """Connected and acknowledged, and never told anything (wrong path, legacy path)."""
        self.opened_ns = 0


class Hub:
    """All stream sockets and the routes from streams to them."""

    def __init__(self) -> None:
        self.connections: dict[Connection, None] = {}
        self.routes: dict[str, dict[Connection, None]] = {}
        self.version = 0
        """Grows with every change of the routes."""

    def add(self, connection: Connection, streams: list[str]) -> None:
        self.connections[connection] = None
        self.subscribe(connection, streams)

    def remove(self, connection: Connection) -> None:
        self.connections.pop(connection, None)
        self.unsubscribe(connection, list(connection.streams))
        connection.out = []

    def subscribe(self, connection: Connection, streams: list[str]) -> None:
        for stream in streams:
            connection.streams[stream] = None
            if not connection.silent and delivers(connection.category, stream):
                self.routes.setdefault(stream, {})[connection] = None
        self.version += 1

    def unsubscribe(self, connection: Connection, streams: list[str]) -> None:
        for stream in streams:
            connection.streams.pop(stream, None)
            listeners = self.routes.get(stream)
            if listeners is not None:
                listeners.pop(connection, None)
                if not listeners:
                    del self.routes[stream]
        self.version += 1

    @property
    def free_listeners(self) -> bool:
        """Whether somebody outside lock-step listens."""
        return any(not one.token and one.streams and not one.silent for one in self.connections)

    def flush(self) -> None:
        for connection in self.connections:
            if connection.out:
                connection.wire.write_frames(connection.out)
                connection.out = []

    def counts(self, token: str) -> dict[str, int]:
        """Frames to come per socket of a lock-step client; a socket that is not named has ended."""
        found: dict[str, int] = {}
        for connection in self.connections:
            if connection.token != token or not connection.name:
                continue
            if connection.wire.hears:
                found[connection.name] = found.get(connection.name, 0) + len(connection.out)
            elif connection.wire.muted:
                # Half-open is no end that anybody could know of.
                found.setdefault(connection.name, 0)
        return found


def answer(hub: Hub, connection: Connection, message: str | bytes) -> bytes:
    """The reply to one message of a client."""
    try:
        return _encoded(_handled(hub, connection, message))
    except BadRequest as bad:
        error = {"error": {"code": bad.code, "msg": bad.text}}
        return _encoded(error if bad.number is None else {**error, "id": bad.number})


def _encoded(value: object) -> bytes:
    return msgspec.json.encode(value)


def _handled(hub: Hub, connection: Connection, message: str | bytes) -> dict[str, Any]:
    try:
        request = msgspec.json.decode(message)
    except UNREADABLE as error:
        raise BadRequest(3, "Invalid JSON: expected value at line 1 column 1") from error
    if not isinstance(request, dict):
        raise BadRequest(2, "Invalid request: request must be an object")
    number = request.get("id")
    if not _is_id(number):
        raise BadRequest(2, "Invalid request: request ID must be an unsigned integer")
    method, params = request.get("method"), request.get("params", [])
    if method not in _METHODS:
        raise BadRequest(
            2,
            f"Invalid request: unknown variant `{str(method)[:40]}`, expected one of "
            + ", ".join(f"`{name}`" for name in _METHODS),
            number,
        )
    if not isinstance(params, list) or not isinstance(method, str):
        raise BadRequest(2, "Invalid request: params must be an array", number)
    return {"result": _result(hub, connection, method, params, number), "id": number}


def _is_id(number: object) -> bool:
    if isinstance(number, bool):
        return False
    if isinstance(number, int):
        return number >= 0
    return isinstance(number, str) and 0 < len(number) <= _LONGEST_ID


def _result(hub: Hub, connection: Connection, method: str, params: list[Any], number: object) -> object:
    if method == "LIST_SUBSCRIPTIONS":
        return list(connection.streams)
    if method.endswith("_PROPERTY"):
        return _property(connection, method, params, number)
    if not params:
        raise BadRequest(2, "Invalid request: params must not be empty", number)
    if not all(isinstance(name, str) and _NAME.fullmatch(name) for name in params):
        raise BadRequest(2, "Invalid request: invalid stream", number)
    if method == "UNSUBSCRIBE":
        hub.unsubscribe(connection, params)
        return None
    if len({*connection.streams, *params}) > MOST_STREAMS:
        raise BadRequest(2, "Invalid request: too many parameters", number)
    hub.subscribe(connection, params)
    return None


def _property(connection: Connection, method: str, params: list[Any], number: object) -> object:
    """Whether frames come in the envelope of combined streams."""
    if params[:1] != ["combined"] or len(params) != (1 if method.startswith("GET") else 2):
        raise BadRequest(0, "Unknown property", number)
    if method == "GET_PROPERTY":
        return connection.combined
    if not isinstance(params[1], bool):
        raise BadRequest(1, "Invalid value type: expected Boolean", number)
    connection.combined = params[1]
    return None
