"""The supervised REAL PAPER run: started once, nobody has to watch; ends with its report."""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime

from flowguardian.ops.launcher import launch

CONFIG = "configs/scalping/real_paper_12h_v6_1_phase17.yml"


def main() -> int:
    """Launch `flowguardian paper` in real time; a dead supervisor is started again and resumes the run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", default=CONFIG)
    parser.add_argument(
        "--venue",
        help="binance (public data of the exchange) or local; one must be named, here or in the file",
    )
    parser.add_argument("--duration", default="12h", help="run time, as 12h, 60m or 10m")
    parser.add_argument("--check-interval", type=float, default=1.0, help="seconds between two looks")
    name = f"runs/{datetime.now(UTC):%Y%m%d-%H%M%S}-real-paper"
    parser.add_argument("--run-dir", default=name, help="a run it holds already goes on")
    known, passed_on = parser.parse_known_args()
    venue = ("--venue", known.venue) if known.venue else ()
    return launch(
        [
            *(sys.executable, "-m", "flowguardian", "paper", "--speed", "1", "--run-dir", known.run_dir),
            *venue,
            *("--config", known.config, "--duration", known.duration),
            *("--check-interval", str(known.check_interval), *passed_on),
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
