"""Faults of the market side: what each kind does to frames, rows, requests and the clock."""

import json

import pytest

from flowguardian.market.records import SECOND_NS, Kind
from flowguardian.venue.faults import KINDS, Fault, FaultPlanError, Faults, Plan, plan_of

SYMBOLS = ("BTCUSDT", "ETHUSDT")
START = 1_735_689_600 * SECOND_NS
STREAM = "btcusdt@aggTrade"


def faults_of(*faults, seed=1):
    return Faults(Plan([*faults], seed), SYMBOLS, START)


def sent(faults, number=1, at_seconds=0.0, stream=STREAM, data=b'{"a":1,"b":2}'):
    return faults.frame("market0", stream, number, START + round(at_seconds * SECOND_NS), data)


def trades(count, symbol=0, first_id=100, from_seconds=0):
    kind = int(Kind.TRADE)
    at = [START + (from_seconds + i) * SECOND_NS for i in range(count)]
    return [(kind, 0, symbol, 0, 0, at[i], 5, 7, 0, 0, first_id + i) for i in range(count)]


def ids(rows):
    return [row[10] for row in rows]


# --- frames


def test_without_faults_nothing_is_touched():
    faults = faults_of()
    assert not faults.touches_frames(0, 1 << 62)
    assert not faults.rewrites
    assert faults.rest("/fapi/v1/time", START, 1) is None


def test_a_dropped_frame_never_comes():
    faults = faults_of(Fault("drop"))
    assert faults.touches_frames(START, START + 1)
    assert sent(faults) == []
    assert faults.due("market0", 1 << 62) == []


def test_a_share_of_the_frames_is_dropped_and_the_same_ones_each_time():
    plan = Fault("drop", rate=0.3)
    first = [bool(sent(faults_of(plan), number)) for number in range(1000)]
    assert first == [bool(sent(faults_of(plan), number)) for number in range(1000)]
    assert 620 < sum(first) < 780
    assert first != [bool(sent(faults_of(plan, seed=2), number)) for number in range(1000)]


def test_a_stall_silences_its_stream_in_its_window_and_no_other():
    faults = faults_of(Fault("stall", at_seconds=10, for_seconds=5, streams="btcusdt@*"))
    assert sent(faults, at_seconds=9.9) and not sent(faults, at_seconds=10) and sent(faults, at_seconds=15)
    assert sent(faults, at_seconds=12, stream="ethusdt@aggTrade")
    assert not faults.touches_frames(START + 20 * SECOND_NS, START + 21 * SECOND_NS)


def test_several_streams_may_be_named_with_commas():
    faults = faults_of(Fault("stall", streams="btcusdt@trade, ethusdt@*"))
    assert sent(faults)
    assert not sent(faults, stream="ethusdt@bookTicker")


def test_a_delayed_frame_comes_when_its_time_has_come():
    faults = faults_of(Fault("delay", for_seconds=1, seconds=3))
    assert sent(faults, data=b"late") == []
    assert faults.touches_frames(START + 2 * SECOND_NS, START + 3 * SECOND_NS), "held frames were forgotten"
    assert faults.due("market0", START + 3 * SECOND_NS) == []
    assert faults.due("market0", START + 3 * SECOND_NS + 1) == [b"late"]
    assert not faults.touches_frames(START + 5 * SECOND_NS, START + 6 * SECOND_NS)


def test_what_was_held_for_a_lost_socket_is_forgotten():
    faults = faults_of(Fault("delay", seconds=3))
    sent(faults)
    faults.forget("market0")
    assert faults.due("market0", 1 << 62) == []


def test_a_duplicate_is_the_same_frame_again():
    assert sent(faults_of(Fault("duplicate", count=2)), data=b"x") == [b"x"] * 3


def test_reordered_frames_all_come_in_another_order():
    faults = faults_of(Fault("reorder", seconds=2))
    names = [b"%d" % number for number in range(20)]
    for number, name in enumerate(names):
        assert sent(faults, number, at_seconds=0.0, data=name) == []
    came = faults.due("market0", START + 2 * SECOND_NS)
    assert sorted(came) == sorted(names) and came != names


