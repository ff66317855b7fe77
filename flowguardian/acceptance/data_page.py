"""The page on market data: what is on the tape, what the feed counted, which streams went silent.

Rule: everything comes from the judgement; wording comes from the catalogue.
"""

from __future__ import annotations

from flowguardian.acceptance.blocks import (
    Block,
    Cell,
    Items,
    Paragraph,
    Section,
    facts,
    limited,
    section,
    table,
)
from flowguardian.acceptance.catalog import text
from flowguardian.acceptance.figures import FeedQuality
from flowguardian.acceptance.formats import DASH, clock, duration, number, percent, shown
from flowguardian.acceptance.judgement import Judgement, StreamLine, Text

MOST_SILENCES = 50
SHOWN_COUNTS = (
    "messages", "trades", "tops", "marks", "conflated", "duplicates", "out_of_order", "non_market",
    "implausible", "malformed", "unknown", "id_gaps", "backfills", "backfilled", "lost", "feed_gaps", "late",
    "id_resets", "overflows", "reconnects", "rotations", "silences", "filter_changes", "rest_failures",
)  # fmt: skip
"""The counters of a feed that the page shows, in this order."""


def data(j: Judgement) -> Section:
    """Data quality."""
    state = text("text.atr_quiet" if j.quiet else "text.atr_lively")
    atr = text("text.atr", atr=percent(j.mean_atr_pct, 4), limit=percent(j.quiet_atr_pct, 4), state=state)
    blocks: list[Block] = [Paragraph(atr), Paragraph(text("text.gaps", count=j.counts.feed_gaps))]
    blocks += _feed(j.feed_quality) if j.feed_quality else [Paragraph(text("text.no_feed"), "note")]
    blocks += _silences(j)
    blocks.append(_streams(j))
    if j.missing:
        blocks.append(Paragraph(text("text.missing", names=", ".join(j.missing)), "strong"))
    if j.problems:
        blocks.append(Paragraph(text("text.problems"), "strong"))
        blocks.append(Items(tuple(Text(ko=line, en=line) for line in j.problems)))
    return section("data", *blocks)


def _streams(j: Judgement) -> Block:
    rows = [
        (
            s.symbol, s.kind, shown(s.records), _rate(s, j), duration(s.max_silence_seconds),
            clock(s.max_silence_at_ns), percent(s.mean_atr_pct, 4),
        )
        for s in j.streams
    ]  # fmt: skip
    return table("symbol kind records rate silence at atr", rows, "records rate silence atr")


def _rate(line: StreamLine, j: Judgement) -> str:
    """Records in a second of market time."""
    return number(line.records / (j.market_hours * 3600), 2) if j.market_hours else DASH


def _feed(q: FeedQuality) -> list[Block]:
    latency: Cell = text("text.in_slices")
    if q.latency_p50_ms is not None:
        latency = " / ".join(
            f"{number(ms, 1)} ms" for ms in (q.latency_p50_ms, q.latency_p95_ms, q.latency_p99_ms)
        )
    rows: list[tuple[Cell, Cell]] = [
        (text("quality.fresh"), percent(q.fresh_pct, 3)),
        (text("quality.latency"), latency),
        (text("quality.silence"), _worst(q)),
        (text("quality.skew"), f"{number(q.max_clock_skew_ms, 1)} ms"),
        (text("quality.weight"), shown(q.max_used_weight)),
        (text("quality.lifetimes"), shown(q.lifetimes)),
        *((text(f"quality.{name}"), shown(q.counts.get(name, 0))) for name in SHOWN_COUNTS),
    ]
    if q.halted:
        rows.append((text("quality.halted"), ", ".join(q.halted)))
    blocks: list[Block] = [facts(rows)]
    if q.odd_frames:
        odd = tuple(
            Text(ko=f"{why}: {frame[:200]}", en=f"{why}: {frame[:200]}") for why, frame in q.odd_frames
        )
        blocks += [Paragraph(text("text.odd_frames"), "note"), Items(odd)]
    return blocks


def _worst(q: FeedQuality) -> str:
    """The longest silence of each kind of stream, with its symbol."""
    worst: dict[str, tuple[float, str]] = {}
    for stream, seconds in q.max_silence_seconds.items():
        symbol, _, kind = stream.partition("@")
        worst[kind] = max(worst.get(kind, (0.0, "")), (seconds, symbol.upper()))
    parts = [f"{kind} {number(seconds, 1)} s {symbol}".strip() for kind, (seconds, symbol) in worst.items()]
    return ", ".join(parts) or DASH


def _silences(j: Judgement) -> list[Block]:
    if not j.silences:
        return []
    every: list[tuple[Cell, ...]] = [
        (
            s.symbol, s.stream, clock(s.from_ns),
            text("text.never_back") if s.seconds is None else duration(s.seconds), f"journal #{s.seq}",
        )
        for s in j.silences
    ]  # fmt: skip
    lines, more = limited(every, MOST_SILENCES)
    return [
        Paragraph(text("text.silences")),
        table("symbol kind start silence evidence", lines, "silence"),
        *more,
    ]
