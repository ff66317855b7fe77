"""Money: exact integers, rounded once and in a named direction."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowguardian.execution import money
from flowguardian.execution.money import SCALE

AMOUNT = st.integers(-(10**22), 10**22)
POSITIVE = st.integers(1, 10**14)


def test_units_are_exact_or_refused() -> None:
    assert money.units("0.00000001") == 1
    assert money.units(Decimal("12.5")) == 1_250_000_000
    assert money.decimal(money.units("-3.14")) == Decimal("-3.14")
    with pytest.raises(ValueError, match="finer than 1e-8"):
        money.units("0.000000001")


@given(AMOUNT)
def test_profit_is_rounded_down_and_cost_up_also_below_zero(product: int) -> None:
    exact = Fraction(product, SCALE)
    assert money.floor_money(product) <= exact < money.floor_money(product) + 1
    assert money.ceil_money(product) - 1 < exact <= money.ceil_money(product)


@given(POSITIVE, POSITIVE, st.integers(0, SCALE))
def test_a_fee_is_rounded_up_once_from_the_exact_product(price: int, qty: int, rate: int) -> None:
    exact = Fraction(price * qty * rate, SCALE * SCALE)
    assert money.fee(price, qty, rate) - 1 < exact <= money.fee(price, qty, rate)


@given(st.sampled_from([1, -1]), POSITIVE, POSITIVE, st.integers(-SCALE, SCALE))
def test_funding_is_rounded_down_once_so_what_is_paid_rounds_up(
    side: int, qty: int, mark: int, rate: int
) -> None:
    exact = Fraction(-side * qty * mark * rate, SCALE * SCALE)
    assert money.funding(side, qty, mark, rate) <= exact < money.funding(side, qty, mark, rate) + 1


def test_a_long_pays_a_positive_rate_and_a_short_receives_it() -> None:
    assert money.funding(1, SCALE, 100 * SCALE, SCALE // 1000) == -SCALE // 10
    assert money.funding(-1, SCALE, 100 * SCALE, SCALE // 1000) == SCALE // 10
    assert money.funding(1, SCALE + 1, SCALE, 1) == -2, "a part of the smallest unit is a whole one when paid"


@given(st.integers(-(10**12), 10**12), st.integers(1, 10**9))
def test_a_step_is_never_rounded_up(qty: int, step: int) -> None:
    fitted = money.floor_step(qty, step)
    assert fitted % step == 0
    assert 0 <= fitted <= max(qty, 0)


def test_floats_enter_through_one_door_and_only_as_numbers() -> None:
    assert money.from_float(0.1) == 10_000_000
    assert money.from_float(2.5e-8) == 2, "ties go to even"
    with pytest.raises(ValueError, match="NaN"):
        money.from_float(float("nan"))
    with pytest.raises(OverflowError):
        money.from_float(float("inf"))


def test_a_share_and_a_notional() -> None:
    assert money.share(999, SCALE // 2) == 499
    assert money.notional(3, SCALE // 2) == 2
    assert money.ceil_div(7, 2) == 4
