"""What the reading commands answer: the shapes behind their texts and their --json.

Rule: a shape only grows; amounts are exact decimals in USDT, times are moments in UTC and KST.
`docs/reference/cli.md` is generated from these classes.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import msgspec

SCALE = 100_000_000
SECOND_NS = 1_000_000_000
KST = timezone(timedelta(hours=9), "KST")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Moment(msgspec.Struct, frozen=True):
    """A moment of the market (or host) in nanoseconds, and the same in UTC and KST, to the second."""

    ns: int
    utc: str
    kst: str


class Step(msgspec.Struct, frozen=True):
    """One step of the funnel; `group` is guard, size, budget or venue.

    `shadow` counts what the step would have refused while it is disabled.
    """

    code: str
    group: str
    enabled: bool
    evaluated: int
    allowed: int
    reduced: int
    refused: int
    shadow: int


class Refusal(msgspec.Struct, frozen=True):
    """The last refusal of a guard; `released` is true, false or null (only the market knows)."""

    seq: int
    at: Moment
    code: str
    count: int
    symbol: str
    strategy: str
    side: str
    limit: Decimal
    value: Decimal
    unit: str
    release: str
    release_at: Moment | None
    released: bool | None


class Starved(msgspec.Struct, frozen=True):
    """A starvation alarm: `signals` came since `since` and none became an entry; `guard` refused the most."""

    seq: int
    at: Moment
    guard: str
    since: Moment
    signals: int
    refusals: int
    release: str


class Gap(msgspec.Struct, frozen=True):
    """The longest time without an entry, and what refused the signals in it."""

    start: Moment
    end: Moment
    seconds: float
    signals: int
    refused: dict[str, int]


class Hold(msgspec.Struct, frozen=True):
    """Something that holds entries back at this moment; `scope` is all, a strategy or a symbol."""

    code: str
    scope: str
    release: str
    release_at: Moment | None


class Now(msgspec.Struct, frozen=True):
    """Why no trade now: `state` is not_live, ended, halted, held, no_signal, refused or free."""

    state: str
    sentence: str
    holds: tuple[Hold, ...]


class Orders(msgspec.Struct, frozen=True):
    """What became of the entry orders: `filled` is Entry SUCCESS."""

    requested: int
    filled: int
    expired: int
    rejected: int
    unsent: int
    unknown: int
    open: int


class Why(msgspec.Struct, frozen=True):
    """`why`: the funnel signal → guards → size → budget → order → fill, and what holds entries back."""

    run_id: str
    market_time: Moment | None
    ended: bool
    signals: int
    attempts: int
    steps: tuple[Step, ...]
    budget_caps: int
    orders: Orders
    refusals: tuple[Refusal, ...]
    starvation: tuple[Starved, ...]
    longest_gap: Gap | None
    now: Now


class OpenPosition(msgspec.Struct, frozen=True):
    """An open position; `value_usdt` is the budget it uses."""

    symbol: str
    strategy: str
    side: str
    qty: Decimal
    price: Decimal
    value_usdt: Decimal
    opened: Moment
    expires: Moment | None


class BudgetNow(msgspec.Struct, frozen=True):
    """The budget of a strategy."""

    strategy: str
    allocated_usdt: Decimal
    used_usdt: Decimal
    reserved_usdt: Decimal
    available_usdt: Decimal


class LastTrade(msgspec.Struct, frozen=True):
    """The last fill."""

    seq: int
    at: Moment
    symbol: str
    side: str
    purpose: str
    qty: Decimal
    price: Decimal
    fee_usdt: Decimal


class Status(msgspec.Struct, frozen=True):
    """`status`: `state` is starting, running, stopped (can be resumed), dead or ended.

    `verdict` is the report's once the run has ended, before it says that there is none. `run_seconds` is run
    time by the run clock, `wall_clock_seconds` by the supervisor's (null without one).
    """

    run_id: str
    kind: str
    mode: str
    feed: str
    state: str
    verdict: str
    run_seconds: float
    wall_clock_seconds: float | None
    planned_seconds: float
    market_time: Moment | None
    equity_usdt: Decimal
    equity_at: Moment | None
    balance_usdt: Decimal
    budget: tuple[BudgetNow, ...]
    open_positions: tuple[OpenPosition, ...]
    trading_state: str
    trading_state_reason: str
    entries: int
    budget_caps: int
    budget_blocks: int
    last_trade: LastTrade | None
    last_refusal: Refusal | None
    now: Now
    next_checkpoint: str
    segment: int
    restarts: int
    processes: tuple[str, ...]
    alive: bool


class Line(msgspec.Struct, frozen=True):
    """One step of the arithmetic: `formula` uses the numbers, `result` is what they give."""

    key: str
    formula: str
    result: str


class Compared(msgspec.Struct, frozen=True):
    """A number computed again beside the journal's."""

    key: str
    recomputed: str
    journal: str
    equal: bool


