"""Signed requests: yes, no and unknown are told apart, and no text that leaves holds a key."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import traceback
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qsl

import pytest
from aiohttp import web

from flowguardian.brokers.signed import Keys, OutcomeUnknown, Refused, Signed, outcome_of
from flowguardian.feeds.limits import Limiter

KEYS = Keys("the-key", "the-secret")
NOW_MS = 1_747_835_400_000


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (400, b'{"code":-2019,"msg":"Margin is insufficient."}', -2019),
        (400, b'{"code":-2022,"msg":"ReduceOnly Order is rejected."}', -2022),
        (400, b'{"code":-4164,"msg":"Order\'s notional must be no smaller than 100"}', -4164),
        (400, b'{"code":-1021,"msg":"Timestamp for this request is outside of the recvWindow."}', -1021),
        (401, b'{"code":-2014,"msg":"API-key format invalid."}', -2014),
        (403, b"<html>WAF</html>", 0),
        (429, b'{"code":-1003,"msg":"Too many requests"}', -1003),
        (418, b'{"code":-1003,"msg":"banned"}', -1003),
        (503, b'{"code":-1008,"msg":"Request throttled by system-level protection."}', -1008),
        (503, b"Service Unavailable.", 0),
    ],
)
def test_a_definite_no(status: int, body: bytes, code: int) -> None:
    with pytest.raises(Refused) as refused:
        outcome_of(status, body)
    assert refused.value.code == code


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (408, b'{"code":-1007,"msg":"Timeout waiting for response from backend server."}'),
        (503, b"Unknown error, please check your request or try again later."),
        (503, b'{"code":-1001,"msg":"Internal error"}'),
        (504, b"<html>Gateway Time-out</html>"),
        (500, b""),
        (502, b"<html>Bad Gateway</html>"),
        (400, b'{"code":-1006,"msg":"An unexpected response was received from the message bus."}'),
        (200, b"<html>not json"),
    ],
)
def test_what_leaves_it_open(status: int, body: bytes) -> None:
    with pytest.raises(OutcomeUnknown):
        outcome_of(status, body)


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def asking(handler: Handler, *, limiter: Limiter | None = None, timeout_seconds: float = 5.0) -> Any:
    """One signed POST against a server with this handler: the answer or the error."""

    async def work() -> Any:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", handler)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        signed = Signed(
            f"http://127.0.0.1:{port}", KEYS, limiter or Limiter(None),
            venue_ns=lambda: NOW_MS * 10**6, run_ms=lambda: NOW_MS, timeout_seconds=timeout_seconds,
        )  # fmt: skip
        try:
            return await signed.post("/fapi/v1/order", 1, symbol="BTCUSDT", price=None, quantity="0.1")
        except (Refused, OutcomeUnknown) as error:
            return error
        finally:
            await signed.close()
            await runner.cleanup()

    return asyncio.run(work())


def test_a_request_carries_key_stamp_and_signature() -> None:
    seen: list[web.Request] = []

    async def take(request: web.Request) -> web.Response:
        seen.append(request)
        return web.json_response({"ok": 1}, headers={"X-MBX-USED-WEIGHT-1M": "17"})

    limiter = Limiter(None)
    assert asking(take, limiter=limiter) == {"ok": 1} and limiter.used == 17
    (request,) = seen
    query, _, signature = request.query_string.rpartition("&signature=")
    assert hmac.new(b"the-secret", query.encode(), hashlib.sha256).hexdigest() == signature
    assert request.headers["X-MBX-APIKEY"] == "the-key"
    assert dict(parse_qsl(query)) == {
        "symbol": "BTCUSDT", "quantity": "0.1", "recvWindow": "5000", "timestamp": str(NOW_MS)
    }  # fmt: skip


def test_a_reply_that_never_comes_or_breaks_off_is_unknown_and_is_not_sent_again() -> None:
    calls = 0

    async def hang(_: web.Request) -> web.Response:
        nonlocal calls
        calls += 1
        await asyncio.sleep(2)
        return web.json_response({})

    async def cut(request: web.Request) -> web.Response:
        nonlocal calls
        calls += 1
        assert request.transport is not None
        request.transport.close()
        return web.json_response({})

    assert isinstance(asking(hang, timeout_seconds=0.2), OutcomeUnknown) and calls == 1
    assert isinstance(asking(cut), OutcomeUnknown) and calls == 2


def test_nothing_is_sent_while_the_limit_leaves_no_room() -> None:
    async def never(_: web.Request) -> web.Response:
        raise AssertionError("it was sent")

    limiter = Limiter(None, limit=10)
    limiter.sent(10, NOW_MS)
    error = asking(never, limiter=limiter)
    assert isinstance(error, Refused) and "not sent" in str(error)


def test_a_venue_that_is_not_there_is_a_definite_no() -> None:
    async def work() -> None:
        signed = Signed("http://127.0.0.1:1", KEYS, Limiter(None), venue_ns=lambda: 0, run_ms=lambda: 0)
        try:
            await signed.post("/fapi/v1/order", 1)
        finally:
            await signed.close()

    with pytest.raises(Refused, match="not sent"):
        asyncio.run(work())


def test_no_error_shows_a_key_a_secret_or_a_signature() -> None:
    async def cut(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.close()
        return web.json_response({})

    error = asking(cut)
    text = "".join(traceback.format_exception(error)) + repr(KEYS)
    assert "the-key" not in text and "the-secret" not in text and "signature" not in text
