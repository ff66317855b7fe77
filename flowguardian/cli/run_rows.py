"""The rows of a run as the reading commands use them: journal and ops journal, read once.

Rule: read only, in short transactions; a run that is being written is read up to its last durable row.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar, cast

from flowguardian.cli.output import CliError
from flowguardian.execution import events as ev
from flowguardian.journal.journal import JOURNAL, read_rows
from flowguardian.journal.ops_events import HostSampled, OpsRow, SegmentClosed
from flowguardian.market.instruments import Instrument
from flowguardian.ops.ops_journal import FILE_NAME as OPS_FILE
from flowguardian.ops.ops_journal import read_ops

RESUMABLE = ("interrupted", "stopped", "preflight", "config_error")
"""Ends after which a run can be resumed, so that nobody may judge it yet."""

Kind = TypeVar("Kind", bound=ev.Row)


@dataclass
class RunRows:
    """A run's rows by seq, and what follows from them at once."""

    run_dir: Path
    rows: dict[int, ev.Row]
    ops: list[OpsRow]
    config: dict[str, Any] = field(default_factory=dict)

    @property
    def start(self) -> ev.RunStarted:
        """Row 1; `read_run` has made sure of it."""
        return cast("ev.RunStarted", self.rows[1])

    def of(self, kind: type[Kind]) -> Iterator[tuple[int, Kind]]:
        """The rows of one kind with their seq, in order."""
        for seq, row in self.rows.items():
            if isinstance(row, kind):
                yield seq, row

    def last(self, kind: type[Kind]) -> tuple[int, Kind] | None:
        """The last row of one kind."""
        for seq in reversed(self.rows):
            row = self.rows[seq]
            if isinstance(row, kind):
                return seq, row
        return None

    @cached_property
    def live_ns(self) -> int:
        """When the run went live; 0 before."""
        found = next(self.of(ev.WentLive), None)
        return found[1].ts_ns if found else 0

    @cached_property
    def market_ns(self) -> int:
        """The latest market time anybody wrote down."""
        seen = [row.market_ns for row in self.ops if isinstance(row, HostSampled | SegmentClosed)]
        return max([next(reversed(self.rows.values())).ts_ns, *seen])

    @cached_property
    def end_reason(self) -> str:
        """Why the run is over, "" while it is not; without a supervisor the engine's last row says it."""
        if self.ops:
            from flowguardian.ops.recovery import read_past

            return read_past(self.ops).finished
        last = next(reversed(self.rows.values()))
        return last.reason if isinstance(last, ev.SegmentEnded) else ""

    @property
    def ended(self) -> bool:
        """Whether the run is over for good; what was only stopped can go on."""
        return bool(self.end_reason) and self.end_reason not in RESUMABLE

    @cached_property
    def instruments(self) -> dict[str, Instrument]:
        """The venue's filters by symbol, the newest."""
        return {
            instrument.symbol: instrument
            for _, row in self.of(ev.InstrumentsSet)
            for instrument in row.instruments
        }


def read_run(run_dir: Path) -> RunRows:
    """All rows of a run; raises CliError or ChainError when there is no beginning to read."""
    rows: dict[int, ev.Row] = {}
    try:
        for record, row in read_rows(run_dir / JOURNAL, check=False):
            rows[record.seq] = row
    except ValueError as error:
        # The rows before one that cannot be decoded are sound, but nobody should count with half a run.
        raise CliError(
            f"row {len(rows) + 1} of the journal cannot be read",
            where=str(run_dir / JOURNAL), why=str(error),
            fix="use the original run folder, and the version that wrote it",
        ) from error  # fmt: skip
    if not isinstance(rows.get(1), ev.RunStarted):
        raise CliError(
            "the run has not begun", where=str(run_dir / JOURNAL), why="its journal has no first row yet",
            fix="ask again in a moment; if nothing comes, read the logs in the run's folder",
        )  # fmt: skip
    found = RunRows(run_dir, rows, read_ops(run_dir / OPS_FILE))
    found.config = json.loads(bytes(found.start.config), parse_float=Decimal)
    return found
