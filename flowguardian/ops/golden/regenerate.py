"""Makes the golden run anew: python -m flowguardian.ops.golden.regenerate; CHANGELOG.md says what changed.

Rule: the run is made of a seeded market by the real engine. Its settings are tight on purpose, so that a
change in almost any rule changes a row; they are no advice for trading.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from flowguardian.execution import events as ev
from flowguardian.execution.loop import MarketLoop
from flowguardian.feeds.blocks import stamp
from flowguardian.ops.assembly import assemble, code_hash, configured_market
from flowguardian.ops.golden.store import FOLDER, Golden, GoldenRun, Rows, chained, tape_hash, write
from flowguardian.ops.loading import Loaded, load

MARKET, SEED, HOURS = "synthetic:7", 7, 3
HOUR_NS, MINUTE_NS = 3_600_000_000_000, 60_000_000_000
SETTINGS = (
    "universe.symbols=[BTCUSDT,ETHUSDT,SOLUSDT]",
    "market.prints_per_minute=8",
    "market.tops_per_minute=6",
    "strategies.scalping={target1_fraction: 0.5, break_even_trigger_r: 0.5, on_opposite: flip}",
    "strategies.ema_cross={on_opposite: close, allow_add: true, max_adds: 1}",
    "portfolio.budget.strategy_allocation={scalping: 0.5, ema_cross: 0.4}",
    "portfolio.symbol_cooldown_seconds=60",
    "risk.max_exposure_per_symbol=0.22",
    "risk.max_consecutive_losses=3",
    "risk.loss_pause_minutes=10",
    "enable_vol_spike_filter=true",
    "vol_spike_mult=4",
    "guards.flash_move.max_move_pct=0.4",
    "guards.stale_data.max_top_age_seconds=9",
)
COMMANDS: Mapping[int, ev.Command] = {
    100: ev.Command.HALT,
    125: ev.Command.RESUME,
    136: ev.Command.FLATTEN,
    140: ev.Command.RESUME,
}
"""Minutes of run time -> what the operator asks: refusals by the ready gate, and an exit by command."""


class _Keeper:
    """Keeps tape and journal in memory."""

    def __init__(self) -> None:
        self.blocks: list[Rows] = []
        self.rows: list[tuple[int, str, bytes]] = []

    def market(self, rows: Rows) -> None:
        self.blocks.append(rows.copy())

    def commit(self, rows: Sequence[ev.Row], *, durable: bool) -> None:
        self.rows.extend((row.ts_ns, type(row).__name__, ev.encode(row)) for row in rows)


def make() -> GoldenRun:
    """The golden run by the code as it is now."""
    loaded, keeper = load(None, SETTINGS, env={}), _Keeper()
    planned_ns = HOURS * HOUR_NS
    market = configured_market(loaded.settings, MARKET, start_ns=None, hours=HOURS, seed=SEED)
    loop = assemble(loaded.settings, keeper, seed=SEED, planned_ns=planned_ns)
    history = market.history(market.start_ns, loaded.settings.market.history_bars)
    loop.now_ns = market.start_ns - len(history) - 2
    loop.fact(_start(loaded, loop, market.feed_kind, planned_ns))
    loop.fact(ev.InstrumentsSet(loop.now_ns, tuple(market.instruments)))
    loop.fact(ev.SegmentStarted(loop.now_ns, 1, "first"))
    loop.turn(stamp(history, loop.now_ns))
    loop.fact(ev.WentLive(loop.now_ns))
    for minute in range(HOURS * 60 + 1):
        if (command := COMMANDS.get(minute)) is not None:
            loop.fact(ev.CommandReceived(loop.now_ns, minute, command, "golden"))
        from_ns = market.start_ns + minute * MINUTE_NS
        rows = market.rows(from_ns, min(from_ns + MINUTE_NS, market.end_ns + 1))
        if len(rows):
            loop.turn(stamp(rows, loop.now_ns))
    loop.fact(ev.SegmentEnded(loop.now_ns, 1, "completed"))
    return _packed(keeper)


def _start(loaded: Loaded, loop: MarketLoop, feed: str, planned_ns: int) -> ev.RunStarted:
    """Row 1, without what only says by which version the run was made."""
    return ev.RunStarted(
        ts_ns=loop.now_ns, run_id="golden", kind="rehearsal", mode="paper", feed=feed,
        config=msgspec.Raw(msgspec.json.encode(loaded.effective)), config_hash="", trading_hash="",
        code_hash="", version="", seed=SEED, symbols=loaded.settings.universe.symbols,
        start_equity=loop.engine.limits.start_equity, planned_ns=planned_ns,
    )  # fmt: skip


def _packed(keeper: _Keeper) -> GoldenRun:
    records, tape = chained(keeper.rows), np.concatenate(keeper.blocks)
    entries = sum(record.kind == "PositionOpened" for record in records)
    figures = Golden(code_hash(), records[-1].hash, tape_hash(tape), len(records), entries)
    return GoldenRun(figures, tape, records)


def main() -> int:
    """Make the golden run and keep it."""
    run = make()
    write(run)
    sys.stdout.write(
        f"{FOLDER}: {run.figures.rows} rows, {run.figures.entries} entries; "
        f"deciding code `{run.figures.code_hash[:12]}`: name it in CHANGELOG.md with what changed\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
