"""The gate of live trading: what a run must be to open it, and that nothing else does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from flowguardian import __version__
from flowguardian.acceptance.judge import Replay, judge
from flowguardian.journal import ops_events as o
from flowguardian.ops import acceptance_gate, conduct
from flowguardian.ops.acceptance_gate import DAY_NS, Wanted, acceptance_line
from flowguardian.ops.assembly import code_hash
from flowguardian.ops.verify import Verified
from tests.unit.journal_builder import Story
from tests.unit.run_files import HOST, HOUR

RULES = "rules" * 12
WANTED = Wanted("binance", RULES, 14)
SAME = Replay(ok=True, rows=1, message="")
NOW = HOST + DAY_NS


def story(**of_row_1: object) -> Story:
    told = Story()
    fit = {"feed": "exchange", "version": __version__, "code_hash": code_hash(), "trading_hash": RULES}
    told.rows[0] = msgspec.structs.replace(told.rows[0], **{**fit, **of_row_1})
    return told


@pytest.fixture
def decided_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A story written by hand cannot be decided again; here it counts as if it had been."""
    monkeypatch.setattr(acceptance_gate, "judged", lambda run_dir: judge(run_dir, SAME))


@pytest.mark.usefixtures("decided_again")
def test_a_recent_pass_of_this_program_on_the_exchange_opens_it(tmp_path: Path) -> None:
    line = acceptance_line([story().write(tmp_path / "run")], WANTED, NOW)
    assert line.state == "ok" and "run, ended" in line.said.en


@pytest.mark.usefixtures("decided_again")
@pytest.mark.parametrize(
    ("of_row_1", "why"),
    [
        ({"kind": "rehearsal"}, "of kind rehearsal"),
        ({"feed": "venue_derived"}, "its market came from venue_derived"),
        ({"feed": "testnet"}, "its market came from testnet"),
        ({"trading_hash": "other"}, "another trading configuration"),
        ({"version": "0.0.1"}, "made by another version"),
        ({"code_hash": "other"}, "made by another version"),
    ],
)
def test_a_run_of_something_else_does_not(tmp_path: Path, of_row_1: dict[str, object], why: str) -> None:
    line = acceptance_line([story(**of_row_1).write(tmp_path / "run")], WANTED, NOW)
    assert line.state == "red" and why in line.said.en and "flowguardian paper" in line.remedy.en


@pytest.mark.usefixtures("decided_again")
def test_a_pass_of_the_testnet_counts_there(tmp_path: Path) -> None:
    run_dir = story(feed="testnet").write(tmp_path / "run")
    assert acceptance_line([run_dir], WANTED._replace(venue="binance-testnet"), NOW).state == "ok"


def fails(told: Story) -> None:
    """A collapse nobody can overlook."""
    told.ops.insert(-3, o.Incident(HOST + HOUR // 2, o.Severity.ERROR, "engine", "it broke", "it broke"))


def goes_on(told: Story) -> None:
    """It is not over."""
    told.ops[-1] = o.RunFinished(HOST, "interrupted")


def of_another_commit(told: Story) -> None:
    """Made in another repository."""
    told.ops.insert(0, o.BuildIdentified(HOST, __version__, "abc123 (abc123)", "3.11", "Linux"))


@pytest.mark.usefixtures("decided_again")
@pytest.mark.parametrize(
    ("change", "why"),
    [(fails, "judged again: FAIL"), (goes_on, "not over"), (of_another_commit, "made by abc123")],
)
def test_a_run_that_did_not_pass_is_not_over_or_is_of_another_commit_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Story], None], why: str
) -> None:
    monkeypatch.setattr(acceptance_gate, "commit", lambda: "def456 (v1)")
    told = story()
    change(told)
    line = acceptance_line([told.write(tmp_path / "run")], WANTED, NOW)
    assert line.state == "red" and why in line.said.en


@pytest.mark.usefixtures("decided_again")
@pytest.mark.parametrize(("days", "state"), [(13.9, "ok"), (14.1, "red"), (-0.1, "red")])
def test_it_is_not_older_than_14_days_and_judging_it_again_makes_it_no_younger(
    tmp_path: Path, days: float, state: str
) -> None:
    told = story()
    ended_ns = told.ops[-1].ts_ns
    now_ns = ended_ns + round(days * DAY_NS)
    told.ops.append(o.RunFinished(now_ns, "completed"))
    assert acceptance_line([told.write(tmp_path / "run")], WANTED, now_ns).state == state


def test_a_run_that_does_not_decide_itself_again_opens_nothing_whatever_its_report_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conduct, "verify", lambda run_dir: Verified(False, 9, 0, 0, 9, "another row 9", True))
    run_dir = story().write(tmp_path / "run")
    (run_dir / "report.json").write_text('{"verdict": "PASS", "kind": "acceptance"}', encoding="utf-8")
    line = acceptance_line([run_dir], WANTED, NOW)
    assert line.state == "red" and "judged again: FAIL" in line.said.en


def test_no_run_and_a_damaged_one_are_said(tmp_path: Path) -> None:
    assert "there is no acceptance run" in acceptance_line([], WANTED, NOW).said.en
    run_dir = story().write(tmp_path / "run")
    (run_dir / "journal.db").write_bytes(b"no database")
    assert "unreadable" in acceptance_line([run_dir], WANTED, NOW).said.en


@pytest.mark.usefixtures("decided_again")
def test_the_newest_that_fits_is_taken_though_a_later_one_does_not(tmp_path: Path) -> None:
    good = story().write(tmp_path / "good")
    bad = story(trading_hash="other").write(tmp_path / "bad")
    line = acceptance_line([good, bad], WANTED, NOW)
    assert line.state == "ok" and line.said.en.startswith("good")
