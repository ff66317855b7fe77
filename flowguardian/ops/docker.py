"""Containers as `docker` on the PATH tells of them; the only place that calls it.

Rule: containers are looked at and started, never stopped, removed or changed; every call has a time limit.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from typing import Any

import msgspec

NO_HEALTH_CHECK = "no health check"
_VERSION_NAME = re.compile(r"(PG|POSTGRES|REDIS|VALKEY|PROMETHEUS|GF|GRAFANA)_VERSION")
_VERSION_LABEL = "org.opencontainers.image.version"


class DockerMissing(Exception):
    """There is no docker on the PATH."""


class DockerFailed(Exception):
    """Docker is there and does not do what it was asked; the message is its own."""


class Container(msgspec.Struct, frozen=True):
    """One container: `state` and `health` are Docker's words, `health` says so when nothing checks it."""

    name: str
    image: str
    state: str
    health: str
    version: str
    exit_code: int
    last_check: str
    """What the last health check printed."""


class Listed(msgspec.Struct, frozen=True):
    """A line of `docker ps`."""

    name: str
    image: str
    state: str
    ports: str


class Docker:
    """The docker command."""

    def __init__(self, timeout_seconds: float) -> None:
        self._timeout = timeout_seconds

    def inspect(self, name: str) -> Container | None:
        """A container by its name, None when there is none; raises DockerMissing, DockerFailed."""
        done = self._run("inspect", "--type", "container", name)
        if done.returncode:
            said = _said(done)
            if "no such" in said.lower():
                return None
            raise DockerFailed(said)
        try:
            return _container(name, msgspec.json.decode(done.stdout)[0])
        except (msgspec.DecodeError, KeyError, IndexError, TypeError, AttributeError) as error:
            raise DockerFailed(f"docker inspect {name}: cannot be read: {error!r}") from error

    def start(self, name: str) -> None:
        """Start a container that is there; raises DockerMissing, DockerFailed."""
        done = self._run("start", name)
        if done.returncode:
            raise DockerFailed(_said(done))

    def listed(self) -> list[Listed]:
        """All containers, running or not; raises DockerMissing, DockerFailed."""
        done = self._run("ps", "--all", "--no-trunc", "--format", "{{json .}}")
        if done.returncode:
            raise DockerFailed(_said(done))
        try:
            found = [msgspec.json.decode(line) for line in done.stdout.splitlines() if line.strip()]
            return [Listed(one["Names"], one["Image"], one.get("State", ""), one["Ports"]) for one in found]
        except (msgspec.DecodeError, KeyError, TypeError) as error:
            raise DockerFailed(f"docker ps: cannot be read: {error!r}") from error

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        # The whole path: a docker.cmd is found on Windows by it alone.
        program = shutil.which("docker")
        if program is None:
            raise DockerMissing("docker is not on the PATH")
        try:
            return subprocess.run(
                [program, *arguments],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=self._timeout,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise DockerFailed(f"docker {arguments[0]}: no answer within {self._timeout:g} s") from error
        except OSError as error:
            raise DockerFailed(f"docker {arguments[0]}: {error}") from error


def _said(done: subprocess.CompletedProcess[bytes]) -> str:
    text = (done.stderr or done.stdout).decode("utf-8", "replace").strip()
    return text[:500] or f"exit code {done.returncode}"


def _container(name: str, found: Any) -> Container:
    state, config = found["State"], found["Config"]
    health = state.get("Health") or {}
    checks = health.get("Log") or [{}]
    return Container(
        name=name,
        image=str(config["Image"]),
        state=str(state["Status"]),
        health=str(health.get("Status") or NO_HEALTH_CHECK),
        version=_version(config),
        exit_code=int(state.get("ExitCode", 0)),
        last_check=str(checks[-1].get("Output", "")).strip()[:300],
    )


def _version(config: Any) -> str:
    """Image and, where label or environment tell it, the version of what is in it."""
    label = (config.get("Labels") or {}).get(_VERSION_LABEL, "")
    return f"{config['Image']} {label or _version_of(config.get('Env') or ())}".strip()


def _version_of(environment: Sequence[str]) -> str:
    for line in environment:
        name, _, value = line.partition("=")
        if _VERSION_NAME.fullmatch(name):
            return f"({value})"
    return ""
