"""Was this funding due? In paper recomputed from the tape; in a live run: does the venue's line make sense?

Rule: a paper amount is exact. How a live one came about only the venue knows: checked are that its symbol is
one of the run, that neither its id nor its hour came before, and that the symbol was held at that moment.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from flowguardian.acceptance.evidence import Evidence
from flowguardian.acceptance.ledger import Held, funding_due
from flowguardian.acceptance.prices import Prices
from flowguardian.execution import events as ev

HOUR_NS = 3600 * 1_000_000_000
"""No symbol settles more often."""
CLOCK_NS = 1_000_000_000
"""By so much the stamps of this host may lie beside the venue's."""


class FundingRule:
    """What funding the rows before it allow."""

    def __init__(
        self, evidence: Evidence, prices: Prices, find: Callable[[str, int, str], None], *, exact: bool
    ) -> None:
        """`exact`: a paper run, in which it follows from the tape."""
        self._prices, self._find, self._exact = prices, find, exact
        self._symbols = evidence.started.symbols if evidence.started else ()
        self._holding: dict[str, int] = {}
        self._held: dict[str, list[tuple[int, int]]] = {}
        """By symbol: from the order that opened a position until it was flat."""
        self._booked: set[int | tuple[str, int]] = set()

    def moved(
        self,
        row: ev.OrderFilled | ev.Liquidated,
        positions: Mapping[str, Held],
        request: ev.OrderRequested | None,
    ) -> None:
        """A fill was booked; it happened at some moment since its order was decided."""
        if row.symbol in positions:
            self._holding.setdefault(row.symbol, (request or row).ts_ns)
        elif (since_ns := self._holding.pop(row.symbol, None)) is not None:
            self._held.setdefault(row.symbol, []).append((since_ns, row.ts_ns))

    def check(self, seq: int, row: ev.FundingSettled, held: Held | None) -> None:
        """One amount, before it is booked."""
        if self._exact:
            self._recomputed(seq, row, held)
        else:
            self._said_by_the_venue(seq, row)

    def _recomputed(self, seq: int, row: ev.FundingSettled, held: Held | None) -> None:
        due = funding_due(held, row.mark, row.rate) if held else 0
        if row.amount != due:
            self._find("fees", seq, f"funding {row.amount}, due {due}")
        seen = self._prices.funding(row.symbol, row.ts_ns)
        if seen != (row.mark, row.rate):
            self._find("prices", seq, f"funding at (mark, rate) {(row.mark, row.rate)}, the tape says {seen}")

    def _said_by_the_venue(self, seq: int, row: ev.FundingSettled) -> None:
        if row.symbol not in self._symbols:
            self._find("fees", seq, f"funding of {row.symbol!r}, which this run does not trade")
        if not row.tran_id or not row.settled_ns:
            self._find("fees", seq, f"funding of {row.symbol} without the venue's id and time")
        elif row.settled_ns > row.ts_ns + CLOCK_NS:
            self._find("fees", seq, f"funding {row.tran_id} is booked before it was settled")
        for mark in (row.tran_id, (row.symbol, row.settled_ns // HOUR_NS)):
            if mark in self._booked:
                self._find("fees", seq, f"funding {row.tran_id} of {row.symbol} is booked twice")
                break
        self._booked |= {row.tran_id, (row.symbol, row.settled_ns // HOUR_NS)}
        if not self._was_held(row.symbol, row.settled_ns):
            self._find("fees", seq, f"funding {row.tran_id} of {row.symbol}, which was not held then")

    def _was_held(self, symbol: str, at_ns: int) -> bool:
        since_ns = self._holding.get(symbol)
        if since_ns is not None and since_ns <= at_ns + CLOCK_NS:
            return True
        spans = self._held.get(symbol, ())
        return any(lo <= at_ns + CLOCK_NS and at_ns - CLOCK_NS <= hi for lo, hi in spans)
