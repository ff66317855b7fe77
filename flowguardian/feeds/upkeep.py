"""What keeps a feed whole while it runs: back-fill, proof of quiet, filters, clock.

Rule: nothing here ends a running feed. A question that fails is counted and asked again later, never in a
storm; what cannot be had by its deadline becomes a gap that the journal shows.
"""

from __future__ import annotations

from collections.abc import Sequence

from flowguardian.execution.events import InstrumentsSet
from flowguardian.feeds.base import FeedOptions, VenueRefused
from flowguardian.feeds.continuity import NO_ID
from flowguardian.feeds.intake import Intake
from flowguardian.feeds.rest import RECOVERABLE, Rest
from flowguardian.market.instruments import Instrument
from flowguardian.market.records import SECOND_NS

_ROUNDS = 5
"""Pages asked for in one go: 5,000 trades, far more than two seconds of any market hide."""
_REFUSED_NS = 60 * SECOND_NS


class Upkeep:
    """The REST side of a running feed; `now_ns` is the run clock."""

    def __init__(
        self, rest: Rest, intake: Intake, options: FeedOptions, instruments: Sequence[Instrument]
    ) -> None:
        self.instruments = tuple(instruments)
        self.halted: tuple[str, ...] = ()
        self._rest, self._intake, self._options = rest, intake, options
        self._silent_after_refusal_ns = 0
        self._refreshed_ns = self._measured_ns = 0
        self._proved_ns = [0] * len(intake.symbols)

    def begin(self, now_ns: int) -> None:
        self._refreshed_ns = self._measured_ns = now_ns

    async def backfill(self, index: int, number: int, now_ns: int) -> None:
        """Ask for what is missing from an id on, page by page."""
        symbol, line = self._intake.symbols[index], self._intake.lines[index]
        wanted: int | None = number
        for _ in range(_ROUNDS):
            if wanted is None or now_ns < self._silent_after_refusal_ns:
                return
            try:
                trades = await self._rest.trades(symbol, wanted)
            except RECOVERABLE as error:
                self._failed(error, now_ns)
                return
            self._intake.fill(index, trades, now_ns)
            wanted = line.wants(now_ns) if line.waiting and trades else None

    async def prove_quiet(self, index: int, now_ns: int) -> bool:
        """Whether the venue's last trade is one that we have: then the stream is quiet, not dead."""
        if now_ns < self._silent_after_refusal_ns:
            return False
        intake = self._intake
        try:
            trades = await self._rest.trades(intake.symbols[index], None, 1)
        except RECOVERABLE as error:
            self._failed(error, now_ns)
            return False
        line = intake.lines[index]
        if trades and line.last_id == NO_ID:
            line.last_id = trades[-1].id
        if trades and trades[-1].id > line.last_id:
            return False
        intake.freshness.saw(intake.names[index][0], now_ns)
        return True

    async def heal_silence(self, now_ns: int) -> list[int]:
        """Judge the ages; returns the kinds (0 trades, 1 quotes, 2 marks) whose sockets are to be renewed."""
        intake = self._intake
        silent = set(intake.freshness.judge(now_ns))
        renew = set()
        for index, names in enumerate(intake.names):
            for kind, name in enumerate(names):
                if name not in silent:
                    continue
                if kind == 0:
                    if now_ns - self._proved_ns[index] < self._options.silence_seconds * SECOND_NS / 3:
                        continue
                    self._proved_ns[index] = now_ns
                    if await self.prove_quiet(index, now_ns):
                        continue
                renew.add(kind)
        return sorted(renew)

    async def look(self, now_ns: int, stamp_ns: int) -> InstrumentsSet | None:
        """Filters and clock when they are due; a fact when a filter has changed."""
        if now_ns - self._measured_ns >= self._options.clock_seconds * SECOND_NS:
            self._measured_ns = now_ns
            try:
                await self._rest.measure_clock(keep=True)
            except RECOVERABLE as error:
                self._failed(error, now_ns)
        if now_ns - self._refreshed_ns < self._options.refresh_seconds * SECOND_NS:
            return None
        self._refreshed_ns = now_ns
        try:
            info = await self._rest.venue_info(self._intake.symbols)
        except RECOVERABLE as error:
            self._failed(error, now_ns)
            return None
        self.halted = info.halted + info.missing
        found = {instrument.symbol: instrument for instrument in info.instruments}
        # A symbol that is gone keeps its last filters: an open position must still be closable by them.
        fresh = tuple(found.get(old.symbol, old) for old in self.instruments)
        if fresh == self.instruments:
            return None
        self._intake.counts.filter_changes += sum(
            a != b for a, b in zip(fresh, self.instruments, strict=True)
        )
        self.instruments = fresh
        return InstrumentsSet(stamp_ns, fresh)

    def _failed(self, error: Exception, now_ns: int) -> None:
        self._intake.counts.rest_failures += 1
        self._intake.odd.keep(type(error).__name__, str(error))
        if isinstance(error, VenueRefused):
            self._silent_after_refusal_ns = now_ns + _REFUSED_NS
