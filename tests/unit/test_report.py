"""The report: complete, in both languages, self-contained, and the same every time."""

from __future__ import annotations

import re
import string
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest

from flowguardian.acceptance.catalog import LANGUAGES, sentences
from flowguardian.acceptance.judge import Replay, judge
from flowguardian.acceptance.judgement import Judgement
from flowguardian.acceptance.report import Reporter, read_judgement
from flowguardian.acceptance.summary import Summary, summary_json
from flowguardian.execution import events as ev
from flowguardian.journal import ops_events as o
from tests.unit.journal_builder import Story
from tests.unit.run_files import CONFIG, HOST, T0

REFERENCE = Path(__file__).resolve().parents[2] / "docs" / "reference"
SAME = Replay(ok=True, rows=1, message="")
REHEARSAL = {**CONFIG, "market": {"speed": "max", "source": "synthetic:1"}}
VOID = {"meta", "br", "img", "input", "link", "hr", "use", "path", "rect", "circle"}


@pytest.fixture(scope="module")
def passed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Judgement]:
    run_dir = Story().write(tmp_path_factory.mktemp("passed") / "run")
    judgement = judge(run_dir, SAME)
    Reporter(run_dir).write(judgement, "ko")
    return run_dir, judgement


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Judgement]:
    story = Story(config=REHEARSAL)
    story.rows.append(ev.InvariantViolated(T0, "I06", "used > allocated"))
    story.ops.insert(
        3, o.Incident(HOST, o.Severity.ERROR, "engine", "<script>alert(1)</script>", "| a | b |")
    )
    run_dir = story.write(tmp_path_factory.mktemp("failed") / "run")
    judgement = judge(run_dir, SAME)
    Reporter(run_dir).write(judgement, "ko")
    return run_dir, judgement


def read(run: tuple[Path, Judgement], name: str) -> str:
    return (run[0] / name).read_text(encoding="utf-8")


def test_korean_is_the_default_and_english_its_twin(passed: tuple[Path, Judgement]) -> None:
    assert read(passed, "report.md").startswith("# 실시간 인수 시험: 합격 (PASS)")
    assert read(passed, "report.en.md").startswith("# Wall-clock acceptance run: PASS")


def test_the_first_language_asked_for_is_the_default(passed: tuple[Path, Judgement], tmp_path: Path) -> None:
    files = Reporter(passed[0], tmp_path, "PHASE17_REPORT").write(passed[1], ["en", "ko"], plot_files=True)
    names = [path.relative_to(tmp_path).as_posix() for path in files]
    assert names[:4] == [
        "PHASE17_REPORT.md",
        "PHASE17_REPORT.ko.md",
        "PHASE17_REPORT.html",
        "PHASE17_REPORT.json",
    ]
    page = files[0].read_text(encoding="utf-8")
    pictures = re.findall(r"!\[[^]]+]\(([^)]+)\)", page)
    assert "PHASE17_REPORT_plots/equity.en.svg" in pictures
    assert all((tmp_path / picture).is_file() for picture in pictures)
    assert "var(--" not in (tmp_path / pictures[0]).read_text(encoding="utf-8")


def test_an_unknown_language_is_an_error(passed: tuple[Path, Judgement], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected some of ko, en"):
        Reporter(passed[0], tmp_path).write(passed[1], "fr")


def test_a_rehearsal_says_so_in_its_first_line(failed: tuple[Path, Judgement]) -> None:
    assert "리허설 (REHEARSAL)" in read(failed, "report.md").split("\n")[0]
    assert "REHEARSAL" in read(failed, "report.en.md").split("\n")[0]


@pytest.mark.parametrize("name", ["report.md", "report.en.md", "report.html"])
def test_the_labels_are_exactly_these(passed: tuple[Path, Judgement], name: str) -> None:
    page = read(passed, name)
    for label in ("Entry SUCCESS", "Budget Cap Applied", "Portfolio Budget BLOCK", "Portfolio Check BLOCK %"):
        assert label in page


def test_korean_labels_carry_the_english_code(passed: tuple[Path, Judgement]) -> None:
    page = read(passed, "report.md")
    for criterion in passed[1].criteria:
        assert re.search(rf"[가-힣].*\({criterion.id}\)", page), criterion.id
    for label in (
        "진입 성공 (Entry SUCCESS)",
        "예산 상한 적용 (Budget Cap Applied)",
        "예산 차단 (Portfolio Budget BLOCK)",
    ):
        assert label in page


def test_only_an_acceptance_pass_speaks_of_closing_the_phase(
    passed: tuple[Path, Judgement], failed: tuple[Path, Judgement], tmp_path: Path
) -> None:
    said = "PHASE17 infrastructure acceptance is complete"
    assert said in read(passed, "report.en.md")
    assert "PHASE17을 종료할지는 사용자가 결정합니다" in read(passed, "report.md")
    assert said not in read(failed, "report.html")
    run_dir = Story(config=REHEARSAL).write(tmp_path / "run")
    Reporter(run_dir).write(judge(run_dir, SAME), "en")
    page = (run_dir / "report.md").read_text(encoding="utf-8")
    assert said not in page and "rehearsal PASS" in page


def test_a_failed_report_names_the_cause_and_the_next_phase(failed: tuple[Path, Judgement]) -> None:
    page = read(failed, "report.en.md")
    assert "I06: used > allocated" in page
    assert "Next phase (core fix)" in page
    assert "다음 단계(코어 수정)" in read(failed, "report.md")


def test_every_page_that_was_asked_for_is_there(passed: tuple[Path, Judgement]) -> None:
    titles = re.findall(r"^## (.+)$", read(passed, "report.en.md"), re.MULTILINE)
    assert titles == [
        "Gates", "Environment", "Preflight", "Counts", "Why it entered, and why not", "Budget and money",
        "Equity and drawdown", "Trades", "Data quality", "Stability: segments and processes", "Resources",
        "Incidents", "Against the earlier system", "What was not tested", "Conclusion",
    ]  # fmt: skip
    page = read(passed, "report.en.md")
    for said in (
        "31.1 %",
        "KST",
        "UTC",
        passed[1].config_hash,
        passed[1].journal_hash,
        "The strategy lost",
        "M30",
    ):
        assert said in page


def test_what_preflight_prepared_has_its_own_table_in_the_language_of_the_page(
    passed: tuple[Path, Judgement],
) -> None:
    page = read(passed, "report.en.md")
    prepared, checked = (
        page.split("## Preflight")[1].split("## Counts")[0].split("This machine and what will decide")
    )
    assert "| logs | fixed | 2 files moved |" in prepared and "never shown" not in page
    assert "| clock | warn | 600 ms off | Set it. |" in checked and "120 GB free" in checked
    korean = read(passed, "report.md")
    assert (
        "| logs | fixed | 파일 2개 옮김 |" in korean
        and "| clock | warn | 600 ms 다름 | 맞추십시오. |" in korean
    )


def test_markdown_tables_are_rectangular(failed: tuple[Path, Judgement]) -> None:
    for table in re.findall(r"(?:^\|.*\|\n)+", read(failed, "report.md"), re.MULTILINE):
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in table.strip().split("\n")}
        assert len(widths) == 1, table


