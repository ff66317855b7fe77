"""The arithmetic of the guards for any amount and any sign.

Stories: the daily loss used an absolute value, so a profit of 10 % stopped trading; the sign of the drawdown
was wrong, so it never did. Each property compares with exact fractions, not with the guard's own formula.
"""

from __future__ import annotations

import json
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from flowguardian.execution.events import ExitReason, Purpose, Reason
from flowguardian.execution.money import SCALE, units
from flowguardian.guards import GUARDS
from flowguardian.guards.base import Guard, Refused
from tests.guard_samples import MINUTE, NOON, Book, Held, closed, limits, order, signal, view

MONEY = st.integers(min_value=1, max_value=units(10_000_000))
RATIO = st.integers(min_value=1, max_value=SCALE)
AMOUNT = st.integers(min_value=-units(100_000), max_value=units(100_000))
NS = st.integers(min_value=1, max_value=3600 * 1_000_000_000)
STAMP = st.integers(min_value=NOON, max_value=NOON + 30 * 24 * 60 * MINUTE)
DAY = 24 * 60 * MINUTE


def daily_loss(start: int, equity: int, ratio: int, ts_ns: int = NOON) -> Refused | None:
    of = limits(max_daily_loss=ratio)
    seen = view(of)
    seen.day_start_equity, seen.equity = start, equity
    return GUARDS[Reason.DAILY_LOSS](of).review(signal(ts_ns=ts_ns), seen)


def drawdown(peak: int, equity: int, ratio: int) -> Refused | None:
    of = limits(max_drawdown=ratio)
    seen = view(of)
    seen.peak_equity, seen.equity = peak, equity
    return GUARDS[Reason.DRAWDOWN](of).review(signal(), seen)


