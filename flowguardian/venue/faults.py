"""Faults: which ones there are, when they hold, and what those of the market do to rows and frames.

Rule: pure; a fault is a function of (plan seed, fault, stream, event), so the same plan does the same to the
same market. Windows are market time. Nothing here touches a socket: `streams`, `rest` and `pacing` ask,
and `trading_faults` for the trading side.

plan file: {"seed": 7, "faults": [{"kind": "stall", "at_seconds": 60, "for_seconds": 30,
"streams": "btcusdt@*"}]}; over POST /control/faults the same, `at_seconds` counted from now.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

import msgspec

from flowguardian.market.records import SECOND_NS, Flag, Kind

RowTuple = tuple[int, int, int, int, int, int, int, int, int, int, int]

FRAME_KINDS = ("drop", "stall", "delay", "duplicate", "reorder", "malformed", "unknown")
SOCKET_KINDS = ("half_open", "cut", "silent_path")
ROW_KINDS = ("id_gap", "burst", "non_market", "delist")
REST_KINDS = ("rest", "maintenance", "clock_skew", "tick_size")
ORDER_KINDS = (
    "order_reply", "order_refused", "keepalive_refused", "race", "stop_race", "partial_then_cancel",
    "invisible", "stale", "fill_first",
)  # fmt: skip
"""Faults of requests and fills, while they hold (venue/trading_faults.py)."""
MOMENT_KINDS = ("key_expiry", "stop_cancelled", "outside_trade", "transfer", "liquidation", "adl")
TRADING_MOMENTS = (*MOMENT_KINDS, "delist")
"""Faults that happen to the account once, at their first moment."""
KINDS = (*FRAME_KINDS, *SOCKET_KINDS, *ROW_KINDS, *REST_KINDS, *ORDER_KINDS, *MOMENT_KINDS)
_AT_ONCE = frozenset({"cut", "id_gap", "tick_size", *MOMENT_KINDS})
"""Kinds that happen at one moment when no length is given; the others last."""
REPLIES = (
    "timeout", "unknown_503", "unavailable_503", "internal_503", "throttled_503", "gateway_504", "dropped",
    "late",
)  # fmt: skip
FOREVER_NS = 1 << 62
_TRADE = int(Kind.TRADE)
_DERIVED = int(Flag.DERIVED)
_MOST_HELD = 100_000


class FaultPlanError(Exception):
    """A fault plan asks for something that does not exist; the message says what does."""


class Fault(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One fault; fields a kind does not use are ignored by it."""

    kind: str
    at_seconds: float = 0.0
    for_seconds: float | None = None
    """None: for good, or a single moment where the kind happens at once."""
    streams: str = "*"
    """Stream names, `*` and `?` allowed, several with commas."""
    path: str = "*"
    """Socket category (public, market) or REST path, `*` allowed."""
    symbols: str = "*"
    rate: float = 1.0
    """Share of the events that are hit."""
    count: int = 1
    """duplicate: extra copies; id_gap: ids skipped; burst: trades made of each."""
    seconds: float = 1.0
    """delay, reorder: how long (reorder 0: within a slice); clock_skew: by how much (may be negative); rest
    without answer: how long; invisible, stale: for how long after an order came or changed."""
    every_seconds: float = 0.0
    """cut: again after so long."""
    status: int = 503
    """rest: HTTP status; 0 = no answer for `seconds`."""
    code: int = 0
    text: str = ""
    """rest: message, or the whole body when it does not start a JSON answer; non_market: the word in X;
    outside_trade: the order's client id."""
    retry_after_seconds: int = 0
    tick: str = ""
    step: str = ""
    min_notional: str = ""
    """tick_size: those of the filters that change."""
    variant: str = "timeout"
    """order_reply: timeout, unknown_503, unavailable_503, internal_503, throttled_503, gateway_504, dropped,
    late (after `seconds` of host time)."""
    executed: float | None = None
    """order_reply: share of the requests that is executed all the same; None: as the exchange documents."""
    silent: bool = False
    """key_expiry, stop_cancelled: without an event."""
    share: float = 1.0
    """race, partial_then_cancel, adl: how much of the order or position."""
    side: str = ""
    qty: float = 0.0
    """outside_trade: BUY or SELL so much; without them the position is closed. transfer: USDT; SELL = out."""


