"""The figures of a report beside the criteria: equity minute by minute, hours, trades, streams.

Rule: everything is recomputed from the judge's own books and the tape; the run's own stand beside it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flowguardian.acceptance import judgement as jm
from flowguardian.acceptance.evidence import Evidence
from flowguardian.acceptance.findings import Audit, BookState, Trade
from flowguardian.acceptance.ledger import ONE
from flowguardian.acceptance.prices import Prices
from flowguardian.acceptance.statistics import mean_interval, wilson
from flowguardian.execution import events as ev

SECOND_NS = 1_000_000_000
MINUTE_NS = 60 * SECOND_NS
HOUR_NS = 60 * MINUTE_NS
MOST_POINTS = 1500
MOST_TRADES = 2000
Ints = npt.NDArray[np.int64]


@dataclass
class Books:
    """Equity and budget use on a grid of stamps, exact."""

    ts: Ints
    equity: list[int]
    used: list[int]
    reserved: list[int]
    balance: list[int]

    def drawdowns(self) -> list[float]:
        """How far below its highest value so far equity is, in % (≤ 0)."""
        peak, found = 0, []
        for value in self.equity:
            peak = max(peak, value)
            found.append(-(peak - value) * 100 / peak if peak > 0 else 0.0)
        return found


def books_on_grid(audit: Audit, prices: Prices, from_ns: int, to_ns: int) -> Books:
    """The books once a minute, and at both ends; a position without a price counts at cost."""
    step = MINUTE_NS * max(1, -(-(to_ns - from_ns) // (MINUTE_NS * MOST_POINTS)))
    ts = np.unique(np.append(np.arange(from_ns, to_ns, step, dtype=np.int64), to_ns))
    names = {held[0] for state in audit.states for held in state.held}
    marks = {name: prices.trades(name, ts).tolist() for name in names if name in prices.symbols}
    stamps = np.array([state.ts_ns for state in audit.states], np.int64)
    at = (np.searchsorted(stamps, ts, "right") - 1).tolist()
    books = Books(ts, [], [], [], [])
    for k, i in enumerate(at):
        state = BookState(0, audit.ledger.start, (), 0, 0) if i < 0 else audit.states[i]
        unrealised = 0
        for name, side, qty, cost in state.held:
            mark = marks[name][k] if name in marks else 0
            unrealised += side * (qty * mark - cost) // ONE if mark else 0
        books.equity.append(state.balance + unrealised)
        books.used.append(state.used)
        books.reserved.append(state.reserved)
        books.balance.append(state.balance)
    return books


def curve_of(books: Books, allocation: float) -> jm.Curve:
    """The books as the report draws them; `allocation` is the share of all strategies together."""
    return jm.Curve(
        ts_ns=tuple(books.ts.tolist()),
        equity=tuple(books.equity),
        drawdown_pct=tuple(round(value, 5) for value in books.drawdowns()),
        used=tuple(books.used),
        reserved=tuple(books.reserved),
        allocated=tuple(int(balance * allocation) for balance in books.balance),
    )


def money_of(audit: Audit, books: Books) -> jm.Money:
    """From start to end."""
    ledger, end = audit.ledger, books.equity[-1] if books.equity else audit.ledger.start
    equity = books.equity or [ledger.start]
    return jm.Money(
        start=ledger.start,
        realised=ledger.realised,
        fees=ledger.fees,
        funding=ledger.funding,
        unrealised=end - ledger.balance,
        end=end,
        peak=max(equity),
        lowest=min(equity),
        max_drawdown_pct=min(books.drawdowns(), default=0.0),
    )


def checkpoints_of(audit: Audit) -> tuple[jm.Checkpoint, ...]:
    """Every checkpoint row; the drawdown is from the highest equity of the run so far."""
    lines = []
    for seq, row, own, difference in audit.checkpoints:
        peak = max(row.peak_equity, row.equity)
        lines.append(
            jm.Checkpoint(
                seq=seq, name=row.name, ts_ns=row.ts_ns, run_ns=row.run_ns, equity=row.equity,
                own_equity=own, difference=difference,
                drawdown_pct=-(peak - row.equity) * 100 / peak if peak > 0 else 0.0,
                signals=row.signals, entries=row.entries, budget_caps=row.budget_caps,
                budget_blocks=row.budget_blocks, open_positions=row.open_positions,
                allocated=sum(line.allocated for line in row.budget),
                used=sum(line.used for line in row.budget),
                available=sum(line.available for line in row.budget), exposure=row.exposure,
                trading_state=row.trading_state.value,
            )
        )  # fmt: skip
    return tuple(lines)


def hours_of(audit: Audit, evidence: Evidence, books: Books, live_ns: int) -> tuple[jm.Hour, ...]:
    """Each hour of market time since the run went live."""
    if not len(books.ts):
        return ()
    # The last clock row may come a moment after the hour: that moment is no hour of its own.
    last_hour = max(0, (int(books.ts[-1]) - live_ns - SECOND_NS) // HOUR_NS)

    def hour_of(ts_ns: int) -> int:
        return min((ts_ns - live_ns - 1) // HOUR_NS, last_hour)

    number = np.minimum((books.ts - live_ns - 1) // HOUR_NS, last_hour)
    tally, budget = audit.tally, ev.Reason.PORTFOLIO_BUDGET
    counted: dict[str, Counter[int]] = {
        "signals": Counter(map(hour_of, tally.signal_times)),
        "entries": Counter(hour_of(entry.ts_ns) for entry in tally.entries),
        "caps": Counter(hour_of(row.ts_ns) for _, row in evidence.of(ev.BudgetCapped)),
        "refusals": Counter(hour_of(row.ts_ns) for _, row in tally.refusals),
        "blocks": Counter(hour_of(row.ts_ns) for _, row in tally.refusals if row.code is budget),
    }
    drawdowns, lines, before = books.drawdowns(), [], audit.ledger.start
    for hour in range(last_hour + 1):
        at = np.flatnonzero(number == hour)
        if not len(at):
            continue
        last = int(at[-1])
        lines.append(
            jm.Hour(
                hour=hour + 1, to_ns=int(books.ts[last]), equity=books.equity[last],
                change=books.equity[last] - before, drawdown_pct=min(drawdowns[i] for i in at),
                signals=counted["signals"][hour], entries=counted["entries"][hour],
                budget_caps=counted["caps"][hour], budget_blocks=counted["blocks"][hour],
                refusals=counted["refusals"][hour],
            )
        )  # fmt: skip
        before = books.equity[last]
    return tuple(lines)


def trades_of(audit: Audit, prices: Prices) -> jm.Trades:
    """What the strategy's closed positions came to."""
    trades = audit.trades
    nets = [trade.net / ONE for trade in trades]
    wins = sum(net > 0 for net in nets)
    rate, mean = wilson(wins, len(trades)), mean_interval(nets)
    lost = -sum(net for net in nets if net < 0)
    holds = [(trade.closed_ns - trade.opened_ns) / MINUTE_NS for trade in trades]
    slips = audit.slippage_bps
    return jm.Trades(
        closed=len(trades),
        wins=wins,
        win_rate_pct=rate[0] if rate else None,
        win_rate_low_pct=rate[1] if rate else None,
        win_rate_high_pct=rate[2] if rate else None,
        expectancy=mean[0] if mean else None,
        expectancy_low=mean[1] if mean else None,
        expectancy_high=mean[2] if mean else None,
        profit_factor=sum(net for net in nets if net > 0) / lost if lost > 0 else None,
        mean_hold_minutes=sum(holds) / len(holds) if holds else None,
        mean_slippage_bps=sum(slips) / len(slips) if slips else None,
        by_symbol=_grouped(trades, "symbol"),
        by_reason=_grouped(trades, "reason"),
        bound=tuple(jm.CodeCount(code=code, count=n) for code, n in audit.tally.bound.most_common()),
        trades=tuple(_line(trade, prices) for trade in trades[:MOST_TRADES]),
    )


