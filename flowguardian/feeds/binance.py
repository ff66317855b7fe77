"""The Binance USD-M feed, and that of every venue that speaks its dialect, ours included.

Rule: the same frames go the same way whatever the venue; only the clock differs. Against a venue with a
control socket market time comes in slices (lock-step); against any other it is the venue's time by offset.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable, Sequence
from copy import copy
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from flowguardian.feeds.base import (
    Cursor,
    FeedOptions,
    Released,
    StreamSilent,
    VenueRefused,
    silence_limit_ns,
)
from flowguardian.feeds.intake import BOOK_TICKER, MARK_PRICE, Intake, stream_of
from flowguardian.feeds.limits import Limiter
from flowguardian.feeds.live import Live
from flowguardian.feeds.lockstep import Buffers, Control
from flowguardian.feeds.markets import history_rows
from flowguardian.feeds.network import HOST, Network
from flowguardian.feeds.pace import HostPace, MarketPace, Pace
from flowguardian.feeds.quality import DataQuality
from flowguardian.feeds.release import Release
from flowguardian.feeds.rest import Clock, Rest
from flowguardian.feeds.slices import Slices
from flowguardian.feeds.socket_group import SocketGroup
from flowguardian.feeds.sockets import StreamSocket
from flowguardian.feeds.upkeep import Upkeep
from flowguardian.feeds.venues import Venue
from flowguardian.market.instruments import Instrument
from flowguardian.market.records import ROW, SECOND_NS

Rows = npt.NDArray[np.void]

STREAMS_PER_SOCKET = 180
"""The venue allows 200 per connection."""
_FIRST_DELAY_SECONDS, _LOCKSTEP_FIRST_DELAY_SECONDS = 0.25, 0.01
"""Before a request is repeated; in slices the market stands meanwhile, and waiting longer changes nothing."""
_PATIENCE_SECONDS, _LOCKSTEP_PATIENCE_SECONDS = 150.0, 5.0
"""How long a request waits for the venue's limit before its question is given up."""
_HANG_SECONDS, _LOCKSTEP_HANG_SECONDS = 30.0, 200.0
"""Clock rows come each second; in slices a venue that is being restarted is waited for."""
_MARKET, _PUBLIC = "market", "public"


