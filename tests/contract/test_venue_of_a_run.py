"""The venue of a run as its supervisor starts it: keys and an account in a live run only."""

import json
import subprocess
import sys
from contextlib import contextmanager

import msgspec

from flowguardian.ops.manifest import Manifest, write_manifest
from flowguardian.ops.merging import canonical, plain
from flowguardian.ops.settings import Settings
from tests.venue_process import ROOT, VenueProcess
from tests.venue_trader import UNIT, Trader, account_balances


@contextmanager
def venue_of(run_dir):
    """The venue of a run directory, ended by its own handle."""
    argv = [sys.executable, "-m", "flowguardian.ops.venue_process", str(run_dir)]
    # It lives as long as its stdin: so does a child of a supervisor.
    process = subprocess.Popen(
        argv, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8"
    )
    try:
        assert process.stdout is not None
        yield Trader(VenueProcess(process, json.loads(process.stdout.readline())))
    finally:
        process.terminate()
        process.communicate(timeout=20)


def run_of(run_dir, mode):
    config = msgspec.Raw(canonical(plain(Settings())))
    hour_ns = 3600 * 10**9
    manifest = Manifest(
        "run",
        "rehearsal",
        "synthetic:7",
        1_735_689_600 * 10**9,
        hour_ns,
        0.0,
        7,
        config,
        "",
        "",
        venue="local",
        mode=mode,
    )
    write_manifest(run_dir, manifest)
    return run_dir


def test_a_live_run_has_an_account_that_outlives_its_venue(tmp_path):
    run_dir = run_of(tmp_path / "run", "live")
    with venue_of(run_dir) as trader:
        order = trader.order("BUY", "0.1")
        assert order["status"] == "FILLED"
        before = trader.ledger()
        assert before["account"]["start"] == 50_000 * UNIT
        assert before["account"]["fees"] == -(-int(float(order["cumQuote"]) * UNIT) * 4 // 10_000)
        account_balances(before)
    with venue_of(run_dir) as again:
        assert (again.key, again.secret) == (trader.key, trader.secret)
        assert again.ledger() == before


def test_a_paper_run_has_no_keys(tmp_path):
    run_dir = run_of(tmp_path / "run", "paper")
    with venue_of(run_dir) as trader:
        assert (trader.key, trader.secret) == ("", "")
        assert trader.send("GET", f"/fapi/v3/account?{trader.signed()}", key="x" * 64).json()["code"] == -2015
        assert trader.venue.get("/fapi/v1/ping").status == 200
    assert not (run_dir / "venue-ledger.jsonl").exists()
