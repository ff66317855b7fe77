"""Funding of perpetuals: when it settles and at which rate.

Rule: rates are integers in units of 1e-8; a seeded rate is a function of (seed, time).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

from flowguardian.market.records import MINUTE_NS
from flowguardian.market.seeds import below, draw, key_of

Rows = npt.NDArray[np.void]
Ints = npt.NDArray[np.int64]

FUNDING = np.dtype([("time_ns", "i8"), ("rate", "i8")])
FUNDING_INTERVAL_NS = 8 * 60 * MINUTE_NS
_COUNTER = 1 << 50  # away from the counters of the bridge, which draws from the same seeds


@njit(cache=True, nogil=True)
def _rates(seed: np.uint64, times: Ints, out: Ints) -> None:
    for i in range(len(times)):
        out[i] = below(draw(key_of(seed, times[i]), _COUNTER), 40_001) - 10_000


def seeded_funding(seed: np.uint64, start_ns: int, end_ns: int) -> Rows:
    """FUNDING records at every 8 hours UTC in [start, end): rates from -0.01 % to 0.03 %."""
    first = -(-start_ns // FUNDING_INTERVAL_NS) * FUNDING_INTERVAL_NS
    times = np.arange(first, end_ns, FUNDING_INTERVAL_NS, dtype=np.int64)
    rates = np.zeros(len(times), np.int64)
    _rates(seed, times, rates)
    table = np.zeros(len(times), FUNDING)
    table["time_ns"], table["rate"] = times, rates
    return table