class Balance(HTMLParser):
    """Fails on tags that do not close in order; collects what would be fetched."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.fetched: list[str] = []
        self.scripts = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.scripts += tag == "script"
        self.fetched += [
            v or "" for k, v in attrs if k in ("src", "href", "xlink:href", "srcset", "data") and v
        ]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.fetched += [v or "" for k, v in attrs if k in ("src", "href", "xlink:href") and v]

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag


@pytest.mark.parametrize("fixture", ["passed", "failed"])
def test_the_page_needs_no_network_and_is_well_formed(request: pytest.FixtureRequest, fixture: str) -> None:
    page = read(request.getfixturevalue(fixture), "report.html")
    parser = Balance()
    parser.feed(page)
    assert parser.open == []
    assert all(link.startswith("#") for link in parser.fetched)
    assert parser.scripts == 1  # the language switch; what a run wrote is escaped
    assert "@import" not in page and not re.search(r"url\((?!#)", page)
    assert len(page.encode()) < 3_000_000


def test_the_page_holds_plots_in_both_languages_and_themes(passed: tuple[Path, Judgement]) -> None:
    page = read(passed, "report.html")
    assert page.count("<svg role=") == 8
    assert '<tspan class="ko">운영 시간 (h)</tspan><tspan class="en">Run time (h)</tspan>' in page
    assert "prefers-color-scheme: dark" in page and "@media print" in page
    assert not re.search(r"#(101112|202122|303132|404142|505152|606162)", page)
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))


def test_the_same_judgement_gives_the_same_report(passed: tuple[Path, Judgement], tmp_path: Path) -> None:
    again = Reporter(passed[0], tmp_path).write(read_judgement(passed[0] / "report.json"), "ko")
    for path in again:
        assert path.read_bytes() == (passed[0] / path.name).read_bytes(), path.name


def placeholders(sentence: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(sentence) if name is not None}


def test_both_languages_have_the_same_sentences_with_the_same_placeholders() -> None:
    ko, en = (sentences(language) for language in LANGUAGES)
    assert ko.keys() == en.keys()
    assert [key for key in ko if placeholders(ko[key]) != placeholders(en[key])] == []


@pytest.mark.parametrize(("name", "shape"), [("report", Judgement), ("summary", Summary)])
def test_the_documented_schema_is_the_schema(name: str, shape: type[msgspec.Struct]) -> None:
    written = (REFERENCE / f"{name}.schema.json").read_bytes()
    schema = msgspec.json.format(msgspec.json.encode(msgspec.json.schema(shape)), indent=2) + b"\n"
    assert written.replace(b"\r\n", b"\n") == schema, f"write docs/reference/{name}.schema.json anew"


def test_the_json_files_follow_their_schema(passed: tuple[Path, Judgement]) -> None:
    assert read_judgement(passed[0] / "report.json") == passed[1]
    line = msgspec.json.encode(summary_json(passed[1], "report.html"))
    assert msgspec.json.decode(line, type=Summary).report == "report.html"
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(line.replace(b'"run_id"', b'"runid"'), type=Summary)


def test_every_field_of_the_report_is_in_the_reference_page() -> None:
    page = (REFERENCE / "report.md").read_text(encoding="utf-8")
    for shape in (Judgement, Summary):
        assert [name for name in shape.__struct_fields__ if f"`{name}`" not in page] == []
