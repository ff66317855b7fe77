"""From what a person calls a run to its directory: a path, a run id, or nothing.

Rule: a run is a directory with a manifest or a journal in it; nothing is guessed, the nearest is offered.
"""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from typing import Annotated

import typer

from flowguardian.cli.output import CliError

MARKS = ("run.json", "journal.db")
"""Manifest or journal: a damaged run has one of them at least."""

RunArgument = Annotated[
    str, typer.Argument(help="A run directory, a run id under the runs folder, or nothing: the latest run.")
]
RunsOption = Annotated[
    Path, typer.Option("--runs", envvar="FLOWGUARDIAN_RUNS", help="The folder of the run folders.")
]
LanguageOption = Annotated[
    str, typer.Option("--lang", help="ko or en; without it the run's, then the system's.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="One JSON object as the last line of stdout.")]
RUNS = Path("runs")


def find_run(run: str = "", runs: Path = RUNS) -> Path:
    """The directory of a run; raises CliError that says what there is."""
    if not run:
        return _latest(runs)
    for place in (Path(run), runs / run):
        if is_run(place):
            return place
    if Path(run).is_dir():
        raise CliError(
            f"{run} is not a run", where=str(Path(run).resolve()), fix="name a run directory, or a run id",
            why=f"it holds neither {' nor '.join(MARKS)}",
        )  # fmt: skip
    known = [place.name for place in all_runs(runs)]
    near = get_close_matches(run, known, 1, 0.5)
    why = f"the runs there are: {', '.join(known[-5:])}" if known else "that folder holds no run"
    fix = (
        f"did you mean {near[0]}?"
        if near
        else "name a run directory, or point --runs to the folder of the runs"
    )
    raise CliError(f"there is no run {run}", where=str(runs), why=why, fix=fix)


def is_run(place: Path) -> bool:
    """Whether a directory holds a run."""
    return any((place / mark).is_file() for mark in MARKS)


def _latest(runs: Path) -> Path:
    found = all_runs(runs)
    if not found:
        raise CliError(
            "there is no run yet", where=str(runs.resolve()), why="that folder holds no run",
            fix="start one with `flowguardian accept`, or point --runs to the folder of the runs",
        )  # fmt: skip
    return found[-1]


def all_runs(runs: Path) -> list[Path]:
    """Runs in the order of their start: the manifest is written once, at the start."""
    if not runs.is_dir():
        return []
    return sorted((place for place in runs.iterdir() if is_run(place)), key=_started)


def _started(place: Path) -> tuple[float, str]:
    mark = next(place / mark for mark in MARKS if (place / mark).is_file())
    return mark.stat().st_mtime, place.name
