"""The pages of a report that describe: trades, data, segments, resources, incidents, comparison, scope.

Rule: everything comes from the judgement; what was not measured is said, never shown as zero.
"""

from __future__ import annotations

from flowguardian.acceptance.blocks import (
    Block,
    Cell,
    Items,
    Paragraph,
    Plot,
    Section,
    facts,
    limited,
    section,
    table,
)
from flowguardian.acceptance.catalog import text
from flowguardian.acceptance.data_page import data
from flowguardian.acceptance.formats import DASH, clock, duration, number, percent, shown, usdt
from flowguardian.acceptance.judgement import Judgement, Text

ONE = 100_000_000
MOST_ROWS = 40
SMALL_SAMPLE = 1000
"""Closed trades below which a report warns about its figures of profitability."""
UNTESTED = {"paper": ("orders", "impact", "live"), "live": ("impact",)}
"""What a run of that kind leaves out."""
EARLIER = {
    "entry_success": "42",
    "cap_applied": "111 ≈ 37",
    "check_block_pct": "31.1 %",
    "errors": "103",
    "abnormal": "1",
    "run_hours": "≈ 10 h",
}
"""The earlier system's best run."""


def sections(j: Judgement) -> list[Section]:
    """The describing pages, in order."""
    return [_trades(j), data(j), _stability(j), _resources(j), _incidents(j), _comparison(j), _scope(j)]


def _trades(j: Judgement) -> Section:
    t = j.trades
    rows: list[tuple[Cell, Cell]] = [
        (text("label.closed"), shown(t.closed)),
        (text("label.win_rate"), _interval(t.win_rate_pct, t.win_rate_low_pct, t.win_rate_high_pct, " %", 1)),
        (text("label.expectancy"), _interval(t.expectancy, t.expectancy_low, t.expectancy_high, " USDT", 2)),
        (text("label.profit_factor"), number(t.profit_factor)),
        (text("label.hold"), duration(None if t.mean_hold_minutes is None else t.mean_hold_minutes * 60)),
        (text("label.slippage"), f"{number(t.mean_slippage_bps)} bps"),
    ]
    blocks: list[Block] = [Paragraph(_result(j), "strong"), facts(rows)]
    if t.closed < SMALL_SAMPLE:
        blocks.append(Paragraph(text("text.sample", count=t.closed), "note"))
    for head, groups in (("symbol", t.by_symbol), ("reason", t.by_reason)):
        if groups:
            lines = [(g.name or DASH, shown(g.trades), shown(g.wins), usdt(g.net, sign=True)) for g in groups]
            blocks.append(table(f"{head} trades wins net", lines, "trades wins net"))
    return section("trades", *blocks, *_trade_list(j))


def _trade_list(j: Judgement) -> tuple[Block, ...]:
    if not j.trades.trades:
        return ()
    every: list[tuple[Cell, ...]] = [
        (
            clock(t.opened_ns), t.symbol, "LONG" if t.side > 0 else "SHORT", t.reason,
            duration((t.closed_ns - t.opened_ns) / 1e9), percent(t.adverse_pct), percent(t.favourable_pct),
            usdt(t.net, sign=True),
        )
        for t in j.trades.trades
    ]  # fmt: skip
    lines, more = limited(every, MOST_ROWS)
    names = "start symbol side reason held adverse favourable net"
    return table(names, lines, "held adverse favourable net"), *more


def _interval(value: float | None, low: float | None, high: float | None, unit: str, digits: int) -> Cell:
    if value is None:
        return text("label.not_measured")
    return text(
        "label.interval",
        value=number(value, digits) + unit, low=number(low, digits) + unit, high=number(high, digits) + unit,
    )  # fmt: skip


def _result(j: Judgement) -> Text:
    change = j.money.end - j.money.start
    if change == 0:
        return text("text.flat")
    pct = percent(change * 100 / j.money.start) if j.money.start else DASH
    return text("text.won" if change > 0 else "text.lost", amount=usdt(abs(change)), pct=pct)


