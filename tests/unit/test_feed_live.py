"""The feed at 1× against a venue moved by hand: gate, gaps, cuts, rotation, silence, filters."""

import asyncio
import contextlib
from typing import Any

import numpy as np
import pytest
from aiohttp import WSMsgType

from flowguardian.execution.events import ClockMeasured, FeedGap, InstrumentsSet
from flowguardian.feeds.base import Cursor, FeedOptions, StreamSilent, VenueRefused
from flowguardian.feeds.binance import BinanceFeed
from flowguardian.market.records import SECOND_NS, Flag, Kind
from tests.unit.feed_venue import FILTERS, HandClock, HandVenue

NEW = Cursor()
QUICK: dict[str, Any] = {
    "gate_seconds": 1.5, "first_delay_seconds": 0.02, "longest_delay_seconds": 0.2, "history_bars": 5,
    "gap_deadline_ns": SECOND_NS // 2, "align_ns": 1_000_000, "closed_seconds": 0.0,
}  # fmt: skip


class Session:
    """A started feed and everything it released."""

    def __init__(self, venue, **options):
        self.venue = venue
        self.feed = BinanceFeed(
            venue.venue(),
            venue.symbols,
            FeedOptions(**QUICK | options),
            clock=HandClock(),
            jitter=lambda: 0.0,
        )
        self.items = []

    async def until(self, happened, seconds=8.0):
        async def take():
            async for items in self.feed.released():
                self.items += items
                await self.feed.ack()
                if happened():
                    return

        await asyncio.wait_for(take(), seconds)

    @property
    def rows(self):
        return np.concatenate([item for item in self.items if isinstance(item, np.ndarray)] or [np.zeros(0)])

    @property
    def ids(self):
        rows = self.rows
        return rows["id"][rows["kind"] == Kind.TRADE].tolist() if len(rows) else []

    def facts(self, kind):
        return [item for item in self.items if isinstance(item, kind)]


def playing(scene, *, cursor=NEW, symbols=("BTCUSDT",), prepare=lambda _: None, **options):
    async def work():
        async with HandVenue(symbols) as venue:
            prepare(venue)
            session = Session(venue, **options)
            try:
                await session.feed.start(cursor)
                await scene(venue, session)
            finally:
                await session.feed.close()
            return session

    return asyncio.run(work())


def quiet_start(venue):
    venue.trade(1)


def test_a_start_reads_filters_and_history_and_rows_follow_stamped():
    async def scene(venue, session):
        await venue.send("market", venue.trade(2), venue.trade(3))
        await session.until(lambda: session.ids == [2, 3] and Kind.CLOCK in session.rows["kind"])

    session = playing(scene, prepare=quiet_start)
    feed, rows = session.feed, session.rows
    assert feed.instruments[0].symbol == "BTCUSDT" and len(feed.history()) == 5
    assert np.all(np.diff(rows["ts_ns"]) > 0) and rows["ts_ns"][0] >= feed.start_ns
    assert {"aggTrades", "klines", "exchangeInfo", "time"} <= {what for what, _ in session.venue.asked}


def test_a_path_that_connects_and_stays_silent_refuses_the_start():
    async def scene(venue, session):
        raise AssertionError("the feed started")

    def silent(venue):
        quiet_start(venue)
        venue.welcome = False

    with pytest.raises(StreamSilent, match=r"btcusdt@bookTicker, btcusdt@markPrice@1s.*addresses"):
        playing(scene, prepare=silent, gate_seconds=0.3)


def test_a_symbol_the_venue_does_not_list_refuses_the_start():
    async def work():
        async with HandVenue(("BTCUSDT",)) as venue:
            feed = BinanceFeed(venue.venue(), ("BTCUSDT", "XUSDT"), FeedOptions(**QUICK), clock=HandClock())
            try:
                with pytest.raises(VenueRefused, match="not listed: XUSDT"):
                    await feed.start(Cursor())
            finally:
                await feed.close()

    asyncio.run(work())


