"""The programs that run beside the engine of a run, as its configuration asks for them.

Rule: the local venue is needed, everything else only looks on: it reads the run's records, and no trade waits
for it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from flowguardian.dashboard.launch import address_in, dashboard_argv
from flowguardian.feeds.venues import local
from flowguardian.notify.plan import notify_argv
from flowguardian.ops.assembly import VENUE_FILE
from flowguardian.ops.manifest import Manifest
from flowguardian.ops.metrics_server import metrics_argv
from flowguardian.ops.settings import Settings
from flowguardian.ops.side_children import Side
from flowguardian.ops.stores import OBSERVER, observer_argv

VENUE_MODULE = "flowguardian.ops.venue_process"
OBSERVER_SPARE_SECONDS = 20.0
"""After its views have drained it ends its servers."""
METRICS_FILE = "metrics.json"
"""Where the metrics of a run are served; disposable."""


def sides_of(
    run_dir: Path, manifest: Manifest, settings: Settings, asked: Settings, language: str
) -> Sequence[Side]:
    """The sides of a run. `asked` are the settings just loaded: recorded ones hold no secret."""
    found = [_venue(run_dir)] if manifest.venue == "local" else []
    if (metrics := metrics_argv(run_dir, settings)) is not None:
        found.append(Side("metrics", metrics, ready_file=run_dir / METRICS_FILE))
    if (observer := observer_argv(run_dir, settings.stores)) is not None:
        drain = float(settings.stores.drain_seconds) + OBSERVER_SPARE_SECONDS
        found.append(Side(OBSERVER, observer, stop_seconds=drain))
    if settings.dashboard.enabled and manifest.speed:
        found.append(Side("dashboard", dashboard_argv(run_dir, settings), on_ready=_show_address))
    if (notify := notify_argv(run_dir, asked, language)) is not None:
        found.append(Side("notify", notify))
    return found


def _show_address(line: str) -> None:
    """The address holds the token: it is shown and nowhere kept."""
    with suppress(msgspec.DecodeError):
        sys.stderr.write(f"dashboard: {address_in(line)}\n")
        sys.stderr.flush()


def _venue(run_dir: Path) -> Side:
    argv = [sys.executable, "-m", VENUE_MODULE, str(run_dir)]

    def at_the_same_port(line: str) -> Sequence[str]:
        return [*argv, "--port", local(line).rest.rpartition(":")[2]]

    return Side("venue", argv, needed=True, ready_file=run_dir / VENUE_FILE, argv_again=at_the_same_port)
