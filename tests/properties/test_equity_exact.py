"""Equity in the kernel and equity in the portfolio are the same integers."""

from __future__ import annotations

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st

from flowguardian.execution.money import SCALE
from flowguardian.execution.portfolio_manager import Position
from flowguardian.market.equity import unrealised
from flowguardian.market.records import Kind
from tests.builders import MINUTE, SECOND, SYMBOLS, T0, Machine, limits, market


def held(side: int, qty: int, cost: int) -> Position:
    position = Position("BTCUSDT", "coin", side, 0, None)
    position.qty, position.cost = qty, cost
    return position


@settings(max_examples=400, deadline=None)
@given(
    side=st.sampled_from([1, -1]),
    qty=st.integers(1, 10**6 * SCALE),
    mark=st.integers(1, 10**5 * SCALE),
    entry=st.integers(1, 10**5 * SCALE),
    odd=st.integers(0, SCALE - 1),
)
@example(side=-1, qty=SCALE, mark=SCALE, entry=SCALE, odd=1)
@example(side=1, qty=1, mark=1, entry=1, odd=0)
def test_unrealised_profit_in_the_kernel_is_the_python_integer(
    side: int, qty: int, mark: int, entry: int, odd: int
) -> None:
    qty = min(qty, 8 * 10**18 // max(mark, entry) * (SCALE // 2) // SCALE + 1)  # values below 9e10 USDT
    cost = qty * entry + odd
    high, low = divmod(cost, SCALE)
    assert int(unrealised(side, qty, mark, high, low)) == held(side, qty, cost).unrealised(mark)


class Watching(Machine):
    """Also samples equity its own way: at each due clock row, from the portfolio and the last prices."""

    def twin(self, rows: np.ndarray) -> tuple[int, int, int]:
        price: dict[str, int] = {}
        start = self.limits.start_equity
        peak, low, day, day_start = start, start, (T0 - 1) // (24 * 60 * MINUTE), start
        due = T0
        for row in rows:
            self.loop.turn(row.reshape(1))
            if row["kind"] == Kind.TRADE:
                price[SYMBOLS[row["symbol"]]] = int(row["a"])
            now = int(row["ts_ns"])
            if row["kind"] == Kind.CLOCK and now >= due:
                due = (now // (10 * SECOND) + 1) * 10 * SECOND
                portfolio = self.engine.portfolio
                equity = portfolio.equity([price[s] for s in portfolio.positions])
                peak, low = max(peak, equity), min(low, equity)
                if now // (24 * 60 * MINUTE) != day:
                    day, day_start = now // (24 * 60 * MINUTE), equity
        return peak, low, day_start


def test_samples_of_a_run_equal_the_portfolio_at_every_clock_row() -> None:
    midnight = T0 + 12 * 60 * MINUTE
    for seed in range(3):
        start = midnight - 10 * MINUTE
        rows = market(seed, minutes=20, start_ns=start, funding_every_ns=3 * MINUTE)
        of = limits(latency_max_ns=SECOND, risk_per_trade=SCALE // 20)
        by_row = Watching(of)
        by_row.begin(start - 1)
        peak, low, day_start = by_row.twin(rows)
        at_once = Machine(of).begin(start - 1).feed(rows)
        for machine in (by_row, at_once):
            state = machine.loop._equity[0]
            assert (int(state["peak"]), int(state["low"]), int(state["day_start"])) == (peak, low, day_start)
        assert at_once.engine.score.closed > 0
