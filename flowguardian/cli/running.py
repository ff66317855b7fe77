"""`accept`, `paper`, and what `live` and `shadow` share with them: a supervised run, its progress, its end.

Rule: options become settings or a plan; nothing is parsed and ignored. Progress goes to stderr, with `--json`
the last line of stdout is one object.
"""

from __future__ import annotations

import os
import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Callable

    from flowguardian.ops.conduct import Conducted, RunPlan
    from flowguardian.ops.loading import Loaded

DEFAULT_CONFIG = Path("configs/scalping/real_paper_12h_v6_1_phase17.yml")
TWINS = {"budget_leak": "flowguardian.simulation.broken_engine"}
"""Programs of planted defects: started by `accept --break`, imported by nothing."""
EXITS = {"PASS": 0, "FAIL": 1, "INCONCLUSIVE": 4}
ENDS = {"completed": 0, "interrupted": 130, "stopped": 130, "config_error": 2, "preflight": 3}

Config = Annotated[
    Path | None, typer.Option(help="Configuration file; without it the V6.1 file or the defaults.")
]
Overrides = Annotated[list[str] | None, typer.Option("--set", help="Override a setting, KEY=VALUE.")]
Venue = Annotated[
    str | None, typer.Option(help="Where the market arrives from: local, binance, binance-testnet or direct.")
]
MarketSpec = Annotated[str | None, typer.Option(help="synthetic:SEED, bars:PATH, trades:PATH or a path.")]
Start = Annotated[str | None, typer.Option(help="First moment in the market, as 2025-05-21T13:50Z.")]
Duration = Annotated[str | None, typer.Option(help="Run time, as 12h, 60m or 90s.")]
Segment = Annotated[
    str | None,
    typer.Option(help="Stop by plan after this run time, as 165m; started again, the run goes on."),
]
Speed = Annotated[str | None, typer.Option(help="Market time per real time, or max.")]
Seed = Annotated[int | None, typer.Option(help="Seed of everything drawn by chance.")]
StoresOption = Annotated[
    str | None,
    typer.Option("--stores", help="Copies of the journal: off, embedded (Postgres, Valkey) or urls."),
]
Json = Annotated[bool, typer.Option("--json", help="End with one JSON object on stdout.")]
Lang = Annotated[str | None, typer.Option(help="ko or en.")]
RunDir = Annotated[Path | None, typer.Option(help="Directory of the run; a run it holds already goes on.")]


class UsageError(Exception):
    """Options that cannot be met together."""


def accept(
    config: Config = None,
    overrides: Overrides = None,
    venue: Venue = None,
    market: MarketSpec = None,
    start: Start = None,
    duration: Duration = None,
    speed: Speed = "max",
    seed: Seed = None,
    stores: StoresOption = None,
    segment: Segment = None,
    defect: Annotated[bool, typer.Option("--break", help="Run a twin with a planted budget leak.")] = False,
    run_dir: RunDir = None,
    json: Json = False,
    lang: Lang = None,
) -> None:
    """Run the acceptance: 12 hours of market, supervised and judged.

    By default a rehearsal over the local venue with a synthetic market, as fast as it will go, kept in the
    embedded stores that are installed.
    """
    options = over(
        venue=venue, market=market, start=start, duration=duration, speed=speed, seed=seed, stores=stores
    )
    loaded = loaded_of(config, overrides, options)
    if loaded.settings.market.venue is None:
        options.append("market.venue=local")
        if loaded.settings.stores.mode == "off" and stores is None:
            options.append("stores.mode=embedded")
        loaded = loaded_of(config, overrides, options)
    given = (config, overrides, venue, market, start, duration, seed, stores)
    configured = speed != "max" or any(option is not None for option in given)
    run(
        loaded, configured=configured, config=config, defect=defect, run_dir=run_dir, as_json=json, lang=lang,
        segment=segment,
    )  # fmt: skip


