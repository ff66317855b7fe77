"""Bars become prints and tops."""

import numpy as np
import pytest

from flowguardian.market.bridge import Bridge, expand, path_rows, tops_around
from flowguardian.market.instruments import INSTRUMENTS
from flowguardian.market.records import BAR, MINUTE_NS, ROW, Flag, Kind
from flowguardian.market.seeds import stream_seed
from flowguardian.market.synthetic import synthetic_bars

ETH = INSTRUMENTS["ETHUSDT"]
START = 1_735_689_600_000_000_000
SEED = stream_seed(11, "ETHUSDT")


def bar(opened, high, low, close, volume, open_ns=START):
    row = np.zeros(1, BAR)
    row["open_ns"], row["volume"] = open_ns, volume
    row["open"], row["high"], row["low"], row["close"] = (round(x * 1e8) for x in (opened, high, low, close))
    return row


def prints_of(rows):
    return rows[rows["kind"] == Kind.TRADE]


def tops_of(rows):
    return rows[rows["kind"] == Kind.TOP]


def test_one_bar_becomes_a_print_and_a_top_in_every_second():
    rows = expand(bar(2500, 2510, 2490, 2505, 300.123), 3, SEED, instrument=ETH)
    assert np.all(rows["symbol"] == 3) and np.all(rows["ts_ns"] == 0)
    for part in (prints_of(rows), tops_of(rows)):
        assert np.array_equal((part["venue_ns"] - START) // 1_000_000_000, np.arange(60))
        assert np.all(part["flags"] & Flag.DERIVED)
    prices = prints_of(rows)["a"]
    assert prices[0] == 2500 * 10**8 and prices[-1] == 2505 * 10**8
    assert prices.max() == 2510 * 10**8 and prices.min() == 2490 * 10**8
    assert prints_of(rows)["b"].sum() == 300_123 * 10**5


def test_a_bar_without_volume_has_tops_but_no_prints():
    rows = expand(bar(2500, 2500, 2500, 2500, 0), 0, SEED, instrument=ETH)
    assert len(prints_of(rows)) == 0 and len(tops_of(rows)) == 60
    assert np.all(tops_of(rows)["b"] >= ETH.step_size)


@pytest.mark.parametrize(
    ("steps", "expected"),
    [(1, [2505]), (2, [2500, 2505]), (3, [2500, 2510, 2505])],
)
def test_a_bar_of_few_steps_keeps_its_volume_and_its_close(steps, expected):
    prints = prints_of(expand(bar(2500, 2510, 2490, 2505, steps * 0.001), 0, SEED, instrument=ETH))
    assert (prints["a"] // 10**8).tolist() == expected
    assert prints["b"].sum() == steps * ETH.step_size


def test_volume_that_is_no_multiple_of_the_step_is_rounded_to_it():
    prints = prints_of(expand(bar(2500, 2510, 2490, 2505, 1.2346), 0, SEED, instrument=ETH))
    assert prints["b"].sum() == 123_500_000


def test_the_taker_hits_the_side_the_price_moved_to():
    prints = prints_of(expand(bar(2500, 2510, 2490, 2505, 50), 0, SEED, instrument=ETH))
    sold = (prints["flags"] & Flag.SELLER_TAKER) != 0
    step = np.diff(prints["a"])
    assert np.all(sold[1:][step < 0]) and not np.any(sold[1:][step > 0])


def test_a_top_stands_around_the_last_print_with_the_stated_spread():
    bars = synthetic_bars(5, ["ETHUSDT"], START, 200)["ETHUSDT"]
    rows = expand(bars, 0, SEED, instrument=ETH, bridge=Bridge(spread=20_000))
    last = 0
    for row in rows:
        if row["kind"] == Kind.TRADE:
            last = int(row["a"])
            continue
        assert row["a"] <= last <= row["c"] and row["a"] < row["c"]
        ticks = max(1, round(last * 20_000 / 1e8 / ETH.tick_size))
        assert abs(int(row["c"] - row["a"]) - ticks * ETH.tick_size) <= ETH.tick_size


def test_the_narrowest_spread_is_one_tick():
    rows = expand(bar(2500, 2510, 2490, 2505, 50), 0, SEED, instrument=ETH, bridge=Bridge(spread=0))
    tops = tops_of(rows)
    assert np.all(tops["c"] - tops["a"] == ETH.tick_size)


def test_an_odd_price_off_the_grid_is_touched_exactly_and_enclosed_by_the_top():
    rows = expand(bar(2500.003, 2500.003, 2499.99, 2500.003, 5), 0, SEED, instrument=ETH)
    assert prints_of(rows)["a"][0] == 250_000_300_000
    tops, prices = tops_of(rows), prints_of(rows)["a"]
    assert np.all(tops["a"] % ETH.tick_size == 0)
    assert tops["a"][-1] <= prices[-1] <= tops["c"][-1]


def test_more_tops_do_not_change_the_prints():
    one = bar(2500, 2510, 2490, 2505, 50)
    few = expand(one, 0, SEED, instrument=ETH, bridge=Bridge(60, 0))
    many = expand(one, 0, SEED, instrument=ETH, bridge=Bridge(60, 50))
    assert prints_of(many).tobytes() == few.tobytes()


def test_a_rate_above_the_limit_is_refused():
    with pytest.raises(ValueError, match="lower the rate"):
        expand(bar(1, 1, 1, 1, 1), 0, SEED, instrument=ETH, bridge=Bridge(prints_per_minute=10**6))


def test_the_path_of_a_bar_is_open_low_high_close_when_it_rose_else_open_high_low_close():
    bars = np.concatenate(
        [
            bar(10, 13, 9, 12, 1.00000003),
            bar(12, 13, 8, 9, 2, START + MINUTE_NS),
            bar(9, 9, 9, 9, 0, START + 120 * 10**9),
        ]
    )
    rows = path_rows(bars, 2)
    assert (rows["a"] // 10**8).tolist() == [10, 9, 13, 12, 12, 13, 8, 9]
    offsets = (rows["venue_ns"][:4] - START).tolist()
    assert offsets == [0, 15_000_000_000, 30_000_000_000, 59_999_000_000]
    assert rows["b"][:4].sum() == 100_000_003 and rows["b"][4:].sum() == 200_000_000
    assert np.all(rows["flags"] & Flag.DERIVED) and np.all(rows["symbol"] == 2)


def test_no_level_between_a_close_and_the_next_open_was_traded_so_the_open_is_no_point_of_the_path():
    bars = np.concatenate([bar(10, 13, 9, 12, 1), bar(14, 15, 13, 14, 1, START + MINUTE_NS)])
    on_path = path_rows(bars, 0)["flags"] & int(Flag.PATH) != 0
    assert on_path.tolist() == [False, True, True, True] * 2


def test_tops_around_recorded_trades_enclose_the_last_one_and_begin_after_the_first():
    trades = np.zeros(3, ROW)
    trades["kind"], trades["b"] = Kind.TRADE, 10**8
    trades["venue_ns"] = START + np.array([30, 50, 130]) * 10**9
    trades["a"] = np.array([2500, 2600, 2400]) * 10**8
    tops = tops_around(trades, 1, SEED, from_ns=START, to_ns=START + 3 * MINUTE_NS, instrument=ETH)
    assert 140 <= len(tops) <= 152
    assert tops["venue_ns"][0] >= trades["venue_ns"][0] and np.all(np.diff(tops["venue_ns"]) > 0)
    last = trades["a"][np.searchsorted(trades["venue_ns"], tops["venue_ns"], "right") - 1]
    assert np.all((tops["a"] <= last) & (last <= tops["c"]))
    assert np.all(tops["flags"] & Flag.DERIVED)
