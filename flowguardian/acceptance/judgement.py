"""What the judge says about a run: the verdict, each criterion, and every measured figure behind them.

Rule: this is the content of `report.json`; a report is rendered from it alone. Changing a field
changes `SCHEMA`. Money is an integer of 1e-8 USDT, `_ns` are UTC nanoseconds of the run clock unless a name
says host; what was not measured is null.
"""

from __future__ import annotations

from enum import StrEnum

from flowguardian.acceptance.figures import (
    Build,
    Data,
    FeedQuality,
    IncidentGroup,
    PreflightLine,
    ProcessLine,
    ResourceCurve,
    Resources,
    Segment,
    StreamSilence,
)

SCHEMA = "flowguardian.report/1"

Value = float | int | str | bool | None


class Verdict(StrEnum):
    """There are three, and no way around them."""

    PASS = "PASS"  # noqa: S105 - a verdict
    FAIL = "FAIL"
    INCONCLUSIVE = "INCONCLUSIVE"


class Text(Data, frozen=True):
    """A sentence in each language."""

    ko: str
    en: str


class Evidence(Data, frozen=True):
    """Where a figure can be looked up: `file` is journal or ops, `seq` its row."""

    file: str
    seq: int
    text: str = ""


class Criterion(Data, frozen=True):
    """One gate. `ok` is null when the figure was not recorded, which counts like not met.

    `relation` is how observed must stand to threshold (≥ ≤ < =); `unmet` says what the run becomes when the
    gate is not met: FAIL or INCONCLUSIVE.
    """

    id: str
    group: str
    relation: str
    threshold: Value
    observed: Value
    margin: float | None
    ok: bool | None
    unmet: Verdict
    text: Text
    evidence: tuple[Evidence, ...] = ()


class Cause(Data, frozen=True):
    """Why a criterion was not met, from the rows, and what would be done about it."""

    criterion: str
    why: Text
    then: Text
    evidence: tuple[Evidence, ...] = ()

    def __str__(self) -> str:
        return self.why.en


class Counts(Data, frozen=True):
    """The counts of a run. `entries` are entry orders with at least one fill."""

    entries: int
    entries_requested: int
    entries_unfilled: int
    budget_caps: int
    portfolio_budget_blocks: int
    block_pct: float | None
    portfolio_check_blocks: int
    portfolio_check_block_pct: float | None
    signals: int
    refusals: int
    flips: int
    closed: int
    errors: int | None
    warnings: int | None
    abnormal_ends: int | None
    announced_ends: int | None
    restarts: int
    segments: int
    planned_stops: int
    starvation: int
    invariant_violations: int
    feed_gaps: int
    checkpoints: int
    longest_refusal_streak: int
    max_refusals_per_hour_per_symbol: int
    journal_rows: int
    tape_records: int


class FunnelStep(Data, frozen=True):
    """One guard or pipeline step."""

    code: str
    enabled: bool
    evaluated: int
    allowed: int
    reduced: int
    refused: int
    shadow: int


class CodeCount(Data, frozen=True):
    """A code and how often."""

    code: str
    count: int


class Share(Data, frozen=True):
    """A limit of the configuration as a share of equity."""

    name: str
    ratio: float


class NoEntryGap(Data, frozen=True):
    """The longest time without an entry."""

    from_ns: int
    to_ns: int
    signals: int
    refused: tuple[CodeCount, ...]
    release: str


class Money(Data, frozen=True):
    """start + realised − fees + funding + unrealised = end, by the judge's own books."""

    start: int
    realised: int
    fees: int
    funding: int
    unrealised: int
    end: int
    peak: int
    lowest: int
    max_drawdown_pct: float


class Checkpoint(Data, frozen=True):
    """A checkpoint: what the run said, and the judge's own equity beside it."""

    seq: int
    name: str
    ts_ns: int
    run_ns: int
    equity: int
    own_equity: int | None
    difference: int | None
    drawdown_pct: float
    signals: int
    entries: int
    budget_caps: int
    budget_blocks: int
    open_positions: int
    allocated: int
    used: int
    available: int
    exposure: int
    trading_state: str


