"""The one fill rule."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from flowguardian.execution.money import SCALE, units
from flowguardian.venue.matching import Part, Quote, latency_ns, match_taker, slipped

BOOK = Quote(units(100), units("99.99"), units(2), units("100.01"), units(3))
NO_BOOK = Quote(units(100), 0, 0, 0, 0)
SLIP, TICK = units("0.001"), units("0.01")


def match(
    side: int, qty: str, limit: str = "0", quote: Quote = BOOK, slippage: int = SLIP
) -> tuple[Part, ...]:
    return match_taker(
        side=side, qty=units(qty), limit_price=units(limit), quote=quote, slippage=slippage, tick=TICK
    )


def test_an_order_within_the_touch_fills_at_the_touch() -> None:
    assert match(1, "3") == (Part(units(3), units("100.01")),)
    assert match(-1, "2") == (Part(units(2), units("99.99")),)


def test_what_is_left_walks_to_the_deeper_level() -> None:
    assert match(1, "5") == (Part(units(3), units("100.01")), Part(units(2), units("100.12")))
    assert match(-1, "5") == (Part(units(2), units("99.99")), Part(units(3), units("99.89")))


def test_an_ioc_limit_takes_nothing_beyond_its_limit() -> None:
    assert match(1, "5", "100.05") == (Part(units(3), units("100.01")),)
    assert match(1, "5", "100") == ()
    assert match(-1, "5", "99.95") == (Part(units(2), units("99.99")),)
    assert match(-1, "5", "100") == ()


def test_without_a_book_the_last_trade_and_slippage_stand_in() -> None:
    assert match(1, "5", quote=NO_BOOK) == (Part(units(5), units("100.1")),)
    assert match(-1, "5", quote=NO_BOOK) == (Part(units(5), units("99.9")),)
    assert match(1, "5", quote=NO_BOOK, slippage=0) == (Part(units(5), units(100)),)


def test_without_any_price_nothing_fills() -> None:
    assert match(1, "5", quote=Quote(0, 0, 0, 0, 0)) == ()


def test_an_empty_touch_is_passed_over() -> None:
    empty = BOOK._replace(ask_qty=0)
    assert match(1, "1", quote=empty) == (Part(units(1), units("100.12")),)


@given(
    side=st.sampled_from([1, -1]),
    qty=st.integers(1, 10**12),
    limit=st.integers(0, 200 * SCALE),
    bid=st.integers(0, 100 * SCALE),
    spread=st.integers(1, SCALE),
    sizes=st.integers(0, 10**12),
    slippage=st.integers(0, SCALE // 10),
)
def test_fills_never_exceed_the_order_and_never_pass_its_limit(
    side: int, qty: int, limit: int, bid: int, spread: int, sizes: int, slippage: int
) -> None:
    quote = Quote(bid + spread, bid, sizes, bid + spread, sizes)
    parts = match_taker(side=side, qty=qty, limit_price=limit, quote=quote, slippage=slippage, tick=1000)
    assert sum(part.qty for part in parts) <= qty
    assert all(part.qty > 0 and part.price > 0 for part in parts)
    assert all(limit == 0 or (part.price - limit) * side <= 0 for part in parts)


@given(st.integers(1, 10**13), st.integers(0, SCALE // 10), st.sampled_from([1, 1000, SCALE]))
def test_slippage_is_always_against_the_taker_and_on_the_grid(price: int, slippage: int, tick: int) -> None:
    assert slipped(price, -1, slippage, tick) <= price <= slipped(price, 1, slippage, tick)
    assert slipped(price, 1, slippage, tick) % tick == slipped(price, -1, slippage, tick) % tick == 0


@given(st.integers(0, 2**63), st.integers(1, 10**6), st.integers(0, 10**9), st.integers(0, 10**9))
def test_latency_is_a_function_of_seed_and_order_within_its_bounds(
    seed: int, order: int, least: int, more: int
) -> None:
    drawn = latency_ns(seed, order, least, least + more)
    assert least <= drawn <= least + more
    assert drawn == latency_ns(seed, order, least, least + more)


def test_latency_spreads_over_its_range() -> None:
    drawn = [latency_ns(7, order, 0, 999) for order in range(1, 2001)]
    assert min(drawn) < 20 and max(drawn) > 980
    assert 450 < sum(drawn) / len(drawn) < 550
