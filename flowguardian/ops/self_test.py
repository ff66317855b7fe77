"""The golden self-test: the real engine decides the golden tape again and must make the golden journal.

Rule: the engine under test is the one that will trade, put together by the same assembly; nothing here knows
what the right decision is but the shipped rows, and the first row that differs is named.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from flowguardian.execution import events as ev
from flowguardian.execution.replay import ComparingRecorder, ReplayDiverged, exogenous, replay
from flowguardian.journal.chain import GENESIS, link
from flowguardian.market.records import Kind
from flowguardian.ops.assembly import assemble, code_hash
from flowguardian.ops.golden.store import FOLDER, Rows, read
from flowguardian.ops.loading import settings_from

CHUNK_ROWS = 4096


class SelfTest(NamedTuple):
    """The outcome; `why` names the first row that differs, "" when none does."""

    ok: bool
    rows: int
    journal_hash: str
    same_code: bool
    """Whether the deciding code is to the letter the one that made the golden journal."""
    seconds: float
    why: str = ""


class _Hashing:
    """Compares each row and chains its hash as the journal would."""

    def __init__(self, comparing: ComparingRecorder) -> None:
        self.seq, self.hash = 0, GENESIS
        self._comparing = comparing

    def market(self, rows: Rows) -> None:
        """The golden tape is on the disk already."""

    def commit(self, rows: Sequence[ev.Row], *, durable: bool) -> None:
        self._comparing.commit(rows, durable=durable)
        for row in rows:
            self.seq += 1
            self.hash = link(self.hash, self.seq, row.ts_ns, type(row).__name__, ev.encode(row))


def run_self_test(folder: Path = FOLDER) -> SelfTest:
    """Decide the golden tape again; raises GoldenDamaged, and whatever a broken engine raises."""
    began = time.perf_counter()
    golden = read(folder)
    rows = [ev.decode(record.kind, record.body) for record in golden.records]
    start: Any = rows[0]
    comparing = ComparingRecorder(golden.records)
    hashing = _Hashing(comparing)
    settings = settings_from(msgspec.json.decode(bytes(start.config)))
    loop = assemble(settings, hashing, seed=start.seed, planned_ns=start.planned_ns)
    why = ""
    try:
        replay(loop, _blocks(golden.tape), exogenous(rows))
        comparing.finish()
    except ReplayDiverged as error:
        why = str(error)
    if not why and hashing.hash != golden.figures.journal_hash:
        why = f"{comparing.beyond} rows more than the golden journal of {golden.figures.rows}"
    return SelfTest(
        ok=not why,
        rows=comparing.compared,
        journal_hash=hashing.hash,
        same_code=code_hash() == golden.figures.code_hash,
        seconds=time.perf_counter() - began,
        why=why,
    )


def _blocks(tape: Rows) -> list[Rows]:
    """History by itself first, as a run takes it, then the market in pieces."""
    history = int((tape["kind"] == Kind.HISTORY).sum())
    market = range(history, len(tape), CHUNK_ROWS)
    return [tape[:history], *(tape[at : at + CHUNK_ROWS] for at in market)]
