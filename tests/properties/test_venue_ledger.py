"""The venue's ledger balances to the last digit, whatever is sent and wherever the market goes."""

from fractions import Fraction
from typing import Any

import hypothesis.strategies as st
from hypothesis import given, settings

from flowguardian.execution import money
from flowguardian.execution.portfolio_manager import PortfolioManager, Position
from flowguardian.venue.account import fee_of, opened
from flowguardian.venue.brackets import UNIT, brackets_of, maintenance
from flowguardian.venue.errors import Refusal
from flowguardian.venue.matching import Quote, match_taker
from flowguardian.venue.state import State
from tests.desk_samples import SYMBOLS, SmallDesk, units

SQUARE = UNIT * UNIT
NO_LIMITS: Any = None
"""The engine's books as such know no limits."""
sides = st.sampled_from([1, -1])
fills = st.tuples(
    st.sampled_from(SYMBOLS), sides, st.integers(1, 50_000), st.integers(1, 2_000_000), st.integers(0, 10**6)
)
rates = st.integers(-3_000_000, 3_000_000)


def explained(account):
    return account.start + account.realised - account.fees + account.funding + account.insurance


@given(st.lists(fills, max_size=30), st.lists(st.tuples(st.sampled_from(SYMBOLS), rates), max_size=5))
def test_the_wallet_is_explained_and_positions_are_the_sum_of_their_fills(made, fundings):
    account = opened(1_000_000 * UNIT)
    held = dict.fromkeys(SYMBOLS, 0)
    for number, (symbol, side, lots, ticks, rate) in enumerate(made):
        qty, price = lots * 100_000, ticks * 10_000_000
        account.fill(symbol, side, qty, price, fee_of(price, qty, rate), number)
        held[symbol] += side * qty
        assert account.wallet == explained(account)
        assert account.position(symbol).qty == held[symbol]
        assert (account.position(symbol).cost == 0) == (held[symbol] == 0)
    for symbol, rate in fundings:
        before = account.wallet
        amount = account.settle(symbol, 10**12, rate, 0)
        exact = Fraction(-held[symbol] * 10**12 * rate, SQUARE)
        assert amount <= exact < amount + 1, "funding is rounded down, once"
        assert account.wallet == before + amount == explained(account)


@given(st.lists(fills, max_size=30))
def test_the_engine_books_the_same_fills_to_the_last_digit(made):
    """Two ledgers, written apart: the venue's, and the one that trades."""
    account, engine = opened(0), PortfolioManager(NO_LIMITS)
    for number, (symbol, side, lots, ticks, rate) in enumerate(made):
        qty, price = lots * 100_000, ticks * 10_000_000
        fee = fee_of(price, qty, rate)
        assert fee == money.fee(price, qty, rate)
        booked = account.fill(symbol, side, qty, price, fee, number)
        position = engine.positions.setdefault(symbol, Position(symbol, "", side, number, None))
        assert booked.realised == engine._move(position, side, qty, price, fee)
        theirs, ours = engine.positions.get(symbol), account.position(symbol)
        assert (ours.qty, ours.cost) == ((theirs.side * theirs.qty, theirs.cost) if theirs else (0, 0))
        if theirs:
            assert ours.unrealised(price + 1) == theirs.unrealised(price + 1)
            assert account.settle(symbol, price, rate, 0) == money.funding(
                ours.side, abs(ours.qty), price, rate
            )
    assert (account.realised, account.fees) == (engine.realised, engine.fees)


@given(sides, st.lists(st.tuples(st.integers(1, 9_999), st.integers(1, 2_000_000)), min_size=1, max_size=20))
def test_closing_in_parts_loses_less_than_a_unit_per_part(side, parts):
    """Profit is rounded down once per fill and the last close takes the rest of the cost."""
    account = opened(0)
    total = sum(lots for lots, _ in parts) * 100_000
    account.fill(SYMBOLS[0], side, total, 123_456_789, 0, 0)
    exact = Fraction(0)
    for lots, ticks in parts:
        account.fill(SYMBOLS[0], -side, lots * 100_000, ticks * 1_000, 0, 0)
        exact += Fraction(side * lots * 100_000 * (ticks * 1_000 - 123_456_789), UNIT)
    assert account.position(SYMBOLS[0]).cost == 0
    assert 0 <= exact - account.realised < 2 * len(parts)


