"""`backtest`: the engine over a market file or a synthetic market, and what came of it.

Rule: progress goes to stderr; with --json the last line of stdout is one object. Ctrl-C ends with 130 and
leaves a journal that was asked for whole up to its last batch.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from flowguardian.cli import output
from flowguardian.cli.language import Language, checked, choose
from flowguardian.cli.running import DEFAULT_CONFIG, Config, Json, MarketSpec, Overrides, RunDir, Seed, Start

if TYPE_CHECKING:
    from flowguardian.ops.backtest import BacktestPlan, BacktestResult, Journal
    from flowguardian.ops.loading import Loaded

JOURNALS = ("memory", "batched", "off")
LABELS: dict[str, tuple[str, str]] = {
    "market": ("Market", "시장"),
    "rows": ("Market rows", "시장 데이터 행"),
    "signals": ("Signals", "신호"),
    "entries": ("Entry SUCCESS", "진입 성공 (Entry SUCCESS)"),
    "caps": ("Budget Cap Applied", "예산 제한 적용 (Budget Cap Applied)"),
    "refused": ("Refused", "거절"),
    "closed": ("Closed trades", "청산된 거래"),
    "open": ("Open at the end", "종료 시 보유"),
    "win_rate": ("Win rate", "승률"),
    "realised": ("Realised", "실현 손익"),
    "fees": ("Fees", "수수료"),
    "funding": ("Funding", "펀딩"),
    "equity": ("Equity", "자산"),
    "drawdown": ("Max drawdown", "최대 낙폭"),
    "violations": ("Invariants violated", "불변식 위반"),
    "speed": ("Engine", "엔진"),
    "next": ("next: flowguardian why", "다음: flowguardian why"),
}


def backtest(
    config: Config = None,
    overrides: Overrides = None,
    market: MarketSpec = None,
    start: Start = None,
    hours: Annotated[
        float | None, typer.Option(help="Hours of market; without it to the end of the data.")
    ] = None,
    seed: Seed = None,
    journal: Annotated[
        str, typer.Option(help="memory, batched (a run directory that why and explain read), or off.")
    ] = "memory",
    run_dir: RunDir = None,
    json: Json = False,
    lang: Annotated[str, typer.Option(help="ko or en.")] = "",
) -> int:
    """Run the engine over recorded or synthetic data: paper trading's decisions, no tape, no waiting."""
    language = choose(checked(lang))
    kept = _journal(journal, run_dir)
    loaded = _load(config, [*(overrides or ()), *_as_settings(market, start, seed)])
    for warning in loaded.warnings:
        output.progress(f"! {warning}")
    found = _run(_plan(loaded, hours, kept, run_dir))
    print(text_of(found, language), file=sys.stderr if json else sys.stdout)
    if json:
        output.print_json(found)
    return output.EXIT_DEFECT if found.violations else output.EXIT_OK


def _journal(journal: str, run_dir: Path | None) -> Journal:
    if journal not in JOURNALS:
        raise output.CliError(
            f"there is no journal {journal}", where="--journal", fix=f"use {', '.join(JOURNALS)}"
        )
    if run_dir is not None and journal != "batched":
        raise output.CliError(
            f"--journal {journal} writes no run directory", where="--run-dir", fix="add --journal batched"
        )
    return cast("Journal", journal)


def _as_settings(market: str | None, start: str | None, seed: int | None) -> list[str]:
    """Options as settings: they win over the file and stand in the effective configuration."""
    found = [] if market is None else [f"market.source={market}"]
    if start is not None:
        found.append(f"market.start='{_moment(start)}'")
    if seed is not None:
        found.append(f"run.seed={seed}")
    return found


def _moment(text: str) -> str:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        fix = "write a time like 2025-05-21T13:50Z"
        raise output.CliError(f"{text} is not a time", where="--start", fix=fix) from error
    if moment.tzinfo is None:
        fix = f"say which zone, as in {text}Z for UTC or {text}+09:00 for KST"
        raise output.CliError(f"{text} has no zone", where="--start", fix=fix)
    return text


def _load(config: Path | None, overrides: list[str]) -> Loaded:
    from flowguardian.ops.backtest import backtest_config

    path = config or (DEFAULT_CONFIG if DEFAULT_CONFIG.is_file() else None)
    return backtest_config(path, overrides)


def _plan(loaded: Loaded, hours: float | None, journal: Journal, run_dir: Path | None) -> BacktestPlan:
    from flowguardian.ops.backtest import BacktestPlan

    settings = loaded.settings
    return BacktestPlan(
        loaded=loaded,
        market=settings.market.source,
        start_ns=settings.market.start_ns,
        hours=hours,
        seed=settings.run.seed,
        journal=journal,
        run_dir=run_dir,
    )


def _run(plan: BacktestPlan) -> BacktestResult:
    from flowguardian.ops.backtest import Backtest

    work = Backtest(plan)
    with _progress(plan.market) as show:
        return work.run(show)


@contextmanager
def _progress(market: str) -> Iterator[Callable[[float], None]]:
    """A bar on a terminal; elsewhere nothing, since a script would only have to throw it away."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(market, total=1.0)
        yield lambda done: bar.update(task, completed=done)


def text_of(found: BacktestResult, language: Language = "en") -> str:
    """The result as a table for people."""

    def label(key: str) -> str:
        return LABELS[key][language == "ko"]

    refused = ", ".join(f"{code} {count}" for code, count in found.refused.items())
    rate = "-" if found.win_rate_pct is None else f"{found.win_rate_pct:.1f} %"
    gain = found.equity - found.start_equity
    lines = [
        ("market", f"{found.market} ({found.feed}), {found.start} .. {found.end}, {found.market_hours:g} h"),
        ("rows", f"{found.rows:,}"),
        ("signals", f"{found.signals:,}"),
        ("entries", f"{found.entries:,}"),
        ("caps", f"{found.budget_caps:,}"),
        ("refused", refused or "0"),
        ("closed", f"{found.closed:,}"),
        ("open", f"{found.open_positions:,}"),
        ("win_rate", rate),
        ("realised", _usdt(found.realised)),
        ("fees", _usdt(found.fees)),
        ("funding", _usdt(found.funding)),
        ("equity", f"{_usdt(found.equity)} ({gain / found.start_equity * 100:+.2f} %)"),
        ("drawdown", f"{found.max_drawdown_pct:.2f} %"),
        ("violations", str(found.violations)),
        ("speed", f"{found.seconds:.2f} s, {found.rows_per_second:,} rows/s"),
    ]
    text = output.table([(label(key), value) for key, value in lines])
    return f"{text}\n{label('next')} {found.run_dir}" if found.run_dir else text


def _usdt(amount: Decimal) -> str:
    return f"{amount:,.2f} USDT"
