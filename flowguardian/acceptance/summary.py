"""The one object a run prints as its last line with `--json`: a short form of the judgement.

Rule: documented in docs/reference/report.md and summary.schema.json; a field is never renamed.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from flowguardian.acceptance.figures import Data
from flowguardian.acceptance.judgement import Counts, Judgement, Value, Verdict


class SummaryCriterion(Data, frozen=True):
    """A criterion on the last line of `--json`."""

    id: str
    threshold: Value
    observed: Value
    ok: bool | None


class SummaryCause(Data, frozen=True):
    """A cause on the last line of `--json`."""

    criterion: str
    why: str


class Summary(Data, frozen=True):
    """The last line of `accept --json` and `paper --json`."""

    verdict: Verdict
    kind: str
    feed: str
    run_id: str
    config_hash: str
    trading_hash: str
    code_hash: str
    journal_hash: str
    wall_clock_hours: float | None
    market_hours: float
    counts: Counts
    criteria: tuple[SummaryCriterion, ...]
    causes: tuple[SummaryCause, ...]
    report: str


def summary_json(judgement: Judgement, report_path: Path | str) -> dict[str, object]:
    """The object on the last line of `--json`, as plain JSON types."""
    shared = [name for name in Summary.__struct_fields__ if name not in ("criteria", "causes", "report")]
    summary = Summary(
        **{name: getattr(judgement, name) for name in shared},
        criteria=tuple(
            SummaryCriterion(id=c.id, threshold=c.threshold, observed=c.observed, ok=c.ok)
            for c in judgement.criteria
        ),
        causes=tuple(SummaryCause(criterion=c.criterion, why=c.why.en) for c in judgement.causes),
        report=str(report_path),
    )
    plain: dict[str, object] = msgspec.to_builtins(summary)
    return plain
