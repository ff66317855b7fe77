"""`docs/reference/mutants.md`: bugs of this field that are rebuilt in tests, and which oracle caught each.

Rule: the page says what `tests/simulation/mutants.json` recorded; a test runs every mutant and compares.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

PAGE = Path("docs/reference/mutants.md")
RECORD = Path(__file__).resolve().parents[2] / "tests" / "simulation" / "mutants.json"

ORACLES = {
    "invariants": "`InvariantViolated` rows of the engine itself, or books that differ at a checkpoint",
    "replay": "`verify`: the run decided again from its tape, and the journal folded",
    "the judge": "the judge's audit: its own books, orders, fees, prices, budgets and counters",
    "explain": "the arithmetic of `explain`, every attempt sized and every refusal measured again",
    "second opinion": "the guards written a second time from the design: who may enter, who may not; "
    "and exits that ask for more than is held",
    "the tape": "levels, ages, volumes and liquidations read from the tape by plain loops",
    "the clock": "timers that fire once, peaks that do not fall, days that begin once",
    "the feed": "trade numbers on the tape against the gaps that were announced",
    "filters": "every order against the venue's step, tick and smallest value",
    "orders once": "each order number requested once",
    "the venue's ledger": "wallet, positions, trades and client ids of the local venue's own books",
    "stops": "a watcher at the venue: no position without a stop",
    "everything comes back": "after the last fault: entries go on, orders end, the account gets flat",
    "the process": "a task that died, an error in the log, a run that did not end",
    "self-test": "the golden self-test before READY: this program would not have started",
}

HARMLESS = {
    "A journal written one batch behind, and a kill between an order and its row": "The tape is on the disk "
    "first: the next process decides the same order with the same number and asks the venue for it.",
    "Trades of an order that ended are not asked for": "The comparison of the account finds them within "
    "seconds; the mutant above takes that away as well.",
    "A bar is burned by a refused signal": "One bar signals once per symbol, strategy and side, so nothing "
    "comes that it could refuse; only the state hash in the rows of the self-test differs.",
}
"""Tried while the others were made; what keeps each from doing harm. Not run by a test."""

HEAD = """# Mutants

Generated from `tests/simulation/mutants.json` by `python -m development.pages`; do not edit.

Bugs that programs of this kind really had, rebuilt as patches that only tests apply. Each runs in a small
simulated world in which the unpatched program is clean, and `tests/simulation/test_mutants.py` demands that
an oracle objects: not the self-test alone, which compares with recorded rows, and not a crash alone. The
patches are in `mutants.py` and `book_mutants.py` (paper) and in `live_mutants.py` (an account at a venue)
beside that test.
"""


def page_text() -> str:
    """The whole page."""
    found: dict[str, dict[str, Any]] = json.loads(RECORD.read_text(encoding="utf-8"))
    return "\n".join([HEAD, *_oracles(found), *_mutants(found), *_harmless()])


def _oracles(found: dict[str, dict[str, Any]]) -> list[str]:
    many = Counter(oracle for one in found.values() for oracle in one["caught_by"])
    alone = Counter(real[0] for one in found.values() if len(real := _real(one)) == 1)
    if unknown := many.keys() - ORACLES.keys():
        raise ValueError(f"nothing says what these oracles are: {sorted(unknown)}")
    lines = [
        "## Oracles",
        "",
        f"{len(found)} mutants, {sum(not _real(one) for one in found.values())} of them not caught.",
        "",
    ]
    lines += ["| oracle | what it reads | caught | caught alone |", "|---|---|---:|---:|"]
    lines += [
        f"| {name} | {text} | {many[name]} | {alone[name]} |" for name, text in ORACLES.items() if many[name]
    ]
    return [*lines, "", "*Alone* does not count the self-test.", ""]


def _mutants(found: dict[str, dict[str, Any]]) -> list[str]:
    lines = [
        "## What was planted, and what caught it",
        "",
        "| mutant | the bug | world | caught by |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| `{name}` | {one['story']} | {one['world']} | {', '.join(one['caught_by']) or '**nothing**'} |"
        for name, one in found.items()
    ]
    return lines


def _harmless() -> list[str]:
    lines = [
        "",
        "## Tried, and harmless here",
        "",
        "No run shows any of these, because something else undoes them.",
        "",
    ]
    return [*lines, *(f"- **{name}.** {why}" for name, why in HARMLESS.items()), ""]


def _real(one: dict[str, Any]) -> list[str]:
    return [oracle for oracle in one["caught_by"] if oracle != "self-test"]
