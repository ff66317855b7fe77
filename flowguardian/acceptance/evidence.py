"""What a run left behind, read for judging: journal rows, ops rows, the configuration, and what is missing.

Rule: nothing here raises for a damaged file; damage is listed as a problem, and what can be read is read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec

from flowguardian.execution import events as ev
from flowguardian.journal import ops_events as ops
from flowguardian.journal.chain import GENESIS, ChainError, link, read_chain

JOURNAL, OPS, TAPE = "journal.db", "ops.db", "tape"
MOST_PROBLEMS = 20
"""Damage listed per file; a file with more is not read differently."""

RowT = TypeVar("RowT", bound=ev.Row)
OpsT = TypeVar("OpsT", bound=ops.OpsRow)


class Entry(NamedTuple):
    """A journal row with its number."""

    seq: int
    row: ev.Row


class OpsEntry(NamedTuple):
    """An ops row with its number."""

    seq: int
    row: ops.OpsRow


class Config:
    """The effective configuration of row 1; a missing or malformed key is None, never a default."""

    def __init__(self, tree: object) -> None:
        self.tree: dict[str, Any] = tree if isinstance(tree, dict) else {}

    def value(self, path: str) -> Any:
        """The value at a dotted path."""
        node: Any = self.tree
        for key in path.split("."):
            if not isinstance(node, dict) or key not in node:
                return None
            node = node[key]
        return node

    def number(self, path: str, key: str = "") -> Decimal | None:
        """A number at a path; exact, whether it was written as a number or as text.

        `key` is one name below the path as it stands: that of a strategy may be a file, with dots in it.
        """
        found = self.value(path)
        if key:
            found = found.get(key) if isinstance(found, dict) else None
        if found is None or isinstance(found, bool):
            return None
        try:
            number = Decimal(str(found))
        except InvalidOperation:
            return None
        return number if number.is_finite() else None


@dataclass
class Evidence:
    """Everything read from a run directory but the tape."""

    run_dir: Path
    rows: list[Entry] = field(default_factory=list)
    ops_rows: list[OpsEntry] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    """Damage, one line each, naming file and row."""
    missing: list[str] = field(default_factory=list)
    """Files that are not there."""
    journal_hash: str = ""
    config: Config = field(default_factory=lambda: Config(None))
    started: ev.RunStarted | None = None

    def of(self, kind: type[RowT]) -> Iterator[tuple[int, RowT]]:
        """The journal rows of a kind, with their numbers."""
        return ((entry.seq, entry.row) for entry in self.rows if isinstance(entry.row, kind))

    def ops_of(self, kind: type[OpsT]) -> Iterator[tuple[int, OpsT]]:
        """The ops rows of a kind, with their numbers."""
        return ((entry.seq, entry.row) for entry in self.ops_rows if isinstance(entry.row, kind))

    @property
    def live_ns(self) -> int | None:
        """When the run went live."""
        return next((row.ts_ns + 1 for _, row in self.of(ev.WentLive)), None)


def read_evidence(run_dir: Path) -> Evidence:
    """Read journal and ops journal of a run directory; damage and absence are listed, never raised."""
    found = Evidence(run_dir)
    for seq, row in _records(found, JOURNAL, ev.decode):
        found.rows.append(Entry(seq, row))
    for seq, ops_row in _records(found, OPS, ops.decode_ops):
        found.ops_rows.append(OpsEntry(seq, ops_row))
    found.started = next((row for _, row in found.of(ev.RunStarted)), None)
    if found.started is None:
        found.problems.append(f"{JOURNAL}: has no RunStarted row, so nothing says what this run was")
        return found
    try:
        found.config = Config(msgspec.json.decode(found.started.config))
    except msgspec.DecodeError as error:
        found.problems.append(f"{JOURNAL}: the configuration in RunStarted is not JSON: {error}")
    return found


def _records(found: Evidence, name: str, decode: Callable[[str, bytes], Any]) -> Iterator[tuple[int, Any]]:
    path = found.run_dir / name
    if not path.is_file():
        found.missing.append(name)
        return
    previous, expected, problems = GENESIS, 1, _Problems(found.problems)
    try:
        for record in read_chain(path):
            if record.seq != expected:
                problems.add(f"{name}: row {expected} is missing (found {record.seq})")
            elif link(previous, record.seq, record.ts_ns, record.kind, record.body) != record.hash:
                problems.add(f"{name}: row {record.seq} ({record.kind}) does not match its hash")
            previous, expected = record.hash, record.seq + 1
            try:
                row = decode(record.kind, record.body)
            except (ev.UnknownRow, KeyError, msgspec.ValidationError, msgspec.DecodeError) as error:
                problems.add(f"{name}: row {record.seq} ({record.kind}) is not readable: {error}")
                continue
            if row.ts_ns != record.ts_ns:
                problems.add(f"{name}: row {record.seq} is filed under another time than its own")
            yield record.seq, row
    except ChainError as error:
        problems.add(f"{name}: not readable after row {expected - 1}: {error.__cause__ or error}")
    if name == JOURNAL:
        found.journal_hash = previous if previous != GENESIS else ""


class _Problems:
    """Keeps the first problems of a file and says that there were more."""

    def __init__(self, into: list[str]) -> None:
        self._into, self._count = into, 0

    def add(self, line: str) -> None:
        self._count += 1
        if self._count <= MOST_PROBLEMS:
            self._into.append(line)
        elif self._count == MOST_PROBLEMS + 1:
            self._into.append("... and more of the same file")