def smallest_refused(whole: int, ratio: int) -> int:
    """The smallest loss in units that is at least `ratio` of `whole`, by exact fractions."""
    share = Fraction(whole) * Fraction(ratio, SCALE)
    return -(-share.numerator // share.denominator)


# ---- daily loss and drawdown: signs and limits


@given(start=MONEY, gain=st.integers(min_value=0, max_value=units(10_000_000)), ratio=RATIO)
def test_a_profit_however_large_is_no_daily_loss(start: int, gain: int, ratio: int) -> None:
    assert daily_loss(start, start + gain, ratio) is None


@given(start=MONEY, ratio=RATIO)
def test_the_daily_loss_refuses_exactly_at_its_limit(start: int, ratio: int) -> None:
    at_limit = smallest_refused(start, ratio)
    refused = daily_loss(start, start - at_limit, ratio)
    assert refused is not None
    assert refused.value > 0
    assert daily_loss(start, start - at_limit + 1, ratio) is None


@given(start=MONEY, loss=AMOUNT, ratio=RATIO, ts_ns=STAMP)
def test_the_daily_loss_is_the_signed_fraction_of_the_start(
    start: int, loss: int, ratio: int, ts_ns: int
) -> None:
    refused = daily_loss(start, start - loss, ratio, ts_ns)
    assert (refused is not None) is (loss > 0 and Fraction(loss, start) >= Fraction(ratio, SCALE))
    if refused is not None:
        assert ts_ns < refused.release_ns <= ts_ns + DAY
        assert refused.release_ns % DAY == 0


@given(peak=MONEY, above=st.integers(min_value=0, max_value=units(10_000_000)), ratio=RATIO)
def test_equity_at_or_above_its_peak_is_no_drawdown(peak: int, above: int, ratio: int) -> None:
    assert drawdown(peak, peak + above, ratio) is None


@given(peak=MONEY, ratio=RATIO)
def test_the_drawdown_refuses_exactly_at_its_limit(peak: int, ratio: int) -> None:
    at_limit = smallest_refused(peak, ratio)
    refused = drawdown(peak, peak - at_limit, ratio)
    assert refused is not None
    assert refused.value > 0
    assert drawdown(peak, peak - at_limit + 1, ratio) is None


@given(peak=MONEY, fall=AMOUNT, ratio=RATIO)
def test_the_drawdown_is_the_signed_fraction_of_the_peak(peak: int, fall: int, ratio: int) -> None:
    refused = drawdown(peak, peak - fall, ratio)
    assert (refused is not None) is (fall > 0 and Fraction(fall, peak) >= Fraction(ratio, SCALE))


@given(debt=st.integers(min_value=-units(50_000), max_value=0), loss=MONEY, ratio=RATIO)
def test_an_account_without_money_that_still_loses_is_refused(debt: int, loss: int, ratio: int) -> None:
    assert daily_loss(debt, debt - loss, ratio) is not None
    assert drawdown(debt, debt - loss, ratio) is not None


@given(whole=AMOUNT, gain=AMOUNT.map(abs), ratio=st.sampled_from([0, 1, SCALE]))
def test_even_a_limit_of_zero_or_an_empty_account_never_refuses_a_gain(
    whole: int, gain: int, ratio: int
) -> None:
    assert daily_loss(whole, whole + gain, ratio) is None
    assert drawdown(whole, whole + gain, ratio) is None


# ---- losses in a row


CLOSES = st.lists(st.tuples(AMOUNT, AMOUNT.map(abs), AMOUNT, NS), max_size=12)


@given(closes=CLOSES, limit=st.integers(min_value=1, max_value=4), pause_ns=NS, later_ns=NS)
def test_losses_in_a_row_follow_their_definition(
    closes: list[tuple[int, int, int, int]], limit: int, pause_ns: int, later_ns: int
) -> None:
    one = GUARDS[Reason.CONSECUTIVE_LOSSES](limits(max_consecutive_losses=limit, loss_pause_ns=pause_ns))
    ts_ns, row_of_losses = NOON, list[int]()
    for realised, fees, funding, after_ns in closes:
        ts_ns += after_ns
        one.apply(closed(ts_ns=ts_ns, realised=realised, fees=fees, funding=funding))
        if len(row_of_losses) >= limit and ts_ns >= row_of_losses[-1] + pause_ns:
            row_of_losses = []
        row_of_losses = [*row_of_losses, ts_ns] if realised - fees + funding < 0 else []
    now_ns = ts_ns + later_ns
    paused = len(row_of_losses) >= limit and now_ns < row_of_losses[-1] + pause_ns
    refused = one.review(signal(ts_ns=now_ns), view())
    assert (refused is not None) is paused
    if refused is not None:
        assert refused.release_ns == row_of_losses[-1] + pause_ns
        assert one.review(signal(ts_ns=refused.release_ns), view()) is None


@given(
    profits=st.lists(st.tuples(AMOUNT.map(abs), NS), min_size=1, max_size=12),
    reason=st.sampled_from(ExitReason),
    limit=st.integers(min_value=0, max_value=4),
)
def test_profits_and_break_evens_never_pause(
    profits: list[tuple[int, int]], reason: ExitReason, limit: int
) -> None:
    one = GUARDS[Reason.CONSECUTIVE_LOSSES](limits(max_consecutive_losses=limit))
    ts_ns = NOON
    for profit, after_ns in profits:
        ts_ns += after_ns
        one.apply(closed(ts_ns=ts_ns, realised=profit, fees=0, reason=reason))
        assert one.review(signal(ts_ns=ts_ns), view()) is None


@given(loss=st.integers(min_value=1, max_value=units(100_000)), limit=st.integers(min_value=1, max_value=5))
def test_the_pause_begins_with_the_last_loss_of_the_limit_and_not_before(loss: int, limit: int) -> None:
    one = GUARDS[Reason.CONSECUTIVE_LOSSES](limits(max_consecutive_losses=limit))
    for count in range(1, limit + 1):
        one.apply(closed(ts_ns=NOON + count, realised=-loss, fees=0))
        assert (one.review(signal(ts_ns=NOON + count), view()) is not None) is (count == limit)


# ---- cooldowns and idempotency


@given(code=st.sampled_from([Reason.SYMBOL_COOLDOWN, Reason.STRATEGY_COOLDOWN]), cooldown_ns=NS, passed_ns=NS)
def test_a_cooldown_refuses_until_its_last_nanosecond_and_announces_it(
    code: Reason, cooldown_ns: int, passed_ns: int
) -> None:
    one = GUARDS[code](limits(symbol_cooldown_ns=cooldown_ns, entry_cooldown_ns=cooldown_ns))
    one.apply(closed(ts_ns=NOON))
    one.apply(order(ts_ns=NOON))
    refused = one.review(signal(ts_ns=NOON + passed_ns), view())
    assert (refused is not None) is (passed_ns < cooldown_ns)
    assert one.review(signal(ts_ns=NOON + cooldown_ns - 1), view()) is not None
    assert one.review(signal(ts_ns=NOON + cooldown_ns), view()) is None
    if refused is not None:
        assert refused.release_ns == NOON + cooldown_ns
        assert 0 <= refused.value <= refused.limit


@given(cooldown=st.sampled_from([Reason.SYMBOL_COOLDOWN, Reason.STRATEGY_COOLDOWN]), ts_ns=STAMP)
def test_a_cooldown_of_zero_is_none(cooldown: Reason, ts_ns: int) -> None:
    one = GUARDS[cooldown](limits(symbol_cooldown_ns=0, entry_cooldown_ns=0))
    one.apply(closed(ts_ns=ts_ns))
    one.apply(order(ts_ns=ts_ns))
    assert one.review(signal(ts_ns=ts_ns), view()) is None


KEY = st.tuples(
    st.sampled_from(["BTCUSDT", "ETHUSDT"]), st.sampled_from(["scalping", "other"]), st.sampled_from([1, -1])
)
BARS = st.integers(min_value=0, max_value=6)


@given(events=st.lists(st.tuples(KEY, BARS, st.sampled_from(["refused", "exit", "entry"])), max_size=20))
def test_a_bar_is_burned_by_entries_alone_and_only_for_its_own_key(
    events: list[tuple[tuple[str, str, int], int, str]],
) -> None:
    one = GUARDS[Reason.SIGNAL_IDEMPOTENCY](limits())
    burned: dict[tuple[str, str, int], int] = {}
    for key, bar, outcome in events:
        symbol, strategy, side = key
        fields = {"symbol": symbol, "strategy": strategy, "side": side, "bar_ns": NOON + bar * MINUTE}
        answer = one.review(signal(**fields), view())
        assert (answer is not None) is (bar <= burned.get(key, -1))
        if outcome == "entry":
            one.apply(order(**fields))
            burned[key] = max(bar, burned.get(key, -1))
        elif outcome == "exit":
            one.apply(order(**fields, purpose=Purpose.EXIT))
    assert len(json.loads(json.dumps(one.snapshot()))) == len(burned)


# ---- the book and the places


@given(bid=MONEY, width=st.integers(min_value=0, max_value=units(10_000)), ratio=RATIO)
def test_the_spread_is_its_exact_fraction_of_the_mid(bid: int, width: int, ratio: int) -> None:
    ask = bid + width
    refused = GUARDS[Reason.SPREAD](limits(max_spread=ratio)).review(signal(bid=bid, ask=ask), view())
    assert (refused is not None) is (Fraction(width) / Fraction(bid + ask, 2) > Fraction(ratio, SCALE))


@given(bid=MONEY, width=st.integers(min_value=1, max_value=units(100)), price=MONEY, ratio=RATIO)
def test_the_deviation_of_a_price_is_its_exact_distance_from_the_mid(
    bid: int, width: int, price: int, ratio: int
) -> None:
    ask = bid + width
    one = GUARDS[Reason.PRICE_SANITY](limits(max_price_deviation=ratio))
    refused = one.review(signal(bid=bid, ask=ask, price=price), view())
    mid = Fraction(bid + ask, 2)
    assert (refused is not None) is (abs(price - mid) / mid > Fraction(ratio, SCALE))


@given(
    held=st.integers(min_value=0, max_value=6),
    pending=st.integers(min_value=0, max_value=6),
    limit=st.integers(min_value=1, max_value=6),
    code=st.sampled_from([Reason.MAX_POSITIONS, Reason.MAX_STRATEGY_POSITIONS]),
)
def test_places_taken_are_positions_plus_pending_entries(
    held: int, pending: int, limit: int, code: Reason
) -> None:
    of = limits(max_positions=limit, per_strategy=limit)
    book = Book([Held(symbol=f"H{n}") for n in range(held)], [(f"P{n}", "scalping") for n in range(pending)])
    one: Guard = GUARDS[code](of)
    assert (one.review(signal(), view(of, book)) is not None) is (held + pending >= limit)
