"""`why`: the funnel from signal to fill, the last refusal of each guard, starvation, the longest gap.

Rule: everything is counted from outcome rows; a step was evaluated by each attempt that got as far as it,
so its place in the pipeline and the outcomes give all counts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from decimal import Decimal
from itertools import pairwise
from typing import Any

from flowguardian.cli.answers import (
    Gap,
    Orders,
    Refusal,
    Starved,
    Step,
    Why,
    moment,
    moment_or_none,
    plain,
    side_name,
    usdt,
)
from flowguardian.cli.books import Books
from flowguardian.cli.holds import SECOND_NS, why_now
from flowguardian.cli.language import Say
from flowguardian.cli.run_rows import RunRows
from flowguardian.execution import events as ev

GROUPS: Mapping[ev.Reason, str] = {
    ev.Reason.SIZING: "size",
    ev.Reason.EXPOSURE: "size",
    ev.Reason.PORTFOLIO_BUDGET: "budget",
    ev.Reason.VENUE_FILTERS: "venue",
}
"""The steps after the guards; all others are guards."""

UNITS: Mapping[ev.Reason, str] = {
    ev.Reason.WARMUP: "bars",
    ev.Reason.STALE_DATA: "s",
    ev.Reason.STALE_SIGNAL: "s",
    ev.Reason.CLOCK_SKEW: "s",
    ev.Reason.DUPLICATE_ENTRY: "positions",
    ev.Reason.FLASH_MOVE: "ratio",
    ev.Reason.VOLUME: "x mean",
    ev.Reason.SPREAD: "ratio",
    ev.Reason.PRICE_SANITY: "ratio",
    ev.Reason.SYMBOL_COOLDOWN: "s",
    ev.Reason.STRATEGY_COOLDOWN: "s",
    ev.Reason.CONSECUTIVE_LOSSES: "trades",
    ev.Reason.DAILY_LOSS: "ratio",
    ev.Reason.DRAWDOWN: "ratio",
    ev.Reason.MAX_POSITIONS: "positions",
    ev.Reason.MAX_STRATEGY_POSITIONS: "positions",
    ev.Reason.SIZING: "USDT",
    ev.Reason.EXPOSURE: "USDT",
    ev.Reason.PORTFOLIO_BUDGET: "USDT",
    ev.Reason.VENUE_FILTERS: "USDT",
}
"""What the limit and value of a refusal are measured in; USDT stands in the rows in units of 1e-8."""


def why(run: RunRows, say: Say) -> Why:
    """The whole answer."""
    books = Books.of(run.start, run.config)
    for seq, row in run.rows.items():
        books.apply(seq, row)
    refused = Counter(row.code for _, row in run.of(ev.EntryRefused))
    requests = {row.order_id: row for _, row in run.of(ev.OrderRequested) if row.purpose is ev.Purpose.ENTRY}
    now_ns = run.market_ns
    return Why(
        run_id=run.start.run_id,
        market_time=moment_or_none(now_ns),
        ended=run.ended,
        signals=sum(1 for _ in run.of(ev.Signal)),
        attempts=len(requests) + refused.total(),
        steps=_steps(run, len(requests), refused),
        budget_caps=sum(1 for _ in run.of(ev.BudgetCapped)),
        orders=_orders(run, set(requests), books),
        refusals=_last_refusals(run, refused, now_ns),
        starvation=tuple(
            Starved(
                seq,
                moment(row.ts_ns),
                row.guard,
                moment(row.since_ns),
                row.signals,
                row.refusals,
                row.release,
            )
            for seq, row in run.of(ev.GuardStarvation)
        ),
        longest_gap=longest_gap(run, set(requests)),
        now=why_now(run, books, say),
    )


def enabled(code: ev.Reason, config: Mapping[str, Any]) -> bool:
    """Whether a step refuses; a disabled guard only counts what it would have refused."""
    if code is ev.Reason.VOLUME:
        return bool(config["enable_vol_spike_filter"])
    return bool(config["guards"].get(code.value, {}).get("enabled", True))


def _steps(run: RunRows, requested: int, refused: Counter[ev.Reason]) -> tuple[Step, ...]:
    reduced = Counter(row.code for _, row in run.of(ev.EntryReduced))
    reduced[ev.Reason.PORTFOLIO_BUDGET] += sum(1 for _ in run.of(ev.BudgetCapped))
    shadow: Counter[ev.Reason] = Counter()
    for _, row in run.of(ev.EntryRefused):
        shadow.update(row.shadow)
    for _, order in run.of(ev.OrderRequested):
        shadow.update(order.shadow)
    left = requested + refused.total()
    steps = []
    for code in ev.Reason:
        steps.append(
            Step(
                code=code,
                group=GROUPS.get(code, "guard"),
                enabled=enabled(code, run.config),
                evaluated=left,
                allowed=left - refused[code] - reduced[code],
                reduced=reduced[code],
                refused=refused[code],
                shadow=shadow[code],
            )
        )
        left -= refused[code]
    return tuple(steps)


def _orders(run: RunRows, entries: set[int], books: Books) -> Orders:
    filled = {row.order_id for _, row in run.of(ev.OrderFilled)} & entries

    def ended(kind: type[ev.OrderExpired | ev.OrderRejected | ev.OrderUnsent | ev.OrderUnknown]) -> int:
        return len({row.order_id for _, row in run.of(kind)} & entries - filled)

    return Orders(
        requested=len(entries),
        filled=len(filled),
        expired=ended(ev.OrderExpired),
        rejected=ended(ev.OrderRejected),
        unsent=ended(ev.OrderUnsent),
        unknown=ended(ev.OrderUnknown),
        open=len(entries & set(books.orders)),
    )


def measure(code: ev.Reason, value: float) -> Decimal:
    """A limit or value of a refusal in its unit."""
    return usdt(int(value)) if UNITS.get(code) == "USDT" else plain(Decimal(str(value)))


def refusal(seq: int, row: ev.EntryRefused, count: int, now_ns: int) -> Refusal:
    """A refusal for people; whether it is over is known only where it ends by itself."""
    ends_itself = row.release in ("time", "utc_midnight")
    return Refusal(
        seq=seq,
        at=moment(row.ts_ns),
        code=row.code,
        count=count,
        symbol=row.symbol,
        strategy=row.strategy,
        side=side_name(row.side),
        limit=measure(row.code, row.limit),
        value=measure(row.code, row.value),
        unit=UNITS.get(row.code, ""),
        release=row.release,
        release_at=moment_or_none(row.release_ns),
        released=row.release_ns <= now_ns if ends_itself and row.release_ns else None,
    )


def _last_refusals(run: RunRows, counts: Counter[ev.Reason], now_ns: int) -> tuple[Refusal, ...]:
    last: dict[ev.Reason, tuple[int, ev.EntryRefused]] = {}
    for seq, row in run.of(ev.EntryRefused):
        last[row.code] = (seq, row)
    return tuple(refusal(*last[code], counts[code], now_ns) for code in ev.Reason if code in last)


def longest_gap(run: RunRows, entries: set[int]) -> Gap | None:
    """The longest time between two entries, from going live to the last known moment of the market."""
    if not run.live_ns:
        return None
    firsts: dict[int, int] = {}
    for _, row in run.of(ev.OrderFilled):
        if row.order_id in entries:
            firsts.setdefault(row.order_id, row.ts_ns)
    times = [run.live_ns, *firsts.values(), max(run.market_ns, run.live_ns)]
    start_ns, end_ns = max(pairwise(times), key=lambda pair: pair[1] - pair[0])
    refused = Counter(row.code.value for _, row in run.of(ev.EntryRefused) if start_ns < row.ts_ns <= end_ns)
    return Gap(
        start=moment(start_ns),
        end=moment(end_ns),
        seconds=(end_ns - start_ns) / SECOND_NS,
        signals=sum(start_ns < row.ts_ns <= end_ns for _, row in run.of(ev.Signal)),
        refused=dict(refused.most_common()),
    )
