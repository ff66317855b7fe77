"""`views`: host the views of a run by hand, as the observer of a run in progress does.

Rule: it reads the run and writes the stores; addresses come from the environment, never from the arguments.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from flowguardian.cli import output
from flowguardian.cli.language import choose
from flowguardian.cli.locate import RUNS, JsonOption, LanguageOption, RunArgument, RunsOption, find_run

if TYPE_CHECKING:
    from flowguardian.journal.view_worker import Standing

MODES = ("off", "embedded", "urls")
SAID = {
    "en": "{view}: {state}, row {seq}, behind by {behind} rows{why}  ({place})",
    "ko": "{view}: {state}, {seq}행, {behind}행 뒤처짐{why}  ({place})",
}

StoresOption = Annotated[
    str, typer.Option(help="off, embedded or urls; without it the run's own setting, or embedded where off.")
]
EnvOption = Annotated[str, typer.Option(help="Word in the names of keys; without it the run's own.")]
RebuildOption = Annotated[
    bool, typer.Option("--rebuild", help="Remove what the stores hold of this run, then copy it anew.")
]
HoldOption = Annotated[
    bool, typer.Option("--hold", help="Go on until Ctrl-C, so that servers started here can be asked.")
]


def views(
    run: RunArgument = "",
    stores: StoresOption = "",
    env: EnvOption = "",
    rebuild: RebuildOption = False,
    hold: HoldOption = False,
    runs: RunsOption = RUNS,
    lang: LanguageOption = "",
    as_json: JsonOption = False,
) -> int:
    """Copy the journal of a run into its stores until it is complete; Ctrl-C ends it earlier."""
    from flowguardian.ops.manifest import read_manifest
    from flowguardian.ops.observer import Observer
    from flowguardian.ops.settings_stores import Stores
    from flowguardian.ops.stores import recorded_stores

    if stores not in ("", *MODES):
        raise output.CliError(
            f"{stores!r} is no way to store", where="--stores", fix=f"one of {', '.join(MODES)}"
        )
    place, language = find_run(run, runs), choose(lang)
    recorded = recorded_stores(bytes(read_manifest(place).config))
    mode = stores or ("embedded" if recorded.mode == "off" else recorded.mode)
    chosen = {**recorded.model_dump(), "mode": mode, "env": env or recorded.env}

    def show(line: Mapping[str, object]) -> None:
        if line["event"] != "ready":
            _progress(line["views"], language)

    observer = Observer(
        place, Stores.model_validate(chosen), show, until_complete=not hold, hold=hold, rebuild=rebuild
    )
    standings = observer.run()
    if as_json:
        output.print_json({"run_dir": str(place), "drained": observer.drained, "views": standings})
    else:
        for standing in standings:
            print(_line(standing, language))
    return output.EXIT_OK if observer.drained else output.EXIT_FAIL


def _progress(standings: object, language: str) -> None:
    if isinstance(standings, list):
        output.progress("; ".join(_line(standing, language) for standing in standings))


def _line(standing: Standing, language: str) -> str:
    why = f": {standing.why}" if standing.why else ""
    return SAID[language].format(
        view=standing.view, state=standing.state, seq=standing.seq, behind=standing.behind, why=why,
        place=standing.place or "-",
    )  # fmt: skip
