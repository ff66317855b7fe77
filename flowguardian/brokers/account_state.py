"""How an account stands before a run may trade it: modes, leverage, what is open, what it pays.

Rule: questions only; what the answers mean for a start is decided by the checks. Source: API documentation of
Binance USD-M futures, account and trade endpoints.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from flowguardian.brokers import answers
from flowguardian.brokers.signed import Signed

BALANCE, POSITIONS = "/fapi/v3/balance", "/fapi/v3/positionRisk"


class Standing(NamedTuple):
    """Amounts in 1e-8 USDT, rates in 1e-8; symbols are those of the run but for `positions`."""

    wallet: int
    positions: dict[str, int]
    """Signed quantities of the whole account, without the flat ones."""
    open_orders: int
    hedge_mode: bool
    multi_assets: bool
    fees_in_bnb: bool
    leverage: dict[str, int]
    isolated: tuple[str, ...]
    taker: int
    """The highest of the symbols."""


async def standing_of(signed: Signed, symbols: Sequence[str]) -> Standing:
    """Ask for all of it; raises Refused, OutcomeUnknown, or answers.Unreadable."""
    account = answers.account_of(await signed.get(BALANCE, 5), await signed.get(POSITIONS, 5))
    resting = [await signed.get("/fapi/v1/openOrders", 40), await signed.get("/fapi/v1/openAlgoOrders", 40)]
    configs = await signed.get("/fapi/v1/symbolConfig", 5)
    own = {str(one["symbol"]): one for one in configs if one.get("symbol") in symbols}
    rates = [await signed.get("/fapi/v1/commissionRate", 20, symbol=symbol) for symbol in symbols]
    return Standing(
        wallet=account.wallet,
        positions=account.positions,
        open_orders=sum(len(found) for found in resting),
        hedge_mode=_flag(await signed.get("/fapi/v1/positionSide/dual", 30), "dualSidePosition"),
        multi_assets=_flag(await signed.get("/fapi/v1/multiAssetsMargin", 30), "multiAssetsMargin"),
        fees_in_bnb=_flag(await signed.get("/fapi/v1/feeBurn", 1), "feeBurn"),
        leverage={name: int(one["leverage"]) for name, one in own.items()},
        isolated=tuple(name for name, one in own.items() if one.get("marginType") == "ISOLATED"),
        taker=max(answers.amount(one["takerCommissionRate"]) for one in rates),
    )


def _flag(body: Any, name: str) -> bool:
    found = body.get(name) if isinstance(body, dict) else None
    if not isinstance(found, bool):
        raise answers.Unreadable(f"{name}: {str(body)[:100]}")
    return found
