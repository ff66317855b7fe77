"""Who may speak: API key, signature and time of a signed request.

Rule: checks come in the exchange's order (key, parameters, time, signature), each with its own code; secrets
are compared in constant time. Source: the exchange's page on endpoint security: HMAC-SHA256 over the query
string joined with the body, the signature left out.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import NamedTuple
from urllib.parse import parse_qsl

from flowguardian.venue import errors
from flowguardian.venue.refusals import refuse

_KEY = re.compile(r"[0-9A-Za-z_-]{10,128}")
_SIGNATURE = re.compile(r"(^|&)signature=([^&]*)")
_WHOLE = re.compile(r"[0-9]{1,18}")
_USUAL_WINDOW_MS, _LONGEST_WINDOW_MS = 5000, 60_000
_AHEAD_MS = 1000


class Keys(NamedTuple):
    """API key and secret of the venue's one account; empty = there is none, and nobody may trade."""

    key: str = ""
    secret: str = ""


class Asked(NamedTuple):
    """A request as it came: parameters by name, and the text that was signed with the signature left out."""

    params: dict[str, str]
    signed: str
    signature: str


def asked(query: str, body: str) -> Asked:
    """Parameters of query string and body; where both name one, the query string counts."""
    signature = ""
    parts = []
    for part in (query, body):
        found = _SIGNATURE.search(part)
        if found is not None:
            signature = found[2]
            part = _SIGNATURE.sub("", part, count=1).lstrip("&")  # noqa: PLW2901
        parts.append(part)
    params = dict(parse_qsl(parts[1], keep_blank_values=True))
    params.update(parse_qsl(parts[0], keep_blank_values=True))
    return Asked(params, "".join(parts), signature)


def check_key(key: str, keys: Keys) -> None:
    """Raises Refusal −2014 for a key of no shape, −2015 for a wrong one."""
    if not _KEY.fullmatch(key):
        raise refuse(-2014)
    if not keys.key or not hmac.compare_digest(key, keys.key):
        raise refuse(-2015)


def check_signed(request: Asked, keys: Keys, now_ms: int) -> None:
    """Time and signature of a request whose key is good. Raises Refusal −1102, −1100, −1131, −1021, −1022."""
    said, window = request.params.get("timestamp", ""), request.params.get("recvWindow", "")
    if not said:
        raise errors.missing("timestamp")
    for name, value in (("timestamp", said), ("recvWindow", window)):
        if value and not _WHOLE.fullmatch(value):
            raise errors.illegal(name, "^[0-9]{1,20}$")
    if not request.signature:
        raise errors.missing("signature")
    window_ms = int(window) if window else _USUAL_WINDOW_MS
    if window_ms > _LONGEST_WINDOW_MS:
        raise refuse(-1131)
    if int(said) >= now_ms + _AHEAD_MS or now_ms - int(said) > window_ms:
        raise refuse(-1021)
    made = hmac.new(keys.secret.encode(), request.signed.encode(), hashlib.sha256).hexdigest()
    if not hmac.compare_digest(made.encode(), request.signature.lower().encode()):
        raise refuse(-1022)
