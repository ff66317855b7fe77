"""Bars become trades: a seeded path of prints through open, high, low, close, and tops around it.

Rule: what a bar expands to is a function of (seed, bar open, bar, settings) alone, in integers, so any
bar can be expanded without those before it. Pass a seed of the symbol's own (`seeds.stream_seed`).

Prints. The bar is cut into as many equal slots as there are prints and each print falls into its slot.
The first is the open, the last the close; high and low are touched in between in a seeded order (a bar
that rose visits its low first three times out of four). Between these points the price walks at random
towards the next one, on the tick grid and inside [low, high]. Quantities sum to the bar's volume
rounded to the step, each at least one step; a bar with fewer steps than prints gets fewer prints (with
fewer than four it cannot touch every point: the close comes first, then the open, then the high), and
a bar without volume gets none.

Tops. Each falls into its own slot of the bar. The spread is `spread` (a ratio in 1e-8) of the last print,
rounded to ticks, at least one tick; it is centred on that print, an odd tick going to the side the taker
hit, so the print lies within [bid, ask]. Each size is a seeded share, between a sixteenth of `top_share`
and all of it, of the bar's volume, at least one step.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from flowguardian.market.instruments import Instrument, to_units
from flowguardian.market.records import MINUTE_NS, ROW, UNITS, Flag, Kind
from flowguardian.market.seeds import below, draw, key_of

Rows = npt.NDArray[np.void]
Ints = npt.NDArray[np.int64]

DEFAULT_SPREAD = 10_000
"""1 bps of the price, as a ratio in 1e-8."""
DEFAULT_TOP_SHARE = 25_000_000
"""A quarter of the bar's volume, as a ratio in 1e-8."""

_TRADE, _TOP = int(Kind.TRADE), int(Kind.TOP)
_DERIVED, _SELLER = int(Flag.DERIVED), int(Flag.SELLER_TAKER)
_PATH_DERIVED = int(Flag.PATH | Flag.DERIVED)
_MILLISECOND_NS = 1_000_000
# Each purpose draws from its own range of counters, so more prints never change the tops.
_PLAN, _PRICE, _QTY, _TIME, _SIDE, _TOP_TIME, _BID, _ASK = (k << 40 for k in range(8))
_WEIGHT = 64
_MOST_PRINTS = 500_000  # per bar; keeps the split of the volume inside 64 bits


class Bridge(NamedTuple):
    """What the config says of derived rows. `path`: four trades per bar and no tops (`path_rows`)."""

    prints_per_minute: int = 60
    tops_per_minute: int = 60
    spread: int = DEFAULT_SPREAD
    top_share: int = DEFAULT_TOP_SHARE
    path: bool = False


DEFAULT_BRIDGE = Bridge()


class Shape(NamedTuple):
    """How bars of one symbol are expanded; the kernels take it whole."""

    symbol: int
    seed: np.uint64
    interval_ns: int
    prints: int  # per bar
    tops: int  # per bar
    tick: int
    step: int
    spread: int
    top_share: int


def _shape(
    symbol: int,
    seed: np.uint64,
    interval_ns: int,
    prints: int,
    tops: int,
    instrument: Instrument,
    bridge: Bridge,
) -> Shape:
    return Shape(
        symbol,
        np.uint64(seed),
        interval_ns,
        prints,
        tops,
        instrument.tick_size,
        instrument.step_size,
        bridge.spread,
        bridge.top_share,
    )


