"""Why a run did not pass, told from its rows, and what comes next.

Rule: a cause names the criterion, the figures and the rows; it proposes, it never excuses.
"""

from __future__ import annotations

from flowguardian.acceptance.catalog import joined, known, plain, text
from flowguardian.acceptance.criteria import Measured
from flowguardian.acceptance.formats import shown
from flowguardian.acceptance.judgement import Cause, Criterion, Text, Verdict
from flowguardian.acceptance.tallies import Gap

TOP = 3


def causes_of(criteria: tuple[Criterion, ...], m: Measured, gap: Gap) -> tuple[Cause, ...]:
    """One cause per criterion that was not met; what fails the run first."""
    unmet = [criterion for criterion in criteria if criterion.ok is not True]
    unmet.sort(key=lambda criterion: criterion.unmet is not Verdict.FAIL)
    return tuple(
        Cause(criterion=c.id, why=_why(c, m, gap), then=_then(c), evidence=c.evidence) for c in unmet
    )


def _why(c: Criterion, m: Measured, gap: Gap) -> Text:
    if c.ok is None:
        return text("cause.not_measured", name=c.text, code=c.id)
    required = shown(c.threshold) if c.relation == "=" else f"{c.relation} {shown(c.threshold)}"
    first = text("cause.figures", name=c.text, code=c.id, observed=shown(c.observed), threshold=required)
    details = _detail(c, m, gap)
    return joined([first, details]) if details.en else first


def _detail(c: Criterion, m: Measured, gap: Gap) -> Text:
    """What the rows add to the figures."""
    tally = m.audit.tally
    if c.id == "entries":
        most = ", ".join(f"{code.value} {count}" for code, count in tally.refused.most_common(TOP)) or "-"
        quiet = text("cause.quiet") if m.quiet else text("cause.not_quiet")
        return joined([
            text("cause.entries", signals=tally.signals, refusals=sum(tally.refused.values()), most=most),
            quiet,
        ])  # fmt: skip
    if c.id == "budget_block_pct":
        bound = ", ".join(f"{name} {count}" for name, count in tally.bound.most_common(TOP)) or "-"
        return text("cause.block", blocks=tally.budget_blocks, entries=len(tally.entries), bound=bound)
    if c.id == "run_hours" and m.short:
        return text("cause.short", reason=m.finished or "-")
    if c.id == "starvation":
        most = ", ".join(f"{code} {count}" for code, count in gap.refused[:TOP]) or "-"
        return joined(
            [_rows(c), text("cause.gap", minutes=round((gap.to_ns - gap.from_ns) / 6e10), most=most)]
        )
    return _rows(c)


def _rows(c: Criterion) -> Text:
    """The evidence in words; equal words once, with all their rows."""
    where: dict[str, list[str]] = {}
    for e in c.evidence:
        where.setdefault(e.text, []).append(f"{e.file} #{e.seq}" if e.seq else "")
    lines = []
    for words, rows in list(where.items())[:TOP]:
        named = ", ".join(row for row in rows if row)
        lines.append(" ".join(part for part in (words, f"[{named}]" if named else "") if part))
    return plain("; ".join(lines))


def _then(c: Criterion) -> Text:
    for key in (f"then.{c.id}", f"then.group_{c.group}"):
        if known(key):
            return text(key)
    return text("then.any")
