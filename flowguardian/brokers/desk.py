"""What the parts of a live broker share: counted requests, tasks that do not die unseen, facts in order.

Rule: nothing here knows an order. Facts wait in one queue in the order in which they were proved; whoever
takes them stamps them.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from flowguardian.brokers.signed import Signed
from flowguardian.execution.engine import Engine
from flowguardian.execution.events import Row
from flowguardian.execution.money import decimal
from flowguardian.feeds.pace import Pace

_HOPS = 4


@dataclass(frozen=True, slots=True)
class LiveOptions:
    """Times in seconds of the run clock."""

    tag: str
    """Begins the client id of every order of this run: letters, digits and `-`, at most 20."""
    max_send_age_seconds: float = 1.0
    naked_seconds: float = 5.0
    reconcile_seconds: float = 10.0
    evidence_seconds: float = 300.0
    stop_gap: int = 100_000
    """How far beyond the engine's stop the one at the venue lies, as a ratio (1e-8): 0.1 %."""


class Desk:
    """One account at one venue, and the engine it trades for."""

    def __init__(
        self,
        signed: Signed,
        engine: Engine,
        options: LiveOptions,
        *,
        pace: Pace,
        now_ns: Callable[[], int],
        live_ns: Callable[[], int],
        on_facts: Callable[[], None],
    ) -> None:
        self.signed, self.engine, self.options, self.pace = signed, engine, options, pace
        self.now_ns = now_ns
        self.live_ns = live_ns
        """When the run went live: what was before is not its own. 0 = not yet."""
        self.facts: deque[Row] = deque()
        self.activity = 0
        """Grows with every order and every fact: what was asked before may be old."""
        self._on_facts = on_facts
        self._tasks: set[asyncio.Task[None]] = set()
        self._requests = 0
        self._quiet = asyncio.Event()
        self._quiet.set()

    def tell(self, *facts: Row) -> None:
        """Add facts that are proved."""
        if facts:
            self.activity += 1
            self.facts.extend(facts)
            self._on_facts()

    async def ask(self, request: Coroutine[Any, Any, Any]) -> Any:
        """A request, counted while it is on its way."""
        self._requests += 1
        self._quiet.clear()
        try:
            return await request
        finally:
            self._requests -= 1
            if not self._requests:
                self._quiet.set()

    async def quiet(self, seconds: float) -> bool:
        """Wait, a bounded time, until no request is on its way."""
        try:
            async with asyncio.timeout(seconds):
                for _ in range(_HOPS):
                    await asyncio.sleep(0)  # A task that was just started gets to its request.
                while self._requests:
                    await self._quiet.wait()
                    await asyncio.sleep(0)  # One request may be followed by another at once.
        except TimeoutError:
            return False
        return True

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something beside the loop."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def check(self) -> None:
        """Raise what ended a task, if something did."""
        for task in tuple(self._tasks):
            if task.done():
                task.result()

    async def close(self) -> None:
        """End every task and every connection."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.signed.close()

    def _ended(self, task: asyncio.Task[None]) -> None:
        if task.cancelled() or task.exception() is None:
            self._tasks.discard(task)


def amount_text(amount: int) -> str:
    """An amount as the venue writes it, without an exponent."""
    return f"{decimal(amount).normalize():f}"


def side_text(side: int) -> str:
    """BUY or SELL."""
    return "BUY" if side > 0 else "SELL"
