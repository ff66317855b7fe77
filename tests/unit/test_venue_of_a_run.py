"""The account that the venue of a run gives to trade on."""

import msgspec
import pytest

from flowguardian.cli.output import CliError
from flowguardian.cli.venue import _amount, _rate
from flowguardian.ops.manifest import Manifest
from flowguardian.ops.settings import Settings
from flowguardian.ops.venue_process import terms_of
from flowguardian.venue.server import Terms

UNIT = 100_000_000
MANIFEST = Manifest(
    run_id="run", kind="rehearsal", market="synthetic:7", start_ns=None, planned_ns=1, speed=0.0, seed=7,
    config=msgspec.Raw(b"{}"), config_hash="", trading_hash="", venue="local", mode="live",
)  # fmt: skip


def test_the_account_of_a_run_has_the_equity_and_fees_of_its_settings(tmp_path):
    terms = terms_of(Settings(), MANIFEST, tmp_path)
    assert terms.balance == 50_000 * UNIT
    assert (terms.fees.maker, terms.fees.taker) == (20_000, 40_000)
    smaller = msgspec.structs.replace(MANIFEST, start_equity=7 * UNIT)
    assert terms_of(Settings(), smaller, tmp_path).balance == 7 * UNIT
    assert terms.slippage == 50_000
    assert terms.ledger == tmp_path / "venue-ledger.jsonl"
    assert len(terms.keys.key) == len(terms.keys.secret) == 64
    assert terms_of(Settings(), MANIFEST, tmp_path).keys != terms.keys


def test_without_an_account_there_are_no_keys():
    assert Terms().keys == ("", "")


def test_amounts_of_the_command_line_are_exact():
    assert _amount("10000", "--balance") == 10_000 * UNIT
    assert _rate("2.5", "--maker-fee-bps") == 25_000


@pytest.mark.parametrize("said", ["x", "-1", "nan", "inf", "0.000000001", ""])
def test_an_amount_that_is_none_is_refused(said):
    with pytest.raises(CliError, match="is no amount"):
        _amount(said, "--balance")
