"""The engine child of `accept --break`: the real one, with a planted budget leak.

Rule: it refuses anything but a rehearsal on the synthetic market.
"""

from __future__ import annotations

import sys
from pathlib import Path

from flowguardian.ops.engine_process import main
from flowguardian.ops.manifest import read_manifest
from flowguardian.simulation.leaks import LeakyPortfolio


def run(run_dir: Path) -> int:
    """One lifetime of the broken engine; exit code 2 when the run is not a synthetic rehearsal."""
    manifest = read_manifest(run_dir)
    if manifest.kind != "rehearsal" or not manifest.market.startswith("synthetic:") or not manifest.defect:
        sys.stderr.write(
            "a planted defect runs in a synthetic rehearsal started with --break, nowhere else\n"
        )
        return 2
    return main(run_dir, LeakyPortfolio)


if __name__ == "__main__":
    sys.exit(run(Path(sys.argv[1])))
