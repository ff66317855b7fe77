"""The real engine or the real supervisor of a run, with one trouble planted in its process.

Usage: python -m tests.e2e.troubled engine|supervisor TROUBLE RUN_DIR. Rule: it trades as the real one does.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from flowguardian.ops import engine_process
from flowguardian.ops.conduct import conduct


def nothing() -> None:
    """The control: no trouble."""


def error_record() -> None:
    """A record at ERROR of some library."""
    logging.getLogger("some.library").error("order lost")


def dead_thread() -> None:
    """An exception nobody catches, in a thread."""
    thread = threading.Thread(target=lambda: 1 // 0, name="planted")
    thread.start()
    thread.join()


def dead_task() -> None:
    """A task that dies and that nobody asks for its result."""

    async def die() -> None:
        raise LookupError("planted")

    async def leave() -> None:
        task = asyncio.create_task(die())
        await asyncio.sleep(0)
        del task

    # The engine's own loop is running: the task gets another one.
    thread = threading.Thread(target=lambda: asyncio.run(leave()))
    thread.start()
    thread.join()
    gc.collect()


def traceback_on_stderr() -> None:
    """What a crashed library or a grandchild leaves on stderr."""
    sys.stderr.write('Traceback (most recent call last):\n  File "x.py", line 7, in f\n')
    sys.stderr.write("ValueError: price 17 is odd\n")
    sys.stderr.flush()


def all_of_them() -> None:
    """One after the other."""
    for trouble in (error_record, dead_thread, dead_task, traceback_on_stderr):
        trouble()


TROUBLES: dict[str, Callable[[], None]] = {
    each.__name__: each
    for each in (nothing, error_record, dead_thread, dead_task, traceback_on_stderr, all_of_them)
}


class TroubledEngine(engine_process.EngineProcess):
    """Plants its trouble once it is live."""

    trouble: Callable[[], None] = staticmethod(nothing)

    async def prepare(self) -> None:
        """Go live, then trouble."""
        await super().prepare()
        self.trouble()


def main() -> int:
    """Entry."""
    place, trouble, run_dir = sys.argv[1], TROUBLES[sys.argv[2]], Path(sys.argv[3])
    if place == "engine":
        TroubledEngine.trouble = staticmethod(trouble)
        engine_process.EngineProcess = TroubledEngine  # type: ignore[misc]
        return engine_process.main(run_dir)
    planted: list[str] = []

    def plant(line: object) -> None:
        if not planted:
            planted.append(str(line))
            trouble()

    conduct(run_dir, language="en", twins={}, on_preflight=plant)
    return 0


if __name__ == "__main__":
    sys.exit(main())
