"""Request weight, bans and connection counts of one address, as the exchange enforces them.

Rule: pure; the caller says both clocks. A window of request weight ends with a minute of either clock, so a
market that runs faster than the host gives its clients as much per market minute as the exchange would. A
market that moves in slices knows its own minutes only: there the same run meets the same limits.
"""

from __future__ import annotations

from collections import deque

from flowguardian.venue import errors
from flowguardian.venue.refusals import refuse

WEIGHT_LIMIT = 2400
MESSAGES_PER_SECOND = 10
_MINUTE_MS = 60_000
_PATIENCE = 20
"""So many requests after a 429 in one window and the address is banned."""
_FIRST_BAN_SECONDS = 120
_LONGEST_BAN_SECONDS = 3 * 86_400
ORDER_LIMITS = {"10S": (10_000, 300, "10 SECOND"), "1M": (_MINUTE_MS, 1200, "1 MINUTE")}
"""Length of the window, orders in it, and how its refusal names it."""
MOST_OPEN_ORDERS, MOST_OPEN_ALGOS = 200, 10
"""Per symbol, as exchangeInfo tells them."""
_CONNECTIONS = 300
_CONNECTIONS_MS = 300_000


class Weights:
    """The request weight of one address."""

    def __init__(self, limit: int = WEIGHT_LIMIT) -> None:
        self.limit = limit
        self.used = 0
        self._window = (-1, -1)
        self._refused = 0
        self._bans = 0
        self._banned_until_ms = 0

    def charge(self, weight: int, host_ms: int, venue_ms: int, *, sliced: bool = False) -> None:
        """Count a request; raises Refusal 429 over the limit, 418 for an address that went on regardless."""
        if host_ms < self._banned_until_ms:
            left_ms = self._banned_until_ms - host_ms
            raise errors.banned(venue_ms + left_ms, -(-left_ms // 1000))
        window = (0 if sliced else host_ms // _MINUTE_MS, venue_ms // _MINUTE_MS)
        if window != self._window:
            self._window, self.used, self._refused = window, 0, 0
        self.used += weight
        if self.used <= self.limit:
            return
        self._refused += 1
        if self._refused > _PATIENCE:
            self.ban(host_ms)
            self.charge(0, host_ms, venue_ms)
        raise errors.too_many_requests(self.limit, -(-(_MINUTE_MS - host_ms % _MINUTE_MS) // 1000))

    def ban(self, host_ms: int, seconds: int = 0) -> None:
        """Refuse everything for a while, longer each time."""
        length = seconds or min(_LONGEST_BAN_SECONDS, _FIRST_BAN_SECONDS * 2**self._bans)
        self._bans += 1
        self._banned_until_ms = host_ms + length * 1000


class OrderRate:
    """How many orders the account sent of late, by market time: 300 in 10 seconds, 1200 in a minute."""

    def __init__(self) -> None:
        self._counts: dict[str, tuple[int, int]] = {}

    def charge(self, orders: int, venue_ms: int) -> None:
        """Count orders. Raises Refusal −1015 over a limit."""
        for name, (length_ms, limit, words) in ORDER_LIMITS.items():
            window, used = venue_ms // length_ms, self._used(name, venue_ms)
            if used + orders > limit:
                raise refuse(-1015, limit, words)
            self._counts[name] = window, used + orders

    def headers(self, venue_ms: int) -> dict[str, str]:
        """X-MBX-ORDER-COUNT-10S and -1M, as they stand."""
        return {f"X-MBX-ORDER-COUNT-{name}": str(self._used(name, venue_ms)) for name in ORDER_LIMITS}

    def _used(self, name: str, venue_ms: int) -> int:
        window, used = self._counts.get(name, (-1, 0))
        return used if window == venue_ms // ORDER_LIMITS[name][0] else 0


class Connections:
    """How many stream connections an address opened of late."""

    def __init__(self, most: int = _CONNECTIONS) -> None:
        self._most = most
        self._opened_ms: deque[int] = deque()

    def admit(self, host_ms: int) -> bool:
        while self._opened_ms and host_ms - self._opened_ms[0] >= _CONNECTIONS_MS:
            self._opened_ms.popleft()
        if len(self._opened_ms) >= self._most:
            return False
        self._opened_ms.append(host_ms)
        return True


class Messages:
    """Whether a connection speaks too often."""

    def __init__(self, most: int = MESSAGES_PER_SECOND) -> None:
        self._most = most
        self._times_ms: deque[int] = deque()

    def admit(self, host_ms: int) -> bool:
        times = self._times_ms
        while times and host_ms - times[0] >= 1000:
            times.popleft()
        times.append(host_ms)
        return len(times) <= self._most
