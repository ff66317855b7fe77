"""Guards that remember closes and entries, and guards that count money and places."""

from __future__ import annotations

from typing import Any

import pytest

from flowguardian.execution.events import ExitReason, Reason
from flowguardian.execution.limits import Limits
from flowguardian.execution.money import units
from flowguardian.guards import GUARDS
from flowguardian.guards.base import Guard, Refused, Release, View
from tests.guard_samples import HOUR, MINUTE, NOON, SECOND, Book, Held, closed, limits, order, signal, view


def guard(code: Reason, of: Limits | None = None) -> Guard:
    return GUARDS[code](of or limits())


def review(
    code: Reason, of: Limits | None = None, seen: View | None = None, **changes: Any
) -> Refused | None:
    """What a fresh guard says to a signal with these fields changed."""
    return guard(code, of).review(signal(**changes), seen or view(of))


def refusal(answer: Refused | None) -> Refused:
    assert answer is not None
    return answer


# ---- memory of closes and entries


def test_a_symbol_rests_after_its_close_and_the_refusal_says_until_when() -> None:
    one = guard(Reason.SYMBOL_COOLDOWN)
    one.apply(closed(ts_ns=NOON))
    answer = refusal(one.review(signal(ts_ns=NOON + 30 * SECOND), view()))
    assert (answer.limit, answer.value, answer.release_ns) == (90.0, 30.0, NOON + 90 * SECOND)
    assert one.review(signal(ts_ns=NOON + 90 * SECOND), view()) is None
    assert one.review(signal(ts_ns=NOON + 30 * SECOND, symbol="ETHUSDT"), view()) is None


def test_an_entry_does_not_arm_the_symbol_and_a_close_does_not_arm_the_strategy() -> None:
    by_symbol, by_strategy = guard(Reason.SYMBOL_COOLDOWN), guard(Reason.STRATEGY_COOLDOWN)
    by_symbol.apply(order(ts_ns=NOON))
    by_strategy.apply(closed(ts_ns=NOON))
    assert by_symbol.review(signal(), view()) is None
    assert by_strategy.review(signal(), view()) is None


def test_a_strategy_rests_after_an_entry_in_any_symbol() -> None:
    one = guard(Reason.STRATEGY_COOLDOWN)
    one.apply(order(ts_ns=NOON, symbol="ETHUSDT"))
    answer = refusal(one.review(signal(ts_ns=NOON + 20 * SECOND - 1), view()))
    assert answer.release_ns == NOON + 20 * SECOND
    assert one.review(signal(ts_ns=NOON + 20 * SECOND), view()) is None
    assert one.review(signal(ts_ns=NOON + SECOND, strategy="other"), view()) is None


def lose(one: Guard, minute: int, **changes: Any) -> None:
    one.apply(closed(ts_ns=NOON + minute * MINUTE, **{"realised": -units(5), **changes}))


def pauses_at(one: Guard, minute: int) -> bool:
    return one.review(signal(ts_ns=NOON + minute * MINUTE), view()) is not None


def test_three_losses_in_a_row_pause_entries_for_the_pause_and_no_longer() -> None:
    one = guard(Reason.CONSECUTIVE_LOSSES)
    lose(one, 0)
    lose(one, 1)
    assert not pauses_at(one, 1)
    lose(one, 2)
    answer = refusal(one.review(signal(ts_ns=NOON + 3 * MINUTE), view()))
    assert (answer.limit, answer.value, answer.release_ns) == (3.0, 3.0, NOON + 32 * MINUTE)
    assert not pauses_at(one, 32)


def test_the_guard_does_not_fire_again_on_the_first_loss_after_its_pause() -> None:
    one = guard(Reason.CONSECUTIVE_LOSSES)
    for minute in range(3):
        lose(one, minute)
    lose(one, 32)
    lose(one, 33)
    assert not pauses_at(one, 33)
    lose(one, 34)
    assert pauses_at(one, 34)


def test_a_loss_during_the_pause_starts_the_pause_anew() -> None:
    one = guard(Reason.CONSECUTIVE_LOSSES)
    for minute in (0, 1, 2, 10):
        lose(one, minute)
    assert pauses_at(one, 39)
    assert not pauses_at(one, 40)


