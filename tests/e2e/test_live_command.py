"""`live` and `shadow` as commands: what stands in front of an exchange, and a whole run on our own venue."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import typer

from flowguardian.cli.app import main
from flowguardian.execution import events as ev
from flowguardian.execution.money import units
from flowguardian.feeds import venues
from flowguardian.ops import acceptance_gate, conduct
from flowguardian.ops.checked import OK, RED, checked
from flowguardian.ops.keys import KEY_VARIABLE, SECRET_VARIABLE
from flowguardian.ops.manifest import read_manifest
from flowguardian.ops.registry import STATE_DIRECTORY
from flowguardian.ops.verify import verify
from flowguardian.venue.trading_log import LEDGER_FILE
from tests.e2e.real_runs import rows, run
from tests.venue_process import SYMBOLS, VenueProcess, running_venue
from tests.venue_trader import Trader

ON_BINANCE = ("--venue", "binance", "--set", f"universe.symbols=[{','.join(SYMBOLS)}]")
LINE = "LIVE binance 500 USDT"


@pytest.fixture
def exchange() -> Iterator[VenueProcess]:
    """What stands in for the exchange: an account with 3,000 USDT at 10×."""
    with running_venue("--speed", "1", "--balance", "3000", "--leverage", "10") as venue:
        yield venue


@pytest.fixture
def begun(exchange: VenueProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Runs that were made; none is conducted, so nothing looks for the exchange itself."""
    preset = msgspec.structs.replace(venues.BINANCE, rest=exchange.rest)
    monkeypatch.setitem(venues.VENUES, "binance", preset)
    monkeypatch.setenv(KEY_VARIABLE, exchange.addresses["api_key"])
    monkeypatch.setenv(SECRET_VARIABLE, exchange.addresses["api_secret"])
    monkeypatch.setenv(STATE_DIRECTORY, str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    made: list[Path] = []

    def conducted(run_dir: Path, **_: Any) -> None:
        made.append(run_dir)
        raise typer.Exit(0)

    monkeypatch.setattr(conduct, "conduct", conducted)
    monkeypatch.setattr(
        acceptance_gate, "acceptance_line", lambda *_: checked(OK, "accepted", run="r", ended="d")
    )
    return made


def typed(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))


def start(name: str, *arguments: str) -> int:
    return main([name, *ON_BINANCE, "--set", "live.max_notional_usdt=500", *arguments])


