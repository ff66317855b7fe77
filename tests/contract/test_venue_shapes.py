"""Every answer and frame of the local venue has the keys and JSON types of the exchange's."""

import asyncio
import json
import os
from pathlib import Path

import pytest
from websockets.asyncio.client import connect

from tests.contract import venue_shapes as shapes
from tests.venue_process import running_venue

DATA = Path(
    os.environ.get("FLOWGUARDIAN_DATA", Path(__file__).resolve().parents[2].parent / "shared" / "data")
)
DOCS = DATA / "fixtures" / "binance_connector_docs"
RECORDED = DATA / "fixtures" / "gocryptotrader_http_mock" / "binance_usdm_fapi.json"
ABSENT = "the recorded shapes beside the checkout are absent"
WITHIN_SECONDS = 30


@pytest.fixture(scope="module")
def venue():
    """A venue whose market has passed a funding time and a liquidation."""
    with running_venue("--start", "2025-01-01T07:50", "--hours", "3", "--speed", "1000") as process:
        frames = asyncio.run(first_frames(process, [*shapes.FRAMES]))
        process.frames = frames
        yield process


async def first_frames(process, names):
    """The first payload of each stream; names are category/stream."""
    found: dict[str, dict] = {}

    async def read(category):
        wanted = [name.partition("/")[2] for name in names if name.startswith(category)]
        url = f"{process.root}/{category}/stream?streams={'/'.join(wanted)}"
        async with connect(url, close_timeout=0.2) as socket:
            while not all(f"{category}/{stream}" in found for stream in wanted):
                frame = json.loads(await socket.recv())
                found.setdefault(f"{category}/{frame['stream']}", frame["data"])

    await asyncio.wait_for(asyncio.gather(read("public"), read("market")), WITHIN_SECONDS)
    while process.get("/fapi/v1/fundingRate?symbol=BTCUSDT").json() == []:
        async with connect(f"{process.root}/market/ws/btcusdt@markPrice@1s", close_timeout=0.2) as socket:
            await asyncio.wait_for(socket.recv(), WITHIN_SECONDS)
    return found


def entries(body):
    return body if isinstance(body, list) else [body]


def has(found, keys, where):
    for name, kind in keys.items():
        assert name in found, f"{where}: {name} is missing"
        assert type(found[name]) is kind, f"{where}: {name} is {found[name]!r}, not {kind.__name__}"


@pytest.mark.parametrize("path", [*shapes.REST])
def test_an_answer_has_its_keys_and_types(venue, path):
    answer = venue.get(path)
    assert answer.status == 200
    body = entries(answer.json())
    assert body
    for entry in body:
        has(entry, shapes.REST[path], path)


def test_a_kline_is_a_list_of_twelve(venue):
    rows = venue.get("/fapi/v1/klines?symbol=BTCUSDT&interval=1m&limit=3").json()
    assert len(rows) == 3
    for row in rows:
        assert tuple(type(part) for part in row) == shapes.KLINE_TYPES


def test_a_contract_has_every_filter(venue):
    for contract in venue.get("/fapi/v1/exchangeInfo").json()["symbols"]:
        has(contract, shapes.CONTRACT, contract["symbol"])
        found = {part["filterType"]: set(part) - {"filterType"} for part in contract["filters"]}
        assert found == shapes.FILTERS


@pytest.mark.parametrize("name", [*shapes.FRAMES])
def test_a_frame_has_its_keys_and_types(venue, name):
    has(venue.frames[name], shapes.FRAMES[name], name)


def test_the_inner_parts_of_klines_and_liquidations(venue):
    has(venue.frames["market/btcusdt@kline_1m"]["k"], shapes.CANDLE, "kline")
    has(venue.frames["market/!forceOrder@arr"]["o"], shapes.FORCED, "forceOrder")


# --- against what others recorded

