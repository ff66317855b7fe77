"""The dashboard as a process: `python -m flowguardian.dashboard RUN_DIR [--port 0]`.

Rule: its first line on stdout is its address; it ends by a signal, and with the process that started it.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from flowguardian.dashboard.launch import ready_line, settings_of
from flowguardian.dashboard.server import listen, serve
from flowguardian.dashboard.watch import RunWatch
from flowguardian.ops.platform_process import PARENT_PID, die_with_parent

EXIT_USAGE = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve the page of one run until told to stop."""
    parser = argparse.ArgumentParser(prog="python -m flowguardian.dashboard", description=__doc__)
    parser.add_argument("run_dir", type=Path)
    parser.add_argument("--port", type=int, default=0)
    options = parser.parse_args(arguments)
    if PARENT_PID in os.environ:
        die_with_parent()
    if not options.run_dir.is_dir():
        sys.stderr.write(f"{options.run_dir}: no such run directory. Check the path.\n")
        return EXIT_USAGE
    try:
        listener = listen(options.port)
    except (OSError, OverflowError) as error:
        sys.stderr.write(f"port {options.port} cannot be used: {error}. Choose another, or 0 for any.\n")
        return EXIT_USAGE
    watch = RunWatch(options.run_dir, settings_of(options.run_dir))
    asyncio.run(serve(watch, listener, _announce))
    return 0


def _announce(url: str) -> None:
    sys.stdout.write(ready_line(url) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
