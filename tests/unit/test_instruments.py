"""The filters of symbols."""

import json
import os
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from flowguardian.market.instruments import (
    INSTRUMENTS,
    UnknownInstrument,
    fit_to_grid,
    instrument_for,
    to_units,
)
from flowguardian.market.records import UNITS

DATA = Path(
    os.environ.get("FLOWGUARDIAN_DATA", Path(__file__).resolve().parents[2].parent / "shared" / "data")
)


def test_the_built_in_table_equals_the_recorded_exchange_filters():
    path = DATA / "fixtures" / "gocryptotrader_http_mock" / "binance_usdm_fapi.json"
    if not path.is_file():
        pytest.skip(f"recorded exchange filters are not at {path}")
    found = list(_symbols(json.loads(path.read_text(encoding="utf-8"))))
    assert len(found) >= 25
    for row in found:
        filters = {f["filterType"]: f for f in row["filters"]}
        ours = INSTRUMENTS[row["symbol"]]
        units = lambda text: int(Decimal(text) * UNITS)  # noqa: E731
        assert ours.tick_size == units(filters["PRICE_FILTER"]["tickSize"]), row["symbol"]
        assert ours.step_size == units(filters["LOT_SIZE"]["stepSize"]), row["symbol"]
        assert ours.min_qty == units(filters["LOT_SIZE"]["minQty"]), row["symbol"]
        assert ours.min_notional == units(filters["MIN_NOTIONAL"]["notional"]), row["symbol"]
        largest = min(units(filters[name]["maxQty"]) for name in ("LOT_SIZE", "MARKET_LOT_SIZE"))
        assert ours.max_qty == largest, row["symbol"]


def _symbols(node):
    if isinstance(node, dict):
        if "filters" in node and "symbol" in node:
            yield node
        for value in node.values():
            yield from _symbols(value)
    elif isinstance(node, list):
        for value in node:
            yield from _symbols(value)


def test_an_unknown_symbol_names_the_nearest_known_one():
    with pytest.raises(UnknownInstrument, match="'BTCUSD'.*did you mean BTCUSDT"):
        instrument_for("BTCUSD")
    with pytest.raises(UnknownInstrument, match="known: "):
        instrument_for("§")


def test_every_instrument_can_be_ordered():
    for symbol, item in INSTRUMENTS.items():
        assert item.symbol == symbol
        assert item.tick_size > 0 and 0 < item.step_size <= item.min_qty < item.max_qty
        assert item.min_qty % item.step_size == 0 and item.min_notional > 0


def test_floats_become_the_nearest_units():
    values = np.array([0.1, 104790.1, 0.00000001, 2.2502, 59_838_828_081.0])
    assert to_units(values).tolist()[:4] == [10_000_000, 10_479_010_000_000, 1, 225_020_000]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 9.3e10])
def test_a_float_that_does_not_fit_is_refused_with_its_place(bad):
    with pytest.raises(ValueError, match="index 1 does not fit"):
        to_units(np.array([1.0, bad, 2.0]))


def test_prices_of_another_year_refine_the_tick_and_odd_prints_do_not():
    btc = INSTRUMENTS["BTCUSDT"]
    grid = np.arange(10_000, 20_000, dtype=np.int64) * btc.tick_size
    assert fit_to_grid(btc, grid) is btc
    odd = grid.copy()
    odd[5] += 1_000_000
    assert fit_to_grid(btc, odd) is btc
    assert fit_to_grid(btc, grid + 3_000_000).tick_size == 1_000_000