def test_a_lost_frame_is_back_filled_and_flagged():
    async def scene(venue, session):
        await venue.send("market", venue.trade(2))
        venue.trade(3)
        await venue.send("market", venue.trade(4))
        await session.until(lambda: session.ids == [2, 3, 4])

    session = playing(scene, prepare=quiet_start)
    trades = session.rows[session.rows["kind"] == Kind.TRADE]
    assert (trades["flags"] & Flag.BACKFILLED != 0).tolist() == [False, True, False]
    assert session.feed.stats().counts.backfilled == 1 and not session.facts(FeedGap)


def test_what_the_venue_cannot_give_back_in_time_is_a_gap_and_trading_goes_on():
    async def scene(venue, session):
        await venue.send("market", venue.trade(2))
        await session.until(lambda: session.ids == [2])
        venue.shown = 2
        venue.trade(3)
        await venue.send("market", venue.trade(4), venue.trade(5))
        await session.until(lambda: session.ids == [2, 4, 5])

    session = playing(scene, prepare=quiet_start)
    (gap,) = session.facts(FeedGap)
    assert (gap.symbol, gap.lost) == ("BTCUSDT", 1) and session.feed.stats().counts.lost == 1
    place = next(i for i, item in enumerate(session.items) if item is gap)
    stamps = [block["ts_ns"][-1] for block in session.items[:place] if isinstance(block, np.ndarray)]
    assert gap.ts_ns == stamps[-1]


def test_a_cut_connection_comes_back_and_the_hole_is_filled():
    async def scene(venue, session):
        await venue.send("market", venue.trade(2))
        await session.until(lambda: session.ids == [2])
        await venue.cut("market", "public")
        for number in range(3, 30):
            venue.trade(number)
        opened = venue.opened
        await session.until(lambda: venue.opened >= opened + 2 and all(map(len, venue.sockets.values())))
        await venue.send("market", venue.trade(30))
        await session.until(lambda: session.ids[-1:] == [30])

    session = playing(scene, prepare=quiet_start)
    assert session.ids == list(range(2, 31)) and not session.facts(FeedGap)
    assert session.feed.stats().counts.reconnects == 2


def test_a_venue_that_refuses_sockets_is_tried_again_with_growing_delays():
    async def scene(venue, session):
        venue.refuse_sockets = 4
        await venue.cut("market")
        opened = venue.opened
        await session.until(lambda: venue.opened >= opened + 5)

    session = playing(scene, prepare=quiet_start)
    delays = [session.feed.group.sockets["market0"]._delay() for _ in range(3)]
    assert delays[0] > 0 and delays == sorted(delays) and delays[-1] == 0.1


def test_an_outage_before_the_start_is_back_filled_from_the_last_id_of_the_tape():
    def traded(venue):
        for number in range(1, 2500):
            venue.trade(number)

    async def scene(venue, session):
        await venue.send("market", venue.trade(2500))
        await session.until(lambda: session.ids[-1:] == [2500])

    cursor = Cursor(
        after_ns=1_699_999_000 * SECOND_NS, next_ns=1_699_999_001 * SECOND_NS, trade_ids={"BTCUSDT": 40}
    )
    session = playing(scene, prepare=traded, cursor=cursor)
    assert session.ids == list(range(41, 2501)) and len(session.feed.history()) == 0


def test_a_rotated_connection_overlaps_and_nothing_comes_twice():
    async def scene(venue, session):
        async def pump():
            number = 1
            while True:
                number += 1
                await venue.send("market", venue.trade(number), venue.mark())
                await venue.send("public", venue.top())
                await asyncio.sleep(0.005)

        pumping = asyncio.create_task(pump())
        await session.until(lambda: session.feed.stats().counts.rotations >= 4)
        pumping.cancel()

    session = playing(scene, prepare=quiet_start, rotate_seconds=0.3)
    ids = session.ids
    assert ids == list(range(ids[0], ids[0] + len(ids))) and not session.facts(FeedGap)
    assert session.feed.stats().counts.reconnects == 0


def test_silence_of_one_stream_renews_its_socket_alone():
    async def scene(venue, session):
        async def pump():
            while True:
                await venue.send("market", venue.mark())
                await asyncio.sleep(0.05)

        pumping = asyncio.create_task(pump())
        opened = venue.opened
        await session.until(lambda: venue.opened > opened)
        pumping.cancel()

    session = playing(scene, prepare=quiet_start, silence_seconds=0.8)
    stats = session.feed.stats()
    assert stats.counts.silences >= 1 and stats.longest_silence_ns["btcusdt@bookTicker"] > 400_000_000
    assert stats.fresh_share < 1.0


