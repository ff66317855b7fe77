"""Which waiting message goes to which channel now, and what follows from the answer.

Rule: a message is tried at growing intervals up to a limit; channels do not wait for each other; one that
fails says so once, as a WARNING, until it works again. Nothing here waits.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from flowguardian.notify.outbox import SECOND_NS, Due, Outbox, State
from flowguardian.notify.plan import Plan, Redactor
from flowguardian.notify.sender import Sender
from flowguardian.notify.sending import Answer, Order
from flowguardian.notify.texts import Tell
from flowguardian.ops.log import get

MINUTE_NS = 60 * SECOND_NS
BUSY_SECONDS = 0.1


class Channel:
    """One channel: its address, its sending process, the message on its way."""

    def __init__(self, name: str, url: str, sender: Sender) -> None:
        self.name, self.url, self.sender = name, url, sender
        self.due: Due | None = None
        self.failures = 0
        """Failed attempts since the last that arrived."""


class Delivery:
    """Sends what waits in the outbox, one message per channel at a time."""

    def __init__(
        self,
        outbox: Outbox,
        channels: Mapping[str, str],
        plan: Plan,
        redact: Redactor,
        on_answer: Callable[[], None],
    ) -> None:
        self._outbox, self._plan = outbox, plan
        self._channels = [Channel(name, url, Sender(redact, on_answer)) for name, url in channels.items()]
        self._repeated = Tell(plan.language)("repeated")

    def turn(self) -> None:
        """Hear the answers that came and put on their way what is due."""
        for channel in self._channels:
            if channel.due is not None and (answer := channel.sender.answer()) is not None:
                due, channel.due = channel.due, None
                self._settle(channel, due, answer)
            if channel.due is None:
                self._begin(channel)

    def _begin(self, channel: Channel) -> None:
        now_ns = time.time_ns()
        full = self._outbox.tried_since(channel.name, now_ns - MINUTE_NS) >= self._plan.max_per_minute
        due = self._outbox.due(channel.name, now_ns, urgent_only=full)
        if due is None:
            channel.sender.rest()
            return
        self._outbox.sending(due, now_ns)
        title = due.title + (self._repeated if due.repeated else "")
        kind = "warning" if due.urgent else "info"
        channel.due = due
        channel.sender.begin(Order(channel.url, title, due.body, kind, self._plan.send_timeout_seconds))

    def pause(self, longest_seconds: float) -> float:
        """How long to wait until the next turn: not long, while something is on its way."""
        busy = any(channel.due is not None for channel in self._channels)
        return min(BUSY_SECONDS, longest_seconds) if busy else longest_seconds

    def _settle(self, channel: Channel, due: Due, answer: Answer) -> None:
        if answer.sent:
            self._outbox.settle(due, State.SENT)
            if channel.failures:
                get("notify").info("the channel works again", channel=channel.name)
            channel.failures = 0
            return
        attempts = due.attempts + 1
        given_up = attempts >= self._plan.max_attempts
        due_ns = 0 if given_up else time.time_ns() + round(self._delay_seconds(attempts) * SECOND_NS)
        state = State.FAILED if given_up else State.WAITING
        self._outbox.settle(due, state, due_ns=due_ns, why=answer.why)
        channel.failures += 1
        say = get("notify").warning if channel.failures == 1 else get("notify").info
        say("a message could not be sent", channel=channel.name, why=answer.why, attempts=attempts)

    def _delay_seconds(self, attempts: int) -> float:
        grown = self._plan.retry_delay_seconds * 2.0 ** min(attempts - 1, 60)
        return min(self._plan.longest_retry_delay_seconds, grown)

    def close(self) -> None:
        """End the sending processes; what was on its way is tried again by a successor, and says so."""
        for channel in self._channels:
            channel.sender.close()
