"""The settings of `doctor` and preflight: which services a run needs, and how long each check may take.

Rule: a check can be given more time or other limits here, never be switched off.
"""

from __future__ import annotations

from pydantic import field_validator
from pydantic_core import PydanticCustomError

from flowguardian.ops.servers import NotAnAddress, address_of
from flowguardian.ops.settings_types import Block, Number, Texts, number, option


class Doctor(Block):
    containers: Texts = option(
        (), "Names of Docker containers that must run and be healthy; a stopped one is started."
    )
    servers: Texts = option(
        (), "Servers that must answer, as postgres://HOST:PORT or redis://HOST:PORT; nobody logs in."
    )
    docker_timeout_seconds: Number = number("10", "How long one docker command may take.", "s", gt=0, le=300)
    container_wait_seconds: Number = number(
        "60", "How long a container may take from its start until it is healthy.", "s", ge=0, le=600
    )
    server_timeout_seconds: Number = number("5", "How long a server may take to answer.", "s", gt=0, le=60)
    process_grace_seconds: Number = number(
        "10", "How long a process may take to stop before it is killed.", "s", ge=0, le=120
    )
    listen_seconds: Number = number(
        "60", "How long `doctor --venue` listens to the streams.", "s", ge=1, le=3600
    )
    min_free_memory_mb: int = option(300, "Preflight is red with less free memory.", "MB", ge=0)

    @field_validator("servers")
    @classmethod
    def _addresses(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            try:
                address_of(text)
            except NotAnAddress as error:
                raise PydanticCustomError("server", "expected {why}", {"why": str(error)}) from error
        return value
