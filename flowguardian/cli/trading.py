"""`live`, `shadow`: a run with an account. What stands between a command and real orders is here, in order.

Rule: a new run is started only after every line is green and a person typed what is at stake; a run that
goes on was confirmed when it began. Our own venue has play money and asks for nothing.
"""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flowguardian.cli import output
from flowguardian.cli.running import (
    Config,
    Duration,
    Json,
    Lang,
    MarketSpec,
    Overrides,
    RunDir,
    Seed,
    Speed,
    Start,
    UsageError,
    Venue,
    loaded_of,
    over,
    run,
)

if TYPE_CHECKING:
    from flowguardian.ops.checked import Checked
    from flowguardian.ops.conduct import RunPlan
    from flowguardian.ops.loading import Loaded

Accepted = Annotated[
    Path | None,
    typer.Option(
        help="The run, or its pack, that passed; without it those in the runs folder are looked at."
    ),
]


def live(
    config: Config = None,
    overrides: Overrides = None,
    venue: Venue = None,
    market: MarketSpec = None,
    start: Start = None,
    duration: Duration = None,
    speed: Speed = None,
    seed: Seed = None,
    accepted: Accepted = None,
    run_dir: RunDir = None,
    json: Json = False,
    lang: Lang = None,
) -> None:
    """Trade an account. On an exchange it needs keys, a PASS of real time there, and a typed confirmation.

    Keys come from FLOWGUARDIAN_API_KEY and FLOWGUARDIAN_API_SECRET, or from the system's keyring.
    """
    options = over(venue=venue, market=market, start=start, duration=duration, speed=speed, seed=seed)
    _start(
        "live", config, overrides, options, duration=duration, run_dir=run_dir, as_json=json, lang=lang,
        sends=True, accepted=accepted,
    )  # fmt: skip


def shadow(
    config: Config = None,
    overrides: Overrides = None,
    venue: Venue = None,
    market: MarketSpec = None,
    start: Start = None,
    duration: Duration = None,
    speed: Speed = None,
    seed: Seed = None,
    run_dir: RunDir = None,
    json: Json = False,
    lang: Lang = None,
) -> None:
    """Decide as `live` would, with the account's money, and send nothing; a key that only reads is enough."""
    options = over(venue=venue, market=market, start=start, duration=duration, speed=speed, seed=seed)
    _start(
        "shadow", config, overrides, options, duration=duration, run_dir=run_dir, as_json=json, lang=lang,
        sends=False,
    )  # fmt: skip


def _start(
    mode: str, config: Path | None, overrides: list[str] | None, options: list[str], *,
    duration: str | None, run_dir: Path | None, as_json: bool, lang: str | None, sends: bool,
    accepted: Path | None = None,
) -> None:  # fmt: skip
    """Start or go on with a run of an account."""
    loaded = _loaded(config, overrides, options, duration)
    begin = _Begin(loaded, sends=sends, accepted=accepted, lang=lang, as_json=as_json)
    configured = config is not None or overrides is not None or bool(options)
    run(
        loaded, configured=configured, config=config, run_dir=run_dir, as_json=as_json, lang=lang, mode=mode,
        begin=begin.plan,
    )  # fmt: skip


def _loaded(
    config: Path | None, overrides: list[str] | None, options: list[str], duration: str | None
) -> Loaded:
    loaded = loaded_of(config, overrides, options)
    if duration is None:
        hours = loaded.settings.live.duration_hours
        loaded = loaded_of(config, overrides, [*options, f"paper.duration_hours={hours:f}"])
    return loaded


class _Begin:
    """What a new run passes before it is started; `sends` orders, or stays in the shadow."""

    def __init__(
        self, loaded: Loaded, *, sends: bool, lang: str | None, as_json: bool, accepted: Path | None = None
    ) -> None:
        from flowguardian.cli.language import Say, choose

        self._loaded, self._sends, self._accepted, self._as_json = loaded, sends, accepted, as_json
        self._say = Say(choose(lang, loaded.settings.run.language))
        self._is_red = False

    def plan(self, plan: RunPlan) -> RunPlan:
        """The plan with what the account begins with; raises Exit on a red line, CliError, UsageError."""
        from dataclasses import replace

        from flowguardian.execution.money import units
        from flowguardian.ops.live_account import look_at
        from flowguardian.ops.settings_run import EXCHANGES

        settings = self._loaded.settings
        equity = units(settings.account.equity)
        if plan.venue == "direct":
            raise UsageError("this needs a venue with an account: --venue binance, or --venue local")
        if settings.live.max_notional_usdt < settings.position_sizing.min_position_notional:
            raise UsageError(
                f"live.max_notional_usdt ({settings.live.max_notional_usdt:f}) leaves no room for one entry: "
                f"position_sizing.min_position_notional is {settings.position_sizing.min_position_notional:f}"
            )
        if plan.venue not in EXCHANGES:
            output.progress(self._say("live_play_money"))
            return replace(plan, start_equity=equity)
        if self._sends:
            self._show("acceptance", self._acceptance(plan.venue))
        looked = look_at(plan.venue, settings)
        for item, line in looked.lines:
            self._show(item, line)
        if self._is_red:
            if self._as_json:
                output.print_json({"verdict": None, "reason": "preflight", "run_dir": None})
            output.progress(self._say("live_not_started"))
            raise typer.Exit(output.EXIT_PREFLIGHT)
        equity = min(equity, looked.wallet)
        if self._sends:
            self._confirm(plan.venue, equity)
        return replace(plan, start_equity=equity)

    def _show(self, item: str, line: Checked) -> None:
        from flowguardian.cli.doctor import line_text
        from flowguardian.journal.ops_events import PreflightChecked

        said, fix = line.said, line.remedy
        row = PreflightChecked(time.time_ns(), item, line.state, said.en, fix.en, said.ko, fix.ko)
        self._is_red = self._is_red or line.state == "red"
        output.progress(line_text(row, self._say.language))

    def _acceptance(self, venue: str) -> Checked:
        from flowguardian.cli.locate import all_runs, is_run
        from flowguardian.ops import packing
        from flowguardian.ops.acceptance_gate import Wanted, acceptance_line

        settings = self._loaded.settings
        wanted = Wanted(venue, self._loaded.trading_hash, settings.live.max_acceptance_age_days)
        output.progress(self._say("live_judging"))
        with ExitStack() as opened:
            places = all_runs(Path(settings.run.directory))
            if self._accepted is not None:
                is_pack = not is_run(self._accepted)
                places = [opened.enter_context(packing.opened(self._accepted)) if is_pack else self._accepted]
            return acceptance_line(places, wanted, time.time_ns())

    def _confirm(self, venue: str, equity: int) -> None:
        from flowguardian.execution.money import decimal

        settings = self._loaded.settings
        wanted = f"LIVE {venue} {settings.live.max_notional_usdt:f} USDT"
        output.progress(
            self._say(
                "live_confirm", venue=venue, symbols=", ".join(settings.universe.symbols),
                equity=f"{decimal(equity):,.2f}", most=f"{settings.live.max_notional_usdt:,f}", line=wanted,
            )
        )  # fmt: skip
        if sys.stdin.readline().strip() != wanted:
            raise output.CliError(
                self._say("live_unconfirmed"),
                where="stdin",
                fix=self._say("live_unconfirmed_fix", line=wanted),
            )
