"""The commands that steer a run: `halt`, `resume`, `flatten`, `stop`.

Rule: a command is a row in the run's command table, taken by the engine as a fact; asking twice asks once.
What nobody is there to take is taken back: a `stop` that waited would end the next start.
"""

from __future__ import annotations

import getpass
import time
from pathlib import Path
from typing import TYPE_CHECKING

from flowguardian.cli import output
from flowguardian.cli.language import choose
from flowguardian.cli.locate import RUNS, JsonOption, LanguageOption, RunArgument, RunsOption, find_run

if TYPE_CHECKING:
    from flowguardian.execution.events import Command

WAIT_SECONDS, LOOK_SECONDS = 2.0, 0.05
SAID = {
    "en": {
        True: "{command}: done by {run}",
        False: "{command}: written, no engine of {run} took it yet",
    },
    "ko": {True: "{command}: {run} 에서 처리됨", False: "{command}: 기록됨, {run} 의 엔진이 아직 받지 않음"},
}


def halt(
    run: RunArgument = "", runs: RunsOption = RUNS, lang: LanguageOption = "", as_json: JsonOption = False
) -> int:
    """Take no more entries until `resume`; exits go on."""
    from flowguardian.execution.events import Command

    return _ask(Command.HALT, run, runs, lang, as_json)


def resume(
    run: RunArgument = "", runs: RunsOption = RUNS, lang: LanguageOption = "", as_json: JsonOption = False
) -> int:
    """Allow entries again; drawdown is measured anew from here."""
    from flowguardian.execution.events import Command

    return _ask(Command.RESUME, run, runs, lang, as_json)


def flatten(
    run: RunArgument = "", runs: RunsOption = RUNS, lang: LanguageOption = "", as_json: JsonOption = False
) -> int:
    """Take no more entries and close every position at the market."""
    from flowguardian.execution.events import Command

    return _ask(Command.FLATTEN, run, runs, lang, as_json)


def stop(
    run: RunArgument = "", runs: RunsOption = RUNS, lang: LanguageOption = "", as_json: JsonOption = False
) -> int:
    """End the engine in order; the run can be resumed where it stopped."""
    from flowguardian.execution.events import Command

    return _ask(Command.STOP, run, runs, lang, as_json)


def _ask(command: Command, run: str, runs: RunsOption, lang: str, as_json: bool) -> int:
    from flowguardian.ops.commands import ask, is_acknowledged, withdraw

    place, me = find_run(run, runs), f"command line of {getpass.getuser()}"
    number = ask(place, command, me)
    until = time.monotonic() + WAIT_SECONDS
    while not (done := is_acknowledged(place, number)) and time.monotonic() < until:
        time.sleep(LOOK_SECONDS)
    if not done and not _is_alive(place) and withdraw(place, command, me):
        raise output.CliError(
            f"{command.value}: nobody is there to take it", where=str(place),
            why="no process of this run is alive; the command was taken back",
            fix=f"see `flowguardian status {place}`; go on with it: flowguardian paper --run-dir {place}",
        )  # fmt: skip
    if as_json:
        output.print_json({"command": command.value, "id": number, "run_dir": str(place), "done": done})
    else:
        print(SAID[choose(lang)][done].format(command=command.value, run=place))
    return output.EXIT_OK


def _is_alive(run_dir: Path) -> bool:
    """Whether a process of the run lives: an engine that is being started again takes the command later."""
    from flowguardian.ops.registry import Registry

    return any(entry.run_id == run_dir.name for entry in Registry().living())
