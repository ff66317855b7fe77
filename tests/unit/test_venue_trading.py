"""How the venue matches, triggers, charges and liquidates: each rule by one small market."""

from contextlib import contextmanager

import pytest

from flowguardian.market.records import SECOND_NS
from flowguardian.venue.errors import Refusal
from flowguardian.venue.orders import AlgoOrder, ImpossibleMove, Order
from tests.desk_samples import SYMBOLS, UNIT, SmallDesk, units

BTC = SYMBOLS[0]


@pytest.fixture
def desk():
    """Bid 9,999.9 and ask 10,000.1 of 0.3 BTC each; last trade at 10,000."""
    made = SmallDesk()
    made.quote(9_999.9, 10_000.1, 0.3)
    made.print(10_000)
    made.events.clear()
    return made


@contextmanager
def refused(code):
    """Expects a refusal with a code."""
    with pytest.raises(Refusal) as refusal:
        yield
    assert refusal.value.code == code, refusal.value.text


def fills(desk, order):
    return [
        (trade.qty / UNIT, trade.price / UNIT)
        for trade in desk.state.trades.values()
        if trade.order_id == order.id
    ]


def test_a_market_order_takes_the_touch_and_walks_the_book_behind_it(desk):
    order = desk.order(1, 0.4)
    assert order.status == "FILLED"
    assert fills(desk, order) == [(0.3, 10_000.1), (0.1, 10_000.2)]
    assert order.average_price == (units(10_000.1) * 3 + units(10_000.2)) // 4


def test_what_was_taken_is_gone_until_the_next_quote(desk):
    desk.order(1, 0.3)
    assert fills(desk, desk.order(1, 0.01)) == [(0.01, 10_000.2)]
    desk.quote(9_999.9, 10_000.1, 0.3)
    assert fills(desk, desk.order(1, 0.01)) == [(0.01, 10_000.1)]


def test_an_ioc_order_takes_what_lies_within_its_limit_and_expires(desk):
    order = desk.order(1, 0.4, 10_000.1, time_in_force="IOC")
    assert (order.status, fills(desk, order)) == ("EXPIRED", [(0.3, 10_000.1)])
    assert desk.names[-1] == "ORDER_TRADE_UPDATE@EXPIRED"


def test_a_fok_order_is_filled_whole_or_not_recorded(desk):
    with refused(-5021):
        desk.order(1, 0.4, 10_000.1, time_in_force="FOK")
    assert not desk.state.orders and not desk.events
    assert desk.order(1, 0.3, 10_000.1, time_in_force="FOK").status == "FILLED"


def test_a_post_only_order_that_would_take_is_refused_and_rests_otherwise(desk):
    with refused(-5022):
        desk.order(1, 0.1, 10_000.1, time_in_force="GTX")
    assert desk.order(1, 0.1, 10_000.0, time_in_force="GTX").status == "NEW"


def test_a_resting_order_waits_at_its_price_and_fills_when_a_trade_goes_through_it(desk):
    order = desk.order(1, 0.1, 9_990)
    desk.print(9_990)
    assert order.filled == 0, "a trade at the price may have been somebody else's"
    desk.print(9_989.9, 0.04)
    assert (order.status, fills(desk, order)) == ("PARTIALLY_FILLED", [(0.04, 9_990)])
    desk.print(9_989.9, 1)
    assert (order.status, fills(desk, order)) == ("FILLED", [(0.04, 9_990), (0.06, 9_990)])
    assert all(trade.maker for trade in desk.state.trades.values())


def test_a_quote_that_crosses_fills_a_resting_order_up_to_its_size(desk):
    order = desk.order(-1, 0.5, 10_010)
    desk.quote(10_012, 10_012.2, 0.2)
    assert fills(desk, order) == [(0.2, 10_010)]
    desk.quote(10_010, 10_012.2, 0.4)
    assert (order.status, order.filled) == ("FILLED", units(0.5))


def test_one_trade_fills_the_better_price_first_and_no_more_than_its_size(desk):
    low, high = desk.order(1, 0.1, 9_980), desk.order(1, 0.1, 9_990)
    desk.print(9_970, 0.15)
    assert (high.filled, low.filled) == (units(0.1), units(0.05))


