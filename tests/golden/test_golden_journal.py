"""Changing what decides trades needs an updated golden journal and a line in the change log."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from flowguardian.ops.assembly import code_hash
from tests.golden.market_run import Golden, make_run, measured
from tests.golden.regenerate import GOLDEN

CHANGELOG = Path(__file__).resolve().parents[2] / "CHANGELOG.md"
HOW = "run `python -m tests.golden.regenerate` and name the deciding code in CHANGELOG.md with what changed"


@pytest.fixture(scope="module")
def golden() -> Golden:
    return msgspec.json.decode(GOLDEN.read_bytes(), type=Golden)


def test_the_golden_run_gives_the_golden_journal(tmp_path: Path, golden: Golden) -> None:
    make_run(tmp_path / "run")
    found = measured(tmp_path / "run")
    assert (found.rows, found.entries) == (golden.rows, golden.entries), HOW
    assert found.journal_hash == golden.journal_hash, HOW
    assert golden.entries >= 10, "the golden run must trade"


def test_the_deciding_code_is_the_one_the_golden_journal_was_made_with(golden: Golden) -> None:
    assert code_hash() == golden.code_hash, HOW


def test_the_change_log_names_the_deciding_code(golden: Golden) -> None:
    assert f"deciding code `{golden.code_hash[:12]}`" in CHANGELOG.read_text(encoding="utf-8"), HOW
