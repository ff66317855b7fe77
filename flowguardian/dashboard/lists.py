"""The newest rows of a run laid out for the lists of the page.

Rule: each list keeps so many rows and drops the oldest; nothing here adds up anything.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import cast

import msgspec

from flowguardian.cli.answers import moment, side_name, usdt
from flowguardian.cli.funnel import refusal
from flowguardian.dashboard.shapes import (
    Attempt,
    CheckpointLine,
    Closed,
    CommandLine,
    Events,
    Fill,
    IncidentLine,
    Lists,
)
from flowguardian.execution import events as ev
from flowguardian.journal import ops_events as ops

ENDED = {ev.OrderExpired: "expired", ev.OrderRejected: "rejected", ev.OrderUnsent: "unsent"}
ALARMS = (ev.FeedGap, ev.GuardStarvation, ev.BudgetOver, ev.InvariantViolated)
"""Rows of the journal that stand among the incidents."""
SAMPLE_LETTERS = 400


class RowLists:
    """Lists of one run, told row by row."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._entries: dict[int, Attempt] = {}
        """By order id, oldest first."""
        self._refused: deque[tuple[int, ev.EntryRefused, int]] = deque(maxlen=most)
        self._counts: Counter[ev.Reason] = Counter()
        self._fills: deque[Fill] = deque(maxlen=most)
        self._closes: deque[Closed] = deque(maxlen=most)
        self._checkpoints: deque[CheckpointLine] = deque(maxlen=most)
        self._commands: deque[CommandLine] = deque(maxlen=most)
        self._incidents: dict[tuple[str, str, str], IncidentLine] = {}
        self.opened: dict[str, tuple[int, ev.PositionOpened]] = {}
        """The last opening of each symbol."""
        self.reduced: Counter[str] = Counter()
        """Partial closes of each symbol since then."""

    # ---- what the page is sent

    def lists(self, now_ns: int) -> Lists:
        """Whether a refusal is released depends on the time."""
        return Lists(
            entries=tuple(self._entries.values()),
            refusals=tuple(refusal(seq, row, count, now_ns) for seq, row, count in self._refused),
            fills=tuple(self._fills),
            closes=tuple(self._closes),
        )

    def events(self) -> Events:
        return Events(tuple(self._checkpoints), tuple(self._incidents.values()), tuple(self._commands))

    # ---- rows of the journal

    def apply(self, seq: int, row: ev.Row) -> None:
        """Take in one row."""
        match row:
            case ev.OrderRequested() if row.purpose is ev.Purpose.ENTRY:
                self._request(seq, row)
            case ev.EntryRefused():
                self._counts[row.code] += 1
                self._refused.append((seq, row, self._counts[row.code]))
            case ev.OrderFilled():
                self._fill(seq, row)
            case ev.OrderExpired() | ev.OrderRejected() | ev.OrderUnsent() | ev.OrderUnknown():
                self._outcome(row)
            case ev.PositionOpened() | ev.PositionReduced() | ev.PositionClosed():
                self._position(seq, row)
            case ev.CheckpointTaken():
                self._checkpoints.append(_checkpoint(seq, row))
            case ev.CommandReceived():
                self._commands.append(CommandLine(seq, moment(row.ts_ns), row.command.value, row.by))
            case _ if isinstance(row, ALARMS):
                self._alarm(row)

    def _position(self, seq: int, row: ev.PositionOpened | ev.PositionReduced | ev.PositionClosed) -> None:
        if isinstance(row, ev.PositionClosed):
            self._close(seq, row)
        elif isinstance(row, ev.PositionOpened):
            self.opened[row.symbol] = (seq, row)
            self.reduced[row.symbol] = 0
        else:
            self.reduced[row.symbol] += 1

    def _request(self, seq: int, row: ev.OrderRequested) -> None:
        self._entries[row.order_id] = Attempt(
            seq=seq,
            at=moment(row.ts_ns),
            symbol=row.symbol,
            strategy=row.strategy,
            side=side_name(row.side),
            qty=usdt(row.qty),
            limit_price=usdt(row.limit_price),
            reserved_usdt=usdt(row.reserved),
            bound=row.bound,
            outcome="requested",
        )
        if len(self._entries) > self._most:
            del self._entries[next(iter(self._entries))]

    def _fill(self, seq: int, row: ev.OrderFilled) -> None:
        entry = self._entries.get(row.order_id)
        if entry is not None:
            entry.outcome = "filled"
        self._fills.append(
            Fill(
                seq=seq,
                at=moment(row.ts_ns),
                symbol=row.symbol,
                buy=row.side > 0,
                purpose="entry" if entry is not None else "exit",
                qty=usdt(row.qty),
                price=usdt(row.price),
                fee_usdt=usdt(row.fee),
            )
        )

    def _outcome(self, row: ev.OrderExpired | ev.OrderRejected | ev.OrderUnsent | ev.OrderUnknown) -> None:
        entry = self._entries.get(row.order_id)
        if entry is None:
            return
        if entry.outcome == "filled":
            entry.outcome = "partly"
        else:
            entry.outcome = ENDED.get(cast("type[ev.OrderExpired]", type(row)), "unknown")

    def _close(self, seq: int, row: ev.PositionClosed) -> None:
        self._closes.append(
            Closed(
                seq=seq,
                at=moment(row.ts_ns),
                symbol=row.symbol,
                side=side_name(row.side),
                reason=row.reason.value,
                opened=moment(row.opened_ns),
                net_usdt=usdt(row.realised - row.fees + row.funding),
            )
        )

    def _alarm(self, row: ev.Row) -> None:
        kind = type(row).__name__
        severity = "ERROR" if isinstance(row, ev.InvariantViolated) else "WARNING"
        told = msgspec.to_builtins(row)
        sample = ", ".join(f"{key}={value}" for key, value in told.items() if key != "ts_ns")
        what = kind if not isinstance(row, ev.FeedGap) else f"{kind} {row.symbol}"
        self._incident(severity, "engine", what, sample, row.ts_ns)

    # ---- rows of the ops journal

    def apply_ops(self, row: ops.OpsRow) -> None:
        """Take in what happened to the processes."""
        match row:
            case ops.Incident():
                self._incident(row.severity.value, row.source, row.what, row.sample, row.ts_ns)
            case ops.ProcessExited() if row.abnormal:
                sample = f"PID {row.pid}, code {row.code}" + (", announced" if row.announced else "")
                severity = "WARNING" if row.announced else "ERROR"
                self._incident(severity, row.name, f"ended: {row.reason}", sample, row.ts_ns)
            case ops.FaultAnnounced():
                self._incident("NOTE", row.target, f"fault announced: {row.fault}", "", row.ts_ns)
            case ops.HostSlept():
                self._incident("WARNING", "host", "slept", f"{row.gap_seconds:.1f} s", row.ts_ns)
            case ops.ClockStepped():
                self._incident("WARNING", "host", "clock stepped", f"{row.step_seconds:.3f} s", row.ts_ns)
            case _:
                return

    def _incident(self, severity: str, source: str, what: str, sample: str, ts_ns: int) -> None:
        key, at = (severity, source, what), moment(ts_ns)
        known = self._incidents.pop(key, None)
        if known is None:
            known = IncidentLine(severity, source, what, "", 0, at, at)
        known.count, known.last, known.sample = known.count + 1, at, sample[:SAMPLE_LETTERS]
        self._incidents[key] = known
        if len(self._incidents) > self._most:
            del self._incidents[next(iter(self._incidents))]


def _checkpoint(seq: int, row: ev.CheckpointTaken) -> CheckpointLine:
    return CheckpointLine(
        seq=seq,
        at=moment(row.ts_ns),
        name=row.name,
        run_seconds=row.run_ns / 1e9,
        equity_usdt=usdt(row.equity),
        used_usdt=usdt(sum(line.used for line in row.budget)),
        available_usdt=usdt(sum(line.available for line in row.budget)),
        entries=row.entries,
        budget_caps=row.budget_caps,
        budget_blocks=row.budget_blocks,
        open_positions=row.open_positions,
        ledger_difference_usdt=usdt(row.ledger_difference),
        trading_state=row.trading_state.value,
    )
