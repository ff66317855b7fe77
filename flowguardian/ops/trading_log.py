"""The trading log: the tags operators know, one line per event, written from the rows for eyes only.

Rule: nothing reads it back to count anything; the process that trades does not write it. Rows that mean
nothing to an operator have no line.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from flowguardian.cli.answers import side_name
from flowguardian.cli.funnel import UNITS, measure
from flowguardian.execution import events as ev
from flowguardian.execution.money import decimal
from flowguardian.ops import announcing
from flowguardian.ops.growing_file import GrowingFile
from flowguardian.ops.progress import market_time

STEM, SUFFIX = "trading", ".log"
TAIL_BYTES = 8192
"""Read of the newest file to find the last row that was written."""
_SEQ = re.compile(rb"\bseq=(\d+) \[")


def told(row: ev.Row) -> str | None:
    """A row in one line with its tag, None when it has none."""
    match row:
        case ev.EntryRefused() | ev.EntryReduced() | ev.BudgetCapped():
            return _held_back(row)
        case ev.PositionOpened():
            levels = f"stop {decimal(row.stop):,f} target {decimal(row.target1):,f}"
            return f"[ENTRY SUCCESS] {_what(row)} {_lot(row.qty, row.price)} order {row.order_id} {levels}"
        case ev.PositionIncreased():
            return f"[ENTRY ADDED] {row.symbol} {_lot(row.qty, row.price)} in all, order {row.order_id}"
        case ev.PositionReduced():
            return (
                f"[EXIT PARTIAL] {row.symbol} reason={row.reason} closed {decimal(row.closed):,f} "
                f"left {decimal(row.qty):,f} realised {_usdt(row.realised)}"
            )
        case ev.PositionClosed():
            net = row.realised - row.fees + row.funding
            return f"[EXIT] {_what(row)} reason={row.reason} net {_usdt(net)} (fees {_usdt(row.fees)})"
        case ev.CheckpointTaken():
            return f"[CHECKPOINT {row.name}] {announcing.told(row)}"
    return _rare(row)


def _rare(row: ev.Row) -> str | None:
    match row:
        case ev.GuardStarvation():
            return (
                f"[GUARD STARVATION] guard={row.guard} signals {row.signals} refusals {row.refusals} "
                f"release={row.release}"
            )
        case ev.TradingStateChanged():
            return f"[TRADING {row.state}] {row.reason}"
        case ev.InvariantViolated():
            return f"[INVARIANT VIOLATED] {row.invariant}: {row.message}"
        case ev.SegmentStarted():
            return f"[SEGMENT {row.segment}] {row.reason}"
        case ev.SegmentEnded():
            return f"[SEGMENT {row.segment} ENDED] {row.reason}"
    return None


def _held_back(row: ev.EntryRefused | ev.EntryReduced | ev.BudgetCapped) -> str:
    match row:
        case ev.EntryRefused():
            unit, value, limit = (
                UNITS.get(row.code, ""),
                measure(row.code, row.value),
                measure(row.code, row.limit),
            )
            return (
                f"[ENTRY BLOCK] reason={row.code} {_what(row)} value {value:f} limit {limit:f}"
                f"{' ' if unit else ''}{unit} release={row.release}"
            )
        case ev.EntryReduced():
            return (
                f"[ENTRY REDUCED] reason={row.code} {_what(row)} wanted {_usdt(row.wanted)} "
                f"room {_usdt(row.room)}"
            )
        case ev.BudgetCapped():
            return (
                f"[Budget Cap Applied] {_what(row)} wanted {_usdt(row.wanted)} cap {_usdt(row.cap)} "
                f"(available {_usdt(row.available)} of {_usdt(row.allocated)}, slots {row.slots})"
            )


def _what(
    row: ev.EntryRefused | ev.EntryReduced | ev.BudgetCapped | ev.PositionOpened | ev.PositionClosed,
) -> str:
    return f"{row.symbol} {side_name(row.side)} {row.strategy}"


def _lot(qty: int, price: int) -> str:
    return f"{decimal(qty).normalize():,f} @ {decimal(price).normalize():,f}"


def _usdt(amount: int) -> str:
    return f"{decimal(amount):,.2f} USDT"


class TradingLog:
    """Writes `logs/trading.log`, `trading-002.log`, … behind the journal."""

    def __init__(self, directory: Path, run_id: str, *, max_bytes: int, max_files: int) -> None:
        self._run_id = run_id
        self._file = GrowingFile(directory, STEM, SUFFIX, max_bytes=max_bytes, max_files=max_files)
        self.seq = self._last_written()
        """The last row that has a line: a successor goes on after it."""

    def _last_written(self) -> int:
        for path in reversed(self._file.files()):
            with path.open("rb") as file:
                file.seek(max(0, path.stat().st_size - TAIL_BYTES))
                found = _SEQ.findall(file.read())
            if found:
                return int(found[-1])
        return 0

    def write(self, rows: Sequence[tuple[int, ev.Row]]) -> None:
        """Write the lines of rows, which come in order; raises OSError."""
        lines = []
        for seq, row in rows:
            text = told(row) if seq > self.seq else None
            if text is not None:
                lines.append(f"{market_time(row.ts_ns)} run={self._run_id} seq={seq} {text}\n")
                self.seq = seq
        if lines:
            self._file.write(STEM, "".join(lines))

    def close(self) -> None:
        """Close the file."""
        self._file.close()
