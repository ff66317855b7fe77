"""The limit and the value of a guard's refusal, computed again from journal rows.

Rule: one line per guard, own arithmetic; None where the rows do not hold what the guard knew.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from flowguardian.cli.books import Books
from flowguardian.execution import events as ev

SECOND_NS = 1_000_000_000
Pair = tuple[float, float]
Again = Callable[[ev.Signal, Books, Mapping[str, Any], int], Pair | None]
"""(signal, books before the outcome, config, stamp of the outcome) -> (limit, value)"""


def _stale_data(signal: ev.Signal, books: Books, config: Mapping[str, Any], ts_ns: int) -> Pair:
    for (symbol, _), silent in books.silent.items():
        if symbol == signal.symbol:
            return silent.limit_ns / SECOND_NS, (ts_ns - silent.since_ns) / SECOND_NS
    guard = config["guards"]["stale_data"]
    limit_ns, age_ns = _ns(guard["max_trade_age_seconds"]), signal.trade_age_ns
    if 0 <= age_ns <= limit_ns:
        limit_ns, age_ns = _ns(guard["max_top_age_seconds"]), signal.top_age_ns
    return limit_ns / SECOND_NS, age_ns / SECOND_NS if age_ns >= 0 else -1.0


def _stale_signal(signal: ev.Signal, books: Books, config: Mapping[str, Any], ts_ns: int) -> Pair:
    limit_ns = _ns(config["guards"]["stale_signal"]["max_age_seconds"])
    return limit_ns / SECOND_NS, (ts_ns - signal.bar_end_ns) / SECOND_NS


def _flash_move(signal: ev.Signal, books: Books, config: Mapping[str, Any], ts_ns: int) -> Pair:
    return float(Decimal(config["guards"]["flash_move"]["max_move_pct"]) / 100), signal.move


def _volume(signal: ev.Signal, books: Books, config: Mapping[str, Any], ts_ns: int) -> Pair:
    thin, spike = float(config["guards"]["volume"]["thin_mult"]), float(config["vol_spike_mult"])
    if signal.volume_mean <= 0:
        return thin, 0.0
    times = signal.volume / signal.volume_mean
    return (thin if signal.volume < thin * signal.volume_mean else spike), times


def _spread(signal: ev.Signal, books: Books, config: Mapping[str, Any], ts_ns: int) -> Pair:
    limit = float(Decimal(config["guards"]["spread"]["max_bps"]) / 10_000)
    if signal.bid <= 0 or signal.ask <= 0:
        return limit, -1.0
    return limit, (signal.ask - signal.bid) * 2 / (signal.ask + signal.bid)


def _price_sanity(signal: ev.Signal, books: Books, config: Mapping[str, Any], ts_ns: int) -> Pair | None:
    if signal.price <= 0 or signal.bid <= 0 or signal.bid >= signal.ask:
        return None
    limit = float(Decimal(config["guards"]["price_sanity"]["max_deviation_pct"]) / 100)
    return limit, (2 * signal.price - signal.bid - signal.ask) / (signal.bid + signal.ask)


def _symbol_cooldown(signal: ev.Signal, books: Books, config: Mapping[str, Any], ts_ns: int) -> Pair:
    limit_ns = _ns(config["portfolio"]["symbol_cooldown_seconds"])
    return limit_ns / SECOND_NS, (ts_ns - books.closed_ns.get(signal.symbol, 0)) / SECOND_NS


def _strategy_cooldown(signal: ev.Signal, books: Books, config: Mapping[str, Any], ts_ns: int) -> Pair:
    blocks = [block for block in config["strategies"].values() if block["enabled"]]
    limit_ns = max(_ns(block["entry_cooldown_seconds"]) for block in blocks)
    return limit_ns / SECOND_NS, (ts_ns - books.entered_ns.get(signal.strategy, 0)) / SECOND_NS


def _daily_loss(signal: ev.Signal, books: Books, config: Mapping[str, Any], ts_ns: int) -> Pair:
    start = books.day_start
    limit = float(Decimal(config["risk"]["max_daily_loss_pct"]) / 100)
    return limit, (start - books.equity) / start if start > 0 else 1.0


def _drawdown(signal: ev.Signal, books: Books, config: Mapping[str, Any], ts_ns: int) -> Pair:
    peak = books.peak
    limit = float(Decimal(config["risk"]["max_drawdown_pct"]) / 100)
    return limit, (peak - books.equity) / peak if peak > 0 else 1.0


def _duplicate(signal: ev.Signal, books: Books, config: Mapping[str, Any], ts_ns: int) -> Pair | None:
    if pending := books.pending(signal.symbol):
        return 1.0, float(pending)
    held = books.positions.get(signal.symbol)
    if held is None:
        return None
    most = config["strategies"][signal.strategy]["max_adds"]
    if most and held.strategy == signal.strategy and held.side == signal.side:
        return float(most), float(held.adds)
    return 1.0, 1.0


def _idempotency(signal: ev.Signal, books: Books, config: Mapping[str, Any], ts_ns: int) -> Pair:
    used = any(
        (row.symbol, row.strategy, row.side) == (signal.symbol, signal.strategy, signal.side)
        and row.purpose is ev.Purpose.ENTRY and row.bar_ns >= signal.bar_ns
        for _, row in books.requests.values()
    )  # fmt: skip
    return 1.0, float(used)


def _warmup(signal: ev.Signal, books: Books, config: Mapping[str, Any], ts_ns: int) -> Pair:
    seen = 0 if signal.symbol in books.degraded else signal.bars_seen
    return float(config["guards"]["warmup"]["bars"]), float(seen)


def _clock_skew(signal: ev.Signal, books: Books, config: Mapping[str, Any], ts_ns: int) -> Pair:
    return config["guards"]["clock_skew"]["max_ms"] / 1000, signal.clock_skew_ns / SECOND_NS


def _ready(signal: ev.Signal, books: Books, config: Mapping[str, Any], ts_ns: int) -> Pair:
    return 1.0, float(books.trading is ev.TradingState.ACTIVE)


def _losses(signal: ev.Signal, books: Books, config: Mapping[str, Any], ts_ns: int) -> Pair:
    return float(config["risk"]["max_consecutive_losses"]), float(books.losses)


def _positions(signal: ev.Signal, books: Books, config: Mapping[str, Any], ts_ns: int) -> Pair:
    return float(config["risk"]["max_positions"]), float(books.taken())


def _own_positions(signal: ev.Signal, books: Books, config: Mapping[str, Any], ts_ns: int) -> Pair:
    return float(config["portfolio"]["max_strategy_positions"]), float(books.taken(signal.strategy))


AGAIN: dict[ev.Reason, Again] = {
    ev.Reason.READY_GATE: _ready,
    ev.Reason.WARMUP: _warmup,
    ev.Reason.STALE_DATA: _stale_data,
    ev.Reason.STALE_SIGNAL: _stale_signal,
    ev.Reason.CLOCK_SKEW: _clock_skew,
    ev.Reason.SIGNAL_IDEMPOTENCY: _idempotency,
    ev.Reason.DUPLICATE_ENTRY: _duplicate,
    ev.Reason.FLASH_MOVE: _flash_move,
    ev.Reason.VOLUME: _volume,
    ev.Reason.SPREAD: _spread,
    ev.Reason.PRICE_SANITY: _price_sanity,
    ev.Reason.SYMBOL_COOLDOWN: _symbol_cooldown,
    ev.Reason.STRATEGY_COOLDOWN: _strategy_cooldown,
    ev.Reason.CONSECUTIVE_LOSSES: _losses,
    ev.Reason.DAILY_LOSS: _daily_loss,
    ev.Reason.DRAWDOWN: _drawdown,
    ev.Reason.MAX_POSITIONS: _positions,
    ev.Reason.MAX_STRATEGY_POSITIONS: _own_positions,
}


def _ns(seconds: Decimal | int) -> int:
    return int(Decimal(str(seconds)) * SECOND_NS)
