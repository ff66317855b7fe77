"""What the venue knows of its market: time, trades, candles, funding, and going back."""

import numpy as np
import pytest

from flowguardian.feeds.recorded import open_market
from flowguardian.market.records import MINUTE_NS, ROW, SECOND_NS, Kind
from flowguardian.venue.candles import INTERVALS, Span, amount
from flowguardian.venue.market import Top, VenueMarket, book_levels, slice_end
from flowguardian.venue.shapes import decimals_of, text
from flowguardian.venue.trades import Trades

START = 1_735_716_600 * SECOND_NS  # 2025-01-01T07:30Z, half an hour before a settlement
SYMBOLS = ("BTCUSDT", "ETHUSDT")


@pytest.fixture(scope="module")
def source():
    return open_market("synthetic:7", SYMBOLS, START, 1.0)


@pytest.fixture
def market(source):
    return VenueMarket(source, has_funding=True)


def shown(market, to_ns):
    rows = market.advance(to_ns)
    for row in rows:
        market.took(row)
    return rows


# --- numbers


@pytest.mark.parametrize(
    ("units", "decimals", "written"),
    [
        (6_500_010_000_000, 1, "65000.1"),
        (6_500_000_000_000, 2, "65000.00"),
        (5, 8, "0.00000005"),
        (123_456_789, 2, "1.23456789"),
        (700_000_000, 0, "7"),
        (750_000_000, 0, "7.50000000"),
        (-3352, 8, "-0.00003352"),
    ],
)
def test_units_are_written_without_losing_a_digit(units, decimals, written):
    assert text(units, decimals) == written


def test_decimals_of_a_step():
    assert [decimals_of(step) for step in (10_000_000, 100_000_000, 1, 1_000_000_000)] == [1, 0, 8, 0]


@pytest.mark.parametrize("value", [0.1 + 0.2, 12345.678, 1e-8, 98765432.123, 3.0])
def test_a_volume_is_read_back_as_the_same_float(value):
    assert float(amount(value, 3)) == value


# --- time


def test_nothing_is_told_before_its_time(market):
    shown(market, START + 10 * SECOND_NS)
    assert market.now_ns == START + 10 * SECOND_NS
    assert all(trades.rows["venue_ns"].max() < market.now_ns for trades in market.trades)


def test_the_rows_are_those_of_the_source(market, source):
    rows = shown(market, START + 60 * SECOND_NS)
    assert rows == source.rows(START, START + 60 * SECOND_NS).tolist()


def test_a_market_that_went_back_shows_the_same_again(market):
    shown(market, START + 60 * SECOND_NS)
    once = shown(market, START + 120 * SECOND_NS)
    held = [trades.rows.copy() for trades in market.trades]
    market.jump(START + 60 * SECOND_NS)
    assert shown(market, START + 120 * SECOND_NS) == once
    for trades, before in zip(market.trades, held, strict=True):
        assert np.array_equal(trades.rows, before)


def test_after_a_jump_the_last_half_hour_can_be_asked_for(market):
    market.jump(START + 45 * MINUTE_NS)
    rows = market.trades[0].rows
    assert START + 15 * MINUTE_NS <= rows["venue_ns"][0] < START + 16 * MINUTE_NS
    assert market.last[0] == rows["a"][-1]


def test_slices_end_at_multiples_of_their_length():
    assert slice_end(START + 300, SECOND_NS, START + 5 * SECOND_NS) == START + SECOND_NS
    assert slice_end(START + 4 * SECOND_NS, SECOND_NS, START + 4 * SECOND_NS + 7) == START + 4 * SECOND_NS + 7


# --- trades


def numbered(first, count):
    rows = np.zeros(count, ROW)
    rows["id"] = rows["venue_ns"] = np.arange(first, first + count)
    return rows


def test_trades_are_found_by_id_and_by_time():
    trades = Trades()
    trades.add(numbered(10, 5))
    trades.add(numbered(20, 5))
    assert trades.from_id(12, 4)["id"].tolist() == [12, 13, 14, 20]
    assert trades.from_id(16, 1)["id"].tolist() == [20]
    assert trades.between(13, 21)["id"].tolist() == [13, 14, 20]
    assert trades.last(2)["id"].tolist() == [23, 24]


def test_the_oldest_trades_are_forgotten_when_the_room_is_full():
    trades = Trades(most=100)
    for first in range(0, 300, 30):
        trades.add(numbered(first, 30))
        assert len(trades) <= 100
    assert trades.rows["id"].tolist() == list(range(int(trades.rows["id"][0]), 300))
    trades.add(numbered(300, 250))
    assert trades.rows["id"].tolist() == list(range(450, 550))


