"""The report of a run: Markdown, one self-contained HTML page, and JSON, all from the same judgement.

Rule: nothing is measured here. The first language given is the default; the page holds all of them and needs
no network. A report is replaced as a whole, never written over in place.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from flowguardian.acceptance import plots
from flowguardian.acceptance.blocks import Cell, facts
from flowguardian.acceptance.catalog import LANGUAGES, sentences, text
from flowguardian.acceptance.contents import first_screen, sections, title
from flowguardian.acceptance.evidence import JOURNAL, OPS
from flowguardian.acceptance.formats import percent, shown, usdt
from flowguardian.acceptance.judgement import Judgement, Text
from flowguardian.acceptance.summary import summary_json
from flowguardian.ops.platform_files import atomic_write

if TYPE_CHECKING:
    import jinja2

__all__ = ["Reporter", "read_judgement", "summary_json"]

FOLDER = "flowguardian.acceptance"
CHUNK = 1 << 20


class FileLine(NamedTuple):
    """A file the report can be recomputed from."""

    name: str
    size: str
    sha256: str


def read_judgement(path: Path) -> Judgement:
    """A judgement from its `report.json`; raises OSError or msgspec.ValidationError."""
    return msgspec.json.decode(path.read_bytes(), type=Judgement)


class Reporter:
    """Writes the report of one run, into its directory unless another is given."""

    def __init__(self, run_dir: Path, out_dir: Path | None = None, name: str = "report") -> None:
        self.run_dir, self.out_dir, self.name = run_dir, out_dir or run_dir, name

    def write(
        self, judgement: Judgement, languages: str | Sequence[str] = LANGUAGES, *, plot_files: bool = False
    ) -> tuple[Path, ...]:
        """Write the report and return its files: Markdown by language, the page, JSON, pictures.

        One language alone means: that one first, its twins beside it. `plot_files` puts the pictures beside
        the report as well. Raises ValueError for a language there is no catalogue of, OSError.
        """
        wanted = _languages(languages)
        self.out_dir.mkdir(parents=True, exist_ok=True)
        drawn, evidence = plots.draw(judgement), self._files()
        pages: list[Path] = []
        pictures: list[Path] = []
        for language in wanted:
            beside = self._pictures(drawn, language) if plot_files else {}
            page = self.out_dir / f"{self.name}{'' if language == wanted[0] else f'.{language}'}.md"
            links = {name: path.relative_to(self.out_dir).as_posix() for name, path in beside.items()}
            _put(page, markdown(judgement, language, evidence, links))
            pages.append(page)
            pictures += beside.values()
        html, json = self.out_dir / f"{self.name}.html", self.out_dir / f"{self.name}.json"
        _put(html, web_page(judgement, wanted, drawn, evidence))
        atomic_write(json, msgspec.json.format(msgspec.json.encode(judgement), indent=1) + b"\n")
        return (*pages, html, json, *pictures)

    def _pictures(self, drawn: dict[str, str], language: str) -> dict[str, Path]:
        folder = self.out_dir / f"{self.name}_plots"
        folder.mkdir(exist_ok=True)
        found = {}
        for name, svg in drawn.items():
            found[name] = folder / f"{name}.{language}.svg"
            _put(found[name], plots.standalone(svg, language))
        return found

    def _files(self) -> list[FileLine]:
        names = [
            JOURNAL,
            OPS,
            *(f"tape/{path.name}" for path in sorted(self.run_dir.glob("tape/tape-*.fgt"))),
        ]
        return [_file_line(self.run_dir / name, name) for name in names if (self.run_dir / name).is_file()]


def _languages(asked: str | Sequence[str]) -> tuple[str, ...]:
    wanted = (
        (asked, *(other for other in LANGUAGES if other != asked)) if isinstance(asked, str) else tuple(asked)
    )
    if not wanted or any(language not in LANGUAGES for language in wanted):
        raise ValueError(f"languages {asked!r}: expected some of {', '.join(LANGUAGES)}")
    return wanted


def markdown(j: Judgement, language: str, evidence: Sequence[FileLine], pictures: dict[str, str]) -> str:
    """The report as Markdown in one language."""
    page = _templates(language).get_template("report.md.j2")
    rendered = page.render(
        j=j,
        title=title(j),
        first=facts(first_screen(j)),
        sections=sections(j),
        files=evidence,
        pictures=pictures,
    )
    return _tidied(rendered)


def web_page(
    j: Judgement, languages: Sequence[str], drawn: dict[str, str], evidence: Sequence[FileLine]
) -> str:
    """The report as one HTML page with everything in it."""
    page = _templates(languages[0], escape=True).get_template("report.html.j2")
    style = files(FOLDER).joinpath("templates", "report.css").read_text(encoding="utf-8")
    html: str = page.render(
        j=j, title=title(j), first=facts(first_screen(j)), sections=sections(j), files=evidence, plots=drawn,
        languages=tuple(languages), style=style, key_figures=_key_figures(j),
    )  # fmt: skip
    return html


def _key_figures(j: Judgement) -> list[tuple[Text, Cell]]:
    change = j.money.end - j.money.start
    pct = f" ({change * 100 / j.money.start:+.2f} %)" if j.money.start else ""
    errors: Cell = text("label.not_measured") if j.counts.errors is None else shown(j.counts.errors)
    return [
        (text("label.entry_success"), shown(j.counts.entries)),
        (text("label.cap_applied"), shown(j.counts.budget_caps)),
        (
            text("label.budget_block"),
            f"{j.counts.portfolio_budget_blocks} · {percent(j.counts.block_pct, 1)}",
        ),
        (text("label.errors"), errors),
        (text("label.wf_end"), f"{usdt(j.money.end)}{pct}"),
        (text("label.wf_drawdown"), percent(j.money.max_drawdown_pct)),
    ]


@functools.cache
def _templates(language: str, escape: bool = False) -> jinja2.Environment:
    import jinja2

    made = jinja2.Environment(
        loader=jinja2.PackageLoader(FOLDER, "templates"), autoescape=escape,  # noqa: S701 - Markdown is not HTML; the page escapes
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
    )  # fmt: skip
    made.filters["words"] = lambda cell: cell if isinstance(cell, str) else getattr(cell, language)
    made.filters["first_language"] = made.filters["words"]
    made.filters["sentence"] = lambda key: sentences(language)[key]
    made.filters["text"] = text
    return made


def _tidied(page: str) -> str:
    """Never more than one empty line, none at the ends."""
    lines: list[str] = []
    for line in page.split("\n"):
        stripped = line.rstrip()
        if stripped or (lines and lines[-1]):
            lines.append(stripped)
    return "\n".join(lines).strip("\n") + "\n"


def _put(path: Path, content: str) -> None:
    atomic_write(path, content.encode())


def _file_line(path: Path, name: str) -> FileLine:
    digest = hashlib.sha256()
    with path.open("rb") as opened:
        while chunk := opened.read(CHUNK):
            digest.update(chunk)
    return FileLine(name, f"{path.stat().st_size:,} B", digest.hexdigest())
