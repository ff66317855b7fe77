"""The judge: reads a run directory, measures, compares with the criteria of the run, and says the verdict.

Rule: a separate program. It shares no arithmetic with the engine, reads rows and tape only, and never raises
for a run that is torn or empty: what cannot be measured is not met.
"""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from pathlib import Path

from flowguardian.acceptance import judgement as jm
from flowguardian.acceptance import metrics
from flowguardian.acceptance.audit import audit
from flowguardian.acceptance.catalog import joined, plain, text
from flowguardian.acceptance.causes import causes_of
from flowguardian.acceptance.criteria import Measured, Replay, all_criteria, verdict
from flowguardian.acceptance.evidence import TAPE, Config, Evidence, read_evidence
from flowguardian.acceptance.feed_quality import quality_of, silences_of
from flowguardian.acceptance.findings import Audit
from flowguardian.acceptance.host import (
    HOUR_NS,
    Span,
    builds_of,
    incidents_of,
    preflight_of,
    processes_of,
    resources_of,
    segments_of,
    spans_of,
)
from flowguardian.acceptance.prices import Prices, read_prices
from flowguardian.acceptance.summary import summary_json
from flowguardian.acceptance.tallies import Gap, Step, funnel, longest_gap
from flowguardian.execution import events as ev
from flowguardian.journal import ops_events as ops

__all__ = ["Judgement", "Replay", "judge", "summary_json"]

Judgement = jm.Judgement

NAMED_MINUTES = {"M5": 5, "M10": 10, "M30": 30, "M60": 60, "H3": 180, "H6": 360, "H9": 540, "H12": 720}
MINUTE_NS = 60_000_000_000
UNFINISHED = ("", "interrupted", "stopped")
PLANNED = ("interrupted", "stopped")
"""Ends of a segment that somebody asked for."""
"""Ends of a run that leave it to be resumed."""
BAD = (ops.Severity.ERROR, ops.Severity.CRITICAL)


def judge(run_dir: Path, replay: Replay | None = None) -> jm.Judgement:
    """Judge a run; `replay` is what deciding it again gave, which this program cannot do itself."""
    evidence = read_evidence(run_dir)
    started = evidence.started
    prices, damage = read_prices(run_dir / TAPE, started.symbols if started else ())
    evidence.problems += damage
    return _Judging(evidence, prices, replay).judgement()


