"""Hands messages to a sending process and hears its answer, never later than allowed; nothing here waits.

Rule: a channel has a sending process of its own, so that one that hangs holds up no other. A process that
does not answer is ended and the next message starts another. Addresses go through its stdin and come back out
of nothing it says.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import suppress

import msgspec

from flowguardian.notify.plan import Redactor
from flowguardian.notify.sending import TIMED_OUT_EXIT, Answer, Order
from flowguardian.ops.child import LineQueue
from flowguardian.ops.platform_process import kill_tree, start_child, start_time_of
from flowguardian.ops.platform_signals import Wake

START_SECONDS = 15.0
"""The first message of a sending process may take this much longer: it loads its libraries."""
IDLE_SECONDS = 60.0
"""A sending process without work ends after this time: it holds tens of megabytes of libraries."""
LOOK_SECONDS = 0.1
JOIN_SECONDS = 1.0


class SendingProcess:
    """The process behind the sender; its pipes are always emptied."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._process = start_child([sys.executable, "-m", "flowguardian.notify.sending"])
        self._start_time = start_time_of(self._process.pid) or 0.0
        self.stdout = LineQueue(self._process.stdout, "sending stdout", wake)
        self.stderr = LineQueue(self._process.stderr, "sending stderr", wake)

    def say(self, order: Order) -> None:
        """Give it a message; raises OSError when it is gone."""
        pipe = self._process.stdin
        assert pipe is not None  # noqa: S101 - start_child makes all three
        pipe.write(msgspec.json.encode(order) + b"\n")
        pipe.flush()

    def ended(self) -> int | None:
        """Its exit code, None while it runs."""
        return self._process.poll()

    def end(self) -> None:
        """End it and whatever it started."""
        kill_tree(self._process.pid, self._start_time)
        self._process.kill()
        self._process.wait()
        for lines in (self.stdout, self.stderr):
            lines.thread.join(JOIN_SECONDS)
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            # What was not written yet cannot be written any more.
            with suppress(OSError):
                if pipe is not None:
                    pipe.close()


class Sender:
    """The sending process of one channel, and at most one message on its way."""

    def __init__(self, redact: Redactor, on_answer: Callable[[], None]) -> None:
        self._redact, self._on_answer = redact, on_answer
        self._process: SendingProcess | None = None
        self._until = 0.0
        self._failed: Answer | None = None
        self.busy = False

    def begin(self, order: Order) -> None:
        """Put a message on its way; `answer` says what became of it."""
        fresh = self._process is None
        self.busy, self._failed = True, None
        self._until = time.monotonic() + order.seconds + (START_SECONDS if fresh else 1.0)
        try:
            self._process = self._process or SendingProcess(self._on_answer)
            self._process.say(order)
        except OSError as error:
            self.close()
            why = f"the sending process could not be reached: {error.strerror}"
            self.busy, self._failed = True, Answer(sent=False, why=why)

    def answer(self) -> Answer | None:
        """What became of the message; None while it is on its way. Whatever went wrong is an answer."""
        process, found = self._process, self._failed
        if process is not None and found is None:
            code = process.ended()
            lines = process.stdout.take()
            if lines:
                found = self._read(lines[-1])
            elif code is not None or time.monotonic() >= self._until:
                said = process.stderr.take()
                self.close()
                found = Answer(sent=False, why=self._redact(_ended(code, said)))
        if found is not None:
            self.busy, self._failed = False, None
            self._until = time.monotonic() + IDLE_SECONDS
        return found

    def rest(self) -> None:
        """Called while there is nothing to send."""
        if self._process is not None and not self.busy and time.monotonic() >= self._until:
            self.close()

    def send(self, order: Order) -> Answer:
        """Send one message and wait for its answer: for a command that does nothing else."""
        wake = Wake()
        self._on_answer = wake.set
        self.begin(order)
        while (answer := self.answer()) is None:
            wake.wait(LOOK_SECONDS)
        return answer

    def _read(self, line: str) -> Answer:
        try:
            answer = msgspec.json.decode(line, type=Answer)
        except msgspec.DecodeError:
            self.close()
            return Answer(sent=False, why="the sending process said something else")
        return Answer(answer.sent, " ".join(self._redact(answer.why).split()))

    def close(self) -> None:
        """End the sending process."""
        self.busy = False
        if self._process is not None:
            self._process.end()
            self._process = None


def _ended(code: int | None, said: list[str]) -> str:
    if code in (None, TIMED_OUT_EXIT):
        return "no answer in time"
    return f"the sending process ended with {code}: {said[-1] if said else 'it said nothing'}"
