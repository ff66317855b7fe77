"""What one seed means: the market, the settings, the faults, the network and the deaths of a run.

Rule: pure chance from the seed. Each kind of trouble draws from a stream of its own and in the order of time,
so the same seed for fewer hours is the beginning of the longer run.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import msgspec

from flowguardian.execution.events import LIVE
from flowguardian.market.synthetic import CHARACTERS
from flowguardian.simulation.crashpoints import ANY_MOMENT, POINTS, Crash
from flowguardian.simulation.network import Weather
from flowguardian.simulation.troubles import TROUBLES, Trouble
from flowguardian.venue.faults import Fault, Plan

CALM, SWARM, HOSTILE = PROFILES = ("calm", "swarm", "hostile")
HEALED_SECONDS = 900.0
"""The end of every run is free of faults for so long."""
QUIET_START_SECONDS = 150.0
_STRATEGY = Path(__file__).with_name("restless.py")
PAPER = "paper"
_PAPER_SHARE = 0.4
"""Of the swarm; hostile worlds are live, where more can go wrong."""
_SHARE = {SWARM: 0.5, HOSTILE: 0.85}
"""How likely a kind of trouble is switched on."""


class World(msgspec.Struct, frozen=True):
    """One run before it begins."""

    seed: int
    profile: str
    hours: float
    mode: str
    overrides: tuple[str, ...]
    plan: Plan
    weather: tuple[Weather, ...]
    crashes: tuple[Crash, ...]
    network_seconds: float

    @property
    def healed_at(self) -> float:
        """Seconds after the start of the market from which on nothing more is done to it."""
        return max(0.0, self.hours * 3600 - HEALED_SECONDS)


def world_of(seed: int, profile: str, hours: float) -> World:
    """The run of a seed."""
    chance = _stream(seed, "settings")
    if profile == CALM:
        return World(seed, profile, hours, PAPER, _calm(chance), Plan([]), (), (), 0.0)
    end = max(0.0, hours * 3600 - HEALED_SECONDS)
    faults: list[Fault] = []
    weather: list[Weather] = []
    crashes: list[Crash] = []
    symbols = tuple(chance.sample(sorted(CHARACTERS), chance.choice((2, 3))))
    network_seconds = chance.choice((0.005, 0.03, 0.1))
    overrides = _restless(chance, symbols)
    for name, trouble in TROUBLES.items():
        draw = _stream(seed, name)
        if draw.random() >= _SHARE[profile]:
            continue
        for at in _moments(draw, trouble, end):
            made = trouble.make(draw, symbols)
            lasts = min(made.for_seconds or 0.0, end - at)
            faults.append(msgspec.structs.replace(made, at_seconds=at, for_seconds=lasts or made.for_seconds))
    draw = _stream(seed, "network")
    if draw.random() < _SHARE[profile]:
        weather = _weather(draw, end)
    draw = _stream(seed, "deaths")
    if draw.random() < _SHARE[profile]:
        crashes = _crashes(draw, end)
    faults.sort(key=lambda one: one.at_seconds)
    return World(
        seed,
        profile,
        hours,
        PAPER if profile == SWARM and _stream(seed, "mode").random() < _PAPER_SHARE else LIVE,
        overrides,
        Plan(faults, seed),
        tuple(weather),
        tuple(crashes),
        network_seconds,
    )


def _stream(seed: int, name: str) -> random.Random:
    return random.Random(f"{seed}:{name}")  # noqa: S311 - a seeded draw, no secret


def _calm(chance: random.Random) -> tuple[str, ...]:
    symbols = chance.sample(sorted(CHARACTERS), 3)
    strategy = chance.choice(("scalping", "ema_cross"))
    return (
        f"universe.symbols=[{','.join(symbols)}]",
        "market.prints_per_minute=6",
        "market.tops_per_minute=6",
        *(f"strategies.{name}.enabled={name == strategy}".lower() for name in ("scalping", "ema_cross")),
        f"strategies.{strategy}.max_hold_minutes={chance.choice((1, 5, 30))}",
        f"strategies.{strategy}.entry_cooldown_seconds={chance.choice((0, 20))}",
        f"portfolio.symbol_cooldown_seconds={chance.choice((0, 90))}",
        f"risk.max_consecutive_losses={chance.choice((6, 1000))}",
        f"execution.latency_max_ms={chance.choice((20, 120, 3000))}",
    )


def _restless(chance: random.Random, symbols: tuple[str, ...]) -> tuple[str, ...]:
    """A strategy that enters at every bar, under limits that let it."""
    own = f'"{_STRATEGY.as_posix()}"'
    hold = chance.choice((1, 2, 5))
    strategies = (
        f'{{"scalping": {{"enabled": false}}, '
        f'{own}: {{"entry_cooldown_seconds": 0, "max_hold_minutes": {hold}}}}}'
    )
    return (
        f"universe.symbols=[{','.join(symbols)}]",
        "market.prints_per_minute=6",
        "market.tops_per_minute=12",
        "portfolio.symbol_cooldown_seconds=0",
        "portfolio.max_strategy_positions=7",
        f"portfolio.budget.strategy_allocation={{{own}: {chance.choice((0.3, 0.9))}}}",
        "risk.max_positions=7",
        "risk.max_consecutive_losses=1000",
        "risk.max_drawdown_pct=99",
        "risk.max_daily_loss_pct=99",
        "guards.warmup.bars=3",
        f"strategies={strategies}",
    )


def _moments(draw: random.Random, trouble: Trouble, end: float) -> list[float]:
    """When trouble comes: its rate is drawn once, the pauses between are memoryless."""
    low, high = trouble.per_hour
    per_second = low * (high / low) ** draw.random() / 3600
    found: list[float] = []
    at = QUIET_START_SECONDS
    while (at := at + draw.expovariate(per_second)) < end - 1 and len(found) < trouble.most:
        found.append(round(at, 3))
    return found


def _weather(draw: random.Random, end: float) -> list[Weather]:
    kinds: tuple[Callable[[float, float], Weather], ...] = (
        lambda at, to: Weather(at, to, unreachable=True),
        lambda at, to: Weather(at, to, lost_requests=draw.choice((0.02, 0.2))),
        lambda at, to: Weather(at, to, lost_replies=draw.choice((0.02, 0.2))),
        lambda at, to: Weather(at, to, extra_seconds=draw.choice((0.5, 3.0, 15.0))),
    )
    found, at = [], QUIET_START_SECONDS
    per_second = 0.5 * 8 ** draw.random() / 3600
    while (at := at + draw.expovariate(per_second)) < end - 1:
        to = min(end, at + draw.choice((3.0, 10.0, 40.0, 120.0)))
        found.append(draw.choice(kinds)(at, to))
        at = to
    return found


def _crashes(draw: random.Random, end: float) -> list[Crash]:
    found, at = [], QUIET_START_SECONDS
    per_second = 0.2 * 10 ** draw.random() / 3600
    while (at := at + draw.expovariate(per_second)) < end - 120:
        point = draw.choice((ANY_MOMENT, *POINTS))
        away = draw.choice((0.2, 2.0, 15.0, 60.0))
        found.append(Crash(round(at, 6), point, away))
        at += away + 60
    return found
