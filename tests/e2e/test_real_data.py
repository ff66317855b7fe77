"""The V6.1 configuration over recorded bars: the wildest twelve hours, and the same without slots."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.real_runs import ROOT, Ended, run

DATA = Path(os.environ.get("FLOWGUARDIAN_DATA", ROOT.parent / "shared" / "data"))
BARS = DATA / "bars" / "bars_um_1m_7sym_20250504_20250624.parquet"
CONFIG = "configs/scalping/real_paper_12h_v6_1_phase17.yml"
WILDEST = "2025-05-21T13:50Z"

pytestmark = [
    pytest.mark.real_data,
    pytest.mark.skipif(not BARS.is_file(), reason=f"the recorded bars are not here: {BARS}"),
]


def _accept(folder: Path, *more: str) -> Ended:
    options = ("--config", CONFIG, "--market", BARS, "--start", WILDEST, "--speed", "max", "--json")
    return run("accept", *options, *more, "--run-dir", folder / "run", state=folder / "state")


def _criteria(end: Ended) -> dict[str, dict[str, Any]]:
    return {criterion["id"]: criterion for criterion in end.answer["criteria"]}


def test_the_wildest_twelve_hours_pass(tmp_path: Path) -> None:
    end = _accept(tmp_path)
    answer, criteria = end.answer, _criteria(end)
    assert (answer["kind"], answer["feed"]) == ("rehearsal", "venue_derived")
    assert criteria["errors"]["observed"] == 0
    assert criteria["ledger_difference"]["observed"] == 0
    assert criteria["replay_identical"]["observed"] is True
    unmet = {name: each["observed"] for name, each in criteria.items() if each["ok"] is not True}
    assert (answer["verdict"], unmet, end.code) == ("PASS", {}, 0)


def test_without_slots_the_budget_blocks_and_the_run_fails_on_it(tmp_path: Path) -> None:
    end = _accept(tmp_path, "--venue", "direct", "--set", "position_sizing.multi_position_scaling=false")
    block = _criteria(end)["budget_block_pct"]
    assert (end.code, end.answer["verdict"]) == (1, "FAIL")
    assert block["ok"] is False and block["observed"] >= block["threshold"]
    assert end.answer["counts"]["portfolio_budget_blocks"] > 0
    assert _criteria(end)["errors"]["observed"] == 0
    assert _criteria(end)["ledger_difference"]["observed"] == 0
