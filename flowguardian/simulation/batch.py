"""Many seeds one after the other: what each said, what all together said, and the shortest run that fails.

Rule: a seed is judged by its records alone, and its directory is gone afterwards unless it is to be kept.
"""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from flowguardian.execution.portfolio_manager import PortfolioManager
from flowguardian.journal.chain import read_chain
from flowguardian.journal.journal import JOURNAL
from flowguardian.ops.assembly import MakePortfolio
from flowguardian.simulation.oracles import findings
from flowguardian.simulation.runner import Simulation
from flowguardian.simulation.world import World, world_of

NAME = "simulated"
"""The run id of every simulated run: it stands in the journal, which must be the same for the same seed."""
_MEMORY = Path("/dev/shm")  # noqa: S108 - what lies in it has a name of its own
_FINEST_HOURS = 0.25


class Outcome(msgspec.Struct, frozen=True):
    """One seed."""

    seed: int
    profile: str
    hours: float
    journal_hash: str
    rows: int
    orders: int
    lives: int
    seen: dict[str, int]
    """Faults that were met, by kind."""
    violations: list[str]
    seconds: float


class Summary(msgspec.Struct, frozen=True):
    """Many seeds."""

    profile: str
    seeds: int
    simulated_hours: float
    violations: int
    failed_seeds: list[int]
    orders: int
    lives: int
    faults: dict[str, int]
    seconds: float
    hours_per_minute: float
    interrupted: bool
    commit: str


@contextmanager
def directory() -> Iterator[Path]:
    """A place for a run, in memory where the system has one."""
    with tempfile.TemporaryDirectory(
        prefix="flowguardian-", dir=_MEMORY if _MEMORY.is_dir() else None
    ) as place:
        yield Path(place) / NAME


def run_seed(seed: int, profile: str, hours: float, portfolio: MakePortfolio = PortfolioManager) -> Outcome:
    """One seed from its market to its verdict."""
    with directory() as run_dir:
        return run_world(world_of(seed, profile, hours), run_dir, portfolio)


def run_world(world: World, run_dir: Path, portfolio: MakePortfolio = PortfolioManager) -> Outcome:
    """One world in a directory that stays."""
    began = time.perf_counter()
    told = Simulation(world, run_dir, portfolio).run()
    violations = findings(world, told, run_dir)
    records = list(read_chain(run_dir / JOURNAL))
    seen = told.seen + _planned(world, told.market_seconds)
    return Outcome(
        seed=world.seed,
        profile=world.profile,
        hours=world.hours,
        journal_hash=records[-1].hash if records else "",
        rows=len(records),
        orders=sum(one.kind == "OrderRequested" for one in records),
        lives=told.lives,
        seen=dict(sorted(seen.items())),
        violations=violations,
        seconds=time.perf_counter() - began,
    )


def _planned(world: World, seconds: float) -> Counter[str]:
    """Faults of the venue's plan whose time came."""
    return Counter(fault.kind for fault in world.plan.faults if fault.at_seconds < seconds)


def tape_hash(run_dir: Path) -> str:
    """Over the bytes of the tape."""
    digest = hashlib.sha256()
    for path in sorted((run_dir / "tape").iterdir()):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def summary_of(
    outcomes: list[Outcome], profile: str, seconds: float, *, interrupted: bool, commit: str
) -> Summary:
    """What all seeds together said."""
    faults: Counter[str] = Counter()
    for one in outcomes:
        faults.update(one.seen)
    hours = sum(one.hours for one in outcomes)
    return Summary(
        profile=profile,
        seeds=len(outcomes),
        simulated_hours=hours,
        violations=sum(len(one.violations) for one in outcomes),
        failed_seeds=[one.seed for one in outcomes if one.violations],
        orders=sum(one.orders for one in outcomes),
        lives=sum(one.lives for one in outcomes),
        faults=dict(sorted(faults.items())),
        seconds=round(seconds, 1),
        hours_per_minute=round(hours * 60 / seconds, 1) if seconds else 0.0,
        interrupted=interrupted,
        commit=commit,
    )


def shrink(
    seed: int, profile: str, hours: float, tried: Callable[[float, Outcome], None],
    portfolio: MakePortfolio = PortfolioManager,
) -> Outcome:  # fmt: skip
    """The shortest beginning of a run that fails, to a quarter of an hour; raises ValueError if none does."""
    failing = run_seed(seed, profile, hours, portfolio)
    tried(hours, failing)
    if not failing.violations:
        raise ValueError(f"seed {seed} does not fail in {hours:g} hours")
    low, high = 0.0, hours
    while high - low > _FINEST_HOURS:
        middle = round((low + high) / 2 / _FINEST_HOURS) * _FINEST_HOURS
        if middle in (low, high):
            break
        outcome = run_seed(seed, profile, middle, portfolio)
        tried(middle, outcome)
        if outcome.violations:
            failing, high = outcome, middle
        else:
            low = middle
    return failing
