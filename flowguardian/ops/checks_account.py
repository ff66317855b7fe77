"""What an account must be like before a run may trade it: one line each, with the exact fix.

Rule: the account is never changed from here; whoever owns it changes it.
"""

from __future__ import annotations

from collections.abc import Sequence

from flowguardian.brokers.account_state import Standing
from flowguardian.execution.money import decimal, units
from flowguardian.ops.checked import OK, RED, WARN, Checked, checked
from flowguardian.ops.settings import Settings

Line = tuple[str, Checked]
"""An item and its outcome."""


def account_lines(found: Standing, settings: Settings) -> list[Line]:
    """All checks of an account that a new run begins with."""
    return [
        ("account mode", _mode(found)),
        ("leverage", _leverage(found, settings.execution.leverage)),
        ("positions", _positions(found)),
        ("wallet", _wallet(found, settings)),
        ("fees", _fees(found, units(settings.fees.taker))),
    ]


def red_lines(lines: Sequence[Line]) -> str:
    """Why a start is refused, for a log or an exit line; "" when it is not."""
    return " ".join(f"{name}: {line.said.en}. {line.remedy.en}" for name, line in lines if line.state == RED)


def _mode(found: Standing) -> Checked:
    if found.hedge_mode:
        return checked(RED, "account_hedge")
    if found.multi_assets:
        return checked(RED, "account_multi_assets")
    if found.isolated:
        return checked(RED, "account_isolated", symbols=", ".join(found.isolated))
    return checked(OK, "account_mode")


def _leverage(found: Standing, wanted: int) -> Checked:
    wrong = [f"{symbol} {number}×" for symbol, number in sorted(found.leverage.items()) if number != wanted]
    if wrong:
        return checked(RED, "account_leverage", wrong=", ".join(wrong), wanted=wanted)
    return checked(OK, "account_leverage_ok", wanted=wanted)


def _positions(found: Standing) -> Checked:
    if found.positions:
        held = ", ".join(f"{name} {decimal(qty):+f}" for name, qty in sorted(found.positions.items()))
        return checked(RED, "account_positions", held=held)
    if found.open_orders:
        return checked(RED, "account_orders", count=found.open_orders)
    return checked(OK, "account_flat")


def _wallet(found: Standing, settings: Settings) -> Checked:
    wallet, wanted = decimal(found.wallet), settings.account.equity
    used = min(wallet, wanted)
    if used < settings.position_sizing.min_position_notional:
        return checked(RED, "account_empty", wallet=f"{wallet:,.2f}")
    said = "account_wallet_all" if wallet <= wanted else "account_wallet"
    return checked(OK, said, wallet=f"{wallet:,.2f}", used=f"{used:,.2f}")


def _fees(found: Standing, configured: int) -> Checked:
    if found.fees_in_bnb:
        return checked(RED, "account_bnb")
    paid, expected = (f"{decimal(rate) * 100:f}" for rate in (found.taker, configured))
    if found.taker > configured:
        return checked(WARN, "account_fees_higher", paid=paid, expected=expected)
    return checked(OK, "account_fees", paid=paid)