def test_fees_are_those_of_maker_and_taker(desk):
    desk.order(1, 0.1, 9_990)
    desk.print(9_989, 1)
    desk.order(1, 0.1)
    maker, taker = desk.state.trades.values()
    assert maker.fee == units(9_990 * 0.1 * 0.0002)
    assert taker.fee == units(10_000.1 * 0.1 * 0.0005)


def test_a_fill_is_told_as_new_lite_trade_and_account_in_this_order(desk):
    desk.order(1, 0.1)
    assert desk.names == [
        "ORDER_TRADE_UPDATE@NEW", "TRADE_LITE", "ORDER_TRADE_UPDATE@TRADE", "ACCOUNT_UPDATE@ORDER",
    ]  # fmt: skip
    update = desk.events[-1][1]["a"]
    assert update["P"][0]["pa"] == "0.100" and update["B"][0]["wb"] == "9999.49999500"


# --- ids and refusals


def test_a_client_id_is_free_again_once_its_order_is_closed(desk):
    first = desk.order(1, 0.1, 9_990, client_id="mine")
    with refused(-4116):
        desk.order(1, 0.1, client_id="mine")
    desk.trading.cancel(BTC, first.id, "", desk.now_ns)
    desk.order(1, 0.1, client_id="mine")
    desk.order(1, 0.1, client_id="mine")
    assert desk.held == pytest.approx(0.2), "a blind resend fills twice"
    assert desk.state.find(BTC, 0, "mine").id == max(desk.state.orders)


def test_an_order_without_margin_is_refused(desk):
    with refused(-2019):
        desk.order(1, 25)
    desk.order(1, 10, 9_990)
    with refused(-2019):
        desk.order(1, 11, 9_990)
    desk.order(-1, 10, 10_010)


def test_a_position_beyond_its_bracket_is_refused():
    desk = SmallDesk(balance=10_000_000)
    desk.state.account.leverage[BTC] = 125
    desk.quote(9_999.9, 10_000.1, 1000)
    desk.print(10_000)
    with refused(-2027):
        desk.order(1, 31)


def test_an_order_may_not_be_small_or_far_from_the_mark(desk):
    with refused(-4164):
        desk.order(1, 0.009, 9_990)
    with refused(-4016):
        desk.order(1, 0.1, 10_500.1)
    with refused(-4024):
        desk.order(-1, 0.1, 9_499.9)


def test_closing_needs_no_margin_and_no_smallest_notional(desk):
    desk.order(1, 0.1)
    desk.state.account.wallet = desk.state.account.start = 0
    assert desk.order(-1, 0.001, reduce_only=True).status == "FILLED"
    assert desk.order(-1, 0.099).status == "FILLED"


def test_a_symbol_has_so_many_open_orders_and_no_more():
    desk = SmallDesk(balance=10_000_000)
    desk.print(10_000)
    for _ in range(200):
        desk.order(1, 0.02, 9_990)
    with refused(-2025):
        desk.order(1, 0.02, 9_990)
    for _ in range(10):
        desk.stop(1, 10_100, 0.02)
    with refused(-4045):
        desk.stop(1, 10_100, 0.02)


# --- reduce only


def test_a_reduce_only_order_needs_a_position_and_stops_where_it_is_flat(desk):
    with refused(-2022):
        desk.order(-1, 0.1, reduce_only=True)
    desk.order(1, 0.1)
    with refused(-2022):
        desk.order(1, 0.1, reduce_only=True)
    order = desk.order(-1, 0.2, reduce_only=True)
    assert (desk.held, order.status, order.filled) == (0, "EXPIRED", units(0.1))


def test_a_resting_reduce_only_order_expires_with_its_position(desk):
    desk.order(1, 0.1)
    order = desk.order(-1, 0.1, 10_100, reduce_only=True)
    desk.order(-1, 0.1)
    assert order.status == "EXPIRED"


def test_an_order_may_turn_a_position_over(desk):
    desk.order(1, 0.1)
    desk.order(-1, 0.25)
    position = desk.state.account.position(BTC)
    assert position.qty == units(-0.15) and position.entry_price == units(9_999.9)
    assert desk.state.account.realised == units(-0.02)


# --- amending and time


def amend(desk, order_id, qty, price, side=1, *, reduces=False):
    return desk.trading.amend(
        BTC, order_id, "", side=side, qty=units(qty), price=units(price), reduces=reduces, now_ns=desk.now_ns
    )


