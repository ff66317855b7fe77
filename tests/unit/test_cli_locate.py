"""Which directory a person means by a run."""

from __future__ import annotations

import os

import pytest

from flowguardian.cli.locate import find_run
from flowguardian.cli.output import CliError


@pytest.fixture
def runs(tmp_path):
    for age, name in enumerate(("newest", "older", "oldest")):
        (tmp_path / name).mkdir()
        mark = tmp_path / name / "run.json"
        mark.write_text("{}", encoding="utf-8")
        os.utime(mark, (1_000_000 - age, 1_000_000 - age))
    (tmp_path / "notes").mkdir()
    return tmp_path


def test_nothing_is_the_run_that_started_last(runs):
    assert find_run("", runs).name == "newest"


def test_an_id_is_looked_for_in_the_runs_folder(runs):
    assert find_run("older", runs) == runs / "older"


def test_a_directory_is_taken_as_it_is(runs, tmp_path):
    assert find_run(str(runs / "oldest"), tmp_path / "elsewhere") == runs / "oldest"


def test_a_run_without_manifest_is_known_by_its_journal(runs):
    (runs / "torn").mkdir()
    (runs / "torn" / "journal.db").touch()
    assert find_run("torn", runs) == runs / "torn"


def test_an_unknown_run_is_answered_with_the_nearest_one(runs):
    with pytest.raises(CliError) as refused:
        find_run("oldr", runs)
    assert refused.value.fix == "did you mean older?"


def test_a_directory_that_is_no_run_is_refused_by_what_is_missing(runs):
    with pytest.raises(CliError) as refused:
        find_run(str(runs / "notes"), runs)
    assert "run.json" in refused.value.why


def test_no_run_at_all_names_the_command_that_starts_one(tmp_path):
    with pytest.raises(CliError) as refused:
        find_run("", tmp_path / "runs")
    assert "flowguardian accept" in refused.value.fix
