"""Checks of a venue by what was heard, here by hand; the real listen is in tests/e2e/test_doctor.py."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from flowguardian.feeds.base import VenueUnreachable
from flowguardian.market.instruments import Instrument
from flowguardian.ops.checks_market import VenueLimits, check_filters, check_stream, check_tape, venue_checks
from flowguardian.ops.doctor_venue import UnknownVenue, host_of, is_known, venue_at
from flowguardian.ops.listening import Heard, StreamClass
from flowguardian.ops.preflight import PreflightPlan, run_preflight
from flowguardian.ops.registry import Registry

ONE = 10**8
BOTH = StreamClass(messages=40, heard=("BTCUSDT", "ETHUSDT"), missing=(), max_silence_seconds=1.25)
HALF = StreamClass(messages=20, heard=("BTCUSDT",), missing=("ETHUSDT",), max_silence_seconds=4.0)
NONE = StreamClass(messages=0, heard=(), missing=("BTCUSDT", "ETHUSDT"), max_silence_seconds=9.0)
BTC = Instrument("BTCUSDT", ONE // 10, ONE // 1000, ONE // 1000, 120 * ONE, 100 * ONE)
HEARD = Heard(
    venue="binance", seconds=60.0, streams={"trades": BOTH, "quotes": BOTH, "marks": BOTH},
    instruments=(BTC,), offset_ms=12.0, latency_p50_ms=30.0, latency_p99_ms=90.0,
    tape_bytes_per_hour=50e6,
)  # fmt: skip
LIMITS = VenueLimits(
    name="binance", planned_hours=12, max_skew_ms=1000, max_notional=15_000 * ONE, free_bytes=lambda: 10**10
)


def lines(tmp_path, listen):
    plan = PreflightPlan(
        tmp_path, lambda: "ok", Registry(tmp_path / "state"), extra=venue_checks(listen, LIMITS)
    )
    found = run_preflight(plan)
    at = next(number for number, line in enumerate(found) if line.item == "venue")
    return found[at:]


def test_a_venue_that_says_everything_is_green_line_by_line(tmp_path):
    found = lines(tmp_path, lambda: HEARD)
    assert [line.item for line in found] == [
        "venue", "trades", "quotes", "marks", "filters", "clock offset", "tape growth",
    ]  # fmt: skip
    assert {line.state for line in found} == {"ok"}
    assert "tick 0.1 step 0.001 min 100" in found[4].detail and "+12 ms" in found[5].detail
    assert "50.0 MB/h; 10.0 GB free last 200 h, 12 h planned" in found[6].detail


@pytest.mark.parametrize(
    "error", [VenueUnreachable("4 attempts failed"), TimeoutError(), OSError("no route")]
)
def test_a_venue_that_cannot_be_heard_is_one_red_line_with_cause_and_fix(tmp_path, error):
    def listen():
        raise error

    (line,) = lines(tmp_path, listen)
    assert line.state == "red" and (str(error) or "TimeoutError") in line.detail
    assert "fapi.binance.com" in line.fix and "--venue local" in line.fix


@pytest.mark.parametrize(
    ("name", "found", "state"),
    [
        ("trades", BOTH, "ok"), ("trades", HALF, "warn"), ("trades", NONE, "red"),
        ("quotes", HALF, "red"), ("marks", NONE, "red"),
    ],
)  # fmt: skip
def test_a_class_is_green_only_when_every_symbol_spoke_and_a_quiet_trade_is_no_fault(name, found, state):
    line = check_stream(name, found)
    assert line.state == state
    if state != "ok":
        assert "ETHUSDT" in line.said.en and line.remedy.en and line.remedy.ko


def test_a_symbol_whose_smallest_order_is_larger_than_an_entry_may_be_is_red():
    dear = replace(BTC, min_notional=20_000 * ONE)
    line = check_filters(replace(HEARD, instruments=(BTC, dear)), LIMITS)
    assert line.state == "red" and "20000" in line.said.en and "15000" in line.said.en


@pytest.mark.parametrize(("rate", "state"), [(50e6, "ok"), (500e6, "warn"), (900e6, "red")])
def test_the_tape_of_the_planned_hours_has_to_fit_the_disk(rate, state):
    line = check_tape(replace(HEARD, tape_bytes_per_hour=rate), LIMITS)
    assert line.state == state
    assert state == "ok" or "runs prune" in line.remedy.en


def test_a_venue_is_a_name_or_an_address(tmp_path):
    assert is_known("binance") == "binance" and is_known("http://127.0.0.1:9") and is_known("local")
    with pytest.raises(UnknownVenue, match="binance-testnet"):
        is_known("kraken")
    assert host_of("http://127.0.0.1:9") == "127.0.0.1:9" and host_of("local") == "this computer"
    place = venue_at("http://127.0.0.1:9/", (), seed=1, start_seconds=1.0, registry=Registry(tmp_path))
    with place as venue:
        assert (venue.rest, venue.ws_market) == ("http://127.0.0.1:9", "ws://127.0.0.1:9/market")
        assert venue.name == "local" and not venue.control
