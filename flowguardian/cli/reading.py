"""The commands that read a run: `status`, `why`, `explain`, `verify`, `report`.

Rule: only `report` writes, and only reports; all of them answer for a run that is going on as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flowguardian.cli import output
from flowguardian.cli.language import Language, Say, checked, choose
from flowguardian.cli.locate import RUNS, JsonOption, LanguageOption, RunArgument, RunsOption, find_run

if TYPE_CHECKING:
    from flowguardian.acceptance.judgement import Judgement
    from flowguardian.cli.run_rows import RunRows

PackOption = Annotated[
    Path | None, typer.Option("--from", help="A pack instead of a run directory; it is only read.")
]

ReportFolder = Annotated[
    Path | None, typer.Option("--to", help="Folder of the report; the run's own when left out.")
]
ReportName = Annotated[str, typer.Option("--name", help="Name of the report's files.")]
PlotFiles = Annotated[bool, typer.Option("--plots", help="Write the plots as pictures too.")]


def status(
    run: RunArgument = "", runs: RunsOption = RUNS, lang: LanguageOption = "", as_json: JsonOption = False
) -> int:
    """How a run is doing now: money, positions, last trade, what comes next, and whether it is alive."""
    from flowguardian.cli.rendering import status_text
    from flowguardian.cli.standing import status as answer_of

    found, say = _read(run, runs, lang, as_json)
    answer = answer_of(found, say)
    _answer(answer, status_text(answer, say), as_json)
    return output.EXIT_OK


def why(
    run: RunArgument = "", runs: RunsOption = RUNS, lang: LanguageOption = "", as_json: JsonOption = False
) -> int:
    """Why a run trades or does not: the funnel, each guard's last refusal, and what holds entries now."""
    from flowguardian.cli.funnel import why as answer_of
    from flowguardian.cli.rendering import why_text

    found, say = _read(run, runs, lang, as_json)
    answer = answer_of(found, say)
    _answer(answer, why_text(answer, say), as_json)
    return output.EXIT_OK


def explain(
    seq: Annotated[
        int, typer.Argument(help="The number of a row: a signal, refusal, entry, cap, order or fill.")
    ],
    run: RunArgument = "",
    runs: RunsOption = RUNS,
    lang: LanguageOption = "",
    as_json: JsonOption = False,
) -> int:
    """One entry or refusal as arithmetic, computed again from the rows and compared with the journal."""
    from flowguardian.cli.explanation import explain as answer_of
    from flowguardian.cli.rendering import explain_text

    found, say = _read(run, runs, lang, as_json)
    answer = answer_of(found, seq, say)
    _answer(answer, explain_text(answer, say), as_json)
    return output.EXIT_OK


def verify(
    run: RunArgument = "", runs: RunsOption = RUNS, lang: LanguageOption = "", as_json: JsonOption = False,
    packed: PackOption = None,
) -> int:  # fmt: skip
    """Decide a recorded run again from its tape and demand the same rows; else exit code 1 and the row."""
    from flowguardian.ops.verify import verify as answer_of

    say = Say(_language(lang, as_json))
    with _run_dir(run, runs, packed) as run_dir:
        output.progress(f"verify {packed or run_dir}")
        answer = answer_of(run_dir)
    verdict = say("verify_ok") if answer.ok else say("verify_bad", row=answer.row or "?")
    text = f"{verdict}\n  {answer.message}" + ("" if answer.same_code else f"\n  {say('other_code')}")
    _answer(answer, text, as_json)
    return output.EXIT_OK if answer.ok else output.EXIT_FAIL


def report(
    run: RunArgument = "", runs: RunsOption = RUNS, lang: LanguageOption = "", as_json: JsonOption = False,
    packed: PackOption = None,
    to: ReportFolder = None, name: ReportName = "report", plots: PlotFiles = False,
) -> int:  # fmt: skip
    """Verify and judge a run that is over, and write its report; the exit code is the verdict's.

    Of a pack (--from) the verdict is said, and the report written where --to says.
    """
    from flowguardian.acceptance.report import Reporter
    from flowguardian.ops.conduct import judged

    with _run_dir(run, runs, packed) as run_dir:
        if packed is None:
            _must_have_ended(run_dir)
        language = choose(checked(lang), _configured(run_dir))
        output.progress(f"verify and judge {packed or run_dir}")
        judgement = judged(run_dir)
        paths: tuple[Path, ...] = ()
        if packed is None or to is not None:
            paths = Reporter(run_dir, to, name).write(judgement, language, plot_files=plots)
    say = Say(language)
    text = "\n".join(
        [f"{judgement.verdict} ({judgement.kind})", *(say("report_at", path=path) for path in paths)]
    )
    _answer(_judged(judgement, paths), text, as_json)
    return {"PASS": output.EXIT_OK, "FAIL": output.EXIT_FAIL}.get(judgement.verdict, output.EXIT_INCONCLUSIVE)


@contextmanager
def _run_dir(run: str, runs: Path, packed: Path | None) -> Iterator[Path]:
    """The run that was named, or what a pack holds for as long as it is read."""
    if packed is None:
        yield find_run(run, runs)
        return
    if run:
        raise output.CliError(
            "a run and a pack are both named", why=f"{run} and --from {packed}", fix="name one of them"
        )
    from flowguardian.ops.packing import opened

    with opened(packed) as run_dir:
        yield run_dir


def _must_have_ended(run_dir: Path) -> None:
    from flowguardian.ops.manifest import ManifestError, read_manifest
    from flowguardian.ops.registry import Registry

    try:
        run_id = read_manifest(run_dir).run_id
    except ManifestError:
        # A report must be possible from what is left of a run; the journal says which run it was.
        run_id = run_dir.name
    alive = [entry for entry in Registry().living() if entry.run_id == run_id]
    if alive:
        raise output.CliError(
            "the run is still going on", where=str(run_dir),
            why=f"{alive[0].text()} is alive: no verdict, running",
            fix="see `flowguardian status`; report when it has ended",
        )  # fmt: skip


def _judged(judgement: Judgement, paths: tuple[Path, ...]) -> dict[str, Any]:
    from flowguardian.acceptance.report import summary_json

    html = next((path for path in paths if path.suffix == ".html"), Path())
    return {**summary_json(judgement, html), "reports": [str(path) for path in paths]}


def _read(run: str, runs: Path, lang: str, as_json: bool) -> tuple[RunRows, Say]:
    from flowguardian.cli.run_rows import read_run

    option = checked(lang)
    found = read_run(find_run(run, runs))
    configured = str(found.config.get("run", {}).get("language", "auto"))
    return found, Say("en" if as_json else choose(option, configured))


def _language(lang: str, as_json: bool) -> Language:
    option = checked(lang)
    return "en" if as_json else choose(option)


def _configured(run_dir: Path) -> str:
    """The language the run was configured with; "auto" when its first row cannot be read."""
    from flowguardian.cli.run_rows import read_run
    from flowguardian.journal.chain import ChainError

    try:
        return str(read_run(run_dir).config.get("run", {}).get("language", "auto"))
    except (output.CliError, ChainError):
        return "auto"


def _answer(answer: Any, text: str, as_json: bool) -> None:
    """The text, or the object."""
    if as_json:
        output.print_json(answer)
    else:
        print(text)
