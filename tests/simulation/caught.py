"""Which oracles object to a run, by name.

Rule: an oracle is named by what it reads, not by the words it says; a run that ends in an exception is caught
by that alone only when nothing else can be asked.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from flowguardian.cli.explanation import explain
from flowguardian.cli.language import Say
from flowguardian.cli.run_rows import read_run
from flowguardian.execution import events as ev
from flowguardian.journal.journal import JOURNAL, TAPE, read_rows
from flowguardian.ops.self_test import run_self_test
from flowguardian.simulation.batch import directory, run_world
from flowguardian.simulation.tape_opinion import Tape
from flowguardian.simulation.world import CALM, World
from tests.simulation.mutants import Mutant

NAMES = (
    ("verify", "replay"),
    ("the judge", "the judge"),
    ("a second opinion", "second opinion"),
    ("the tape", "the tape"),
    ("the clock", "the clock"),
    ("the venue refused", "filters"),
    ("I0", "invariants"),
    ("the books differ", "invariants"),
    ("logged as", "the process"),
    ("a task ended", "the process"),
    ("the run ", "the process"),
    ("life ", "the process"),
)
PARTS = (
    ("does not fit the filters", "filters"),
    ("was requested", "orders once"),
    ("orders at the venue", "the venue's ledger"),
    ("in the wallet", "the venue's ledger"),
    ("at the venue", "the venue's ledger"),
    ("had no stop", "stops"),
    ("never ended", "everything comes back"),
    ("still held", "everything comes back"),
    ("after all faults", "everything comes back"),
)


def oracle_of(violation: str) -> str:
    """The oracle that says such a thing."""
    for start, name in NAMES:
        if violation.startswith(start):
            return name
    return next((name for part, name in PARTS if part in violation), violation)


def objections(world: World) -> dict[str, str]:
    """Oracle → the first thing it says about a run of this world."""
    found: dict[str, str] = {}
    with directory() as run_dir:
        try:
            outcome = run_world(world, run_dir)
        except Exception as error:  # noqa: BLE001 - a defect may raise anything
            return {"the process": f"{type(error).__name__}: {error}"}
        for text in outcome.violations:
            found.setdefault(oracle_of(text), text)
        calm = world.profile == CALM
        if text := next(unexplained(run_dir) if calm else lost_unsaid(run_dir), ""):
            found["explain" if calm else "the feed"] = text
    return found


def unexplained(run_dir: Path) -> Iterator[str]:
    """Attempts whose arithmetic, done again by `explain`, gives other numbers than the journal has."""
    run, say = read_run(run_dir), Say("en")
    for seq, row in run.rows.items():
        entry = isinstance(row, ev.OrderRequested) and row.purpose is ev.Purpose.ENTRY
        if entry or isinstance(row, ev.EntryRefused):
            for pair in explain(run, seq, say).compared or ():
                if not pair.equal:
                    yield f"row {seq}: {pair}"


def lost_unsaid(run_dir: Path) -> Iterator[str]:
    """Trades that are missing on the tape though no row says so, where the venue leaves out no number."""
    rows = [row for _, row in read_rows(run_dir / JOURNAL)]
    symbols = next(row.symbols for row in rows if isinstance(row, ev.RunStarted))
    for symbol, trades in Tape(run_dir / TAPE, symbols).trades.items():
        numbers = np.unique(trades["id"])
        missing = int(numbers[-1] - numbers[0]) + 1 - len(numbers)
        told = sum(row.lost for row in rows if isinstance(row, ev.FeedGap) and row.symbol == symbol)
        if missing > told:
            yield f"{symbol}: {missing} trades are missing, {told} were said to be lost"


def self_test() -> str:
    """What the golden self-test says."""
    try:
        return run_self_test().why
    except Exception as error:  # noqa: BLE001 - the same
        return f"{type(error).__name__}: {error}"


def caught_by(mutant: Mutant) -> dict[str, str]:
    """Who objects while the mutant is in place."""
    with pytest.MonkeyPatch.context() as patch:
        mutant.patch(patch)
        found = objections(mutant.world)
        if why := self_test():
            found["self-test"] = why
    return found
