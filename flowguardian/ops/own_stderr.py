"""The stderr of this process: everything passes unchanged, and a traceback in it is reported as well.

Rule: a process that watches its children's stderr leaves no way of its own by which trouble stays unseen.
"""

from __future__ import annotations

import io
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from flowguardian.ops.incidents import TracebackFinder


class HeardStderr(io.TextIOBase):
    """A text stream in front of another one; `report(what, text)` is called for each traceback."""

    def __init__(self, stream: TextIO, report: Callable[[str, str], None]) -> None:
        self._stream = stream
        self._finder = TracebackFinder(report)
        self._line = ""
        self._lock = threading.RLock()

    def write(self, text: str) -> int:
        """Pass a text on and look at the lines it completes."""
        with self._lock:
            self._stream.write(text)
            *lines, self._line = (self._line + text).split("\n")
            for line in lines:
                self._finder.feed(line)
        return len(text)

    def end(self) -> None:
        """Report what was begun."""
        with self._lock:
            self._finder.flush()

    def __getattr__(self, name: str) -> Any:
        # Mode, name and the like are those of the stream behind.
        return getattr(self._stream, name)

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """The encoding of the stream behind; the base class would say that there is none."""
        return self._stream.encoding

    def flush(self) -> None:
        """Flush the stream behind."""
        self._stream.flush()

    def isatty(self) -> bool:
        """Whether the stream behind is a terminal."""
        return self._stream.isatty()

    def fileno(self) -> int:
        """The descriptor of the stream behind."""
        return self._stream.fileno()

    def writable(self) -> bool:
        """Always."""
        return True


@contextmanager
def heard_stderr(report: Callable[[str, str], None]) -> Iterator[None]:
    """While inside, tracebacks that anything in this process writes to `sys.stderr` are reported."""
    before = sys.stderr
    heard = HeardStderr(before, report)
    sys.stderr = heard
    try:
        yield
    finally:
        sys.stderr = before
        heard.end()
