"""The pages of a report that judge: first screen, gates, causes, counts, why there was no trade, money.

Rule: everything comes from the judgement; wording comes from the catalogue.
"""

from __future__ import annotations

from collections.abc import Iterable

from flowguardian.acceptance import pages
from flowguardian.acceptance.blocks import Block, Cell, Items, Paragraph, Plot, Section, facts, section, table
from flowguardian.acceptance.catalog import joined, known, plain, text
from flowguardian.acceptance.figures import PreflightLine
from flowguardian.acceptance.formats import DASH, both, clock, duration, number, percent, shown, usdt
from flowguardian.acceptance.judgement import Checkpoint, Criterion, Judgement, Text, Verdict

PREPARED = ("container", "server", "earlier processes", "stale locks", "redis namespace", "logs")
"""How the items of the preflight begin that prepare the ground; the others look at host and engine."""
MARK = {True: "✓", False: "✗", None: "–"}


def title(j: Judgement) -> Text:
    """The first line: the verdict, and whether this is only a rehearsal."""
    return text(f"title.{j.kind}", verdict=text(f"verdict.{j.verdict.value}"))


def feed_words(j: Judgement) -> Text:
    """Which market it was, plainly."""
    key = f"feed.{j.feed}"
    words = text(key) if known(key) and j.feed != "other" else text("feed.other", feed=j.feed or DASH)
    return joined([words, plain(f"[{j.market_source}]")]) if j.market_source else words


def first_screen(j: Judgement) -> list[tuple[Cell, Cell]]:
    """When, how long, which market, and what it can be recomputed from."""
    hours = text(
        "label.duration_value",
        wall=_hours(j.wall_clock_hours), market=_hours(j.market_hours), planned=_hours(j.planned_hours),
    )  # fmt: skip
    return [
        (text("label.run_id"), j.run_id),
        (text("label.kind"), text(f"label.{j.kind}")),
        (text("label.market"), feed_words(j)),
        (text("label.period"), f"{both(j.live_ns)} → {both(j.end_ns)}"),
        (text("label.host_period"), f"{both(j.host_start_ns)} → {both(j.host_end_ns)}"),
        (text("label.duration"), hours),
        (text("label.config_hash"), j.config_hash or DASH),
        (text("label.trading_hash"), j.trading_hash or DASH),
        (text("label.code_hash"), j.code_hash or DASH),
        (text("label.journal_hash"), j.journal_hash or DASH),
    ]


def _hours(hours: float | None) -> str:
    return duration(None if hours is None else hours * 3600)


def sections(j: Judgement) -> list[Section]:
    """Every page, in order."""
    found = [_gates(j)]
    if j.causes:
        found.append(_causes(j))
    found += [_environment(j), _preflight(j), _counts(j), _why(j), _budget(j), _equity(j)]
    return [*found, *pages.sections(j), _closing(j)]


def _gates(j: Judgement) -> Section:
    rows = [_gate(c) for c in j.criteria]
    bad = [i for i, c in enumerate(j.criteria) if c.ok is not True]
    names = "ok criterion group observed threshold margin evidence"
    return section("gates", table(names, rows, "observed threshold margin", bad))


def _gate(c: Criterion) -> tuple[Cell, ...]:
    observed: Cell = text("label.not_measured") if c.observed is None else shown(c.observed)
    rows = ", ".join(dict.fromkeys(f"{e.file} #{e.seq}" if e.seq else e.text for e in c.evidence))
    name = Text(ko=f"{c.text.ko} ({c.id})", en=f"{c.text.en} ({c.id})")
    required = DASH if c.threshold is None else shown(c.threshold)
    required = f"{c.relation} {required}" if c.relation != "=" else required
    return MARK[c.ok], name, text(f"group.{c.group}"), observed, required, _margin(c.margin), rows


def _margin(margin: float | None) -> str:
    if margin is None:
        return DASH
    return shown(int(margin) if margin == int(margin) else round(margin, 2 if abs(margin) >= 1 else 8))


def _causes(j: Judgement) -> Section:
    lines = tuple(cause.why for cause in j.causes)
    then = tuple({cause.then.en: cause.then for cause in j.causes}.values())
    books = [e.seq for c in j.criteria if c.group == "books" for e in c.evidence if e.seq]
    first = [Paragraph(text("text.first_row", seq=min(books)), "strong")] if books else []
    return section("causes", *first, Items(lines), Items(then))


