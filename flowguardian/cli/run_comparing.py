"""`runs compare`: two runs side by side, measured by the judge as for their reports.

Rule: no figure is computed here; the judge measures both runs anew, and no verdict is made of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

from flowguardian.acceptance.judge import judge
from flowguardian.acceptance.judgement import Judgement
from flowguardian.cli.answers import ComparedLine, Comparison, usdt
from flowguardian.cli.run_list import of_run
from flowguardian.cli.run_rows import RunRows, read_run
from flowguardian.cli.standing import verdict_of
from flowguardian.execution import events as ev
from flowguardian.ops.merging import leaves
from flowguardian.ops.registry import Registry

PLAIN = (
    "kind", "feed", "market_source", "version", "seed", "config_hash", "trading_hash", "code_hash",
    "journal_hash", "wall_clock_hours", "market_hours", "mean_atr_pct",
)  # fmt: skip
MONEY = ("start", "realised", "fees", "funding", "unrealised", "end", "lowest")
TRADES = ("wins", "win_rate_pct", "profit_factor", "expectancy", "mean_hold_minutes", "mean_slippage_bps")
OWN_TO_A_RUN = (ev.RunStarted, ev.SegmentStarted, ev.SegmentEnded, ev.CommandReceived)
"""Rows that say which process lived when and who asked for what; all others follow from the market."""


def compare(left: Path, right: Path, registry: Registry | None = None) -> Comparison:
    """Both runs by the definitions of the report; raises CliError for a run without a beginning."""
    living = (registry or Registry()).living()
    runs = [read_run(left), read_run(right)]
    verdicts = [verdict_of(run, of_run(living, run.start.run_id)) for run in runs]
    judged = [judge(left), judge(right)]
    figures = [("verdict", *verdicts), *zip_figures(*judged)]
    return Comparison(
        left=runs[0].start.run_id,
        right=runs[1].start.run_id,
        lines=tuple(ComparedLine(name, a, b, a == b) for name, a, b in figures),
        settings=tuple(_settings(*runs)),
        first_difference=first_difference(*runs),
    )


def zip_figures(left: Judgement, right: Judgement) -> Iterator[tuple[str, Any, Any]]:
    """The figures of two judgements by name."""
    for name in PLAIN:
        yield name, getattr(left, name), getattr(right, name)
    for name in left.counts.__struct_fields__:
        yield name, getattr(left.counts, name), getattr(right.counts, name)
    for name in MONEY:
        yield f"money_{name}_usdt", usdt(getattr(left.money, name)), usdt(getattr(right.money, name))
    yield "max_drawdown_pct", left.money.max_drawdown_pct, right.money.max_drawdown_pct
    for name in TRADES:
        yield name, getattr(left.trades, name), getattr(right.trades, name)


def _settings(left: RunRows, right: RunRows) -> Iterator[ComparedLine]:
    """Only the settings that differ."""
    a, b = dict(leaves(left.config)), dict(leaves(right.config))
    for key in sorted({*a, *b}):
        if a.get(key) != b.get(key):
            yield ComparedLine(".".join(key), _shown(a.get(key)), _shown(b.get(key)), same=False)


def _shown(value: Any) -> Any:
    return ", ".join(map(str, value)) if isinstance(value, list) else value


def first_difference(left: RunRows, right: RunRows) -> int:
    """The row of the left run (or of the right, after its end) from which on they differ; 0 = none."""
    ours, theirs = _decided(left), _decided(right)
    for mine, other in zip_longest(ours, theirs):
        if mine is None or other is None or mine[1] != other[1]:
            return int((mine or other)[0])
    return 0


def _decided(run: RunRows) -> Iterator[tuple[int, ev.Row]]:
    return ((seq, row) for seq, row in run.rows.items() if not isinstance(row, OWN_TO_A_RUN))