@pytest.mark.parametrize("realised", [units(1), units(50)])
def test_a_break_even_or_a_win_ends_the_row_of_losses(realised: int) -> None:
    one = guard(Reason.CONSECUTIVE_LOSSES)
    lose(one, 0)
    lose(one, 1)
    one.apply(closed(ts_ns=NOON + 2 * MINUTE, realised=realised, fees=units(1)))
    lose(one, 3)
    lose(one, 4)
    assert not pauses_at(one, 4)


def test_a_win_before_fees_that_is_a_loss_after_them_is_a_loss() -> None:
    one = guard(Reason.CONSECUTIVE_LOSSES)
    for minute in range(3):
        lose(one, minute, realised=units(1), fees=units(1) + 1)
    assert pauses_at(one, 3)


def test_a_flatten_by_the_operator_is_not_the_strategys_loss() -> None:
    one = guard(Reason.CONSECUTIVE_LOSSES)
    for minute in range(5):
        lose(one, minute, reason=ExitReason.FLATTEN)
    assert not pauses_at(one, 5)


# ---- money and places


def test_daily_loss_releases_at_the_next_utc_midnight() -> None:
    seen = view()
    seen.equity = units(45_000)
    answer = refusal(review(Reason.DAILY_LOSS, seen=seen))
    assert (answer.limit, answer.value, answer.release) == (0.1, 0.1, Release.UTC_MIDNIGHT)
    assert answer.release_ns == NOON + 12 * HOUR
    at_midnight = refusal(review(Reason.DAILY_LOSS, seen=seen, ts_ns=NOON + 12 * HOUR))
    assert at_midnight.release_ns == NOON + 36 * HOUR


def test_drawdown_is_measured_from_the_peak_not_from_the_start() -> None:
    seen = view()
    seen.peak_equity, seen.equity = units(80_000), units(60_000)
    answer = refusal(review(Reason.DRAWDOWN, seen=seen))
    assert (answer.limit, answer.value, answer.release) == (0.25, 0.25, Release.RESUME_COMMAND)
    seen.equity += 1
    assert review(Reason.DRAWDOWN, seen=seen) is None


def three(**changes: Any) -> list[Held]:
    return [
        Held(symbol=name, expiry_ns=NOON + minute * MINUTE, **changes)
        for name, minute in (("ETHUSDT", 20), ("SOLUSDT", 10), ("ADAUSDT", 30))
    ]


def test_a_full_portfolio_refuses_until_the_first_position_closes() -> None:
    answer = refusal(review(Reason.MAX_POSITIONS, seen=view(book=Book(three()))))
    assert (answer.limit, answer.value) == (3.0, 3.0)
    assert (answer.release, answer.release_ns) == (Release.POSITION_CLOSES, NOON + 10 * MINUTE)
    assert review(Reason.MAX_POSITIONS, seen=view(book=Book(three()[:2]))) is None


@pytest.mark.parametrize("code", [Reason.MAX_POSITIONS, Reason.MAX_STRATEGY_POSITIONS])
def test_a_pending_or_unknown_entry_takes_a_place(code: Reason) -> None:
    full = limits(per_strategy=3)
    seen = view(full, Book(three()[:2], [("BNBUSDT", "scalping")]))
    assert refusal(review(code, full, seen)).release == Release.PENDING_ORDER_ENDS


@pytest.mark.parametrize("code", [Reason.MAX_POSITIONS, Reason.MAX_STRATEGY_POSITIONS])
def test_an_add_takes_no_further_place(code: Reason) -> None:
    full = limits(per_strategy=3)
    assert review(code, full, view(full, Book(three())), symbol="ETHUSDT") is None


def test_the_places_of_one_strategy_are_not_taken_by_another() -> None:
    one_each = limits(per_strategy=1)
    book = Book([Held(symbol="ETHUSDT", strategy="other"), Held(symbol="SOLUSDT", strategy="other")])
    assert review(Reason.MAX_STRATEGY_POSITIONS, one_each, view(one_each, book)) is None
    answer = refusal(review(Reason.MAX_STRATEGY_POSITIONS, one_each, view(one_each, book), strategy="other"))
    assert (answer.limit, answer.value) == (1.0, 2.0)
