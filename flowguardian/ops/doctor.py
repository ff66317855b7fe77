"""Puts the checks of a start together from its settings: the one list for `doctor`, `accept` and `paper`.

Rule: every start is checked by the same list; who calls adds only what it alone knows (run, locks, venue).
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

import msgspec

from flowguardian.execution.money import units
from flowguardian.market.records import SECOND_NS
from flowguardian.ops.checks_containers import container_checks
from flowguardian.ops.checks_engine import check_self_test, check_shadows
from flowguardian.ops.checks_market import VenueLimits, venue_checks
from flowguardian.ops.checks_servers import server_checks
from flowguardian.ops.docker import Docker
from flowguardian.ops.doctor_venue import is_known, venue_at
from flowguardian.ops.flow_guardian import Readiness, bring_up
from flowguardian.ops.limits import describe, shadowed_limits
from flowguardian.ops.listening import Heard, listen
from flowguardian.ops.preflight import Check, PreflightPlan
from flowguardian.ops.registry import Registry
from flowguardian.ops.segments import HostClock
from flowguardian.ops.settings import Settings
from flowguardian.ops.settings_feed import feed_options
from flowguardian.ops.words import Words

MEGABYTE = 1_000_000


def plan_for(
    settings: Settings,
    *,
    load_config: Callable[[], str],
    run_dir: Path,
    registry: Registry,
    account: str = "",
    stop_everything: bool = False,
    locks: Sequence[Path] = (),
    taken_over: Sequence[Words] = (),
    log_dir: Path | None = None,
    first_start: bool = True,
    clean_namespace: Callable[[], int] | None = None,
    venue: Iterable[Check] = (),
    readiness: Callable[[], Readiness] = bring_up,
) -> PreflightPlan:
    """The plan of a start with these settings; `venue` are the checks of `venue_of`, if it uses one."""
    doctor = settings.doctor
    docker = Docker(float(doctor.docker_timeout_seconds))
    return PreflightPlan(
        run_dir=run_dir,
        load_config=load_config,
        registry=registry,
        account=account,
        stop_everything=stop_everything,
        locks=locks,
        taken_over=taken_over,
        log_dir=log_dir,
        first_start=first_start,
        free_bytes_needed=settings.run.min_free_disk_mb * MEGABYTE,
        free_memory_needed=doctor.min_free_memory_mb * MEGABYTE,
        grace_seconds=float(doctor.process_grace_seconds),
        services=(
            *container_checks(doctor.containers, docker, float(doctor.container_wait_seconds)),
            *server_checks(doctor.servers, float(doctor.server_timeout_seconds)),
        ),
        clean_namespace=clean_namespace,
        extra=_last(settings, venue, readiness),
    )


def _last(settings: Settings, venue: Iterable[Check], readiness: Callable[[], Readiness]) -> Iterator[Check]:
    """The long ones come last: who waits for them has seen everything else."""
    yield (
        "shadowed limits",
        lambda: check_shadows([describe(shadow) for shadow in shadowed_limits(settings)]),
    )
    yield from venue
    yield "self-test", partial(check_self_test, readiness)


def venue_of(
    name: str,
    settings: Settings,
    *,
    run_dir: Path,
    registry: Registry,
    seconds: float | None = None,
    symbols: Sequence[str] | None = None,
    on_heard: Callable[[Heard], None] | None = None,
) -> Iterator[Check]:
    """The checks of a venue by its name or address: it is listened to once, all figures are from that.

    Raises UnknownVenue at once.
    """

    def hear() -> Heard:
        found = _hear(name, settings, registry, seconds, symbols or settings.universe.symbols)
        if on_heard is not None:
            on_heard(found)
        return found

    place = next(path for path in (run_dir.absolute(), *run_dir.absolute().parents) if path.is_dir())
    limits = VenueLimits(
        name=is_known(name),
        planned_hours=float(settings.paper.duration_hours),
        max_skew_ms=settings.guards.clock_skew.max_ms,
        max_notional=units(settings.position_sizing.max_position_notional),
        free_bytes=lambda: shutil.disk_usage(place).free,
    )
    return venue_checks(hear, limits)


def _hear(
    name: str, settings: Settings, registry: Registry, seconds: float | None, symbols: Sequence[str]
) -> Heard:
    options = feed_options(
        settings.feed,
        clock_interval_seconds=settings.market.clock_interval_seconds,
        bar_ns=settings.bar_seconds * SECOND_NS,
        history_bars=1,
    )
    options = msgspec.structs.replace(options, whole_bars=False)
    place = venue_at(
        name, symbols, seed=settings.run.seed, start_seconds=options.gate_seconds, registry=registry
    )
    with place as venue:
        long = float(settings.doctor.listen_seconds) if seconds is None else seconds
        return listen(venue, symbols, options, seconds=long, clock=HostClock())
