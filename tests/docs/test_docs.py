"""The documentation says what is so: links lead somewhere, commands exist, quoted output is real."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from development.commands import read_arguments
from development.pages import events_page, metrics_page, mutants_page, outputs, reasons_page, tape_page
from flowguardian.cli.app import COMMANDS, build
from flowguardian.cli.output import EXIT_CODES
from flowguardian.execution import events as ev
from flowguardian.execution.events import Reason
from flowguardian.ops.config_errors import known_keys
from flowguardian.ops.loading import load
from flowguardian.ops.strategy_cache import load as load_strategy
from tests.golden.market_run import make_run

ROOT = Path(__file__).resolve().parents[2]
REMEDY = "write it anew with: python -m development.pages"
UNFINISHED = re.compile(r"@@\w+@@")

OUTSIDE = re.compile(r"^(https?:|mailto:)")
LINK = re.compile(r"!?\[[^\]\n]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
LARGEST_PICTURE_BYTES = 250_000
TWINS = (
    ("README.md", "README.ko.md"),
    ("docs/guides/first-run.md", "docs/guides/first-run.ko.md"),
    ("docs/guides/operating.md", "docs/guides/operating.ko.md"),
    ("docs/guides/alerts.md", "docs/guides/alerts.ko.md"),
    ("docs/guides/reading-the-budget.md", "docs/guides/reading-the-budget.ko.md"),
    ("docs/guides/dashboard.md", "docs/guides/dashboard.ko.md"),
    ("docs/guides/the-12-hour-run.md", "docs/guides/the-12-hour-run.ko.md"),
    ("docs/guides/views.md", "docs/guides/views.ko.md"),
    ("docs/guides/read-the-journal-with-sqlite.md", "docs/guides/read-the-journal-with-sqlite.ko.md"),
)
# Joined here so that this file does not contain what it looks for.
NAMES = re.compile(
    "|".join(("Clau" + "de", "Copi" + "lot", "Chat" + "GPT", r"\bLL" + r"M\b", "Anthro" + "pic"))
)
ALIKE = {"python3 ", "py "}


def pages() -> list[Path]:
    found = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    return sorted(path for path in found if "PHASE17" not in path.parts)


def text_of(path: Path | str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def blocks(text: str, language: str) -> list[str]:
    return [body for kind, body in FENCE.findall(text) if kind == language]


def anchor(heading: str) -> str:
    """The anchor a heading gets: lower case, punctuation away, spaces to hyphens."""
    words = re.sub(r"[`*]", "", heading.strip().lower())
    return re.sub(r"[^\w\- ]", "", words).replace(" ", "-")


def anchors(path: Path) -> set[str]:
    return {anchor(found) for found in re.findall(r"^#+ (.+)$", without_code(text_of(path)), re.MULTILINE)}


def without_code(text: str) -> str:
    return FENCE.sub("", text)


def test_the_pages_a_reader_looks_for_exist():
    for name in (
        "README.md",
        "README.ko.md",
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "LICENSE",
    ):
        assert (ROOT / name).is_file(), name


@pytest.mark.parametrize("path", pages(), ids=named)
def test_every_link_leads_somewhere(path):
    lost = []
    for target in LINK.findall(without_code(text_of(path))):
        if OUTSIDE.match(target):
            continue
        file, _, place = target.partition("#")
        aim = (path.parent / file).resolve() if file else path
        if not aim.exists() or (place and place not in anchors(aim)):
            lost.append(target)
    assert not lost, f"{named(path)}: {lost}"


def test_a_link_to_a_heading_that_is_not_there_is_found():
    assert anchor("What *lies* in `a` run, directory") == "what-lies-in-a-run-directory"
    assert "no-such-heading" not in anchors(ROOT / "README.md")


def commands() -> list[tuple[str, str]]:
    """(page, command) of every line after a $ in a console block."""
    return [
        (named(path), line[2:])
        for path in pages()
        for block in blocks(text_of(path), "console")
        for line in block.splitlines()
        if line.startswith("$ ")
    ]


def parse(command: str) -> None:
    """Raises when the program behind a documented command would not understand it."""
    words = shlex.split(command)
    if words[0] == "flowguardian":
        parse_flowguardian(words[1:])
    elif words[:2] == ["python", "dev.py"]:
        _, name, rest = read_arguments(words[2:])
        if name == "accept":
            parse_flowguardian([name, *rest])
    elif words[0] == "python":
        assert (ROOT / words[1]).is_file()
        assert {word for word in words[2:] if word.startswith("--")} <= understood_by(words[1])
    else:
        assert words[0] == "sqlite3" or words[:2] == ["keyring", "set"], (
            f"{command}: not a command of this project"
        )


def options_in(script: str) -> set[str]:
    return set(re.findall(r'add_argument\("(--[\w-]+)"', text_of(script)))


def understood_by(script: str) -> set[str]:
    """Its options, and those of the command that it hands the rest to."""
    own = options_in(script)
    if "parse_known_args" not in text_of(script):
        return own
    group: Any = typer.main.get_command(build(["paper"]))
    paper = group.get_command(None, "paper")
    return own | {name for option in paper.params for name in option.opts if name.startswith("--")}


def parse_flowguardian(words: list[str]) -> None:
    assert words[0] in COMMANDS
    command = typer.main.get_command(build([words[0]]))
    context = command.make_context("flowguardian", list(words))
    while hasattr(command, "resolve_command"):
        rest = [*context._protected_args, *context.args]
        name, command, rest = command.resolve_command(context, rest)
        context = command.make_context(name, list(rest), parent=context)


def test_every_command_that_a_page_shows_is_understood():
    shown = commands()
    assert len(shown) > 20
    for page, command in shown:
        try:
            parse(command)
        except Exception as error:
            error.add_note(f"{page}: $ {command}")
            raise


def test_a_command_with_an_option_that_does_not_exist_is_found():
    with pytest.raises(Exception, match="--no-such-option"):
        parse("flowguardian why --no-such-option")
    with pytest.raises(AssertionError):
        parse("python run_real_paper_12h_supervised.py --no-such-option")


def test_the_readme_shows_the_two_commands_and_every_exit_code_and_command():
    for name in ("README.md", "README.ko.md"):
        text = text_of(name)
        assert "$ python dev.py accept" in text
        assert "$ python dev.py test" in text
        assert all(word in text for word in ("`python3`", "`py`"))
        assert all(f"| {code} |" in text for code in EXIT_CODES), name
        for command in COMMANDS:
            assert f"`flowguardian {command}" in text or f"`{command}`" in text, f"{name}: {command}"


@pytest.mark.parametrize(("english", "korean"), TWINS)
def test_the_korean_twin_has_the_same_headings_pictures_and_commands(english, korean):
    def shape(name):
        text = text_of(name)
        levels = re.findall(r"^(#+) ", without_code(text), re.MULTILINE)
        shown = [
            line.replace(" --lang ko", "") for block in blocks(text, "console") for line in block.splitlines()
        ]
        return levels, [line for line in shown if line.startswith("$ ")], text.count("!["), text.count("\n| ")

    assert shape(english) == shape(korean)


def test_generated_pages_are_current():
    for page in (events_page, metrics_page, mutants_page, reasons_page, tape_page):
        assert text_of(page.PAGE) == page.page_text(), f"{page.PAGE}: {REMEDY}"


def test_every_kind_of_row_and_every_reason_has_its_section():
    rows, reasons = text_of(events_page.PAGE), text_of(reasons_page.PAGE)
    assert all(f"\n### {kind}\n" in rows for kind in ev.KINDS)
    assert all(f"\n## {code}\n" in reasons for code in Reason)
    assert set(reasons_page.SAID) == set(Reason)


def test_a_whole_number_without_a_unit_is_an_error():
    with pytest.raises(KeyError):
        events_page.unit_of("OrderFilled", "no_such_field", int)


def test_settings_named_beside_a_reason_exist():
    known = set(known_keys({"strategies": {"scalping": {}}}))
    wanted = {key.replace("<name>", "scalping") for said in reasons_page.SAID.values() for key in said.keys}
    assert len(wanted) > 20
    assert wanted <= known, wanted - known


@pytest.mark.slow
def test_quoted_output_is_what_the_commands_print(tmp_path):
    rehearsals = outputs.Rehearsals(tmp_path)
    stale = [
        page.as_posix()
        for page in outputs.PAGES
        if outputs.refreshed(text_of(page), rehearsals) != text_of(page)
    ]
    assert not stale, f"{stale}: {REMEDY}"


def test_an_altered_output_is_found(tmp_path):
    class Fixed(outputs.Rehearsals):
        def output(self, command):
            return "120 entries\n"

    page = "<!-- real output -->\n```console\n$ flowguardian status\n121 entries\n```\n"
    assert outputs.refreshed(page, Fixed(tmp_path)) == page.replace("121", "120")


@pytest.mark.parametrize("page", [page for pair in TWINS for page in pair if "reading-the-budget" in page])
def test_amounts_in_the_text_of_a_guide_stand_in_its_quoted_output(page):
    text = text_of(page)
    quoted = " ".join(body for _, body in FENCE.findall(text))
    amounts = set(re.findall(r"\d+,\d{3}\.\d{2}", without_code(text)))
    assert len(amounts) >= 5
    assert {amount for amount in amounts if amount not in quoted} == set()


def test_python_in_the_guides_runs(tmp_path, capsys):
    run_dir = tmp_path / "run"
    make_run(run_dir, hours=0.5)
    capsys.readouterr()
    for page in (
        "docs/guides/read-the-journal-with-sqlite.md",
        "docs/guides/read-the-journal-with-sqlite.ko.md",
        "docs/reference/tape.md",
    ):
        for code in blocks(text_of(page), "python"):
            exec(compile(code.replace("RUN/", f"{run_dir.as_posix()}/"), page, "exec"), {})  # noqa: S102
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 7, "three kinds of rows from each page, and the first block of the tape"


def test_the_configuration_of_the_strategy_guide_loads_with_a_copied_strategy(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "strategies").mkdir()
    page = text_of("docs/guides/your-strategy-in-25-lines.md")
    code = blocks(page, "python")[0].replace('"first_example"', '"my_first"')
    Path("strategies/my_first.py").write_text(code, encoding="utf-8")
    Path("my.yml").write_text(blocks(page, "yaml")[0], encoding="utf-8")
    loaded = load(Path("my.yml"), [])
    assert loaded.settings.active.keys() == {"strategies/my_first.py"}
    assert load_strategy("strategies/my_first.py").name == "my_first"
    assert len(code.splitlines()) <= 25


def test_decisions_are_numbered_without_a_gap_and_listed():
    found = sorted(path.name for path in (ROOT / "docs" / "adr").glob("[0-9]*.md"))
    assert [int(name[:4]) for name in found] == list(range(1, len(found) + 1))
    index = text_of("docs/adr/README.md")
    for name in found:
        text = text_of(f"docs/adr/{name}")
        assert f"({name})" in index
        assert text.startswith(f"# {int(name[:4])}. ")
        assert all(f"\n## {part}\n" in text for part in ("Need", "Compared", "Decision", "What it costs")), (
            name
        )


def test_pictures_are_small_and_used():
    everything = "\n".join(text_of(path) for path in pages())
    for picture in (ROOT / "docs" / "pictures").iterdir():
        assert picture.stat().st_size <= LARGEST_PICTURE_BYTES, picture.name
        assert f"pictures/{picture.name})" in everything, picture.name


def test_no_page_names_a_tool_or_leaves_something_open():
    for path in pages():
        found = NAMES.findall(text_of(path)) + UNFINISHED.findall(text_of(path))
        assert not found, f"{named(path)}: {found}"
