"""The synthetic market."""

import hashlib

import numpy as np
import pytest

from flowguardian.market.instruments import UnknownInstrument, instrument_for
from flowguardian.market.records import MINUTE_NS
from flowguardian.market.synthetic import synthetic_bars

SYMBOLS = ["BTCUSDT", "ETHUSDT", "SOLUSDT", "BNBUSDT", "XRPUSDT", "LTCUSDT", "ADAUSDT"]
START = 1_735_689_600_000_000_000
DAYS = 3


@pytest.fixture(scope="module")
def market():
    return synthetic_bars(7, SYMBOLS, START, DAYS * 1440)


def _returns(bars):
    close = bars["close"].astype(float)
    return np.diff(np.log(close))


def test_the_same_seed_gives_the_same_bytes_on_every_machine(market):
    digest = hashlib.sha256()
    for symbol in SYMBOLS:
        for name in ("open_ns", "open", "high", "low", "close", "volume"):
            digest.update(np.ascontiguousarray(market[symbol][name]).tobytes())
    assert digest.hexdigest() == "b1f29647f60c046f60586fe78fd346f4d15408b007630bfbdb7405a1bbcbc040"


def test_another_seed_is_another_market(market):
    other = synthetic_bars(8, ["BTCUSDT"], START, 100)["BTCUSDT"]
    assert not np.array_equal(other["close"], market["BTCUSDT"]["close"][:100])


def test_a_symbol_does_not_depend_on_its_company(market):
    alone = synthetic_bars(7, ["XRPUSDT"], START, DAYS * 1440)["XRPUSDT"]
    assert alone.tobytes() == market["XRPUSDT"].tobytes()


def test_bars_are_whole_on_the_grid_and_one_minute_apart(market):
    for symbol, bars in market.items():
        item = instrument_for(symbol)
        assert np.all(np.diff(bars["open_ns"]) == MINUTE_NS) and bars["open_ns"][0] == START
        for name in ("open", "high", "low", "close"):
            assert np.all(bars[name] % item.tick_size == 0) and np.all(bars[name] > 0)
            assert np.all(bars[name] <= bars["high"]) and np.all(bars[name] >= bars["low"])
        units = np.rint(bars["volume"] * 1e8).astype(np.int64)
        assert np.all(units % item.step_size == 0) and np.all(units >= item.step_size)


@pytest.mark.parametrize("seed", range(1, 7))
def test_moves_and_volumes_are_plausible(seed):
    for symbol, bars in synthetic_bars(seed, SYMBOLS, START, DAYS * 1440).items():
        moves = np.abs(_returns(bars)) * 1e4
        low, high = (2.5, 6) if symbol in ("BTCUSDT", "BNBUSDT") else (4, 9)
        assert low < moves.mean() < high, (seed, symbol, moves.mean())
        span = ((bars["high"] - bars["low"]) / bars["close"]).mean() * 100
        assert 0.05 < span < 0.2, (seed, symbol, span)
        volume = bars["volume"]
        mean = np.convolve(volume, np.ones(30) / 30, "valid")
        busy = (volume[29:] > 1.5 * mean).mean()
        assert 0.09 < busy < 0.17, (seed, symbol, busy)
        assert np.corrcoef(moves, volume[1:])[0, 1] > 0.4


def test_symbols_move_together_but_not_as_one(market):
    table = np.corrcoef([_returns(bars) for bars in market.values()])
    pairs = table[np.triu_indices(len(SYMBOLS), 1)]
    assert pairs.min() > 0.3 and pairs.max() < 0.9


def test_nights_are_quieter_than_afternoons(market):
    hours = market["ETHUSDT"]["open_ns"][1:] // (60 * MINUTE_NS) % 24
    moves = np.abs(_returns(market["ETHUSDT"]))
    assert moves[(hours >= 3) & (hours < 7)].mean() < 0.8 * moves[(hours >= 13) & (hours < 17)].mean()


@pytest.mark.parametrize("seed", range(5))
def test_one_flash_move_shakes_every_symbol_in_the_same_minutes(seed):
    bars = synthetic_bars(seed, SYMBOLS, START, 720)
    three = [np.abs(np.log(b["close"][3:] / b["close"][:-3])) for b in bars.values()]
    worst = [int(np.argmax(move)) for move in three]
    assert np.median([move.max() for move in three]) > 0.01
    assert max(worst) - min(worst) <= 6, worst


def test_the_flash_move_never_hides_in_the_history():
    for seed in range(20):
        later = synthetic_bars(seed, ["ETHUSDT"], START, 700, history_minutes=600)["ETHUSDT"]["close"]
        calm = np.abs(np.diff(np.log(later[:600]))).max()
        flash = np.abs(np.log(later[603:] / later[600:-3])).max()
        assert flash > 0.01 and flash > calm, seed


def test_prices_stay_near_their_start_for_weeks():
    bars = synthetic_bars(3, ["ADAUSDT"], START, 30 * 1440)["ADAUSDT"]
    assert bars["close"].min() / 7e7 > 0.3 and bars["close"].max() / 7e7 < 3


def test_a_symbol_without_a_character_of_its_own_has_a_market_too():
    bars = synthetic_bars(1, ["1000PEPEUSDT", "VETUSDT"], START, 500)
    assert all(len(np.unique(part["close"])) > 50 for part in bars.values())


def test_a_start_within_a_minute_and_an_unknown_symbol_are_refused():
    with pytest.raises(ValueError, match="whole minute"):
        synthetic_bars(1, ["BTCUSDT"], START + 1, 10)
    with pytest.raises(UnknownInstrument):
        synthetic_bars(1, ["NOSUCHUSDT"], START, 10)
