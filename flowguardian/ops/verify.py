"""`verify`: decide a recorded run again from its tape and exogenous facts, and demand the same rows.

Rule: read only. The answer is yes with the number of rows, or the first row that differs.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from flowguardian.execution import events as ev
from flowguardian.execution.engine import Engine
from flowguardian.execution.replay import ComparingRecorder, ReplayDiverged, exogenous, replay
from flowguardian.journal.chain import ChainError, Record
from flowguardian.journal.journal import JOURNAL, TAPE, read_rows
from flowguardian.market.scanner import MarketError
from flowguardian.market.tape import TapeError, read_tape, segment_paths
from flowguardian.ops.assembly import assemble, code_hash, keeps_tape
from flowguardian.ops.limits import run_limits
from flowguardian.ops.loading import settings_from


class NoTape(Exception):
    """The run was made without a tape, so there is nothing to decide again from."""


class Verified(msgspec.Struct, frozen=True):
    """The outcome: `row` is the first that differs (0 = none), `beyond` rows follow from the tape alone."""

    ok: bool
    rows: int
    checkpoints: int
    beyond: int
    row: int
    message: str
    same_code: bool


def verify(run_dir: Path) -> Verified:
    """Re-decide a run and compare every row, then fold the journal and compare each checkpoint's state.

    Raises NoTape for a backtest.
    """
    rows = checkpoints = beyond = 0
    same_code = True
    try:
        pairs = list(read_rows(run_dir / JOURNAL))
        if not pairs or not isinstance(pairs[0][1], ev.RunStarted):
            return Verified(False, 0, 0, 0, 1, "row 1 is not RunStarted: the journal has no beginning", True)
        start = pairs[0][1]
        if not keeps_tape(start):
            raise NoTape(
                f"{run_dir}: a backtest keeps no tape: run it again, its journal hash must be the same"
            )
        same_code = start.code_hash == code_hash()
        rows, beyond = _decide_again(run_dir, start, pairs)
        checkpoints = _fold(start, pairs)
    except ReplayDiverged as error:
        return Verified(False, rows, 0, 0, error.seq, _with_code(str(error), same_code), same_code)
    except (ChainError, TapeError, MarketError, msgspec.DecodeError) as error:
        return Verified(False, rows, 0, 0, 0, str(error), same_code)
    ended = isinstance(pairs[-1][1], ev.SegmentEnded)
    if beyond and ended:
        message = f"the tape leads to {beyond} rows that the journal does not hold"
        return Verified(False, rows, checkpoints, beyond, rows + 1, message, same_code)
    message = f"{rows} rows decided again and equal, {checkpoints} checkpoints folded to the same state"
    return Verified(True, rows, checkpoints, beyond, 0, message, same_code)


def _with_code(message: str, same_code: bool) -> str:
    if same_code:
        return message
    return (
        message
        + ". The deciding code is not the one that made the run: check out its version and verify again"
    )


def _decide_again(
    run_dir: Path, start: ev.RunStarted, pairs: Sequence[tuple[Record, ev.Row]]
) -> tuple[int, int]:
    comparing = ComparingRecorder(record for record, _ in pairs)
    settings = settings_from(msgspec.json.decode(start.config))
    loop = assemble(
        settings, comparing, seed=start.seed, planned_ns=start.planned_ns, mode=start.mode,
        start_equity=start.start_equity,
    )  # fmt: skip
    blocks = read_tape(run_dir / TAPE) if segment_paths(run_dir / TAPE) else iter(())
    replay(loop, blocks, exogenous(row for _, row in pairs))
    comparing.finish()
    return comparing.compared, comparing.beyond


def _fold(start: ev.RunStarted, pairs: Sequence[tuple[Record, ev.Row]]) -> int:
    """Apply every row to a fresh engine; its state before each checkpoint must be the one recorded there."""
    settings = settings_from(msgspec.json.decode(start.config))
    engine = Engine(run_limits(settings, start.mode, start.start_equity))
    checkpoints = 0
    for record, row in pairs:
        if isinstance(row, ev.CheckpointTaken):
            state = engine.state_hash()
            if state != row.state_hash:
                raise ReplayDiverged(
                    record.seq, f"state {row.state_hash}", f"state {state} by folding the rows"
                )
            checkpoints += 1
        engine.apply(row)
    return checkpoints