class _Judging:
    def __init__(self, evidence: Evidence, prices: Prices, replay: Replay | None) -> None:
        self.evidence, self.prices, self.replay = evidence, prices, replay
        self.audit: Audit = audit(evidence, prices)
        self.spans: list[Span] = spans_of(evidence)
        self.live_ns = evidence.live_ns or 0
        last_row_ns = evidence.rows[-1].row.ts_ns if evidence.rows else 0
        self.end_ns = max(prices.last_ns, last_row_ns) if self.live_ns else last_row_ns
        self.market_ns = prices.covered_ns(self.live_ns) if self.live_ns else 0
        finished = [row.reason for _, row in evidence.ops_of(ops.RunFinished)]
        self.finished = finished[-1] if finished else ""
        self.has_ops = bool(evidence.ops_rows)
        self.kind = _kind(evidence)
        self.atr = prices.mean_atr_pct(self.live_ns) if self.live_ns else {}
        to_ns = self.end_ns if self.live_ns else self.live_ns
        self.books = metrics.books_on_grid(self.audit, prices, self.live_ns, to_ns)
        self.gap: Gap = longest_gap(self.audit.tally, self.live_ns, to_ns)
        self.feed_quality = quality_of(evidence)
        last = self.audit.checkpoints[-1].row.guards if self.audit.checkpoints else ()
        self.funnel: list[Step] = funnel(self.audit.tally, last)

    # ---- what the criteria look at

    @property
    def wall_ns(self) -> int | None:
        """Run time by monotonic clock; None without a single segment."""
        return sum(span.run_ns for span in self.spans) if self.spans else None

    @property
    def mean_atr_pct(self) -> float | None:
        return sum(self.atr.values()) / len(self.atr) if self.atr else None

    @property
    def quiet(self) -> bool:
        """Whether the tape alone says that hardly anything moved."""
        limit, mean = self._quiet_limit(), self.mean_atr_pct
        return limit is not None and mean is not None and mean < limit

    def _short(self) -> bool:
        """The run was stopped before its end, or its end was planned before the criterion."""
        least = self.evidence.config.number("acceptance.min_run_hours")
        planned = self.evidence.started.planned_ns if self.evidence.started else 0
        return self.finished in UNFINISHED or (
            least is not None and 0 < planned < int(least * Decimal(HOUR_NS))
        )

    def measured(self) -> Measured:
        evidence, audit_ = self.evidence, self.audit
        wrong = [(seq, row) for seq, row in evidence.ops_of(ops.Incident) if row.severity in BAD]
        ends = [(s, r) for s, r in evidence.ops_of(ops.ProcessExited) if r.abnormal and not r.announced]
        due = [name for name, minutes in NAMED_MINUTES.items() if self._reached(minutes)]
        taken = {checked.row.name for checked in audit_.checkpoints}
        idle = [s.code for s in self.funnel if s.enabled and not s.evaluated] if audit_.checkpoints else None
        return Measured(
            kind=self.kind, audit=audit_, wall_ns=self.wall_ns,
            stale_ns=self.feed_quality.stale_ns if self.feed_quality else 0,
            planned_stops=self._planned_stops() if self.spans else None,
            longest_segment_ns=max(span.run_ns for span in self.spans) if self.spans else None,
            segment_market_ns=sum(span.market_ns for span in self.spans) if self.spans else None,
            market_ns=self.market_ns, tape_records=self.prices.records,
            problems=[*evidence.problems, *(f"{name}: is missing" for name in evidence.missing)],
            replay=self.replay, finished=self.finished,
            errors=len(wrong) if self.has_ops else None,
            error_rows=[_ops(seq, f"{r.severity} {r.source}: {r.what}") for seq, r in wrong],
            abnormal_ends=len(ends) if self.has_ops else None,
            abnormal_rows=[_ops(seq, f"{r.name} (exit code {r.code}): {r.reason}") for seq, r in ends],
            slept=sum(1 for _ in evidence.ops_of(ops.HostSlept)) if self.has_ops else None,
            starvation=[_row(seq, _starved(r)) for seq, r in evidence.of(ev.GuardStarvation)],
            violations=[_row(s, f"{r.invariant}: {r.message}") for s, r in evidence.of(ev.InvariantViolated)],
            idle_guards=idle, checkpoints_due=len(due), checkpoints_taken=len(taken.intersection(due)),
            block_pct=self._pct(audit_.tally.budget_blocks),
            lowest_equity=min(self.books.equity) if self.live_ns else None,
            start_equity=audit_.ledger.start, short=self._short(), quiet=self.quiet,
        )  # fmt: skip

    def _planned_stops(self) -> int:
        return sum(span.end_reason in PLANNED for span in self.spans)

    def _reached(self, minutes: int) -> bool:
        return bool(self.live_ns) and self.live_ns + minutes * MINUTE_NS <= self.end_ns

    def _pct(self, blocks: int) -> float | None:
        attempts = len(self.audit.tally.entries) + blocks
        return blocks * 100 / attempts if attempts else None

    # ---- the judgement

    def judgement(self) -> jm.Judgement:
        m = self.measured()
        criteria = all_criteria(m, self.evidence.config)
        outcome = verdict(criteria)
        faults = tuple(f"{row.fault} → {row.target}" for _, row in self.evidence.ops_of(ops.FaultAnnounced))
        started, config = self.evidence.started, self.evidence.config
        resources, resource_curve = resources_of(self.evidence, self.spans)
        audit_, books, evidence_ = self.audit, self.books, self.evidence
        hosts = [entry.row.ts_ns for entry in self.evidence.ops_rows]
        return jm.Judgement(
            schema=jm.SCHEMA, verdict=outcome, kind=self.kind,
            why=_why(outcome, self.kind, criteria, bool(faults)),
            with_faults=bool(faults), finished=self.finished,
            run_id=started.run_id if started else self.evidence.run_dir.name,
            mode=started.mode if started else "", feed=started.feed if started else "",
            market_source=_source(config),
            version=started.version if started else "", seed=started.seed if started else None,
            symbols=started.symbols if started else (),
            config_hash=started.config_hash if started else "",
            trading_hash=started.trading_hash if started else "",
            code_hash=started.code_hash if started else "", journal_hash=self.evidence.journal_hash,
            live_ns=self.live_ns, end_ns=self.end_ns,
            host_start_ns=hosts[0] if hosts else 0, host_end_ns=hosts[-1] if hosts else 0,
            planned_hours=started.planned_ns / HOUR_NS if started and started.planned_ns else None,
            wall_clock_hours=None if self.wall_ns is None else self.wall_ns / HOUR_NS,
            market_hours=self.market_ns / HOUR_NS, quiet=self.quiet, mean_atr_pct=self.mean_atr_pct,
            counts=self._counts(m), criteria=criteria, causes=causes_of(criteria, m, self.gap),
            funnel=tuple(jm.FunnelStep(**step._asdict()) for step in self.funnel),
            gap=_gap(self.gap), money=metrics.money_of(audit_, books),
            checkpoints=metrics.checkpoints_of(audit_),
            hours=metrics.hours_of(audit_, self.evidence, books, self.live_ns) if self.live_ns else (),
            shadowed=metrics.shadowed_of(self.evidence), trades=metrics.trades_of(audit_, self.prices),
            streams=metrics.streams_of(self.prices, self.live_ns, self.atr) if self.live_ns else (),
            feed_quality=self.feed_quality, silences=silences_of(evidence_),
            segments=segments_of(self.spans), processes=processes_of(self.evidence),
            builds=builds_of(self.evidence),
            incidents=incidents_of(self.evidence), faults=faults, preflight=preflight_of(self.evidence),
            resources=resources, resource_curve=resource_curve,
            curve=metrics.curve_of(books, self._allocation()) if self.live_ns else jm.Curve(),
            moments=self._moments(), exposure_limits=self._exposure_limits(),
            ideal_block_pct=self._ideal(), quiet_atr_pct=self._quiet_limit(),
            problems=tuple(self.evidence.problems), missing=tuple(self.evidence.missing),
        )  # fmt: skip

    def _counts(self, m: Measured) -> jm.Counts:
        tally, evidence = self.audit.tally, self.evidence
        severities = Counter(row.severity for _, row in evidence.ops_of(ops.Incident))
        exits = [row for _, row in evidence.ops_of(ops.ProcessExited)]
        lifetimes = sum(1 for _ in evidence.of(ev.SegmentStarted)) or len(self.spans)
        return jm.Counts(
            entries=len(tally.entries), entries_requested=tally.requested, entries_unfilled=tally.unfilled,
            budget_caps=tally.caps, portfolio_budget_blocks=tally.budget_blocks, block_pct=m.block_pct,
            portfolio_check_blocks=tally.check_blocks,
            portfolio_check_block_pct=self._pct(tally.check_blocks),
            signals=tally.signals, refusals=sum(tally.refused.values()), flips=tally.flips,
            closed=tally.closed,
            errors=m.errors, warnings=severities[ops.Severity.WARNING] if self.has_ops else None,
            abnormal_ends=m.abnormal_ends,
            announced_ends=sum(r.abnormal and r.announced for r in exits) if self.has_ops else None,
            restarts=max(0, lifetimes - 1), segments=max(lifetimes, len(self.spans)),
            planned_stops=self._planned_stops(),
            starvation=len(m.starvation), invariant_violations=len(m.violations),
            feed_gaps=sum(1 for _ in evidence.of(ev.FeedGap)), checkpoints=len(self.audit.checkpoints),
            longest_refusal_streak=tally.streak, max_refusals_per_hour_per_symbol=tally.worst_hour[0],
            journal_rows=len(evidence.rows), tape_records=self.prices.records,
        )  # fmt: skip

    def _allocation(self) -> float:
        """The share of the account that all strategies together may use."""
        config, total = self.evidence.config, Decimal(0)
        for name, block in (config.value("strategies") or {}).items():
            if isinstance(block, dict) and block.get("enabled", True):
                own = config.number("portfolio.budget.strategy_allocation", name)
                total += own or config.number("portfolio.budget.default_allocation") or Decimal(0)
        return float(total)

    def _exposure_limits(self) -> tuple[jm.Share, ...]:
        """Limits of the account as shares of its equity: the tighter total, and per symbol."""
        number = self.evidence.config.number
        totals = [number("risk.max_exposure_pct"), number("portfolio.max_total_exposure")]
        known = [total for total in totals if total is not None]
        symbol = number("risk.max_exposure_per_symbol")
        found = [jm.Share(name="total_limit", ratio=float(min(known)))] if known else []
        return tuple(
            found + ([jm.Share(name="symbol_limit", ratio=float(symbol))] if symbol is not None else [])
        )

    def _ideal(self) -> tuple[float, float]:
        pair = self.evidence.config.value("acceptance.ideal_budget_block_pct")
        return (float(pair[0]), float(pair[1])) if isinstance(pair, list) and len(pair) == 2 else (10.0, 20.0)

    def _quiet_limit(self) -> float | None:
        limit = self.evidence.config.number("acceptance.quiet_atr_pct")
        return None if limit is None else float(limit)

    def _moments(self) -> jm.Moments:
        tally = self.audit.tally
        return jm.Moments(
            entries=tuple(entry.ts_ns for entry in tally.entries),
            caps=tuple(row.ts_ns for _, row in self.evidence.of(ev.BudgetCapped)),
            blocks=tuple(row.ts_ns for _, row in tally.refusals if row.code is ev.Reason.PORTFOLIO_BUDGET),
            segments=tuple(row.ts_ns for _, row in self.evidence.of(ev.SegmentStarted))[1:],
        )