@njit(cache=True, nogil=True)
def _times(key: np.uint64, salt: int, interval_ns: int, first_room: int, out: Ints) -> None:
    """Strictly increasing offsets into the bar, one per equal slot, whole milliseconds where they fit.

    `first_room` > 0 keeps the first offset below that many grains, < 0 at or after that many.
    """
    n = len(out)
    grain = _MILLISECOND_NS
    if interval_ns % grain != 0 or interval_ns // grain < n:
        grain = 1
    width = interval_ns // grain
    for i in range(n):
        low, high = i * width // n, (i + 1) * width // n
        if i == 0 and first_room > 0:
            high = min(high, max(1, first_room // grain))
        elif i == 0 and first_room < 0:
            low = min(high - 1, -(first_room // grain))
        out[i] = (low + below(draw(key, salt + i), high - low)) * grain


@njit(cache=True, nogil=True)
def _walk(key: np.uint64, start: int, stop: int, bar: Ints, tick: int, prices: Ints) -> None:
    """Fills the prices strictly between two set points with a random walk that ends at the second."""
    low, high = bar[2], bar[1]
    grid_low, grid_high = -(-low // tick) * tick, high // tick * tick
    reach = (high - low) // (8 * tick) + 1
    price = prices[start]
    for i in range(start + 1, stop):
        noise = below(draw(key, _PRICE + i), 2 * reach + 1) - reach
        price += (prices[stop] - price) // (stop - i + 1) + noise * tick
        price = (price + tick // 2) // tick * tick
        price = min(max(price, grid_low), grid_high)
        prices[i] = price if low <= price <= high else prices[start]


@njit(cache=True, nogil=True)
def _prices(key: np.uint64, bar: Ints, tick: int, prices: Ints) -> None:
    """The prices of one bar's prints; bar = open, high, low, close."""
    n = len(prices)
    prices[n - 1] = bar[3]
    if n == 1:
        return
    prices[0] = bar[0]
    if n == 2:
        return
    if n == 3:
        prices[1] = bar[1]
        return
    low_first = (bar[3] >= bar[0]) == (below(draw(key, _PLAN), 4) != 0)
    one = 1 + below(draw(key, _PLAN + 1), n - 3)
    two = one + 1 + below(draw(key, _PLAN + 2), n - 2 - one)
    prices[one] = bar[2] if low_first else bar[1]
    prices[two] = bar[1] if low_first else bar[2]
    _walk(key, 0, one, bar, tick, prices)
    _walk(key, one, two, bar, tick, prices)
    _walk(key, two, n - 1, bar, tick, prices)


@njit(cache=True, nogil=True)
def _quantities(key: np.uint64, steps: int, step: int, out: Ints) -> None:
    """Splits `steps` steps over the prints: one each, the rest by skewed weights, the sum exact."""
    n = len(out)
    total = 0
    for i in range(n):
        word = draw(key, _QTY + i)
        total += (1 + below(word, _WEIGHT)) * (1 + below(word >> np.uint64(20), _WEIGHT))
        out[i] = total
    rest, given = steps - n, 0
    whole, part = rest // total, rest % total
    for i in range(n):
        upto = whole * out[i] + part * out[i] // total
        out[i] = (1 + upto - given) * step
        given = upto


@njit(cache=True, nogil=True)
def _share(amount: int, ratio: int) -> int:
    """amount × ratio / 1e8 without leaving 64 bits."""
    return amount // UNITS * ratio + amount % UNITS * ratio // UNITS


@njit(cache=True, nogil=True)
def _put(out: Rows, k: int, kind: int, flags: int, symbol: int, venue_ns: int, number: int) -> None:
    out[k].kind = kind
    out[k].flags = flags
    out[k].symbol = symbol
    out[k].venue_ns = venue_ns
    out[k].id = number


@njit(cache=True, nogil=True)
def _put_top(
    out: Rows, k: int, key: np.uint64, j: int, price: int, seller: bool, steps: int, shape: Shape
) -> None:
    """Bid and ask around the last print, and their sizes, into out[k]."""
    tick = shape.tick
    ticks = max(1, (_share(price, shape.spread) + tick // 2) // tick)
    base = price // tick * tick
    if base != price:
        under = (ticks - 1) // 2
    elif seller:
        under = ticks // 2
    else:
        under = ticks - ticks // 2
    bid = max(tick, base - under * tick)
    most = max(1, _share(steps, shape.top_share))
    least = max(1, most // 16)
    out[k].a = bid
    out[k].b = (least + below(draw(key, _BID + j), most - least + 1)) * shape.step
    out[k].c = bid + ticks * tick
    out[k].d = (least + below(draw(key, _ASK + j), most - least + 1)) * shape.step


@njit(cache=True, nogil=True)
def _plan_bar(bar: Ints, key: np.uint64, steps: int, shape: Shape, plan: Ints, top_times: Ints) -> int:
    """Prices, quantities and times of one bar's prints (rows of `plan`) and the times of its tops."""
    n = min(shape.prints, steps)
    # The first print comes before the first top, so that no top stands around an older bar's price.
    half = shape.interval_ns // max(shape.prints, shape.tops) // 2
    room = half if half >= _MILLISECOND_NS else 1
    if n > 0:
        _prices(key, bar, shape.tick, plan[0, :n])
        _quantities(key, steps, shape.step, plan[1, :n])
        _times(key, _TIME, shape.interval_ns, room, plan[2, :n])
    _times(key, _TOP_TIME, shape.interval_ns, -room, top_times)
    return n


@njit(cache=True, nogil=True)
def _expand(bars: Rows, volume: Ints, shape: Shape, out: Rows) -> int:
    plan, top_times = np.empty((3, shape.prints), np.int64), np.empty(shape.tops, np.int64)
    bar = np.empty(4, np.int64)
    k = 0
    for b in range(len(bars)):
        open_ns = bars[b].open_ns
        number = open_ns // shape.interval_ns
        bar[0], bar[1], bar[2], bar[3] = bars[b].open, bars[b].high, bars[b].low, bars[b].close
        key = key_of(shape.seed, open_ns)
        steps = (volume[b] + shape.step // 2) // shape.step
        n = _plan_bar(bar, key, steps, shape, plan, top_times)
        last, seller, i = bar[0], below(draw(key, _SIDE), 2) == 1, 0
        for j in range(shape.tops + 1):
            until = top_times[j] if j < shape.tops else shape.interval_ns
            while i < n and plan[2, i] <= until:
                price = plan[0, i]
                seller = price < last if price != last else below(draw(key, _SIDE + i), 2) == 1
                flags = _DERIVED | (_SELLER if seller else 0)
                _put(out, k, _TRADE, flags, shape.symbol, open_ns + plan[2, i], number * shape.prints + i)
                out[k].a, out[k].b = price, plan[1, i]
                last = price
                i += 1
                k += 1
            if j < shape.tops:
                _put(out, k, _TOP, _DERIVED, shape.symbol, open_ns + until, number * shape.tops + j)
                _put_top(out, k, key, j, last, seller, steps, shape)
                k += 1
    return k


def expand(
    bars: Rows,
    symbol_index: int,
    seed: np.uint64,
    *,
    instrument: Instrument,
    bridge: Bridge = DEFAULT_BRIDGE,
    interval_ns: int = MINUTE_NS,
) -> Rows:
    """Prints and tops of the bars (BAR records of one symbol), sorted by (venue_ns, kind).

    A bar gets at least four prints where its volume allows, so that it can touch its four prices.
    """
    prints = max(4, bridge.prints_per_minute * interval_ns // MINUTE_NS)
    tops = bridge.tops_per_minute * interval_ns // MINUTE_NS
    if max(prints, tops) > _MOST_PRINTS:
        raise ValueError(f"{max(prints, tops)} rows per bar and kind; at most {_MOST_PRINTS}, lower the rate")
    shape = _shape(symbol_index, seed, interval_ns, prints, tops, instrument, bridge)
    out = np.zeros(len(bars) * (prints + tops), ROW)
    return out[: _expand(bars, to_units(bars["volume"]), shape, out)]


@njit(cache=True, nogil=True)
def _path(bars: Rows, volume: Ints, symbol: int, interval_ns: int, out: Rows) -> int:
    point, at = np.empty(4, np.int64), np.empty(4, np.int64)
    at[0], at[1], at[2], at[3] = 0, interval_ns // 4, interval_ns // 2, interval_ns - _MILLISECOND_NS
    k = 0
    for b in range(len(bars)):
        open_ns = bars[b].open_ns
        rose = bars[b].close >= bars[b].open
        point[0], point[3] = bars[b].open, bars[b].close
        point[1] = bars[b].low if rose else bars[b].high
        point[2] = bars[b].high if rose else bars[b].low
        quarter = volume[b] // 4
        for i in range(4):
            quantity = quarter if i < 3 else volume[b] - 3 * quarter
            if quantity > 0:
                number = open_ns // interval_ns * 4 + i
                # Nothing was traded between the last close and this open: a level in that gap was jumped.
                flags = _PATH_DERIVED if i > 0 else _DERIVED
                _put(out, k, _TRADE, flags, symbol, open_ns + at[i], number)
                out[k].a, out[k].b = point[i], quantity
                k += 1
    return k


def path_rows(bars: Rows, symbol_index: int, *, interval_ns: int = MINUTE_NS) -> Rows:
    """Each bar as four trades: open, low, high, close of a bar that rose, else open, high, low, close.

    At the open, a quarter, a half and 1 ms before the end of the bar; a quarter of the volume each, the
    last takes the rest; none for a bar without volume. All but the open are flagged PATH: the price went
    there through every level since the point before.
    """
    out = np.zeros(len(bars) * 4, ROW)
    return out[: _path(bars, to_units(bars["volume"]), symbol_index, interval_ns, out)]


@njit(cache=True, nogil=True)
def _tops_around(trades: Rows, from_ns: int, to_ns: int, shape: Shape, out: Rows) -> int:
    times = np.empty(shape.tops, np.int64)
    k, last, ahead = 0, -1, 0
    for minute_ns in range(from_ns, to_ns, shape.interval_ns):
        volume = 0
        while ahead < len(trades) and trades[ahead].venue_ns < minute_ns + shape.interval_ns:
            if trades[ahead].venue_ns >= minute_ns:
                volume += trades[ahead].b
            ahead += 1
        key = key_of(shape.seed, minute_ns)
        _times(key, _TOP_TIME, shape.interval_ns, 0, times)
        for j in range(shape.tops):
            at = minute_ns + times[j]
            while last + 1 < len(trades) and trades[last + 1].venue_ns <= at:
                last += 1
            if last >= 0:
                number = minute_ns // shape.interval_ns * shape.tops + j
                seller = (trades[last].flags & _SELLER) != 0
                _put(out, k, _TOP, _DERIVED, shape.symbol, at, number)
                _put_top(out, k, key, j, trades[last].a, seller, volume // shape.step, shape)
                k += 1
    return k


def tops_around(
    trades: Rows,
    symbol_index: int,
    seed: np.uint64,
    *,
    from_ns: int,
    to_ns: int,
    instrument: Instrument,
    bridge: Bridge = DEFAULT_BRIDGE,
) -> Rows:
    """Derived tops around recorded trades (one symbol, sorted) for the whole minutes in [from_ns, to_ns).

    The same model as for bars, the volume being that of the trades of the minute. `trades` should start
    with the last trade before `from_ns`; no top is made before the first trade.
    """
    tops = bridge.tops_per_minute
    shape = _shape(symbol_index, seed, MINUTE_NS, 0, tops, instrument, bridge)
    minutes = max(0, -(-(to_ns - from_ns) // MINUTE_NS))
    out = np.zeros(minutes * tops, ROW)
    return out[: _tops_around(trades, from_ns, to_ns, shape, out)]