def test_a_changed_tick_is_a_fact_between_the_rows():
    async def scene(venue, session):
        finer = [dict(FILTERS[0], tickSize="0.01"), *FILTERS[1:]]
        venue.filters = finer
        await session.until(lambda: session.facts(InstrumentsSet))

    session = playing(scene, prepare=quiet_start, refresh_seconds=0.5)
    (fact,) = session.facts(InstrumentsSet)
    assert fact.instruments[0].tick_size == 1_000_000 == session.feed.instruments[0].tick_size
    assert session.feed.stats().counts.filter_changes == 1


def test_a_clock_of_the_venue_that_moved_against_ours_is_a_fact_with_its_size():
    async def scene(venue, session):
        wrong: list[Any] = [(200, {}, f'{{"serverTime": {venue.now_ms + 5000}}}') for _ in range(3)]
        venue.answers["time"] = wrong
        await session.until(lambda: len(session.facts(ClockMeasured)) >= 2)

    first, second = playing(scene, prepare=quiet_start, clock_seconds=0.5).facts(ClockMeasured)[:2]
    assert 2 * SECOND_NS < first.skew_ns <= 5 * SECOND_NS, first
    assert abs(second.skew_ns) < SECOND_NS, "the skew outlived its cause"


def test_a_burst_over_a_socket_loses_no_trade():
    async def scene(venue, session):
        frames = [venue.trade(number) for number in range(2, 30_002)]
        sending = asyncio.create_task(venue.send("market", *frames))
        await session.until(lambda: session.ids[-1:] == [30_001], 30.0)
        await sending

    session = playing(scene, prepare=quiet_start, max_pending_rows=500)
    assert session.ids == list(range(2, 30_002)) and session.feed.stats().counts.lost == 0


def test_malformed_and_unknown_frames_disturb_nothing():
    async def scene(venue, session):
        await venue.send("market", "<html>", '{"e":"new"}', '{"stream":1}', venue.trade(2))
        await session.until(lambda: session.ids == [2])

    session = playing(scene, prepare=quiet_start)
    stats = session.feed.stats()
    assert stats.counts.malformed + stats.counts.unknown == 3 and len(stats.odd_frames) == 3


def test_a_ping_of_the_venue_is_answered_with_its_payload():
    async def scene(venue, session):
        await venue.sockets["market"][0].ping(b"1700000000")
        await session.until(lambda: (WSMsgType.PONG, b"1700000000") in venue.heard)

    def raw(venue):
        quiet_start(venue)
        venue.answers_pings = False

    assert playing(scene, prepare=raw).feed.stats().counts.reconnects == 0


def test_a_half_open_connection_is_dropped_by_our_own_ping():
    async def scene(venue, session):
        opened = venue.opened
        await session.until(lambda: venue.opened > opened)

    def deaf(venue):
        quiet_start(venue)
        venue.answers_pings = False

    session = playing(scene, prepare=deaf, ping_seconds=0.1, pong_seconds=0.2)
    assert session.feed.stats().counts.reconnects >= 1


def test_a_feed_that_is_cancelled_as_frames_arrive_ends():
    async def scene(venue, session):
        async def take():
            async for _ in session.feed.released():
                pass

        taking = asyncio.create_task(take())
        await asyncio.sleep(0.02)
        # In one turn of the loop, as a frame and the end of a `doctor --venue` may come.
        session.feed._live.woken("market0")
        taking.cancel()
        await asyncio.wait({taking}, timeout=2.0)
        assert taking.cancelled(), "the cancellation was lost: the feed would go on for ever"

    playing(scene, prepare=quiet_start)


def test_an_oversized_frame_costs_the_connection_and_not_the_run():
    async def scene(venue, session):
        (old,) = venue.sockets["market"]
        with contextlib.suppress(ConnectionError):
            await venue.send("market", "x" * (2 << 20))
        await session.until(lambda: venue.sockets["market"] and venue.sockets["market"][0] is not old)
        venue.trade(2)
        await venue.send("market", venue.trade(3))
        await session.until(lambda: session.ids == [2, 3])

    assert playing(scene, prepare=quiet_start).ids == [2, 3]
