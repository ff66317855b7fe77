"""Live runs against the local venue with faults of the trading side, and what must hold for each of them.

Rule: the venue's ledger is written by another hand than the engine's books; at the end both must agree to the
last digit, whatever was done to requests, replies and events in between.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from flowguardian.acceptance.audit import audit
from flowguardian.acceptance.evidence import read_evidence
from flowguardian.acceptance.prices import read_prices
from flowguardian.execution import events as ev
from flowguardian.execution.portfolio_manager import PortfolioManager
from flowguardian.journal.journal import TAPE
from flowguardian.market.records import SECOND_NS
from flowguardian.ops.engine_process import EngineProcess
from flowguardian.ops.live_trading import tag_of
from flowguardian.ops.verify import verify
from tests.e2e.faulted import MINUTES, Fault, Faulted, Story, faulted

NAKED_NS = 5 * SECOND_NS
FILTER_CODES = frozenset({-1013, -1111, *range(-4030, -4000), -4131, -4164})
"""What the venue answers to an order that its filters, or its bounds of price, do not allow."""


class LiveStory(Story):
    """What a live run left behind, here and at the venue."""

    def __init__(
        self,
        run_dir: Path,
        reason: str,
        ledger: Any,
        *,
        by_plan: Collection[int] = (),
        logged: Sequence[Any] = (),
    ) -> None:
        """`by_plan`: the codes with which the plan refuses orders; `logged`: what the last lifetime said."""
        super().__init__(run_dir, reason)
        self.ledger, self.by_plan, self.logged = ledger, by_plan, logged

    def holds(self) -> None:
        """What must be true of every live run."""
        assert self.reason == "completed"
        verified = verify(self.run_dir)
        assert verified.ok, verified.message
        assert self.of(ev.InvariantViolated) == []
        found = self.found_by_the_judge()
        assert not found, found
        self.agrees()
        assert not self.against_filters()

    def against_filters(self) -> list[ev.OrderRejected]:
        """Orders that should never have been sent, but those that are refused by plan."""
        codes = FILTER_CODES - frozenset(self.by_plan)
        return [row for row in self.of(ev.OrderRejected) if row.code in codes]

    def agrees(self) -> None:
        """Wallet, positions and trades here and at the venue are the same, and every trade is ours once."""
        books = self.books()
        account = self.ledger["account"]
        assert self.ledger["difference"] == 0, "the venue's own books do not balance"
        assert account["wallet"] == books.balance()
        held = {name: one["qty"] for name, one in account["positions"].items() if one["qty"]}
        assert held == {name: one.side * one.qty for name, one in books.positions.items()}
        here = [row.fill_id for row in self.of(ev.OrderFilled)]
        here += [row.fill_id for row in self.of(ev.ClosedByVenue)]
        there = [trade["id"] for trade in self.ledger["trades"]]
        assert sorted(here) == sorted(there) and len(set(here)) == len(here)

    def found_by_the_judge(self) -> list[str]:
        """What the judge's walk over the rows objects to."""
        evidence = read_evidence(self.run_dir)
        assert evidence.started is not None
        prices, problems = read_prices(self.run_dir / TAPE, evidence.started.symbols)
        found = audit(evidence, prices).findings
        return [
            *problems,
            *(f"{check}: {one.text}" for check, many in found.items() for one in many),
        ]

    def books(self) -> PortfolioManager:
        """The engine's books, decided again from the records."""
        process = EngineProcess(self.run_dir)
        try:
            return process.loop.engine.portfolio
        finally:
            process.close()

    def sent_twice(self) -> list[str]:
        """Client ids that the venue accepted more than once."""
        ids = [order["client_id"] for order in self.ledger["orders"] if self.is_ours(order["client_id"])]
        return sorted({one for one in ids if ids.count(one) > 1})

    def is_ours(self, client_id: str) -> bool:
        """Whether an order is of this run."""
        return client_id.startswith(tag_of(self.run_dir.name))


def run_live(run: Faulted) -> LiveStory:
    """One lifetime, then the ledger of the venue."""
    told = run.run()
    return LiveStory(told.run_dir, told.reason, run.ledger(), by_plan=run.refusals, logged=run.logged)


def live_story(
    run_dir: Path,
    *overrides: str,
    faults: Sequence[Fault] = (),
    minutes: float = MINUTES,
    start_ns: int | None = None,
) -> LiveStory:
    """A whole live run with these faults, and what must hold for every one checked."""
    with faulted(run_dir, *overrides, faults=faults, minutes=minutes, mode=ev.LIVE, start_ns=start_ns) as run:
        told = run_live(run)
    told.holds()
    assert told.sent_twice() == []
    return told
