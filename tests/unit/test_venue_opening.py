"""Markets of the venue beyond those of the feeds: raw frames as recorded, and the tape of a run."""

import gzip
import json

import numpy as np
import pytest

from flowguardian.feeds.recorded import MarketSpecError, open_market
from flowguardian.market.records import ROW, SECOND_NS, Kind
from flowguardian.market.tape import TapeWriter
from flowguardian.venue.market import VenueMarket
from flowguardian.venue.opening import open_venue_market

START_MS = 1_735_689_600_000


def line(event):
    return b"17 " + json.dumps({"stream": "x", "data": event}).encode() + b"\n"


def trade(number, ms, price="65000.10", kind="MARKET"):
    return line({
        "e": "trade", "E": ms, "T": ms, "s": "BTCUSDT", "t": number, "p": price, "q": "0.010", "X": kind,
        "m": True,
    })  # fmt: skip


def top(number, ms):
    return line({
        "e": "bookTicker", "u": number, "s": "BTCUSDT", "b": "65000.00", "B": "1", "a": "65000.10", "A": "2",
        "T": ms, "E": ms,
    })  # fmt: skip


@pytest.fixture
def recording(tmp_path):
    path = tmp_path / "frames.gz"
    with gzip.open(path, "wb") as file:
        file.write(top(5, START_MS + 10) + trade(1, START_MS + 20) + trade(3, START_MS + 61_000))
        file.write(trade(2, START_MS + 500, price="0", kind="NA") + line({"e": "depthUpdate", "u": 3}))
    return path


def test_recorded_frames_are_a_market_by_venue_time(recording):
    opened = open_venue_market(f"frames:{recording}", None)
    market = opened.market
    assert market.symbols == ("BTCUSDT",) and not opened.has_funding
    assert (market.start_ns, market.end_ns) == (START_MS * 10**6, START_MS * 10**6 + 62 * SECOND_NS)
    rows = market.rows(market.start_ns, market.end_ns)
    told = [(int(r["kind"]), int(r["id"])) for r in rows if r["kind"] != Kind.CLOCK]
    assert told == [(Kind.TOP, 5), (Kind.TRADE, 1), (Kind.TRADE, 2), (Kind.TRADE, 3)]
    assert np.count_nonzero(rows["kind"] == Kind.CLOCK) == 62


def test_a_print_of_the_exchange_itself_keeps_its_word_and_is_no_price(recording):
    market = VenueMarket(open_venue_market(f"frames:{recording}", None).market)
    assert market.print_kinds == {(0, 2): "NA"}
    market.jump(market.end_ns)
    [first, second] = market.candles(0, "1m")
    assert (first.low, first.trades, second.trades) == ("65000.10", 1, 1)


def test_a_symbol_that_was_not_recorded_is_refused(recording):
    with pytest.raises(MarketSpecError, match="ETHUSDT"):
        open_venue_market(f"frames:{recording}", ["ETHUSDT"])
    with pytest.raises(MarketSpecError, match="no such file"):
        open_venue_market("frames:nowhere.gz", None)


def test_the_tape_of_a_run_is_its_market_again(tmp_path):
    symbols = ["BTCUSDT", "ETHUSDT"]
    source = open_market("synthetic:3", symbols, START_MS * 10**6 + 7 * 3600 * SECOND_NS, 1.5)
    rows = source.rows(source.start_ns, source.end_ns)
    history = source.history(source.start_ns, 30)
    for block in (history, rows):
        block["ts_ns"] = block["venue_ns"]
    writer = TapeWriter(tmp_path)
    rows["ts_ns"] = source.start_ns + np.arange(len(rows))
    history["ts_ns"] = source.start_ns - len(history) + np.arange(len(history))
    writer.append(history)
    writer.append(rows)
    writer.close()
    opened = open_venue_market(f"tape:{tmp_path}", symbols)
    again = opened.market.rows(source.start_ns, source.end_ns)
    rows["ts_ns"] = 0
    assert opened.has_funding and np.array_equal(again, rows)
    before = opened.market.history(source.start_ns, 5)
    history["ts_ns"] = 0
    assert before.dtype == ROW and len(before) == 10
    for index in range(2):
        assert np.array_equal(before[before["symbol"] == index], history[history["symbol"] == index][-5:])


def test_other_specs_are_those_of_the_feeds():
    opened = open_venue_market("synthetic:7", ["BTCUSDT"], hours=1.0)
    assert opened.has_funding and opened.market.feed_kind == "synthetic"
    with pytest.raises(MarketSpecError, match="whole number"):
        open_venue_market("synthetic:x", ["BTCUSDT"])
