"""Request weight and bans: how much the venue lets us ask, remembered across restarts.

Rule: the venue's own headers are the truth; during a ban nothing is sent until its stamp, and a process that
restarts reads the stamp from the file before its first request. Every moment is given by the caller.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import msgspec

from flowguardian.ops.platform_files import atomic_write

DEFAULT_LIMIT = 2400
"""Request weight per minute of USD-M until exchangeInfo says otherwise."""
_MINUTE_MS = 60_000
_BAN_MS = 120_000
"""A ban that names no end is taken to last two minutes, the shortest the venue documents."""
_LONGEST_BAN_MS = 3 * 24 * 60 * _MINUTE_MS
"""The longest the venue documents."""
_UNTIL = re.compile(r"until (\d{12,14})")


class LimitState(msgspec.Struct):
    """What is kept in the file, in host UTC: it outlives a venue that keeps another time."""

    banned_until_ms: int = 0
    reason: str = ""


class Limiter:
    """The request weight of one address.

    `now_ms` is the run clock in milliseconds of host UTC, said by the caller: host UTC itself, except where
    market time comes in slices and runs ahead of it.
    """

    def __init__(self, path: Path | None, *, share: float = 0.8, limit: int = DEFAULT_LIMIT) -> None:
        self._path, self._share = path, share
        self.limit = limit
        self.used = 0
        """Weight of the current minute as the venue last said it, plus what is on its way."""
        self._minute = 0
        self._state = _read(path)

    @property
    def reason(self) -> str:
        return self._state.reason

    def wait_ms(self, weight: int, now_ms: int, *, share: float | None = None) -> int:
        """How long to wait before a request of this weight may be sent; 0 = now.

        `share` of the limit instead of the usual one: what only reads leaves room for what trades.
        """
        if now_ms < self._state.banned_until_ms:
            return self._state.banned_until_ms - now_ms
        self._turn(now_ms)
        if self.used and self.used + weight > self.limit * (share or self._share):
            return _MINUTE_MS - now_ms % _MINUTE_MS
        return 0

    def sent(self, weight: int, now_ms: int) -> None:
        """A request is on its way: its weight counts before the answer says so."""
        self._turn(now_ms)
        self.used += weight

    def answered(self, headers: Mapping[str, str], now_ms: int) -> None:
        """The weight that the venue has counted."""
        said = _number(headers, "x-mbx-used-weight-1m")
        if said is not None:
            self._turn(now_ms)
            self.used = said

    def refused(
        self,
        status: int,
        headers: Mapping[str, str],
        body: str,
        now_ms: int,
        venue_now_ms: int | None,
        *,
        host_ms: int | None = None,
    ) -> int:
        """429 or 418: returns the moment until which nothing is sent, and writes it down in host UTC.

        `venue_now_ms` is None before the venue's clock was measured.

        The next process starts at host UTC (`host_ms`; `now_ms` where it is the same), whatever the market
        had run ahead: it may wait longer than the venue asks, never shorter.
        """
        until_ms = 0
        stamp = _UNTIL.search(body)
        if stamp is not None:
            # The stamp is in the venue's time, which a local venue may keep in another year. Before that
            # time is known, an exchange's is UTC; what no exchange would say is not believed.
            left_ms = int(stamp[1]) - (now_ms if venue_now_ms is None else venue_now_ms)
            if venue_now_ms is not None or left_ms <= _LONGEST_BAN_MS:
                until_ms = now_ms + left_ms
        after = _number(headers, "retry-after")
        if after is not None:
            until_ms = max(until_ms, now_ms + after * 1000)
        if until_ms <= now_ms:
            until_ms = now_ms + (_BAN_MS if status == 418 else _MINUTE_MS - now_ms % _MINUTE_MS)
        if until_ms > self._state.banned_until_ms:
            self._state = LimitState(until_ms, f"HTTP {status}: {body[:200]}")
            if self._path is not None:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                ahead_ms = now_ms - host_ms if host_ms is not None else 0
                kept = LimitState(until_ms - ahead_ms, self._state.reason)
                atomic_write(self._path, msgspec.json.encode(kept), durable=True)
        return self._state.banned_until_ms

    def _turn(self, now_ms: int) -> None:
        minute = now_ms // _MINUTE_MS
        if minute != self._minute:
            self._minute, self.used = minute, 0


def _number(headers: Mapping[str, str], name: str) -> int | None:
    for key, value in headers.items():
        if key.lower() == name and value.isascii() and value.isdecimal():
            return int(value)
    return None


def _read(path: Path | None) -> LimitState:
    if path is None or not path.exists():
        return LimitState()
    try:
        return msgspec.json.decode(path.read_bytes(), type=LimitState)
    except msgspec.DecodeError:
        # A torn file is no reason to be banned for longer or not at all: one minute of silence is safe.
        return LimitState(int(path.stat().st_mtime * 1000) + _MINUTE_MS, "the file of the limits was torn")
