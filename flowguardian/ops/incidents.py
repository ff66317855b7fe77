"""Incidents: whatever a process of the run reports as wrong becomes a row, grouped and bounded.

Rule: nothing at ERROR or above is dropped unseen: after the limit of a kind only its count goes on, and the
count is written at each power of ten and at the end.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from flowguardian.journal.ops_events import Incident, OpsRow, Severity

ROWS_PER_KIND = 100
KINDS = 200
"""Different kinds told apart; what comes after them is one kind of its own."""
SAMPLE_CHARACTERS = 500
WHAT_CHARACTERS = 120
TRACEBACK_LINES = 400
READ_BYTES = 1 << 20
"""Read of one log file in one round, so that a flood cannot hold up the supervisor."""

_VARYING = re.compile(r"0x[0-9a-fA-F]+|\d+")
_SEVERITY = {"warning": Severity.WARNING, "error": Severity.ERROR, "critical": Severity.CRITICAL}
_NATIVE_CRASH = ("Fatal Python error:", "Windows fatal exception:", "Exception ignored in")


def grouped(what: str) -> str:
    """The key of a kind: the text without what varies (numbers, addresses)."""
    return _VARYING.sub("#", what.strip())[:WHAT_CHARACTERS]


class IncidentBook:
    """Turns reports into Incident rows; `count` is by severity and includes what was only counted."""

    def __init__(self, write: Callable[[OpsRow], None], now_ns: Callable[[], int]) -> None:
        self._write, self._now_ns = write, now_ns
        self._kinds: Counter[tuple[Severity, str, str]] = Counter()
        self.count: Counter[Severity] = Counter()

    def restore(self, rows: Iterable[OpsRow]) -> None:
        """Go on counting where an earlier supervisor of this run stopped."""
        for row in rows:
            if isinstance(row, Incident):
                self._kinds[row.severity, row.source, row.what] += 1
                self.count[row.severity] += 1

    def add(self, severity: Severity, source: str, what: str, sample: str) -> None:
        """Report something wrong."""
        kind = (severity, source, grouped(what))
        if kind not in self._kinds and len(self._kinds) >= KINDS:
            kind = (severity, "any", "further kinds")
        self._kinds[kind] += 1
        self.count[severity] += 1
        seen = self._kinds[kind]
        if seen <= ROWS_PER_KIND or _is_power_of_ten(seen):
            note = f"[{seen} of this kind, the rest is only counted] " if seen >= ROWS_PER_KIND else ""
            self._row(kind, note + sample)

    def close(self) -> None:
        """Write the final count of each kind that went over the limit."""
        for kind, seen in self._kinds.items():
            if seen > ROWS_PER_KIND:
                self._row(kind, f"[{seen} of this kind in all]")

    def _row(self, kind: tuple[Severity, str, str], sample: str) -> None:
        severity, source, what = kind
        self._write(Incident(self._now_ns(), severity, source, what, sample[:SAMPLE_CHARACTERS]))


class TracebackFinder:
    """Finds tracebacks in the stderr lines of a process; everything else passes."""

    def __init__(self, report: Callable[[str, str], None]) -> None:
        self._report = report
        self._block: list[str] = []

    def feed(self, line: str) -> None:
        """Take one line."""
        if not self._block:
            if "Traceback (most recent call last)" in line or line.startswith(_NATIVE_CRASH):
                self._block.append(line)
            return
        self._block.append(line)
        indented = not line.strip() or line[0] in " \t|+" or line.startswith("Traceback (most recent")
        if not indented or len(self._block) >= TRACEBACK_LINES:
            self.flush()

    def flush(self) -> None:
        """The process was silent or ended: report what was collected."""
        if not self._block:
            return
        block, self._block = self._block, []
        # A native crash says first what it was, a Python traceback last.
        native = block[0].startswith("Fatal") or block[0].startswith("Windows fatal")
        last = block[0] if native else next(line for line in reversed(block) if line.strip())
        # The end of a traceback says what it was; the frames before it say where.
        sample = "\n".join(block)
        if len(sample) > SAMPLE_CHARACTERS:
            sample = "…" + sample[1 - SAMPLE_CHARACTERS :]
        self._report(f"traceback: {last.strip()}", sample)


class _LogLine(msgspec.Struct):
    level: str = "info"
    event: str = ""
    logger: str = ""
    exception: str = ""


class LogWatch:
    """Follows the JSON log files of every process of a run and reports records at WARNING or above."""

    def __init__(self, directory: Path, report: Callable[[Severity, str, str, str], None]) -> None:
        self._directory, self._report = directory, report
        self.offsets: dict[str, int] = {}
        """Bytes already read of each file: kept over a restart of the supervisor."""

    def poll(self) -> bool:
        """Read what is new; True when there may be more to read at once."""
        more = False
        paths = sorted(self._directory.glob("*.jsonl"))
        self._forget({path.name for path in paths})
        for path in paths:
            try:
                more |= self._read(path)
            except FileNotFoundError:
                continue
        return more

    def _forget(self, there: set[str]) -> None:
        """Files that rotation removed need no place any more."""
        for name in self.offsets.keys() - there:
            del self.offsets[name]

    def _read(self, path: Path) -> bool:
        start = self.offsets.get(path.name, 0)
        if path.stat().st_size <= start:
            return False
        with path.open("rb") as file:
            file.seek(start)
            chunk = file.read(READ_BYTES)
        end = chunk.rfind(b"\n") + 1
        if end == 0 and len(chunk) == READ_BYTES:
            end = len(chunk)
        self.offsets[path.name] = start + end
        for line in chunk[:end].splitlines():
            if line.strip():
                self._line(path.name.split("-")[0], line)
        return len(chunk) == READ_BYTES

    def _line(self, process: str, line: bytes) -> None:
        try:
            record = msgspec.json.decode(line, type=_LogLine)
        except (msgspec.DecodeError, UnicodeDecodeError):
            text = line.decode(errors="replace")
            self._report(Severity.WARNING, process, "log line that is not JSON", text)
            return
        severity = _SEVERITY.get(record.level.lower())
        if severity is not None:
            what = f"{record.logger}: {record.event}" if record.logger else record.event
            sample = line.decode(errors="replace")
            if record.exception:
                # The last line of the traceback names the exception; the record alone may be cut before it.
                sample = f"{record.event} | {record.exception.strip().splitlines()[-1]} | {sample}"
            self._report(severity, process, what, sample)


def _is_power_of_ten(number: int) -> bool:
    while number >= 10 and number % 10 == 0:
        number //= 10
    return number == 1
