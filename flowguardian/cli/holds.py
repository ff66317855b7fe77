"""What holds entries back at a moment, from positions, clocks and money alone.

Rule: only what is certain without the next market row is a hold; spread, volume and data age are asked anew
at each signal and are therefore never listed here.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

from flowguardian.cli.answers import Hold, Now, both, moment, moment_or_none
from flowguardian.cli.books import SCALE, Books, ratio
from flowguardian.cli.language import Say
from flowguardian.cli.run_rows import RunRows
from flowguardian.execution import events as ev

SECOND_NS = 1_000_000_000
DAY_NS = 86_400 * SECOND_NS
QUIET_NS = 3600 * SECOND_NS
"""So long without a signal, and the strategy is named as the reason."""


def holds(books: Books, now_ns: int) -> Iterator[Hold]:
    """Every hold, in the order of the pipeline."""
    if books.trading is not ev.TradingState.ACTIVE:
        yield Hold("ready_gate", "all", "resume_command", None)
    yield from _of_symbols(books, now_ns)
    yield from _of_strategies(books, now_ns)
    if books.loss_until_ns > now_ns:
        yield Hold("consecutive_losses", "all", "time", moment(books.loss_until_ns))
    yield from _of_equity(books, now_ns)
    if books.taken() >= books.config["risk"]["max_positions"]:
        yield Hold("max_positions", "all", _frees(books), moment_or_none(_soonest(books)))
    yield from _of_budget(books)


def _of_symbols(books: Books, now_ns: int) -> Iterator[Hold]:
    for symbol, stream in sorted(books.silent):
        yield Hold("stale_data", f"{symbol} {stream}", "fresh_data", None)
    for symbol in sorted(books.degraded):
        yield Hold("warmup", symbol, "warm_bars", None)
    for symbol, held in books.positions.items():
        yield Hold("duplicate_entry", symbol, "position_closes", moment_or_none(held.expiry_ns))
    cooldown_ns = _ns(books.config["portfolio"]["symbol_cooldown_seconds"])
    for symbol, closed_ns in books.closed_ns.items():
        if closed_ns + cooldown_ns > now_ns:
            yield Hold("symbol_cooldown", symbol, "time", moment(closed_ns + cooldown_ns))


def _of_strategies(books: Books, now_ns: int) -> Iterator[Hold]:
    active = _active(books)
    cooldown_ns = max((_ns(block["entry_cooldown_seconds"]) for block in active.values()), default=0)
    for strategy in active:
        until_ns = books.entered_ns.get(strategy, -cooldown_ns) + cooldown_ns
        if until_ns > now_ns:
            yield Hold("strategy_cooldown", strategy, "time", moment(until_ns))
        if books.taken(strategy) >= books.config["portfolio"]["max_strategy_positions"]:
            until = moment_or_none(_soonest(books, strategy))
            yield Hold("max_strategy_positions", strategy, _frees(books, strategy), until)


def _of_equity(books: Books, now_ns: int) -> Iterator[Hold]:
    risk = books.config["risk"]
    lost, fallen = books.day_start - books.equity, books.peak - books.equity
    if lost > 0 and lost * SCALE >= books.day_start * ratio(Decimal(str(risk["max_daily_loss_pct"])) / 100):
        yield Hold("daily_loss", "all", "utc_midnight", moment((now_ns // DAY_NS + 1) * DAY_NS))
    if fallen > 0 and fallen * SCALE >= books.peak * ratio(Decimal(str(risk["max_drawdown_pct"])) / 100):
        yield Hold("drawdown", "all", "resume_command", None)


def _of_budget(books: Books) -> Iterator[Hold]:
    sizing, risk = books.config["position_sizing"], books.config["risk"]
    least = ratio(sizing["min_position_notional"])
    for strategy in _active(books):
        slots = 1
        if sizing["multi_position_scaling"]:
            own = books.config["portfolio"]["max_strategy_positions"] - books.taken(strategy)
            slots = max(1, min(risk["max_positions"] - books.taken(), own))
        if max(0, books.allocated(strategy) - books.used(strategy)) // slots < least:
            until = moment_or_none(_soonest(books, strategy))
            yield Hold("portfolio_budget", strategy, "budget_frees", until)


def _active(books: Books) -> dict[str, dict[str, Decimal]]:
    return {name: block for name, block in books.config["strategies"].items() if block["enabled"]}


def _frees(books: Books, strategy: str = "") -> str:
    """What frees a place first: a waiting order ends sooner than a position."""
    held = sum(strategy in ("", held.strategy) for held in books.positions.values())
    return "position_closes" if held >= books.taken(strategy) else "pending_order_ends"


def _soonest(books: Books, strategy: str = "") -> int:
    return min(
        (
            held.expiry_ns
            for held in books.positions.values()
            if held.expiry_ns and strategy in ("", held.strategy)
        ),
        default=0,
    )


def _ns(seconds: Decimal | int) -> int:
    return int(Decimal(str(seconds)) * SECOND_NS)


def why_now(run: RunRows, books: Books, say: Say) -> Now:
    """The one answer to "why is there no trade now"."""
    now_ns = run.market_ns
    found = tuple(holds(books, now_ns))
    if run.end_reason:
        return Now("ended", say("now_ended", reason=run.end_reason), ())
    if not run.live_ns:
        return Now("not_live", say("now_not_live"), ())
    if books.trading is not ev.TradingState.ACTIVE:
        text = say("now_halted", state=books.trading.value, reason=books.trading_reason)
        return Now("halted", text, found)
    wide = [hold for hold in found if hold.scope not in books.config["universe"]["symbols"]]
    if wide:
        first = wide[0]
        release = say.release(first.release)
        until = say("until", at=both(first.release_at)) if first.release_at else ""
        return Now("held", say("now_held", code=say.reason(first.code), release=release) + until, found)
    return _without_hold(run, now_ns, found, say)


def _without_hold(run: RunRows, now_ns: int, found: tuple[Hold, ...], say: Say) -> Now:
    signal = run.last(ev.Signal)
    if signal is None or now_ns - signal[1].ts_ns > QUIET_NS:
        since_ns = signal[1].ts_ns if signal else run.live_ns
        return Now("no_signal", say("now_no_signal", at=both(moment(since_ns))), found)
    refused = run.last(ev.EntryRefused)
    if refused is not None and refused[1].ts_ns >= signal[1].ts_ns:
        row = refused[1]
        text = say(
            "now_refused", code=say.reason(row.code), symbol=row.symbol, release=say.release(row.release)
        )
        return Now("refused", text, found)
    return Now("free", say("now_free", at=both(moment(signal[1].ts_ns))), found)
