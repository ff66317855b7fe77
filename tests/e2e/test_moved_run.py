"""A run in two segments on two machines: stopped by plan, packed, unpacked, ended, judged from its pack."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from flowguardian.journal.journal import TAPE
from flowguardian.journal.ops_events import SegmentClosed
from flowguardian.market.records import Flag, Kind
from flowguardian.market.tape import load_tape
from tests.e2e.real_runs import ops, run

SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
pytestmark = pytest.mark.slow


def test_a_run_that_moved_ends_and_its_pack_gives_the_same_report(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "다른 기계"
    first, moved = here / "run", there / "run"
    asked = [
        *("--venue", "local", "--market", "synthetic:5", "--speed", "60", "--duration", "20m"),
        *("--set", f"universe.symbols=[{','.join(SYMBOLS)}]", "--set", "acceptance.min_run_hours=0.3"),
    ]
    stopped = run("paper", *asked, "--segment", "8s", "--run-dir", first, state=here / "state")
    assert stopped.code == 130, stopped.err
    assert "stopped by plan" in stopped.err and f"flowguardian pack {first}" in stopped.err

    packed = run("pack", first, "--to", tmp_path / "packed", "--json", state=here / "state")
    assert packed.code == 0 and packed.answer["bytes"] < packed.answer["run_bytes"] / 4, packed.err
    shutil.rmtree(here)
    unpacked = run("unpack", tmp_path / "packed", moved, state=there / "state")
    assert unpacked.code == 0 and f"paper --run-dir {moved}" in unpacked.out, unpacked.err

    ended = run("paper", "--run-dir", moved, "--json", state=there / "state")
    assert ended.code in (0, 1, 4), ended.err
    assert [row.reason for row in ops(moved, SegmentClosed)] == ["stopped", "finished"]
    tape = load_tape(moved / TAPE)
    trades = tape[tape["kind"] == Kind.TRADE]
    assert not np.any(trades["flags"] & int(Flag.BACKFILLED)), (
        "the market stood until it was listened to again"
    )
    for index in range(len(SYMBOLS)):
        assert np.all(np.diff(trades["id"][trades["symbol"] == index]) == 1)

    assert run("pack", moved, "--to", tmp_path / "packed", state=there / "state").code == 0
    said = run("verify", "--from", tmp_path / "packed", state=here / "state")
    assert said.code == 0 and "rows decided again" in said.out, said.err
    judged = run(
        *("report", "--from", tmp_path / "packed", "--to", tmp_path / "report", "--name", "REPORT"),
        *("--plots", "--lang", "ko", "--json"), state=here / "state",
    )  # fmt: skip
    assert (judged.code, judged.answer["verdict"]) == (ended.code, ended.answer["verdict"])
    own, again = (
        json.loads(path.read_bytes()) for path in (moved / "report.json", tmp_path / "report/REPORT.json")
    )
    assert own == again and own["counts"]["planned_stops"] == 1
    assert (tmp_path / "report" / "REPORT.md").read_text(encoding="utf-8").startswith("# ")
    assert list((tmp_path / "report" / "REPORT_plots").glob("*.svg"))
    assert not list((tmp_path / "packed").glob("report*")), "a pack is only read"


def test_a_segment_that_is_no_duration_and_two_sources_at_once_are_refused(tmp_path: Path) -> None:
    bad = run(
        "paper", "--venue", "direct", "--segment", "soon", "--run-dir", tmp_path / "run", state=tmp_path
    )
    assert bad.code == 2 and "--segment" in bad.err and not (tmp_path / "run").exists()
    both = run("report", "some-run", "--from", tmp_path / "packed", state=tmp_path)
    assert both.code == 2 and "name one of them" in both.err
    none = run("verify", "--from", tmp_path / "packed", state=tmp_path)
    assert none.code == 2 and "is not a pack" in none.err
