"""Request weight, bans and message limits of the local venue."""

import pytest

from flowguardian.venue.errors import Refusal
from flowguardian.venue.limits import Connections, Messages, Weights


def refused(weights, weight, host_ms, venue_ms=0):
    with pytest.raises(Refusal) as caught:
        weights.charge(weight, host_ms, venue_ms)
    return caught.value


def test_weight_over_the_limit_is_429_with_the_rest_of_the_minute():
    weights = Weights(100)
    weights.charge(100, 0, 0)
    refusal = refused(weights, 1, 15_000)
    assert (refusal.status, refusal.code, refusal.headers) == (429, -1003, {"Retry-After": "45"})


@pytest.mark.parametrize("moved", [(60_000, 0), (0, 60_000)])
def test_a_new_minute_of_either_clock_begins_anew(moved):
    weights = Weights(100)
    weights.charge(100, 0, 0)
    weights.charge(1, *moved)
    assert weights.used == 1


def test_who_goes_on_after_429_is_banned_until_a_stamp_in_the_time_of_the_venue():
    weights = Weights(10)
    weights.charge(10, 0, 0)
    for _ in range(20):
        assert refused(weights, 1, 1000).status == 429
    refusal = refused(weights, 1, 1000, 7_000)
    assert refusal.status == 418 and refusal.headers == {"Retry-After": "120"}
    assert f"banned until {7_000 + 120_000}." in refusal.text
    assert refused(weights, 1, 61_000, 67_000).headers == {"Retry-After": "60"}, "the ban outlives the minute"
    weights.charge(1, 121_000, 127_000)


def test_the_second_ban_is_longer():
    weights = Weights()
    weights.ban(0)
    weights.ban(200_000)
    assert refused(weights, 1, 200_000).headers == {"Retry-After": "240"}


def test_connections_are_counted_over_five_minutes():
    connections = Connections(2)
    assert [connections.admit(ms) for ms in (0, 1, 2)] == [True, True, False]
    assert connections.admit(300_000)


def test_an_eleventh_message_in_a_second_is_too_many():
    messages = Messages()
    assert all(messages.admit(ms) for ms in range(10))
    assert not messages.admit(999)
    assert messages.admit(5000)
