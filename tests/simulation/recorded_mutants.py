"""What caught each mutant, recorded in `mutants.json` by python -m tests.simulation.recorded_mutants.

Rule: the page of the mutants is made from this file alone; test_mutants runs every mutant and compares.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from flowguardian.simulation.world import CALM, World, world_of
from tests.simulation.book_mutants import BOOKS
from tests.simulation.caught import caught_by
from tests.simulation.live_mutants import LIVE
from tests.simulation.mutants import PAPER, Mutant

PATH = Path(__file__).with_name("mutants.json")
ALL: tuple[Mutant, ...] = (*PAPER, *BOOKS, *LIVE)


def record(mutant: Mutant, found: dict[str, str]) -> dict[str, Any]:
    """What the file holds of a mutant."""
    return {
        "story": mutant.story,
        "world": described(mutant.world),
        "caught_by": sorted(found),
    }


def described(world: World) -> str:
    """A world in a line."""
    drawn = f"seed {world.seed}, {world.hours:g} h"
    if world.profile == CALM:
        plain = world_of(world.seed, world.profile, world.hours).overrides
        own = [f"`{one}`" for one in world.overrides if one not in plain]
        return ", ".join([f"paper, {drawn}", *own])
    troubles = [one.kind for one in world.plan.faults]
    troubles += [f"the process dies ({one.point})" for one in world.crashes]
    return f"{world.mode} at the local venue, {drawn}: {', '.join(troubles) or 'no trouble'}"


def read() -> dict[str, dict[str, Any]]:
    """The recorded file: name → record."""
    found: dict[str, dict[str, Any]] = json.loads(PATH.read_text(encoding="utf-8"))
    return found


def main() -> int:
    """Run every mutant and write what caught it."""
    found = {mutant.name: record(mutant, caught_by(mutant)) for mutant in ALL}
    PATH.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8", newline="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
