"""From rows to messages: which rows a person is told about, and in which words.

Rule: a function of one row, without memory, so that a notifier that starts again says the same; times stand
in UTC and KST. A refusal is never a message: it is the engine's daily work.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from flowguardian.cli.language import Say
from flowguardian.cli.run_rows import RESUMABLE
from flowguardian.execution import events as ev
from flowguardian.execution.money import decimal
from flowguardian.execution.timers import NAMED
from flowguardian.journal.ops_events import (
    HostSlept,
    Incident,
    OpsRow,
    ProcessExited,
    RunFinished,
    SegmentOpened,
    Severity,
)
from flowguardian.notify.outbox import SECOND_NS, Kind, Message
from flowguardian.notify.plan import Plan, Redactor
from flowguardian.notify.report import Report
from flowguardian.notify.texts import Tell
from flowguardian.ops.announcing import health
from flowguardian.ops.incidents import grouped
from flowguardian.ops.progress import duration, market_time
from flowguardian.ops.recovery import UNKNOWN_EXIT

NOTIFIER = "notify"
"""Name of this process in logs and incidents: what it says of itself is never sent, or it would not end."""
TOLD_CHECKPOINTS = frozenset({*NAMED.values(), "END"})
"""Those in between are evidence for the judge, not news."""
SAMPLE_CHARACTERS = 200
_ORDER = tuple(Severity)


class Teller:
    """Words for the rows of one run."""

    def __init__(self, run_id: str, plan: Plan, redact: Redactor) -> None:
        self._run, self._plan, self._redact = run_id, plan, redact
        self._tell, self._say = Tell(plan.language), Say(plan.language)

    # ---- the journal

    def of_row(self, seq: int, row: ev.Row) -> Message | None:
        """The message about a row of the journal, None when nobody need hear of it."""
        make = partial(self._message, f"journal:{seq}", row.ts_ns)
        match row:
            case ev.RunStarted():
                return self._started(row, make)
            case ev.CheckpointTaken() if self._plan.checkpoints and row.name in TOLD_CHECKPOINTS:
                return self._checkpoint(row, make)
            case ev.GuardStarvation():
                body = self._tell(
                    "starvation", signals=row.signals, since=market_time(row.since_ns),
                    guard=self._say.reason(row.guard), refusals=row.refusals,
                    release=self._say.release(row.release),
                )  # fmt: skip
                return make(Kind.STARVATION, "starvation", body, guard=row.guard, urgent=True)
            case ev.TradingStateChanged():
                body = self._tell("trading", reason=row.reason)
                return make(Kind.TRADING, "trading", body, state=row.state, group=f"trading:{row.state}")
            case ev.InvariantViolated():
                body = self._tell("invariant", invariant=row.invariant, message=row.message)
                severity, group = Severity.CRITICAL, f"invariant:{row.invariant}"
                return make(
                    Kind.INCIDENT, "incident", body, severity=severity, source="engine", group=group,
                    urgent=True,
                )  # fmt: skip
        return None

    def _started(self, row: ev.RunStarted, make: Callable[..., Message]) -> Message:
        body = self._tell(
            "start", kind=row.kind, mode=row.mode, feed=row.feed, symbols=", ".join(row.symbols),
            equity=_money(row.start_equity), planned=duration(row.planned_ns / SECOND_NS),
        )  # fmt: skip
        return make(Kind.START, "start", body)

    def _checkpoint(self, row: ev.CheckpointTaken, make: Callable[..., Message]) -> Message:
        body = self._tell(
            "checkpoint", run_time=duration(row.run_ns / SECOND_NS), equity=_money(row.equity),
            drawdown=f"{drawdown_pct(row):.2f}", entries=row.entries, caps=row.budget_caps,
            blocks=row.budget_blocks, used=_money(sum(line.used for line in row.budget)),
            allocated=_money(sum(line.allocated for line in row.budget)), open=row.open_positions,
        )  # fmt: skip
        return make(Kind.CHECKPOINT, "checkpoint", body, name=row.name, health=health(row))

    # ---- the ops journal

    def of_ops(self, seq: int, row: OpsRow) -> Message | None:
        """The message about a row of the ops journal."""
        make = partial(self._message, f"ops:{seq}", row.ts_ns)
        match row:
            case Incident():
                return self._incident(row, make)
            case ProcessExited(abnormal=True) if row.name != NOTIFIER:
                announced = self._tell("announced") if row.announced else ""
                body = self._tell("ended", pid=row.pid, code=row.code, reason=row.reason, announced=announced)
                # Children that went with their supervisor are told of once, with their number.
                group = f"ended:{row.reason}" if row.code == UNKNOWN_EXIT else ""
                return make(
                    Kind.INCIDENT, "ended", body, name=row.name, urgent=not row.announced, group=group
                )
            case SegmentOpened() if row.segment > 1 and row.reason != "slept":
                body = self._tell("restart", segment=row.segment, reason=row.reason, pid=row.pid)
                return make(Kind.RESTART, "restart", body)
            case HostSlept():
                return make(Kind.SLEEP, "sleep", self._tell("sleep", seconds=round(row.gap_seconds)))
            case RunFinished():
                after = "end_failed"
                if row.reason == "completed":
                    after = "end_completed"
                elif row.reason in RESUMABLE:
                    after = "end_resumable"
                return make(Kind.END, "end", self._tell(after), reason=row.reason)
        return None

    def _incident(self, row: Incident, make: Callable[..., Message]) -> Message | None:
        least = _ORDER.index(Severity(self._plan.incidents))
        if row.source == NOTIFIER or _ORDER.index(row.severity) < least:
            return None
        body = self._tell("incident", what=row.what, sample=row.sample[:SAMPLE_CHARACTERS])
        return make(
            Kind.INCIDENT, "incident", body, severity=row.severity, source=row.source,
            group=f"{row.severity}:{row.source}:{grouped(row.what)}",
            urgent=row.severity is not Severity.WARNING,
        )  # fmt: skip

    # ---- what no row says

    def gone(self, pid: int, start_time: float, last_ns: int, now_ns: int) -> Message:
        """The supervisor ended and said nothing."""
        body = self._tell("gone", pid=pid, last=market_time(last_ns))
        return self._message(f"gone:{pid}:{start_time}", now_ns, Kind.GONE, "gone", body, urgent=True)

    def silent(self, pid: int, seconds: float, last_ns: int, now_ns: int) -> Message:
        """The supervisor lives and says nothing."""
        body = self._tell("silent", pid=pid, seconds=round(seconds), last=market_time(last_ns))
        return self._message(f"silent:{pid}:{last_ns}", now_ns, Kind.GONE, "silent", body, urgent=True)

    def verdict(self, report: Report, now_ns: int) -> Message:
        """The verdict with five figures and its first reason."""
        counts = report.counts
        why = report.causes[0].why if report.causes else report.why
        pct, hours, errors = counts.block_pct, report.wall_clock_hours, counts.errors
        body = self._tell(
            "verdict", hours="-" if hours is None else f"{hours:.2f}", entries=counts.entries,
            caps=counts.budget_caps, block_pct="-" if pct is None else f"{pct:.1f}",
            errors="-" if errors is None else errors, why=getattr(why, self._plan.language),
        )  # fmt: skip
        kind = self._tell("rehearsal") if report.kind == "rehearsal" else ""
        return self._message(
            f"verdict:{report.journal_hash}:{report.verdict}", now_ns, Kind.VERDICT, "verdict", body,
            verdict=report.verdict, kind_text=kind, urgent=True,
        )  # fmt: skip

    def _message(
        self, key: str, ts_ns: int, kind: Kind, title: str, body: str, *, urgent: bool = False,
        group: str = "", **values: object,
    ) -> Message:  # fmt: skip
        values["kind"] = values.pop("kind_text", "")
        head = self._tell(f"{title}_title", run=self._run, **values)
        text = f"{body}\n{market_time(ts_ns)}"
        return Message(key, kind, ts_ns, self._redact(head), self._redact(text), urgent, group)


def drawdown_pct(row: ev.CheckpointTaken) -> float:
    """How far equity is below its peak."""
    return 100 * (row.peak_equity - row.equity) / row.peak_equity if row.peak_equity > row.equity else 0.0


def _money(amount: int) -> str:
    return f"{decimal(amount):,.2f}"