class Explained(msgspec.Struct, frozen=True):
    """`explain`: `outcome` is entry or refused; `equal` is null when nothing could be computed again."""

    run_id: str
    asked_seq: int
    seq: int
    signal_seq: int
    at: Moment
    outcome: str
    code: str
    symbol: str
    strategy: str
    side: str
    bound: str
    lines: tuple[Line, ...]
    would_pass: str
    release: str
    release_at: Moment | None
    compared: tuple[Compared, ...]
    equal: bool | None


def moment(ns: int) -> Moment:
    """A time as people on both sides of the sea read it."""
    at = _EPOCH + timedelta(seconds=ns // SECOND_NS)
    utc = at.strftime("%Y-%m-%dT%H:%M:%SZ")
    return Moment(ns, utc, at.astimezone(KST).strftime("%Y-%m-%dT%H:%M:%S+09:00"))


def moment_or_none(ns: int) -> Moment | None:
    """None for 0, which stands for "nobody can know"."""
    return moment(ns) if ns > 0 else None


def both(at: Moment | None) -> str:
    """A moment for a line of text."""
    if at is None:
        return "-"
    return f"{at.utc[:10]} {at.utc[11:19]} UTC ({at.kst[5:10]} {at.kst[11:19]} KST)"


def usdt(units: int) -> Decimal:
    """Units of 1e-8 as an exact decimal."""
    return plain(Decimal(units) / SCALE)


def plain(value: Decimal) -> Decimal:
    """Without trailing zeros, and without an exponent."""
    return value.normalize() if value % 1 else value.quantize(Decimal(1))


def money(amount: Decimal) -> str:
    """USDT for people: two decimals."""
    return f"{amount:,.2f}"


def side_name(side: int) -> str:
    """LONG or SHORT."""
    return "LONG" if side > 0 else "SHORT"


class DoctorLine(msgspec.Struct, frozen=True):
    """One check: `state` is ok, fixed, warn or red; `detail` and `fix` are in English here."""

    item: str
    state: str
    detail: str
    fix: str


class StreamHeard(msgspec.Struct, frozen=True):
    """A class of streams (trades, quotes, marks): messages while it was listened to, and who sent none."""

    name: str
    messages: int
    heard: tuple[str, ...]
    missing: tuple[str, ...]
    max_silence_seconds: float


class Filters(msgspec.Struct, frozen=True):
    """What a symbol can be ordered in."""

    symbol: str
    tick: Decimal
    step: Decimal
    min_qty: Decimal
    max_qty: Decimal
    min_notional_usdt: Decimal


class VenueHeard(msgspec.Struct, frozen=True):
    """What a venue said; `offset_ms` is its clock minus ours, null for a local venue's own market time."""

    venue: str
    seconds: float
    streams: tuple[StreamHeard, ...]
    filters: tuple[Filters, ...]
    offset_ms: float | None
    latency_p50_ms: float
    latency_p99_ms: float
    tape_mb_per_hour: float


class Doctor(msgspec.Struct, frozen=True):
    """`doctor`: `state` is the worst of all lines; red is exit code 3. `venue` is null without --venue."""

    state: str
    lines: tuple[DoctorLine, ...]
    venue: VenueHeard | None


class RunLine(msgspec.Struct, frozen=True):
    """A run of `runs list`; `state` and times as in Status, or unreadable."""

    run_id: str
    run_dir: str
    kind: str
    feed: str
    state: str
    verdict: str
    started: Moment | None
    run_seconds: float
    wall_clock_seconds: float | None
    entries: int
    size_bytes: int
    why: str


class RunList(msgspec.Struct, frozen=True):
    """`runs list`, oldest first."""

    runs: tuple[RunLine, ...]
    size_bytes: int


class ComparedLine(msgspec.Struct, frozen=True):
    """One figure of both runs, as the report defines it; null = not measured."""

    name: str
    left: int | float | Decimal | str | None
    right: int | float | Decimal | str | None
    same: bool


class Comparison(msgspec.Struct, frozen=True):
    """`runs compare`; `first_difference` is the first row that was decided otherwise, 0 = none."""

    left: str
    right: str
    lines: tuple[ComparedLine, ...]
    settings: tuple[ComparedLine, ...]
    first_difference: int


class Pruned(msgspec.Struct, frozen=True):
    """`runs prune`: what was deleted (with --dry-run only shown), and what was kept and why."""

    only_shown: bool
    deleted: tuple[RunLine, ...]
    kept: tuple[RunLine, ...]
    freed_bytes: int
