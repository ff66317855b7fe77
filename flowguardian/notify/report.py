"""The verdict of a finished run as the notifier reads it: the few fields of `report.json` it tells.

Rule: a verdict is told only when the report was made from the very journal that is here now.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

FILE_NAME = "report.json"


class Text(msgspec.Struct, frozen=True):
    """A sentence in each language."""

    ko: str
    en: str


class Counts(msgspec.Struct, frozen=True):
    """The counted figures that are told."""

    entries: int
    budget_caps: int
    block_pct: float | None
    errors: int | None


class Cause(msgspec.Struct, frozen=True):
    """Why a criterion was not met."""

    why: Text


class Report(msgspec.Struct, frozen=True):
    """What is read of a report; docs/reference/report.md describes all of it."""

    verdict: str
    kind: str
    why: Text
    journal_hash: str
    wall_clock_hours: float | None
    counts: Counts
    causes: tuple[Cause, ...]


def read_report(run_dir: Path, journal_hash: str) -> Report | None:
    """The report on exactly this journal; None while there is none."""
    try:
        report = msgspec.json.decode((run_dir / FILE_NAME).read_bytes(), type=Report)
    except (OSError, msgspec.DecodeError):
        return None
    return report if report.journal_hash == journal_hash else None
