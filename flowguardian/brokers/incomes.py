"""Money that moves without a trade, from the venue's own record of income: the only evidence of it.

Rule: events only say when to ask. A line is booked once, by its id, over restarts too; what is asked again
reaches back to the last moment at which wallet and books agreed, and further by what the venue may be late.
"""

from __future__ import annotations

import structlog

from flowguardian.brokers import answers
from flowguardian.brokers.answers import Income
from flowguardian.brokers.desk import Desk, amount_text
from flowguardian.brokers.signed import OutcomeUnknown, Refused
from flowguardian.execution import events as ev
from flowguardian.market.records import MINUTE_NS, SECOND_NS

INCOME = "/fapi/v1/income"
FUNDING, TRANSFER = "FUNDING_FEE", "TRANSFER"
PAGE = 1000
_WEIGHT = 30
_HOUR_NS = 60 * MINUTE_NS
"""Funding is settled at full hours; its line carries that hour and may be written a minute later."""
_LATE_NS = _HOUR_NS
_SETTLED_NS = 30 * SECOND_NS
_NS_PER_MS = 1_000_000
_TROUBLE = (Refused, OutcomeUnknown, answers.Unreadable)


class Incomes:
    """The income of one account since its run went live."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._told = set(desk.engine.portfolio.funded)
        """Lines that are booked or on their way into the books."""
        self._transfers: dict[int, int] = {}
        """What the owner moved in or out since the run went live, by the ids of its lines."""
        self._agreed_ns = 0
        self._asked_hour = 0
        self._is_told = self._is_asking = False
        self._log = structlog.get_logger("broker")

    def agreed(self, at_ns: int) -> None:
        """Wallet and books were equal at this moment: what was settled long before it is booked."""
        self._agreed_ns = at_ns

    def told(self) -> None:
        """An event told of funding: ask, and once more when others come meanwhile."""
        self._is_told = True
        if not self._is_asking:
            self._is_asking = True
            self._desk.spawn(self._answer())

    async def _answer(self) -> None:
        while self._is_told:
            self._is_told = False
            await self.look_for_funding()
        self._is_asking = False

    async def after_funding_time(self) -> None:
        """Once for every full hour that has passed, when the venue has had time to write it down."""
        hour = (self._desk.now_ns() - _SETTLED_NS) // _HOUR_NS
        if hour != self._asked_hour and await self.look_for_funding():
            self._asked_hour = hour

    async def look_for_funding(self) -> bool:
        """Book what was settled and is not booked; False when it could not be asked."""
        live_ns = self._desk.live_ns()
        if not live_ns:
            return True
        try:
            found = await self._listed(FUNDING, max(live_ns, self._agreed_ns - _LATE_NS))
        except _TROUBLE as error:
            self._log.warning("funding could not be looked up", why=str(error))
            return False
        for one in found:
            if one.tran_id not in self._told and one.symbol in self._desk.engine.instruments:
                self._told.add(one.tran_id)
                row = ev.FundingSettled(0, one.symbol, 0, 0, one.amount, one.tran_id, one.time_ns)
                self._desk.tell(row)
        return True

    @property
    def transferred(self) -> int:
        """Money of the wallet that is not of this run; what was moved last may not have been looked for."""
        return sum(self._transfers.values())

    def outside(self) -> str:
        """That money in words."""
        if not self._transfers:
            return ""
        many = "transfer" if len(self._transfers) == 1 else f"{len(self._transfers)} transfers, in all"
        return f"{many} of {amount_text(self.transferred)} USDT: not part of this run"

    async def look_for_transfers(self) -> bool:
        """Learn what was moved in or out; False when it could not be asked."""
        live_ns = self._desk.live_ns()
        try:
            found = await self._listed(TRANSFER, max(live_ns, self._agreed_ns - _LATE_NS)) if live_ns else []
        except _TROUBLE as error:
            self._log.warning("transfers could not be looked up", why=str(error))
            return False
        self._transfers |= {one.tran_id: one.amount for one in found}
        return True

    async def _listed(self, kind: str, from_ns: int) -> list[Income]:
        """All lines of a kind from a moment on, page by page; those at the seam of two pages come twice."""
        found: dict[int, Income] = {}
        start_ms = from_ns // _NS_PER_MS
        while True:
            asked = self._desk.signed.get(INCOME, _WEIGHT, incomeType=kind, startTime=start_ms, limit=PAGE)
            page = answers.incomes_of(await self._desk.ask(asked))
            found |= {one.tran_id: one for one in page}
            last_ms = page[-1].time_ns // _NS_PER_MS if page else start_ms
            if len(page) < PAGE or last_ms == start_ms:
                return [one for one in found.values() if one.asset == answers.QUOTE]
            start_ms = last_ms
