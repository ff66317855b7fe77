"""`doctor`: the checks of a start without the start, and a listen to a venue.

Rule: the same list as before every run; what can be put right safely is put right and said, and the exit code
is 3 when something is left that forbids a start.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flowguardian.cli import output
from flowguardian.cli.config_commands import ConfigOption, SetOption
from flowguardian.cli.language import Say, checked, choose
from flowguardian.cli.locate import JsonOption, LanguageOption, all_runs
from flowguardian.cli.running import DEFAULT_CONFIG

if TYPE_CHECKING:
    from collections.abc import Callable

    from flowguardian.cli.answers import Doctor, VenueHeard
    from flowguardian.journal.ops_events import PreflightChecked
    from flowguardian.ops.listening import Heard
    from flowguardian.ops.loading import Loaded

MARKS = {"ok": "✓", "fixed": "↻", "warn": "!", "red": "✗"}
WORST = ("ok", "fixed", "warn", "red")


def doctor(
    config_file: ConfigOption = None,
    overrides: SetOption = None,
    venue: Annotated[
        str,
        typer.Option(
            help="Listen to binance, binance-testnet, local (one is started), or http://HOST:PORT.",
            show_default=False,
        ),
    ] = "",
    seconds: Annotated[
        float | None, typer.Option(help="How long to listen.", min=1.0, max=3600.0, show_default=False)
    ] = None,
    stop_all: Annotated[
        bool, typer.Option("--stop-all", help="Also stop living runs of yours, not only what was left over.")
    ] = False,
    lang: LanguageOption = "",
    as_json: JsonOption = False,
) -> int:
    """Check everything a start needs, repair what can be repaired safely, and say what is left to decide."""
    from flowguardian.ops.loading import ConfigError, load

    if seconds is not None and not venue:
        raise output.CliError("--seconds is the time of --venue", where="--seconds", fix="add --venue NAME")
    language = checked(lang)
    wrong: ConfigError | None = None
    # The file that `accept` and `paper` would take.
    path = config_file or (DEFAULT_CONFIG if DEFAULT_CONFIG.is_file() else None)
    try:
        loaded = load(path, overrides or ())
    except ConfigError as error:
        # The other checks are of use all the same, by the defaults.
        wrong, loaded = error, load(None, ())
    say = Say("en" if as_json else choose(language, loaded.settings.run.language))
    heard: list[Heard] = []
    show = output.progress if as_json else _print
    lines = _checks(
        loaded,
        wrong,
        venue,
        seconds,
        heard,
        stop_all=stop_all,
        show=lambda line: show(line_text(line, say.language)),
    )
    answer = answer_of(lines, heard[0] if heard else None)
    if as_json:
        output.print_json(answer)
    else:
        print(say(f"doctor_{answer.state}"))
    return output.EXIT_PREFLIGHT if answer.state == "red" else output.EXIT_OK


def _checks(
    loaded: Loaded,
    wrong: Exception | None,
    venue: str,
    seconds: float | None,
    heard: list[Heard],
    *,
    stop_all: bool,
    show: Callable[[PreflightChecked], None],
) -> list[PreflightChecked]:
    from flowguardian.ops.doctor import plan_for, venue_of
    from flowguardian.ops.ownership import left_behind
    from flowguardian.ops.preflight import run_preflight
    from flowguardian.ops.registry import Registry

    def summary() -> str:
        if wrong is not None:
            raise wrong
        hashes = f"config {loaded.config_hash[:12]}, trading {loaded.trading_hash[:12]}"
        return f"{loaded.path or 'defaults'}: {hashes}"

    settings, registry = loaded.settings, Registry()
    runs = Path(settings.run.directory)
    listened = (
        venue_of(venue, settings, run_dir=runs, registry=registry, seconds=seconds, on_heard=heard.append)
        if venue
        else ()
    )
    plan = plan_for(
        settings,
        load_config=summary,
        run_dir=runs,
        registry=registry,
        stop_everything=stop_all,
        locks=left_behind(all_runs(runs)),
        venue=listened,
    )
    return run_preflight(plan, show)


def _print(text: str) -> None:
    # At once: some checks take a minute, and who waits reads what is there already.
    print(text, flush=True)


def line_text(line: PreflightChecked, language: str = "en") -> str:
    """A line of a preflight for people: state, item, cause, and below it the fix."""
    from flowguardian.ops.check_words import item_text

    korean = language == "ko"
    detail, fix = (
        (line.detail_ko or line.detail, line.fix_ko or line.fix) if korean else (line.detail, line.fix)
    )
    text = f"{MARKS[line.state]} {line.state:<5}  {item_text(line.item, language)}: {detail}"
    return f"{text}\n          → {fix}" if fix and line.state != "ok" else text


def answer_of(lines: list[PreflightChecked], heard: Heard | None) -> Doctor:
    """The object of `doctor --json`."""
    from flowguardian.cli.answers import Doctor, DoctorLine

    return Doctor(
        state=max((line.state for line in lines), key=WORST.index),
        lines=tuple(DoctorLine(line.item, line.state, line.detail, line.fix) for line in lines),
        venue=_venue(heard) if heard is not None else None,
    )


def _venue(heard: Heard) -> VenueHeard:
    from flowguardian.cli.answers import Filters, StreamHeard, VenueHeard, usdt

    return VenueHeard(
        venue=heard.venue,
        seconds=round(heard.seconds, 3),
        streams=tuple(
            StreamHeard(name, one.messages, one.heard, one.missing, one.max_silence_seconds)
            for name, one in heard.streams.items()
        ),
        filters=tuple(
            Filters(
                one.symbol,
                usdt(one.tick_size),
                usdt(one.step_size),
                usdt(one.min_qty),
                usdt(one.max_qty),
                usdt(one.min_notional),
            )
            for one in heard.instruments
        ),
        offset_ms=None if heard.offset_ms is None else round(heard.offset_ms, 3),
        latency_p50_ms=heard.latency_p50_ms,
        latency_p99_ms=heard.latency_p99_ms,
        tape_mb_per_hour=round(heard.tape_bytes_per_hour / 1e6, 3),
    )
