"""`runs list`: every run of a folder on one line, from its rows and the registry of processes.

Rule: a figure is counted as `status` and the report count it; a run that cannot be read is listed with why.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from flowguardian.cli.answers import RunLine, RunList, moment
from flowguardian.cli.locate import MARKS, all_runs
from flowguardian.cli.output import CliError
from flowguardian.cli.run_rows import RunRows, read_run
from flowguardian.cli.standing import entries_of, run_seconds, state_of, verdict_of, wall_clock_seconds
from flowguardian.journal.chain import ChainError
from flowguardian.ops.manifest import ManifestError, read_manifest
from flowguardian.ops.registry import Registered, Registry

UNREADABLE = "unreadable"


def list_runs(runs: Path, registry: Registry | None = None) -> RunList:
    """All runs, oldest first."""
    living = (registry or Registry()).living()
    lines = tuple(run_line(place, living) for place in all_runs(runs))
    return RunList(lines, sum(line.size_bytes for line in lines))


def run_line(place: Path, living: Sequence[Registered]) -> RunLine:
    """One run."""
    try:
        run = read_run(place)
    except (CliError, ChainError) as error:
        return _unread(place, living, str(error))
    mine = of_run(living, run.start.run_id)
    return RunLine(
        run_id=run.start.run_id,
        run_dir=str(place),
        kind=run.start.kind,
        feed=run.start.feed,
        state=state_of(run, mine),
        verdict=verdict_of(run, mine),
        started=moment(_started_ns(run, place)),
        run_seconds=run_seconds(run),
        wall_clock_seconds=wall_clock_seconds(run),
        entries=entries_of(run),
        size_bytes=size_of(place),
        why="",
    )


def of_run(living: Iterable[Registered], run_id: str) -> list[Registered]:
    """The living processes of a run."""
    return [entry for entry in living if entry.run_id == run_id]


def _unread(place: Path, living: Sequence[Registered], why: str) -> RunLine:
    try:
        manifest = read_manifest(place)
        run_id, kind = manifest.run_id, manifest.kind
    except ManifestError:
        run_id, kind = place.name, ""
    state = "starting" if of_run(living, run_id) else UNREADABLE
    started = moment(_written_ns(place))
    return RunLine(run_id, str(place), kind, "", state, "", started, 0.0, None, 0, size_of(place), why)


def _started_ns(run: RunRows, place: Path) -> int:
    """Host time of the first word of a supervisor; a run without one began when its files were made."""
    return run.ops[0].ts_ns if run.ops else _written_ns(place)


def _written_ns(place: Path) -> int:
    return next(place / mark for mark in MARKS if (place / mark).is_file()).stat().st_mtime_ns


def size_of(place: Path) -> int:
    """Bytes of all files of a run; one that goes away meanwhile counts nothing."""
    total = 0
    for path in place.rglob("*"):
        try:
            total += path.lstat().st_size if path.is_file() else 0
        except OSError:
            continue
    return total
