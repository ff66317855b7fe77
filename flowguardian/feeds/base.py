"""What the engine process needs of a feed, whatever stands behind it, and the errors a feed may end with.

Rule: rows leave a feed stamped, in the order in which they are to be taken; facts stand between them at
their place. What a feed cannot heal it says (FeedGap), what it cannot live with it raises (FeedError).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from flowguardian.execution.events import (
    ClockMeasured,
    FeedGap,
    InstrumentsSet,
    StreamRecovered,
    StreamWentSilent,
)
from flowguardian.feeds.quality import DataQuality
from flowguardian.market.instruments import Instrument
from flowguardian.market.records import MINUTE_NS, SECOND_NS, Kind

LOOK_NS = SECOND_NS
"""Between two looks at the ages of the streams."""
Rows = npt.NDArray[np.void]
Fact = FeedGap | InstrumentsSet | StreamWentSilent | StreamRecovered | ClockMeasured
Released = Rows | Fact
"""What a feed releases: stamped ROW arrays, and facts that follow the rows before them."""


class FeedError(Exception):
    """A feed cannot go on; the message says what happened, where, and what to do."""


class StreamSilent(FeedError):
    """A stream connected and delivered nothing: a moved path, a dead symbol, or a venue that is down."""


class VenueRefused(FeedError):
    """The venue forbids access (403, 451) or does not list a symbol: repeating would not help."""


class QuestionRefused(VenueRefused):
    """The venue does not answer this question (a symbol that is gone, a parameter); others it does."""


class VenueUnreachable(FeedError):
    """Every allowed attempt failed; what failed last is in the message."""


class VenueBanned(FeedError):
    """The venue asked for silence (429, 418) until a moment that is too far away to wait for."""


class LockstepBroken(FeedError):
    """The control socket said something that the agreement on slices does not allow, or went away."""


class Cursor(msgspec.Struct, frozen=True):
    """Where a run stands: what is already on its tape."""

    after_ns: int = 0
    """Stamp of the last row; 0 = a new run."""
    next_ns: int = 0
    """First venue time not yet on the tape; 0 = wherever the venue stands."""
    trade_ids: Mapping[str, int] = {}
    """Last trade id per symbol: the first live trade after it shows what the outage hid."""
    instruments: tuple[Instrument, ...] = ()
    """Filters as last known: a symbol that was delisted meanwhile keeps them."""


class FeedOptions(msgspec.Struct, frozen=True):
    """How a feed behaves; the defaults are those of DESIGN §3 and §12."""

    clock_interval_ns: int = SECOND_NS
    quote_interval_ns: int = 100_000_000
    gap_deadline_ns: int = 2 * SECOND_NS
    bar_ns: int = MINUTE_NS
    history_bars: int = 240
    align_ns: int = MINUTE_NS
    """A run begins at a multiple of this, so that its first bar is a whole one."""
    closed_seconds: float = 1.0
    """So long after its end a bar is surely among the venue's klines."""
    slice_ns: int = SECOND_NS
    """Market time per slice in lock-step."""
    gate_seconds: float = 30.0
    """A stream that has not delivered by then refuses the start."""
    silence_seconds: float = 15.0
    """No stream is older and fresh: its socket is renewed; quiet trades are proved by REST."""
    rotate_seconds: float = 23 * 3600.0
    """The venue cuts at 24 hours; a new socket takes over before."""
    refresh_seconds: float = 3600.0
    """Between two looks at exchangeInfo."""
    clock_seconds: float = 600.0
    """Between two measurements of the clock offset."""
    ping_seconds: float = 15.0
    pong_seconds: float = 20.0
    first_delay_seconds: float = 0.5
    longest_delay_seconds: float = 20.0
    """No longer, so that a venue that is back has us back within half a minute."""
    max_pending_rows: int = 200_000
    """Readers wait (trades are never dropped) while this many rows are not yet released."""
    max_held_rows: int = 50_000
    """Rows of one symbol that may wait for a back-fill; one more gives the gap up."""
    look_seconds: float = 0.1
    """Longest wait between two looks at what is due, when nothing arrives."""
    whole_bars: bool = True
    """A new run begins with a minute, so that its first bar is whole; who only listens need not wait."""
    weight_share: float = 0.8
    """Share of the venue's request weight that this feed may use."""


def silence_limit_ns(options: FeedOptions) -> int:
    """The age at which a stream is called silent.

    Ages are looked at once per second, and between two looks none may pass its limit unseen.
    """
    limit_ns = round(options.silence_seconds * SECOND_NS)
    return max(limit_ns - LOOK_NS, limit_ns // 2)


class Feed(Protocol):
    """A market that arrives. Call `start` once, then `history`, then take `released` until it ends."""

    instruments: tuple[Instrument, ...]
    feed_kind: str
    start_ns: int
    """Venue time at which the released rows begin."""
    patience_seconds: float
    """Real time without a released block after which something hangs."""

    async def start(self, cursor: Cursor) -> None:
        """Connect, measure the clock, read filters and history, prove that every stream delivers."""

    def history(self) -> Rows:
        """HISTORY rows of closed bars before `start_ns`, sorted by (time, symbol), not yet stamped."""

    def released(self) -> AsyncIterator[list[Released]]:
        """Blocks in order; the next one comes after `ack`."""

    async def ack(self) -> None:
        """The last list is on the tape and decided."""

    def stats(self) -> DataQuality | None:
        """Data quality since the start of this process; None where nothing arrives over a network."""

    async def drain(self) -> list[Released]:
        """A planned stop: the venue, when it is ours, stands still; returns what it sent until then."""

    async def close(self) -> None:
        """Nothing left open."""


def cursor_of(blocks: Iterable[Rows], symbols: Sequence[str], slice_ns: int = SECOND_NS) -> Cursor:
    """Where a tape ends: its last stamp, the next slice, and the last trade id of every symbol."""
    ids: dict[str, int] = {}
    after_ns = next_ns = 0
    for rows in blocks:
        market = rows[rows["kind"] != Kind.HISTORY]
        after_ns = max(after_ns, int(rows["ts_ns"][-1])) if len(rows) else after_ns
        if len(market):
            next_ns = max(next_ns, (int(market["venue_ns"].max()) // slice_ns + 1) * slice_ns)
        trades = market[market["kind"] == Kind.TRADE]
        for index in np.unique(trades["symbol"]):
            ids[symbols[int(index)]] = int(trades["id"][trades["symbol"] == index][-1])
    return Cursor(after_ns=after_ns, next_ns=next_ns, trade_ids=ids)
