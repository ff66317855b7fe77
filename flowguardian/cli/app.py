"""The command line: which commands there are, and what becomes of their errors.

Rule: only the module of the command that was asked for is imported, so that `--help` answers at once; every
way out of here is an exit code of `EXIT_CODES` (DESIGN §8).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Annotated, Any, NamedTuple

import typer

from flowguardian import __version__
from flowguardian.cli import output
from flowguardian.cli.failures import explain_failure
from flowguardian.cli.language import choose


class Entry(NamedTuple):
    """Where a command lives; `attribute` is its function, or a typer app of sub-commands."""

    module: str
    attribute: str
    en: str
    ko: str

    def found(self) -> Any:
        """The function or app; raises AttributeError when it is missing."""
        return getattr(import_module(f"flowguardian.cli.{self.module}"), self.attribute)

    def is_written(self) -> bool:
        """Whether there is such a function."""
        return hasattr(import_module(f"flowguardian.cli.{self.module}"), self.attribute)


COMMANDS: dict[str, Entry] = {
    "init": Entry(
        "config_commands", "init", "Write a commented configuration to start from.",
        "주석이 달린 설정 파일을 만듭니다.",
    ),
    "config": Entry(
        "config_commands", "config", "Show the effective configuration.", "적용되는 설정을 보여 줍니다.",
    ),
    "accept": Entry(
        "running", "accept", "Run a supervised acceptance run or rehearsal, to a verdict.",
        "감독되는 인수 시험(리허설)을 판정까지 실행합니다.",
    ),
    "paper": Entry("running", "paper", "Run supervised paper trading.", "감독되는 모의 거래를 실행합니다."),
    "live": Entry(
        "trading", "live", "Trade an account, supervised: gated, confirmed, reconciled.",
        "감독되는 실거래를 실행합니다: 관문, 확인, 대조를 거칩니다.",
    ),
    "shadow": Entry(
        "trading", "shadow", "Decide as live would, on the account's money, and send nothing.",
        "계정의 돈으로 실거래처럼 결정하되 아무 주문도 보내지 않습니다.",
    ),
    "backtest": Entry(
        "backtesting", "backtest", "Run the engine over recorded data.", "기록된 데이터로 엔진을 실행합니다.",
    ),
    "simulate": Entry(
        "simulating", "simulate", "Run whole runs by seed under a virtual clock, with faults; judge each.",
        "가상 시계 아래에서 시드마다 장애가 있는 실행을 통째로 돌리고 하나씩 판정합니다.",
    ),
    "status": Entry("reading", "status", "How a run is doing now.", "실행의 현재 상태를 보여 줍니다."),
    "why": Entry(
        "reading", "why", "Why a run trades or does not: the funnel from signal to fill.",
        "거래가 있거나 없는 이유: 신호에서 체결까지의 깔때기.",
    ),
    "explain": Entry(
        "reading", "explain", "One entry or refusal as arithmetic.",
        "진입 또는 거절 하나를 계산식으로 보여 줍니다.",
    ),
    "dashboard": Entry(
        "dashboard_command", "dashboard", "Show a run in the browser, and steer it.",
        "실행을 브라우저에서 보고 조작합니다.",
    ),
    "verify": Entry(
        "reading", "verify", "Decide a recorded run again and demand the same rows.",
        "기록된 실행을 다시 결정하여 같은 행인지 확인합니다.",
    ),
    "report": Entry(
        "reading", "report", "Judge a run and write its report.", "실행을 판정하고 보고서를 씁니다.",
    ),
    "pack": Entry(
        "packing", "pack", "Make a small folder of a run, to keep it, send it or move it.",
        "실행을 보관, 전달, 이동할 수 있는 작은 폴더로 만듭니다.",
    ),
    "unpack": Entry(
        "packing", "unpack", "Make the run directory of a pack, to the byte.",
        "꾸러미(pack)에서 실행 폴더를 바이트까지 그대로 되살립니다.",
    ),
    "views": Entry(
        "views", "views", "Copy the journal of a run into Postgres and Redis, or build the copies anew.",
        "실행의 저널을 Postgres 와 Redis 로 복사하거나 다시 만듭니다.",
    ),
    "venue": Entry(
        "venue", "venue", "Serve a market as a Binance USD-M exchange on a local port.",
        "시장을 로컬 포트에서 바이낸스 USD-M 거래소처럼 제공합니다.",
    ),
    "doctor": Entry(
        "doctor", "doctor", "Check what a start needs, repair what is safe, listen to a venue.",
        "시작에 필요한 것을 점검하고, 안전한 것은 고치고, 거래소를 들어 봅니다.",
    ),
    "runs": Entry(
        "runs", "runs", "List, compare and prune runs.", "실행을 나열하고, 비교하고, 정리합니다.",
    ),
    "halt": Entry(
        "operating", "halt", "Take no more entries; exits go on.", "진입을 멈춥니다. 청산은 계속됩니다.",
    ),
    "resume": Entry("operating", "resume", "Allow entries again.", "진입을 다시 허용합니다."),
    "flatten": Entry(
        "operating", "flatten", "Take no more entries and close every position.",
        "진입을 멈추고 모든 포지션을 닫습니다.",
    ),
    "stop": Entry("operating", "stop", "End a run; it can be resumed.", "실행을 질서 있게 멈춥니다."),
    "notify": Entry(
        "notifying", "notify", "Test the channels for messages; show what was sent.",
        "메시지 채널을 시험하고, 보낸 것을 보여 줍니다.",
    ),
    "data": Entry("data", "data", "Look into and import market data.", "시장 데이터를 살펴보고 가져옵니다."),
}  # fmt: skip

_ABOUT = {
    "en": "A crypto-futures trading engine, and the proof that it holds.",
    "ko": "암호화폐 선물 거래 엔진, 그리고 그것이 버틴다는 증명.",
}


def build(loaded: Sequence[str], language: str = "en") -> typer.Typer:
    """The typer app; commands not in `loaded` stand there with their summary only."""
    app = typer.Typer(
        name="flowguardian", help=_ABOUT[language], add_completion=False, rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )  # fmt: skip
    app.callback()(_root)
    for name, entry in COMMANDS.items():
        summary = entry.ko if language == "ko" else entry.en
        if name not in loaded:
            app.command(name, help=summary)(_placeholder)
            continue
        found = entry.found()
        if isinstance(found, typer.Typer):
            app.add_typer(found, name=name, help=summary)
        else:
            app.command(name)(found)
    return app


def _print_version(asked: bool) -> None:
    if asked:
        print(__version__)
        raise typer.Exit


def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    pass


def _placeholder() -> None:
    """A command that was not asked for."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    args = list(sys.argv[1:] if arguments is None else arguments)
    output.force_utf8()
    code = output.EXIT_BROKEN_PIPE
    try:
        code = _run(args)
        sys.stdout.flush()
    except BrokenPipeError:
        _silence_stdout()
    return code


