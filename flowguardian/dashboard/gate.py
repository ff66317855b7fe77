"""Who may see the page: the token of its address, or the cookie it was exchanged for; nobody else, nothing.

Rule: the gate stands before the routes, so that a path that does not exist is refused like any other. The
token in an address works once, because addresses stay in histories; a program sends it as a header instead.
A POST must come from the page itself: same origin, and the page's own anti-forgery value.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Mapping
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
READING = frozenset({"GET", "HEAD"})
CSRF_HEADER = "x-csrf-token"
HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=()",
}
WITHOUT_ADDRESS = "This page needs the address that `flowguardian dashboard` printed, with its token.\n"
USED_ADDRESS = (
    "This address has been used. Go on in the browser that opened it, "
    "or start `flowguardian dashboard` again.\n"
)


class Keys:
    """The secrets of one dashboard process; they live as long as it does."""

    def __init__(self) -> None:
        self.token = secrets.token_urlsafe(32)
        self.csrf = secrets.token_urlsafe(32)
        self._session = secrets.token_urlsafe(32)
        # Cookies do not know ports: two dashboards side by side must not overwrite each other's.
        self.cookie_name = f"flowguardian_{secrets.token_hex(4)}"
        self._is_used = False

    def exchange(self, offered: str) -> str:
        """The cookie for a token of an address, once; "" when it is wrong or used."""
        if self._is_used or not _same(offered, self.token):
            return ""
        self._is_used = True
        return self._session

    @property
    def is_used(self) -> bool:
        """Whether the address has been opened."""
        return self._is_used

    def known(self, headers: Headers) -> bool:
        """Whether a request carries the cookie, or the token as a header."""
        scheme, _, offered = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and _same(offered.strip(), self.token):
            return True
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(self.cookie_name)
        except CookieError:
            return False
        return cookie is not None and _same(cookie.value, self._session)


class Gate:
    """The door of the application."""

    def __init__(self, app: ASGIApp, keys: Keys) -> None:
        self._app = app
        self._keys = keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            # Nothing here speaks another protocol; a socket that asks is closed by not being accepted.
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008})
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
            await send(message)

        refused = self._refused(scope)
        await (self._app if refused is None else refused)(scope, receive, guarded)

    def _refused(self, scope: Scope) -> Response | None:
        """The answer that ends a request here; None for one that may pass."""
        headers = Headers(scope=scope)
        if not _is_loopback(headers.get("host", "")):
            # A foreign name that resolves to this machine is how other sites reach local servers.
            return PlainTextResponse("Only loopback addresses are answered.\n", 421)
        offered = parse_qs(scope["query_string"].decode("latin-1")).get("token", [])
        if offered and scope["path"] == "/" and scope["method"] == "GET":
            return self._entered(offered[-1], headers)
        if not self._keys.known(headers):
            return PlainTextResponse(USED_ADDRESS if self._keys.is_used else WITHOUT_ADDRESS, 401)
        if scope["method"] not in READING:
            return self._forged(headers)
        return None

    def _entered(self, offered: str, headers: Headers) -> Response:
        session = self._keys.exchange(offered)
        if not session and not self._keys.known(headers):
            return PlainTextResponse(USED_ADDRESS if self._keys.is_used else WITHOUT_ADDRESS, 401)
        answer = RedirectResponse("/", 303)
        if session:
            answer.set_cookie(self._keys.cookie_name, session, httponly=True, samesite="strict", path="/")
        return answer

    def _forged(self, headers: Headers) -> Response | None:
        """The refusal of a request that changes something and does not come from the page."""
        origin, site = headers.get("origin"), headers.get("sec-fetch-site")
        if origin is not None and urlsplit(origin).netloc.lower() != headers.get("host", "").lower():
            return PlainTextResponse("Requests from other origins are refused.\n", 403)
        if site is not None and site != "same-origin":
            return PlainTextResponse("Requests from other sites are refused.\n", 403)
        if not _same(headers.get(CSRF_HEADER, ""), self._keys.csrf):
            return PlainTextResponse(f"The header {CSRF_HEADER} of the page is missing.\n", 403)
        return None


def _same(offered: str, known: str) -> bool:
    return hmac.compare_digest(offered.encode("utf-8", "surrogateescape"), known.encode())


def _is_loopback(host: str) -> bool:
    """Whether a Host header names this machine, with any port: a tunnel may have another one."""
    try:
        return (urlsplit(f"//{host}").hostname or "") in LOOPBACK
    except ValueError:
        return False
