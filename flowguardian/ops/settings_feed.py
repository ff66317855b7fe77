"""The settings of the feed: how a market that arrives over a network is gathered, and when it is given up.

Rule: every limit and every wait of the feed has its setting here.
"""

from __future__ import annotations

from flowguardian.feeds.base import FeedOptions
from flowguardian.market.records import SECOND_NS
from flowguardian.ops.settings_types import Block, Number, number, option


class Feed(Block):
    quote_interval_ms: int = option(
        100,
        "Of the quotes of one interval only the last is recorded; trades always all.",
        "ms",
        ge=1,
        le=1000,
    )
    gap_deadline_seconds: Number = number(
        "2", "Rows of a symbol wait this long for trades that are missing.", "s", gt=0, le=60
    )
    gate_seconds: Number = number(
        "30", "A stream silent this long at the start refuses it.", "s", gt=0, le=600
    )
    silence_seconds: Number = number(
        "15", "A stream without anything new for this long is silent: no entries, its socket is renewed.",
        "s", gt=0, le=600,
    )  # fmt: skip
    rotate_hours: Number = number(
        "23", "A new connection takes over after this long; the venue cuts at 24 hours.", "h", gt=0, le=24
    )
    refresh_minutes: Number = number("60", "Between two looks at the venue's filters.", "min", gt=0, le=1440)
    clock_minutes: Number = number(
        "10", "Between two measurements of the venue's clock.", "min", gt=0, le=1440
    )
    ping_seconds: Number = number("15", "Between two pings of our own on each connection.", "s", gt=0, le=300)
    pong_seconds: Number = number("20", "A connection whose pong takes longer is dropped.", "s", gt=0, le=300)
    first_delay_seconds: Number = number("0.5", "Wait before the first reconnect; grows.", "s", gt=0, le=60)
    longest_delay_seconds: Number = number("20", "Longest wait between two reconnects.", "s", gt=0, le=600)
    max_pending_rows: int = option(
        200_000, "Rows not yet taken by the engine at which sockets are no longer read.", "rows", ge=1000
    )
    max_held_rows: int = option(
        50_000, "Rows of one symbol that may wait for missing trades; more give the gap up.", "rows", ge=100
    )
    weight_share: Number = number(
        "0.8", "Share of the venue's request weight that may be used.", "ratio", gt=0, le=1
    )


def feed_options(feed: Feed, *, clock_interval_seconds: int, bar_ns: int, history_bars: int) -> FeedOptions:
    """The options of a feed by these settings."""
    return FeedOptions(
        clock_interval_ns=clock_interval_seconds * SECOND_NS,
        quote_interval_ns=feed.quote_interval_ms * 1_000_000,
        gap_deadline_ns=round(feed.gap_deadline_seconds * SECOND_NS),
        bar_ns=bar_ns,
        history_bars=history_bars,
        gate_seconds=float(feed.gate_seconds),
        silence_seconds=float(feed.silence_seconds),
        rotate_seconds=float(feed.rotate_hours) * 3600,
        refresh_seconds=float(feed.refresh_minutes) * 60,
        clock_seconds=float(feed.clock_minutes) * 60,
        ping_seconds=float(feed.ping_seconds),
        pong_seconds=float(feed.pong_seconds),
        first_delay_seconds=float(feed.first_delay_seconds),
        longest_delay_seconds=float(feed.longest_delay_seconds),
        max_pending_rows=feed.max_pending_rows,
        max_held_rows=feed.max_held_rows,
        weight_share=float(feed.weight_share),
    )
