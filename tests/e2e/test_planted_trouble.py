"""Whatever goes wrong in any process of a run becomes an incident row, and the run cannot pass."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from flowguardian.acceptance.judgement import Judgement, Verdict
from flowguardian.journal.ops_events import Incident, ProcessExited, Severity
from flowguardian.ops.conduct import RunPlan, create_run, judged
from flowguardian.ops.loading import load
from flowguardian.ops.registry import Registry
from flowguardian.ops.supervisor import Supervisor, SupervisorOptions
from tests.e2e.real_runs import ROOT, ops, run

TROUBLES = {
    "error_record": "order lost",
    "dead_thread": "ZeroDivisionError",
    "dead_task": "Task exception was never retrieved",
    "traceback_on_stderr": "price 17 is odd",
}


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """A planned run of half an hour: too short to pass, so only trouble can make it FAIL."""
    changes = ["universe.symbols=[BTCUSDT]", "market.speed=max", "paper.duration_hours=0.5"]
    loaded = load(None, [*changes, "run.keep_awake=false"])
    plan = RunPlan(loaded, "synthetic:1", None, 0.5, 0.0, 1, run_dir=tmp_path / "run")
    return create_run(plan)


def _engine(run_dir: Path, trouble: str, monkeypatch: pytest.MonkeyPatch) -> Judgement:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    argv = [sys.executable, "-m", "tests.e2e.troubled", "engine", trouble, str(run_dir)]
    options = SupervisorOptions(check_interval_seconds=0.05, keep_awake=False)
    result = Supervisor(run_dir, argv, options, registry=Registry(run_dir.parent / "state")).run()
    assert result.reason == "completed"
    return judged(run_dir)


def _supervisor(run_dir: Path, trouble: str) -> Judgement:
    program = [sys.executable, "-m", "tests.e2e.troubled", "supervisor", trouble]
    end = run(run_dir, state=run_dir.parent / "state", program=program)
    assert end.code == 0, end.err
    return judged(run_dir)


def _is_held_against_the_run(run_dir: Path, judgement: Judgement, source: str, told: str) -> None:
    bad = [row for row in ops(run_dir, Incident) if row.severity in (Severity.ERROR, Severity.CRITICAL)]
    assert any(told in row.what + row.sample and row.source.startswith(source) for row in bad), bad
    assert judgement.verdict is Verdict.FAIL
    errors = next(criterion for criterion in judgement.criteria if criterion.id == "errors")
    assert errors.ok is False and errors.observed == len(bad)
    assert not [row for row in ops(run_dir, ProcessExited) if row.abnormal], "the run went on to its end"


@pytest.mark.parametrize("trouble", TROUBLES)
def test_trouble_in_the_engine_is_an_incident_and_fails_the_run(
    trouble: str, run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judgement = _engine(run_dir, trouble, monkeypatch)
    _is_held_against_the_run(run_dir, judgement, "engine", TROUBLES[trouble])


def test_each_trouble_in_the_supervisor_is_an_incident_and_fails_the_run(run_dir: Path) -> None:
    judgement = _supervisor(run_dir, "all_of_them")
    for told in TROUBLES.values():
        _is_held_against_the_run(run_dir, judgement, "supervisor", told)


def test_the_same_runs_without_trouble_do_not_fail(
    run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = _engine(run_dir, "nothing", monkeypatch)
    assert not ops(run_dir, Incident)
    assert first.verdict is Verdict.INCONCLUSIVE


def test_the_same_run_under_an_untroubled_supervisor_does_not_fail(run_dir: Path) -> None:
    judgement = _supervisor(run_dir, "nothing")
    assert not ops(run_dir, Incident)
    assert judgement.verdict is Verdict.INCONCLUSIVE
