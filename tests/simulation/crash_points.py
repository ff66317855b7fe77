"""What lies on the disk when a run ends at any of its writes, and the run that goes on from there.

Rule: the files are those of real writers. A crash keeps what the system was given; a loss of power keeps what
was synced and any part of what was not, each file by itself, because nothing orders them but a sync.
"""

from __future__ import annotations

import io
import random
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pytest

from flowguardian.journal import journal
from flowguardian.journal.chain import ChainWriter
from flowguardian.journal.journal import JOURNAL, TAPE
from flowguardian.market.tape import TapeWriter
from flowguardian.ops.engine_process import EngineProcess

Files = dict[str, bytes]
"""Content of the files that a run cannot do without, by their path in its directory."""
WAL = f"{JOURNAL}-wal"


class Write(NamedTuple):
    """One write: the disk after it as the system shows it, and what of it has surely reached the disk."""

    what: str
    seen: Files
    synced: Files


class Disk:
    """Looks at the files of one run after each of its writes."""

    def __init__(self, run_dir: Path) -> None:
        self.run_dir = run_dir
        self.writes: list[Write] = []
        self.synced: Files = {}

    def wrote(self, what: str, *, tape: bool = False, rows: bool = False) -> None:
        """A write is over; it waited for the disk with the tape, or with the journal."""
        seen = {
            str(path.relative_to(self.run_dir)): path.read_bytes()
            for path in (*self.run_dir.glob(f"{JOURNAL}*"), *sorted((self.run_dir / TAPE).glob("*")))
            if not path.name.endswith("-shm")
        }
        self.synced = {
            **self.synced,
            **{name: data for name, data in seen.items() if (tape if name.startswith(TAPE) else rows)},
        }
        self.writes.append(Write(what, seen, self.synced))


@contextmanager
def looked_at(disk: Disk) -> Iterator[None]:
    """Writers of tape and journal tell `disk` of each write."""

    class Tape(TapeWriter):
        def append(self, rows: npt.NDArray[np.void]) -> None:
            super().append(rows)
            disk.wrote("tape block")

        def sync(self) -> None:
            super().sync()
            disk.wrote("tape sync", tape=True)

    class Chain(ChainWriter):
        def append(self, rows: Sequence[tuple[int, str, bytes]], *, durable: bool) -> None:
            super().append(rows, durable=durable)
            disk.wrote("durable rows" if durable else "rows", rows=durable)

        def checkpoint(self) -> None:
            super().checkpoint()
            disk.wrote("fold", rows=True)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(journal, "TapeWriter", Tape)
        patch.setattr(journal, "ChainWriter", Chain)
        yield


def lifetime(run_dir: Path, disk: Disk | None = None) -> str:
    """One lifetime of the engine in this process; raises what ends it."""
    with redirect_stdout(io.StringIO()):
        if disk is None:
            return EngineProcess(run_dir).lifetime()
        with looked_at(disk):
            return EngineProcess(run_dir).lifetime()


def left_on_disk(manifest: Path, files: Files, run_dir: Path) -> Path:
    """A run directory with these files."""
    shutil.rmtree(run_dir, ignore_errors=True)
    (run_dir / TAPE).mkdir(parents=True)
    shutil.copy(manifest, run_dir)
    for name, data in files.items():
        (run_dir / name).write_bytes(data)
    return run_dir


# ---- the kinds of end


def acted_on(before: Write, after: Write, rng: random.Random) -> Files:
    """The process dies after the write, before it does anything else."""
    return after.seen


def torn(before: Write, after: Write, rng: random.Random) -> Files:
    """The process dies in the middle of the write: some bytes are new, those behind them old or not there."""
    return {name: _torn(before.seen.get(name, b""), data, rng) for name, data in after.seen.items()}


def lost_power(before: Write, after: Write, rng: random.Random) -> Files:
    """What was not synced is lost or kept, each file by itself."""
    names = after.seen.keys() | after.synced.keys()
    return {
        name: data
        for name in names
        if (data := rng.choice((after.synced.get(name), after.seen.get(name)))) is not None
    }


def lost_power_in_part(before: Write, after: Write, rng: random.Random) -> Files:
    """Of what was not synced a part is kept."""
    return {
        name: _torn(after.synced.get(name, b""), data, rng) if rng.random() < 0.7 else data
        for name, data in after.seen.items()
    }


ENDS = (acted_on, torn, lost_power, lost_power_in_part)


def _torn(old: bytes, new: bytes, rng: random.Random) -> bytes:
    if old == new:
        return new
    cut = rng.randint(next(_differing(old, new)), len(new))
    return new[:cut] + old[cut:]


def _differing(old: bytes, new: bytes) -> Iterator[int]:
    shared = min(len(old), len(new))
    one, other = np.frombuffer(old, np.uint8, shared), np.frombuffer(new, np.uint8, shared)
    yield from np.flatnonzero(one != other)[:1].tolist()
    yield shared


class Point(NamedTuple):
    """One way to end."""

    number: int
    end: Any
    seed: int

    def files(self, writes: Sequence[Write]) -> Files:
        """What lies on the disk then."""
        before = writes[self.number - 1] if self.number else Write("", {}, {})
        found: Files = self.end(before, writes[self.number], random.Random(self.seed))
        return found


def points(writes: Sequence[Write], seeds: int) -> list[Point]:
    """Every write with every kind of end, those of chance with as many seeds."""
    return [
        Point(number, end, seed)
        for number in range(len(writes))
        for end in ENDS
        for seed in range(1 if end is acted_on else seeds)
    ]
