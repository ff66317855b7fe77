"""The criteria of a run: what was fixed in its configuration against what was measured, and the verdict.

Rule: thresholds come from the configuration in row 1 alone, a figure that was not recorded counts as not met,
and the verdict is a function of the criteria and nothing else. There is no override.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

import msgspec

from flowguardian.acceptance.catalog import text
from flowguardian.acceptance.evidence import Config
from flowguardian.acceptance.findings import Audit
from flowguardian.acceptance.judgement import Criterion, Evidence, Value, Verdict

HOUR_NS = 3_600_000_000_000
CLOCK_TOLERANCE_PCT = Decimal("0.5")
MOST_EVIDENCE = 5

ENDED = ("completed", "stopped", "interrupted")
"""Ends of a run that are not a fault."""

SHORT = frozenset(
    (
        "run_hours",
        "longest_segment",
        "entries",
        "budget_caps",
        "budget_block_pct",
        "guards_evaluated",
        "checkpoints",
        "exit_reason",
    )
)
"""Not held against a run that was stopped or never planned long enough: it could not have met them."""
QUIET = frozenset(("entries", "budget_caps", "budget_block_pct", "guards_evaluated"))
"""Not held against the run when the tape itself says that nothing moved."""
SLEPT = frozenset(("host_awake", "run_hours", "clock_agreement"))
"""Not held against the run when its host slept; it still cannot pass."""


class Replay(msgspec.Struct, frozen=True):
    """What deciding the run again gave; `ok` is None when nobody tried."""

    ok: bool | None
    rows: int
    message: str


@dataclass
class Measured:
    """Everything the criteria look at. None: not recorded."""

    kind: str
    audit: Audit
    wall_ns: int | None
    stale_ns: int
    """Run time in which some stream was not fresh."""
    planned_stops: int | None
    longest_segment_ns: int | None
    segment_market_ns: int | None
    market_ns: int
    tape_records: int
    problems: Sequence[str]
    replay: Replay | None
    finished: str
    errors: int | None
    error_rows: Sequence[Evidence]
    abnormal_ends: int | None
    abnormal_rows: Sequence[Evidence]
    slept: int | None
    starvation: Sequence[Evidence]
    violations: Sequence[Evidence]
    idle_guards: Sequence[str] | None
    """Enabled guards that no attempt ever got to."""
    checkpoints_due: int
    checkpoints_taken: int
    block_pct: float | None
    lowest_equity: int | None
    start_equity: int
    short: bool
    quiet: bool
    circumstances: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        found: frozenset[str] = frozenset()
        for applies, excused in ((self.short, SHORT), (self.quiet, QUIET), (bool(self.slept), SLEPT)):
            found |= excused if applies else frozenset()
        self.circumstances = found


def verdict(criteria: Iterable[Criterion]) -> Verdict:
    """PASS when all are met; otherwise the worst of what the unmet ones lead to."""
    unmet = {criterion.unmet for criterion in criteria if criterion.ok is not True}
    if Verdict.FAIL in unmet:
        return Verdict.FAIL
    return Verdict.INCONCLUSIVE if unmet else Verdict.PASS


def all_criteria(m: Measured, config: Config) -> tuple[Criterion, ...]:
    """Every criterion of a run, in the order of the report."""
    make = _Maker(m, config)
    return (*_process(make, m), *_records(make, m), *_trading(make, m), *_guards(make, m), *_books(make, m))


def _process(make: _Maker, m: Measured) -> list[Criterion]:
    run_ns = m.wall_ns if m.kind == "acceptance" else m.market_ns
    # Time in which a stream was silent is not run time: nothing could be decided on.
    hours = None if run_ns is None else max(0, run_ns - m.stale_ns) / HOUR_NS
    ended = m.finished in ENDED if m.finished else None
    found = [
        make.at_least("run_hours", "process", make.limit("min_run_hours"), hours),
        make.flag("exit_reason", "process", "orderly", m.finished or None, ended),
        make.at_most("host_awake", "process", Decimal(0), m.slept),
        make.at_most("errors", "process", make.limit("max_errors"), m.errors, m.error_rows),
        make.at_most(
            "abnormal_ends", "process", make.limit("max_abnormal_ends"), m.abnormal_ends, m.abnormal_rows
        ),
    ]
    if m.kind == "acceptance":
        clocks = make.at_most("clock_agreement", "process", CLOCK_TOLERANCE_PCT, _disagreement_pct(m))
        found[1:1] = [clocks, *_segments(make, m)]
    return found


def _segments(make: _Maker, m: Measured) -> list[Criterion]:
    """Stops by plan; a run whose configuration is older than these criteria was not promised them."""
    most, least = make.limit("max_planned_stops"), make.limit("min_longest_segment_hours")
    longest = None if m.longest_segment_ns is None else m.longest_segment_ns / HOUR_NS
    found = []
    if most is not None:
        found.append(make.at_most("planned_stops", "process", most, m.planned_stops))
    if least is not None:
        found.append(make.at_least("longest_segment", "process", least, longest))
    return found


def _disagreement_pct(m: Measured) -> float | None:
    """How far wall-clock and market time of the segments differ, or how much of it the tape lacks."""
    if not m.wall_ns or m.segment_market_ns is None:
        return None
    apart = abs(m.wall_ns - m.segment_market_ns)
    untaped = max(0, m.wall_ns - m.market_ns)
    return max(apart, untaped) * 100 / m.wall_ns


def _records(make: _Maker, m: Measured) -> list[Criterion]:
    damage = [Evidence(file="journal", seq=0, text=line) for line in m.problems]
    required = make.config.value("acceptance.require_replay_identical")
    replay = m.replay or Replay(None, 0, "")
    told = [Evidence(file="journal", seq=0, text=replay.message)] if replay.message and not replay.ok else []
    ok = True if required is False else replay.ok
    identical = make.flag("replay_identical", "records", required, replay.ok, ok, told)
    if replay.ok is None:
        identical = msgspec.structs.replace(identical, unmet=Verdict.INCONCLUSIVE)
    return [
        make.at_most("records_intact", "records", Decimal(0), len(m.problems), damage),
        identical,
        make.at_least("checkpoints", "records", Decimal(m.checkpoints_due), m.checkpoints_taken),
    ]


def _trading(make: _Maker, m: Measured) -> list[Criterion]:
    tally = m.audit.tally
    lost_pct = None
    if m.lowest_equity is not None and m.start_equity > 0:
        lost_pct = max(0.0, (m.start_equity - m.lowest_equity) * 100 / m.start_equity)
    return [
        make.at_least("entries", "trading", make.limit("min_entries"), len(tally.entries)),
        make.at_least("budget_caps", "trading", make.limit("min_budget_caps"), tally.caps),
        make.below("budget_block_pct", "trading", make.limit("max_budget_block_pct"), m.block_pct),
        make.below("equity_collapse", "trading", make.limit("equity_collapse_pct"), lost_pct),
    ]


def _guards(make: _Maker, m: Measured) -> list[Criterion]:
    tally = m.audit.tally
    most, symbol, _ = tally.worst_hour
    streak = (
        [Evidence(file="journal", seq=tally.streak_seq, text=tally.streak_symbol)] if tally.streak else []
    )
    hour = [Evidence(file="journal", seq=0, text=symbol)] if most else []
    idle = None if m.idle_guards is None else len(m.idle_guards)
    names = [Evidence(file="journal", seq=0, text=name) for name in m.idle_guards or ()]
    hourly = make.limit("max_refusals_per_hour_per_symbol")
    return [
        make.at_most("refusal_streak", "guards", make.limit("max_refusal_streak"), tally.streak, streak),
        make.at_most("refusals_per_hour", "guards", hourly, most, hour),
        make.at_most("starvation", "guards", make.limit("max_starvation"), len(m.starvation), m.starvation),
        make.at_most("guards_evaluated", "guards", Decimal(0), idle, names),
    ]


def _books(make: _Maker, m: Measured) -> list[Criterion]:
    found = [make.ledger(m), make.at_most("invariants", "books", Decimal(0), len(m.violations), m.violations)]
    for name in ("fees", "orders", "outcomes", "budget_limits", "prices", "counters"):
        rows = [Evidence(file="journal", seq=seq, text=why) for seq, why in m.audit.findings.get(name, [])]
        count: int | None = m.audit.counts.get(name, 0)
        if (name == "prices" and not m.tape_records) or not m.audit.states:
            count = count or None
        found.append(make.at_most(name, "books", Decimal(0), count, rows))
    return found


class _Maker:
    """Makes criteria; knows the thresholds and what an unmet one leads to."""

    def __init__(self, measured: Measured, config: Config) -> None:
        self.config = config
        self._m = measured

    def limit(self, key: str) -> Decimal | None:
        """A threshold of the configuration."""
        return self.config.number(f"acceptance.{key}")

    def at_least(self, name: str, group: str, threshold: Decimal | None, observed: float | None) -> Criterion:
        """Met when observed ≥ threshold."""
        margin = _margin(observed, threshold)
        return self._make(
            name, group, "≥", threshold, observed, margin, None if margin is None else margin >= 0, ()
        )

    def at_most(
        self, name: str, group: str, threshold: Decimal | None, observed: float | None,
        evidence: Sequence[Evidence] = (),
    ) -> Criterion:  # fmt: skip
        """Met when observed ≤ threshold."""
        margin = _margin(threshold, observed)
        ok = None if margin is None else margin >= 0
        return self._make(name, group, "≤", threshold, observed, margin, ok, evidence)

    def below(self, name: str, group: str, threshold: Decimal | None, observed: float | None) -> Criterion:
        """Met when observed < threshold."""
        margin = _margin(threshold, observed)
        return self._make(
            name, group, "<", threshold, observed, margin, None if margin is None else margin > 0, ()
        )

    def flag(
        self, name: str, group: str, threshold: Value, observed: Value, ok: bool | None,
        evidence: Sequence[Evidence] = (),
    ) -> Criterion:  # fmt: skip
        """Met when `ok`."""
        return self._make(name, group, "=", threshold, observed, None, ok, evidence)

    def ledger(self, m: Measured) -> Criterion:
        """The largest difference of any checkpoint from the books; None without a comparable checkpoint."""
        found = [c.difference for c in m.audit.checkpoints]
        known = [difference for difference in found if difference is not None]
        observed = max(known) / 1e8 if known and (len(known) == len(found) or max(known)) else None
        rows = [
            Evidence(file="journal", seq=seq, text=why) for seq, why in m.audit.findings.get("ledger", [])
        ]
        return self.at_most("ledger_difference", "books", self.limit("max_ledger_difference"), observed, rows)

    def _make(
        self, name: str, group: str, relation: str, threshold: Decimal | Value, observed: Value,
        margin: float | None, ok: bool | None, evidence: Sequence[Evidence],
    ) -> Criterion:  # fmt: skip
        excused = name in self._m.circumstances
        return Criterion(
            id=name,
            group=group,
            relation=relation,
            threshold=_plain(threshold),
            observed=_plain(observed),
            margin=margin,
            ok=ok,
            unmet=Verdict.INCONCLUSIVE if excused else Verdict.FAIL,
            text=text(f"criterion.{name}"),
            evidence=() if ok is True else tuple(evidence[:MOST_EVIDENCE]),
        )


def _margin(larger: Decimal | float | None, smaller: Decimal | float | None) -> float | None:
    if larger is None or smaller is None:
        return None
    return float(larger) - float(smaller)


def _plain(value: Decimal | Value) -> Value:
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return value
