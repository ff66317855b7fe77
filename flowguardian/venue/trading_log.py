"""The log of the account on disk: every change is a line, written before anybody is told.

Rule: one JSON line per change with the records as they are then; reading them again in order gives the same
account. A torn last line never happened. Lines are handed to the system at once and not forced to the disk:
a venue that is killed loses nothing, a machine that loses power may lose the last moments.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, BinaryIO

from flowguardian.ops.platform_files import atomic_write
from flowguardian.venue.signing import Keys
from flowguardian.venue.state import State

LEDGER_FILE = "venue-ledger.jsonl"
"""The account of a venue, beside the file with its place."""
Changes = list[tuple[str, Any]]


class LedgerUnusable(Exception):
    """The account on disk is damaged, or it is one of another market; the message says where."""


class TradingLog:
    """Reads what is there; without a path it keeps nothing."""

    def __init__(self, path: Path | None) -> None:
        """Raises LedgerUnusable."""
        self._path = path
        self._file: BinaryIO | None = None
        self.keys: Keys | None = None
        """The keys of the account, so that its clients know a venue that was started again."""
        self.changes: Changes = []
        if path is not None and path.exists():
            self._read(path.read_bytes())

    def _read(self, text: bytes) -> None:
        lines = text.split(b"\n")
        for number, line in enumerate(lines[:-1], 1):
            try:
                entry = json.loads(line)
                if "keys" in entry:
                    self.keys = Keys(*entry["keys"])
                self.changes += [(name, value) for name, value in entry.get("changes", [])]
            except (ValueError, TypeError, AttributeError) as error:
                raise LedgerUnusable(f"line {number} of {self._path} is no change of an account") from error

    def begin(self, keys: Keys, state: State) -> None:
        """Start the file anew with the account as it stands: what led there is not needed any more."""
        self.changes = []
        if self._path is None:
            return
        lines = [_line({"keys": list(keys)})]
        lines += [_line({"changes": [change]}) for change in state.everything()]
        atomic_write(self._path, b"".join(lines))
        self._file = self._path.open("ab", buffering=0)

    def write(self, changes: Changes) -> None:
        if self._file is not None:
            self._file.write(_line({"changes": changes}))

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def _line(entry: dict[str, Any]) -> bytes:
    return json.dumps(entry, separators=(",", ":")).encode() + b"\n"
