"""The keys of the venue's public answers and frames, written down once by hand.

Rule: names and JSON types only, no recorded values; it stands in for the recordings where those are absent.
"""

TEXT, WHOLE, YES_NO, LIST = str, int, bool, list

REST = {
    "/fapi/v1/ping": {},
    "/fapi/v1/time": {"serverTime": WHOLE},
    "/fapi/v1/depth?symbol=BTCUSDT&limit=5": {
        "lastUpdateId": WHOLE, "E": WHOLE, "T": WHOLE, "bids": LIST, "asks": LIST,
    },
    "/fapi/v1/trades?symbol=BTCUSDT&limit=5": {
        "id": WHOLE, "price": TEXT, "qty": TEXT, "quoteQty": TEXT, "time": WHOLE, "isBuyerMaker": YES_NO,
    },
    "/fapi/v1/aggTrades?symbol=BTCUSDT&limit=5": {
        "a": WHOLE, "p": TEXT, "q": TEXT, "f": WHOLE, "l": WHOLE, "T": WHOLE, "m": YES_NO,
    },
    "/fapi/v1/premiumIndex?symbol=BTCUSDT": {
        "symbol": TEXT, "markPrice": TEXT, "indexPrice": TEXT, "estimatedSettlePrice": TEXT,
        "lastFundingRate": TEXT, "interestRate": TEXT, "nextFundingTime": WHOLE, "time": WHOLE,
    },
    "/fapi/v1/fundingRate?symbol=BTCUSDT": {
        "symbol": TEXT, "fundingTime": WHOLE, "fundingRate": TEXT, "markPrice": TEXT,
    },
    "/fapi/v1/ticker/bookTicker?symbol=BTCUSDT": {
        "symbol": TEXT, "bidPrice": TEXT, "bidQty": TEXT, "askPrice": TEXT, "askQty": TEXT, "time": WHOLE,
    },
    "/fapi/v1/ticker/price?symbol=BTCUSDT": {"symbol": TEXT, "price": TEXT, "time": WHOLE},
    "/fapi/v1/ticker/24hr?symbol=BTCUSDT": {
        "symbol": TEXT, "priceChange": TEXT, "priceChangePercent": TEXT, "weightedAvgPrice": TEXT,
        "lastPrice": TEXT, "lastQty": TEXT, "openPrice": TEXT, "highPrice": TEXT, "lowPrice": TEXT,
        "volume": TEXT, "quoteVolume": TEXT, "openTime": WHOLE, "closeTime": WHOLE, "firstId": WHOLE,
        "lastId": WHOLE, "count": WHOLE,
    },
    "/fapi/v1/exchangeInfo": {
        "timezone": TEXT, "serverTime": WHOLE, "futuresType": TEXT, "rateLimits": LIST,
        "exchangeFilters": LIST, "assets": LIST, "symbols": LIST,
    },
}  # fmt: skip
"""Keys of the answer, or of each entry where the answer is a list."""

KLINE_TYPES = (WHOLE, TEXT, TEXT, TEXT, TEXT, TEXT, WHOLE, TEXT, WHOLE, TEXT, TEXT, TEXT)

CONTRACT = {
    "symbol": TEXT, "pair": TEXT, "contractType": TEXT, "deliveryDate": WHOLE, "onboardDate": WHOLE,
    "status": TEXT, "maintMarginPercent": TEXT, "requiredMarginPercent": TEXT, "baseAsset": TEXT,
    "quoteAsset": TEXT, "marginAsset": TEXT, "pricePrecision": WHOLE, "quantityPrecision": WHOLE,
    "baseAssetPrecision": WHOLE, "quotePrecision": WHOLE, "underlyingType": TEXT, "underlyingSubType": LIST,
    "triggerProtect": TEXT, "liquidationFee": TEXT, "marketTakeBound": TEXT, "filters": LIST,
    "orderTypes": LIST, "timeInForce": LIST,
}  # fmt: skip

FILTERS = {
    "PRICE_FILTER": {"minPrice", "maxPrice", "tickSize"},
    "LOT_SIZE": {"minQty", "maxQty", "stepSize"},
    "MARKET_LOT_SIZE": {"minQty", "maxQty", "stepSize"},
    "MAX_NUM_ORDERS": {"limit"},
    "MAX_NUM_ALGO_ORDERS": {"limit"},
    "MIN_NOTIONAL": {"notional"},
    "PERCENT_PRICE": {"multiplierUp", "multiplierDown", "multiplierDecimal"},
    "POSITION_RISK_CONTROL": {"positionControlSide"},
}

FRAMES = {
    "market/btcusdt@aggTrade": {
        "e": TEXT, "E": WHOLE, "s": TEXT, "a": WHOLE, "p": TEXT, "q": TEXT, "nq": TEXT, "f": WHOLE,
        "l": WHOLE, "T": WHOLE, "m": YES_NO,
    },
    "public/btcusdt@trade": {
        "e": TEXT, "E": WHOLE, "T": WHOLE, "s": TEXT, "t": WHOLE, "p": TEXT, "q": TEXT, "X": TEXT,
        "m": YES_NO,
    },
    "public/btcusdt@bookTicker": {
        "e": TEXT, "u": WHOLE, "E": WHOLE, "T": WHOLE, "s": TEXT, "b": TEXT, "B": TEXT, "a": TEXT, "A": TEXT,
    },
    "public/btcusdt@depth@100ms": {
        "e": TEXT, "E": WHOLE, "T": WHOLE, "s": TEXT, "U": WHOLE, "u": WHOLE, "pu": WHOLE, "b": LIST,
        "a": LIST,
    },
    "public/btcusdt@depth5@100ms": {
        "e": TEXT, "E": WHOLE, "T": WHOLE, "s": TEXT, "U": WHOLE, "u": WHOLE, "pu": WHOLE, "b": LIST,
        "a": LIST,
    },
    "market/btcusdt@markPrice@1s": {
        "e": TEXT, "E": WHOLE, "s": TEXT, "p": TEXT, "i": TEXT, "P": TEXT, "r": TEXT, "T": WHOLE,
    },
    "market/btcusdt@kline_1m": {"e": TEXT, "E": WHOLE, "s": TEXT, "k": dict},
    "market/!forceOrder@arr": {"e": TEXT, "E": WHOLE, "o": dict},
    "market/btcusdt@ticker": {
        "e": TEXT, "E": WHOLE, "s": TEXT, "p": TEXT, "P": TEXT, "w": TEXT, "c": TEXT, "Q": TEXT, "o": TEXT,
        "h": TEXT, "l": TEXT, "v": TEXT, "q": TEXT, "O": WHOLE, "C": WHOLE, "F": WHOLE, "L": WHOLE,
        "n": WHOLE,
    },
}  # fmt: skip
"""Keys of the payload by category and stream."""

CANDLE = {
    "t": WHOLE, "T": WHOLE, "s": TEXT, "i": TEXT, "f": WHOLE, "L": WHOLE, "o": TEXT, "c": TEXT, "h": TEXT,
    "l": TEXT, "v": TEXT, "n": WHOLE, "x": YES_NO, "q": TEXT, "V": TEXT, "Q": TEXT, "B": TEXT,
}  # fmt: skip
FORCED = {
    "s": TEXT, "S": TEXT, "o": TEXT, "f": TEXT, "q": TEXT, "p": TEXT, "ap": TEXT, "X": TEXT, "l": TEXT,
    "z": TEXT, "T": WHOLE,
}  # fmt: skip
