"""`status`: how a run stands, from its rows, its ops journal and the registry of processes.

Rule: before the end there is no verdict and no word of one; a process is alive only if the registry knows it
and its PID and start time agree.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from flowguardian.cli.answers import (
    BudgetNow,
    LastTrade,
    OpenPosition,
    Status,
    moment,
    moment_or_none,
    side_name,
    usdt,
)
from flowguardian.cli.books import Books, Held
from flowguardian.cli.funnel import refusal
from flowguardian.cli.holds import SECOND_NS, why_now
from flowguardian.cli.language import Say
from flowguardian.cli.run_rows import RunRows
from flowguardian.execution import events as ev
from flowguardian.execution.timers import MINUTE_NS, NAMED
from flowguardian.ops.registry import Registered, Registry
from flowguardian.ops.segments import run_time_ns, segment_spans

RUNNING, NO_VERDICT = "no verdict, running", "no verdict"
NOT_JUDGED = "not judged yet"
REPORT = "report.json"
WORKING = ("supervisor", "engine")


def status(run: RunRows, say: Say, registry: Registry | None = None) -> Status:
    """The whole answer."""
    start, books = run.start, Books.of(run.start, run.config)
    for seq, row in run.rows.items():
        books.apply(seq, row)
    living = [entry for entry in (registry or Registry()).living() if entry.run_id == start.run_id]
    refused = [(seq, row) for seq, row in run.of(ev.EntryRefused)]
    segments = sum(1 for _ in run.of(ev.SegmentStarted))
    return Status(
        run_id=start.run_id,
        kind=start.kind,
        mode=start.mode,
        feed=start.feed,
        state=state_of(run, living),
        verdict=verdict_of(run, living),
        run_seconds=run_seconds(run),
        wall_clock_seconds=wall_clock_seconds(run),
        planned_seconds=start.planned_ns / SECOND_NS,
        market_time=moment_or_none(run.market_ns),
        equity_usdt=usdt(books.equity),
        equity_at=moment_or_none(books.equity_ns),
        balance_usdt=usdt(books.balance),
        budget=tuple(_budget(books, name) for name in run.config["strategies"]),
        open_positions=tuple(_position(held) for held in books.positions.values()),
        trading_state=books.trading,
        trading_state_reason=books.trading_reason,
        entries=entries_of(run),
        budget_caps=sum(1 for _ in run.of(ev.BudgetCapped)),
        budget_blocks=sum(row.code is ev.Reason.PORTFOLIO_BUDGET for _, row in refused),
        last_trade=_last_trade(run, books),
        last_refusal=refusal(*refused[-1], len(refused), run.market_ns) if refused else None,
        now=why_now(run, books, say),
        next_checkpoint=_next_checkpoint(run),
        segment=segments,
        restarts=max(0, segments - 1),
        processes=tuple(f"{entry.role} (PID {entry.pid})" for entry in living),
        alive=works(living),
    )


def run_seconds(run: RunRows) -> float:
    """Run time by the run clock."""
    return max(0, run.market_ns - run.live_ns) / SECOND_NS if run.live_ns else 0.0


def entries_of(run: RunRows) -> int:
    """Entry orders with at least one fill, as the report counts them."""
    requested = {row.order_id for _, row in run.of(ev.OrderRequested) if row.purpose is ev.Purpose.ENTRY}
    return len({row.order_id for _, row in run.of(ev.OrderFilled)} & requested)


def works(living: Sequence[Registered]) -> bool:
    """Whether somebody works on a run; a dashboard or a notifier only looks on, and may outlive it."""
    return any(entry.role in WORKING for entry in living)


def state_of(run: RunRows, living: list[Registered]) -> str:
    """starting, running, stopped, dead or ended."""
    if run.ended:
        return "ended"
    if works(living):
        return "running" if run.live_ns else "starting"
    return "stopped" if run.end_reason else "dead"


def verdict_of(run: RunRows, living: list[Registered]) -> str:
    """The verdict of the report, once the run has ended; a report of anything else is no verdict on it."""
    if not run.ended:
        return RUNNING if works(living) else NO_VERDICT
    try:
        report = json.loads((run.run_dir / REPORT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return NOT_JUDGED
    return str(report.get("verdict", NOT_JUDGED)) if isinstance(report, dict) else NOT_JUDGED


def wall_clock_seconds(run: RunRows) -> float | None:
    """Monotonic time of all segments together; only a supervisor knows it."""
    spans = segment_spans(run.ops)
    return run_time_ns(spans) / SECOND_NS if spans else None


def _budget(books: Books, strategy: str) -> BudgetNow:
    allocated, used = books.allocated(strategy), books.used(strategy)
    reserved = books.reserved(strategy)
    return BudgetNow(strategy, usdt(allocated), usdt(used), usdt(reserved), usdt(max(0, allocated - used)))


def _position(held: Held) -> OpenPosition:
    return OpenPosition(
        symbol=held.symbol,
        strategy=held.strategy,
        side=side_name(held.side),
        qty=usdt(held.qty),
        price=usdt(held.cost // held.qty),
        value_usdt=usdt(held.value),
        opened=moment(held.opened_ns),
        expires=moment_or_none(held.expiry_ns),
    )


def _last_trade(run: RunRows, books: Books) -> LastTrade | None:
    found = run.last(ev.OrderFilled)
    if found is None:
        return None
    seq, row = found
    request = books.requests.get(row.order_id)
    return LastTrade(
        seq=seq,
        at=moment(row.ts_ns),
        symbol=row.symbol,
        side="BUY" if row.side > 0 else "SELL",
        purpose=request[1].purpose.value if request else "unknown",
        qty=usdt(row.qty),
        price=usdt(row.price),
        fee_usdt=usdt(row.fee),
    )


def _next_checkpoint(run: RunRows) -> str:
    """The next named checkpoint of the plan, with the run time at which it is due."""
    if run.ended:
        return ""
    last = run.last(ev.CheckpointTaken)
    done_ns = last[1].run_ns if last else 0
    due = [(minutes * MINUTE_NS, name) for minutes, name in NAMED.items()]
    due.append((run.start.planned_ns, "END"))
    ahead = [(at, name) for at, name in due if done_ns < at <= run.start.planned_ns]
    return min(ahead)[1] if ahead else ""
