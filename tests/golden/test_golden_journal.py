"""Changing what decides trades needs an updated golden journal and a line in the change log."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from flowguardian.ops.assembly import code_hash
from flowguardian.ops.golden import regenerate, store
from flowguardian.ops.golden.store import GoldenDamaged, GoldenRun, read, write

CHANGELOG = Path(__file__).resolve().parents[2] / "CHANGELOG.md"
HOW = (
    "run `python -m flowguardian.ops.golden.regenerate` and name the deciding code in CHANGELOG.md with what "
    "changed"
)


@pytest.fixture(scope="module")
def golden() -> GoldenRun:
    return read()


def test_the_market_and_the_engine_give_the_golden_run(golden: GoldenRun) -> None:
    made = regenerate.make()
    assert np.array_equal(made.tape, golden.tape), HOW
    # Row 1 carries the settings: a new one with a default decides nothing.
    ours, theirs = made.records[1:], golden.records[1:]
    assert [row[:4] for row in ours] == [row[:4] for row in theirs], HOW


def test_the_deciding_code_is_the_one_the_golden_journal_was_made_with(golden: GoldenRun) -> None:
    assert code_hash() == golden.figures.code_hash, HOW


def test_the_change_log_names_the_deciding_code(golden: GoldenRun) -> None:
    named = f"deciding code `{golden.figures.code_hash[:12]}`"
    assert named in CHANGELOG.read_text(encoding="utf-8"), HOW


def test_the_golden_run_reaches_most_of_what_decides(golden: GoldenRun) -> None:
    kinds = Counter(record.kind for record in golden.records)
    assert golden.figures.entries >= 20 and golden.figures.rows == len(golden.records)
    for kind in ("EntryReduced", "BudgetCapped", "ExitTriggered", "TradingStateChanged", "CheckpointTaken"):
        assert kinds[kind] >= 4, kind
    bodies = [json.loads(record.body) for record in golden.records]
    reasons = {body["code"] for body in bodies if "code" in body and "limit" in body}
    assert len(reasons) >= 6, reasons
    closes = {
        body["reason"]
        for row, body in zip(golden.records, bodies, strict=True)
        if row.kind == "PositionClosed"
    }
    assert closes >= {"stop", "break_even", "flatten"}, closes


def test_the_golden_files_are_small(golden: GoldenRun) -> None:
    files = (store.FIGURES, store.TAPE, store.JOURNAL)
    assert sum((store.FOLDER / name).stat().st_size for name in files) < 256_000


@pytest.mark.parametrize("name", [store.TAPE, store.JOURNAL, store.FIGURES])
def test_a_golden_file_that_is_cut_missing_or_of_another_run_is_damage(
    name: str, golden: GoldenRun, tmp_path: Path
) -> None:
    write(golden, tmp_path)
    assert read(tmp_path).figures == golden.figures
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[:-20])
    with pytest.raises(GoldenDamaged):
        read(tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(GoldenDamaged):
        read(tmp_path)
    other = golden._replace(tape=golden.tape[:-1], records=golden.records[:-1])
    write(other, tmp_path)
    with pytest.raises(GoldenDamaged, match="are not those"):
        read(tmp_path)
