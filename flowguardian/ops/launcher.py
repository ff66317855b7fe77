"""The outermost process of a run: starts the supervisor command again when it died, nothing else.

Rule: standard library only, no state, nothing that could break; the supervisor finds the run in progress.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Sequence

from flowguardian.ops.platform_signals import INTERRUPTED_EXIT, Wake, on_stop_signal

NORMAL_EXITS = frozenset({0, 1, 2, 3, 4, INTERRUPTED_EXIT})
"""PASS, FAIL, config, preflight, INCONCLUSIVE, interrupted: ends the launcher hands on."""
CRASHED_EXIT = 70
"""Exit code of a process that ended by an uncaught exception (Python's own 1 would read as a verdict)."""


def launch(
    argv: Sequence[str],
    *,
    first_delay_seconds: float = 0.5,
    longest_delay_seconds: float = 30.0,
    max_restarts: int = 20,
    healthy_seconds: float = 60.0,
) -> int:
    """Run `argv` until it ends normally and return its exit code.

    Any other end (a signal, a crash) starts it again after a growing delay, at most `max_restarts` times in a
    row; a life of `healthy_seconds` starts the row anew. Then the last code is returned (128 + signal).
    """
    wake = Wake()
    asked: list[str] = []
    child: subprocess.Popen[bytes] | None = None

    def stop(name: str) -> None:
        asked.append(name)
        wake.set()
        # A Ctrl-C reaches the whole group of the terminal by itself; other signals only this process.
        if name != "SIGINT" and child is not None and child.poll() is None:
            child.terminate()

    with on_stop_signal(stop):
        attempts = 0
        while True:
            started = time.monotonic()
            child = subprocess.Popen(argv, env={**os.environ, "PYTHONUTF8": "1"})
            code = child.wait()
            if code in NORMAL_EXITS:
                return code
            attempts = 1 if time.monotonic() - started >= healthy_seconds else attempts + 1
            how = f"signal {-code}" if code < 0 else f"exit code {code}"
            if asked:
                return INTERRUPTED_EXIT
            if attempts > max_restarts:
                _say(f"the supervisor ended by {how} {attempts} times in a row; giving up")
                return 128 - code if code < 0 else code
            delay = min(longest_delay_seconds, first_delay_seconds * 2 ** (attempts - 1))
            _say(f"the supervisor ended by {how}; next start in {delay:g} s ({attempts}/{max_restarts})")
            wake.wait(delay)
            if asked:
                return INTERRUPTED_EXIT


def crash_guard(main: Callable[[], int]) -> int:
    """Run the supervisor command so that an uncaught exception is CRASHED_EXIT, never a verdict's code."""
    try:
        return main()
    except KeyboardInterrupt:
        return INTERRUPTED_EXIT
    except Exception:  # noqa: BLE001  (the edge of the process)
        traceback.print_exc()
        return CRASHED_EXIT


def _say(text: str) -> None:
    sys.stderr.write(f"launcher: {text}\n")
    sys.stderr.flush()
