"""The gate of live trading: a PASS of real time on the exchange, recent, of this program and these rules.

Rule: a recorded run is judged again from its rows and its tape; a report that somebody wrote opens nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from flowguardian import __version__
from flowguardian.acceptance.judgement import Verdict
from flowguardian.execution.events import RunStarted
from flowguardian.journal.chain import ChainError
from flowguardian.journal.journal import JOURNAL, read_rows
from flowguardian.journal.ops_events import BuildIdentified, RunFinished
from flowguardian.ops.assembly import code_hash
from flowguardian.ops.build import commit
from flowguardian.ops.checked import OK, RED, Checked, checked
from flowguardian.ops.conduct import judged
from flowguardian.ops.ops_journal import FILE_NAME, read_ops

FEEDS = {"binance": ("exchange",), "binance-testnet": ("exchange", "testnet")}
"""Whose market counts for which venue."""
DAY_NS = 86_400 * 1_000_000_000
_MOST_REASONS = 5


class Wanted(NamedTuple):
    """What the PASS must be of."""

    venue: str
    trading_hash: str
    max_age_days: int


def acceptance_line(places: Iterable[Path], wanted: Wanted, now_ns: int) -> Checked:
    """Ok with the newest run that opens the gate, or red with what each acceptance run lacks."""
    reasons = []
    for run_dir in reversed(list(places)):
        try:
            lacking, ended_ns = _lacking(run_dir, wanted, now_ns)
        except (ChainError, OSError, ValueError) as error:
            lacking, ended_ns = f"unreadable ({error})", 0
        if not lacking:
            ended = datetime.fromtimestamp(ended_ns / 1e9, tz=UTC)
            return checked(OK, "accepted", run=run_dir.name, ended=f"{ended:%Y-%m-%d %H:%M} UTC")
        reasons.append(f"{run_dir.name}: {lacking}")
    listed = "; ".join(reasons[:_MOST_REASONS]) + ("; …" if len(reasons) > _MOST_REASONS else "")
    if not reasons:
        return checked(RED, "accepted_none", venue=wanted.venue)
    return checked(RED, "accepted_not", reasons=listed, venue=wanted.venue)


def _lacking(run_dir: Path, wanted: Wanted, now_ns: int) -> tuple[str, int]:
    """What keeps a run from opening the gate, "" when nothing does; and when it ended."""
    started = next((row for _, row in read_rows(run_dir / JOURNAL, check=False)), None)
    if not isinstance(started, RunStarted):
        return "no journal", 0
    if why := _wrong_kind(started, wanted):
        return why, 0
    rows = read_ops(run_dir / FILE_NAME)
    # The first end: a run that is over can be started again, and is only judged again.
    ended_ns = next((r.ts_ns for r in rows if isinstance(r, RunFinished) and r.reason == "completed"), 0)
    if not ended_ns:
        return "not over", 0
    if (age_ns := now_ns - ended_ns) > wanted.max_age_days * DAY_NS or age_ns < 0:
        return f"ended {age_ns / DAY_NS:.1f} days ago, at most {wanted.max_age_days} count", ended_ns
    if why := _other_program({row.commit for row in rows if isinstance(row, BuildIdentified)}):
        return why, ended_ns
    judgement = judged(run_dir)
    if judgement.kind != "acceptance" or judgement.verdict is not Verdict.PASS:
        return f"judged again: {judgement.verdict} of kind {judgement.kind}", ended_ns
    return "", ended_ns


def _wrong_kind(started: RunStarted, wanted: Wanted) -> str:
    if started.kind != "acceptance":
        return f"of kind {started.kind}"
    if started.feed not in FEEDS[wanted.venue]:
        return f"its market came from {started.feed}"
    if started.trading_hash != wanted.trading_hash:
        return f"another trading configuration ({started.trading_hash[:12]}, not {wanted.trading_hash[:12]})"
    if started.version != __version__ or started.code_hash != code_hash():
        return f"made by another version ({started.version}, deciding code {started.code_hash[:12]})"
    return ""


def _other_program(commits: set[str]) -> str:
    """Where a repository is around both programs, they must be of one commit, without changes beside it."""
    ours = commit()
    for theirs in sorted(commits - {""}):
        if ours and (theirs.split()[0] != ours.split()[0] or "-dirty" in theirs + ours):
            return f"made by {theirs}, this program is {ours}"
    return ""
