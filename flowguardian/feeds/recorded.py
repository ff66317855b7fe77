"""Opens a market that already exists: recorded bars, recorded trades, or the synthetic market.

Rule: a market covers the whole window it is asked for, for every symbol, or it is refused with the window
that it could give; holes inside the window are the market's own and stay.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from flowguardian.feeds.blocks import stamp
from flowguardian.feeds.markets import BarMarket, Market, TradeMarket, bars_of
from flowguardian.market.bridge import DEFAULT_SPREAD, DEFAULT_TOP_SHARE, Bridge
from flowguardian.market.instruments import INSTRUMENTS, Instrument, fit_to_grid, instrument_for
from flowguardian.market.records import MINUTE_NS, SECOND_NS
from flowguardian.market.synthetic import synthetic_bars

__all__ = ["BarMarket", "Market", "MarketSpecError", "TradeMarket", "bars_of", "open_market", "stamp"]

Rows = npt.NDArray[np.void]

SYNTHETIC_START_NS = 1_735_689_600 * SECOND_NS
"""2025-01-01T00:00Z, where a synthetic market begins unless asked otherwise."""
SYNTHETIC_HOURS = 12.0
_HOUR_NS = 60 * MINUTE_NS


class MarketSpecError(Exception):
    """A market was asked for in a way that cannot be met; the message says what can be."""


def open_market(
    spec: str,
    symbols: Sequence[str] | None,
    start_ns: int | None = None,
    hours: float | None = None,
    history_bars: int = 240,
    seed: int = 0,
    prints_per_minute: int = 60,
    tops_per_minute: int = 60,
    *,
    spread: int = DEFAULT_SPREAD,
    top_share: int = DEFAULT_TOP_SHARE,
    clock_interval_ns: int = SECOND_NS,
    path: bool = False,
    funding: Mapping[str, Rows] | None = None,
    synthetic_funding: bool = True,
    table: Mapping[str, Instrument] = INSTRUMENTS,
) -> BarMarket | TradeMarket:
    """The market of a spec: "synthetic:SEED", "bars:PATH", "trades:PATH" or a path, known by its columns.

    Without `start_ns` a recording starts after `history_bars` bars of it; without `hours` it runs to its
    end. `path` gives bars as four trades each. Raises MarketSpecError, DatasetError, UnknownInstrument.
    """
    if hours is not None and hours <= 0:
        raise MarketSpecError(f"{spec}: asked for {hours} hours; ask for more than 0.")
    bridge = Bridge(prints_per_minute, tops_per_minute, spread, top_share, path)
    kind, _, rest = spec.partition(":")
    if kind == "synthetic":
        return _synthetic(
            rest,
            symbols,
            start_ns,
            hours,
            history_bars,
            seed,
            bridge,
            clock_interval_ns,
            table,
            synthetic_funding,
        )
    # The readers load pyarrow, which a synthetic market does without.
    from flowguardian.market.datasets import kind_of

    place = Path(rest if kind in ("bars", "trades") else spec)
    kind = kind if kind in ("bars", "trades") else kind_of(place)
    if kind == "bars":
        return _bars(
            place, symbols, start_ns, hours, history_bars, seed, bridge, clock_interval_ns, table, funding
        )
    if kind == "trades":
        return _trades(place, symbols, start_ns, hours, history_bars, seed, bridge, clock_interval_ns, table)
    raise MarketSpecError(f"{place}: the file holds {kind}, which is no market; give bars or trades.")


def _bars(
    place: Path,
    symbols: Sequence[str] | None,
    start_ns: int | None,
    hours: float | None,
    history_bars: int,
    seed: int,
    bridge: Bridge,
    clock_interval_ns: int,
    table: Mapping[str, Instrument],
    funding: Mapping[str, Rows] | None,
) -> BarMarket:
    from flowguardian.market.datasets import load_bars

    bars, report = load_bars(place, symbols)
    interval_ns = report.interval_ns
    spans = {s: (int(b["open_ns"][0]), int(b["open_ns"][-1]) + interval_ns) for s, b in bars.items()}
    start_ns, end_ns = window_of(str(place), spans, start_ns, hours, history_bars * interval_ns)
    return BarMarket(
        bars,
        [fitted(s, table, b, ("open", "high", "low", "close")) for s, b in bars.items()],
        start_ns=start_ns,
        end_ns=end_ns,
        seed=seed,
        interval_ns=interval_ns,
        bridge=bridge,
        clock_interval_ns=clock_interval_ns,
        funding=funding,
    )


def _trades(
    place: Path,
    symbols: Sequence[str] | None,
    start_ns: int | None,
    hours: float | None,
    history_bars: int,
    seed: int,
    bridge: Bridge,
    clock_interval_ns: int,
    table: Mapping[str, Instrument],
) -> TradeMarket:
    from flowguardian.market.datasets import read_trades

    trades = read_trades(place, symbols)
    # A recording covers the minute of its last trade: what ends it is the recorder, not the market.
    spans = {s: (int(t["venue_ns"][0]), int(t["venue_ns"][-1]) + MINUTE_NS) for s, t in trades.items()}
    start_ns, end_ns = window_of(str(place), spans, start_ns, hours, history_bars * MINUTE_NS)
    return TradeMarket(
        trades,
        [fitted(symbol, table, rows, ("a",)) for symbol, rows in trades.items()],
        start_ns=start_ns,
        end_ns=end_ns,
        seed=seed,
        bridge=bridge,
        clock_interval_ns=clock_interval_ns,
    )


def _synthetic(
    text: str,
    symbols: Sequence[str] | None,
    start_ns: int | None,
    hours: float | None,
    history_bars: int,
    seed: int,
    bridge: Bridge,
    clock_interval_ns: int,
    table: Mapping[str, Instrument],
    synthetic_funding: bool,
) -> BarMarket:
    if not text.isdecimal():
        raise MarketSpecError(f"synthetic:{text}: the seed must be a whole number, as in synthetic:7.")
    if not symbols:
        raise MarketSpecError(f"synthetic:{text}: name the symbols; a synthetic market has none of its own.")
    start_ns = SYNTHETIC_START_NS if start_ns is None else start_ns
    end_ns = start_ns + _span_ns(SYNTHETIC_HOURS if hours is None else hours)
    first_ns = start_ns // MINUTE_NS * MINUTE_NS - history_bars * MINUTE_NS
    minutes = -(-(end_ns - first_ns) // MINUTE_NS)
    bars = synthetic_bars(int(text), symbols, first_ns, minutes, table, history_minutes=history_bars)
    return BarMarket(
        bars,
        [instrument_for(symbol, table) for symbol in bars],
        start_ns=start_ns,
        end_ns=end_ns,
        seed=int(text) * 1_000_003 + seed,
        feed_kind="synthetic",
        bridge=bridge,
        clock_interval_ns=clock_interval_ns,
        synthetic_funding=synthetic_funding,
    )


def _span_ns(hours: float) -> int:
    return round(hours * 3600) * SECOND_NS


def fitted(symbol: str, table: Mapping[str, Instrument], rows: Rows, prices: Sequence[str]) -> Instrument:
    instrument = instrument_for(symbol, table)
    return fit_to_grid(instrument, np.concatenate([rows[name] for name in prices]))


def window_of(
    place: str,
    spans: Mapping[str, tuple[int, int]],
    start_ns: int | None,
    hours: float | None,
    history_ns: int,
) -> tuple[int, int]:
    """The start and end of the run; raises MarketSpecError when a symbol does not cover them."""
    from flowguardian.market.files import utc

    latest_first = max(first for first, _ in spans.values())
    earliest_last = min(last for _, last in spans.values())
    start = latest_first + history_ns if start_ns is None else start_ns
    end = earliest_last if hours is None else start + _span_ns(hours)
    for symbol, (first, last) in spans.items():
        if start < first or end > last or start >= end:
            raise MarketSpecError(
                f"{place}: {symbol} covers {utc(first)} .. {utc(last)}, not the window "
                f"{utc(start)} .. {utc(end)}; all symbols together cover {utc(latest_first)} .. "
                f"{utc(earliest_last)}. Choose a start and hours inside that, a shorter history, "
                "or leave the symbol out."
            )
    return start, end
