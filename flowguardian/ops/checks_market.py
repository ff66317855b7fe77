"""Checks of a venue by what was heard from it: streams, filters, clock, growth of the tape.

Rule: a stream class is green only when every symbol of it delivered in this listen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from flowguardian.execution.money import decimal
from flowguardian.feeds.base import FeedError
from flowguardian.feeds.rest_answers import UnreadableAnswer
from flowguardian.market.instruments import Instrument
from flowguardian.ops.checked import OK, RED, WARN, Checked, checked
from flowguardian.ops.checks_clock import check_offset
from flowguardian.ops.doctor_venue import VenueNotStarted, host_of
from flowguardian.ops.listening import CLASSES, Heard, StreamClass

Check = tuple[str, Callable[[], Checked]]
UNHEARD = (FeedError, UnreadableAnswer, VenueNotStarted, OSError)
"""Why nothing was heard; OSError holds the time limits too."""
SHOWN = 4
QUIET_MAY_BE = "trades"
"""The one class in which a symbol may have nothing to say: nobody traded."""


@dataclass(frozen=True, slots=True)
class VenueLimits:
    """What the figures are compared with."""

    name: str
    planned_hours: float
    max_skew_ms: int
    max_notional: int
    """Largest entry, in units of 1e-8 USDT."""
    free_bytes: Callable[[], int]


def venue_checks(listen: Callable[[], Heard], limits: VenueLimits) -> Iterator[Check]:
    """The checks of a venue, one after the other: those of the figures only when there was something to hear.

    Each check has to be called before the next one is taken.
    """
    heard: list[Heard] = []
    yield "venue", lambda: _heard(listen, heard, limits)
    for found in heard:
        for name in CLASSES:
            yield name, lambda name=name, found=found: check_stream(name, found.streams[name])  # type: ignore[misc]
        yield "filters", lambda found=found: check_filters(found, limits)  # type: ignore[misc]
        yield "clock offset", lambda found=found: check_offset(found.offset_ms, limits.max_skew_ms)  # type: ignore[misc]
        yield "tape growth", lambda found=found: check_tape(found, limits)  # type: ignore[misc]


def _heard(listen: Callable[[], Heard], into: list[Heard], limits: VenueLimits) -> Checked:
    try:
        found = listen()
    except UNHEARD as error:
        why = str(error) or f"{type(error).__name__}: no answer in time"
        return checked(RED, "venue_failed", venue=limits.name, why=why, host=host_of(limits.name))
    into.append(found)
    return checked(
        OK,
        "venue_heard",
        venue=limits.name,
        seconds=f"{found.seconds:.0f}",
        symbols=len(found.instruments),
    )


def check_stream(name: str, found: StreamClass) -> Checked:
    """Every symbol of a class delivered."""
    shown = {
        "messages": found.messages,
        "heard": len(found.heard),
        "wanted": len(found.heard) + len(found.missing),
        "missing": ", ".join(found.missing),
        "silence": f"{found.max_silence_seconds:.1f}",
    }
    if not found.missing:
        return checked(OK, "stream", **shown)
    if name == QUIET_MAY_BE and found.heard:
        return checked(WARN, "stream_quiet", **shown)
    return checked(RED, "stream_silent", **shown)


def check_filters(found: Heard, limits: VenueLimits) -> Checked:
    """Every symbol has filters, and the smallest order that they allow is not larger than an entry may be."""
    for one in found.instruments:
        if one.min_notional > limits.max_notional:
            return checked(
                RED, "filters_refuse", symbol=one.symbol, least=_usdt(one.min_notional),
                most=_usdt(limits.max_notional),
            )  # fmt: skip
    listed = "; ".join(filter_text(one) for one in found.instruments[:SHOWN])
    more = " …" if len(found.instruments) > SHOWN else ""
    return checked(OK, "filters", count=len(found.instruments), shown=listed + more)


def filter_text(one: Instrument) -> str:
    """The filters of a symbol on one line."""
    tick, step = _usdt(one.tick_size), _usdt(one.step_size)
    return f"{one.symbol} tick {tick} step {step} min {_usdt(one.min_notional)}"


def _usdt(value: int) -> str:
    return f"{decimal(value).normalize():f}"


def check_tape(found: Heard, limits: VenueLimits) -> Checked:
    """The tape of the planned run fits the free disk, at the rate that was heard."""
    free, rate = limits.free_bytes(), max(found.tape_bytes_per_hour, 1.0)
    hours = free / rate
    shown = {
        "rate": f"{rate / 1e6:.1f}",
        "free": f"{free / 1e9:.1f}",
        "hours": f"{min(hours, 1e6):,.0f}",
        "planned": f"{limits.planned_hours:g}",
    }
    if hours < limits.planned_hours:
        return checked(RED, "tape_full", **shown)
    if hours < 2 * limits.planned_hours:
        return checked(WARN, "tape_narrow", **shown)
    return checked(OK, "tape", **shown)
