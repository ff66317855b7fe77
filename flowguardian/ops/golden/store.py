"""The golden files as they are shipped: tape, journal and figures, packed small.

Rule: what is read here is either exactly what was written or GoldenDamaged; nothing is repaired.
"""

from __future__ import annotations

import hashlib
import lzma
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from flowguardian.journal.chain import GENESIS, Record, link
from flowguardian.market.records import ROW

Rows = npt.NDArray[np.void]

FOLDER = Path(__file__).resolve().parent
FIGURES, TAPE, JOURNAL = "golden.json", "tape.xz", "journal.jsonl.xz"


class GoldenDamaged(Exception):
    """The shipped golden files cannot be read or do not belong together: the installation is damaged."""


class Golden(msgspec.Struct, frozen=True):
    """What the golden run must give; `code_hash` is of the folders that decide trades."""

    code_hash: str
    journal_hash: str
    tape_hash: str
    rows: int
    entries: int


class GoldenRun(NamedTuple):
    """Everything of the golden run."""

    figures: Golden
    tape: Rows
    records: list[Record]


class _Line(msgspec.Struct, frozen=True):
    ts_ns: int
    kind: str
    body: msgspec.Raw


def chained(rows: Sequence[tuple[int, str, bytes]]) -> list[Record]:
    """`(ts_ns, kind, body)` rows with the numbers and hashes that a journal gives them."""
    records, previous = [], GENESIS
    for seq, (ts_ns, kind, body) in enumerate(rows, 1):
        previous = link(previous, seq, ts_ns, kind, body)
        records.append(Record(seq, ts_ns, kind, body, previous))
    return records


def tape_hash(tape: Rows) -> str:
    """sha256 over the records."""
    return hashlib.sha256(tape.tobytes()).hexdigest()


def write(run: GoldenRun, folder: Path = FOLDER) -> None:
    """Pack a golden run."""
    # Column by column: neighbours of one column are alike, and the file is a fifth of the records.
    columns = b"".join(np.ascontiguousarray(run.tape[name]).tobytes() for name in ROW.names or ())
    lines = [
        msgspec.json.encode(_Line(record.ts_ns, record.kind, msgspec.Raw(record.body)))
        for record in run.records
    ]
    (folder / TAPE).write_bytes(lzma.compress(columns))
    (folder / JOURNAL).write_bytes(lzma.compress(b"\n".join(lines)))
    (folder / FIGURES).write_bytes(msgspec.json.format(msgspec.json.encode(run.figures)) + b"\n")


def read_figures(folder: Path = FOLDER) -> Golden:
    """The figures alone; raises GoldenDamaged."""
    try:
        return msgspec.json.decode((folder / FIGURES).read_bytes(), type=Golden)
    except (OSError, msgspec.DecodeError) as error:
        raise GoldenDamaged(f"{folder / FIGURES}: {error}") from error


def read(folder: Path = FOLDER) -> GoldenRun:
    """The golden run; raises GoldenDamaged when a file is missing, changed or of another run."""
    figures = read_figures(folder)
    try:
        tape = _tape(lzma.decompress((folder / TAPE).read_bytes()))
        lines = lzma.decompress((folder / JOURNAL).read_bytes()).split(b"\n")
        rows = [msgspec.json.decode(line, type=_Line) for line in lines]
    except (OSError, EOFError, lzma.LZMAError, msgspec.DecodeError, ValueError) as error:
        raise GoldenDamaged(f"{folder}: {error}") from error
    records = chained([(row.ts_ns, row.kind, bytes(row.body)) for row in rows])
    if tape_hash(tape) != figures.tape_hash or records[-1].hash != figures.journal_hash:
        raise GoldenDamaged(f"{folder}: tape or journal are not those of {FIGURES}")
    return GoldenRun(figures, tape, records)


def _tape(columns: bytes) -> Rows:
    count, at = len(columns) // ROW.itemsize, 0
    tape = np.zeros(count, ROW)
    for name in ROW.names or ():
        kind = ROW[name]
        tape[name] = np.frombuffer(columns, kind, count, at)
        at += count * kind.itemsize
    return tape