def _source(config: Config) -> str:
    """Where the market came from, in the words of the configuration."""
    venue = str(config.value("market.venue") or "direct")
    return venue if venue.startswith("binance") else f"{venue}, {config.value('market.source')}"


def _kind(evidence: Evidence) -> str:
    """acceptance when the run says so and was set to real time; anything else is a rehearsal."""
    started, config = evidence.started, evidence.config
    real = config.number("market.speed") == 1 and config.value("paper.duration_mode") == "wall_clock"
    return "acceptance" if started is not None and started.kind == "acceptance" and real else "rehearsal"


def _why(outcome: jm.Verdict, kind: str, criteria: tuple[jm.Criterion, ...], faults: bool) -> jm.Text:
    if outcome is jm.Verdict.PASS:
        told = text(f"why.pass_{kind}", count=len(criteria))
        return joined([told, text("why.with_faults")]) if faults else told
    worst = [c for c in criteria if c.ok is not True and c.unmet is outcome]
    labels = [jm.Text(ko=f"{c.text.ko} ({c.id})", en=f"{c.text.en} ({c.id})") for c in worst]
    return text(f"why.{outcome.value.lower()}", names=joined(labels, ", ") if labels else plain("-"))


def _starved(row: ev.GuardStarvation) -> str:
    return f"{row.guard.value}: {row.signals} signals, {row.refusals} refusals, released by {row.release}"


def _row(seq: int, words: str) -> jm.Evidence:
    return jm.Evidence(file="journal", seq=seq, text=words)


def _ops(seq: int, words: str) -> jm.Evidence:
    return jm.Evidence(file="ops", seq=seq, text=words)


def _gap(gap: Gap) -> jm.NoEntryGap:
    refused = tuple(jm.CodeCount(code=code, count=count) for code, count in gap.refused)
    return jm.NoEntryGap(
        from_ns=gap.from_ns, to_ns=gap.to_ns, signals=gap.signals, refused=refused, release=gap.release
    )
