"""The person beside a simulated run, and an eye on the venue's own ledger.

Rule: the person halts, resumes and flattens by the run's command table like everybody; what the eye sees is
the venue's account, never the engine's books.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import NamedTuple

from flowguardian.execution.events import Command, TradingState
from flowguardian.market.records import SECOND_NS
from flowguardian.ops.commands import ask
from flowguardian.ops.engine_process import EngineProcess
from flowguardian.simulation.exchange import Exchange
from flowguardian.simulation.world import World

LOOK_SECONDS = 1.0
LAST_SECONDS = 90.0
"""So long before the end everything is closed."""
_RESUMES_SECONDS = 60.0


class Bare(NamedTuple):
    """A position without a stop at the venue, by market time."""

    symbol: str
    from_ns: int
    to_ns: int


class Watcher:
    """Looks once a second."""

    def __init__(self, world: World, exchange: Exchange, run_dir: Path) -> None:
        self.process: EngineProcess | None = None
        self.bare: list[Bare] = []
        self._world, self._exchange, self._run_dir = world, exchange, run_dir
        self._since: dict[str, int] = {}
        self._asked_at = -_RESUMES_SECONDS
        self._flattened = False

    async def watch(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            self._look_at_stops()
            if self.process is not None and self.process.loop.engine.live:
                self._operate(self.process, asyncio.get_running_loop().time())

    def _look_at_stops(self) -> None:
        desk = self._exchange.server.desk
        now_ns, state = desk.now_ns, desk.state
        held = {one.symbol for one in state.account.open_positions}
        bare = {symbol for symbol in held if not state.open_conditionals(symbol)}
        for symbol in sorted(self._since.keys() - bare):
            self.bare.append(Bare(symbol, self._since.pop(symbol), now_ns))
        for symbol in bare:
            self._since.setdefault(symbol, now_ns)

    def _operate(self, process: EngineProcess, now: float) -> None:
        loop = process.loop
        left_ns = self._world.hours * 3600 * SECOND_NS - loop.run_ns()
        if left_ns <= LAST_SECONDS * SECOND_NS:
            if not self._flattened:
                self._flattened = True
                ask(self._run_dir, Command.FLATTEN, "the simulation")
        elif loop.engine.view.trading_state is not TradingState.ACTIVE:
            healed = self._world.healed_at <= now
            if now - self._asked_at >= (5.0 if healed else _RESUMES_SECONDS):
                self._asked_at = now
                ask(self._run_dir, Command.RESUME, "the simulation")