class BinanceFeed:
    """One market over sockets; see `base.Feed` for how it is used."""

    def __init__(
        self,
        venue: Venue,
        symbols: Sequence[str],
        options: FeedOptions,
        *,
        clock: Clock,
        limits_path: Path | None = None,
        lockstep_token: str = "",
        jitter: Callable[[], float] = random.random,
        network: Network = HOST,
    ) -> None:
        self.symbols = tuple(symbols)
        self.instruments: tuple[Instrument, ...] = ()
        self.feed_kind = venue.feed_kind
        self.start_ns = 0
        self._token = lockstep_token if venue.control else ""
        if self._token:
            options = msgspec.structs.replace(options, clock_seconds=float("inf"))
        self.venue, self._options = venue, options
        self.limiter = Limiter(limits_path, share=options.weight_share)
        self._rest = Rest(
            venue.rest,
            self.limiter,
            clock,
            first_delay_seconds=_LOCKSTEP_FIRST_DELAY_SECONDS if self._token else _FIRST_DELAY_SECONDS,
            patience_seconds=_LOCKSTEP_PATIENCE_SECONDS if self._token else _PATIENCE_SECONDS,
            jitter=jitter,
            network=network,
        )
        self._jitter, self.network = jitter, network
        self._market_pace = MarketPace()
        self.pace: Pace = self._market_pace if self._token else HostPace()
        self._history = np.zeros(0, ROW)
        self._connected = 0
        self.patience_seconds = _LOCKSTEP_HANG_SECONDS if self._token else _HANG_SECONDS
        self._slices: Slices | None = None
        self._prepare_parts(Cursor())

    def _prepare_parts(self, cursor: Cursor) -> None:
        options = self._options
        self.intake = Intake(
            self.symbols,
            quote_interval_ns=options.quote_interval_ns,
            gap_deadline_ns=options.gap_deadline_ns,
            silence_ns=silence_limit_ns(options),
            max_held_rows=options.max_held_rows,
            last_ids=cursor.trade_ids,
            last_ns=cursor.after_ns,
        )
        self._upkeep = Upkeep(self._rest, self.intake, options, ())
        self._release = Release(self.symbols, options.clock_interval_ns, cursor.after_ns)
        plan = dict(self._plan())
        self.group = SocketGroup(plan, round(options.silence_seconds * SECOND_NS))
        self._live = Live(
            self.venue.operator,
            self._rest,
            self.intake,
            self._upkeep,
            self._release,
            self.group,
            options,
            self,
        )
        if self._token:
            self._slices = Slices(
                Control(_with_query(self.venue.control, lockstep=self._token)),
                Buffers(list(plan)),
                self.intake,
                self._upkeep,
                self._release,
                options,
                self,
            )

    # ---- start

    async def start(self, cursor: Cursor) -> None:
        """Connect and prove; raises a FeedError that says what is missing."""
        self._prepare_parts(cursor)
        await self._rest.measure_clock()
        info = await self._rest.venue_info(self.symbols)
        dead = (*info.missing, *info.halted)
        known = {instrument.symbol: instrument for instrument in (*cursor.instruments, *info.instruments)}
        if (dead and not cursor.next_ns) or not known.keys() >= set(self.symbols):
            raise VenueRefused(
                f"{self.venue.rest}: not listed: {', '.join(info.missing) or 'none'}; not trading: "
                f"{', '.join(info.halted) or 'none'}. Take these symbols out of the universe."
            )
        self.instruments = tuple(known[symbol] for symbol in self.symbols)
        self._upkeep.instruments = self.instruments
        # A run that goes on keeps its open positions in symbols that the venue gave up meanwhile.
        self._upkeep.halt(dead, cursor.after_ns)
        self._open_sockets()
        if self._slices is not None:
            if not await self.sockets_up(self._options.gate_seconds):
                raise self.silent(sorted(self.group.down()))
            ready = await self._slices.begin(cursor.next_ns)
            self.start_ns = ready.market_ns
            self._market_pace.begin(self.start_ns)
            self._release.last_ns = max(cursor.after_ns, self.start_ns - 1)
            if cursor.next_ns and self.start_ns > cursor.next_ns:
                # The market ran on without us.
                await self._upkeep.catch_up(self.start_ns)
            if not cursor.next_ns:
                await self._read_history(self.start_ns)
        else:
            self.start_ns = await self._live.begin(cursor, self._read_history)
        self._upkeep.begin(self.start_ns)
        self._connected = self.group.times_connected(_MARKET)

    def _plan(self) -> list[tuple[str, list[str]]]:
        """Sockets by name with their streams."""
        wanted = {
            _PUBLIC: [stream_of(symbol, BOOK_TICKER) for symbol in self.symbols],
            _MARKET: [
                stream_of(symbol, kind)
                for symbol in self.symbols
                for kind in (self.intake.trade_stream, MARK_PRICE)
            ],
        }
        return [
            (f"{path}{number // STREAMS_PER_SOCKET}", streams[number : number + STREAMS_PER_SOCKET])
            for path, streams in wanted.items()
            for number in range(0, len(streams), STREAMS_PER_SOCKET)
        ]

    def _open_sockets(self) -> None:
        bases = {_PUBLIC: self.venue.ws_public, _MARKET: self.venue.ws_market}
        for name, streams in self._plan():
            url = f"{bases[name.rstrip('0123456789')]}/stream?streams={'/'.join(streams)}"
            if self._token:
                url = _with_query(url, lockstep=self._token, socket=name)
            self.group.sockets[name] = StreamSocket(
                name,
                url,
                self._live.take if self._slices is None else self._slices.buffers.put,
                self._options,
                self.intake.counts,
                room=self._live.room,
                went_down=self._live.woken if self._slices is None else self._slices.buffers.lost,
                pace=self.pace,
                network=self.network,
                proxied=self.venue.tls,
                # In slices the same market sees the same attempts.
                jitter=random.Random(name).random if self._token else self._jitter,  # noqa: S311 - no secret
            )
        for socket in self.group.sockets.values():
            socket.begin()

    def silent(self, missing: Sequence[str]) -> StreamSilent:
        errors = self.group.errors()
        streams = ", ".join(missing[:8]) + (" …" if len(missing) > 8 else "")
        return StreamSilent(
            f"{self.venue.name}: no message within {self._options.gate_seconds:g} s on {streams} "
            f"({'; '.join(errors) or 'the sockets are connected'}). "
            "A path that moved connects and stays silent: compare the addresses with the venue's documents."
        )

    async def _read_history(self, before_ns: int) -> None:
        options, bars = self._options, {}
        for index, symbol in enumerate(self.symbols):
            bars[index] = await self._rest.bars(symbol, before_ns, options.bar_ns, options.history_bars)
        self._history = history_rows(bars)

    def history(self) -> Rows:
        return self._history.copy()

    # ---- the rows

    def released(self) -> AsyncIterator[list[Released]]:
        return self._live.released() if self._slices is None else self._slices.released()

    async def ack(self) -> None:
        if self._slices is not None:
            await self._slices.ack()

    def waiting_facts(self) -> list[Released]:
        """What upkeep found since the last call, at the stamp of the last row."""
        facts: list[Released] = [
            msgspec.structs.replace(fact, ts_ns=self._release.last_ns) for fact in self._upkeep.facts
        ]
        self._upkeep.facts.clear()
        self.instruments = self._upkeep.instruments
        return facts

    async def heal(self, now_ns: int) -> None:
        """Look after silent streams, filters and clock at this moment of the run clock."""
        if self._slices is not None:
            self._rest.set_now(now_ns)
            self._market_pace.moved(now_ns)
        await self.ask_what_was_missed(now_ns)
        dead = await self._upkeep.heal_silence(now_ns)
        if dead:
            self.intake.counts.silences += 1
            self.group.revive(dead, self.intake.freshness.fresh(now_ns), now_ns)
        await self._upkeep.look(now_ns)

    async def ask_what_was_missed(self, now_ns: int) -> None:
        """After a reconnect: a symbol that has not traded since would not show what it lost."""
        connected = self.group.times_connected(_MARKET)
        if connected != self._connected:
            self._connected = connected
            self._upkeep.connected_anew()
        if self._upkeep.behind:
            await self._upkeep.catch_up(now_ns)

    def renew_all(self) -> None:
        """Drop every connection; each comes back by its owner, by real time as long as the market stands."""
        self._market_pace.stand()
        self.group.renew_all()

    async def sockets_up(self, seconds: float) -> bool:
        """Whether every socket is connected, waiting a bounded time for those that are not."""
        self._live.check_tasks()
        return await self.group.all_up(seconds)

    async def settle(self, seconds: float) -> None:
        """Wait for sockets that are connecting, and see whether a task died."""
        await self.group.settle(seconds)
        self._live.check_tasks()

    # ---- for whoever trades beside it

    def now_ns(self) -> int:
        """The venue's time; in slices where the market was last seen to stand."""
        return self._rest.now_ns() if self._slices is None else self._market_pace.now_ns

    def look_at_filters(self) -> None:
        """An order was refused for its filters: read them anew at the next look."""
        self._upkeep.look_soon(self.now_ns())

    def wall_ns(self) -> int:
        """Host UTC."""
        return self._rest.wall_ns()

    def run_ms(self) -> int:
        """The time that request limits and bans go by."""
        return self._rest.run_ms()

    # ---- the end

    def stats(self) -> DataQuality:
        freshness = self.intake.freshness
        return DataQuality(
            counts=copy(self.intake.counts),
            longest_silence_ns=dict(freshness.longest_ns),
            # In slices a row is as late as its slice is long: that says nothing.
            latency_us={} if self._slices is not None else self.intake.latencies.by_edge_us(),
            fresh_ns=freshness.fresh_ns,
            judged_ns=freshness.judged_ns,
            clock_offset_ns=self._rest.offset_ns,
            clock_skew_ns=self._rest.skew_ns,
            used_weight=self.limiter.used,
            odd_frames=self.intake.odd.kept(),
            halted=self._upkeep.halted,
        )

    async def drain(self) -> list[Released]:
        if self._slices is None:
            return await self._live.drain()
        await self._slices.pause()
        return []

    async def close(self) -> None:
        if self._slices is not None:
            await self._slices.close()
        await self._live.close()
        await self.group.close()
        await self._rest.close()


def _with_query(url: str, **values: str) -> str:
    """The address with more query parameters."""
    query = "&".join(f"{key}={value}" for key, value in values.items())
    return f"{url}{'&' if '?' in url else '?'}{query}"
