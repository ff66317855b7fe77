"""Frames of the exchange are read exactly or refused; nothing half-read gets through."""

import json

import pytest

from flowguardian.feeds import wire
from flowguardian.feeds.intake import Intake
from flowguardian.market.records import SECOND_NS, Flag, Kind

NOW = 1_771_263_510_000 * wire.MILLISECOND_NS
AGG = (
    b'{"stream":"btcusdt@aggTrade","data":{"e":"aggTrade","E":1771263510195,"a":3141966230,"s":"BTCUSDT",'
    b'"p":"68005.00","q":"2.695","nq":"2.695","f":7297376181,"l":7297376207,"T":1771263510041,"m":true,"st":1}}'
)
TOP = (
    b'{"stream":"btcusdt@bookTicker","data":{"e":"bookTicker","u":9924360161244,"s":"BTCUSDT","b":"68005.00",'
    b'"B":"2.394","a":"68005.10","A":"0.857","T":1771263510337,"E":1771263510337}}'
)
MARK = (
    b'{"stream":"btcusdt@markPrice@1s","data":{"e":"markPriceUpdate","E":1771263510000,"s":"BTCUSDT",'
    b'"p":"68005.80802899","ap":"1","P":"67836.82194783","i":"68035.14043478","r":"-0.00004435",'
    b'"T":1771286400000}}'
)


def intake(**more):
    return Intake(
        ["BTCUSDT"], quote_interval_ns=0, gap_deadline_ns=2 * SECOND_NS, silence_ns=15 * SECOND_NS, **more
    )


def changed(frame, **fields):
    body = json.loads(frame)
    body["data"].update(fields)
    return json.dumps(body).encode()


def test_a_trade_becomes_a_row_in_whole_units():
    feed = intake()
    assert feed.take(AGG, NOW)
    (row,) = feed.release(NOW)
    assert row[:6] == (Kind.TRADE, Flag.SELLER_TAKER, 0, 0, 0, 1771263510041 * 10**6)
    assert row[6:] == (6800500000000, 269500000, 0, 0, 3141966230)


def test_a_quote_becomes_a_row_with_both_sides():
    feed = intake()
    feed.take(TOP, NOW)
    (row,) = feed.release(NOW)
    assert row[6:] == (6800500000000, 239400000, 6800510000000, 85700000, 9924360161244)


def test_a_frame_of_a_single_stream_reads_like_a_combined_one():
    assert wire.decode(json.dumps(json.loads(AGG)["data"]).encode()) == wire.decode(AGG)


@pytest.mark.parametrize(
    ("text", "value"),
    [("0", 0), ("1", 10**8), ("0.00000001", 1), ("61800.30", 6180030000000), ("1.000000000", 10**8)],
)
def test_decimal_texts_become_units_exactly(text, value):
    assert wire.units(text) == value


@pytest.mark.parametrize(
    "text",
    ["", ".", ".5", "-1", "+1", "1e5", "NaN", "Infinity", "1_0", " 1", "1,5", "1.2.3", "٣", "0.000000001",
     "92000000001", "9" * 30],
)  # fmt: skip
def test_what_is_no_number_of_the_exchange_is_refused(text):
    with pytest.raises(wire.UnreadableFrame):
        wire.units(text)


def test_a_rate_may_be_below_zero():
    assert wire.signed_units("-0.00004435") == -4435 and wire.signed_units("0.0001") == 10_000


@pytest.mark.parametrize("price", ["", "NaN", "-5", "1e9", "68005.00x"])
def test_a_trade_with_a_nonsense_price_is_malformed_and_its_id_is_missing_afterwards(price):
    feed = intake()
    feed.take(AGG, NOW)
    feed.take(changed(AGG, a=3141966231, p=price), NOW)
    feed.take(changed(AGG, a=3141966232), NOW)
    assert [row[10] for row in feed.release(NOW)] == [3141966230]
    assert feed.counts.malformed == 1 and feed.counts.id_gaps == 1
    assert feed.wants(NOW) == [(0, 3141966231)]


@pytest.mark.parametrize("price", ["68005000000", "0.068"])
def test_a_price_a_million_times_off_is_kept_for_eyes_and_never_becomes_a_row(price):
    feed = intake()
    feed.take(AGG, NOW)
    feed.take(changed(AGG, a=3141966231, p=price), NOW)
    feed.take(changed(AGG, a=3141966232), NOW)
    assert [row[10] for row in feed.release(NOW)] == [3141966230, 3141966232]
    assert feed.counts.implausible == 1 and feed.counts.id_gaps == 0