DOCUMENTED_REST = {
    "order_book": "/fapi/v1/depth?symbol=BTCUSDT&limit=5",
    "compressed_aggregate_trades_list": "/fapi/v1/aggTrades?symbol=BTCUSDT&limit=5",
    "recent_trades_list": "/fapi/v1/trades?symbol=BTCUSDT&limit=5",
    "mark_price": "/fapi/v1/premiumIndex?symbol=BTCUSDT",
    "get_funding_rate_history": "/fapi/v1/fundingRate?symbol=BTCUSDT",
    "get_funding_rate_info": "/fapi/v1/fundingInfo",
    "symbol_order_book_ticker": "/fapi/v1/ticker/bookTicker?symbol=BTCUSDT",
    "symbol_price_ticker": "/fapi/v1/ticker/price?symbol=BTCUSDT",
    "symbol_price_ticker_v2": "/fapi/v2/ticker/price?symbol=BTCUSDT",
    "ticker24hr_price_change_statistics": "/fapi/v1/ticker/24hr?symbol=BTCUSDT",
    "open_interest": "/fapi/v1/openInterest?symbol=BTCUSDT",
    "check_server_time": "/fapi/v1/time",
}
DOCUMENTED_FRAMES = {
    ("market", "aggregate_trade_streams"): "market/btcusdt@aggTrade",
    ("market", "all_market_liquidation_order_streams"): "market/!forceOrder@arr",
    ("market", "individual_symbol_ticker_streams"): "market/btcusdt@ticker",
    ("market", "kline_candlestick_streams"): "market/btcusdt@kline_1m",
    ("market", "mark_price_stream"): "market/btcusdt@markPrice@1s",
    ("public", "diff_book_depth_streams"): "public/btcusdt@depth@100ms",
    ("public", "individual_symbol_book_ticker_streams"): "public/btcusdt@bookTicker",
    ("public", "partial_book_depth_streams"): "public/btcusdt@depth5@100ms",
}


def contains(found, example, where):
    """Every key of the example, with the same JSON type, at every level."""
    if isinstance(example, dict):
        for name, value in example.items():
            assert name in found, f"{where}: {name} is missing"
            contains(found[name], value, f"{where}.{name}")
    elif isinstance(example, list):
        assert isinstance(found, list), where
        if example and found:
            contains(found[0], example[0], f"{where}[0]")
    else:
        assert type(found) is type(example), f"{where}: {found!r} is not like {example!r}"


@pytest.mark.real_data
@pytest.mark.skipif(not DOCS.exists(), reason=ABSENT)
@pytest.mark.parametrize("name", [*DOCUMENTED_REST])
def test_an_answer_is_like_the_documented_one(venue, name):
    example = json.loads((DOCS / "rest_api__test_market_data_api.json").read_text(encoding="utf-8"))[name]
    contains(venue.get(DOCUMENTED_REST[name]).json(), example, name)


@pytest.mark.real_data
@pytest.mark.skipif(not DOCS.exists(), reason=ABSENT)
@pytest.mark.parametrize(("group", "name"), [*DOCUMENTED_FRAMES])
def test_a_frame_is_like_the_documented_one(venue, group, name):
    file = DOCS / f"websocket_streams__test_{group}_api_ws_streams.json"
    example = json.loads(file.read_text(encoding="utf-8"))[name]
    contains(venue.frames[DOCUMENTED_FRAMES[group, name]], example, name)


@pytest.mark.real_data
@pytest.mark.skipif(not RECORDED.exists(), reason=ABSENT)
@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/fapi/v1/aggTrades", "symbol=BTCUSDT"),
        ("/fapi/v1/depth", "symbol=BTCUSDT&limit=5"),
        ("/fapi/v1/klines", "symbol=BTCUSDT&interval=5m"),
        ("/fapi/v1/premiumIndex", "symbol=BTCUSDT"),
        ("/fapi/v1/ticker/24hr", "symbol=BTCUSDT"),
        ("/fapi/v1/ticker/bookTicker", "symbol=BTCUSDT"),
        ("/fapi/v1/trades", "symbol=BTCUSDT"),
        ("/fapi/v1/exchangeInfo", ""),
        ("/fapi/v1/time", ""),
        ("/fapi/v1/openInterest", "symbol=BTCUSDT"),
    ],
)
def test_an_answer_is_like_the_recorded_one(venue, path, query):
    recorded = json.loads(RECORDED.read_text(encoding="utf-8"))[path]["GET"]
    bodies = [entry["data"] for entry in recorded if entry["data"] and "code" not in entry["data"]]
    found = venue.get(f"{path}?{query}").json()
    example = next(body for body in bodies if isinstance(body, list) == isinstance(found, list))
    contains(found, example, path)


@pytest.mark.real_data
@pytest.mark.skipif(not RECORDED.exists(), reason=ABSENT)
def test_an_unknown_symbol_is_refused_in_the_recorded_words(venue):
    recorded = json.loads(RECORDED.read_text(encoding="utf-8"))["/fapi/v1/ticker/24hr"]["GET"]
    refused = next(entry["data"] for entry in recorded if "code" in entry["data"])
    assert venue.get("/fapi/v1/ticker/24hr?symbol=BTCUSD_201225").json() == refused