def test_with_every_line_green_and_the_line_typed_a_run_begins_with_the_smaller_amount(
    begun: list[Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    typed(monkeypatch, f"{LINE}\n")
    assert start("live") == 0
    manifest = read_manifest(begun[0])
    assert (manifest.mode, manifest.venue, manifest.start_equity) == ("live", "binance", units(3000))
    assert manifest.planned_ns >= 720 * 3600 * 10**9
    said = capsys.readouterr().err
    assert "✗" not in said and f"type exactly:\n  {LINE}" in said
    for text in (said, (begun[0] / "run.json").read_text(encoding="utf-8")):
        assert os.environ[KEY_VARIABLE] not in text and os.environ[SECRET_VARIABLE] not in text
    typed(monkeypatch, f"{LINE}\n")
    assert start("live", "--set", "account.equity=2000") == 0
    assert read_manifest(begun[1]).start_equity == units(2000)


@pytest.mark.parametrize("text", ["", "\n", "y\n", "live binance 500 usdt\n", "LIVE binance 5000 USDT\n"])
def test_anything_else_typed_starts_nothing(
    begun: list[Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    typed(monkeypatch, text)
    assert start("live") == 2
    assert not begun and not Path("runs").exists()
    assert "nothing was started" in capsys.readouterr().err


def test_without_a_pass_nothing_starts_though_it_was_typed(
    begun: list[Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        acceptance_gate, "acceptance_line", lambda *_: checked(RED, "accepted_none", venue="binance")
    )
    typed(monkeypatch, f"{LINE}\n")
    assert start("live", "--json") == 3
    out, err = capsys.readouterr()
    assert "✗ red    acceptance: there is no acceptance run on binance" in err
    assert "✓ ok     wallet" in err, "the other lines are shown all the same"
    assert json.loads(out.splitlines()[-1])["reason"] == "preflight" and not begun


def test_without_keys_and_with_wrong_ones_nothing_starts(
    begun: list[Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    typed(monkeypatch, f"{LINE}\n" * 2)
    monkeypatch.setenv(SECRET_VARIABLE, "wrong")
    assert start("live") == 3
    assert "cannot be read: -1022" in capsys.readouterr().err
    monkeypatch.delenv(KEY_VARIABLE)
    monkeypatch.delenv(SECRET_VARIABLE)
    assert start("live", "--lang", "ko") == 3
    assert f"{KEY_VARIABLE} and {SECRET_VARIABLE} are not set" in capsys.readouterr().err
    assert not begun


def test_an_account_that_is_not_the_runs_own_is_refused_with_the_fix(
    begun: list[Path], exchange: VenueProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    trader = Trader(exchange)
    order = {"symbol": "BTCUSDT", "type": "MARKET", "quantity": "0.01"}
    assert trader.ask("POST", "/fapi/v1/order", side="BUY", **order).status == 200
    assert trader.ask("POST", "/fapi/v1/leverage", symbol="ETHUSDT", leverage=25).status == 200
    try:
        assert start("live") == 3
    finally:
        assert trader.ask("POST", "/fapi/v1/order", side="SELL", reduceOnly="true", **order).status == 200
        assert trader.ask("POST", "/fapi/v1/leverage", symbol="ETHUSDT", leverage=10).status == 200
    said = capsys.readouterr().err
    assert "✗ red    positions: the account holds BTCUSDT +0.01" in said and "→ Close them" in said
    assert "✗ red    leverage: ETHUSDT 25×; the configuration says 10×" in said
    assert trader.ask("POST", "/fapi/v1/positionSide/dual", dualSidePosition="true").status == 200
    try:
        assert start("live") == 3
    finally:
        assert trader.ask("POST", "/fapi/v1/positionSide/dual", dualSidePosition="false").status == 200
    assert "✗ red    account mode: hedge mode is on" in capsys.readouterr().err
    assert not begun


def test_a_shadow_needs_neither_a_pass_nor_a_confirmation(
    begun: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        acceptance_gate, "acceptance_line", lambda *_: checked(RED, "accepted_none", venue="binance")
    )
    assert start("shadow") == 0
    manifest = read_manifest(begun[0])
    assert (manifest.mode, manifest.kind, manifest.start_equity) == ("shadow", "rehearsal", units(3000))


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--venue", "direct"], "needs a venue with an account"),
        ([], "no venue is named"),
        (["--venue", "local", "--set", "live.max_notional_usdt=50"], "leaves no room for one entry"),
    ],
)
def test_what_cannot_be_live_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    arguments: list[str], why: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert main(["live", *arguments]) == 2
    assert why in capsys.readouterr().err and not (tmp_path / "runs").exists()


def ledger(run_dir: Path) -> str:
    return (run_dir / LEDGER_FILE).read_text(encoding="utf-8")


def test_a_live_run_on_our_own_venue_keeps_to_its_limit_and_only_live_goes_on_with_it(tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    asked = ("--venue", "local", "--speed", "max", "--duration", "90m", "--run-dir", run_dir)
    ended = run("live", *asked, "--set", "live.max_notional_usdt=700", state=tmp_path / "state")
    assert ended.code == 4, ended.err  # 90 minutes are no 12 hours.
    assert "play money" in ended.err and verify(run_dir).ok
    told = rows(run_dir)
    assert isinstance(told[0], ev.RunStarted) and told[0].mode == "live"
    reduced = [row for row in told if isinstance(row, ev.EntryReduced)]
    assert reduced and all(row.room <= units(700) for row in reduced)
    assert any(isinstance(row, ev.StopConfirmed) for row in told) and '["order",' in ledger(run_dir)
    wrong = run("paper", "--run-dir", run_dir, state=tmp_path / "state")
    assert wrong.code == 2 and f"go on with `flowguardian live --run-dir {run_dir}`" in wrong.err
    explained = next(n for n, row in enumerate(told, 1) if isinstance(row, ev.EntryReduced))
    said = run("explain", explained, run_dir, state=tmp_path / "state")
    assert said.code == 0 and "live.max_notional_usdt" in said.out, said.out + said.err


def test_a_shadow_run_decides_and_the_venue_has_no_order(tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    asked = ("--venue", "local", "--speed", "max", "--duration", "60m", "--run-dir", run_dir)
    ended = run("shadow", *asked, state=tmp_path / "state")
    assert ended.code == 0, ended.err
    assert "nothing was sent, so nothing is judged" in ended.err and verify(run_dir).ok
    told = rows(run_dir)
    wanted = {row.order_id for row in told if isinstance(row, ev.OrderRequested)}
    refused = {row.order_id for row in told if isinstance(row, ev.OrderRejected)}
    assert wanted and wanted == refused
    assert not any(isinstance(row, ev.OrderFilled) for row in told)
    assert any(isinstance(row, ev.AccountReconciled) for row in told), "the account was looked at"
    assert not any(f'["{kind}",' in ledger(run_dir) for kind in ("order", "algo", "trade"))
