"""Runs a supervisor over the fake engine as a process of its own, for tests that end supervisors.

Rule: the exit codes are those the launcher knows.
"""

from __future__ import annotations

import sys
from pathlib import Path

from flowguardian.ops.launcher import crash_guard
from flowguardian.ops.log import configure_logging
from flowguardian.ops.platform_signals import INTERRUPTED_EXIT
from flowguardian.ops.supervisor import Supervisor, SupervisorOptions

OPTIONS = SupervisorOptions(
    check_interval_seconds=0.05,
    sample_interval_seconds=0.1,
    hang_timeout_seconds=20.0,
    stop_timeout_seconds=20.0,
    first_restart_delay_seconds=0.01,
    keep_awake=False,
)


def main() -> int:
    """Entry."""
    run_dir = Path(sys.argv[1])
    configure_logging("supervisor", run_dir / "logs", run_id=run_dir.name, console_level="WARNING")
    engine = [sys.executable, str(Path(__file__).with_name("fake_engine.py")), str(run_dir)]
    result = Supervisor(run_dir, engine, OPTIONS).run()
    return INTERRUPTED_EXIT if result.reason == "interrupted" else 0


if __name__ == "__main__":
    sys.exit(crash_guard(main))