def test_a_market_that_stays_far_away_is_believed_in_the_end():
    feed = intake()
    feed.take(changed(AGG, p="1.00"), NOW)
    for step in range(1, 10):
        feed.take(changed(AGG, a=3141966230 + step), NOW)
    assert feed.counts.implausible == 4 and len(feed.release(NOW)) == 6


@pytest.mark.parametrize("field", [{"p": "0"}, {"q": "0"}, {"p": "0.00"}])
def test_a_print_without_price_or_quantity_is_no_trade_but_fills_its_id(field):
    feed = intake()
    feed.take(AGG, NOW)
    feed.take(changed(AGG, a=3141966231, **field), NOW)
    feed.take(changed(AGG, a=3141966232), NOW)
    assert [row[10] for row in feed.release(NOW)] == [3141966230, 3141966232]
    assert feed.counts.non_market == 1 and feed.counts.id_gaps == 0


def test_a_print_of_the_insurance_fund_is_no_trade_but_fills_its_id():
    feed = intake(trade_stream="trade")
    trade = {"e": "trade", "E": 1, "T": 1771263510041, "s": "BTCUSDT", "p": "68005.0", "q": "1", "m": False}
    for number, kind in enumerate(["MARKET", "INSURANCE_FUND", "ADL", "NA", "MARKET"]):
        frame = {"stream": "btcusdt@trade", "data": trade | {"t": number, "X": kind}}
        feed.take(json.dumps(frame).encode(), NOW)
    assert [row[10] for row in feed.release(NOW)] == [0, 4]
    assert feed.counts.non_market == 3 and feed.counts.id_gaps == 0


@pytest.mark.parametrize(("bid", "ask"), [("2.0", "1.9"), ("2.0", "2.0"), ("0", "1"), ("0.001", "2.0")])
def test_a_crossed_or_empty_quote_is_no_quote(bid, ask):
    feed = intake()
    feed.take(changed(TOP, b=bid, a=ask), NOW)
    assert feed.release(NOW) == [] and feed.counts.implausible == 1


@pytest.mark.parametrize(
    ("frame", "count"),
    [
        (b"", "malformed"),
        (b"<html>502</html>", "malformed"),
        (b"[1]", "malformed"),
        (b'{"stream":"btcusdt@aggTrade","data":{"e":"aggTrade"', "malformed"),
        (b"\xff\xfe", "malformed"),
        (b'{"stream":"btcusdt@aggTrade","data":{"e":"aggTrade","a":"7","s":"BTCUSDT"}}', "malformed"),
        (b'{"e":"somethingNew","E":1}', "unknown"),
        (b'{"stream":"x","data":{"e":"somethingNew"}}', "unknown"),
        (b'{"stream":"x","data":[1,2]}', "unknown"),
        (b"{}", "unknown"),
        (b'{"stream":"x","data":{"e":"depthUpdate","b":[["1","2"]]}}', "unused"),
        (AGG.replace(b"BTCUSDT", b"DOGEUSDT"), "foreign"),
        (b'{"result":null,"id":1}', "replies"),
        (b'{"id":1,"error":{"code":2,"msg":"x"}}', "replies"),
    ],
)
def test_whatever_arrives_is_counted_and_never_fatal(frame, count):
    feed = intake()
    assert feed.take(frame, NOW) is (count != "replies")
    assert getattr(feed.counts, count) == 1 and feed.release(NOW) == []


def test_odd_frames_are_kept_up_to_a_bound():
    feed = intake()
    for number in range(500):
        feed.take(b'{"e":"odd%d","x":"%s"}' % (number, b"y" * 10_000), NOW)
    kept = feed.odd.kept()
    assert feed.counts.unknown == 500 and len(kept) == 50 and all(len(text) <= 2000 for _, text in kept)
    assert kept[-1][1].startswith('{"e":"odd499"')


@pytest.mark.parametrize("time_ms", [0, -1, 10**14])
def test_a_time_that_cannot_be_is_malformed(time_ms):
    feed = intake()
    feed.take(changed(AGG, T=time_ms), NOW)
    assert feed.counts.malformed == 1 and feed.release(NOW) == []


def test_unknown_fields_change_nothing():
    assert wire.decode(changed(MARK, zz={"deep": [1]})) == wire.decode(MARK)