def paper(
    config: Config = None,
    overrides: Overrides = None,
    venue: Venue = None,
    market: MarketSpec = None,
    start: Start = None,
    duration: Duration = None,
    speed: Speed = None,
    seed: Seed = None,
    stores: StoresOption = None,
    segment: Segment = None,
    strategy: Annotated[str | None, typer.Option(help="Run this strategy alone.")] = None,
    run_dir: RunDir = None,
    json: Json = False,
    lang: Lang = None,
    check_interval: Annotated[float, typer.Option(help="Seconds between two looks at the engine.")] = 1.0,
) -> None:
    """Run paper trading at the configured speed (1 = real time), supervised, until its duration is over."""
    options = over(
        venue=venue, market=market, start=start, duration=duration, speed=speed, seed=seed, stores=stores
    )
    loaded = loaded_of(config, overrides, options)
    if strategy is not None:
        chosen = [
            f"strategies.{name}.enabled={name == strategy}"
            for name in {*loaded.settings.strategies, strategy}
        ]
        loaded = loaded_of(config, [*(overrides or ()), *sorted(chosen)], options)
    given = (config, overrides, venue, market, start, duration, speed, seed, strategy, stores)
    configured = any(option is not None for option in given)
    run(
        loaded,
        configured=configured,
        config=config,
        run_dir=run_dir,
        as_json=json,
        lang=lang,
        check_interval_seconds=check_interval,
        segment=segment,
    )


def over(
    *, venue: str | None, market: str | None, start: str | None, duration: str | None, speed: str | None,
    seed: int | None, stores: str | None = None,
) -> list[str]:  # fmt: skip
    """Options as settings: they win over the file and stand in the effective configuration."""
    found = []
    if venue is not None:
        found.append(f"market.venue={venue}")
    if market is not None:
        found.append(f"market.source={market}")
    if start is not None:
        found.append(f"market.start='{_moment(start)}'")
    if duration is not None:
        found.append(f"paper.duration_hours={_seconds('--duration', duration) / 3600:.8f}")
    if speed is not None:
        found.append(f"market.speed={speed}")
    if seed is not None:
        found.append(f"run.seed={seed}")
    if stores is not None:
        found.append(f"stores.mode={stores}")
    return found


def _seconds(option: str, text: str) -> int:
    from flowguardian.ops.settings import NotADuration, duration_seconds

    try:
        return duration_seconds(text)
    except NotADuration as error:
        raise UsageError(f"{option}: {error}") from error


def _moment(text: str) -> str:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"--start {text}: expected a time like 2025-05-21T13:50Z") from error
    if moment.tzinfo is None:
        raise UsageError(f"--start {text}: say which zone, as in {text}Z for UTC or {text}+09:00 for KST")
    return text


def loaded_of(config: Path | None, overrides: list[str] | None, options: list[str]) -> Loaded:
    """The configuration that a command means; raises ConfigError."""
    from flowguardian.ops.loading import load

    return load(_file(config), [*(overrides or ()), *options])


def _file(config: Path | None) -> Path | None:
    return config or (DEFAULT_CONFIG if DEFAULT_CONFIG.is_file() else None)


def _asked_again(loaded: Loaded, run_dir: Path, *, configured: bool) -> Loaded:
    """For a run that goes on without options: the file it came from, where its addresses stand."""
    from flowguardian.ops.config_errors import ConfigError
    from flowguardian.ops.loading import load
    from flowguardian.ops.manifest import read_manifest

    file = Path(read_manifest(run_dir).config_file or ".")
    if configured or not file.is_file():
        return loaded
    try:
        return load(file, [])
    except ConfigError as error:
        print(f"! messages and stores are off: {error}", file=sys.stderr)
        return loaded


def _plan(loaded: Loaded, *, defect: bool, run_dir: Path | None, config: Path | None, mode: str) -> RunPlan:
    from flowguardian.ops.conduct import RunPlan

    settings = loaded.settings
    speed = settings.market.speed
    if settings.market.venue is None:
        raise UsageError(
            "no venue is named, and none is taken silently: --venue binance for the public data of the "
            "exchange, --venue local for our own venue over a recorded or synthetic market"
        )
    if defect and not settings.market.source.startswith("synthetic:"):
        raise UsageError("--break plants a defect: it runs on the synthetic market only, drop --market")
    return RunPlan(
        loaded=loaded,
        venue=settings.market.venue,
        config_file=str(file.absolute()) if (file := _file(config)) is not None else "",
        market=settings.market.source,
        start_ns=settings.market.start_ns,
        hours=float(settings.paper.duration_hours),
        speed=0.0 if speed == "max" else float(speed),
        seed=settings.run.seed,
        defect=next(iter(TWINS)) if defect else "",
        run_dir=run_dir,
        mode=mode,
    )