@given(st.integers(0, 10**18), st.integers(1, 10**12), st.integers(0, 10**6))
def test_a_fee_is_rounded_up_once(qty, price, rate):
    exact = Fraction(price * qty * rate, SQUARE)
    assert fee_of(price, qty, rate) - 1 < exact <= fee_of(price, qty, rate)


@given(st.sampled_from(SYMBOLS), st.integers(0, 40_000_000), st.integers(0, 10**7))
def test_maintenance_margin_has_no_step_and_grows_with_the_notional(symbol, notional, more):
    small, large = maintenance(symbol, notional * UNIT), maintenance(symbol, notional * UNIT + more)
    assert 0 <= large - small <= more
    for one in brackets_of(symbol)[1:]:
        assert abs(maintenance(symbol, one.floor) - maintenance(symbol, one.floor + 1)) <= 1


@given(
    sides,
    st.integers(1, 900),
    st.integers(0, 60),
    st.integers(1, 500),
    st.integers(0, 500_000),
    st.booleans(),
)
def test_a_taker_meets_the_fill_rule_of_the_paper_broker_when_it_is_asked_for(
    side, lots, ticks, size, slippage, quoted
):
    """One rule for both: the touch up to its size, then one level at touch ± slippage, within the limit."""
    desk = SmallDesk(balance=100_000_000, slippage=slippage)
    desk.print(10_000)
    if quoted:
        desk.quote(9_999.9, 10_000.1, size / 1000)
    limit = round(10_000 + side * (ticks - 20) / 10, 1)
    qty = (lots + 10) / 1000
    order = desk.order(side, qty, limit, time_in_force="IOC")
    top = (9_999.9, size / 1000, 10_000.1, size / 1000) if quoted else (0, 0, 0, 0)
    quote = Quote(units(10_000), *(units(part) for part in top))
    parts = match_taker(
        side=side, qty=units(qty), limit_price=units(limit), quote=quote, slippage=slippage, tick=units(0.1)
    )
    made = [(trade.qty, trade.price) for trade in desk.state.trades.values()]
    assert merged(made) == merged(parts)
    assert order.filled == sum(part.qty for part in parts)


def merged(parts):
    """Quantity by price: a level of any size at the touch is one fill here and two parts there."""
    found: dict[int, int] = {}
    for qty, price in parts:
        found[price] = found.get(price, 0) + qty
    return found


moves = st.lists(
    st.one_of(
        st.tuples(st.just("order"), sides, st.integers(1, 400), st.integers(-40, 40), st.booleans()),
        st.tuples(st.just("quote"), st.integers(-60, 60), st.integers(1, 300)),
        st.tuples(st.just("print"), st.integers(-60, 60), st.integers(1, 300)),
        st.tuples(st.just("stop"), sides, st.integers(1, 60)),
        st.tuples(st.just("cancel"), st.integers(0, 5)),
        st.tuples(st.just("fund"), rates),
        st.tuples(st.just("crash"), st.integers(-4_000, 4_000)),
    ),
    max_size=40,
)


def order(desk, mark, side, lots, ticks, reduces):
    desk.order(side, lots / 1000, near(mark, ticks) if ticks else 0, reduce_only=reduces)


def cancel(desk, mark, place):
    for one in desk.state.open_orders()[place : place + 1]:
        desk.trading.cancel(one.symbol, one.id, "", desk.now_ns)


def near(mark, ticks):
    return max(100.0, round(mark + ticks / 10, 1))


