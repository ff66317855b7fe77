"""Times, memory and the machine they were taken on.

Rule: a figure is a median of repeats, and stands beside the machine, versions and load it was taken with.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import psutil

VERSIONS = ("numpy", "numba", "msgspec", "pyarrow", "pydantic")


def timed(work: Callable[[], object], repeats: int) -> list[float]:
    """Seconds of each repeat."""
    found = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        found.append(time.perf_counter() - began)
    return found


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which that share of them lies (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def spread_pct(values: Sequence[float]) -> float:
    """Largest distance from the median, in % of it."""
    middle = median(values)
    return max(abs(value - middle) for value in values) * 100 / middle


def machine() -> dict[str, Any]:
    """What the figures were taken on."""
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {name: version(name) for name in VERSIONS},
        "load": [round(value, 2) for value in psutil.getloadavg()],
    }


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
