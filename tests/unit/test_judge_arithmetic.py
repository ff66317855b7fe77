"""The judge's own arithmetic, against numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from flowguardian.acceptance.criteria import verdict
from flowguardian.acceptance.evidence import Config
from flowguardian.acceptance.judgement import Criterion, Text, Verdict
from flowguardian.acceptance.ledger import ONE, Held, Ledger, fee_of, funding_due
from flowguardian.acceptance.prices import Prices
from flowguardian.acceptance.statistics import mean_interval, theil_sen, wilson
from flowguardian.execution.events import FundingSettled, Liquidated, OrderFilled
from flowguardian.market.records import MINUTE_NS, ROW, SECOND_NS, Flag, Kind


def fill(side: int, qty: int, price: int, fee: int = 0) -> OrderFilled:
    return OrderFilled(1, 1, 1, "X", side, qty, price, fee)


def gate(ok: bool | None, unmet: Verdict = Verdict.FAIL) -> Criterion:
    return Criterion(
        id="x", group="books", relation="≤", threshold=0, observed=0, margin=0.0, ok=ok, unmet=unmet,
        text=Text(ko="", en=""),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("gates", "expected"),
    [
        ([gate(True), gate(True)], Verdict.PASS),
        ([gate(True), gate(False)], Verdict.FAIL),
        ([gate(True), gate(None)], Verdict.FAIL),
        ([gate(None, Verdict.INCONCLUSIVE), gate(True)], Verdict.INCONCLUSIVE),
        ([gate(False, Verdict.INCONCLUSIVE), gate(False)], Verdict.FAIL),
    ],
)
def test_the_verdict_follows_from_the_criteria_alone(gates: list[Criterion], expected: Verdict) -> None:
    assert verdict(gates) is expected


def test_a_partial_close_rounds_cost_down_and_the_last_close_takes_the_rest() -> None:
    ledger = Ledger(0)
    ledger.fill(fill(+1, 3, 10 * ONE + 1), "s")
    ledger.fill(fill(-1, 1, 12 * ONE), "s")
    held = ledger.positions["X"]
    cost = 3 * (10 * ONE + 1)
    assert (held.qty, held.cost) == (2, cost - cost // 3)
    ledger.fill(fill(-1, 2, 12 * ONE), "s")
    assert ledger.positions == {}
    first = (12 * ONE - cost // 3) // ONE
    assert ledger.realised == first + (24 * ONE - (cost - cost // 3)) // ONE


def test_profit_is_rounded_down_for_shorts_as_well() -> None:
    ledger = Ledger(0)
    ledger.fill(fill(-1, 1, 100), "s")
    assert ledger.fill(fill(+1, 1, 101), "s")[1] == -1
    assert Held("X", "s", -1, 0, qty=1, cost=100).unrealised(101) == -1


def test_a_fill_larger_than_the_position_turns_it_round() -> None:
    ledger = Ledger(0)
    ledger.fill(fill(+1, 2 * ONE, 100 * ONE), "s")
    ledger.fill(fill(-1, 5 * ONE, 110 * ONE), "s")
    rest = ledger.positions["X"]
    assert (ledger.realised, rest.side, rest.qty, rest.cost) == (20 * ONE, -1, 3 * ONE, 330 * ONE * ONE)


def test_balance_is_start_plus_realised_minus_fees_plus_funding() -> None:
    ledger = Ledger(1_000 * ONE)
    ledger.fill(fill(+1, ONE, 100 * ONE, fee=7), "s")
    ledger.fund(FundingSettled(2, "X", 1, 1, -5))
    assert ledger.liquidate(Liquidated(3, "X", ONE, 90 * ONE, 11)) is not None
    assert ledger.balance == 1_000 * ONE - 10 * ONE - 18 - 5
    assert ledger.liquidate(Liquidated(4, "X", ONE, 90 * ONE, 11)) is None


def test_fees_round_up_and_funding_rounds_against_the_account() -> None:
    assert fee_of(1, 1, 1) == 1
    assert fee_of(100 * ONE, ONE, 40_000) == 4_000_000
    long = Held("X", "s", +1, 0, qty=1)
    assert funding_due(long, 1, 1) == -1
    assert funding_due(long, 1, -1) == 0
    assert funding_due(Held("X", "s", -1, 0, qty=ONE), 100 * ONE, 10_000) == 1_000_000


def test_theil_sen_finds_a_slope_that_outliers_do_not_move() -> None:
    x = [k / 60 for k in range(120)]
    y = [100 + 3 * value for value in x]
    y[50] += 10_000
    slope, low, high = theil_sen(x, y)
    assert slope == pytest.approx(3)
    assert low <= 3 + 1e-9 and high >= 3 - 1e-9


def test_intervals_hold_their_value_and_need_a_sample() -> None:
    assert wilson(0, 0) is None and mean_interval([1.0]) is None
    found = wilson(5, 10)
    assert found is not None and found[0] == 50 and found[1] == pytest.approx(23.66, abs=0.01)
    mean = mean_interval([1.0, 2.0, 3.0])
    assert mean is not None and mean[0] == 2 and mean[2] - mean[0] == pytest.approx(1.9600 / 3**0.5, abs=1e-4)


def trades(points: list[tuple[int, int, int]]) -> Prices:
    rows = np.zeros(len(points), ROW)
    for k, (at, venue, price) in enumerate(points):
        rows[k] = (Kind.TRADE, Flag.PATH, 0, 0, at, venue, price, 1, 0, 0, 0)
    return Prices(rows, ("X",))


def test_the_true_range_counts_the_close_of_the_minute_before() -> None:
    minute = MINUTE_NS
    prices = trades([(1, 0, 1000), (2, 1, 1010), (3, minute, 1000), (4, minute + 1, 1005)])
    # First bar: range 10 of a close of 1010; second: from the close before (1010) down to 1000, of 1005.
    assert prices.mean_atr_pct(0)["X"] == pytest.approx((10 / 1010 + 10 / 1005) / 2 * 100)


def test_a_back_filled_trade_belongs_to_the_minute_it_happened_in() -> None:
    late = trades([(1, 0, 1000), (2, MINUTE_NS, 1000), (3, 5, 1010)])
    assert late.mean_atr_pct(0)["X"] == pytest.approx((10 / 1010 + 10 / 1000) / 2 * 100)


def test_market_time_is_what_the_tape_covers_without_outages() -> None:
    second = SECOND_NS
    prices = trades([(k * second, 0, 1) for k in (1, 2, 3, 3000, 3001)])
    assert prices.covered_ns(1 * second) == 3 * second
    assert prices.covered_ns(0) == 4 * second


def test_prices_are_looked_up_at_or_before_a_stamp() -> None:
    prices = trades([(10, 0, 5), (20, 0, 7)])
    assert [prices.trade("X", at) for at in (9, 10, 19, 20, 99)] == [None, 5, 5, 7, 7]
    assert prices.path_step("X", 20) == (5, 7) and prices.path_step("X", 19) is None
    assert prices.trade("UNKNOWN", 20) is None


def test_the_budget_of_a_strategy_in_a_file_is_found_though_its_name_has_dots():
    """The judge took the default allocation for it, and called every cap of such a run wrong."""
    config = Config({"budget": {"allocation": {"/my/own.py": "0.9", "scalping": 0.4}, "default": 0.25}})
    assert config.value("budget.allocation./my/own.py") == "0.9"
    assert config.value("budget.allocation.scalping") == 0.4 and config.value("budget.default") == 0.25
    for missing in ("budget.allocation.other", "budget.default.more", "nothing", "budget.allocation./my/own"):
        assert config.value(missing) is None
