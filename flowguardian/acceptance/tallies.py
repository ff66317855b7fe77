"""Everything the judge counts in journal rows: the funnel, refusals, entries, streaks, gaps.

Rule: rows are counted, nothing is estimated; a guard was evaluated by each attempt that got as far as it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from flowguardian.acceptance.evidence import Entry
from flowguardian.execution import events as ev

HOUR_NS = 3_600_000_000_000
CHECKS = (
    ev.Reason.PORTFOLIO_BUDGET,
    ev.Reason.MAX_POSITIONS,
    ev.Reason.MAX_STRATEGY_POSITIONS,
    ev.Reason.EXPOSURE,
    ev.Reason.SYMBOL_COOLDOWN,
)
"""What the earlier system counted as its portfolio check."""


class EntryFill(NamedTuple):
    """The first fill of an entry order: an entry."""

    seq: int
    ts_ns: int
    symbol: str
    order_id: int


@dataclass
class Tally:
    """Counts over the rows seen so far."""

    signals: int = 0
    requested: int = 0
    flips: int = 0
    unfilled: int = 0
    """Entry orders that ended without any fill."""
    closed: int = 0
    caps: int = 0
    entries: list[EntryFill] = field(default_factory=list)
    refused: Counter[ev.Reason] = field(default_factory=Counter)
    reduced: Counter[ev.Reason] = field(default_factory=Counter)
    shadow: Counter[ev.Reason] = field(default_factory=Counter)
    bound: Counter[str] = field(default_factory=Counter)
    """What set the size of the entry orders."""
    per_hour: Counter[tuple[str, int]] = field(default_factory=Counter)
    """Refusals by symbol and clock hour (UTC)."""
    streak: int = 0
    streak_symbol: str = ""
    streak_seq: int = 0
    refusals: list[tuple[int, ev.EntryRefused]] = field(default_factory=list)
    signal_times: list[int] = field(default_factory=list)
    _streaks: Counter[str] = field(default_factory=Counter)
    _waiting: set[int] = field(default_factory=set)

    def add(self, seq: int, row: ev.Row) -> None:  # noqa: C901 - a table of kinds
        """Count one row."""
        if isinstance(row, ev.Signal):
            self.signals += 1
            self.signal_times.append(row.ts_ns)
        elif isinstance(row, ev.EntryRefused):
            self._refusal(seq, row)
        elif isinstance(row, ev.OrderRequested):
            if row.purpose is ev.Purpose.ENTRY:
                self._request(row)
        elif isinstance(row, ev.OrderFilled):
            if row.order_id in self._waiting:
                self._waiting.discard(row.order_id)
                self.entries.append(EntryFill(seq, row.ts_ns, row.symbol, row.order_id))
        elif isinstance(row, ev.OrderExpired | ev.OrderRejected | ev.OrderUnsent):
            if row.order_id in self._waiting:
                self._waiting.discard(row.order_id)
                self.unfilled += 1
        elif isinstance(row, ev.BudgetCapped):
            self.caps += 1
            self.reduced[ev.Reason.PORTFOLIO_BUDGET] += 1
        elif isinstance(row, ev.EntryReduced):
            self.reduced[row.code] += 1
        elif isinstance(row, ev.PositionClosed):
            self.closed += 1
        elif isinstance(row, ev.FlipPlanned):
            self.flips += 1

    def _refusal(self, seq: int, row: ev.EntryRefused) -> None:
        self.refused[row.code] += 1
        self.shadow.update(row.shadow)
        self.per_hour[row.symbol, row.ts_ns // HOUR_NS] += 1
        self.refusals.append((seq, row))
        self._streaks[row.symbol] += 1
        if self._streaks[row.symbol] > self.streak:
            self.streak, self.streak_symbol, self.streak_seq = self._streaks[row.symbol], row.symbol, seq

    def _request(self, row: ev.OrderRequested) -> None:
        self.requested += 1
        self.shadow.update(row.shadow)
        self.bound[row.bound] += 1
        self._waiting.add(row.order_id)
        self._streaks[row.symbol] = 0

    @property
    def budget_blocks(self) -> int:
        """Refusals by the portfolio budget."""
        return self.refused[ev.Reason.PORTFOLIO_BUDGET]

    @property
    def check_blocks(self) -> int:
        """Refusals the earlier system would have called portfolio check blocks."""
        return sum(self.refused[code] for code in CHECKS)

    @property
    def worst_hour(self) -> tuple[int, str, int]:
        """(most refusals of a symbol in a clock hour, which symbol, which hour since the epoch)."""
        if not self.per_hour:
            return 0, "", 0
        (symbol, hour), most = max(self.per_hour.items(), key=lambda item: (item[1], item[0]))
        return most, symbol, hour


class Step(NamedTuple):
    """One step of the entry funnel."""

    code: str
    enabled: bool
    evaluated: int
    allowed: int
    reduced: int
    refused: int
    shadow: int


def funnel(tally: Tally, steps: Sequence[ev.GuardCount]) -> list[Step]:
    """The judge's own counts of each step, in the order the run's last checkpoint gives (else the enum's)."""
    order = [(step.code, step.enabled) for step in steps] or [(code, True) for code in ev.Reason]
    left = tally.requested + sum(tally.refused.values())
    found = []
    for code, enabled in order:
        refused, reduced = tally.refused[code], tally.reduced[code]
        allowed = left - refused - reduced
        found.append(Step(code.value, enabled, left, allowed, reduced, refused, tally.shadow[code]))
        left -= refused
    return found


class Gap(NamedTuple):
    """The longest time without an entry, and what happened in it."""

    from_ns: int
    to_ns: int
    signals: int
    refused: tuple[tuple[str, int], ...]
    """Refusals in it by code, most first."""
    release: str
    """What the last refusal of the most frequent code waited for."""


def longest_gap(tally: Tally, from_ns: int, to_ns: int) -> Gap:
    """The longest span without an entry between two stamps."""
    edges = [from_ns, *(entry.ts_ns for entry in tally.entries), max(to_ns, from_ns)]
    spans = list(zip(edges, edges[1:], strict=False))
    start, end = max(spans, key=lambda span: span[1] - span[0])
    inside = [row for _, row in tally.refusals if start < row.ts_ns <= end]
    counts = Counter(row.code.value for row in inside).most_common()
    release = next((row.release for row in reversed(inside) if counts and row.code == counts[0][0]), "")
    signals = sum(start < ts_ns <= end for ts_ns in tally.signal_times)
    return Gap(start, end, signals, tuple(counts), release)


def check_counters(tally: Tally, positions: int, row: ev.CheckpointTaken) -> list[str]:
    """Counters of a checkpoint that differ from the judge's own count at that row."""
    own = {
        "signals": tally.signals,
        "entries": len(tally.entries),
        "budget_caps": tally.caps,
        "budget_blocks": tally.budget_blocks,
        "check_blocks": tally.check_blocks,
        "closed": tally.closed,
        "open_positions": positions,
    }
    wrong = [
        f"{name} {getattr(row, name)}, counted {mine}"
        for name, mine in own.items()
        if getattr(row, name) != mine
    ]
    for said, mine in zip(row.guards, funnel(tally, row.guards), strict=True):
        told = (said.evaluated, said.allowed, said.reduced, said.refused, said.shadow)
        if told != mine[2:]:
            wrong.append(
                f"guard {mine.code} (evaluated, allowed, reduced, refused, shadow) {told}, counted {mine[2:]}"
            )
    return wrong


def batches(rows: Sequence[Entry]) -> list[list[Entry]]:
    """Each fact with the decisions after it."""
    found: list[list[Entry]] = []
    for entry in rows:
        if isinstance(entry.row, ev.DECISIONS) and found:
            found[-1].append(entry)
        else:
            found.append([entry])
    return found
