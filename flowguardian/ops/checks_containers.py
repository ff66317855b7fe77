"""Checks of the containers that the configuration names, and of those that look like ours.

Rule: a stopped container is started and watched until it is healthy; a paused one was paused by somebody, so
that is asked for. Containers that were only found are offered, never touched.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence

from flowguardian.ops.checked import FIXED, OK, RED, Checked, checked
from flowguardian.ops.docker import NO_HEALTH_CHECK, Container, Docker, DockerFailed, DockerMissing, Listed

UP = frozenset({"healthy", NO_HEALTH_CHECK})
LOOK_SECONDS = 0.25
_OURS = re.compile(r"(^|[/_-])(postgres|postgresql|timescaledb|redis|valkey)([:@_-]|$)")
_PORTS = re.compile(r"->(5432|6379)/tcp")

Check = tuple[str, Callable[[], Checked]]


def container_checks(names: Sequence[str], docker: Docker, wait_seconds: float) -> list[Check]:
    """One check per configured container, and one for those that are not."""
    found: list[Check] = [
        (f"container {name}", lambda name=name: check_container(name, docker, wait_seconds))  # type: ignore[misc]
        for name in names
    ]
    return [*found, ("containers", lambda: check_offered(names, docker))]


def check_container(name: str, docker: Docker, wait_seconds: float) -> Checked:
    """A configured container runs and is healthy; a stopped one is started, one that starts is waited for."""
    try:
        before = docker.inspect(name)
        if before is None:
            return checked(RED, "container_missing", name=name)
        if before.state == "paused":
            return checked(RED, "container_paused", name=name)
        started = before.state in ("exited", "created")
        if started:
            docker.start(name)
        now = _settled(name, docker, wait_seconds, before)
    except DockerMissing:
        return checked(RED, "docker_missing", names=name)
    except DockerFailed as error:
        return checked(RED, "docker_failed", why=error)
    return _judged(before, now, started=started)


def _settled(name: str, docker: Docker, wait_seconds: float, before: Container) -> Container:
    """The container when it is up, or has said that it is not, or the wait is over."""
    deadline = time.monotonic() + wait_seconds
    while True:
        now = docker.inspect(name) or before
        if (now.state == "running" and now.health != "starting") or time.monotonic() >= deadline:
            return now
        time.sleep(LOOK_SECONDS)


def _judged(before: Container, now: Container, *, started: bool) -> Checked:
    shown = {"name": now.name, "state": now.state, "health": now.health, "version": now.version}
    if now.state != "running":
        return checked(RED, "container_not_up", before=before.state, code=now.exit_code, **shown)
    if now.health not in UP:
        return checked(RED, "container_unhealthy", why=now.last_check or now.health, **shown)
    if started:
        return checked(FIXED, "container_started", before=before.state, **shown)
    return checked(OK, "container_up", **shown)


def check_offered(names: Sequence[str], docker: Docker) -> Checked:
    """Containers with an image and a published port of the servers we use, which nobody configured."""
    try:
        listed = docker.listed()
    except DockerMissing:
        return (
            checked(OK, "containers_off")
            if not names
            else checked(RED, "docker_missing", names=", ".join(names))
        )
    except DockerFailed as error:
        return checked(OK, "containers_unasked") if not names else checked(RED, "docker_failed", why=error)
    ours = [one for one in listed if looks_like_ours(one) and one.name not in names]
    if not ours:
        return checked(OK, "containers_configured", count=len(names))
    found = "; ".join(f"{one.name} ({one.image}, {one.state})" for one in ours)
    return checked(OK, "containers_offered", found=found, names=", ".join(one.name for one in ours))


def looks_like_ours(one: Listed) -> bool:
    """Whether image and published port are those of Postgres, Redis or Valkey."""
    return bool(_OURS.search(one.image.lower()) and _PORTS.search(one.ports))
