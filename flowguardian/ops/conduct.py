"""Conducts a run from plan to verdict: preflight, supervised engine, verify, judge, report.

Rule: it starts programs and hands their results on; it decides nothing about a trade or a verdict.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import msgspec

from flowguardian.acceptance.judge import Judgement, Replay, judge
from flowguardian.acceptance.report import Reporter
from flowguardian.execution.events import SHADOW
from flowguardian.journal.ops_events import PreflightChecked, ProcessExited
from flowguardian.notify.plan import tell_the_rest
from flowguardian.ops.assembly import configured_market
from flowguardian.ops.beside import sides_of
from flowguardian.ops.doctor import plan_for, venue_of
from flowguardian.ops.loading import Loaded, settings_from
from flowguardian.ops.log import configure_logging, get
from flowguardian.ops.manifest import (
    Manifest,
    market_path,
    read_manifest,
    with_market_path,
    write_manifest,
)
from flowguardian.ops.ops_journal import FILE_NAME as OPS_FILE
from flowguardian.ops.ops_journal import read_ops
from flowguardian.ops.own_stderr import heard_stderr
from flowguardian.ops.ownership import ENGINE_LOCK
from flowguardian.ops.preflight import run_preflight
from flowguardian.ops.progress import Progress, RunView
from flowguardian.ops.recovery import read_past
from flowguardian.ops.registry import Registry
from flowguardian.ops.settings import Settings
from flowguardian.ops.settings_run import EXCHANGES
from flowguardian.ops.stores import clean_redis
from flowguardian.ops.supervisor import LOG_DIRECTORY, RunResult, Supervisor, SupervisorOptions
from flowguardian.ops.verify import verify
from flowguardian.ops.words import Words

SECOND_NS = 1_000_000_000
MARGIN_SECONDS, MARGIN_PART = 10, 144
"""An acceptance run goes on this much longer, or a part of its length that is 5 minutes in 12 hours.