def _stability(j: Judgement) -> Section:
    blocks: list[Block] = []
    if j.segments:
        rows = [
            (
                str(s.segment), clock(s.start_ns), clock(s.end_ns), number(s.hours), number(s.market_hours),
                f"{s.start_reason} → {s.end_reason or DASH}",
            )
            for s in j.segments
        ]  # fmt: skip
        blocks.append(table("segment start end hours market reason", rows, "hours market"))
    else:
        blocks.append(Paragraph(text("text.no_segments"), "note"))
    if j.processes:
        every: list[tuple[Cell, ...]] = [
            (
                clock(p.ts_ns), p.name, str(p.code), p.reason,
                text("label.announced") if p.announced else text("label.abnormal") if p.abnormal else DASH,
            )
            for p in j.processes
        ]  # fmt: skip
        lines, more = limited(every, MOST_ROWS)
        bad = [i for i, p in enumerate(j.processes[: len(lines)]) if p.abnormal and not p.announced]
        blocks += [table("time process code reason state", lines, "code", bad), *more]
    return section("stability", *blocks)


def _resources(j: Judgement) -> Section:
    r = j.resources
    if not r.samples:
        return section("resources", Paragraph(text("text.no_samples"), "note"))
    slope: Cell = text("text.slope_short")
    if r.rss_slope_mb_per_hour is not None:
        slope = _interval(r.rss_slope_mb_per_hour, r.rss_slope_low, r.rss_slope_high, " MB/h", 2)
    rows: list[tuple[Cell, Cell]] = [
        (text("label.samples"), shown(r.samples)),
        (
            text("label.rss"),
            f"{number(r.rss_first_mb, 1)} / {number(r.rss_last_mb, 1)} / {number(r.rss_max_mb, 1)} MB",
        ),
        (text("label.rss_slope"), slope),
        (text("label.handles"), f"{shown(r.handles_min)} / {shown(r.handles_max)}"),
        (text("label.threads"), shown(r.threads_max)),
        (text("label.cpu"), duration(r.cpu_seconds)),
        (text("label.lag"), f"{number(r.loop_lag_p50_ms)} / {number(r.loop_lag_p99_ms)} ms"),
        (
            text("label.files_size"),
            f"{number(r.journal_mb, 1)} / {number(r.tape_mb, 1)} / {number(r.log_mb, 1)} MB",
        ),
    ]
    return section("resources", Plot("resources"), facts(rows))


def _incidents(j: Judgement) -> Section:
    if j.counts.errors is None:
        return section("incidents", Paragraph(text("text.no_ops"), "strong"))
    if not j.incidents:
        return section("incidents", Paragraph(text("text.no_incidents")))
    every: list[tuple[Cell, ...]] = [
        (i.severity, i.source, i.what, shown(i.count), clock(i.first_ns), clock(i.last_ns), i.sample)
        for i in j.incidents
    ]
    lines, more = limited(every, MOST_ROWS)
    bad = [n for n, i in enumerate(j.incidents[: len(lines)]) if i.severity != "WARNING"]
    return section(
        "incidents", table("severity source detail count first last sample", lines, "count", bad), *more
    )


def _comparison(j: Judgement) -> Section:
    c = j.counts
    hours = j.wall_clock_hours if j.kind == "acceptance" else j.market_hours
    own = {
        "entry_success": shown(c.entries),
        "cap_applied": shown(c.budget_caps),
        "check_block_pct": percent(c.portfolio_check_block_pct, 1),
        "errors": shown(c.errors),
        "abnormal": shown(c.abnormal_ends),
        "run_hours": duration(None if hours is None else hours * 3600),
    }
    rows = [(text(f"label.{name}"), own[name], earlier) for name, earlier in EARLIER.items()]
    return section(
        "comparison", Paragraph(text("text.earlier"), "note"), table("item this_run earlier", rows)
    )


def _scope(j: Judgement) -> Section:
    names = list(UNTESTED.get(j.mode, UNTESTED["paper"]))
    market = j.feed.removeprefix("venue_")
    names += ["exchange"] if market != "exchange" else []
    names += [market] if market in ("synthetic", "derived") else []
    names += ["rehearsal"] if j.kind == "rehearsal" else []
    return section("scope", Items(tuple(text(f"scope.{name}") for name in [*names, "profit"])))
