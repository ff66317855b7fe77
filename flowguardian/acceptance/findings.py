"""What one walk over the rows of a run gave: findings, books over time, closed positions, checkpoints.

Rule: only the shape of results stands here; they are made by audit.py.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import NamedTuple

from flowguardian.acceptance.ledger import Ledger
from flowguardian.acceptance.tallies import Tally
from flowguardian.execution import events as ev

MOST_FINDINGS = 20
"""Findings kept per check; all are counted."""


class Finding(NamedTuple):
    """Something that should not be, and the row that shows it."""

    seq: int
    text: str


@dataclass
class LiveOrder:
    """An order as its rows tell it."""

    request: ev.OrderRequested
    filled: int = 0
    unknown: bool = False

    @property
    def reserved(self) -> int:
        """What it still holds of the budget."""
        left = max(self.request.qty - self.filled, 0)
        return self.request.reserved * left // self.request.qty if self.request.qty > 0 else 0


class BookState(NamedTuple):
    """The books from a stamp on, until the next state."""

    ts_ns: int
    balance: int
    held: tuple[tuple[str, int, int, int], ...]
    """(symbol, side, quantity, cost) of each position."""
    used: int
    reserved: int


class Trade(NamedTuple):
    """A position's whole life."""

    seq: int
    symbol: str
    strategy: str
    side: int
    opened_ns: int
    closed_ns: int
    qty: int
    entry_price: int
    realised: int
    fees: int
    funding: int
    reason: str

    @property
    def net(self) -> int:
        """Profit after fees and funding."""
        return self.realised - self.fees + self.funding


class Checked(NamedTuple):
    """A checkpoint beside the judge's own books."""

    seq: int
    row: ev.CheckpointTaken
    equity: int | None
    """The judge's own; None when the tape has no price for a position."""
    difference: int | None
    """The largest difference of any figure."""


@dataclass
class Audit:
    """The result of the walk."""

    ledger: Ledger
    tally: Tally = field(default_factory=Tally)
    findings: dict[str, list[Finding]] = field(default_factory=lambda: defaultdict(list))
    counts: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    states: list[BookState] = field(default_factory=list)
    trades: list[Trade] = field(default_factory=list)
    checkpoints: list[Checked] = field(default_factory=list)
    slippage_bps: list[float] = field(default_factory=list)
    """Of each fill against the middle of the book at its stamp; > 0 is worse than the middle."""

    def find(self, check: str, seq: int, text: str) -> None:
        """Note a finding."""
        self.counts[check] += 1
        if len(self.findings[check]) < MOST_FINDINGS:
            self.findings[check].append(Finding(seq, text))
