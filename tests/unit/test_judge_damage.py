"""A torn, cut, forged or empty run is judged and reported all the same: what is missing is said."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flowguardian.acceptance.judge import Replay, judge
from flowguardian.acceptance.judgement import Judgement, Verdict
from flowguardian.acceptance.report import Reporter
from tests.unit.journal_builder import Story
from tests.unit.run_files import rewrite

SAME = Replay(ok=True, rows=1, message="")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Story().write(tmp_path_factory.mktemp("story") / "run")


@pytest.fixture
def run_dir(written: Path, tmp_path: Path) -> Path:
    shutil.copytree(written, tmp_path / "run")
    return tmp_path / "run"


def judged(run_dir: Path) -> Judgement:
    found = judge(run_dir, SAME)
    Reporter(run_dir).write(found, "en")
    return found


def damage(found: Judgement) -> str:
    gate = found.criterion("records_intact")
    assert gate is not None and gate.ok is False
    return "\n".join([*found.problems, *found.missing])


def test_a_changed_row_breaks_the_chain_and_is_named(run_dir: Path) -> None:
    rewrite(run_dir / "journal.db", 9, lambda body: body.update(fee=1), rehash=False)
    found = judged(run_dir)
    assert found.verdict is Verdict.FAIL
    assert "journal.db: row 9 (OrderFilled) does not match its hash" in damage(found)


def test_a_changed_row_with_its_chain_recomputed_is_found_by_the_arithmetic(run_dir: Path) -> None:
    rewrite(run_dir / "journal.db", 9, lambda body: body.update(fee=1), rehash=True)
    found = judged(run_dir)
    gate = found.criterion("fees")
    assert found.problems == ()
    assert found.verdict is Verdict.FAIL
    assert gate is not None and gate.evidence[0].seq == 9


def test_a_changed_ops_row_breaks_its_chain(run_dir: Path) -> None:
    rewrite(run_dir / "ops.db", 3, lambda body: body.update(mono_ns=1), rehash=False)
    assert "ops.db: row 3" in damage(judged(run_dir))


def test_a_missing_row_is_named(run_dir: Path) -> None:
    db = sqlite3.connect(run_dir / "journal.db")
    db.execute("DELETE FROM rows WHERE seq = 20")
    db.commit()
    db.close()
    assert "row 20 is missing" in damage(judged(run_dir))


def test_a_row_of_an_unknown_kind_is_listed(run_dir: Path) -> None:
    db = sqlite3.connect(run_dir / "journal.db")
    db.execute("UPDATE rows SET kind = 'TeleportPlanned' WHERE seq = 12")
    db.commit()
    db.close()
    assert "TeleportPlanned" in damage(judged(run_dir))


def test_a_journal_cut_short_is_judged_by_what_is_left(run_dir: Path) -> None:
    db = sqlite3.connect(run_dir / "journal.db")
    db.execute("DELETE FROM rows WHERE seq > 14")
    db.commit()
    db.close()
    found = judged(run_dir)
    assert found.verdict is Verdict.FAIL
    gate = found.criterion("checkpoints")
    assert gate is not None and (gate.observed, gate.threshold) == (1, 3)


def _cut_file(run_dir: Path) -> None:
    data = (run_dir / "journal.db").read_bytes()
    (run_dir / "journal.db").write_bytes(data[: len(data) // 2])


def _no_journal_table(run_dir: Path) -> None:
    (run_dir / "journal.db").write_bytes(b"not a database at all" * 100)


def _cut_tape(run_dir: Path) -> None:
    path = next((run_dir / "tape").glob("*.fgt"))
    data = bytearray(path.read_bytes())
    data[200_000] ^= 0xFF
    path.write_bytes(bytes(data))


def _only_row_one(run_dir: Path) -> None:
    db = sqlite3.connect(run_dir / "journal.db")
    db.execute("DELETE FROM rows WHERE seq > 1")
    db.commit()
    db.close()


BREAKS: list[Callable[[Path], Any]] = [
    _cut_file,
    _no_journal_table,
    _cut_tape,
    _only_row_one,
    lambda run_dir: shutil.rmtree(run_dir / "tape"),
    lambda run_dir: (run_dir / "ops.db").unlink(),
    lambda run_dir: (run_dir / "journal.db").unlink(),
]


@pytest.mark.parametrize(
    "damaging", BREAKS, ids=["cut", "no_sqlite", "tape", "row_1", "no_tape", "no_ops", "no_journal"]
)
def test_no_damage_passes_and_none_crashes_the_report(run_dir: Path, damaging: Callable[[Path], Any]) -> None:
    damaging(run_dir)
    found = judged(run_dir)
    assert found.verdict is Verdict.FAIL
    assert found.causes
    for name in ("report.md", "report.ko.md", "report.html", "report.json"):
        assert (run_dir / name).stat().st_size > 1000


def test_an_empty_directory_fails_and_says_what_is_missing(tmp_path: Path) -> None:
    found = judged(tmp_path)
    assert (found.verdict, found.kind) == (Verdict.FAIL, "rehearsal")
    assert found.missing == ("journal.db", "ops.db")


def test_what_was_not_recorded_counts_as_not_met_instead_of_zero(run_dir: Path) -> None:
    (run_dir / "ops.db").unlink()
    found = judged(run_dir)
    assert found.counts.errors is None
    errors = found.criterion("errors")
    assert errors is not None and errors.ok is None and errors.observed is None
    assert "not measured" in (run_dir / "report.md").read_text(encoding="utf-8")
