"""`runs list`, `runs compare` and `runs prune`: the runs of a folder.

Rule: only `prune` changes anything, and it asks first.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flowguardian.cli import output
from flowguardian.cli.language import Say, checked, choose
from flowguardian.cli.locate import RUNS, JsonOption, LanguageOption, RunsOption, find_run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flowguardian.cli.answers import ComparedLine, Pruned, RunLine

runs = typer.Typer(rich_markup_mode=None)


@runs.callback()
def _runs() -> None:
    """Runs of a folder."""


@runs.command("list")
def list_(folder: RunsOption = RUNS, lang: LanguageOption = "", as_json: JsonOption = False) -> int:
    """Every run with kind, state, verdict, run time, entries and size, oldest first."""
    from flowguardian.cli.run_list import list_runs

    say, answer = Say(choose(checked(lang))), list_runs(folder)
    if as_json:
        output.print_json(answer)
    elif not answer.runs:
        print(say("runs_none", folder=folder))
    else:
        print(_table(answer.runs, say))
        print(say("runs_sum", count=len(answer.runs), size=_size(answer.size_bytes)))
    return output.EXIT_OK


@runs.command("compare")
def compare(
    left: Annotated[str, typer.Argument(help="A run directory, or a run id under the runs folder.")],
    right: Annotated[str, typer.Argument(help="The other one.")],
    folder: RunsOption = RUNS,
    every: Annotated[bool, typer.Option("--all", help="Also show figures that are equal.")] = False,
    lang: LanguageOption = "",
    as_json: JsonOption = False,
) -> int:
    """Two runs side by side, by the definitions of the report, and the first row that differs."""
    from flowguardian.cli.run_comparing import compare as answer_of

    say = Say(choose(checked(lang)))
    answer = answer_of(find_run(left, folder), find_run(right, folder))
    if as_json:
        output.print_json(answer)
        return output.EXIT_OK
    rows = [line for line in (*answer.lines, *answer.settings) if every or not line.same]
    print(_compared(rows, answer.left, answer.right))
    key = "compare_rows_differ" if answer.first_difference else "compare_rows_same"
    print(say(key, row=answer.first_difference))
    return output.EXIT_OK


@runs.command("prune")
def prune(
    folder: RunsOption = RUNS,
    keep: Annotated[
        int | None, typer.Option(help="Keep the newest runs, this many.", min=0, show_default=False)
    ] = None,
    older_than: Annotated[
        str, typer.Option(help="Only runs not written for this long, like 30d.", show_default=False)
    ] = "",
    only_shown: Annotated[bool, typer.Option("--dry-run", help="Only show what would go.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    lang: LanguageOption = "",
    as_json: JsonOption = False,
) -> int:
    """Delete old runs; never one that is running. With both options a run has to meet both."""
    from flowguardian.cli.run_list import list_runs
    from flowguardian.cli.run_pruning import chosen, living_ids
    from flowguardian.cli.run_pruning import prune as answer_of
    from flowguardian.ops.settings import duration_seconds

    say = Say(choose(checked(lang)))
    if keep is None and not older_than:
        raise output.CliError(
            "nothing says which runs may go", where="runs prune", fix="add --keep 10, or --older-than 30d"
        )
    age = duration_seconds(older_than) if older_than else None
    going = chosen(
        list_runs(folder).runs, living_ids(), keep=keep, older_than_seconds=age, now_ns=time.time_ns()
    )
    if going and not only_shown and not yes:
        _ask(going, say, as_json=as_json)
    answer = answer_of(going, only_shown=only_shown)
    if as_json:
        output.print_json(answer)
    else:
        _print_pruned(answer, say)
    return output.EXIT_OK


def _ask(going: Sequence[RunLine], say: Say, *, as_json: bool) -> None:
    if as_json or not sys.stdin.isatty():
        raise output.CliError(
            f"{len(going)} runs would be deleted, and nobody can be asked", where="runs prune",
            fix="add --yes to delete them, or --dry-run to see them",
        )  # fmt: skip
    print(_table(going, say))
    typer.confirm(
        say("prune_ask", count=len(going), size=_size(sum(run.size_bytes for run in going))), abort=True
    )


def _print_pruned(answer: Pruned, say: Say) -> None:
    if answer.deleted:
        print(_table(answer.deleted, say))
    for line in answer.kept:
        print(say("prune_kept", run=line.run_id, why=line.why))
    key = "prune_would" if answer.only_shown else "prune_done"
    print(say(key, count=len(answer.deleted), size=_size(answer.freed_bytes)))


def _table(lines: Sequence[RunLine], say: Say) -> str:
    head = [say(f"runs_{name}") for name in ("id", "kind", "state", "verdict", "time", "entries", "size")]
    rows = [
        [
            line.run_id, line.kind, line.state, line.verdict or line.why[:60], _hours(line.run_seconds),
            f"{line.entries:,}", _size(line.size_bytes),
        ]
        for line in lines
    ]  # fmt: skip
    return output.table([head, *rows], right=(4, 5, 6))


def _compared(lines: Sequence[ComparedLine], left: str, right: str) -> str:
    rows = [["", left, right], *([line.name, _shown(line.left), _shown(line.right)] for line in lines)]
    return output.table(rows)


def _shown(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:,.4f}".rstrip("0").rstrip(".")
    text = f"{value:,}" if isinstance(value, int) else str(value)
    return text if len(text) <= 40 else f"{text[:12]}…"


def _hours(seconds: float) -> str:
    whole = int(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def _size(count: int) -> str:
    return f"{count / 1e6:,.1f} MB"
