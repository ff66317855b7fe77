"""What the page is sent: sections of JSON, each a shape of its own.

Rule: shapes hold answers of `status` and `why` as they are, and rows of the journals laid out for a list;
every list is bounded by its setting.
"""

from __future__ import annotations

from decimal import Decimal

import msgspec

from flowguardian.cli.answers import Moment, Refusal, Status, Why
from flowguardian.dashboard.curves import Sample
from flowguardian.dashboard.tape_bars import Bar


class Said(msgspec.Struct, frozen=True):
    """One sentence in both languages."""

    en: str
    ko: str


class RunNow(msgspec.Struct, frozen=True):
    """How the run stands: `status` is null before the journal has a first row, `problem` "" if all is read.

    `commandable` says whether an engine is there to take a command.
    """

    run_id: str
    status: Status | None
    why_now: Said
    problem: str
    catching_up: bool
    commandable: bool
    symbols: tuple[str, ...]
    strategies: tuple[str, ...]


class WhyNow(msgspec.Struct, frozen=True):
    """The funnel."""

    why: Why | None


class PositionNow(msgspec.Struct, frozen=True):
    """An open position and the levels journaled when it was opened (null = none); `last` is the tape's."""

    seq: int
    symbol: str
    strategy: str
    side: str
    qty: Decimal
    price: Decimal
    value_usdt: Decimal
    stop: Decimal | None
    target1: Decimal | None
    target2: Decimal | None
    trail: Decimal | None
    last: float | None
    opened: Moment
    expires: Moment | None
    reduced: int


class Attempt(msgspec.Struct):
    """An entry order and what became of it: requested, filled, partly, expired, rejected, unsent, unknown."""

    seq: int
    at: Moment
    symbol: str
    strategy: str
    side: str
    qty: Decimal
    limit_price: Decimal
    reserved_usdt: Decimal
    bound: str
    outcome: str


class Fill(msgspec.Struct, frozen=True):
    """A fill, as a mark on the price chart; `buy` is the side of its order."""

    seq: int
    at: Moment
    symbol: str
    buy: bool
    purpose: str
    qty: Decimal
    price: Decimal
    fee_usdt: Decimal


class Closed(msgspec.Struct, frozen=True):
    """A position that is flat: `net_usdt` is realised − fees ± funding."""

    seq: int
    at: Moment
    symbol: str
    side: str
    reason: str
    opened: Moment
    net_usdt: Decimal


class Lists(msgspec.Struct, frozen=True):
    """The newest entries, refusals, fills and closes, oldest first."""

    entries: tuple[Attempt, ...]
    refusals: tuple[Refusal, ...]
    fills: tuple[Fill, ...]
    closes: tuple[Closed, ...]


class CheckpointLine(msgspec.Struct, frozen=True):
    """A checkpoint as the engine wrote it."""

    seq: int
    at: Moment
    name: str
    run_seconds: float
    equity_usdt: Decimal
    used_usdt: Decimal
    available_usdt: Decimal
    entries: int
    budget_caps: int
    budget_blocks: int
    open_positions: int
    ledger_difference_usdt: Decimal
    trading_state: str


class IncidentLine(msgspec.Struct):
    """Equal incidents as one line: how often, when first and last, and one sample."""

    severity: str
    source: str
    what: str
    sample: str
    count: int
    first: Moment
    last: Moment


class CommandLine(msgspec.Struct, frozen=True):
    """An operator command that became a fact."""

    seq: int
    at: Moment
    command: str
    by: str


class Events(msgspec.Struct, frozen=True):
    """Checkpoints, incidents and commands, oldest first."""

    checkpoints: tuple[CheckpointLine, ...]
    incidents: tuple[IncidentLine, ...]
    commands: tuple[CommandLine, ...]


class CurveTail(msgspec.Struct, frozen=True):
    """The end of a curve of `count` points; another `epoch`, and earlier points have changed as well."""

    epoch: int
    count: int
    tail: tuple[Sample, ...]


class CurveWhole(msgspec.Struct, frozen=True):
    """A curve from its beginning."""

    epoch: int
    points: tuple[Sample, ...]


class StreamAge(msgspec.Struct, frozen=True):
    """How old the last record of a stream is on the tape's own clock."""

    symbol: str
    stream: str
    records: int
    age_seconds: float


class Market(msgspec.Struct, frozen=True):
    """The last two bars of each symbol and the age of each stream."""

    bars: dict[str, tuple[Bar, ...]]
    streams: tuple[StreamAge, ...]
    tape_at: Moment | None


class ResourcesNow(msgspec.Struct, frozen=True):
    """The last sample of the supervisor; null without one."""

    at: Moment
    rss_mb: float
    cpu_seconds: float
    handles: int
    threads: int
    loop_lag_p50_ms: float
    loop_lag_p99_ms: float
    journal_mb: float
    tape_mb: float
    log_mb: float


class QualityNow(msgspec.Struct, frozen=True):
    """What the feed counted in this lifetime of the engine; latencies are null in slices."""

    at: Moment
    lifetime: int
    feed: str
    fresh_pct: float | None
    latency_p50_ms: float | None
    latency_p95_ms: float | None
    latency_p99_ms: float | None
    longest_silence_s: dict[str, float]
    """By kind of stream, of the symbol that was silent longest."""
    clock_skew_ms: float
    used_weight: int
    counts: dict[str, int]
    halted: str


class Host(msgspec.Struct, frozen=True):
    """What the run costs the host, and the last quality row of the feed (null: not recorded)."""

    resources: ResourcesNow | None
    quality: QualityNow | None
