"""Thousands of orders with replies that leave the outcome open, and an engine that is killed meanwhile.

Rule: 0 duplicates, 0 lost, no position left over, none without its stop for longer than five seconds.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from flowguardian import simulation
from flowguardian.execution import events as ev
from tests.e2e.faulted import faulted
from tests.e2e.live_stories import LiveStory
from tests.e2e.test_live_restarts import AMBIGUOUS, POSIX, killed_until_the_end

pytestmark = pytest.mark.slow
RESTLESS = Path(simulation.__file__).with_name("restless.py")
CONFIG = """\
universe: {symbols: [BTCUSDT, ETHUSDT, SOLUSDT, BNBUSDT, XRPUSDT, LTCUSDT, ADAUSDT]}
portfolio:
  symbol_cooldown_seconds: 0
  max_strategy_positions: 7
  budget:
    strategy_allocation: {STRATEGY: 0.9}
risk: {max_positions: 7, max_consecutive_losses: 1000, max_drawdown_pct: 99, max_daily_loss_pct: 99}
strategies:
  scalping: {enabled: false}
  STRATEGY: {entry_cooldown_seconds: 0, max_hold_minutes: 1}
"""
"""Under it every signal becomes an order."""


@POSIX
@pytest.mark.parametrize(
    ("hours", "kills", "orders"),
    [(1, 3, 300), pytest.param(30, 20, 10_000, marks=pytest.mark.nightly)],
    ids=["an hour", "ten thousand"],
)
def test_many_orders_with_open_outcomes_and_restarts(
    tmp_path: Path, hours: float, kills: int, orders: int
) -> None:
    run_dir = tmp_path / "run"
    faults = [{**AMBIGUOUS, "minute": 0, "minutes": 60 * hours + 60}]
    config = tmp_path / "restless.yml"
    config.write_text(CONFIG.replace("STRATEGY", f'"{RESTLESS.as_posix()}"'), encoding="utf-8")
    with faulted(run_dir, config=config, faults=faults, minutes=60 * hours, mode=ev.LIVE) as run:
        killed, code = killed_until_the_end(run, kills)
        told = LiveStory(run_dir, "completed", run.ledger())
    assert code == 0 and killed >= kills / 2
    told.holds()
    requested = told.of(ev.OrderRequested)
    unknown = told.of(ev.OrderUnknown)
    print(f"{len(requested)} orders, {len(unknown)} of unknown outcome, {killed} kills")  # noqa: T201 - with -s
    assert len(requested) >= orders and len(unknown) > len(requested) / 50
    assert told.sent_twice() == [] and not told.of(ev.PositionNaked)
