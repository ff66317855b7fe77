"""What the sizer promises for any numbers: it only rounds down, and what it gives fits every room."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from flowguardian.execution.events import BudgetCapped, Reason
from flowguardian.execution.money import SCALE, notional, units
from flowguardian.execution.position_sizer import Sized, affordable, fit, reservation, worst_price
from flowguardian.market.instruments import Instrument
from tests.builders import T0, engine, limits, signal

TICKS = st.sampled_from([1, 10, 1_000, 100_000, SCALE])
PRICES = st.integers(1, 200_000 * SCALE)


@given(
    qty=st.integers(0, 10**15),
    step=st.integers(1, 10**9),
    least=st.integers(0, 10**10),
    most=st.integers(1, 10**14),
)
def test_fit_never_gives_more_than_was_asked(qty: int, step: int, least: int, most: int) -> None:
    fitted = fit(qty, Instrument("X", 1, step, least, most, 0))
    assert 0 <= fitted <= min(qty, most)
    assert fitted % step == 0
    assert fitted == 0 or fitted >= least
    if fitted:
        assert fitted + step > min(qty, most), "one step more would have fitted"


@given(
    room=st.integers(0, 10**6 * SCALE),
    price=PRICES,
    taker=st.integers(0, SCALE // 100),
    step=st.integers(1, 10**9),
)
def test_what_is_affordable_fits_the_room_and_one_step_more_does_not(
    room: int, price: int, taker: int, step: int
) -> None:
    qty = affordable(room, price, taker, step)
    assert qty % step == 0
    assert qty == 0 or reservation(price, qty, taker) <= room
    assert reservation(price, qty + step, taker) > room - 2


@given(price=PRICES, slippage=st.integers(0, SCALE // 10), tick=TICKS)
def test_the_limit_of_an_entry_is_never_better_than_the_decision_price(
    price: int, slippage: int, tick: int
) -> None:
    up, down = worst_price(price, 1, slippage, tick), worst_price(price, -1, slippage, tick)
    assert down <= price <= up
    assert up % tick == down % tick == 0


@settings(max_examples=150, deadline=None)
@given(
    price=st.integers(units("0.5"), units(3_000)),
    stop=st.integers(-10, units(100)),
    side=st.sampled_from([1, -1]),
    equity=st.integers(units(10), units(200_000)),
    scaling=st.booleans(),
    atr=st.floats(0, 50),
)
def test_an_entry_fits_budget_exposure_and_the_venue(
    price: int, stop: int, side: int, equity: int, *, scaling: bool, atr: float
) -> None:
    of = limits(
        start_equity=equity,
        multi_position_scaling=scaling,
        context_enabled=True,
        atr_low=units("0.004"),
        atr_high=units("0.02"),
        low_volatility_mult=units("1.2"),
        high_volatility_mult=units("0.7"),
    )
    core = engine(of)
    instrument = core.instruments["BTCUSDT"]
    wish = signal(T0 + 1, price=price, stop_distance=stop, side=side, atr=atr)
    sized = core.entries._sizer.size(wish, instrument, equity)
    if not isinstance(sized, Sized):
        refused, _ = sized
        assert refused.code in {Reason.SIZING, Reason.EXPOSURE, Reason.PORTFOLIO_BUDGET, Reason.VENUE_FILTERS}
        return
    slots = 3 if scaling else 1
    assert sized.qty % instrument.step_size == 0
    assert notional(price, sized.qty) >= of.sizing.min_notional
    assert sized.reserved <= core.portfolio.get_available_budget("coin") // slots
    assert sized.reserved <= equity * of.budget.max_symbol_exposure // SCALE
    assert notional(price, sized.qty) <= of.sizing.max_notional
    most_risk = equity * of.sizing.risk_per_trade // SCALE * units("1.2") // SCALE
    assert sized.qty * stop // SCALE <= most_risk
    caps = [row for row in sized.rows if isinstance(row, BudgetCapped)]
    for cap in caps:
        assert sized.reserved <= cap.cap < cap.wanted
        worst = worst_price(price, 1, of.costs.max_slippage, instrument.tick_size)
        more = sized.qty + instrument.step_size
        full = sized.qty == instrument.max_qty or reservation(worst, more, of.costs.taker) > cap.cap
        assert full, "not the whole cap"