Starts and short silences must not cost it its end.
"""
ENGINE_MODULE = "flowguardian.ops.engine_process"
RESUMABLE = ("interrupted", "stopped", "preflight", "config_error")
"""Ends after which the run can go on as soon as somebody wants it to: no verdict yet."""


class NotWritable(Exception):
    """Nothing can be recorded in the run directory, not even that preflight is red."""


@dataclass(frozen=True, slots=True)
class RunPlan:
    """What somebody asked for; `speed` 0 is as fast as it will go."""

    loaded: Loaded
    market: str
    start_ns: int | None
    hours: float
    speed: float
    seed: int
    defect: str = ""
    """Name of a planted defect: the run is the broken twin."""
    run_dir: Path | None = None
    venue: str = "direct"
    config_file: str = ""
    mode: str = "paper"
    start_equity: int = 0
    """What the account of the run begins with (1e-8 USDT); 0 = as configured."""


@dataclass(frozen=True, slots=True)
class Conducted:
    """How a run ended: `judgement` is None when it can still be resumed or never started."""

    run_dir: Path
    result: RunResult
    judgement: Judgement | None
    reports: tuple[Path, ...]
    why: str = ""
    """What the engine could not go on with, "" when it was not that."""


def plan_kind(plan: RunPlan) -> str:
    """Only real time by the wall clock, over sockets, is an acceptance run; anything else is a rehearsal."""
    wall_clock = plan.loaded.settings.paper.duration_mode == "wall_clock" and plan.speed == 1
    real = wall_clock and plan.venue != "direct" and not plan.defect and plan.mode != SHADOW
    return "acceptance" if real else "rehearsal"


def create_run(plan: RunPlan, now: datetime | None = None) -> Path:
    """Write the manifest of a new run and return its directory; raises ManifestError when there is one.

    A market that cannot be opened as asked is refused before anything is written: MarketSpecError,
    DatasetError, UnknownInstrument. Raises NotWritable when the directory cannot be made.
    """
    if plan.venue not in EXCHANGES:
        _open_once(plan)
    kind = plan_kind(plan)
    moment = now or datetime.now(UTC)
    run_id = (
        plan.run_dir.name
        if plan.run_dir
        else f"{moment:%Y%m%d-%H%M%S}-{moment.microsecond // 1000:03d}-{kind}"
    )
    run_dir = plan.run_dir or Path(plan.loaded.settings.run.directory) / run_id
    market = "" if plan.venue in EXCHANGES else plan.market
    manifest = Manifest(
        run_id=run_id,
        kind=kind,
        market=_absolute(market),
        venue=plan.venue,
        config_file=plan.config_file,
        start_ns=plan.start_ns,
        planned_ns=_planned_seconds(plan.hours, kind) * SECOND_NS,
        speed=plan.speed,
        seed=plan.seed,
        config=msgspec.Raw(msgspec.json.encode(plan.loaded.effective)),
        config_hash=plan.loaded.config_hash,
        trading_hash=plan.loaded.trading_hash,
        defect=plan.defect,
        mode=plan.mode,
        start_equity=plan.start_equity,
    )
    try:
        write_manifest(run_dir, manifest)
    except OSError as error:
        raise NotWritable(str(error)) from error
    return run_dir


def _planned_seconds(hours: float, kind: str) -> int:
    seconds = round(hours * 3600)
    return seconds + max(MARGIN_SECONDS, seconds // MARGIN_PART) if kind == "acceptance" else seconds


def _open_once(plan: RunPlan) -> None:
    """The engine would find the same, but only after a run directory was made."""
    configured_market(
        plan.loaded.settings, plan.market, start_ns=plan.start_ns, hours=plan.hours, seed=plan.seed
    )


def _absolute(market: str) -> str:
    """A run can be resumed from any folder; an exchange needs no market."""
    path = market_path(market)
    return market if path is None else with_market_path(market, str(path.absolute()))


def conduct(
    run_dir: Path,
    *,
    language: str,
    twins: Mapping[str, str],
    asked: Settings | None = None,
    on_preflight: Callable[[PreflightChecked], None] | None = None,
    check_interval_seconds: float = 1.0,
    segment_seconds: float = float("inf"),
) -> Conducted:
    """Run or resume a run to its end, then judge it; raises NotWritable.

    Raises LockHeld when somebody else supervises it.

    `twins` gives the engine program of a planted defect, `asked` the settings just loaded: those that a run
    recorded hold no secrets. After `segment_seconds` of run time it stops by plan and can be resumed.
    """
    _write_once(run_dir)
    # A record of this process is an incident of the run like one of the engine's.
    configure_logging("supervisor", run_dir / LOG_DIRECTORY, run_id=run_dir.name, console_level="WARNING")
    with heard_stderr(_log_traceback), Progress(language=language) as progress:
        result = supervise(
            run_dir,
            twins=twins,
            asked=asked,
            language=language,
            on_progress=progress.show,
            on_preflight=on_preflight,
            check_interval_seconds=check_interval_seconds,
            segment_seconds=segment_seconds,
        )
    try:
        if result.reason in RESUMABLE:
            why = _why(run_dir) if result.reason == "config_error" else ""
            return Conducted(run_dir, result, None, (), why)
        if read_manifest(run_dir).mode == SHADOW:
            why = f"nothing was sent, so nothing is judged: flowguardian why {run_dir} shows what was decided"
            return Conducted(run_dir, result, None, (), why)
        judgement, reports = conclude(run_dir, language)
        return Conducted(run_dir, result, judgement, reports)
    finally:
        tell_the_rest(run_dir)


def _log_traceback(what: str, text: str) -> None:
    get("stderr").error(what, text=text)


def supervise(
    run_dir: Path,
    *,
    twins: Mapping[str, str],
    asked: Settings | None = None,
    language: str = "en",
    on_progress: Callable[[RunView], None] | None = None,
    on_preflight: Callable[[PreflightChecked], None] | None = None,
    check_interval_seconds: float = 1.0,
    segment_seconds: float = float("inf"),
) -> RunResult:
    """Preflight and the supervised engine, until the run ends or is stopped. Raises LockHeld."""
    manifest = read_manifest(run_dir)
    settings = settings_from(bytes(manifest.config))
    registry = Registry()
    options = SupervisorOptions(
        hang_timeout_seconds=float(settings.run.hang_timeout_seconds),
        first_restart_delay_seconds=float(settings.run.restart_delay_seconds),
        max_restarts=settings.run.max_restarts,
        check_interval_seconds=check_interval_seconds,
        keep_awake=settings.run.keep_awake,
        planned_seconds=manifest.planned_ns / 1e9,
        segment_seconds=segment_seconds,
    )

    def preflight(first_start: bool, taken_over: Sequence[Words]) -> Sequence[PreflightChecked]:
        exchange = manifest.venue in EXCHANGES
        plan = plan_for(
            settings,
            load_config=lambda: f"config {manifest.config_hash[:12]}, trading {manifest.trading_hash[:12]}",
            run_dir=run_dir,
            registry=registry,
            account=str(run_dir.absolute()),
            locks=(run_dir / ENGINE_LOCK,),
            taken_over=taken_over,
            log_dir=run_dir / LOG_DIRECTORY if settings.paper.clean_start else None,
            first_start=first_start,
            clean_namespace=_redis_cleaner(asked or settings, run_dir.name),
            # The run's own venue is listened to by its engine: each stream has to deliver at the start.
            venue=venue_of(manifest.venue, settings, run_dir=run_dir, registry=registry) if exchange else (),
        )
        return run_preflight(plan, on_preflight)

    module = twins[manifest.defect] if manifest.defect else ENGINE_MODULE
    argv = [sys.executable, "-m", module, str(run_dir)]
    return Supervisor(
        run_dir, argv, options, on_progress=on_progress, preflight=preflight, registry=registry,
        sides=sides_of(run_dir, manifest, settings, asked or settings, language),
    ).run()  # fmt: skip


def _redis_cleaner(settings: Settings, run_id: str) -> Callable[[], int] | None:
    """Empties this run's own keys in a Redis of one's own; an embedded one begins empty."""
    return partial(clean_redis, settings.stores, run_id) if settings.stores.mode == "urls" else None


def _write_once(run_dir: Path) -> None:
    """Preflight looks at the disk too, but its red line needs a journal to stand in."""
    probe = run_dir / f".probe-{os.getpid()}"
    try:
        probe.write_bytes(b"x")
        probe.unlink()
    except OSError as error:
        raise NotWritable(str(error)) from error


def _why(run_dir: Path) -> str:
    ends = [row for row in read_ops(run_dir / OPS_FILE) if isinstance(row, ProcessExited) and row.abnormal]
    return ends[-1].reason if ends else ""


def is_complete(run_dir: Path) -> bool:
    """Whether the run has come to its planned end: starting it again only judges it again."""
    return read_past(read_ops(run_dir / OPS_FILE)).finished == "completed"


def conclude(run_dir: Path, language: str) -> tuple[Judgement, tuple[Path, ...]]:
    """Verify a run, judge it and write its reports."""
    judgement = judged(run_dir)
    return judgement, tuple(Reporter(run_dir).write(judgement, language))


def judged(run_dir: Path) -> Judgement:
    """Verify a run and judge it; nothing is written."""
    verified = verify(run_dir)
    return judge(run_dir, Replay(ok=verified.ok, rows=verified.rows, message=verified.message))