def _environment(j: Judgement) -> Section:
    rows: list[tuple[Cell, Cell]] = [
        (text("label.mode"), j.mode or DASH),
        (text("label.version"), j.version or DASH),
        (text("label.commit"), _listed(dict.fromkeys(build.commit for build in j.builds))),
        (text("label.system"), _listed(dict.fromkeys(f"Python {b.python}, {b.platform}" for b in j.builds))),
        (text("label.seed"), shown(j.seed)),
        (text("label.symbols"), ", ".join(j.symbols) or DASH),
        (text("label.start_equity"), f"{usdt(j.money.start)} USDT"),
    ]
    blocks: list[Block] = [facts(rows)]
    if j.faults:
        blocks.append(Paragraph(text("text.faults", names="; ".join(j.faults)), "strong"))
    return section("environment", *blocks)


def _listed(names: Iterable[str]) -> str:
    return "; ".join(name for name in names if name) or DASH


def _preflight(j: Judgement) -> Section:
    if not j.preflight:
        return section("preflight", Paragraph(text("text.no_preflight"), "note"))
    groups = [
        (key, [_checked(line) for line in j.preflight if line.item.startswith(PREPARED) == prepared])
        for key, prepared in (("text.prepared", True), ("text.checked", False))
    ]
    blocks = [(Paragraph(text(key)), table("item state detail fix", rows)) for key, rows in groups if rows]
    return section("preflight", *(block for pair in blocks for block in pair))


def _checked(line: PreflightLine) -> tuple[Cell, ...]:
    detail = Text(ko=line.detail_ko or line.detail, en=line.detail)
    # What was green or put right needs nothing done: its hint would only read like a task.
    wanted = bool(line.fix) and line.state in ("warn", "red")
    return line.item, line.state, detail, Text(ko=line.fix_ko or line.fix, en=line.fix) if wanted else DASH


def _counts(j: Judgement) -> Section:
    c = j.counts
    rows: list[tuple[Cell, Cell]] = [
        (text("label.entry_success"), shown(c.entries)),
        (text("label.cap_applied"), shown(c.budget_caps)),
        (text("label.budget_block"), shown(c.portfolio_budget_blocks)),
        (text("label.budget_block_pct"), percent(c.block_pct)),
        (text("label.check_block_pct"), percent(c.portfolio_check_block_pct)),
        (text("label.signals"), shown(c.signals)),
        (text("label.requested"), shown(c.entries_requested)),
        (text("label.unfilled"), shown(c.entries_unfilled)),
        (text("label.refusals"), shown(c.refusals)),
        (text("label.flips"), shown(c.flips)),
        (text("label.closed"), shown(c.closed)),
        (text("label.streak"), shown(c.longest_refusal_streak)),
        (text("label.per_hour"), shown(c.max_refusals_per_hour_per_symbol)),
        (text("label.starvation"), shown(c.starvation)),
        (text("label.violations"), shown(c.invariant_violations)),
        (text("label.errors"), _measured(c.errors)),
        (text("label.warnings"), _measured(c.warnings)),
        (text("label.abnormal"), _measured(c.abnormal_ends)),
        (text("label.announced"), _measured(c.announced_ends)),
        (text("label.restarts"), shown(c.restarts)),
        (text("label.planned_stops"), shown(c.planned_stops)),
    ]
    return section("counts", facts(rows), Paragraph(text("text.block_rule"), "note"))


def _measured(value: int | None) -> Cell:
    return text("label.not_measured") if value is None else shown(value)


def _why(j: Judgement) -> Section:
    c = j.counts
    attempts = c.entries_requested + c.refusals
    blocks: list[Block] = [
        Paragraph(
            text(
                "text.funnel", signals=c.signals, attempts=attempts, requested=c.entries_requested,
                entries=c.entries, unfilled=c.entries_unfilled,
            )
        )
    ]  # fmt: skip
    if c.flips:
        blocks.append(Paragraph(text("text.funnel_flips", flips=c.flips)))
    blocks += [Paragraph(_gap(j)), Plot("funnel")]
    rows = [
        (
            s.code, text("label.yes") if s.enabled else text("label.shadow_guard"), shown(s.evaluated),
            shown(s.allowed), shown(s.reduced), shown(s.refused), shown(s.shadow),
        )
        for s in j.funnel
    ]  # fmt: skip
    names = "guard enabled evaluated allowed reduced refused shadow"
    blocks.append(table(names, rows, "evaluated allowed reduced refused shadow"))
    return section("why", *blocks)


def _gap(j: Judgement) -> Text:
    if not j.live_ns:
        return text("text.no_live")
    gap = j.gap
    seconds = (gap.to_ns - gap.from_ns) / 1e9
    first = text("text.gap", duration=duration(seconds), start=clock(gap.from_ns), end=clock(gap.to_ns))
    if gap.signals == 0:
        return joined([first, text("text.gap_none")])
    if not gap.refused:
        return joined([first, text("text.gap_other", signals=gap.signals)])
    most = ", ".join(f"{count.code} {count.count}" for count in gap.refused)
    return joined(
        [first, text("text.gap_refused", signals=gap.signals, most=most, release=gap.release or DASH)]
    )