class Plan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a plan file holds."""

    faults: list[Fault]
    seed: int = 0


class Active(msgspec.Struct, frozen=True):
    """A fault with its window of market time and its place in the plan."""

    fault: Fault
    number: int
    from_ns: int
    to_ns: int

    def holds(self, at_ns: int) -> bool:
        return self.from_ns <= at_ns < self.to_ns


def plan_of(body: bytes) -> Plan:
    """The plan in a file or a request. Raises FaultPlanError."""
    try:
        plan = msgspec.json.decode(body, type=Plan)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise FaultPlanError(f"the fault plan cannot be read: {error}") from error
    for fault in plan.faults:
        if fault.kind not in KINDS:
            raise FaultPlanError(f"no fault is called {fault.kind!r}; there are {', '.join(KINDS)}.")
        if fault.variant not in REPLIES:
            raise FaultPlanError(f"no reply is called {fault.variant!r}; there are {', '.join(REPLIES)}.")
        if not 0.0 <= fault.share <= 1.0 or not 0.0 <= (fault.executed or 0.0) <= 1.0 or fault.qty < 0:
            raise FaultPlanError(f"{fault.kind}: share and executed must be 0..1, qty not negative.")
        if not 0.0 <= fault.rate <= 1.0 or fault.count < 0 or fault.every_seconds < 0:
            raise FaultPlanError(f"{fault.kind}: rate must be 0..1, count and every_seconds not negative.")
    return plan


def matches(patterns: str, name: str) -> bool:
    """Whether a name fits one of several patterns with commas between them."""
    return any(fnmatchcase(name, pattern.strip()) for pattern in patterns.split(","))


class Faults:
    """All faults of one venue, those of the plan and those added while it runs."""

    def __init__(self, plan: Plan, symbols: Sequence[str], start_ns: int) -> None:
        self.seed = plan.seed
        self.active: list[Active] = []
        self.print_kinds: dict[tuple[int, int], str] = {}
        """(symbol, id) of the prints that were put in as non-market ones."""
        self._symbols = tuple(symbols)
        self._held: dict[str, list[tuple[int, int, bytes]]] = {}
        self._holding = 0
        self._shifts: list[list[tuple[int, int]]] = [[] for _ in symbols]
        self._skipped: dict[tuple[int, int], int] = {}
        self._of: dict[str, list[Active]] = {kind: [] for kind in KINDS}
        self.add(plan.faults, start_ns)

    def add(self, faults: Iterable[Fault], now_ns: int) -> list[Active]:
        """More faults, their windows counted from a market time."""
        added = []
        for fault in faults:
            from_ns = now_ns + round(fault.at_seconds * SECOND_NS)
            if fault.for_seconds is not None:
                to_ns = from_ns + round(fault.for_seconds * SECOND_NS)
            else:
                at_once = fault.kind in _AT_ONCE and not fault.every_seconds
                to_ns = from_ns + 1 if at_once else FOREVER_NS
            one = Active(fault, len(self.active), from_ns, to_ns)
            self.active.append(one)
            self._of[fault.kind].append(one)
            added.append(one)
        return added

    def clear(self, now_ns: int) -> None:
        """End everything that holds or would come; what it did to ids stays done."""
        kept = [msgspec.structs.replace(one, to_ns=min(one.to_ns, now_ns)) for one in self.active]
        self.active = kept
        self._of = {kind: [one for one in kept if one.fault.kind == kind] for kind in KINDS}

    def of(self, kind: str, at_ns: int) -> list[Active]:
        """The faults of a kind that hold."""
        return [one for one in self._of[kind] if one.holds(at_ns)]

    def kind(self, kind: str) -> list[Active]:
        """All faults of a kind, whether they hold or not."""
        return self._of[kind]

    def draw(self, one: Active, name: str, number: int) -> float:
        """A number in [0, 1) that depends on the plan, the fault and the event alone."""
        word = f"{self.seed}:{one.number}:{name}:{number}".encode()
        return int.from_bytes(hashlib.blake2b(word, digest_size=7).digest()) / 2**56

    # ---- frames

    def touches_frames(self, from_ns: int, to_ns: int) -> bool:
        """Whether frames of a span must go one by one through `frame`."""
        return self._holding > 0 or any(
            one.from_ns < to_ns and from_ns < one.to_ns for kind in FRAME_KINDS for one in self._of[kind]
        )

    def frame(self, socket: str, stream: str, number: int, at_ns: int, data: bytes) -> list[bytes]:
        """What becomes of one frame on its way to one socket."""
        out = [data]
        for kind in FRAME_KINDS:
            for one in self._of[kind]:
                if out and one.holds(at_ns) and matches(one.fault.streams, stream):
                    hit = one.fault.rate >= 1.0 or self.draw(one, stream, number) < one.fault.rate
                    out = self._changed(one, socket, stream, number, at_ns, out) if hit else out
        return out

    def _changed(
        self, one: Active, socket: str, stream: str, number: int, at_ns: int, out: list[bytes]
    ) -> list[bytes]:
        fault = one.fault
        match fault.kind:
            case "drop" | "stall":
                return []
            case "duplicate":
                return [*out, *out[:1] * fault.count]
            case "malformed":
                return [out[0][: len(out[0]) // 2], *out[1:]]
            case "unknown":
                odd = f'{{"stream":"{stream}","data":{{"e":"neverHeardOf","E":{at_ns // 1_000_000}}}}}'
                return [odd.encode(), *out]
        share = self.draw(one, f"{stream}/late", number) if fault.kind == "reorder" else 1.0
        # Without seconds frames change places within their span of time and none leaves it.
        until_ns = (
            at_ns + round(fault.seconds * share * SECOND_NS) if fault.seconds else round(share * SECOND_NS)
        )
        self._hold(socket, until_ns, out)
        return []

    def _hold(self, socket: str, until_ns: int, frames: list[bytes]) -> None:
        held = self._held.setdefault(socket, [])
        for data in frames:
            if self._holding < _MOST_HELD:
                held.append((until_ns, self._holding, data))
                self._holding += 1

    def due(self, socket: str, to_ns: int) -> list[bytes]:
        """Held frames of a socket whose time has come."""
        held = self._held.get(socket)
        if not held:
            return []
        ready = sorted(entry for entry in held if entry[0] < to_ns)
        self._held[socket] = [entry for entry in held if entry[0] >= to_ns]
        self._holding = sum(len(entries) for entries in self._held.values())
        return [data for _, _, data in ready]

    def forget(self, socket: str) -> None:
        """The socket is gone, and what was held for it."""
        self._held.pop(socket, None)
        self._holding = sum(len(entries) for entries in self._held.values())

    # ---- rows

    @property
    def rewrites(self) -> bool:
        """Whether rows must go through `rows`."""
        return any(self._of[kind] for kind in ROW_KINDS)

    def rows(self, rows: list[RowTuple]) -> list[RowTuple]:
        """Market rows with ids skipped, prints put in, trades multiplied and dead symbols left out."""
        out: list[RowTuple] = []
        for row in rows:
            symbol = row[2]
            if symbol >= len(self._symbols):
                out.append(row)
            elif self._hit("delist", row):
                continue
            elif row[0] == _TRADE:
                self._trade(row, out)
            else:
                out.append(row)
        return out

    def delisted(self, symbol: str, at_ns: int) -> bool:
        """Whether nothing of a symbol is shown any more."""
        return any(matches(one.fault.symbols, symbol) for one in self.of("delist", at_ns))

    def _hit(self, kind: str, row: RowTuple) -> Active | None:
        name = self._symbols[row[2]]
        for one in self._of[kind]:
            if one.holds(row[5]) and matches(one.fault.symbols, name):
                return one
        return None

    def _trade(self, row: RowTuple, out: list[RowTuple]) -> None:
        symbol, at_ns, number = row[2], row[5], row[10]
        shifts = self._shifts[symbol]
        shift = before = shifts[-1][1] if shifts else 0
        name = self._symbols[symbol]
        for one in self._of["id_gap"]:
            done = one.number, symbol
            if at_ns >= one.from_ns and matches(one.fault.symbols, name) and done not in self._skipped:
                shift += one.fault.count
                shifts.append((at_ns, shift))
                self._skipped[done] = at_ns
        odd = self._hit("non_market", row)
        if odd is not None and self.draw(odd, name, number) < odd.fault.rate:
            self.print_kinds[symbol, number + shift] = odd.fault.text or "NA"
            out.append((*row[:6], 0, 0, 0, 0, number + shift))
            shift += 1
        burst = self._hit("burst", row)
        copies = max(1, burst.fault.count) if burst is not None else 1
        out.extend((*row[:10], number + shift + copy) for copy in range(copies))
        shift += copies - 1
        if shift != before:
            shifts.append((at_ns, shift))

    def went_back(self, to_ns: int) -> None:
        """The market stands at an earlier time again: ids are shifted as they were then."""
        for shifts in self._shifts:
            while shifts and shifts[-1][0] >= to_ns:
                shifts.pop()
        for done in [done for done, at_ns in self._skipped.items() if at_ns >= to_ns]:
            del self._skipped[done]

    # ---- clock, filters

    def skew_ms(self, at_ns: int) -> int:
        """By how much the venue's clock is wrong when it is asked."""
        return round(sum(one.fault.seconds for one in self.of("clock_skew", at_ns)) * 1000)

    def rest(self, path: str, at_ns: int, number: int) -> Fault | None:
        """The fault that answers a REST request, if one does."""
        if self.of("maintenance", at_ns):
            return Fault("rest", status=503, text="Service Unavailable")
        for one in self.of("rest", at_ns):
            hit = one.fault.rate >= 1.0 or self.draw(one, path, number) < one.fault.rate
            if hit and matches(one.fault.path, path):
                return one.fault
        return None