def test_an_amended_order_keeps_its_id_and_may_trade(desk):
    order = desk.order(1, 0.1, 9_990)
    with refused(-5027):
        amend(desk, order.id, 0.1, 9_990)
    with refused(-2013):
        amend(desk, 7, 0.1, 9_990)
    with refused(-5025):
        amend(desk, order.id, 0.1, 9_980, side=-1)
    with refused(-5047):
        amend(desk, order.id, 0.1, 9_980, reduces=True)
    with refused(-4164):
        amend(desk, order.id, 0.001, 9_980)
    assert amend(desk, order.id, 0.2, 10_000.1) is order
    assert (order.status, order.filled) == ("FILLED", units(0.2))
    assert "ORDER_TRADE_UPDATE@AMENDMENT" in desk.names


def test_an_order_amended_below_what_is_filled_is_cancelled(desk):
    order = desk.order(1, 0.1, 9_990)
    desk.print(9_989, 0.06)
    assert amend(desk, order.id, 0.05, 9_990).status == "CANCELED"


def test_a_post_only_order_amended_to_where_it_would_take_is_cancelled(desk):
    order = desk.order(1, 0.1, 9_990, time_in_force="GTX")
    assert (amend(desk, order.id, 0.1, 10_000.1).status, order.filled) == ("CANCELED", 0)


def test_what_ended_without_a_fill_is_forgotten_after_three_days_and_the_rest_after_ninety(desk):
    filled, gone = desk.order(1, 0.1), desk.order(1, 0.1, 9_990)
    resting = desk.order(1, 0.1, 9_980)
    desk.trading.cancel(BTC, gone.id, "", desk.now_ns)

    def seen(days):
        at_ns = desk.now_ns + days * 24 * 3600 * SECOND_NS
        return [one for one in (filled, gone, resting) if desk.trading.shown(one, at_ns)]

    assert seen(2) == [filled, gone, resting]
    assert seen(4) == [filled, resting]
    assert seen(91) == []


def test_orders_with_a_last_moment_expire_at_it(desk):
    until_ms = desk.now_ns // 10**6 + 700_000
    order = desk.order(1, 0.1, 9_990, time_in_force="GTD", good_till_ms=until_ms)
    stop = desk.stop(1, 10_100, 0.1, time_in_force="GTD", good_till_ms=until_ms)
    for now_ms in (until_ms - 1, until_ms):
        before = order.status, stop.status
        desk.trading.time(now_ms * 10**6)
        desk.conditionals.time(now_ms, now_ms * 10**6)
    assert before == ("NEW", "NEW") and (order.status, stop.status) == ("EXPIRED", "EXPIRED")


def test_a_take_profit_is_triggered_from_the_other_side_and_rests_at_its_price(desk):
    desk.order(1, 0.1)
    algo = desk.stop(-1, 10_100, 0.1, type="TAKE_PROFIT", price=units(10_150), reduce_only=True)
    desk.print(10_099.9)
    assert algo.status == "NEW"
    desk.quote(10_100, 10_100.2, 1)
    desk.print(10_100)
    order = desk.state.orders[algo.order_id]
    assert (algo.status, order.type, order.status, order.price) == (
        "TRIGGERED",
        "LIMIT",
        "NEW",
        units(10_150),
    )
    desk.print(10_150.1)
    assert (algo.status, order.status, desk.held) == ("FINISHED", "FILLED", 0)


def test_without_quotes_the_last_trade_and_a_tick_stand_in():
    desk = SmallDesk()
    desk.print(10_000)
    assert fills(desk, desk.order(1, 0.5)) == [(0.5, 10_000.1)]
    assert fills(desk, desk.order(-1, 0.5)) == [(0.5, 9_999.9)]


def test_nothing_follows_a_final_status(desk):
    order = desk.order(1, 0.1)
    with pytest.raises(ImpossibleMove):
        order.move("CANCELED", 0)
    with pytest.raises(ImpossibleMove):
        AlgoOrder(1, "", BTC, 1, "STOP", "GTC", 1, 1, 1, 0, 0, status="CANCELED").move("TRIGGERING", 0)
    assert isinstance(order, Order)


# --- conditional orders