# --- candles


def test_closed_candles_are_the_bars_of_the_market(market, source):
    shown(market, START + 5 * MINUTE_NS)
    candles = market.candles(0, "1m", limit=7)
    bars = source.history(START + 5 * MINUTE_NS, 7)
    bars = bars[bars["symbol"] == 0]
    assert [candle.open_ms * 1_000_000 for candle in candles] == bars["venue_ns"].tolist()
    assert [text(int(row["d"]), 2) for row in bars] == [candle.close for candle in candles]
    volumes = np.ascontiguousarray(bars["id"]).view(np.float64)
    assert [float(candle.volume) for candle in candles] == volumes.tolist()


def test_the_open_candle_is_made_of_the_trades_so_far(market):
    shown(market, START + 30 * SECOND_NS)
    candle = market.candles(0, "1m", limit=1)[0]
    rows = market.trades[0].between(START, START + 30 * SECOND_NS)
    assert candle.trades == len(rows)
    assert (candle.first_id, candle.last_id) == (rows["id"][0], rows["id"][-1])
    assert candle.high == text(int(rows["a"].max()), 2)


def test_longer_candles_are_joined_from_minutes(market):
    shown(market, START + 10 * MINUTE_NS)
    minutes = market.candles(0, "1m", limit=5, end_ns=START + 5 * MINUTE_NS - 1)
    five = market.candles(0, "5m", limit=1, end_ns=START)[0]
    assert five.open == minutes[0].open and five.close == minutes[-1].close
    assert float(five.high) == max(float(candle.high) for candle in minutes)
    assert five.trades == sum(candle.trades for candle in minutes)


def test_candles_can_be_asked_for_from_a_start(market):
    shown(market, START + 10 * MINUTE_NS)
    candles = market.candles(0, "1m", start_ns=START - 3 * MINUTE_NS, limit=4)
    assert [candle.open_ms * 1_000_000 - START for candle in candles] == [
        -3 * MINUTE_NS, -2 * MINUTE_NS, -MINUTE_NS, 0,
    ]  # fmt: skip


@pytest.mark.parametrize("interval", [*INTERVALS])
def test_every_interval_holds_the_moment_it_is_asked_for(market, interval):
    span = Span(interval, INTERVALS[interval])
    opened = int(span.opens(np.array([START], np.int64))[0])
    assert opened <= START < span.end(opened)
    assert market.candles(0, interval, limit=2)


def test_weeks_begin_on_monday_and_months_on_the_first():
    week = int(Span("1w", INTERVALS["1w"]).opens(np.array([START]))[0])
    month = int(Span("1M", 0).opens(np.array([START]))[0])
    assert np.datetime64(week, "ns") == np.datetime64("2024-12-30")
    assert np.datetime64(month, "ns") == np.datetime64("2025-01-01")


# --- funding, book


def test_the_next_funding_carries_the_rate_that_will_settle(market, source):
    eight = START + 30 * MINUTE_NS
    row = source.rows(eight, eight + 1)
    row = row[(row["kind"] == Kind.MARK) & (row["symbol"] == 0)][0]
    before = market.next_funding(0, eight - 1)
    assert (before.time_ns, before.rate, before.price) == (eight, row["c"], row["a"])
    assert market.settlement(0, eight) == before and market.settlement(0, eight + SECOND_NS) is None
    assert market.next_funding(0, eight).time_ns > market.end_ns


def test_only_what_has_settled_is_history(market):
    assert market.settled(0) == []
    market.jump(START + 31 * MINUTE_NS)
    assert [one.time_ns for one in market.settled(0)] == [START + 30 * MINUTE_NS]


def test_a_market_without_funding_announces_one_beyond_its_end(source):
    market = VenueMarket(source)
    assert market.next_funding(0, START).time_ns >= market.end_ns


def test_the_derived_book_is_sorted_and_on_the_grid():
    bids, asks = book_levels(Top(1, 0, 1000, 50, 1030, 60), 10, 5, 20)
    assert bids[0] == (1000, 50) and asks[0] == (1030, 60)
    assert [price for price, _ in bids] == list(range(1000, 800, -10))
    assert [price for price, _ in asks] == list(range(1030, 1230, 10))
    assert all(qty > 0 and qty % 5 == 0 for _, qty in bids + asks)
