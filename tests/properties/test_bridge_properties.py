"""What must hold for every bar, seed and rate."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from flowguardian.feeds.recorded import BarMarket
from flowguardian.market.bridge import Bridge, expand
from flowguardian.market.instruments import INSTRUMENTS, Instrument
from flowguardian.market.records import BAR, MINUTE_NS, Flag, Kind
from flowguardian.market.seeds import stream_seed
from flowguardian.market.synthetic import synthetic_bars

START = 1_735_689_600_000_000_000
TICKS = st.integers(1, 10**6)


@st.composite
def bars_strategy(draw, most=4):
    tick, step = (
        draw(st.sampled_from([1, 10, 1_000_000, 10_000_000])),
        draw(st.sampled_from([1_000, 10**5, 10**8])),
    )
    bars = np.zeros(draw(st.integers(1, most)), BAR)
    for i in range(len(bars)):
        low = draw(TICKS)
        high = low + draw(st.one_of(st.integers(0, 5), st.integers(0, 10**5)))
        bars[i]["open_ns"] = START + i * MINUTE_NS
        bars[i]["low"], bars[i]["high"] = low * tick, high * tick
        bars[i]["open"], bars[i]["close"] = (draw(st.integers(low, high)) * tick for _ in range(2))
        bars[i]["volume"] = draw(st.one_of(st.integers(0, 200), st.integers(0, 10**7))) * step / 1e8
    return bars, Instrument("X", tick, step, step, 10**18, 10**8)


RATES = st.sampled_from([0, 1, 7, 60, 61, 600])


@settings(max_examples=150, deadline=None, derandomize=True)
@given(made=bars_strategy(), seed=st.integers(0, 2**64 - 1), prints=RATES, tops=RATES)
def test_the_bridge_touches_the_bar_keeps_its_volume_and_stays_inside(made, seed, prints, tops):
    bars, item = made
    bridge = Bridge(prints, tops, spread=50_000)
    rows = expand(bars, 0, np.uint64(seed), instrument=item, bridge=bridge)
    assert np.array_equal(np.lexsort((rows["kind"], rows["venue_ns"])), np.arange(len(rows)))
    for bar in bars:
        inside = rows[(rows["venue_ns"] >= bar["open_ns"]) & (rows["venue_ns"] < bar["open_ns"] + MINUTE_NS)]
        trades, quotes = inside[inside["kind"] == Kind.TRADE], inside[inside["kind"] == Kind.TOP]
        steps = int(np.rint(bar["volume"] * 1e8) + item.step_size // 2) // item.step_size
        assert len(trades) == min(max(4, prints), steps) and len(quotes) == tops
        assert trades["b"].sum() == steps * item.step_size
        for part in (trades, quotes):
            assert np.all(np.diff(part["venue_ns"]) > 0) and np.all(part["b"] >= item.step_size)
            assert np.all(part["b"] % item.step_size == 0)
        assert np.all(quotes["d"] >= item.step_size) and np.all(quotes["a"] < quotes["c"])
        assert np.all(quotes["a"] > 0) and np.all(quotes["a"] % item.tick_size == 0)
        assert np.all(trades["a"] % item.tick_size == 0)
        assert np.all((trades["a"] >= bar["low"]) & (trades["a"] <= bar["high"]))
        if len(trades):
            assert trades["a"][-1] == bar["close"]
            last = np.searchsorted(trades["venue_ns"], quotes["venue_ns"], "right") - 1
            assert np.all(last >= 0)
            price = trades["a"][last]
            assert np.all((quotes["a"] <= price) & (price <= quotes["c"]))
        if len(trades) >= 4:
            assert trades["a"][0] == bar["open"]
            assert trades["a"].max() == bar["high"] and trades["a"].min() == bar["low"]


@settings(max_examples=50, deadline=None, derandomize=True)
@given(made=bars_strategy(most=6), seed=st.integers(0, 2**64 - 1), cut=st.integers(0, 6))
def test_a_bar_expands_the_same_with_and_without_those_before_it(made, seed, cut):
    bars, item = made
    whole = expand(bars, 0, np.uint64(seed), instrument=item)
    parts = [expand(part, 0, np.uint64(seed), instrument=item) for part in (bars[:cut], bars[cut:])]
    assert np.concatenate(parts).tobytes() == whole.tobytes()


SYMBOLS = ["BTCUSDT", "ADAUSDT", "SOLUSDT"]
MINUTES = 40


def make_market(seed, clock_ns, start_ns, path):
    bars = synthetic_bars(seed, SYMBOLS, START - 20 * MINUTE_NS, MINUTES + 20)
    return BarMarket(
        bars,
        [INSTRUMENTS[symbol] for symbol in SYMBOLS],
        start_ns=start_ns,
        end_ns=START + MINUTES * MINUTE_NS,
        seed=seed,
        bridge=Bridge(20, 30, path=path),
        clock_interval_ns=clock_ns,
        synthetic_funding=True,
    )


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 1000),
    clock_ns=st.sampled_from([10**9, 60 * 10**9, 7 * 10**8]),
    late_ns=st.integers(0, 3 * MINUTE_NS),
    path=st.booleans(),
    cuts=st.lists(st.integers(-MINUTE_NS, (MINUTES + 2) * MINUTE_NS), max_size=12),
)
def test_any_slicing_of_time_gives_the_same_rows_in_the_one_order(seed, clock_ns, late_ns, path, cuts):
    first, last = START - MINUTE_NS, START + (MINUTES + 2) * MINUTE_NS
    whole = make_market(seed, clock_ns, START + late_ns, path).rows(first, last)
    sliced = make_market(seed, clock_ns, START + late_ns, path)
    edges = [first, *sorted(START + cut for cut in cuts), last]
    parts = [sliced.rows(low, high) for low, high in zip(edges, edges[1:], strict=False)]
    assert np.concatenate(parts).tobytes() == whole.tobytes()
    kind = np.where(whole["kind"] == Kind.CLOCK, 0, whole["kind"])
    keys = (whole["id"], whole["symbol"], kind, whole["venue_ns"])
    assert np.array_equal(np.lexsort(keys), np.arange(len(whole)))
    market_rows = whole[whole["kind"] != Kind.CLOCK]
    assert np.all(market_rows["venue_ns"] >= START + late_ns)
    assert len(market_rows) and np.all(market_rows["flags"] & Flag.DERIVED)


def test_the_seed_of_a_symbol_depends_on_the_seed_and_on_the_name():
    seeds = {int(stream_seed(seed, name)) for seed in range(50) for name in INSTRUMENTS}
    assert len(seeds) == 50 * len(INSTRUMENTS)
