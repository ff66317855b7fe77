"""The two journals of a run, followed: each look reads the rows that are new, in short transactions.

Rule: a row is decoded once and never skipped: where one cannot be read the reading stays, says so, and tries
again at the next look. Rows of the ops journal that a newer version wrote are counted and passed over.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import msgspec

from flowguardian.cli.run_rows import RunRows
from flowguardian.execution import events as ev
from flowguardian.journal.chain import ChainError, Record, read_chain
from flowguardian.journal.journal import JOURNAL
from flowguardian.journal.ops_events import OPS_KINDS, OpsRow, decode_ops
from flowguardian.ops.ops_journal import FILE_NAME as OPS_FILE

NO_TABLE = "no such table"
"""A writer killed, or looked at, between creating the file and its table has written no row."""


class FollowedRun:
    """The rows so far."""

    def __init__(self, run_dir: Path) -> None:
        self.run_dir = run_dir
        self.newer_kinds = 0
        self._problems: dict[str, str] = {}
        self._rows: dict[int, ev.Row] = {}
        self._ops: list[OpsRow] = []
        self._last_seq = self._last_ops_seq = 0
        self._config: dict[str, object] = {}

    @property
    def problem(self) -> str:
        """What could not be read at the last look, "" if nothing."""
        return "; ".join(self._problems.values())

    @property
    def run(self) -> RunRows | None:
        """The rows as the reading commands take them; None before row 1."""
        start = self._rows.get(1)
        if not isinstance(start, ev.RunStarted):
            return None
        if not self._config:
            self._config = json.loads(bytes(start.config), parse_float=Decimal)
        return RunRows(self.run_dir, self._rows, self._ops, self._config)

    def new_rows(self) -> Iterator[tuple[int, ev.Row]]:
        """Rows of the journal since the last look."""
        try:
            for record in self._records(JOURNAL, self._last_seq):
                row = ev.decode(record.kind, record.body)
                self._rows[record.seq] = row
                self._last_seq = record.seq
                yield record.seq, row
            self._problems.pop(JOURNAL, None)
        except (ChainError, ev.UnknownRow, msgspec.MsgspecError) as error:
            self._problems[JOURNAL] = f"{JOURNAL}, row {self._last_seq + 1}: {error}"

    def new_ops(self) -> Iterator[OpsRow]:
        """Rows of the ops journal since the last look."""
        try:
            for record in self._records(OPS_FILE, self._last_ops_seq):
                if record.kind not in OPS_KINDS:
                    self.newer_kinds += 1
                    self._last_ops_seq = record.seq
                    continue
                row = decode_ops(record.kind, record.body)
                self._last_ops_seq = record.seq
                self._ops.append(row)
                yield row
            self._problems.pop(OPS_FILE, None)
        except (ChainError, msgspec.MsgspecError) as error:
            self._problems[OPS_FILE] = f"{OPS_FILE}, row {self._last_ops_seq + 1}: {error}"

    def _records(self, name: str, after: int) -> Iterator[Record]:
        path = self.run_dir / name
        if not path.is_file():
            return
        try:
            yield from read_chain(path, after)
        except ChainError as error:
            if after or NO_TABLE not in str(error):
                raise
