"""Starting the dashboard of a run as a child, and opening its page.

Rule: the child says its address in its first line on stdout; nobody has to guess a port or a token.
"""

from __future__ import annotations

import os
import sys
import webbrowser
from pathlib import Path

import msgspec

from flowguardian.ops.manifest import ManifestError, read_manifest
from flowguardian.ops.settings import Settings
from flowguardian.ops.settings_dashboard import Dashboard


class Ready(msgspec.Struct):
    """The first line of the child."""

    url: str


def dashboard_argv(run_dir: Path, settings: Settings) -> list[str]:
    """The command line of the dashboard of a run."""
    port = str(settings.dashboard.port)
    return [sys.executable, "-m", "flowguardian.dashboard", str(run_dir), "--port", port]


def ready_line(url: str) -> str:
    """The first line, as `address_in` reads it."""
    return msgspec.json.encode(Ready(url)).decode()


def address_in(line: str | bytes) -> str:
    """The address of the first line of the child; raises msgspec.DecodeError when it is another line."""
    return msgspec.json.decode(line, type=Ready).url


def settings_of(run_dir: Path) -> Dashboard:
    """The limits a run was configured with; the defaults where its manifest is missing or older."""
    try:
        config = msgspec.json.decode(read_manifest(run_dir).config)
    except ManifestError:
        return Dashboard()
    return Dashboard.model_validate(config.get("dashboard") or {})


def has_screen() -> bool:
    """Whether a browser opened here would be seen by whoever started this."""
    if os.environ.get("SSH_CONNECTION"):
        return False
    if sys.platform in ("win32", "darwin"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def open_page(url: str) -> bool:
    """Open the page in the user's browser; False where there is no screen or no browser."""
    return has_screen() and webbrowser.open(url)
