"""Market time in slices: complete, in order, the same every time, and whole after cuts and restarts."""

import asyncio
from typing import Any

import numpy as np
import pytest

from flowguardian.execution.events import FeedGap
from flowguardian.feeds.base import Cursor, FeedOptions, LockstepBroken, StreamSilent, cursor_of
from flowguardian.feeds.binance import BinanceFeed
from flowguardian.feeds.pace import MarketPace
from flowguardian.feeds.recorded import open_market
from flowguardian.market.records import SECOND_NS, Flag, Kind
from tests.unit.feed_reference import expected, slices_of
from tests.unit.feed_venue import HandClock, HandVenue

SYMBOLS = ("BTCUSDT", "ETHUSDT")
START = 1_700_000_000_000
NEW = Cursor()
OPTIONS: dict[str, Any] = {"gate_seconds": 20.0, "first_delay_seconds": 0.02, "history_bars": 3}


def market(venue, seconds=6):
    """Slices of a small market: per second and symbol two trades, three quotes and a mark."""
    venue.slices = []
    numbers = dict.fromkeys(SYMBOLS, 0)
    for second in range(seconds):
        base = START + second * 1000
        public, on_market = [], []
        for place, symbol in enumerate(SYMBOLS):
            for offset in (100, 700):
                numbers[symbol] += 1
                on_market.append(venue.trade(numbers[symbol], symbol, base + offset + place))
            on_market.append(venue.mark(symbol, base))
            public += [venue.top(symbol, base + offset) for offset in (0, 50, 950)]
        slice_ns = base * 10**6
        venue.slices.append((slice_ns, slice_ns + SECOND_NS, {"public0": public, "market0": on_market}))


def running(scene=None, *, prepare=market, cursor=NEW, take=10**9, options=OPTIONS):
    """Everything released in slices; `scene(venue, number)` may disturb before a slice is acknowledged."""

    async def work():
        async with HandVenue(SYMBOLS, START) as venue:
            venue.welcome = False
            prepare(venue)
            feed = BinanceFeed(
                venue.venue(lockstep=True), SYMBOLS, FeedOptions(**options),
                clock=HandClock(), lockstep_token=SYMBOLS[0], jitter=lambda: 0.0,
            )  # fmt: skip
            released = []
            try:
                await feed.start(cursor)
                async for items in feed.released():
                    released += items
                    if scene is not None:
                        await scene(venue, len(released))
                    if len(released) >= take:
                        break
                    await feed.ack()
            finally:
                await feed.close()
            return released, feed, venue

    return asyncio.run(asyncio.wait_for(work(), 20))


def joined(released):
    return np.concatenate([item for item in released if isinstance(item, np.ndarray)])


def test_each_slice_is_one_block_that_begins_with_its_clock_row():
    released, feed, venue = running()
    # The last block is the clock row that stands exactly at the end.
    assert len(released) == 7 and feed.start_ns == START * 10**6
    assert all(block["kind"][0] == Kind.CLOCK for block in released)
    rows = joined(released)
    assert np.all(np.diff(rows["ts_ns"]) > 0)
    assert rows["ts_ns"][0] == START * 10**6
    assert [(rows["kind"] == kind).sum() for kind in (Kind.CLOCK, Kind.TRADE, Kind.TOP)] == [7, 24, 24]
    key = [rows[name] for name in ("id", "symbol", "venue_ns")]
    kind = np.where(rows["kind"] == Kind.CLOCK, 0, rows["kind"])
    assert np.array_equal(np.lexsort((key[0], key[1], kind, key[2])), np.arange(len(rows)))
    said = venue.control_said
    assert said[0] == {"op": "go", "from_ns": 0, "slice_ns": SECOND_NS}
    assert [one["op"] for one in said[1:]] == ["ack"] * 6


def test_the_same_market_gives_the_same_bytes():
    once, twice = (joined(running()[0]).tobytes() for _ in range(2))
    assert once == twice


def test_history_is_before_the_first_slice():
    _, feed, _ = running(take=1)
    rows = feed.history()
    assert len(rows) == 6 and rows["venue_ns"].max() + 60 * SECOND_NS <= feed.start_ns


def test_a_dropped_frame_is_back_filled_inside_its_slice():
    def damaged(venue):
        market(venue)
        del venue.slices[2][2]["market0"][0]

    released, feed, _ = running(prepare=damaged)
    whole, rows = joined(running()[0]), joined(released)
    flagged = rows["flags"] & Flag.BACKFILLED != 0
    assert flagged.sum() == 1 and len(released) == 7
    rows["flags"][flagged] ^= int(Flag.BACKFILLED)
    assert rows.tobytes() == whole.tobytes() and feed.stats().counts.lost == 0


