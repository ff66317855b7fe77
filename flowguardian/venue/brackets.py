"""Leverage brackets: how much margin a position of a size must hold, and how large it may be at a leverage.

Rule: pure; integers in units of 1e-8. Maintenance margin is notional × rate − cum of the bracket in which the
notional lies, as the exchange publishes it (cum of bracket n = floor × (rate − rate before) + cum before).
The brackets here are of the exchange's usual shape, not the ones of a day.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

UNIT = 100_000_000
DEFAULT_LEVERAGE = 20


class Bracket(NamedTuple):
    """Notionals above `floor` up to `cap` (USDT, 1e-8); `rate` and `cum` give the maintenance margin."""

    number: int
    leverage: int
    floor: int
    cap: int
    rate: int
    cum: int


_MAJORS = frozenset({"BTCUSDT", "ETHUSDT"})
# leverage, cap in USDT, maintenance rate in units of 1e-8
_OF_MAJORS = (
    (125, 300_000, 400_000), (100, 800_000, 500_000), (75, 3_000_000, 650_000), (50, 12_000_000, 1_000_000),
    (25, 70_000_000, 2_000_000), (20, 100_000_000, 2_500_000), (10, 230_000_000, 5_000_000),
    (5, 480_000_000, 10_000_000), (4, 600_000_000, 12_500_000), (3, 800_000_000, 15_000_000),
    (2, 1_200_000_000, 25_000_000), (1, 1_800_000_000, 50_000_000),
)  # fmt: skip
_OF_OTHERS = (
    (75, 10_000, 1_000_000), (50, 50_000, 1_500_000), (25, 250_000, 2_000_000), (20, 1_000_000, 2_500_000),
    (10, 5_000_000, 5_000_000), (5, 10_000_000, 10_000_000), (4, 15_000_000, 12_500_000),
    (2, 20_000_000, 25_000_000), (1, 30_000_000, 50_000_000),
)  # fmt: skip


def _made(steps: Sequence[tuple[int, int, int]]) -> tuple[Bracket, ...]:
    found: list[Bracket] = []
    floor = rate_before = cum = 0
    for number, (leverage, cap, rate) in enumerate(steps, 1):
        cum += floor * (rate - rate_before) // UNIT
        found.append(Bracket(number, leverage, floor, cap * UNIT, rate, cum))
        floor, rate_before = cap * UNIT, rate
    return tuple(found)


_MAJOR, _OTHER = _made(_OF_MAJORS), _made(_OF_OTHERS)


def brackets_of(symbol: str) -> tuple[Bracket, ...]:
    """All brackets of a symbol, smallest first."""
    return _MAJOR if symbol in _MAJORS else _OTHER


def bracket_for(symbol: str, notional: int) -> Bracket:
    """The bracket in which a notional (1e-8 USDT) lies; the last one where it is beyond all."""
    known = brackets_of(symbol)
    return next((one for one in known if notional <= one.cap), known[-1])


def maintenance(symbol: str, notional: int) -> int:
    """Maintenance margin of a notional, both 1e-8 USDT, rounded up once."""
    one = bracket_for(symbol, notional)
    return -(-notional * one.rate // UNIT) - one.cum


def largest_notional(symbol: str, leverage: int) -> int:
    """The largest position at a leverage, 1e-8 USDT: the cap of the last bracket that allows it."""
    return max((one.cap for one in brackets_of(symbol) if one.leverage >= leverage), default=0)


def highest_leverage(symbol: str) -> int:
    return brackets_of(symbol)[0].leverage
