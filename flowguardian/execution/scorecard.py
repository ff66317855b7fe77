"""What happened so far, counted from rows: the entry funnel, a checkpoint's totals, the starvation watch.

Rule: every count follows from rows alone. A guard was evaluated by each attempt that got as far as it, so the
outcome of each attempt gives all counts of the funnel; nothing is incremented on the way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from flowguardian.execution import events as ev
from flowguardian.execution.limits import Limits
from flowguardian.execution.portfolio_manager import PortfolioManager
from flowguardian.guards.base import Guard
from flowguardian.guards.starvation import StarvationWatch

STEPS = (ev.Reason.SIZING, ev.Reason.EXPOSURE, ev.Reason.PORTFOLIO_BUDGET, ev.Reason.VENUE_FILTERS)
"""The steps after the guards, in order."""

PORTFOLIO_CHECKS = (
    ev.Reason.PORTFOLIO_BUDGET,
    ev.Reason.MAX_POSITIONS,
    ev.Reason.MAX_STRATEGY_POSITIONS,
    ev.Reason.EXPOSURE,
    ev.Reason.SYMBOL_COOLDOWN,
)
"""What the earlier system counted as its portfolio check."""


class Scorecard:
    """Counters of one run."""

    def __init__(self, limits: Limits, guards: Sequence[Guard]) -> None:
        self._order = (*(guard.code for guard in guards), *STEPS)
        self._enabled = limits.guards.enabled | set(STEPS)
        self.refused = dict.fromkeys(ev.Reason, 0)
        self.reduced = dict.fromkeys(ev.Reason, 0)
        self.shadow = dict.fromkeys(ev.Reason, 0)
        self._first: dict[ev.Reason, int] = {}
        self._last: dict[ev.Reason, int] = {}
        self.signals = self.requested = self.entries = self.budget_caps = self.closed = 0
        self._unfilled: set[int] = set()
        self._outcome = "no signal yet"
        self._starvation = StarvationWatch(limits)

    def listeners(self) -> dict[type[ev.Row], tuple[Callable[[Any], None], ...]]:
        """What counts which rows."""
        starving = self._starvation.apply
        return {
            ev.Signal: (self._on_signal, starving),
            ev.OrderRequested: (self._on_request,),
            ev.OrderFilled: (self._on_fill,),
            ev.EntryRefused: (self._on_refusal, starving),
            ev.EntryReduced: (self._on_reduced,),
            ev.BudgetCapped: (self._on_cap,),
            ev.PositionClosed: (self._on_closed,),
            ev.OrderExpired: (self._on_ended,),
            ev.OrderRejected: (self._on_ended,),
            ev.OrderUnsent: (self._on_ended,),
            ev.WentLive: (starving,),
            ev.TradingStateChanged: (starving,),
            ev.GuardStarvation: (starving,),
        }

    def _on_signal(self, _: ev.Signal) -> None:
        self.signals += 1

    def _on_request(self, row: ev.OrderRequested) -> None:
        if row.purpose is ev.Purpose.ENTRY:
            self.requested += 1
            self._outcome = "entered"
            self._unfilled.add(row.order_id)
            self._shadow(row.shadow)
            self._starvation.apply(row)

    def _on_fill(self, row: ev.OrderFilled) -> None:
        if row.order_id in self._unfilled:
            self._unfilled.discard(row.order_id)
            self.entries += 1

    def _on_refusal(self, row: ev.EntryRefused) -> None:
        self.refused[row.code] += 1
        self._outcome = row.code.value
        self._touch(row.code, row.ts_ns)
        self._shadow(row.shadow)

    def _on_reduced(self, row: ev.EntryReduced) -> None:
        self.reduced[row.code] += 1
        self._touch(row.code, row.ts_ns)

    def _on_cap(self, _: ev.BudgetCapped) -> None:
        self.budget_caps += 1
        self.reduced[ev.Reason.PORTFOLIO_BUDGET] += 1

    def _on_closed(self, _: ev.PositionClosed) -> None:
        self.closed += 1

    def _on_ended(self, row: ev.OrderExpired | ev.OrderRejected | ev.OrderUnsent) -> None:
        self._unfilled.discard(row.order_id)

    def _touch(self, code: ev.Reason, ts_ns: int) -> None:
        self._first.setdefault(code, ts_ns)
        self._last[code] = ts_ns

    def _shadow(self, codes: tuple[ev.Reason, ...]) -> None:
        for code in codes:
            self.shadow[code] += 1

    def starving(self, ts_ns: int, portfolio: PortfolioManager) -> Iterator[ev.Row]:
        """The starvation row that is due now, if any."""
        row = self._starvation.due(ts_ns, portfolio)
        if row is not None:
            yield row

    def check_blocks(self) -> int:
        """Refusals the earlier system would have counted as portfolio check blocks."""
        return sum(self.refused[code] for code in PORTFOLIO_CHECKS)

    def why(self) -> str:
        """The last outcome: an entry, or the code of the guard that refused."""
        return self._outcome

    def funnel(self) -> tuple[ev.GuardCount, ...]:
        """One count per step, in pipeline order."""
        left = self.requested + sum(self.refused.values())
        counts = []
        for code in self._order:
            refused = self.refused[code]
            counts.append(
                ev.GuardCount(
                    code=code,
                    enabled=code in self._enabled,
                    evaluated=left,
                    allowed=left - refused - self.reduced[code],
                    reduced=self.reduced[code],
                    refused=refused,
                    shadow=self.shadow[code],
                    first_ns=self._first.get(code, 0),
                    last_ns=self._last.get(code, 0),
                )
            )
            left -= refused
        return tuple(counts)

    def snapshot(self) -> tuple[object, ...]:
        """What the state hash covers."""
        return (
            self.signals,
            self.requested,
            self.entries,
            self.budget_caps,
            self.closed,
            sorted(self.refused.items()),
            sorted(self.reduced.items()),
            sorted(self.shadow.items()),
            sorted(self._first.items()),
            sorted(self._last.items()),
            sorted(self._unfilled),
            self._starvation.snapshot(),
        )
