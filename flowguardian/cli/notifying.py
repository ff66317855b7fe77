"""`notify test` and `notify status`: whether messages arrive, and what became of those of a run.

Rule: channels are named by place and kind (`1 tgram`); an address is never printed.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flowguardian.cli import output
from flowguardian.cli.language import checked, choose
from flowguardian.cli.locate import RUNS, JsonOption, LanguageOption, RunArgument, RunsOption, find_run

if TYPE_CHECKING:
    from flowguardian.cli.language import Language
    from flowguardian.notify.outbox import ChannelCount

notify = typer.Typer(rich_markup_mode=None)

SAID = {
    "en": {
        "sent": "{channel}: sent", "failed": "{channel}: not sent: {why}",
        "on": "{run}: messages are on", "off": "{run}: no notifier is set up for it now",
        "none": "nothing was to be told yet",
        "line": "{channel}: {sent} sent, {waiting} waiting, {failed} given up, {dropped} dropped",
        "why": "  last trouble: {why}",
    },
    "ko": {
        "sent": "{channel}: 보냄", "failed": "{channel}: 보내지 못함: {why}",
        "on": "{run}: 메시지 켜짐", "off": "{run}: 지금 설정된 알림이 없음",
        "none": "아직 알릴 것이 없습니다",
        "line": "{channel}: 보냄 {sent}, 대기 {waiting}, 포기 {failed}, 버림 {dropped}",
        "why": "  마지막 문제: {why}",
    },
}  # fmt: skip

ConfigOption = Annotated[
    Path | None, typer.Option("--config", help="Configuration file with notify.urls.", show_default=False)
]
SetOption = Annotated[list[str] | None, typer.Option("--set", help="Override a setting, KEY=VALUE.")]


@notify.callback()
def _notify() -> None:
    """Messages to people."""


@notify.command("test")
def try_channels(
    config: ConfigOption = None,
    overrides: SetOption = None,
    lang: LanguageOption = "",
    as_json: JsonOption = False,
) -> int:
    """Send a test message to every channel; exit code 1 when one did not take it."""
    from flowguardian.cli.running import DEFAULT_CONFIG
    from flowguardian.notify.plan import Redactor, channel_names
    from flowguardian.notify.sender import Sender
    from flowguardian.notify.sending import Order
    from flowguardian.notify.texts import Tell
    from flowguardian.ops.loading import load
    from flowguardian.ops.progress import market_time

    path = config or (DEFAULT_CONFIG if DEFAULT_CONFIG.is_file() else None)
    settings = load(path, overrides or ()).settings
    urls, language = settings.notify.urls, choose(checked(lang), settings.run.language)
    if not urls:
        raise output.CliError(
            "there is no channel to test", where=str(path or "defaults"), why="notify.urls is empty: off",
            fix="add an apprise address to notify.urls, as ${NAME} from the environment",
        )  # fmt: skip
    tell, sender, answers = Tell(language), Sender(Redactor(urls), lambda: None), {}
    try:
        for channel, url in channel_names(urls).items():
            body = tell("test", at=market_time(time.time_ns()))
            seconds = float(settings.notify.send_timeout_seconds)
            answers[channel] = sender.send(Order(url, tell("test_title"), body, "info", seconds))
    finally:
        sender.close()
    if as_json:
        output.print_json({name: {"sent": said.sent, "why": said.why} for name, said in answers.items()})
    else:
        for channel, said in answers.items():
            print(SAID[language]["sent" if said.sent else "failed"].format(channel=channel, why=said.why))
    return output.EXIT_OK if all(said.sent for said in answers.values()) else output.EXIT_FAIL


@notify.command("status")
def status_of(
    run: RunArgument = "", runs: RunsOption = RUNS, lang: LanguageOption = "", as_json: JsonOption = False
) -> int:
    """What became of the messages of a run, by channel."""
    from flowguardian.notify.outbox import FILE_NAME, counts
    from flowguardian.notify.plan import read_plan

    place = find_run(run, runs)
    plan = read_plan(place)
    language = choose(checked(lang), plan.language if plan else "auto")
    found = counts(place / FILE_NAME)
    if as_json:
        output.print_json({"run_dir": str(place), "on": plan is not None, "channels": found})
    else:
        print(SAID[language]["on" if plan else "off"].format(run=place))
        print(_lines(found, language))
    return output.EXIT_OK


def _lines(found: list[ChannelCount], language: Language) -> str:
    say, lines = SAID[language], []
    for count in found:
        lines.append(
            say["line"].format(
                channel=count.channel, sent=count.sent, waiting=count.waiting, failed=count.failed,
                dropped=count.dropped,
            )
        )  # fmt: skip
        if count.why:
            lines.append(say["why"].format(why=count.why))
    return "\n".join(lines) or say["none"]
