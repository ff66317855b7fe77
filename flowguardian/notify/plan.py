"""What the notifier of a run is told: addresses, limits, language, in a private file of this user.

Rule: addresses are secrets. They stand in this one file, readable by its owner alone, outside the run
directory, never on a command line, in an environment, a log, a row or a message.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import time
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote

import msgspec

from flowguardian.cli.language import Language, choose
from flowguardian.ops.loading import HIDDEN, SENDER
from flowguardian.ops.log import get
from flowguardian.ops.platform_files import replace
from flowguardian.ops.registry import state_directory
from flowguardian.ops.settings import Settings

KEPT_DAYS = 30
"""A plan whose run ended without its notifier (a power cut) is removed by a later start."""
ONCE_SECONDS = 60.0
"""What starting a process and waiting for the notifier before it may take."""
SHORTEST_SECRET = 4
"""Pieces of an address shorter than this are no secrets, and their letters are in every text."""


class Plan(msgspec.Struct, frozen=True):
    """Everything a notifier needs; times in seconds."""

    run_dir: str
    language: Language
    urls: tuple[str, ...]
    incidents: str = "WARNING"
    checkpoints: bool = True
    watchdog_seconds: float = 30.0
    same_incident_seconds: float = 600.0
    send_timeout_seconds: float = 10.0
    retry_delay_seconds: float = 5.0
    longest_retry_delay_seconds: float = 300.0
    max_attempts: int = 12
    max_per_minute: int = 20
    max_waiting: int = 1000
    drain_seconds: float = 20.0
    linger_seconds: float = 600.0


def plan_of(run_dir: Path, settings: Settings, language: str = "") -> Plan:
    """The plan that the settings ask for."""
    notify = settings.notify
    numbers = {
        name: type(default)(getattr(notify, name))
        for name, default in zip(Plan.__struct_fields__[3:], Plan.__struct_defaults__, strict=True)
    }
    return Plan(str(run_dir.absolute()), choose(language, settings.run.language), notify.urls, **numbers)


def notify_argv(run_dir: Path, settings: Settings, language: str = "") -> list[str] | None:
    """The command line of a run's notifier, None when nothing is to be sent; writes its plan.

    `settings` are those just loaded: the recorded ones of a run hold no addresses. A plan that cannot be
    written is a WARNING, because no run waits for its messages.
    """
    if not settings.notify.urls or find_spec(SENDER) is None:
        return None
    try:
        keep(plan_of(run_dir, settings, language))
    except OSError as error:
        get("notify").warning("messages are off, their plan could not be written", why=str(error.strerror))
        return None
    return [sys.executable, "-m", "flowguardian.notify", str(run_dir)]


def tell_the_rest(run_dir: Path) -> None:
    """After the report is written: have the verdict and whatever still waits told, within the drain time.

    What could not be sent stays in the outbox and its reason in the notifier's log; nothing is raised.
    """
    plan = read_plan(run_dir)
    if plan is None:
        return
    argv = [sys.executable, "-m", "flowguardian.notify", str(run_dir), "--once"]
    with suppress(OSError, subprocess.TimeoutExpired):
        # Its own log says what went wrong; a run does not end otherwise because of it.
        subprocess.run(
            argv, check=False, capture_output=True, stdin=subprocess.DEVNULL,
            timeout=ONCE_SECONDS + plan.drain_seconds + plan.send_timeout_seconds,
        )  # fmt: skip


def plan_path(run_dir: Path) -> Path:
    """Where the plan of a run stands."""
    name = hashlib.sha256(str(run_dir.absolute()).encode()).hexdigest()[:24]
    return state_directory() / "notify" / f"{name}.json"


def keep(plan: Plan) -> None:
    """Write a plan so that only this user can read it; raises OSError."""
    path = plan_path(Path(plan.run_dir))
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _clean(path.parent)
    beside = path.with_name(f"{path.name}.{os.getpid()}.new")
    fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(msgspec.json.encode(plan))
    replace(beside, path)


def read_plan(run_dir: Path) -> Plan | None:
    """The plan of a run; None when its messages are off."""
    try:
        return msgspec.json.decode(plan_path(run_dir).read_bytes(), type=Plan)
    except (OSError, msgspec.DecodeError):
        return None


def forget(run_dir: Path) -> None:
    """Remove the plan of a run that needs no more messages; the next start writes it again."""
    with suppress(OSError):
        # Left behind it is only old, and a later start removes it.
        plan_path(run_dir).unlink(missing_ok=True)


def _clean(folder: Path) -> None:
    oldest = time.time() - KEPT_DAYS * 86_400
    for path in folder.iterdir():
        with suppress(OSError):
            if path.stat().st_mtime < oldest:
                path.unlink()


def channel_names(urls: tuple[str, ...]) -> dict[str, str]:
    """Addresses by a name that may be shown: place in the list and kind, as in `1 tgram`."""
    return {f"{place} {_kind(url)}": url for place, url in enumerate(urls, 1)}


def _kind(url: str) -> str:
    found = re.match(r"([a-zA-Z0-9]{1,20})://", url)
    return found[1].lower() if found else "unknown"


class Redactor:
    """Removes whatever an address holds from a text that somebody else wrote."""

    def __init__(self, urls: tuple[str, ...]) -> None:
        pieces = set(urls)
        for url in urls:
            # Libraries show an address as it was written or as they understood it.
            for text in (url, unquote(url)):
                pieces.update(re.split(r"[:/@?&=#,\s]+", text.partition("://")[2] or text))
        secrets = sorted((piece for piece in pieces if len(piece) >= SHORTEST_SECRET), key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, secrets))) if secrets else None

    def __call__(self, text: str) -> str:
        """The text without them."""
        return self._pattern.sub(HIDDEN, text) if self._pattern else text