class Hour(Data, frozen=True):
    """One hour of run time."""

    hour: int
    to_ns: int
    equity: int
    change: int
    drawdown_pct: float
    signals: int
    entries: int
    budget_caps: int
    budget_blocks: int
    refusals: int


class Shadowed(Data, frozen=True):
    """A limit that can never bind."""

    seq: int
    limit: str
    value: int
    by: str
    effective: int


class TradeLine(Data, frozen=True):
    """A closed position."""

    seq: int
    symbol: str
    strategy: str
    side: int
    opened_ns: int
    closed_ns: int
    qty: int
    entry_price: int
    realised: int
    fees: int
    funding: int
    net: int
    reason: str
    adverse_pct: float | None
    favourable_pct: float | None


class Group(Data, frozen=True):
    """Closed positions that share a symbol or an exit reason."""

    name: str
    trades: int
    wins: int
    net: int


class Trades(Data, frozen=True):
    """What the strategy did. Not judged."""

    closed: int
    wins: int
    win_rate_pct: float | None
    win_rate_low_pct: float | None
    win_rate_high_pct: float | None
    expectancy: float | None
    expectancy_low: float | None
    expectancy_high: float | None
    profit_factor: float | None
    mean_hold_minutes: float | None
    mean_slippage_bps: float | None
    by_symbol: tuple[Group, ...]
    by_reason: tuple[Group, ...]
    bound: tuple[CodeCount, ...]
    trades: tuple[TradeLine, ...]


class StreamLine(Data, frozen=True):
    """Records of one kind of one symbol while live."""

    symbol: str
    kind: str
    records: int
    max_silence_seconds: float
    max_silence_at_ns: int
    mean_atr_pct: float | None


class Curve(Data, frozen=True):
    """The judge's own books once a minute (thinned on long runs)."""

    ts_ns: tuple[int, ...] = ()
    equity: tuple[int, ...] = ()
    drawdown_pct: tuple[float, ...] = ()
    used: tuple[int, ...] = ()
    reserved: tuple[int, ...] = ()
    allocated: tuple[int, ...] = ()


class Moments(Data, frozen=True):
    """When things happened."""

    entries: tuple[int, ...] = ()
    caps: tuple[int, ...] = ()
    blocks: tuple[int, ...] = ()
    segments: tuple[int, ...] = ()


class Judgement(Data, frozen=True):
    """Everything."""

    schema: str
    verdict: Verdict
    kind: str
    why: Text
    with_faults: bool
    finished: str
    run_id: str
    mode: str
    feed: str
    market_source: str
    version: str
    seed: int | None
    symbols: tuple[str, ...]
    config_hash: str
    trading_hash: str
    code_hash: str
    journal_hash: str
    live_ns: int
    end_ns: int
    host_start_ns: int
    host_end_ns: int
    planned_hours: float | None
    wall_clock_hours: float | None
    market_hours: float
    quiet: bool
    mean_atr_pct: float | None
    counts: Counts
    criteria: tuple[Criterion, ...]
    causes: tuple[Cause, ...]
    funnel: tuple[FunnelStep, ...]
    gap: NoEntryGap
    money: Money
    checkpoints: tuple[Checkpoint, ...]
    hours: tuple[Hour, ...]
    shadowed: tuple[Shadowed, ...]
    trades: Trades
    streams: tuple[StreamLine, ...]
    feed_quality: FeedQuality | None
    silences: tuple[StreamSilence, ...]
    segments: tuple[Segment, ...]
    builds: tuple[Build, ...]
    processes: tuple[ProcessLine, ...]
    incidents: tuple[IncidentGroup, ...]
    faults: tuple[str, ...]
    preflight: tuple[PreflightLine, ...]
    resources: Resources
    resource_curve: ResourceCurve
    curve: Curve
    moments: Moments
    exposure_limits: tuple[Share, ...]
    ideal_block_pct: tuple[float, float]
    quiet_atr_pct: float | None
    problems: tuple[str, ...]
    missing: tuple[str, ...]

    def criterion(self, name: str) -> Criterion | None:
        """The criterion of that id."""
        return next((c for c in self.criteria if c.id == name), None)