def test_a_stop_is_triggered_by_a_trade_at_its_price_and_closes_the_position(desk):
    desk.order(1, 0.1)
    algo = desk.stop(-1, 9_900, client_id="guard")
    desk.print(9_900.1)
    assert algo.status == "NEW"
    desk.quote(9_899, 9_899.2, 5)
    desk.print(9_900)
    assert (algo.status, desk.held) == ("FINISHED", 0)
    order = desk.state.orders[algo.order_id]
    assert (order.client_id, order.type, order.original_type) == ("guard", "MARKET", "STOP_MARKET")
    told = [payload["o"]["X"] for name, payload in desk.events if name.startswith("ALGO_UPDATE")]
    assert told == ["NEW", "TRIGGERING", "TRIGGERED", "FINISHED"]


def test_a_stop_that_would_trigger_at_once_is_refused(desk):
    desk.order(1, 0.1)
    with refused(-2021):
        desk.stop(-1, 10_000)
    with refused(-2021):
        desk.stop(1, 9_999)
    assert not desk.state.algos


def test_a_triggered_stop_without_a_position_is_rejected_and_says_why(desk):
    algo = desk.stop(-1, 9_900)
    desk.print(9_900)
    assert (algo.status, algo.reject_text) == ("REJECTED", "ReduceOnly Order is rejected.")


def test_a_stop_that_lives_with_its_position_ends_with_it(desk):
    desk.order(1, 0.1)
    algo = desk.stop(-1, 9_900, time_in_force="GTE_GTC")
    desk.order(-1, 0.1)
    assert algo.status == "EXPIRED"


# --- the venue's own doings


def test_a_long_pays_a_positive_rate_and_a_short_receives_it(desk):
    desk.order(1, 0.1)
    before = desk.state.account.wallet
    desk.forced.fund(0, units(10_000), 10_000, desk.now_ns)
    assert desk.state.account.wallet == before - units(0.1)
    assert desk.names[-1] == "ACCOUNT_UPDATE@FUNDING_FEE"
    desk.order(-1, 0.2)
    before = desk.state.account.wallet
    desk.forced.fund(0, units(10_000), 10_000, desk.now_ns)
    assert desk.state.account.wallet == before + units(0.1)
    desk.forced.fund(1, units(100), 10_000, desk.now_ns)
    assert desk.state.account.wallet == before + units(0.1), "nothing is held there"


def test_an_account_is_called_and_then_liquidated_by_its_mark():
    desk = SmallDesk(balance=1_000)
    desk.quote(9_999.9, 10_000.1, 1000)
    desk.print(10_000)
    desk.order(1, 1.9)
    desk.order(-1, 0.1, 10_400)
    desk.stop(-1, 9_000)
    for price in range(10_000, 9_000, -5):
        desk.print(price)
        if not desk.held:
            break
    assert "MARGIN_CALL" in desk.names
    # Equity 1000 - 9.5 fee - 1.9 (10000.1 - P) meets the maintenance margin 0.4 % at P = 9516.6.
    assert 9_510 <= price <= 9_517
    order = max(desk.state.orders.values(), key=lambda one: one.id)
    assert order.client_id.startswith("autoclose-") and order.type == "LIQUIDATION"
    assert not desk.state.open and not desk.state.open_algos and desk.state.account.wallet >= 0


def test_the_insurance_fund_pays_what_a_gap_left_below_zero():
    desk = SmallDesk(balance=1_000)
    desk.quote(9_999.9, 10_000.1, 1000)
    desk.print(10_000)
    desk.order(1, 1.9)
    desk.print(9_000)
    account = desk.state.account
    assert account.wallet == 0 and account.insurance > 0 and desk.held == 0
    assert desk.names[-1] == "ACCOUNT_UPDATE@INSURANCE_CLEAR"


def test_adl_and_settlement_close_at_the_mark_under_the_names_of_the_exchange(desk):
    desk.order(1, 0.2)
    desk.forced.deleverage(BTC, 0.5, desk.now_ns)
    assert desk.held == 0.1
    desk.order(1, 0.1, 9_990)
    desk.stop(-1, 9_900)
    desk.forced.delist(BTC, desk.now_ns)
    names = [order.client_id for order in desk.state.orders.values() if "autoclose" in order.client_id]
    assert names[0] == "adl_autoclose" and names[1].startswith("settlement_autoclose-")
    assert desk.held == 0 and not desk.state.open and not desk.state.open_algos
