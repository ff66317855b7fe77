"""Opens the market of a venue: everything `feeds.recorded` opens, recorded frames, and the tape of a run.

Rule: what is opened covers its window as it stands; a recording is never repaired or made denser here.
"""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from flowguardian.feeds import wire
from flowguardian.feeds.blocks import clock_rows, merge
from flowguardian.feeds.markets import BarMarket, Market, bars_of, history_rows
from flowguardian.feeds.recorded import MarketSpecError, fitted, open_market
from flowguardian.market.instruments import INSTRUMENTS, Instrument, instrument_for
from flowguardian.market.records import MINUTE_NS, NO_SYMBOL, ROW, SECOND_NS, Flag, Kind

Rows = npt.NDArray[np.void]


class Opened(NamedTuple):
    """A market, and whether it settles funding."""

    market: Market
    has_funding: bool


class _Universe(msgspec.Struct):
    symbols: list[str]


class _Config(msgspec.Struct):
    """What is needed of the configuration of a run."""

    universe: _Universe


class RowMarket:
    """Market rows that lie in memory (index of `symbols` in `symbol`), sorted within each symbol."""

    def __init__(
        self, rows: Rows, symbols: Sequence[str], instruments: Sequence[Instrument], *, feed_kind: str,
        history: Rows | None = None, print_kinds: dict[tuple[int, int], str] | None = None,
    ) -> None:  # fmt: skip
        self.symbols, self.instruments = tuple(symbols), tuple(instruments)
        self.feed_kind = feed_kind
        self.print_kinds = print_kinds or {}
        self.start_ns = int(rows["venue_ns"].min()) // SECOND_NS * SECOND_NS
        self.end_ns = (int(rows["venue_ns"].max()) // SECOND_NS + 1) * SECOND_NS
        ticks = clock_rows(self.start_ns, self.end_ns, SECOND_NS)
        streams = [rows[(rows["symbol"] == s) & (rows["kind"] == kind)] for s in range(len(symbols))
                   for kind in (Kind.TRADE, Kind.TOP, Kind.MARK)]  # fmt: skip
        ordered = [part[np.lexsort((part["id"], part["venue_ns"]))] for part in streams]
        self._rows = merge([ticks, *ordered])
        self._times = np.ascontiguousarray(self._rows["venue_ns"])
        self._history = np.zeros(0, ROW) if history is None else history

    def rows(self, from_ns: int, to_ns: int) -> Rows:
        """Rows with from <= venue_ns < to; a copy."""
        low, high = np.searchsorted(self._times, (from_ns, to_ns))
        return self._rows[low:high].copy()

    def history(self, before_ns: int, bars: int) -> Rows:
        """Recorded history bars, and the whole minutes traded since."""
        end_ns = before_ns // MINUTE_NS * MINUTE_NS
        seen = self._rows[(self._rows["kind"] == Kind.TRADE) & (self._times < end_ns) & (self._rows["a"] > 0)]
        traded = history_rows({s: bars_of(seen[seen["symbol"] == s]) for s in range(len(self.symbols))})
        past = self._history[self._history["venue_ns"] < min(end_ns, self.start_ns // MINUTE_NS * MINUTE_NS)]
        joined = np.concatenate([past, traded[traded["venue_ns"] >= self.start_ns // MINUTE_NS * MINUTE_NS]])
        of_each = [joined[joined["symbol"] == s] for s in range(len(self.symbols))]
        out = np.concatenate([part[max(0, len(part) - bars) :] for part in of_each])
        return out[np.lexsort((out["symbol"], out["venue_ns"]))]


def open_venue_market(
    spec: str,
    symbols: Sequence[str] | None,
    *,
    start_ns: int | None = None,
    hours: float | None = None,
    history_bars: int = 240,
    seed: int = 0,
    prints_per_minute: int = 60,
    tops_per_minute: int = 60,
    funding: Path | None = None,
) -> Opened:
    """The market of a spec. Raises MarketSpecError, DatasetError, TapeError, UnknownInstrument."""
    kind, _, rest = spec.partition(":")
    if kind == "frames":
        return Opened(_of_frames([Path(part) for part in rest.split(",")], symbols), has_funding=False)
    if kind == "tape":
        market = _of_tape(Path(rest), symbols)
        return Opened(market, has_funding=bool(np.any(market.rows(0, 1 << 62)["kind"] == Kind.MARK)))
    rates = None
    if funding is not None:
        from flowguardian.market.datasets import read_funding

        rates = read_funding(funding, symbols)
    found = open_market(
        spec, symbols, start_ns, hours, history_bars, seed, prints_per_minute, tops_per_minute, funding=rates
    )
    settles = isinstance(found, BarMarket) and (kind == "synthetic" or rates is not None)
    return Opened(found, has_funding=settles)


def _of_tape(run: Path, symbols: Sequence[str] | None) -> RowMarket:
    """The market of a run as it was recorded."""
    from flowguardian.market.tape import load_tape
    from flowguardian.ops.manifest import read_manifest

    directory = run / "tape" if (run / "tape").is_dir() else run
    rows = load_tape(directory)
    if symbols is None:
        settings = msgspec.json.decode(read_manifest(run).config, type=_Config)
        symbols = settings.universe.symbols
    market = rows[(rows["symbol"] < len(symbols)) & (rows["kind"] != Kind.HISTORY)]
    if not len(market):
        raise MarketSpecError(f"{run}: no rows of {', '.join(symbols)} on the tape; name a run that traded.")
    past = rows[rows["kind"] == Kind.HISTORY].copy()
    market = market[market["symbol"] != NO_SYMBOL].copy()
    market["ts_ns"] = past["ts_ns"] = 0
    return RowMarket(
        market, symbols, [instrument_for(symbol) for symbol in symbols], feed_kind="recorded", history=past
    )


def _of_frames(paths: Sequence[Path], symbols: Sequence[str] | None) -> RowMarket:
    """Raw frames as a recorder wrote them, `local_ns json` per line: trades and tops, by venue time."""
    found: dict[str, list[tuple[int, ...]]] = {}
    kinds: dict[tuple[str, int], str] = {}
    for path in paths:
        if not path.exists():
            raise MarketSpecError(f"{path}: there is no such file of frames.")
        with gzip.open(path) as file:
            for line in file:
                _take(line.rstrip().partition(b" ")[2], found, kinds)
    names = list(symbols) if symbols else sorted(found)
    missing = [name for name in names if name not in found]
    if missing or not names:
        raise MarketSpecError(
            f"{', '.join(map(str, paths))}: no frames of {', '.join(missing) or 'any symbol'}; "
            f"there are {', '.join(sorted(found))}."
        )
    parts = []
    for index, name in enumerate(names):
        rows = np.array([(kind, flags, index, 0, 0, *rest) for kind, flags, *rest in found[name]], ROW)
        parts.append(rows)
    rows = np.concatenate(parts)
    instruments = [
        fitted(name, INSTRUMENTS, part[(part["kind"] == Kind.TRADE) & (part["a"] > 0)], ("a",))
        for name, part in zip(names, parts, strict=True)
    ]
    numbered = {(names.index(name), number): kind for (name, number), kind in kinds.items() if name in names}
    return RowMarket(rows, names, instruments, feed_kind="recorded", print_kinds=numbered)


def _take(frame: bytes, found: dict[str, list[tuple[int, ...]]], kinds: dict[tuple[str, int], str]) -> None:
    message = wire.decode(frame)
    if isinstance(message, wire.Trade | wire.BookTicker):
        rows = found.setdefault(message.symbol, [])
        at_ns = wire.nanoseconds(message.time_ms)
    if isinstance(message, wire.Trade):
        flags = int(Flag.SELLER_TAKER) if message.maker_bought else 0
        if message.print_type != wire.MARKET_PRINT:
            kinds[message.symbol, message.id] = message.print_type
        price, qty = wire.units(message.price), wire.units(message.qty)
        rows.append((int(Kind.TRADE), flags, at_ns, price, qty, 0, 0, message.id))
    elif isinstance(message, wire.BookTicker):
        bid, bid_qty, ask, ask_qty = (
            wire.units(part) for part in (message.bid, message.bid_qty, message.ask, message.ask_qty)
        )
        rows.append((int(Kind.TOP), 0, at_ns, bid, bid_qty, ask, ask_qty, message.id))
