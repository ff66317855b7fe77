"""A market made from a seed: one-minute bars with regimes, jumps, quiet nights and one flash move.

Rule: integer arithmetic only, so the same seed gives the same bars on every machine; the volume is the
float64 of an exact number of steps. Returns and volatilities are ratios in units of 1e-8.

The model. A regime (calm, trending, volatile) lasts 20 to 120 minutes for the whole market; an hour
of the day makes nights quiet; a heat that large moves raise and minutes cool clusters volatility. Each
minute all symbols share one shock and each adds its own of equal weight; now and then a symbol jumps.
Once, in the middle three fifths of what follows the history, everything falls or rises by several per
cent within three minutes and gives most of it back. Volume grows with the size of the move. A weak pull
keeps prices near their start over weeks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from flowguardian.market.instruments import INSTRUMENTS, Instrument, instrument_for
from flowguardian.market.records import BAR, MINUTE_NS, UNITS
from flowguardian.market.seeds import below, draw, key_of, stream_seed

Rows = npt.NDArray[np.void]
Ints = npt.NDArray[np.int64]

# symbol: start price, traded USDT per minute at rest, volatility of a minute in tenths of a basis point.
CHARACTERS: Mapping[str, tuple[str, int, int]] = {
    "BTCUSDT": ("104000", 6_000_000, 37),
    "ETHUSDT": ("2500", 5_000_000, 55),
    "SOLUSDT": ("160", 1_500_000, 68),
    "BNBUSDT": ("650", 500_000, 41),
    "XRPUSDT": ("2.25", 700_000, 62),
    "LTCUSDT": ("90", 300_000, 66),
    "ADAUSDT": ("0.7", 300_000, 72),
    "DOGEUSDT": ("0.185", 600_000, 76),
    "LINKUSDT": ("15.6", 250_000, 72),
    "AVAXUSDT": ("22.8", 250_000, 72),
}
_DEFAULT_TICKS, _DEFAULT_VOLUME, _DEFAULT_SIGMA = 20_000, 250_000, 70

_HOUR_PER_MILLE = np.array(
    [
        *(1050, 1000, 900, 750, 620, 550, 600, 800, 1000, 1050, 1000, 1000),
        *(1100, 1250, 1400, 1400, 1300, 1200, 1100, 1000, 900, 850, 900, 1000),
    ],
    np.int64,
)
_REGIME_PER_MILLE = np.array([750, 1000, 1600], np.int64)
_NORMAL = 37_837
"""Standard deviation of the sum of four 16-bit draws, the bell every shock comes from."""
_REGIME, _LENGTH, _SHOCK, _FLASH, _JUMP, _HIGH, _LOW, _NOISE, _TICK = range(9)


class Character(NamedTuple):
    """What the kernel knows of one symbol: integers in units of 1e-8, volume in steps."""

    start: int
    tick: int
    sigma: int
    steps: int
    step: int


@njit(cache=True, nogil=True)
def _bell(word: np.uint64) -> int:
    """A bell-shaped draw around 0 with standard deviation _NORMAL."""
    mask = np.uint64(0xFFFF)
    total = np.int64(0)
    for shift in range(0, 64, 16):
        total += np.int64((word >> np.uint64(shift)) & mask)
    return total - np.int64(131_070)  # type: ignore[return-value]  # an int when compiled


@njit(cache=True, nogil=True)
def _flash(seed: np.uint64, first: int, push: Ints) -> None:
    """Writes the flash move into `push`: three minutes out, then a slow return of two thirds."""
    key = key_of(seed, 0)
    minutes = len(push)
    at = first + (minutes - first) // 5 + below(draw(key, _FLASH), max(1, (minutes - first) * 3 // 5))
    size = 2_500_000 + below(draw(key, _FLASH + 100), 2_000_000)
    sign = -1 if below(draw(key, _FLASH + 200), 3) > 0 else 1
    for i in range(3):
        if at + i < minutes:
            push[at + i] += sign * size * (3 - i) // 6
    back = 6 + below(draw(key, _FLASH + 300), 12)
    for i in range(back):
        if at + 3 + i < minutes:
            push[at + 3 + i] -= sign * size * 2 // (3 * back)


@njit(cache=True, nogil=True)
def _climate(
    seed: np.uint64, start_ns: int, hours: Ints, regimes: Ints, common: Ints, scale: Ints, push: Ints
) -> None:
    """What all symbols share, per minute: the shock, the volatility (per mille) and the drift."""
    left, regime, sign, heat = 0, 0, 1, 1_000
    for m in range(len(common)):
        at = start_ns + m * MINUTE_NS
        key = key_of(seed, at)
        if left == 0:
            pick = below(draw(key, _REGIME), 100)
            regime = 0 if pick < 35 else (1 if pick < 75 else 2)
            sign = 1 if below(draw(key, _REGIME + 100), 2) == 0 else -1
            left = 20 + below(draw(key, _LENGTH), 101)
        left -= 1
        common[m] = _bell(draw(key, _SHOCK))
        scale[m] = regimes[regime] * hours[at // (60 * MINUTE_NS) % 24] // 1_000 * heat // 1_000
        if regime == 1:
            push[m] += sign * 16_000 * scale[m] // 1_000
        heat += (1_000 - heat) // 12
        if abs(common[m]) > 2 * _NORMAL:
            heat = min(2_200, heat + 500)


@njit(cache=True, nogil=True)
def _times_ratio(price: int, ratio: int) -> int:
    """price × ratio / 1e8 without leaving 64 bits."""
    return price // UNITS * ratio + price % UNITS * ratio // UNITS


@njit(cache=True, nogil=True)
def _move(key: np.uint64, common: int, scale: int, push: int, who: Character, price: int) -> int:
    """The return of one minute, as a ratio in 1e-8."""
    shock = (common + _bell(draw(key, _SHOCK))) * 707 // 1_000
    move = shock * who.sigma // _NORMAL * scale // 1_000 + push * who.sigma // 80_000
    if below(draw(key, _JUMP), 500) == 0:
        jump = (4 + below(draw(key, _JUMP + 100), 5)) * who.sigma
        move += jump if below(draw(key, _JUMP + 200), 2) == 0 else -jump
    pull = (who.start - price) // (who.start // 10_000 + 1)
    move = max(move + pull // 2, -10_000_000)
    return min(move, 10_000_000)


@njit(cache=True, nogil=True)
def _activity(key: np.uint64, move: int, scale: int, hour: int, who: Character) -> int:
    """The volume of one minute in steps: by hour, size of the move, and chance."""
    size = abs(move) * 1_000 // who.sigma
    level = hour * (450 + min(size, 8_000) * 7 // 10 + scale * 3 // 10) // 1_000
    chance = 600 + below(draw(key, _NOISE), 800)
    if below(draw(key, _NOISE + 100), 25) == 0:
        chance *= 2
    return max(1, who.steps * level // 1_000 * chance // 1_000)


@njit(cache=True, nogil=True)
def _bars(
    seed: np.uint64,
    start_ns: int,
    hours: Ints,
    common: Ints,
    scale: Ints,
    push: Ints,
    who: Character,
    out: Rows,
    steps: Ints,
) -> None:
    tick = who.tick
    price, close = who.start, who.start // tick * tick
    for m in range(len(common)):
        at = start_ns + m * MINUTE_NS
        key = key_of(seed, at)
        move = _move(key, common[m], scale[m], push[m], who, price)
        price = max(price + _times_ratio(price, move), 20 * tick)
        opened = max(close + (below(draw(key, _TICK), 3) - 1) * tick, tick)
        close = (price + tick // 2) // tick * tick
        reach = who.sigma * scale[m] // 1_000 * 12 // 10
        up = _times_ratio(price, reach * below(draw(key, _HIGH), 1_000) // 1_000)
        down = _times_ratio(price, reach * below(draw(key, _LOW), 1_000) // 1_000)
        up = up * below(draw(key, _HIGH + 100), 1_000) // 1_000 // tick * tick
        down = down * below(draw(key, _LOW + 100), 1_000) // 1_000 // tick * tick
        steps[m] = _activity(key, move, scale[m], hours[at // (60 * MINUTE_NS) % 24], who)
        bar = out[m]
        bar.open_ns = at
        bar.open, bar.close = opened, close
        bar.high = max(opened, close) + up
        bar.low = max(tick, min(opened, close) - down)
        bar.trades = 20 + below(draw(key, _NOISE + 200), 400)


def _character(symbol: str, instrument: Instrument) -> Character:
    price, usdt, sigma = 0, _DEFAULT_VOLUME, _DEFAULT_SIGMA
    if symbol in CHARACTERS:
        text, usdt, sigma = CHARACTERS[symbol]
        whole, _, part = text.partition(".")
        price = int(whole + part.ljust(8, "0"))
    start = price or instrument.tick_size * _DEFAULT_TICKS
    steps = max(1, usdt * UNITS * UNITS // start // instrument.step_size)
    return Character(start, instrument.tick_size, sigma * 1_000, steps, instrument.step_size)


def synthetic_bars(
    seed: int,
    symbols: Sequence[str],
    start_ns: int,
    minutes: int,
    table: Mapping[str, Instrument] = INSTRUMENTS,
    *,
    history_minutes: int = 0,
) -> dict[str, Rows]:
    """One-minute BAR records per symbol; a symbol's bars do not depend on the other symbols.

    The flash move falls after the first `history_minutes`.

    Raises UnknownInstrument, and ValueError when `start_ns` is not the start of a minute.
    """
    if start_ns % MINUTE_NS or minutes < 0:
        raise ValueError(
            f"a synthetic market starts on a whole minute and lasts >= 0 minutes, not {start_ns}, {minutes}"
        )
    common, scale, push = (np.zeros(minutes, np.int64) for _ in range(3))
    everyone = stream_seed(seed, "market")
    _climate(everyone, start_ns, _HOUR_PER_MILLE, _REGIME_PER_MILLE, common, scale, push)
    _flash(everyone, min(history_minutes, minutes), push)
    made: dict[str, Rows] = {}
    for symbol in symbols:
        who = _character(symbol, instrument_for(symbol, table))
        bars, steps = np.zeros(minutes, BAR), np.zeros(minutes, np.int64)
        key = stream_seed(seed, symbol)
        _bars(key, start_ns, _HOUR_PER_MILLE, common, scale, push, who, bars, steps)
        bars["volume"] = (steps * who.step).astype(np.float64) / UNITS
        made[symbol] = bars
    return made
