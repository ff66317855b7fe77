"""What an account must be like before a run may trade it."""

from __future__ import annotations

import pytest

from flowguardian.brokers.account_state import Standing
from flowguardian.execution.money import units
from flowguardian.ops.checks_account import account_lines, red_lines
from flowguardian.ops.loading import load

FIT = Standing(
    wallet=units(5000), positions={}, open_orders=0, hedge_mode=False, multi_assets=False, fees_in_bnb=False,
    leverage={"BTCUSDT": 10, "ETHUSDT": 10}, isolated=(), taker=units("0.0004"),
)  # fmt: skip


def lines(found: Standing, *overrides: str) -> dict[str, tuple[str, str, str]]:
    settings = load(None, overrides, {}).settings
    return {item: (line.state, line.said.en, line.remedy.en) for item, line in account_lines(found, settings)}


def test_an_account_as_it_should_be_is_green_and_the_run_takes_the_smaller_of_both_amounts():
    found = lines(FIT)
    assert {state for state, _, _ in found.values()} == {"ok"}
    assert found["wallet"][1] == "5,000.00 USDT; the run starts with all of it"
    rich = lines(FIT._replace(wallet=units(80_000)))
    assert rich["wallet"][1] == "80,000.00 USDT; the run starts with 50,000.00 USDT (account.equity)"


@pytest.mark.parametrize(
    ("change", "item", "said", "fix"),
    [
        ({"hedge_mode": True}, "account mode", "hedge mode", "one-way mode"),
        ({"multi_assets": True}, "account mode", "multi-assets", "single-asset mode"),
        ({"isolated": ("ETHUSDT",)}, "account mode", "isolated margin: ETHUSDT", "cross margin"),
        ({"leverage": {"BTCUSDT": 10, "ETHUSDT": 20}}, "leverage", "ETHUSDT 20×; the configuration says 10×",
         "to 10×"),
        ({"positions": {"XRPUSDT": units("-12.5")}}, "positions", "XRPUSDT -12.5", "Close them"),
        ({"open_orders": 2}, "positions", "2 open orders", "Cancel them"),
        ({"wallet": units(99)}, "wallet", "99.00 USDT", "Transfer USDT"),
        ({"fees_in_bnb": True}, "fees", "BNB", "Switch off"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_red_line_with_its_fix(change, item, said, fix):
    found = lines(FIT._replace(**change))
    assert [name for name, line in found.items() if line[0] == "red"] == [item]
    assert said in found[item][1] and fix in found[item][2]
    told = red_lines(account_lines(FIT._replace(**change), load(None, (), {}).settings))
    assert said in told and fix in told


def test_a_higher_fee_is_a_warning_with_both_figures():
    state, said, _ = lines(FIT._replace(taker=units("0.0005")))["fees"]
    assert (state, said) == ("warn", "taker 0.0500 %, the configuration says 0.0400 %")
