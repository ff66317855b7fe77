"""The venue's limits are kept: by its own headers, during bans, and across restarts."""

from flowguardian.feeds.limits import Limiter
from flowguardian.feeds.venues import BINANCE, BINANCE_TESTNET, VENUES, local

MINUTE = 60_000
NOW = 1_700_000_000_000 // MINUTE * MINUTE


def test_weight_follows_the_headers_of_the_venue():
    limiter = Limiter(None, share=0.5, limit=100)
    assert limiter.wait_ms(20, NOW) == 0
    limiter.sent(20, NOW)
    limiter.answered({"X-MBX-USED-WEIGHT-1M": "45"}, NOW)
    assert limiter.used == 45 and limiter.wait_ms(5, NOW) == 0
    assert limiter.wait_ms(6, NOW + 1000) == MINUTE - 1000
    assert limiter.wait_ms(6, NOW + MINUTE) == 0


def test_weight_on_its_way_counts_before_the_answer():
    limiter = Limiter(None, share=1.0, limit=50)
    limiter.sent(40, NOW)
    assert limiter.wait_ms(20, NOW) > 0


def test_a_ban_holds_to_its_stamp_in_the_time_of_the_venue():
    limiter = Limiter(None)
    venue_now = 1_600_000_000_000
    body = '{"code":-1003,"msg":"Way too many requests; IP banned until ' + f'{venue_now + 90_000}."}}'
    assert limiter.refused(418, {}, body, NOW, venue_now) == NOW + 90_000
    assert limiter.wait_ms(1, NOW + 89_999) == 1 and limiter.wait_ms(1, NOW + 90_000) == 0


def test_retry_after_is_seconds_and_the_later_end_counts():
    limiter = Limiter(None)
    limiter.refused(429, {"Retry-After": "30"}, "", NOW, NOW)
    assert limiter.wait_ms(1, NOW) == 30_000
    limiter.refused(429, {"Retry-After": "5"}, "", NOW, NOW)
    assert limiter.wait_ms(1, NOW) == 30_000


def test_a_refusal_without_an_end_lasts_for_the_minute_and_a_ban_for_two():
    limiter = Limiter(None)
    limiter.refused(429, {}, "", NOW + 1, NOW)
    assert limiter.wait_ms(1, NOW + 1) == MINUTE - 1
    limiter.refused(418, {}, "", NOW + 1, NOW)
    assert limiter.wait_ms(1, NOW + 1) == 2 * MINUTE


def test_a_ban_outlives_the_process(tmp_path):
    path = tmp_path / "state" / "limits.json"
    Limiter(path).refused(418, {"Retry-After": "600"}, "banned", NOW, NOW)
    again = Limiter(path)
    assert again.wait_ms(1, NOW + 1000) == 599_000 and "418" in again.reason


def test_a_torn_file_means_a_minute_of_silence_and_no_crash(tmp_path):
    path = tmp_path / "limits.json"
    path.write_text('{"banned_unt', encoding="utf-8")
    written = int(path.stat().st_mtime * 1000)
    assert 0 < Limiter(path).wait_ms(1, written) <= MINUTE


def test_venues_differ_in_addresses_and_tls_alone():
    line = (
        '{"rest":"http://127.0.0.1:9/","ws_public":"ws://127.0.0.1:9/public","ws_market":"ws://127.0.0.1:9/market",'
        '"ws_private":"ws://127.0.0.1:9/private","control":"ws://127.0.0.1:9/control","api_key":"k","api_secret":"s"}'
    )
    ours = local(line)
    fields = set(type(ours).__struct_fields__)
    known = {
        "name",
        "rest",
        "ws_public",
        "ws_market",
        "ws_private",
        "tls",
        "control",
        "feed_kind",
        "operator",
    }
    assert fields == known
    assert not ours.tls and ours.rest == "http://127.0.0.1:9" and ours.control.startswith("ws:")
    for venue in (BINANCE, BINANCE_TESTNET):
        assert VENUES[venue.name] is venue and venue.tls and not venue.control + venue.operator
        assert venue.rest.startswith("https://")
        assert venue.ws_public.startswith("wss://") and venue.ws_public.endswith("/public")
        assert venue.ws_market.endswith("/market") and venue.ws_private.endswith("/private")
