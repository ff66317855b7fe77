"""Ctrl-C, SIGTERM and CTRL_BREAK as one thing: somebody asks this process to stop.

Rule: a handler only counts and wakes; it takes no lock, so it cannot deadlock the code it interrupted.
asyncio's add_signal_handler is not used: Windows does not have it.
"""

from __future__ import annotations

import queue
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

if sys.platform == "win32":
    GRACEFUL_SIGNAL: int = signal.CTRL_BREAK_EVENT
else:
    GRACEFUL_SIGNAL: int = signal.SIGTERM
"""What asks another process to end in order."""
FAST_STOP: int = signal.SIGINT
"""What asks a Postgres to end without waiting for its clients (POSIX)."""

INTERRUPTED_EXIT = 130


def stop_signals() -> tuple[signal.Signals, ...]:
    """The signals that mean stop on this system."""
    if sys.platform == "win32":
        return (signal.SIGINT, signal.SIGTERM, signal.SIGBREAK)
    # A shell that said `nohup` wants the run to outlive its terminal.
    if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
        return (signal.SIGINT, signal.SIGTERM)
    return (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def on_stop_signal(react: Callable[[str], None]) -> Iterator[None]:
    """While inside, stop signals call `react(name)` instead of ending the process.

    Only a main thread can handle signals; elsewhere this does nothing, and stopping is the caller's business.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(number: int, _frame: FrameType | None) -> None:
        react(signal.Signals(number).name)

    before = {number: signal.signal(number, handle) for number in stop_signals()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)


class Wake:
    """Lets threads and signal handlers interrupt the pause of a loop.

    SimpleQueue.put may be called from a signal handler that interrupted `get`; an Event may not.
    """

    def __init__(self) -> None:
        self._tokens: queue.SimpleQueue[None] = queue.SimpleQueue()

    def set(self) -> None:
        """End the present or the next pause."""
        if self._tokens.empty():
            self._tokens.put(None)

    def wait(self, timeout_seconds: float) -> None:
        """Pause until `set` or the timeout."""
        try:
            self._tokens.get(timeout=max(0.0, timeout_seconds))
        except queue.Empty:
            return
