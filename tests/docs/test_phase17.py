"""The kept evidence of the acceptance run: whole, small enough, and of no machine in particular."""

from __future__ import annotations

import json
import lzma
import re
from pathlib import Path

import pytest

from flowguardian.ops.packing import INDEX, RECORDS, opened, read_index
from flowguardian.ops.verify import verify

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "PHASE17"
EVIDENCE = FOLDER / "evidence"
LARGEST_BYTES = 30_000_000
PLACES = re.compile(rb"[\"' :=(](/(?:home|root|tmp|work|Users|var|opt)/|[A-Z]:\\\\)")


def test_the_evidence_is_whole_and_decides_the_same_again() -> None:
    """Every byte is what was packed; a later deciding code may decide otherwise, that of the run may not."""
    assert sum(path.stat().st_size for path in EVIDENCE.iterdir()) <= LARGEST_BYTES
    with opened(EVIDENCE) as run_dir:
        found = verify(run_dir)
    if not found.ok and not found.same_code:
        pytest.skip(f"the run was decided by the code of its own commit: {found.message}")
    assert found.ok, found.message


def test_the_evidence_names_no_place_of_the_machine_it_was_made_on() -> None:
    plain = lzma.decompress((EVIDENCE / RECORDS).read_bytes()) + (EVIDENCE / INDEX).read_bytes()
    assert (hit := PLACES.search(plain)) is None, hit


def test_the_page_names_the_run_that_is_kept() -> None:
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    run_id = read_index(EVIDENCE).run_id
    assert f"runs/{run_id}" in page
    for report in FOLDER.glob("*_REPORT.json"):
        assert json.loads(report.read_bytes())["run_id"] == run_id