def test_a_malformed_frame_is_no_json():
    [frame] = sent(faults_of(Fault("malformed")))
    with pytest.raises(json.JSONDecodeError):
        json.loads(frame)


def test_an_unknown_event_comes_beside_the_real_one():
    odd, real = sent(faults_of(Fault("unknown")), data=b"real")
    assert json.loads(odd)["data"]["e"] == "neverHeardOf" and real == b"real"


# --- rows


def test_an_id_gap_skips_ids_once_from_its_moment_on():
    faults = faults_of(Fault("id_gap", at_seconds=3, count=10, symbols="BTCUSDT"))
    assert ids(faults.rows(trades(6))) == [100, 101, 102, 113, 114, 115]
    assert ids(faults.rows(trades(2, first_id=106, from_seconds=6))) == [116, 117]
    assert ids(faults.rows(trades(5, symbol=1))) == [100, 101, 102, 103, 104]


def test_a_market_that_goes_back_has_the_ids_it_had():
    faults = faults_of(Fault("id_gap", at_seconds=3, count=10))
    once = ids(faults.rows(trades(6)))
    faults.went_back(START + 2 * SECOND_NS)
    assert ids(faults.rows(trades(6)[2:])) == once[2:]


def test_a_burst_makes_many_trades_of_one_with_ids_that_follow():
    faults = faults_of(Fault("burst", at_seconds=1, for_seconds=2, count=50))
    rows = faults.rows(trades(4))
    assert ids(rows) == list(range(100, 100 + 102))


def test_a_non_market_print_has_an_id_and_no_price():
    faults = faults_of(Fault("non_market", text="INSURANCE_FUND"))
    rows = faults.rows(trades(2))
    assert ids(rows) == [100, 101, 102, 103]
    assert [row[6] for row in rows] == [0, 5, 0, 5]
    assert faults.print_kinds == {(0, 100): "INSURANCE_FUND", (0, 102): "INSURANCE_FUND"}


def test_a_delisted_symbol_has_no_rows_any_more():
    faults = faults_of(Fault("delist", at_seconds=2, symbols="BTCUSDT"))
    assert len(faults.rows(trades(5))) == 2
    assert len(faults.rows(trades(5, symbol=1))) == 5


# --- requests, clock, plan


def test_a_rest_fault_answers_its_path_in_its_window():
    faults = faults_of(Fault("rest", for_seconds=5, path="/fapi/v1/agg*", status=451))
    assert faults.rest("/fapi/v1/aggTrades", START, 1).status == 451
    assert faults.rest("/fapi/v1/time", START, 1) is None
    assert faults.rest("/fapi/v1/aggTrades", START + 5 * SECOND_NS, 1) is None


def test_maintenance_answers_every_path_with_503():
    faults = faults_of(Fault("maintenance", for_seconds=5))
    assert faults.rest("/fapi/v1/time", START, 1).status == 503
    assert faults.rest("/fapi/v1/time", START + 5 * SECOND_NS, 1) is None


def test_the_clock_may_be_wrong_in_both_directions():
    faults = faults_of(Fault("clock_skew", seconds=-2.5, for_seconds=10))
    assert faults.skew_ms(START) == -2500 and faults.skew_ms(START + 10 * SECOND_NS) == 0


def test_faults_added_later_count_from_then_and_may_be_cleared():
    faults = faults_of()
    now = START + 60 * SECOND_NS
    faults.add([Fault("stall", at_seconds=1)], now)
    assert sent(faults, at_seconds=60) and not sent(faults, at_seconds=61)
    faults.clear(START + 70 * SECOND_NS)
    assert sent(faults, at_seconds=70)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{", "cannot be read"),
        (b'{"faults":[{"kind":"earthquake"}]}', "earthquake"),
        (b'{"faults":[{"kind":"drop","rate":2}]}', "rate"),
        (b'{"faults":[{"kind":"drop","speed":2}]}', "speed"),
    ],
)
def test_a_plan_that_asks_for_what_does_not_exist_is_refused(body, message):
    with pytest.raises(FaultPlanError, match=message):
        plan_of(body)


def test_every_kind_can_be_planned():
    plan = plan_of(json.dumps({"faults": [{"kind": kind} for kind in KINDS]}).encode())
    assert [fault.kind for fault in plan.faults] == [*KINDS]
