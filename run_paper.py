"""Paper trading of one strategy: options become settings, then `flowguardian paper` runs supervised."""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime

from flowguardian.ops.launcher import launch


def main() -> int:
    """Translate the options and launch; a dead supervisor is started again."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", help="configuration file")
    parser.add_argument("--venue", help="binance, binance-testnet, local or direct")
    parser.add_argument("--strategy", help="run this strategy alone")
    parser.add_argument("--symbol", action="append", help="trade this symbol; may be given several times")
    parser.add_argument("--timeframe", help="bar length, as 1m")
    parser.add_argument("--duration-hours", type=float, help="run time in hours")
    parser.add_argument("--duration-mode", choices=["wall_clock", "market_time"])
    name = f"runs/{datetime.now(UTC):%Y%m%d-%H%M%S}-paper"
    parser.add_argument("--run-dir", default=name, help="a run it holds already goes on")
    known, passed_on = parser.parse_known_args()
    argv = [sys.executable, "-m", "flowguardian", "paper", "--run-dir", known.run_dir]
    if known.config:
        argv += ["--config", known.config]
    sets = {
        "universe.symbols": f"[{','.join(known.symbol)}]" if known.symbol else None,
        "universe.timeframe": known.timeframe,
        "paper.duration_hours": known.duration_hours,
        "paper.duration_mode": known.duration_mode,
        "market.speed": {"wall_clock": "1", "market_time": "max"}.get(known.duration_mode or ""),
    }
    for key, value in sets.items():
        if value is not None:
            argv += ["--set", f"{key}={value}"]
    if known.venue:
        argv += ["--venue", known.venue]
    if known.strategy:
        argv += ["--strategy", known.strategy]
    return launch([*argv, *passed_on])


if __name__ == "__main__":
    sys.exit(main())
