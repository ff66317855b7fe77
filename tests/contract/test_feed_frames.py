"""Frames recorded from the exchange go through decoding and continuity: nothing lost, nothing invented."""

import gzip
import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from flowguardian.feeds import wire
from flowguardian.feeds.intake import Intake
from flowguardian.feeds.release import Release
from flowguardian.market.records import SECOND_NS, Flag, Kind

DATA = Path(
    os.environ.get("FLOWGUARDIAN_DATA", Path(__file__).resolve().parents[2].parent / "shared" / "data")
)
FRAMES = DATA / "frames"
SYMBOLS = ("BTCUSDT", "ETHUSDT")
pytestmark = [
    pytest.mark.real_data,
    pytest.mark.skipif(not FRAMES.exists(), reason=f"{FRAMES} with the recorded frames is absent"),
]


@pytest.fixture(scope="module")
def frames():
    """(local time, frame) of both recordings in the order of receipt."""
    found = []
    for symbol in SYMBOLS:
        with gzip.open(FRAMES / f"usdm_{symbol.lower()}_20240808.gz") as file:
            for line in file:
                local_ns, _, frame = line.rstrip().partition(b" ")
                found.append((int(local_ns), frame))
    found.sort(key=lambda pair: pair[0])
    return found


def fresh_intake(quote_interval_ns=100_000_000):
    return Intake(
        SYMBOLS,
        quote_interval_ns=quote_interval_ns,
        gap_deadline_ns=2 * SECOND_NS,
        silence_ns=15 * SECOND_NS,
        trade_stream="trade",
    )


def played(frames, intake, every=200):
    """Rows of all frames, released every so many."""
    release = Release(SYMBOLS, SECOND_NS, 0)
    release.begin(frames[0][0])
    blocks = []
    for number, (local_ns, frame) in enumerate(frames, 1):
        intake.take(frame, local_ns)
        if number % every == 0:
            blocks += release.live(intake.release(local_ns), local_ns)
    blocks += release.live(intake.release(frames[-1][0], final=True), frames[-1][0])
    return blocks


def trade_ids(frames):
    """The ids by another reader: plain json, every trade frame as it stands."""
    found: dict[str, list[int]] = {symbol: [] for symbol in SYMBOLS}
    for _, frame in frames:
        body = json.loads(frame).get("data", {})
        if body.get("e") == "trade":
            found[body["s"]].append(body["t"])
    return found


def ids_of(rows, index):
    return rows["id"][(rows["kind"] == Kind.TRADE) & (rows["symbol"] == index)].tolist()


def test_no_recorded_trade_is_lost_and_no_gap_is_invented(frames):
    intake = fresh_intake()
    began = time.perf_counter()
    blocks = played(frames, intake)
    rate = len(frames) / (time.perf_counter() - began)
    print(f"\n{len(frames)} frames, {rate:,.0f} messages/s on one core, rows and stamps included")  # noqa: T201  (the figure is for people)
    assert all(isinstance(block, np.ndarray) for block in blocks)
    rows = np.concatenate(blocks)
    for index, ids in enumerate(trade_ids(frames).values()):
        assert ids_of(rows, index) == ids
        assert ids == list(range(ids[0], ids[0] + len(ids)))
    counts = intake.counts
    assert (counts.id_gaps, counts.feed_gaps, counts.lost, counts.malformed, counts.implausible) == (0,) * 5
    assert counts.unknown == 2, "each recording begins with the depth snapshot of the REST interface"
    assert np.all(np.diff(rows["ts_ns"]) > 0)


@pytest.mark.parametrize("index", [0, 1])
def test_the_rows_are_the_trades_of_the_reference_file(frames, index):
    rows = np.concatenate(played(frames, fresh_intake()))
    rows = rows[(rows["kind"] == Kind.TRADE) & (rows["symbol"] == index)]
    table = pq.read_table(DATA / "trades" / f"trades_usdm_{SYMBOLS[index]}_20240808.parquet")
    times = table["ts_ns"].to_numpy()
    # The file ends with the day; the recording goes on for a moment (25 trades of ETHUSDT).
    assert len(rows) - len(times) == (0, 25)[index]
    assert np.all(rows["venue_ns"][len(times) :] > times[-1])
    rows = rows[: len(times)]
    assert np.array_equal(rows["venue_ns"], times)
    assert np.array_equal(rows["a"], np.rint(table["price"].to_numpy() * 1e8).astype(np.int64))
    assert np.array_equal(rows["b"], np.rint(table["qty"].to_numpy() * 1e8).astype(np.int64))
    assert np.array_equal((rows["flags"] & Flag.SELLER_TAKER) != 0, table["is_buyer_maker"].to_numpy())


