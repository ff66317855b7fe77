"""Each guard: what makes it refuse, exactly where its limit lies, and what it says releases it."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

import flowguardian.guards
from flowguardian.execution.events import ExitReason, Purpose, Reason, Row, TradingState
from flowguardian.execution.limits import Limits
from flowguardian.execution.money import units
from flowguardian.guards import GUARDS, build
from flowguardian.guards.base import Guard, Refused, Release, View
from tests.guard_samples import (
    HOUR,
    MINUTE,
    NOON,
    SECOND,
    STRATEGY,
    Book,
    Held,
    closed,
    limits,
    order,
    signal,
    view,
)

GUARD_FILES = sorted(Path(flowguardian.guards.__file__).parent.glob("*.py"))


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


# ---- all guards


def test_guards_stand_in_pipeline_order_under_their_own_code() -> None:
    guards = build(limits())
    assert [one.code for one in guards] == list(GUARDS)
    assert list(GUARDS) == [code for code in Reason if code in GUARDS]
    assert set(Reason) - set(GUARDS) == {
        Reason.SIZING,
        Reason.EXPOSURE,
        Reason.PORTFOLIO_BUDGET,
        Reason.VENUE_FILTERS,
    }


def test_each_guard_has_a_file_of_its_own_name() -> None:
    names = {path.stem for path in GUARD_FILES} - {"__init__", "base", "starvation"}
    assert names == {code.value for code in GUARDS}


def test_guards_import_no_clock_no_chance_and_no_input() -> None:
    banned = {"asyncio", "time", "random", "threading", "os", "datetime", "pathlib", "logging", "io"}
    for path in GUARD_FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            assert not banned & {name.split(".")[0] for name in names}, path.name


def test_a_healthy_signal_passes_every_guard() -> None:
    assert {one.code: one.review(signal(), view()) for one in build(limits())} == dict.fromkeys(GUARDS)


def test_a_disabled_guard_is_built_all_the_same_for_shadow() -> None:
    none_enabled = limits(enabled=frozenset())
    assert [one.code for one in build(none_enabled)] == list(GUARDS)
    assert review(Reason.FLASH_MOVE, none_enabled, move=0.5) is not None


def test_exits_are_unaffected_an_exit_order_teaches_no_guard_anything() -> None:
    for one in build(limits()):
        before = json.dumps(one.snapshot())
        one.apply(order(purpose=Purpose.EXIT, reason=ExitReason.STOP))
        assert json.dumps(one.snapshot()) == before, one.code


def test_equal_histories_make_equal_memories_whatever_their_order_of_symbols() -> None:
    rows: list[Row] = [
        order(symbol="ETHUSDT"),
        order(symbol="ADAUSDT"),
        closed(symbol="ETHUSDT"),
        closed(symbol="ADAUSDT", realised=-units(5)),
    ]
    forward, shuffled = build(limits()), build(limits())
    for one, other in zip(forward, shuffled, strict=True):
        for row in rows:
            one.apply(row)
        for place in (1, 0, 2, 3):
            other.apply(rows[place])
        assert json.dumps(one.snapshot()) == json.dumps(other.snapshot()), one.code
    assert json.loads(json.dumps([one.snapshot() for one in forward])) == [one.snapshot() for one in forward]


def test_a_guard_listens_to_every_row_that_changes_it() -> None:
    for one in build(limits()):
        for row in (order(), closed(realised=-units(5)), signal()):
            before = json.dumps(one.snapshot())
            one.apply(row)
            if json.dumps(one.snapshot()) != before:
                assert type(row) in one.rows, one.code


def test_a_refusal_names_its_guard_and_a_known_release() -> None:
    seen = view()
    seen.trading_state = TradingState.HALTED
    seen.equity = units(1)
    bad = signal(bars_seen=0, trade_age_ns=-1, clock_skew_ns=HOUR, move=1.0, volume=1e9, bid=0, price=0)
    answers = [one.review(bad, seen) for one in build(limits())]
    named = [answer for answer in answers if answer is not None]
    assert len(named) >= 9
    for one, answer in zip(build(limits()), answers, strict=True):
        if answer is not None:
            assert answer.code is one.code
            assert answer.release in set(Release)
            assert msgspec.json.decode(msgspec.json.encode(answer), type=Refused) == answer


# ---- state and data


@pytest.mark.parametrize("state", [TradingState.HALTED, TradingState.REDUCING])
def test_a_halted_or_reducing_engine_enters_nothing_until_it_is_resumed(state: TradingState) -> None:
    seen = view()
    seen.trading_state = state
    assert refusal(review(Reason.READY_GATE, seen=seen)).release == Release.RESUME_COMMAND


def test_nothing_is_entered_before_ready() -> None:
    seen = view()
    seen.ready = False
    assert refusal(review(Reason.READY_GATE, seen=seen)).release == Release.FRESH_DATA


def test_a_cold_symbol_says_when_it_will_be_warm() -> None:
    assert review(Reason.WARMUP, bars_seen=60) is None
    answer = refusal(review(Reason.WARMUP, bars_seen=57))
    assert (answer.limit, answer.value, answer.release_ns) == (60.0, 57.0, NOON + 3 * MINUTE)


def test_a_degraded_symbol_is_cold_however_many_bars_it_saw_before() -> None:
    seen = view()
    seen.degraded.add("BTCUSDT")
    assert refusal(review(Reason.WARMUP, seen=seen)).release == Release.WARM_BARS
    assert review(Reason.WARMUP, seen=seen, symbol="ETHUSDT") is None


@pytest.mark.parametrize("stream", ["trade_age_ns", "top_age_ns"])
def test_data_is_stale_over_its_limit_and_when_it_never_came(stream: str) -> None:
    limit_ns = {"trade_age_ns": 5 * SECOND, "top_age_ns": 3 * SECOND}[stream]

    def at_age(age_ns: int) -> Refused | None:
        return guard(Reason.STALE_DATA).review(signal(**{stream: age_ns}), view())

    assert at_age(0) is None
    assert at_age(limit_ns) is None
    assert refusal(at_age(limit_ns + 1)).limit == limit_ns / SECOND
    assert refusal(at_age(-1)).value == -1.0


def test_tops_without_a_limit_are_not_looked_at() -> None:
    no_tops = limits(max_top_age_ns=0)
    assert review(Reason.STALE_DATA, no_tops, top_age_ns=-1) is None
    assert review(Reason.STALE_DATA, no_tops, top_age_ns=HOUR) is None
    assert review(Reason.STALE_DATA, no_tops, trade_age_ns=-1) is not None


def test_a_signal_of_a_bar_long_closed_is_refused() -> None:
    assert review(Reason.STALE_SIGNAL, ts_ns=NOON + 10 * SECOND) is None
    answer = refusal(review(Reason.STALE_SIGNAL, ts_ns=NOON + 10 * SECOND + 1))
    assert (answer.limit, answer.release) == (10.0, Release.NEXT_SIGNAL)


@pytest.mark.parametrize("sign", [1, -1])
def test_clock_skew_counts_in_both_directions(sign: int) -> None:
    assert review(Reason.CLOCK_SKEW, clock_skew_ns=sign * SECOND) is None
    assert refusal(review(Reason.CLOCK_SKEW, clock_skew_ns=sign * (SECOND + 1))).value == pytest.approx(sign)


# ---- one entry per bar, one position per symbol


def test_a_bar_is_burned_by_its_entry_for_that_symbol_strategy_and_side_only() -> None:
    one = guard(Reason.SIGNAL_IDEMPOTENCY)
    one.apply(order())
    assert refusal(one.review(signal(), view())).release == Release.NEXT_SIGNAL
    assert one.review(signal(bar_ns=NOON - 2 * MINUTE), view()) is not None
    for other in ({"side": -1}, {"symbol": "ETHUSDT"}, {"strategy": "other"}, {"bar_ns": NOON}):
        assert one.review(signal(**other), view()) is None


def test_idempotency_remembers_one_bar_per_key_however_long_the_run() -> None:
    one = guard(Reason.SIGNAL_IDEMPOTENCY)
    for minute in range(1000):
        one.apply(order(bar_ns=NOON + minute * MINUTE))
    one.apply(order(bar_ns=NOON))
    assert one.snapshot() == [["BTCUSDT", "scalping", 1, NOON + 999 * MINUTE]]


def test_a_symbol_with_a_position_is_not_entered_again() -> None:
    answer = refusal(review(Reason.DUPLICATE_ENTRY, seen=view(book=Book([Held()]))))
    assert (answer.release, answer.release_ns) == (Release.POSITION_CLOSES, NOON + 30 * MINUTE)
    assert review(Reason.DUPLICATE_ENTRY, seen=view(book=Book([Held(symbol="ETHUSDT")]))) is None


def test_an_unknown_entry_order_blocks_its_symbol_like_a_position() -> None:
    book = Book(orders=[("BTCUSDT", "scalping")])
    assert refusal(review(Reason.DUPLICATE_ENTRY, seen=view(book=book))).release == Release.PENDING_ORDER_ENDS
    assert review(Reason.DUPLICATE_ENTRY, seen=view(book=book), symbol="ETHUSDT") is None


ADDING = limits(strategy=msgspec.structs.replace(STRATEGY, allow_add=True, max_adds=2))


@pytest.mark.parametrize(
    ("held", "orders", "passes"),
    [
        (Held(), [], True),
        (Held(adds=1), [], True),
        (Held(adds=2), [], False),
        (Held(side=-1), [], False),
        (Held(strategy="other"), [], False),
        (Held(), [("BTCUSDT", "scalping")], False),
    ],
)
def test_an_add_needs_the_same_strategy_and_side_and_a_free_add(
    held: Held, orders: list[tuple[str, str]], passes: bool
) -> None:
    answer = review(Reason.DUPLICATE_ENTRY, ADDING, view(ADDING, Book([held], orders)))
    assert (answer is None) is passes


def test_max_adds_means_nothing_where_adds_are_not_allowed() -> None:
    not_allowed = limits(strategy=msgspec.structs.replace(STRATEGY, allow_add=False, max_adds=2))
    assert review(Reason.DUPLICATE_ENTRY, not_allowed, view(not_allowed, Book([Held()]))) is not None


# ---- the bar and the book


@pytest.mark.parametrize("move", [0.0301, -0.0301, 0.5, -0.5, float("nan"), float("inf"), float("-inf")])
def test_a_flash_move_is_refused_up_or_down_or_when_it_is_no_number(move: float) -> None:
    answer = refusal(review(Reason.FLASH_MOVE, move=move))
    assert msgspec.json.decode(msgspec.json.encode(answer), type=Refused) == answer


def test_a_move_at_the_limit_is_not_a_flash_move() -> None:
    assert review(Reason.FLASH_MOVE, move=0.03) is None
    assert review(Reason.FLASH_MOVE, move=-0.03) is None


@pytest.mark.parametrize(
    ("volume", "mean", "passes"),
    [
        (40.0, 10.0, True),
        (40.1, 10.0, False),
        (5.0, 10.0, True),
        (4.9, 10.0, False),
        (1.0, 0.0, False),
        (0.0, -1.0, False),
        (float("nan"), 10.0, False),
        (10.0, float("nan"), False),
        (float("inf"), 10.0, False),
    ],
)
def test_volume_must_lie_between_thin_and_spike(volume: float, mean: float, passes: bool) -> None:
    answer = review(Reason.VOLUME, limits(volume_thin_mult=0.5), volume=volume, volume_mean=mean)
    assert (answer is None) is passes
    if answer is not None:
        assert msgspec.json.decode(msgspec.json.encode(answer), type=Refused) == answer


def test_without_a_thin_limit_a_silent_bar_passes_but_a_missing_average_does_not() -> None:
    assert review(Reason.VOLUME, volume=0.0) is None
    assert review(Reason.VOLUME, volume=0.0, volume_mean=0.0) is not None


def test_the_spread_is_compared_exactly_at_its_limit() -> None:
    # The mid is 100,000, so 0.1 % of it is a spread of exactly 100.
    assert review(Reason.SPREAD, bid=units(99_950), ask=units(100_050)) is None
    answer = refusal(review(Reason.SPREAD, bid=units(99_950) - 1, ask=units(100_050) + 1))
    assert (answer.limit, answer.release) == (0.001, Release.SPREAD_NARROWS)
    assert answer.value == pytest.approx(0.001)


@pytest.mark.parametrize("missing", [{"bid": 0}, {"ask": 0}, {"bid": 0, "ask": 0}])
def test_a_spread_that_was_not_measured_is_refused_not_passed(missing: dict[str, Any]) -> None:
    answer = refusal(review(Reason.SPREAD, **missing))
    assert (answer.value, answer.release) == (-1.0, Release.FRESH_DATA)


@pytest.mark.parametrize(
    "fields",
    [
        {"price": 0},
        {"price": -units(1)},
        {"bid": units(100_005), "ask": units(100_005)},
        {"bid": units(100_006), "ask": units(100_005)},
        {"bid": 0},
        {"ask": 0},
        {"price": units(100_500) + 1},
        {"price": units(99_500) - 1},
    ],
)
def test_a_price_the_book_does_not_agree_with_is_refused(fields: dict[str, Any]) -> None:
    assert review(Reason.PRICE_SANITY, **fields) is not None


def test_a_price_at_the_deviation_limit_passes_and_without_a_top_only_its_sign_counts() -> None:
    assert review(Reason.PRICE_SANITY, price=units(100_500)) is None
    assert review(Reason.PRICE_SANITY, price=units(99_500)) is None
    assert review(Reason.PRICE_SANITY, price=units(1), bid=0, ask=0) is None
