"""Questions over REST: answered exactly, refused for good, tried again within bounds, silent during a ban."""

import asyncio

import numpy as np
import pytest

from flowguardian.feeds.base import FeedError, VenueBanned, VenueRefused, VenueUnreachable
from flowguardian.feeds.limits import Limiter
from flowguardian.feeds.markets import history_rows
from flowguardian.feeds.rest import Rest
from flowguardian.feeds.rest_answers import UnreadableAnswer, venue_of
from flowguardian.market.records import MINUTE_NS, SECOND_NS, Kind
from tests.unit.feed_venue import HandClock, HandVenue

UNITS = 100_000_000
START_NS = 1_747_836_000_000_000_000 // MINUTE_NS * MINUTE_NS


def asking(question, prepare=lambda _: None, *, limiter=None, patience_seconds=150.0):
    """The answer to a question, the venue, and what was slept."""
    slept = []

    async def work():
        async with HandVenue() as venue:
            prepare(venue)
            clock = HandClock()

            async def sleep(seconds):
                slept.append(seconds)
                clock.ahead_ns += int(seconds * 1e9)

            rest = Rest(
                venue.venue().rest, limiter or Limiter(None), clock,
                sleep=sleep, jitter=lambda: 1.0, patience_seconds=patience_seconds,
            )  # fmt: skip
            try:
                return await question(rest), venue
            except (FeedError, UnreadableAnswer) as error:
                return error, venue
            finally:
                await rest.close()

    answer, venue = asyncio.run(work())
    return answer, venue, slept


def test_the_clock_of_the_venue_is_measured_and_its_drift_noted():
    async def question(rest):
        await rest.measure_clock()
        first = rest.now_ns()
        rest.offset_ns -= 1_500_000_000
        await rest.measure_clock(keep=True)
        return first, rest.skew_ns

    (now_ns, skew_ns), _, _ = asking(question)
    assert abs(now_ns - 1_700_000_000_000 * 10**6) < 2_000_000_000
    assert abs(skew_ns - 1_500_000_000) < 500_000_000


def test_filters_are_those_of_the_exchange():
    info, _, _ = asking(lambda rest: rest.venue_info(["BTCUSDT", "NONEUSDT"]))
    (instrument,) = info.instruments
    assert info.missing == ("NONEUSDT",) and info.halted == () and info.weight_limit == 2400
    assert (instrument.tick_size, instrument.step_size) == (UNITS // 10, UNITS // 1000)
    assert (instrument.max_qty, instrument.min_notional) == (120 * UNITS, 100 * UNITS)


def test_closed_klines_become_history_and_the_open_one_does_not():
    before_ns = (1_700_000_000_000 // 60_000 * 60_000 + 30_000) * 10**6
    bars, venue, _ = asking(lambda rest: rest.bars("BTCUSDT", before_ns, MINUTE_NS, 30))
    assert len(bars) == 30 and bars["open_ns"][-1] == before_ns // MINUTE_NS * MINUTE_NS - MINUTE_NS
    rows = history_rows({0: bars})
    assert np.all(rows["kind"] == Kind.HISTORY) and rows["aux"][0] == 42 and rows["b"][0] == 12 * UNITS
    assert venue.asked[-1][1]["limit"] == "31"


def test_trades_come_from_an_id_on_or_the_last_ones():
    def some(venue):
        for number in range(1, 8):
            venue.trade(number)

    from_five, _, _ = asking(lambda rest: rest.trades("BTCUSDT", 5), some)
    last, _, _ = asking(lambda rest: rest.trades("BTCUSDT", None, 1), some)
    assert [t.id for t in from_five] == [5, 6, 7] and [t.id for t in last] == [7]


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, ""),
        (503, '{"code":-1008,"msg":"Service Unavailable"}'),
        (502, "<html>Bad Gateway</html>"),
        (504, ""),
    ],
)
def test_what_may_pass_is_tried_again_with_growing_delays(status, body):
    def twice(venue):
        venue.answers["time"] = [(status, {}, body)] * 2

    answer, venue, slept = asking(lambda rest: rest.measure_clock(), twice)
    assert answer is None and slept == [0.25, 0.5] and len(venue.asked) == 5


