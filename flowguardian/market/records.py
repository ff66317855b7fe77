"""The shapes of market data: one 64-byte record for everything on the tape, one for closed bars.

Rule: these layouts are on disk and in kernels; changing a field is a format change (`FORMAT`).
Prices and quantities are int64 in units of 1e-8, times int64 UTC nanoseconds, bar volume float64.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag

import numpy as np

FORMAT = 1
UNITS = 100_000_000
"""Integer units in one whole (price, quantity, money)."""

SECOND_NS = 1_000_000_000
MINUTE_NS = 60 * SECOND_NS


class Kind(IntEnum):
    """What a tape record holds; the comment names the meaning of `a b c d id`."""

    TRADE = 1  # price, quantity, 0, 0, trade id
    TOP = 2  # bid, bid quantity, ask, ask quantity, update id
    MARK = 3  # mark price, index price, funding rate (1e-8), next funding ns, 0
    HISTORY = 4  # open, high, low, close, float64 bits of the volume; venue_ns = open of the bar
    CLOCK = 5  # nothing: time passed (symbol = NO_SYMBOL)


class Flag(IntFlag):
    """What is special about a record."""

    NONE = 0
    BACKFILLED = 1  # arrived late over REST: builds bars, never triggers an engine-side exit
    FUNDING = 2  # a MARK record that settles funding at its stamp
    PATH = 4  # a point on the path of a bar: a level between two points was traded at
    DERIVED = 8  # made from a bar by the bridge, not recorded
    SELLER_TAKER = 16  # the taker sold


NO_SYMBOL = 0xFFFF

ROW = np.dtype(
    [
        ("kind", "u1"),
        ("flags", "u1"),
        ("symbol", "u2"),  # index into the run's symbols, config order
        ("aux", "u4"),  # HISTORY: number of trades
        ("ts_ns", "i8"),  # run-clock stamp, unique and strictly increasing on a tape; 0 = not yet released
        ("venue_ns", "i8"),  # the venue's time
        ("a", "i8"),
        ("b", "i8"),
        ("c", "i8"),
        ("d", "i8"),
        ("id", "i8"),
    ]
)
assert ROW.itemsize == 64  # noqa: S101 - the layout on disk

BAR = np.dtype(
    [
        ("open_ns", "i8"),  # start of the interval, venue time
        ("close_ts", "i8"),  # run-clock stamp of the record that closed it
        ("open", "i8"),
        ("high", "i8"),
        ("low", "i8"),
        ("close", "i8"),
        ("volume", "f8"),  # base units
        ("trades", "i8"),
        ("gap", "u1"),  # 1: nothing traded in this interval, filled flat from the last close
        ("live", "u1"),  # 0: history, warms kernels and never signals
        ("_pad", "u1", (6,)),
    ]
)

SIGNAL = np.dtype(
    [
        ("close_ts", "i8"),  # stamp of the bar close that raised it
        ("bar_ns", "i8"),  # open of that bar
        ("side", "i8"),  # +1 long, -1 short
        ("pattern", "i8"),  # strategy-defined code, named by its PATTERNS
        ("stop", "f8"),  # distance of the stop from the entry, in price (whole units)
        ("target1", "f8"),  # distance of the first target, 0 = none
        ("target2", "f8"),  # distance of the second target, 0 = none
        ("trail", "f8"),  # trailing distance, 0 = none
        ("atr", "f8"),
        ("volume", "f8"),
        ("volume_mean", "f8"),
        ("move", "f8"),  # close / open - 1 of the signalling bar
        ("bars_seen", "i8"),  # bars since the kernel state was (re)started
    ]
)