def _run(args: list[str]) -> int:
    """The exit code of a command; each error is said once, on stderr, and with --json as an object too."""
    language = choose(_language_option(args))
    try:
        name = next((arg for arg in args if not arg.startswith("-")), "")
        command = typer.main.get_command(build([name] if name in COMMANDS else [], language))
        # Not `command(...)`: that would turn Ctrl-C and a closed pipe into exit codes of its own.
        asked = [*args, "--help"] if args in ([], ["config"], ["data"], ["notify"], ["runs"]) else args
        with command.make_context("flowguardian", asked) as context:
            done = command.invoke(context)
        return done if isinstance(done, int) else output.EXIT_OK
    except BrokenPipeError:
        raise
    except (KeyboardInterrupt, typer.Abort):
        failure = output.CliError(
            "interrupted", fix="nothing is lost: start the command again", code=output.EXIT_INTERRUPTED
        )
    except typer.Exit as leave:
        return int(leave.exit_code)
    except Exception as error:  # noqa: BLE001 - the edge of the process: every error ends as a message and a code
        failure = explain_failure(error)
    output.print_error(failure, language)
    if "--json" in args:
        output.print_json(failure.as_object())
    return failure.code


def _language_option(args: Sequence[str]) -> str:
    """The value of --lang before typer has read it, for texts that come before or instead of the command."""
    for arg, following in zip(args, [*args[1:], ""], strict=False):
        if arg == "--lang":
            return following
        if arg.startswith("--lang="):
            return arg.partition("=")[2]
    return ""


def _silence_stdout() -> None:
    """The reader of a pipe has gone: what Python still wants to flush at exit goes nowhere, silently."""
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, sys.stdout.fileno())
    os.close(devnull)


if __name__ == "__main__":
    sys.exit(main())
