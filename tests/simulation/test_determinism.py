"""One seed is one run: the same rows and the same tape, to the byte, in this process and in another.

Rule: what differs between processes (hash order, wall clock, chance of the interpreter) must not matter.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from flowguardian.simulation.batch import directory, run_world, tape_hash
from flowguardian.simulation.world import world_of

ROOT = Path(__file__).resolve().parents[2]
CASES = [("calm", 4.0, 1), ("calm", 4.0, 2), ("swarm", 0.5, 3), ("hostile", 0.5, 17), ("hostile", 0.5, 6)]
ONCE = """
import sys
from tests.simulation.test_determinism import bytes_of
print(bytes_of(sys.argv[1], float(sys.argv[2]), int(sys.argv[3])))
"""


def bytes_of(profile: str, hours: float, seed: int) -> str:
    """What the journal and the tape of a seed hold, in two hashes."""
    with directory() as run_dir:
        outcome = run_world(world_of(seed, profile, hours), run_dir)
        return f"{outcome.journal_hash} {tape_hash(run_dir)} {outcome.rows}"


@pytest.mark.parametrize(("profile", "hours", "seed"), CASES)
def test_a_seed_is_one_run_to_the_byte(profile, hours, seed):
    assert bytes_of(profile, hours, seed) == bytes_of(profile, hours, seed)


@pytest.mark.slow
def test_another_process_with_another_hash_order_writes_the_same_bytes():
    here = bytes_of("hostile", 0.5, 17)
    there = subprocess.run(
        [sys.executable, "-c", ONCE, "hostile", "0.5", "17"], cwd=ROOT, check=True, capture_output=True,
        encoding="utf-8", env={**os.environ, "PYTHONHASHSEED": "12345"},
    )  # fmt: skip
    assert there.stdout.strip() == here


def test_other_seeds_are_other_runs():
    assert bytes_of("calm", 2.0, 1) != bytes_of("calm", 2.0, 2)


def test_fewer_hours_are_the_beginning_of_the_same_world():
    """Shrinking by hours would otherwise look for a failure in other runs."""
    short, long = world_of(5, "hostile", 2.0), world_of(5, "hostile", 12.0)
    assert short.overrides == long.overrides
    begun = [one for one in long.plan.faults if one.at_seconds < short.healed_at - 1]
    assert [one.at_seconds for one in short.plan.faults] == [one.at_seconds for one in begun]
    assert [one.kind for one in short.plan.faults] == [one.kind for one in begun]
    assert short.crashes == long.crashes[: len(short.crashes)]
