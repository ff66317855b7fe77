"""What keeps a feed whole while it runs: back-fill, proof of quiet, filters, clock.

Rule: nothing here ends a running feed. A question that fails is counted and asked again later, never in a
storm; what cannot be had by its deadline becomes a gap that the journal shows.
"""

from __future__ import annotations

from collections.abc import Sequence

from flowguardian.execution.events import (
    ClockMeasured,
    InstrumentsSet,
    StreamRecovered,
    StreamWentSilent,
)
from flowguardian.feeds.base import Fact, FeedOptions, QuestionRefused, VenueRefused
from flowguardian.feeds.continuity import NO_ID
from flowguardian.feeds.intake import Intake
from flowguardian.feeds.rest import PAGE, RECOVERABLE, Rest
from flowguardian.market.instruments import Instrument
from flowguardian.market.records import SECOND_NS

_ROUNDS = 5
"""Pages asked for in one go: 5,000 trades, far more than two seconds of any market hide."""
_MOST_PAGES = 500
"""Half a million trades of one symbol: a day of a busy market."""
_REFUSED_NS = 60 * SECOND_NS
_SKEW_NS, _SKEWED_NS = SECOND_NS // 10, 30 * SECOND_NS
"""A clock that was found further off is measured this often: entries wait as long as it is wrong."""
_SOON_NS = 2 * SECOND_NS
"""Between two looks at the filters that refused orders ask for: a stop must be right before it is missed."""
_LONGEST_WAIT_NS = 8 * SECOND_NS
"""Between two questions to a venue that does not answer: its request weight must last for its return."""
TRADING = "trading"
"""Named like a stream in facts: a symbol that the venue does not trade any more brings nothing new."""