def _budget(j: Judgement) -> Section:
    m = j.money
    rows: list[tuple[Cell, ...]] = [
        (text("label.wf_start"), usdt(m.start)),
        (text("label.wf_realised"), usdt(m.realised, sign=True)),
        (text("label.wf_fees"), usdt(-m.fees, sign=True)),
        (text("label.wf_funding"), usdt(m.funding, sign=True)),
        (text("label.wf_unrealised"), usdt(m.unrealised, sign=True)),
        (text("label.wf_end"), usdt(m.end)),
        (text("label.wf_peak"), usdt(m.peak)),
        (text("label.wf_lowest"), usdt(m.lowest)),
        (text("label.wf_drawdown"), percent(m.max_drawdown_pct)),
    ]
    checked = j.criterion("budget_limits")
    wrong = checked.observed if checked and checked.observed is not None else DASH
    blocks: list[Block] = [
        Plot("waterfall"),
        table("step value", rows, "value"),
        Paragraph(text("text.budget_rule"), "note"),
        Paragraph(text("text.budget_ok", count=wrong)),
        Paragraph(_block_words(j)),
        Plot("budget"),
        Plot("exposure"),
    ]
    if j.shadowed:
        lines = [(s.limit, usdt(s.value), s.by, usdt(s.effective)) for s in j.shadowed]
        blocks += [
            Paragraph(text("text.shadowed")),
            table("limit value by effective", lines, "value effective"),
        ]
    else:
        blocks.append(Paragraph(text("text.shadowed_none"), "note"))
    return section("budget", *blocks)


def _block_words(j: Judgement) -> Text:
    pct = j.counts.block_pct
    if pct is None:
        return text("text.block_unmeasured")
    low, high = (f"{limit:g}" for limit in j.ideal_block_pct)
    ideal = j.ideal_block_pct[0] <= pct <= j.ideal_block_pct[1]
    bound = ", ".join(f"{b.code} {b.count}" for b in j.trades.bound) or DASH
    if ideal:
        return text("text.block_ideal", pct=percent(pct), low=low, high=high)
    which = "low" if pct < j.ideal_block_pct[0] else "high"
    return text(f"text.block_{which}", pct=percent(pct), low=low, high=high, bound=bound)


def _equity(j: Judgement) -> Section:
    ledger = j.criterion("ledger_difference")
    observed = ledger.observed if ledger else None
    worst = number(float(observed), 8) if isinstance(observed, int | float) else DASH
    named = [c for c in j.checkpoints if not c.name.startswith("E") or c.name == "END"]
    rows = [_checkpoint(c) for c in named]
    hours = [
        (
            str(h.hour), clock(h.to_ns), usdt(h.equity), usdt(h.change, sign=True),
            percent(h.drawdown_pct), shown(h.signals), shown(h.entries), shown(h.budget_caps),
            shown(h.budget_blocks), shown(h.refusals),
        )
        for h in j.hours
    ]  # fmt: skip
    figures = "equity drawdown signals entries caps blocks open allocated used difference change refused"
    return section(
        "equity",
        Plot("equity"),
        Plot("drawdown"),
        Plot("timeline"),
        Paragraph(text("text.ledger", count=len(j.checkpoints), difference=worst)),
        table(
            "checkpoint time equity drawdown signals entries caps blocks open allocated used difference",
            rows, figures, [i for i, c in enumerate(named) if c.difference != 0],
        ),
        table("hour time equity change drawdown signals entries caps blocks refused", hours, figures),
    )  # fmt: skip


def _checkpoint(c: Checkpoint) -> tuple[Cell, ...]:
    return (
        c.name, clock(c.ts_ns), usdt(c.equity), percent(c.drawdown_pct), shown(c.signals),
        shown(c.entries), shown(c.budget_caps), shown(c.budget_blocks), shown(c.open_positions),
        usdt(c.allocated), usdt(c.used),
        usdt(c.difference, digits=8),
    )  # fmt: skip


def _closing(j: Judgement) -> Section:
    key = f"pass_{j.kind}" if j.verdict is Verdict.PASS else j.verdict.value.lower()
    words: list[Block] = [Paragraph(text(f"text.{key}"), "strong")]
    if j.kind == "rehearsal":
        words.append(Paragraph(text("text.rehearsal"), "note"))
    words += [
        Paragraph(text("text.reproduce", run=j.run_id), "note"),
        Paragraph(text("text.generated"), "note"),
    ]
    return section("closing", *words)