def test_prints_that_are_not_of_the_market_are_left_out_and_make_no_gap(frames):
    """The recording holds MARKET prints only, so every hundredth is given another type here."""
    kinds, changed = ("INSURANCE_FUND", "ADL", "NA"), []
    market_ids: dict[str, list[int]] = {symbol: [] for symbol in SYMBOLS}
    for number, (local_ns, recorded) in enumerate(frames):
        frame = recorded
        body = json.loads(frame).get("data", {})
        if body.get("e") == "trade":
            if body["t"] % 100 == 0:
                frame = frame.replace(b'"X":"MARKET"', f'"X":"{kinds[number % 3]}"'.encode())
            else:
                market_ids[body["s"]].append(body["t"])
        changed.append((local_ns, frame))
    intake = fresh_intake()
    rows = np.concatenate(played(changed, intake))
    for index, ids in enumerate(market_ids.values()):
        assert ids_of(rows, index) == ids
    assert intake.counts.non_market > 300 and intake.counts.id_gaps == 0


def test_quotes_are_conflated_to_the_last_of_each_interval(frames):
    whole = np.concatenate(played(frames, fresh_intake(quote_interval_ns=0)))
    fewer = np.concatenate(played(frames, fresh_intake()))
    for index in range(2):
        tops = whole[(whole["kind"] == Kind.TOP) & (whole["symbol"] == index)]
        kept = fewer[(fewer["kind"] == Kind.TOP) & (fewer["symbol"] == index)]
        bucket = tops["venue_ns"] // 100_000_000
        last = np.append(np.diff(bucket) != 0, [False])  # The last interval of all is still open.
        assert np.array_equal(kept["id"][: last.sum()], tops["id"][last])
        assert np.array_equal(kept["a"][: last.sum()], tops["a"][last])


def test_the_same_frames_with_losses_duplicates_and_disorder_are_whole_again_after_the_back_fill(frames):
    generator = np.random.default_rng(20240808)
    trades: dict[str, dict[int, wire.Trade]] = {symbol: {} for symbol in SYMBOLS}
    for _, frame in frames:
        message = wire.decode(frame)
        if isinstance(message, wire.Trade):
            trades[message.symbol][message.id] = message
    keep = generator.random(len(frames)) >= 0.01
    twice = generator.random(len(frames)) < 0.01
    damaged = [frame for number, frame in enumerate(frames) if keep[number] for _ in range(1 + twice[number])]
    place = np.arange(len(damaged)) + generator.integers(0, 8, len(damaged))
    damaged = [damaged[at] for at in np.argsort(place, kind="stable")]
    intake, release = fresh_intake(), Release(SYMBOLS, SECOND_NS, 0)
    blocks: list[Any] = []
    release.begin(damaged[0][0])
    for number, (local_ns, frame) in enumerate(damaged):
        intake.take(frame, local_ns)
        if number % 100 == 0:
            for index, wanted in intake.wants(local_ns):
                there = trades[SYMBOLS[index]]
                intake.fill(index, [there[n] for n in range(wanted, wanted + 500) if n in there], local_ns)
            blocks += release.live(intake.release(local_ns), local_ns)
    blocks += release.live(intake.release(damaged[-1][0], final=True), damaged[-1][0])
    rows: Any = np.concatenate(blocks)
    for index, symbol in enumerate(SYMBOLS):
        ids = ids_of(rows, index)
        assert ids == list(range(ids[0], ids[-1] + 1)) and len(trades[symbol]) - len(ids) < 20
    assert intake.counts.id_gaps > 100 and intake.counts.backfilled > 100 and intake.counts.lost == 0


def test_a_burst_of_thirty_thousand_trades_loses_none():
    frame = (
        '{"stream":"btcusdt@trade","data":{"e":"trade","E":1723161256322,"T":1723161256322,"s":"BTCUSDT",'
        '"t":%d,"p":"61800.30","q":"0.006","X":"MARKET","m":false}}'
    )
    intake = fresh_intake()
    for number in range(1, 30_001):
        intake.take((frame % number).encode(), SECOND_NS)
    release = Release(SYMBOLS, SECOND_NS, 0)
    release.begin(2 * SECOND_NS)
    rows: Any
    (rows,) = release.live(intake.release(SECOND_NS), SECOND_NS)
    assert rows["id"].tolist() == list(range(1, 30_001))