def test_attempts_are_bounded_and_the_error_says_what_failed():
    def always(venue):
        venue.answers["time"] = [(503, {}, "maintenance")] * 9

    answer, venue, _ = asking(lambda rest: rest.measure_clock(), always)
    assert isinstance(answer, VenueUnreachable) and "503" in str(answer) and len(venue.asked) == 4


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (403, "<html>WAF</html>"),
        (451, '{"code":0,"msg":"restricted location"}'),
        (400, '{"code":-1121,"msg":"Invalid symbol."}'),
    ],
)
def test_a_refusal_that_repeating_cannot_change_is_asked_once(status, body):
    def refuse(venue):
        venue.answers["time"] = [(status, {}, body)] * 3

    answer, venue, slept = asking(lambda rest: rest.measure_clock(), refuse)
    assert isinstance(answer, VenueRefused) and str(status) in str(answer)
    assert len(venue.asked) == 1 and slept == []


def test_after_429_nothing_is_sent_before_its_time_is_over():
    def refuse(venue):
        venue.answers["time"] = [(429, {"Retry-After": "40"}, "too many")]

    answer, venue, slept = asking(lambda rest: rest.measure_clock(), refuse)
    assert answer is None and len(venue.asked) == 4 and 39 < sum(slept) < 42


def test_a_long_ban_sends_nothing_and_says_until_when(tmp_path):
    path = tmp_path / "limits.json"

    def refuse(venue):
        venue.answers["time"] = [(418, {"Retry-After": "3600"}, "banned")]

    answer, venue, _ = asking(lambda rest: rest.measure_clock(), refuse, limiter=Limiter(path))
    assert isinstance(answer, VenueBanned) and len(venue.asked) == 1
    again, venue, _ = asking(lambda rest: rest.measure_clock(), limiter=Limiter(path))
    assert isinstance(again, VenueBanned) and venue.asked == []


@pytest.mark.parametrize("body", ["", "{}", '{"serverTime":"soon"}', "<html></html>", "[1,2"])
def test_an_answer_that_is_not_as_documented_is_named(body):
    def answer_so(venue):
        venue.answers["time"] = [(200, {}, body)]

    answer, _, _ = asking(lambda rest: rest.measure_clock(), answer_so)
    assert isinstance(answer, UnreadableAnswer) and "time" in str(answer)


@pytest.mark.parametrize("broken", ['"tickSize":"0"', '"tickSize":"x"', '"tickSize":""'])
def test_filters_that_no_order_can_fit_are_refused(broken):
    body = '{"symbols":[{"symbol":"A","filters":[{"filterType":"PRICE_FILTER",' + broken + "},"
    body += '{"filterType":"LOT_SIZE","stepSize":"1","minQty":"1","maxQty":"5"}]}]}'
    with pytest.raises(UnreadableAnswer, match="A"):
        venue_of(body.encode(), ["A"])


def test_a_venue_that_is_not_there_is_unreachable():
    async def work():
        rest = Rest(
            "http://127.0.0.1:1", Limiter(None), HandClock(), first_delay_seconds=0.001, patience_seconds=1.0
        )
        try:
            with pytest.raises(VenueUnreachable, match="attempts failed"):
                await rest.measure_clock()
        finally:
            await rest.close()

    asyncio.run(work())


@pytest.mark.parametrize("host_ms", [0, 31_000, 59_999])
def test_in_slices_the_minutes_of_the_limit_are_those_of_the_market(host_ms):
    """However the clock of the host stands, the same question is refused and the same one answered."""
    market_ns = START_NS + 10 * SECOND_NS
    limiter = Limiter(None, limit=100)

    async def question(rest):
        rest._clock = HandClock(1_700_000_000_000 // 60_000 * 60_000 + host_ms)
        rest.set_now(market_ns)
        limiter.sent(100, rest.run_ms())
        said = []
        for second in range(60):
            rest.set_now(market_ns + second * SECOND_NS)
            try:
                await rest.trades("BTCUSDT", None, 1)
            except VenueBanned:
                said.append(second)
            else:
                break
        return said

    refused, venue, slept = asking(question, patience_seconds=5.0, limiter=limiter)
    assert refused == list(range(50)) and slept == [] and len(venue.asked) == 1