def run(
    loaded: Loaded,
    *,
    configured: bool,
    config: Path | None,
    run_dir: Path | None,
    as_json: bool,
    lang: str | None,
    defect: bool = False,
    check_interval_seconds: float = 1.0,
    segment: str | None = None,
    mode: str = "paper",
    begin: Callable[[RunPlan], RunPlan] | None = None,
) -> None:
    """Start or resume a run and show how it ends; `begin` looks at the plan of a new one."""
    from flowguardian.cli.doctor import line_text
    from flowguardian.cli.language import choose
    from flowguardian.ops.conduct import conduct, create_run, is_complete
    from flowguardian.ops.manifest import MANIFEST, read_manifest
    from flowguardian.ops.stores import observer_environment

    segment_seconds = float("inf") if segment is None else _seconds("--segment", segment)
    language = choose(lang, loaded.settings.run.language)
    if run_dir is None or not (run_dir / MANIFEST).is_file():
        for warning in loaded.warnings:
            print(f"! {warning}", file=sys.stderr)
        plan = _plan(loaded, defect=defect, run_dir=run_dir, config=config, mode=mode)
        place = create_run(plan if begin is None else begin(plan))
    elif (held := read_manifest(run_dir).mode) != mode:
        raise UsageError(
            f"{run_dir} holds a run of the mode {held}: go on with `flowguardian {held} --run-dir {run_dir}`"
        )
    elif configured and read_manifest(run_dir).config_hash != loaded.config_hash:
        raise UsageError(
            f"{run_dir} holds a run of another configuration, which never changes: leave out the other "
            "options to go on with it, or choose another --run-dir for a new run"
        )
    else:
        place = run_dir
        loaded = _asked_again(loaded, run_dir, configured=configured)
    # Addresses are written down nowhere: the observer of the stores gets them by its environment.
    os.environ.update(observer_environment(loaded.settings.stores))
    print(f"run: {place}", file=sys.stderr, flush=True)
    if is_complete(place):
        print("this run is complete: nothing is traded any more, it is judged again", file=sys.stderr)
    conducted = conduct(
        place,
        language=language,
        twins=TWINS,
        asked=loaded.settings,
        on_preflight=lambda line: print(line_text(line, language), file=sys.stderr),
        check_interval_seconds=check_interval_seconds,
        segment_seconds=segment_seconds,
    )
    raise typer.Exit(show_end(conducted, as_json=as_json, language=language))


def show_end(conducted: Conducted, *, as_json: bool, language: str) -> int:
    """Say how it ended, where the report is and what to do next; returns the exit code."""
    from flowguardian.acceptance.summary import summary_json
    from flowguardian.cli.output import print_json
    from flowguardian.ops.manifest import read_manifest

    judgement, result = conducted.judgement, conducted.result
    if judgement is None:
        print(f"ended without a verdict: {conducted.why or result.reason}", file=sys.stderr)
        if result.reason == "stopped":
            done = f"{result.run_ns / 3.6e12:.2f} h of run time in {len(result.segments)} segments"
            print(
                f"stopped by plan, {done}; pack it to move it: flowguardian pack {conducted.run_dir}",
                file=sys.stderr,
            )
        if result.reason != "completed":
            mode = read_manifest(conducted.run_dir).mode
            print(f"go on with: flowguardian {mode} --run-dir {conducted.run_dir}", file=sys.stderr)
        if as_json:
            print_json({"verdict": None, "reason": result.reason, "run_dir": str(conducted.run_dir)})
        return ENDS.get(result.reason, 1)
    rehearsal = " (rehearsal)" if judgement.kind == "rehearsal" else ""
    out = sys.stderr if as_json else sys.stdout
    print(f"{judgement.verdict}{rehearsal}", file=out)
    for cause in judgement.causes:
        print(f"  - {cause.criterion}: {getattr(cause.why, language)}", file=out)
    for path in conducted.reports:
        print(f"report: {path}", file=out)
    print(f"next: flowguardian why {conducted.run_dir}", file=out)
    if as_json:
        report = next((path for path in conducted.reports if path.suffix == ".html"), conducted.run_dir)
        print_json(summary_json(judgement, report))
    return EXITS[judgement.verdict]
