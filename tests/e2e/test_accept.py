"""`accept` from start to verdict, as a user runs it: PASS, the planted leak, and many synthetic markets."""

from __future__ import annotations

import json
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest

from flowguardian.acceptance.summary import Summary
from flowguardian.execution import events as ev
from tests.e2e.real_runs import ROOT, Ended, rows, run

SCHEMA = ROOT / "docs" / "reference" / "summary.schema.json"
COLUMNS = "seed verdict      entries  caps  block %  check block %  equity USDT  longest gap min"


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("state")


@pytest.fixture(scope="module")
def passed(state: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Ended]:
    run_dir = tmp_path_factory.mktemp("runs") / "passed"
    return run_dir, run("accept", "--run-dir", run_dir, "--json", state=state)


def _met(answer: dict[str, Any]) -> dict[str, Any]:
    return {criterion["id"]: criterion["observed"] for criterion in answer["criteria"]}


def test_accept_ends_as_a_rehearsal_that_passed(passed: tuple[Path, Ended]) -> None:
    run_dir, end = passed
    assert end.code == 0, end.err
    assert end.out.count("\n") == 1, "with --json one object is all that stands on stdout"
    answer = end.answer
    assert (answer["verdict"], answer["kind"], answer["feed"]) == ("PASS", "rehearsal", "venue_synthetic")
    assert answer["market_hours"] == pytest.approx(12, rel=0.005)
    assert answer["counts"]["entries"] >= 100 and answer["counts"]["errors"] == 0
    assert "PASS (rehearsal)" in end.err and str(run_dir / "report.html") in end.err


def test_the_last_line_is_what_the_documented_schema_says(passed: tuple[Path, Ended]) -> None:
    line = passed[1].out.splitlines()[-1]
    msgspec.json.decode(line, type=Summary, strict=True)
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    assert not list(_differences(json.loads(line), schema, schema["$defs"], "$"))


@pytest.mark.parametrize("change", [{"verdict": "MAYBE"}, {"kind": None}, {"more": 1}, {"counts": {}}])
def test_the_comparison_with_the_schema_finds_what_is_wrong(
    passed: tuple[Path, Ended], change: dict[str, Any]
) -> None:
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    assert list(_differences({**passed[1].answer, **change}, schema, schema["$defs"], "$"))


def test_the_report_files_exist_and_say_at_once_that_it_was_a_rehearsal(passed: tuple[Path, Ended]) -> None:
    run_dir, end = passed
    english = (run_dir / "report.md").read_text(encoding="utf-8").splitlines()[0]
    korean = (run_dir / "report.ko.md").read_text(encoding="utf-8").splitlines()[0]
    assert "REHEARSAL" in english and "PASS" in english
    assert "리허설 (REHEARSAL)" in korean and "합격 (PASS)" in korean
    page = (run_dir / "report.html").read_text(encoding="utf-8")
    assert "REHEARSAL" in page and "<svg" in page
    assert not re.search(r"(src|href)=.https?://", page), "the report must be self-contained"
    report = json.loads((run_dir / "report.json").read_text(encoding="utf-8"))
    assert report["journal_hash"] == end.answer["journal_hash"]
    quality = report["feed_quality"]
    assert quality["counts"]["trades"] > 250_000 and quality["counts"]["lost"] == 0
    assert quality["fresh_pct"] == 100 and not report["silences"]
    assert "local venue, synthetic" in page and "every stream fresh" in page
    assert Path(end.answer["report"]) == run_dir / "report.html"


def test_the_broken_twin_fails_and_the_invariant_is_named(state: Path, tmp_path: Path) -> None:
    end = run(
        "accept", "--break", "--venue", "direct", "--run-dir", tmp_path / "broken", "--json", state=state
    )
    assert end.code == 1, end.err
    answer = end.answer
    assert answer["verdict"] == "FAIL"
    assert "I06" in next(cause["why"] for cause in answer["causes"] if cause["criterion"] == "invariants")
    assert "I06" in (tmp_path / "broken" / "report.md").read_text(encoding="utf-8")
    violated = [row for row in rows(tmp_path / "broken") if isinstance(row, ev.InvariantViolated)]
    assert violated and violated[0].invariant == "I06"