def test_a_frame_that_nobody_can_give_back_becomes_a_gap_after_two_seconds_of_market():
    def damaged(venue):
        market(venue)
        del venue.slices[1][2]["market0"][0]
        venue.trades["BTCUSDT"] = []

    released, _, _ = running(prepare=damaged)
    (gap,) = [item for item in released if isinstance(item, FeedGap)]
    assert gap.symbol == "BTCUSDT" and gap.lost == 1
    rows = joined(released)
    of_symbol = (rows["kind"] == Kind.TRADE) & (rows["symbol"] == 0)
    assert rows["id"][of_symbol].tolist() == [1, 2, *range(4, 13)] and np.all(np.diff(rows["ts_ns"]) > 0)
    assert gap.ts_ns < rows["ts_ns"][of_symbol][2] <= gap.ts_ns + SECOND_NS


def trades_of(released, symbol):
    rows = joined(released)
    return rows["id"][(rows["kind"] == Kind.TRADE) & (rows["symbol"] == symbol)].tolist()


@pytest.mark.parametrize("socket", ["market0", "public0"])
def test_a_socket_that_is_cut_comes_back_and_no_trade_is_lost(socket):
    async def cut(venue, number):
        if number == 2:
            await venue.cut(socket)

    released, feed, _ = running(cut, prepare=lambda venue: market(venue, 12))
    assert trades_of(released, 0) == trades_of(released, 1) == list(range(1, 25))
    assert feed.stats().counts.reconnects == 1 and feed.stats().counts.feed_gaps == 0
    assert joined(released)["kind"].tolist().count(Kind.CLOCK) == 13


def test_a_venue_that_went_away_is_found_again_where_the_tape_ends():
    async def cut(venue, number):
        if number == 3:
            await venue.cut()

    released, _, venue = running(cut)
    assert joined(released).tobytes() == joined(running()[0]).tobytes()
    assert [one["from_ns"] for one in venue.control_said if one["op"] == "go"] == [0, (START + 3000) * 10**6]


def test_a_run_that_died_goes_on_with_the_bytes_of_one_that_did_not():
    first, _, _ = running(take=3)
    cursor = cursor_of(first, SYMBOLS)
    second, feed, _ = running(cursor=cursor)
    assert len(feed.history()) == 0
    assert joined(first + second).tobytes() == joined(running()[0]).tobytes()


def test_duplicated_and_reordered_frames_change_nothing():
    def damaged(venue):
        market(venue)
        for _, _, frames in venue.slices:
            frames["market0"] = frames["market0"][::-1] + frames["market0"][:2]
            frames["public0"] += frames["public0"][1:3]

    released, feed, _ = running(prepare=damaged)
    assert joined(released)["id"].tolist() == joined(running()[0])["id"].tolist()
    assert feed.stats().counts.duplicates == 18 and feed.stats().counts.feed_gaps == 0


def test_a_stream_that_never_delivers_ends_the_start():
    def silent(venue):
        market(venue, 8)
        for _, _, frames in venue.slices:
            frames["public0"] = [frame for frame in frames["public0"] if "ethusdt" not in frame]

    with pytest.raises(StreamSilent, match="ethusdt@bookTicker"):
        running(prepare=silent, options=OPTIONS | {"gate_seconds": 5.0})


def test_a_control_socket_that_speaks_otherwise_is_named():
    def strange(venue):
        market(venue)
        venue.slices = [(START * 10**6, START * 10**6 + SECOND_NS, {"public0": [], "market0": []})] * 2

    async def disturb(venue, number):
        await venue.sockets["control"][0].send_json({"op": "surprise", "message": "hello"})

    with pytest.raises(LockstepBroken, match="surprise"):
        running(disturb, prepare=strange)


def test_a_market_over_sockets_gives_the_rows_of_the_market_itself():
    before_funding = 1_735_689_600 + 8 * 3600 - 30
    source = open_market("synthetic:7", SYMBOLS, before_funding * SECOND_NS, 75 / 3600, 5, seed=1)

    def prepare(venue):
        venue.now_ms = before_funding * 1000
        venue.slices = slices_of(source)

    released, feed, _ = running(prepare=prepare)
    rows, wanted = joined(released)[:-1], expected(source, source.start_ns, source.end_ns)
    assert (wanted["kind"] == Kind.MARK).sum() == 2 and len(wanted) > 350
    assert rows.tobytes() == wanted.tobytes()
    assert feed.stats().counts.feed_gaps == 0


def test_a_pause_that_began_while_the_market_stood_ends_by_market_time_once_it_moves():
    """A restarted broker asked for an order half a real second later: ten minutes of that market."""

    async def work():
        pace = MarketPace()
        pace.begin(START * 10**6)
        waiting = asyncio.create_task(pace.pause(0.5))
        await asyncio.sleep(0)
        pace.moved(START * 10**6 + SECOND_NS)
        done, _ = await asyncio.wait({waiting}, timeout=0.2)
        return bool(done)

    assert asyncio.run(work()), "it waits for the clock of the host"
