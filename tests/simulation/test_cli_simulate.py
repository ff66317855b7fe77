"""`flowguardian simulate`: its summary, its exit codes, and how a failing seed is shown again.

Rule: the last line of stdout is the summary, with --json the last line is one object; progress is on stderr.
"""

from __future__ import annotations

import json

import pytest

from flowguardian.cli.app import main
from flowguardian.simulation import batch, oracles

CALM = ["simulate", "--profile", "calm", "--hours", "1"]


@pytest.fixture
def always_wrong(monkeypatch):
    monkeypatch.setattr(batch, "findings", lambda world, told, run_dir: ["something is wrong"])


def test_it_ends_with_a_summary_and_zero(capsys):
    assert main([*CALM, "--seeds", "3", "--first-seed", "5"]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[-1].startswith("calm: 3 seeds, 3 simulated hours, ")
    assert "0 violations" in out.splitlines()[-1] and "hours per minute" in out.splitlines()[-1]
    assert [f"seed {seed}:" in err for seed in (5, 6, 7)] == [True] * 3


def test_json_is_one_object_with_every_seed(capsys):
    assert main([*CALM, "--seeds", "2", "--json"]) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert found["summary"]["seeds"] == 2 and found["summary"]["violations"] == 0
    assert [one["seed"] for one in found["outcomes"]] == [1, 2]
    assert all(len(one["journal_hash"]) == 64 for one in found["outcomes"])


def test_a_violation_ends_with_one_and_says_how_to_see_it_again(capsys, always_wrong):
    assert main([*CALM, "--seeds", "2"]) == 1
    out, err = capsys.readouterr()
    assert "failed      1, 2" in out
    assert "something is wrong" in err and "commit " in err
    assert "flowguardian simulate --profile calm --hours 1 --seed 2 --trace" in err


def test_one_seed_with_its_trace_shows_every_row(capsys):
    assert main([*CALM, "--seed", "4", "--trace"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[2] == "RunStarted" and lines[-2].startswith("faults")
    assert sum(" SegmentEnded " in line for line in lines) == 1


def test_shrink_names_the_shortest_beginning_that_fails(capsys, always_wrong):
    assert main([*CALM, "--seed", "4", "--shrink"]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "seed 4 of calm fails within 0.25 hours"


def test_shrink_of_a_seed_that_holds_says_so(capsys):
    assert main([*CALM, "--seed", "4", "--shrink"]) == 0
    assert "does not fail" in capsys.readouterr().out


def test_ctrl_c_ends_with_what_was_done_so_far(capsys, monkeypatch):
    found = oracles.findings

    def interrupted(world, told, run_dir):
        if world.seed == 3:
            raise KeyboardInterrupt
        return found(world, told, run_dir)

    monkeypatch.setattr(batch, "findings", interrupted)
    assert main([*CALM, "--seeds", "9"]) == 130
    assert capsys.readouterr().out.splitlines()[-1].startswith("calm: 2 seeds, 2 simulated hours")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--profile", "wild"], "no profile wild"),
        (["--trace"], "one seed is wanted"),
        (["--shrink"], "one seed is wanted"),
    ],
)
def test_what_it_cannot_do_is_a_usage_error(capsys, options, said):
    assert main(["simulate", *options]) == 2
    assert said in capsys.readouterr().err