STEPS: dict[str, Any] = {
    "order": order,
    "cancel": cancel,
    "quote": lambda desk, mark, _, lots: desk.quote(mark - 0.1, mark + 0.1, lots / 1000),
    "print": lambda desk, mark, ticks, lots: desk.print(near(mark, ticks), lots / 1000),
    "stop": lambda desk, mark, side, ticks: desk.stop(side, near(mark, side * ticks)),
    "fund": lambda desk, mark, rate: desk.forced.fund(0, round(mark * UNIT), rate, desk.now_ns),
    "crash": lambda desk, mark, _: desk.print(mark),
}


def played(desk, steps):
    """Run steps on a desk; yields after each whether it was refused, which changes nothing."""
    mark = 10_000.0
    desk.quote(mark - 0.1, mark + 0.1, 0.2)
    desk.print(mark)
    for kind, *rest in steps:
        if kind in ("quote", "crash"):
            mark = near(mark, rest[0] * (10 if kind == "crash" else 1))
        refused = False
        try:
            STEPS[kind](desk, mark, *rest)
        except Refusal:
            refused = True
        yield refused


@settings(max_examples=300)
@given(moves)
def test_orders_and_moves_leave_the_books_balanced(steps):
    desk = SmallDesk(balance=2_000)
    for _ in played(desk, steps):
        account, trades = desk.state.account, list(desk.state.trades.values())
        assert account.wallet == explained(account)
        assert account.wallet == account.start + sum(one.amount for one in desk.state.incomes.values())
        assert account.fees == sum(trade.fee for trade in trades)
        assert account.realised == sum(trade.realised for trade in trades)
        assert account.position(SYMBOLS[0]).qty == sum(trade.side * trade.qty for trade in trades)
        marks = desk.trading.marks()
        unrealised = sum(one.unrealised(marks[one.symbol]) for one in account.open_positions)
        assert account.equity(marks) == explained(account) + unrealised
        for order in desk.state.orders.values():
            assert 0 <= order.filled <= order.qty
            own = [trade for trade in trades if trade.order_id == order.id]
            assert order.filled == sum(trade.qty for trade in own)
            assert order.quote == sum(trade.qty * trade.price for trade in own)


@settings(max_examples=300)
@given(moves)
def test_a_reduce_only_order_never_increases_a_position(steps):
    desk = SmallDesk()
    held, seen = 0, 0
    for _ in played(desk, steps):
        trades = list(desk.state.trades.values())
        for trade in trades[seen:]:
            after = held + trade.side * trade.qty
            if desk.state.orders[trade.order_id].reduce_only:
                assert abs(after) < abs(held) and held * after >= 0
            held = after
        seen = len(trades)


@settings(max_examples=200)
@given(st.sampled_from([1, -1]), st.integers(20, 95), st.integers(20, 125))
def test_a_liquidated_account_ends_flat_and_never_below_zero(side, share, leverage):
    desk = SmallDesk(balance=1_000)
    desk.state.account.leverage = {SYMBOLS[0]: leverage}
    desk.quote(9_999.9, 10_000.1, 1000)
    desk.print(10_000)
    lots = 1_000 * leverage * share // 100 // 10
    desk.order(side, lots / 1000)
    for step in range(1, 200):
        desk.print(10_000 - side * step * 50)
        if not desk.held:
            break
    account = desk.state.account
    assert not account.open_positions and not desk.state.open and not desk.state.open_algos
    assert 0 <= account.wallet == explained(account)
    assert account.maintenance(desk.trading.marks()) == 0
    forced = [order for order in desk.state.orders.values() if order.client_id.startswith("autoclose-")]
    assert [order.status for order in forced] == ["FILLED"]


@given(moves)
def test_the_records_of_changes_make_the_same_account_again(steps):
    desk = SmallDesk()
    again = State(opened(0))
    for _ in played(desk, steps):
        again.load(desk.state.changes())
    again.load(desk.state.changes())
    assert dict_of(again) == dict_of(desk.state)
    assert again.open.keys() == desk.state.open.keys()


def dict_of(state):
    return [one for one in state.everything() if one[0] != "account" or state.trades]
