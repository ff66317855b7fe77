"""exchangeInfo: every contract with all its filters, as the exchange lists them.

Rule: tick, step, order sizes and notional are those of the instrument; what an instrument does not know
(margin rates, bands, dates) is the exchange's usual value and only a shape.
"""

from __future__ import annotations

from typing import Any

from flowguardian.market.instruments import Instrument
from flowguardian.venue.limits import MOST_OPEN_ALGOS, MOST_OPEN_ORDERS, WEIGHT_LIMIT
from flowguardian.venue.shapes import decimals_of, form_of, text

TRADING, SETTLING = "TRADING", "SETTLING"
_QUOTES = ("USDT", "USDC", "FDUSD", "BUSD")
_ONBOARD_MS, _DELIVERY_MS = 1_569_398_400_000, 4_133_404_800_000
_LARGEST_TICKS = 4_529_764
_ORDER_TYPES = [
    "LIMIT", "MARKET", "STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET", "TRAILING_STOP_MARKET",
]  # fmt: skip
_IN_FORCE = ["GTC", "IOC", "FOK", "GTX", "GTD"]


def exchange_info(instruments: list[tuple[Instrument, str]], server_ms: int) -> dict[str, Any]:
    """The whole answer for contracts with their status."""
    return {
        "timezone": "UTC",
        "serverTime": server_ms,
        "futuresType": "U_MARGINED",
        "rateLimits": [
            _limit("REQUEST_WEIGHT", "MINUTE", 1, WEIGHT_LIMIT),
            _limit("ORDERS", "MINUTE", 1, 1200),
            _limit("ORDERS", "SECOND", 10, 300),
        ],
        "exchangeFilters": [],
        "assets": [
            {"asset": asset, "marginAvailable": True, "autoAssetExchange": amount}
            for asset, amount in (("USDT", "-10000"), ("BTC", "-0.10000000"), ("BNB", "0"), ("ETH", "0"))
        ],
        "symbols": [_contract(instrument, status) for instrument, status in instruments],
    }


def _limit(kind: str, interval: str, count: int, limit: int) -> dict[str, Any]:
    return {"rateLimitType": kind, "interval": interval, "intervalNum": count, "limit": limit}


def split(symbol: str) -> tuple[str, str]:
    """Base and quote asset of a symbol."""
    for quote in _QUOTES:
        if symbol.endswith(quote) and len(symbol) > len(quote):
            return symbol.removesuffix(quote), quote
    return symbol, "USDT"


def _contract(instrument: Instrument, status: str) -> dict[str, Any]:
    base, quote = split(instrument.symbol)
    form = form_of(instrument)
    return {
        "symbol": instrument.symbol,
        "pair": instrument.symbol,
        "contractType": "PERPETUAL",
        "deliveryDate": _DELIVERY_MS,
        "onboardDate": _ONBOARD_MS,
        "status": status,
        "maintMarginPercent": "2.5000",
        "requiredMarginPercent": "5.0000",
        "baseAsset": base,
        "quoteAsset": quote,
        "marginAsset": quote,
        "pricePrecision": form.price,
        "quantityPrecision": form.qty,
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "underlyingType": "COIN",
        "underlyingSubType": [],
        "settlePlan": 0,
        "triggerProtect": "0.0500",
        "liquidationFee": "0.012500",
        "marketTakeBound": "0.05",
        "maxMoveOrderLimit": 10000,
        "filters": _filters(instrument),
        "orderTypes": _ORDER_TYPES,
        "timeInForce": _IN_FORCE,
        "permissionSets": ["GRID", "COPY"],
    }


def _filters(instrument: Instrument) -> list[dict[str, Any]]:
    price = max(2, decimals_of(instrument.tick_size))
    qty = decimals_of(instrument.step_size)
    lot = {
        "maxQty": text(instrument.max_qty, qty),
        "minQty": text(instrument.min_qty, qty),
        "stepSize": text(instrument.step_size, qty),
    }
    return [
        {
            "filterType": "PRICE_FILTER",
            "maxPrice": text(instrument.tick_size * _LARGEST_TICKS * 10, price),
            "minPrice": text(instrument.tick_size, price),
            "tickSize": text(instrument.tick_size, price),
        },
        {"filterType": "LOT_SIZE", **lot},
        {"filterType": "MARKET_LOT_SIZE", **lot},
        {"filterType": "MAX_NUM_ORDERS", "limit": MOST_OPEN_ORDERS},
        {"filterType": "MAX_NUM_ALGO_ORDERS", "limit": MOST_OPEN_ALGOS},
        {"filterType": "MIN_NOTIONAL", "notional": text(instrument.min_notional, 0)},
        {
            "filterType": "PERCENT_PRICE",
            "multiplierUp": "1.0500",
            "multiplierDown": "0.9500",
            "multiplierDecimal": "4",
        },
        {"filterType": "POSITION_RISK_CONTROL", "positionControlSide": "NONE"},
    ]