def _grouped(trades: Sequence[Trade], field: str) -> tuple[jm.Group, ...]:
    by: dict[str, list[Trade]] = {}
    for trade in trades:
        by.setdefault(getattr(trade, field), []).append(trade)
    groups = [
        jm.Group(name=name, trades=len(part), wins=sum(t.net > 0 for t in part), net=sum(t.net for t in part))
        for name, part in by.items()
    ]
    return tuple(sorted(groups, key=lambda group: (-group.trades, group.name)))


def _line(trade: Trade, prices: Prices) -> jm.TradeLine:
    span = prices.range(trade.symbol, trade.opened_ns, trade.closed_ns)
    adverse = favourable = None
    if span is not None and trade.entry_price:
        moves = sorted((price - trade.entry_price) * trade.side * 100 / trade.entry_price for price in span)
        adverse, favourable = min(moves[0], 0.0), max(moves[1], 0.0)
    return jm.TradeLine(
        seq=trade.seq, symbol=trade.symbol, strategy=trade.strategy, side=trade.side,
        opened_ns=trade.opened_ns, closed_ns=trade.closed_ns, qty=trade.qty,
        entry_price=trade.entry_price, realised=trade.realised,
        fees=trade.fees, funding=trade.funding, net=trade.net, reason=trade.reason, adverse_pct=adverse,
        favourable_pct=favourable,
    )  # fmt: skip


def streams_of(prices: Prices, live_ns: int, atr: dict[str, float]) -> tuple[jm.StreamLine, ...]:
    """Records per symbol and kind while live."""
    return tuple(
        jm.StreamLine(
            symbol=s.symbol, kind=s.kind, records=s.records, max_silence_seconds=s.max_silence_ns / 1e9,
            max_silence_at_ns=s.max_silence_at_ns,
            mean_atr_pct=atr.get(s.symbol) if s.kind == "TRADE" else None,
        )
        for s in prices.streams(live_ns)
    )  # fmt: skip


def shadowed_of(evidence: Evidence) -> tuple[jm.Shadowed, ...]:
    """Limits that can never bind, as the run said at its start."""
    return tuple(
        jm.Shadowed(seq=seq, limit=row.limit, value=row.value, by=row.by, effective=row.effective)
        for seq, row in evidence.of(ev.LimitShadowed)
    )