@pytest.mark.slow
@pytest.mark.parametrize("markets", [5, pytest.param(20, marks=pytest.mark.nightly)])
def test_synthetic_markets_are_all_shown_and_every_record_holds(
    state: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], markets: int
) -> None:
    def one(seed: int) -> tuple[int, dict[str, Any], dict[str, Any]]:
        run_dir = tmp_path / f"seed-{seed}"
        # What looks on decides nothing, and many of it would only take time.
        alone = ("--venue", "direct", "--set", "metrics.enabled=false", "--json")
        end = run("accept", *alone, "--market", f"synthetic:{seed}", "--run-dir", run_dir, state=state)
        assert end.code in (0, 1, 4), end.err
        report = json.loads((run_dir / "report.json").read_text(encoding="utf-8"))
        return seed, end.answer, report

    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(one, range(1, markets + 1)))
    table = "\n".join([COLUMNS, *(_line(*each) for each in found)])
    with capsys.disabled():
        sys.stdout.write(f"\n{table}\n")
    passes = sum(answer["verdict"] == "PASS" for _, answer, _ in found)
    shown = f"{passes} of {len(found)} PASS\n{table}"
    for seed, answer, _ in found:
        met = _met(answer)
        figures = (met["errors"], met["ledger_difference"], met["replay_identical"])
        assert figures == (0, 0, True), shown
        # A market may starve the strategy, and then the honest verdict is FAIL; nothing else may.
        unmet = {criterion["id"] for criterion in answer["criteria"] if not criterion["ok"]}
        assert unmet <= {"starvation", "entries"}, f"seed {seed}: {unmet}\n{shown}"
        assert (answer["verdict"] == "PASS") == (not unmet), shown
    # Known: synthetic:13 starves for 81 minutes behind consecutive_losses. More would be news.
    assert passes >= len(found) - 1, shown


def _line(seed: int, answer: dict[str, Any], report: dict[str, Any]) -> str:
    counts, gap, money = answer["counts"], report["gap"], report["money"]
    return (
        f"{seed:4} {answer['verdict']:12} {counts['entries']:7} {counts['budget_caps']:5} "
        f"{counts['block_pct']:8.1f} "
        f"{counts['portfolio_check_block_pct']:14.1f} {(money['end'] - money['start']) / 1e8:+12.2f} "
        f"{(gap['to_ns'] - gap['from_ns']) / 6e10:16.0f}"
    )


TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int, "null": type(None)}


def _differences(value: Any, schema: dict[str, Any], shapes: dict[str, Any], at: str) -> list[str]:
    """Where a value is not what its JSON schema says: the part of the language that msgspec writes."""
    if "$ref" in schema:
        return _differences(value, shapes[schema["$ref"].rpartition("/")[2]], shapes, at)
    if "anyOf" in schema:
        tries = [_differences(value, each, shapes, at) for each in schema["anyOf"]]
        return [] if [] in tries else min(tries, key=len)
    if "enum" in schema:
        return [] if value in schema["enum"] else [f"{at}: {value!r} is none of {schema['enum']}"]
    kind = schema["type"]
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not (number if kind == "number" else isinstance(value, TYPES[kind])):
        return [f"{at}: {value!r} is no {kind}"]
    found = []
    if kind == "object":
        known = schema["properties"]
        found = [f"{at}.{name} is missing" for name in schema["required"] if name not in value]
        found += [f"{at}.{name} is not documented" for name in value if name not in known]
        for name in value.keys() & known.keys():
            found += _differences(value[name], known[name], shapes, f"{at}.{name}")
    elif kind == "array":
        for number_, item in enumerate(value):
            found += _differences(item, schema["items"], shapes, f"{at}[{number_}]")
    return found
