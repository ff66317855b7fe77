"""Filters that change while a position is open (F37): it is closed whole, no order is sent against them."""

from __future__ import annotations

from pathlib import Path

import pytest

from flowguardian.execution import events as ev
from flowguardian.market.records import UNITS
from tests.e2e.live_stories import LiveStory, live_story

pytestmark = pytest.mark.slow
SYMBOL = "BTCUSDT"
STEP, TICK, LEAST = UNITS // 100, UNITS, 2_000 * UNITS
COARSER = {"kind": "tick_size", "symbols": SYMBOL, "tick": "1", "step": "0.01", "min_notional": "2000"}
OFTEN = "feed.refresh_minutes=1"


def of_symbol(told: LiveStory, first: float) -> list[ev.OrderRequested]:
    """Its entries and exits after a minute of the run."""
    return [
        row for row in told.of(ev.OrderRequested) if row.symbol == SYMBOL and told.minute(row.ts_ns) >= first
    ]


def test_a_position_off_a_new_grid_is_guarded_and_closed_whole_and_later_entries_fit(tmp_path: Path) -> None:
    told = live_story(
        tmp_path / "run", OFTEN, "strategies.scalping.max_hold_minutes=3", faults=[{**COARSER, "minute": 5.2}]
    )
    changed = told.of(ev.InstrumentsSet)[1]
    seen = told.minute(changed.ts_ns)
    assert 5.2 <= seen <= 6.3
    opened = next(row for row in told.of(ev.PositionOpened) if row.symbol == SYMBOL)
    assert told.minute(opened.ts_ns) < 5.2, "the position is older than the change"
    exits = [row for row in of_symbol(told, seen) if row.purpose is ev.Purpose.EXIT]
    assert any(row.qty % STEP for row in exits), "every quantity fits the new step anyway"
    assert not told.of(ev.OrderRejected) and not told.of(ev.PositionNaked)
    assert [row for row in told.of(ev.PositionClosed) if row.symbol == SYMBOL]
    later = told.entries(SYMBOL, seen)
    assert later and all(not row.qty % STEP and not row.limit_price % TICK for row in later)
    assert all(row.qty * row.limit_price >= LEAST * UNITS for row in later)
