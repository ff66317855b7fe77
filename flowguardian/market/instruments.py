"""What a contract can be traded in: tick, step, smallest and largest order.

Rule: every number is an integer in units of 1e-8, and an unknown symbol is an error, never a default.
`to_units` is the only door from float prices and volumes into those integers.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from decimal import Decimal

import msgspec
import numpy as np
import numpy.typing as npt

from flowguardian.market.records import UNITS

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

_LARGEST_FLOAT = 9.2e18
"""Floats above this do not fit in int64 after scaling."""
_ODD_PRICES_PER = 1_000
"""One price in this many may be off the grid (odd prints happen on the exchange) without refining it."""


class UnknownInstrument(Exception):
    """A symbol has no entry in the table of instruments."""


class Instrument(msgspec.Struct, frozen=True):
    """The filters of one contract; `max_qty` is the smaller of the limit and market maximum."""

    symbol: str
    tick_size: int
    step_size: int
    min_qty: int
    max_qty: int
    min_notional: int


def _units(text: str) -> int:
    return int(Decimal(text) * UNITS)


# symbol, tick, step (which is also the smallest order), largest order, smallest notional.
# Exchange filters of 2025-08; rows of the last block were not in that capture: tick and step are
# the grid of recorded 2025 data, the maximum is the exchange's market-order limit or near to it.
_FILTERS = """
BTCUSDT      0.1       0.001  120       100
ETHUSDT      0.01      0.001  2000      20
BCHUSDT      0.01      0.001  850       20
XRPUSDT      0.0001    0.1    2000000   5
LTCUSDT      0.01      0.001  5000      20
TRXUSDT      0.00001   1      5000000   5
ETCUSDT      0.001     0.01   10000     20
LINKUSDT     0.001     0.01   20000     20
XLMUSDT      0.00001   1      1000000   5
ADAUSDT      0.0001    1      1300000   5
XMRUSDT      0.01      0.001  1200      5
DASHUSDT     0.01      0.001  3000      5
ZECUSDT      0.01      0.001  2000      5
XTZUSDT      0.001     0.1    100000    5
BNBUSDT      0.01      0.01   2000      5
ATOMUSDT     0.001     0.01   20000     5
ONTUSDT      0.0001    0.1    450000    5
IOTAUSDT     0.0001    0.1    400000    5
BATUSDT      0.0001    0.1    600000    5
VETUSDT      0.000001  1      2500000   5
NEOUSDT      0.001     0.01   10000     5
QTUMUSDT     0.001     0.1    50000     5
IOSTUSDT     0.000001  1      16000000  5
THETAUSDT    0.0001    0.1    100000    5
ALGOUSDT     0.0001    0.1    1000000   5

SOLUSDT      0.01      0.01   20000     5
DOGEUSDT     0.00001   1      5000000   5
AVAXUSDT     0.001     1      25000     5
DOTUSDT      0.001     0.1    100000    5
SUIUSDT      0.0001    0.1    300000    5
ENAUSDT      0.0001    1      2000000   5
LAYERUSDT    0.0001    0.1    200000    5
1000PEPEUSDT 0.0000001 1      90000000  5
"""


def _table(text: str) -> dict[str, Instrument]:
    found: dict[str, Instrument] = {}
    for line in text.split("\n"):
        if not line.strip():
            continue
        symbol, tick, step, largest, notional = line.split()
        found[symbol] = Instrument(
            symbol=symbol,
            tick_size=_units(tick),
            step_size=_units(step),
            min_qty=_units(step),
            max_qty=_units(largest),
            min_notional=_units(notional),
        )
    return found


INSTRUMENTS: Mapping[str, Instrument] = _table(_FILTERS)
"""The built-in table; live trading reads the exchange's own."""


def instrument_for(symbol: str, table: Mapping[str, Instrument] = INSTRUMENTS) -> Instrument:
    """The instrument of a symbol; raises UnknownInstrument that names the nearest known one."""
    found = table.get(symbol)
    if found is not None:
        return found
    near = difflib.get_close_matches(symbol.upper(), list(table), n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}?" if near else "known: " + ", ".join(sorted(table)) + "."
    raise UnknownInstrument(f"no instrument is known for {symbol!r}; {hint} Correct the universe.")


def to_units(values: Floats) -> Ints:
    """Float prices or quantities as integer units of 1e-8, rounded to the nearest.

    Raises ValueError for NaN, infinities and values that do not fit in 64 bits.
    """
    scaled = np.rint(values * float(UNITS))
    fits = np.abs(scaled) <= _LARGEST_FLOAT  # false for NaN as well
    if not np.all(fits):
        first = int(np.argmin(fits))
        raise ValueError(f"value {values[first]!r} at index {first} does not fit in 64 bits of 1e-8 units")
    return scaled.astype(np.int64)


def fit_to_grid(instrument: Instrument, prices: Ints) -> Instrument:
    """The instrument with a tick fine enough for recorded prices of another year.

    Exchanges change ticks; old data then lies on a finer grid. A few odd prices do not refine it.
    """
    tick = instrument.tick_size
    allowed = len(prices) // _ODD_PRICES_PER
    while tick > 1 and np.count_nonzero(prices % tick) > allowed:
        tick = tick // 10 if tick % 10 == 0 else 1
    return instrument if tick == instrument.tick_size else msgspec.structs.replace(instrument, tick_size=tick)
