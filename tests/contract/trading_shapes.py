"""The keys of the trading routes' answers and of the user stream's events, written down once by hand.

Rule: names and JSON types only, no recorded values; it stands in for the recordings where those are absent.
"""

TEXT, WHOLE, YES_NO, LIST = str, int, bool, list

ORDER = {
    "orderId": WHOLE, "symbol": TEXT, "status": TEXT, "clientOrderId": TEXT, "price": TEXT, "avgPrice": TEXT,
    "origQty": TEXT, "executedQty": TEXT, "cumQuote": TEXT, "timeInForce": TEXT, "type": TEXT,
    "reduceOnly": YES_NO, "closePosition": YES_NO, "side": TEXT, "positionSide": TEXT, "stopPrice": TEXT,
    "workingType": TEXT, "priceProtect": YES_NO, "origType": TEXT, "priceMatch": TEXT,
    "selfTradePreventionMode": TEXT, "goodTillDate": WHOLE, "time": WHOLE, "updateTime": WHOLE,
}  # fmt: skip
ALGO = {
    "algoId": WHOLE, "clientAlgoId": TEXT, "algoType": TEXT, "orderType": TEXT, "symbol": TEXT, "side": TEXT,
    "positionSide": TEXT, "timeInForce": TEXT, "quantity": TEXT, "algoStatus": TEXT, "triggerPrice": TEXT,
    "price": TEXT, "workingType": TEXT, "closePosition": YES_NO, "priceProtect": YES_NO, "reduceOnly": YES_NO,
    "createTime": WHOLE, "updateTime": WHOLE, "triggerTime": WHOLE,
}  # fmt: skip
REST = {
    "/fapi/v1/allOrders?symbol=BTCUSDT": ORDER,
    "/fapi/v1/openOrders": ORDER,
    "/fapi/v1/openAlgoOrders": ALGO,
    "/fapi/v1/userTrades?symbol=BTCUSDT": {
        "symbol": TEXT, "id": WHOLE, "orderId": WHOLE, "side": TEXT, "price": TEXT, "qty": TEXT,
        "realizedPnl": TEXT, "quoteQty": TEXT, "commission": TEXT, "commissionAsset": TEXT, "time": WHOLE,
        "positionSide": TEXT, "maker": YES_NO, "buyer": YES_NO,
    },
    "/fapi/v3/positionRisk": {
        "symbol": TEXT, "positionSide": TEXT, "positionAmt": TEXT, "entryPrice": TEXT, "breakEvenPrice": TEXT,
        "markPrice": TEXT, "unRealizedProfit": TEXT, "liquidationPrice": TEXT, "isolatedMargin": TEXT,
        "notional": TEXT, "marginAsset": TEXT, "isolatedWallet": TEXT, "initialMargin": TEXT,
        "maintMargin": TEXT, "positionInitialMargin": TEXT, "openOrderInitialMargin": TEXT, "adl": WHOLE,
        "bidNotional": TEXT, "askNotional": TEXT, "updateTime": WHOLE,
    },
    "/fapi/v3/balance": {
        "accountAlias": TEXT, "asset": TEXT, "balance": TEXT, "crossWalletBalance": TEXT, "crossUnPnl": TEXT,
        "availableBalance": TEXT, "maxWithdrawAmount": TEXT, "marginAvailable": YES_NO, "updateTime": WHOLE,
    },
    "/fapi/v3/account": {
        "totalInitialMargin": TEXT, "totalMaintMargin": TEXT, "totalWalletBalance": TEXT,
        "totalUnrealizedProfit": TEXT, "totalMarginBalance": TEXT, "availableBalance": TEXT,
        "maxWithdrawAmount": TEXT, "assets": LIST, "positions": LIST,
    },
    "/fapi/v1/income": {
        "symbol": TEXT, "incomeType": TEXT, "income": TEXT, "asset": TEXT, "info": TEXT, "time": WHOLE,
        "tranId": WHOLE, "tradeId": TEXT,
    },
    "/fapi/v1/commissionRate?symbol=BTCUSDT": {
        "symbol": TEXT, "makerCommissionRate": TEXT, "takerCommissionRate": TEXT,
    },
    "/fapi/v1/leverageBracket": {"symbol": TEXT, "brackets": LIST},
    "/fapi/v1/positionSide/dual": {"dualSidePosition": YES_NO},
}  # fmt: skip
"""Keys of the answer, or of each entry where the answer is a list."""

EVENTS = {
    "ORDER_TRADE_UPDATE": {"e": TEXT, "E": WHOLE, "T": WHOLE, "o": dict},
    "TRADE_LITE": {
        "e": TEXT, "E": WHOLE, "T": WHOLE, "s": TEXT, "q": TEXT, "p": TEXT, "m": YES_NO, "c": TEXT, "S": TEXT,
        "L": TEXT, "l": TEXT, "t": WHOLE, "i": WHOLE,
    },
    "ACCOUNT_UPDATE": {"e": TEXT, "E": WHOLE, "T": WHOLE, "a": dict},
    "ALGO_UPDATE": {"e": TEXT, "E": WHOLE, "T": WHOLE, "o": dict},
    "ACCOUNT_CONFIG_UPDATE": {"e": TEXT, "E": WHOLE, "T": WHOLE, "ac": dict},
    "listenKeyExpired": {"e": TEXT, "E": WHOLE, "listenKey": TEXT},
}  # fmt: skip
INNER = {
    "ORDER_TRADE_UPDATE": {
        "s": TEXT, "c": TEXT, "S": TEXT, "o": TEXT, "f": TEXT, "q": TEXT, "p": TEXT, "ap": TEXT, "sp": TEXT,
        "x": TEXT, "X": TEXT, "i": WHOLE, "l": TEXT, "z": TEXT, "L": TEXT, "n": TEXT, "N": TEXT, "T": WHOLE,
        "t": WHOLE, "b": TEXT, "a": TEXT, "m": YES_NO, "R": YES_NO, "wt": TEXT, "ot": TEXT, "ps": TEXT,
        "cp": YES_NO, "rp": TEXT, "pP": YES_NO, "si": WHOLE, "ss": WHOLE, "V": TEXT, "pm": TEXT, "gtd": WHOLE,
    },
    "ALGO_UPDATE": {
        "caid": TEXT, "aid": WHOLE, "at": TEXT, "o": TEXT, "s": TEXT, "S": TEXT, "ps": TEXT, "f": TEXT,
        "q": TEXT, "X": TEXT, "ai": TEXT, "ap": TEXT, "aq": TEXT, "tp": TEXT, "p": TEXT, "wt": TEXT,
        "cp": YES_NO, "pP": YES_NO, "R": YES_NO, "tt": WHOLE, "gtd": WHOLE,
    },
}  # fmt: skip
"""Keys of `o`."""
POSITION = {
    "s": TEXT, "pa": TEXT, "ep": TEXT, "cr": TEXT, "up": TEXT, "mt": TEXT, "iw": TEXT, "ps": TEXT,
    "bep": TEXT,
}  # fmt: skip
BALANCE = {"a": TEXT, "wb": TEXT, "cw": TEXT, "bc": TEXT}
"""Entries of P and B of an ACCOUNT_UPDATE."""
