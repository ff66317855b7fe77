"""What the engine process and the files of a run cost the host: the numbers of a HostSampled row.

Rule: measured from outside by PID; the engine does nothing for it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True, slots=True)
class ProcessUse:
    """Resources of a process; `handles` are file descriptors on POSIX, handles on Windows."""

    rss_bytes: int
    cpu_seconds: float
    handles: int
    threads: int


def process_use(pid: int) -> ProcessUse | None:
    """The use of a process; None when it ended or is ending: what it holds then says nothing."""
    try:
        process = psutil.Process(pid)
        with process.oneshot():
            times, rss_bytes = process.cpu_times(), process.memory_info().rss
            if rss_bytes == 0:
                return None
            return ProcessUse(
                rss_bytes=rss_bytes,
                cpu_seconds=times.user + times.system,
                handles=_handles(process),
                threads=process.num_threads(),
            )
    except psutil.Error:
        return None


if sys.platform == "win32":

    def _handles(process: psutil.Process) -> int:
        return process.num_handles()

else:

    def _handles(process: psutil.Process) -> int:
        return process.num_fds()


def peak_rss_mb() -> float:
    """The most memory this process ever had resident."""
    if sys.platform == "win32":
        return float(psutil.Process().memory_info().peak_wset) / 1e6
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit) / 1e6


@dataclass(frozen=True, slots=True)
class RunFiles:
    """Sizes of the files of a run."""

    journal_bytes: int
    tape_bytes: int
    log_bytes: int


def run_files(run_dir: Path) -> RunFiles:
    """Sizes of journal (with its write-ahead log), tape and logs of a run directory."""
    return RunFiles(
        journal_bytes=_total(run_dir.glob("journal.db*")),
        tape_bytes=_total(run_dir.glob("tape/*")),
        log_bytes=_total(run_dir.glob("logs/**/*")),
    )


def _total(paths: Iterable[Path]) -> int:
    total = 0
    for path in paths:
        try:
            total += path.stat().st_size
        except FileNotFoundError:
            # Sealed, rotated or checkpointed away between listing and measuring.
            continue
    return total
