"""Which waiting message goes to which channel now, and what follows from the answer.

Rule: a message is tried at growing intervals up to a limit; a channel that fails waits behind those that
work, and says so once, as a WARNING, until it works again.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping

from flowguardian.notify.outbox import SECOND_NS, Due, Outbox, State
from flowguardian.notify.plan import Plan, Redactor
from flowguardian.notify.sender import Sender
from flowguardian.notify.sending import Order
from flowguardian.notify.texts import Tell
from flowguardian.ops.log import get

MINUTE_NS = 60 * SECOND_NS
AT_ONCE_SECONDS = 0.02


class Delivery:
    """Sends what waits in the outbox, at most one message per channel and turn."""

    def __init__(
        self,
        outbox: Outbox,
        channels: Mapping[str, str],
        plan: Plan,
        redact: Redactor,
        stopping: Callable[[], bool],
    ) -> None:
        self._outbox, self._channels, self._plan = outbox, channels, plan
        self._sender = Sender(redact, stopping=stopping)
        self._stopping = stopping
        self._repeated = Tell(plan.language)("repeated")
        self._failures: Counter[str] = Counter()
        self._busy = False

    def turn(self, before_each: Callable[[], object]) -> None:
        """Try what is due; `before_each` is called before every attempt, because one can take its time."""
        self._busy = False
        for channel in sorted(self._channels, key=lambda name: self._failures[name]):
            if self._stopping():
                return
            before_each()
            now_ns = time.time_ns()
            full = self._outbox.tried_since(channel, now_ns - MINUTE_NS) >= self._plan.max_per_minute
            due = self._outbox.due(channel, now_ns, urgent_only=full)
            if due is not None:
                self._try(due)
                self._busy = True

    def pause(self, longest_seconds: float) -> float:
        """How long to wait until the next turn: hardly, while there is more to send."""
        return AT_ONCE_SECONDS if self._busy else longest_seconds

    def _try(self, due: Due) -> None:
        self._outbox.sending(due, time.time_ns())
        title = due.title + (self._repeated if due.repeated else "")
        kind = "warning" if due.urgent else "info"
        order = Order(self._channels[due.channel], title, due.body, kind, self._plan.send_timeout_seconds)
        answer = self._sender.send(order)
        if answer.sent:
            self._outbox.settle(due, State.SENT)
            if self._failures.pop(due.channel, 0):
                get("notify").info("the channel works again", channel=due.channel)
            return
        attempts = due.attempts + 1
        given_up = attempts >= self._plan.max_attempts
        due_ns = 0 if given_up else time.time_ns() + round(self._delay_seconds(attempts) * SECOND_NS)
        state = State.FAILED if given_up else State.WAITING
        self._outbox.settle(due, state, due_ns=due_ns, why=answer.why)
        self._failures[due.channel] += 1
        say = get("notify").warning if self._failures[due.channel] == 1 else get("notify").info
        say("a message could not be sent", channel=due.channel, why=answer.why, attempts=attempts)

    def _delay_seconds(self, attempts: int) -> float:
        grown = self._plan.retry_delay_seconds * 2.0 ** min(attempts - 1, 60)
        return min(self._plan.longest_retry_delay_seconds, grown)

    def close(self) -> None:
        """End the sending process."""
        self._sender.close()