class Upkeep:
    """The REST side of a running feed; `now_ns` is the run clock."""

    def __init__(
        self, rest: Rest, intake: Intake, options: FeedOptions, instruments: Sequence[Instrument]
    ) -> None:
        self.instruments = tuple(instruments)
        self.halted: tuple[str, ...] = ()
        self._rest, self._intake, self._options = rest, intake, options
        self._refused_until_ns = self._waits_until_ns = 0
        self._failures = 0
        self._refreshed_ns = self._measured_ns = 0
        self._proved_ns = [0] * len(intake.symbols)
        self.behind = False
        """Whether trades may have been missed that no later trade has shown."""
        self.facts: list[Fact] = []
        """What was found since the feed last took them; it stamps them."""
        self._silent: dict[tuple[str, str], int] = {}

    def begin(self, now_ns: int) -> None:
        self._refreshed_ns = self._measured_ns = now_ns

    async def backfill(self, index: int, number: int, now_ns: int) -> None:
        """Ask for what is missing from an id on, page by page."""
        symbol, line = self._intake.symbols[index], self._intake.lines[index]
        wanted: int | None = number
        for _ in range(_ROUNDS):
            if wanted is None or not self._may_ask(now_ns):
                return
            try:
                trades = await self._rest.trades(symbol, wanted)
            except RECOVERABLE as error:
                self._failed(error, now_ns)
                return
            self._failures = 0
            self._intake.fill(index, trades, now_ns)
            wanted = line.wants(now_ns) if line.waiting and trades else None

    async def catch_up(self, now_ns: int) -> None:
        """Everything traded since the last ids; what fails is asked again when the feed comes by later."""
        if not self._may_ask(now_ns):
            return
        for index in range(len(self._intake.symbols)):
            if not await self._catch_up(index, now_ns):
                self.behind = True
                return
        self.behind = False

    async def _catch_up(self, index: int, now_ns: int) -> bool:
        """One symbol, page by page; without an id nothing can be missed."""
        symbol, line = self._intake.symbols[index], self._intake.lines[index]
        for _ in range(_MOST_PAGES):
            if line.last_id == NO_ID or symbol in self.halted:
                break
            try:
                trades = await self._rest.trades(symbol, line.first_missing())
            except RECOVERABLE as error:
                self._failed(error, now_ns)
                return isinstance(error, QuestionRefused)  # The next symbol is another question.
            self._failures = 0
            self._intake.missed(index, trades, now_ns)
            if len(trades) < PAGE:
                break
        return True

    async def prove_quiet(self, index: int, now_ns: int) -> bool:
        """Whether the venue's last trade is one that we have: then the stream is quiet, not dead."""
        if not self._may_ask(now_ns):
            return False
        intake = self._intake
        try:
            trades = await self._rest.trades(intake.symbols[index], None, 1)
        except RECOVERABLE as error:
            self._failed(error, now_ns)
            return False
        self._failures = 0
        line = intake.lines[index]
        if trades and line.last_id == NO_ID:
            line.last_id = trades[-1].id
        if trades and trades[-1].id > line.last_id:
            return False
        intake.freshness.saw(intake.names[index][0], now_ns)
        return True

    async def heal_silence(self, now_ns: int) -> set[str]:
        """Judge the ages; returns the streams that a new connection may bring back."""
        intake = self._intake
        silent = set(intake.freshness.judge(now_ns))
        dead: set[str] = set()
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
                dead.add(name)
        self._tell_silence(now_ns)
        return dead

    def _tell_silence(self, now_ns: int) -> None:
        """A stream that became silent, or came back, is a fact; a silent one has the filters looked at."""
        intake = self._intake
        silent = set(intake.freshness.silent(now_ns))
        limit_ns = intake.freshness.limit_ns
        for symbol, names in zip(intake.symbols, intake.names, strict=True):
            if symbol in self.halted:
                continue  # What it said last stays said until it is traded again.
            for name in names:
                self._mark(symbol, name.partition("@")[2], name in silent, intake.freshness.last_ns(name),
                           limit_ns, now_ns)  # fmt: skip

    def _mark(
        self, symbol: str, stream: str, silent: bool, since_ns: int, limit_ns: int, now_ns: int
    ) -> None:
        known = self._silent.get((symbol, stream))
        if silent and known is None:
            self._silent[symbol, stream] = since_ns
            self.facts.append(StreamWentSilent(0, symbol, stream, since_ns, limit_ns))
            if now_ns - self._refreshed_ns > _REFUSED_NS:
                self._refreshed_ns = 0  # The venue may have stopped trading it.
        elif not silent and known is not None:
            del self._silent[symbol, stream]
            self.facts.append(StreamRecovered(0, symbol, stream, now_ns - known))

    def halt(self, symbols: Sequence[str], now_ns: int) -> None:
        """These symbols and no others are not traded: their silence is the venue's word and no fault."""
        intake = self._intake
        self.halted = tuple(symbols)
        intake.freshness.retired = frozenset(
            name
            for symbol, names in zip(intake.symbols, intake.names, strict=True)
            if symbol in self.halted
            for name in names
        )
        for symbol in intake.symbols:
            self._mark(symbol, TRADING, symbol in self.halted, now_ns, 0, now_ns)

    def look_soon(self, now_ns: int) -> None:
        """Look at the filters at the next occasion, not oftener than every few seconds."""
        if now_ns - self._refreshed_ns > _SOON_NS:
            self._refreshed_ns = 0

    async def look(self, now_ns: int) -> None:
        """Filters and clock when they are due; facts when a filter has changed or the clock was measured."""
        every_ns = self._options.clock_seconds * SECOND_NS
        if abs(self._rest.skew_ns) > _SKEW_NS:
            every_ns = min(every_ns, _SKEWED_NS)
        if now_ns - self._measured_ns >= every_ns:
            self._measured_ns = now_ns
            try:
                await self._rest.measure_clock(keep=True)
                self.facts.append(ClockMeasured(0, self._rest.skew_ns))
            except RECOVERABLE as error:
                self._failed(error, now_ns)
        if now_ns - self._refreshed_ns < self._options.refresh_seconds * SECOND_NS:
            return
        self._refreshed_ns = now_ns
        try:
            info = await self._rest.venue_info(self._intake.symbols)
        except RECOVERABLE as error:
            self._failed(error, now_ns)
            return
        self.halt(info.halted + info.missing, now_ns)
        found = {instrument.symbol: instrument for instrument in info.instruments}
        # A symbol that is gone keeps its last filters: an open position must still be closable by them.
        fresh = tuple(found.get(old.symbol, old) for old in self.instruments)
        if fresh == self.instruments:
            return
        self._intake.counts.filter_changes += sum(
            a != b for a, b in zip(fresh, self.instruments, strict=True)
        )
        self.instruments = fresh
        self.facts.append(InstrumentsSet(0, fresh))

    def connected_anew(self) -> None:
        """The venue takes connections again: what waited for its return may be asked at once."""
        self._waits_until_ns = self._failures = 0
        self.behind = True

    def _may_ask(self, now_ns: int) -> bool:
        return now_ns >= max(self._refused_until_ns, self._waits_until_ns)

    def _failed(self, error: Exception, now_ns: int) -> None:
        self._intake.counts.rest_failures += 1
        self._intake.odd.keep(type(error).__name__, str(error))
        if isinstance(error, VenueRefused) and not isinstance(error, QuestionRefused):
            self._refused_until_ns = now_ns + _REFUSED_NS
        elif not isinstance(error, QuestionRefused):
            self._waits_until_ns = now_ns + min(_LONGEST_WAIT_NS, SECOND_NS << self._failures)
            self._failures = min(self._failures + 1, 8)
