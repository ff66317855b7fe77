"""`status`, `why`, `explain`, `verify` over real runs of one hour on the synthetic market."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
from pathlib import Path

import msgspec
import pytest

from flowguardian.cli.app import main
from flowguardian.cli.funnel import why as why_of
from flowguardian.cli.language import Say
from flowguardian.cli.run_rows import RunRows, read_run
from flowguardian.execution import events as ev
from flowguardian.journal.chain import GENESIS, link, read_chain
from flowguardian.ops.engine_process import EngineProcess
from flowguardian.ops.loading import load
from flowguardian.ops.manifest import Manifest, write_manifest
from flowguardian.ops.registry import STATE_DIRECTORY, Registry

HOUR_NS = 3_600_000_000_000
VERDICTS = re.compile(r"PASS|FAIL|INCONCLUSIVE")


def _run(run_dir: Path, *overrides: str) -> Path:
    loaded = load(None, ["paper.duration_hours=1", *overrides], env={})
    manifest = Manifest(
        run_id=run_dir.name, kind="rehearsal", market="synthetic:1", start_ns=None, planned_ns=HOUR_NS,
        speed=0.0, seed=1, config=msgspec.Raw(msgspec.json.encode(loaded.effective)),
        config_hash=loaded.config_hash, trading_hash=loaded.trading_hash,
    )  # fmt: skip
    write_manifest(run_dir, manifest)
    process = EngineProcess(run_dir)
    assert process.lifetime() == "completed"
    return run_dir


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """`plain` is as configured; `greedy` may use its budget at once; `turning` flips its positions."""
    folder = tmp_path_factory.mktemp("runs")
    _run(folder / "plain")
    _run(folder / "greedy", "position_sizing.multi_position_scaling=false", "risk.max_positions=7")
    turning = [
        f"strategies.ema_cross.{change}" for change in ("on_opposite=flip", "entry_cooldown_seconds=0")
    ]
    _run(folder / "turning", *turning)
    return folder


@pytest.fixture(autouse=True)
def own_registry(tmp_path, monkeypatch):
    monkeypatch.setenv(STATE_DIRECTORY, str(tmp_path / "state"))


@pytest.fixture
def plain(runs) -> RunRows:
    return read_run(runs / "plain")


def _json(capsys, *arguments, code=0):
    capsys.readouterr()
    assert main([*arguments, "--json"]) == code
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def _cut(runs: Path, target: Path, after_seq: int) -> Path:
    """A run as it was when its journal ended at a row."""
    shutil.copytree(runs / "plain", target)
    with sqlite3.connect(target / "journal.db") as db:
        db.execute("DELETE FROM rows WHERE seq > ?", (after_seq,))
    db.close()
    return target


# ---- why


def test_the_funnel_adds_up_and_equals_the_last_checkpoint(runs, plain, capsys):
    answer = _json(capsys, "why", str(runs / "plain"))
    _, checkpoint = plain.last(ev.CheckpointTaken)
    theirs = [(g.code, g.evaluated, g.allowed, g.reduced, g.refused, g.shadow) for g in checkpoint.guards]
    keys = ("code", "evaluated", "allowed", "reduced", "refused", "shadow")
    assert [tuple(step[key] for key in keys) for step in answer["steps"]] == theirs
    refused = sum(step["refused"] for step in answer["steps"])
    assert answer["attempts"] == answer["orders"]["requested"] + refused
    assert answer["orders"]["filled"] == checkpoint.entries > 0
    assert answer["budget_caps"] == checkpoint.budget_caps > 0


def test_the_last_refusal_of_each_guard_says_what_releases_it_and_when(runs, plain, capsys):
    answer = _json(capsys, "why", str(runs / "plain"))
    last = {row.code.value: (seq, row) for seq, row in plain.of(ev.EntryRefused)}
    assert {refusal["code"] for refusal in answer["refusals"]} == set(last)
    for refusal in answer["refusals"]:
        seq, row = last[refusal["code"]]
        assert (refusal["seq"], refusal["release"]) == (seq, row.release)
        assert (refusal["release_at"] or {"ns": 0})["ns"] == row.release_ns
    cooldown = next(r for r in answer["refusals"] if r["code"] == "strategy_cooldown")
    assert (cooldown["limit"], cooldown["unit"], cooldown["released"]) == (20, "s", True)


def test_the_longest_gap_lies_between_two_entries(runs, plain, capsys):
    gap = _json(capsys, "why", str(runs / "plain"))["longest_gap"]
    entries = {row.order_id for _, row in plain.of(ev.OrderRequested) if row.purpose is ev.Purpose.ENTRY}
    fills = [row.ts_ns for _, row in plain.of(ev.OrderFilled) if row.order_id in entries]
    assert fills
    assert not [at for at in fills if gap["start"]["ns"] < at < gap["end"]["ns"]]
    assert gap["seconds"] == (gap["end"]["ns"] - gap["start"]["ns"]) / 1e9


@pytest.mark.parametrize("language", ["en", "ko"])
def test_why_and_status_speak_both_languages_with_english_codes(runs, language, capsys):
    for command in ("why", "status"):
        assert main([command, str(runs / "plain"), "--lang", language]) == 0
        shown = capsys.readouterr().out
        assert "strategy_cooldown" in shown
        assert "UTC" in shown
        assert "KST" in shown
        assert ("Why no trade" in shown) is (language == "en")
        assert ("지금 거래가 없는 이유" in shown) is (language == "ko")


def test_a_full_portfolio_is_named_as_what_holds_entries_back(runs, plain, tmp_path):
    opened, seq = 0, 0
    while opened < 3:
        seq += 1
        row = plain.rows[seq]
        opened += isinstance(row, ev.PositionOpened) - isinstance(row, ev.PositionClosed)
    now = why_of(read_run(_cut(runs, tmp_path / "full", seq)), Say("en")).now
    assert now.state == "held"
    holds = {hold.code: hold for hold in now.holds}
    assert holds["max_positions"].release == "position_closes"
    assert holds["max_positions"].release_at is not None
    assert sum(hold.code == "duplicate_entry" for hold in now.holds) == 3


# ---- status


def test_status_is_the_last_checkpoint_after_the_end(runs, plain, capsys):
    answer = _json(capsys, "status", "plain", "--runs", str(runs))
    _, checkpoint = plain.last(ev.CheckpointTaken)
    assert answer["state"] == "ended"
    assert answer["verdict"] == "not judged yet"
    assert round(answer["equity_usdt"] * 1e8) == checkpoint.equity
    assert round(answer["balance_usdt"] * 1e8) == checkpoint.balance
    assert len(answer["open_positions"]) == checkpoint.open_positions
    line = answer["budget"][0]
    assert round(line["available_usdt"] * 1e8) == checkpoint.budget[0].available
    assert answer["alive"] is False


def test_the_budget_in_the_middle_is_that_of_the_checkpoint_there(runs, plain, tmp_path, capsys):
    seq, checkpoint = max(plain.of(ev.CheckpointTaken), key=lambda pair: pair[1].open_positions)
    assert checkpoint.open_positions > 0
    line = _json(capsys, "status", str(_cut(runs, tmp_path / "middle", seq)))["budget"][0]
    theirs = checkpoint.budget[0]
    assert [round(line[f"{key}_usdt"] * 1e8) for key in ("allocated", "used", "reserved", "available")] == [
        theirs.allocated, theirs.used, theirs.reserved, theirs.available,
    ]  # fmt: skip


@pytest.mark.parametrize("language", ["en", "ko"])
@pytest.mark.parametrize("command", ["status", "why"])
def test_before_the_end_no_text_contains_a_verdict(runs, plain, tmp_path, command, language, capsys):
    seq = plain.last(ev.CheckpointTaken)[0] - 1
    run_dir = _cut(runs, tmp_path / "going", seq)
    # What an earlier report said is no verdict on a run that goes on.
    (run_dir / "report.json").write_text('{"verdict": "PASS"}', encoding="utf-8")
    entry = Registry().register("engine", "plain")
    assert main([command, str(run_dir), "--lang", language]) == 0
    text = capsys.readouterr().out
    answer = _json(capsys, command, str(run_dir))
    Registry().unregister(entry)
    assert VERDICTS.search(text) is None
    assert VERDICTS.search(json.dumps(answer)) is None
    if command == "status":
        assert "no verdict, running" in text
        assert (answer["state"], answer["alive"]) == ("running", True)


def test_after_the_end_status_shows_the_verdict_of_the_report(runs, tmp_path, capsys):
    shutil.copytree(runs / "plain", tmp_path / "judged")
    (tmp_path / "judged" / "report.json").write_text('{"verdict": "FAIL"}', encoding="utf-8")
    assert _json(capsys, "status", str(tmp_path / "judged"))["verdict"] == "FAIL"


def test_a_run_whose_processes_are_gone_is_dead(runs, plain, tmp_path, capsys):
    run_dir = _cut(runs, tmp_path / "dead", plain.last(ev.CheckpointTaken)[0])
    answer = _json(capsys, "status", str(run_dir))
    assert (answer["state"], answer["verdict"]) == ("dead", "no verdict")


# ---- explain


@pytest.mark.parametrize("name", ["plain", "greedy", "turning"])
def test_every_attempt_is_recomputed_to_the_last_digit(runs, name, capsys):
    run, outcomes = read_run(runs / name), set()
    for seq, row in run.rows.items():
        entry = isinstance(row, ev.OrderRequested) and row.purpose is ev.Purpose.ENTRY
        if entry or isinstance(row, ev.EntryRefused):
            answer = _json(capsys, "explain", str(seq), str(runs / name))
            assert answer["equal"] is True, answer["compared"]
            outcomes.add(answer["code"] or answer["bound"])
    refusals = {"plain": {"strategy_cooldown"}, "greedy": {"portfolio_budget"}, "turning": set()}
    assert outcomes >= {"budget"} | refusals[name]


def test_a_flip_leads_to_the_entry_after_its_close(runs, capsys):
    run = read_run(runs / "turning")
    seq, flip = next(run.of(ev.FlipPlanned))
    answer = _json(capsys, "explain", str(seq), str(runs / "turning"))
    outcome = run.rows[answer["seq"]]
    assert isinstance(outcome, ev.OrderRequested | ev.EntryRefused)
    assert (outcome.symbol, outcome.side, outcome.bar_ns) == (flip.symbol, flip.side, flip.bar_ns)
    assert outcome.ts_ns > flip.ts_ns
    assert answer["equal"] is True


def test_every_row_of_an_attempt_leads_to_it(runs, plain, capsys):
    seq, order = next(
        pair for pair in plain.of(ev.OrderRequested)
        if any(row.order_id == pair[1].order_id for _, row in plain.of(ev.OrderFilled))
    )  # fmt: skip
    signal = next(
        at for at, row in plain.of(ev.Signal) if row.bar_ns == order.bar_ns and row.symbol == order.symbol
    )
    fill = next(at for at, row in plain.of(ev.OrderFilled) if row.order_id == order.order_id)
    opened = next(at for at, row in plain.of(ev.PositionOpened) if row.order_id == order.order_id)
    closed = next(at for at, row in plain.of(ev.PositionClosed) if at > opened and row.symbol == order.symbol)
    cap = next(at for at, row in plain.of(ev.BudgetCapped) if signal < at < seq)
    for asked in (signal, cap, seq, fill, opened, closed):
        answer = _json(capsys, "explain", str(asked), str(runs / "plain"))
        assert (answer["seq"], answer["signal_seq"], answer["asked_seq"]) == (seq, signal, asked)


def test_a_budget_block_says_how_much_more_budget_would_have_let_it_in(runs, capsys):
    run = read_run(runs / "greedy")
    seq, row = next((s, r) for s, r in run.of(ev.EntryRefused) if r.code is ev.Reason.PORTFOLIO_BUDGET)
    assert main(["explain", str(seq), str(runs / "greedy"), "--lang", "en"]) == 0
    shown = capsys.readouterr().out
    short = (row.limit - row.value) / 1e8
    assert f"would have let it in: {short:,.2f} USDT more budget" in shown
    assert "recomputed = journal ✓ (code, limit, value)" in shown


def test_a_changed_quantity_is_marked(runs, plain, tmp_path, capsys):
    seq, order = next(plain.of(ev.OrderRequested))
    run_dir = tmp_path / "forged"
    shutil.copytree(runs / "plain", run_dir)
    _forge(run_dir, seq, msgspec.structs.replace(order, qty=order.qty + 1000))
    answer = _json(capsys, "explain", str(seq), str(run_dir))
    assert answer["equal"] is False
    assert [pair["key"] for pair in answer["compared"] if not pair["equal"]] == ["qty"]
    main(["explain", str(seq), str(run_dir), "--lang", "en"])
    assert "recomputed = journal ✗" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("seq", "words"), [("999999", "there is no row"), ("1", "belongs to no entry attempt")]
)
def test_a_row_without_an_attempt_is_an_error_with_the_nearest_ones(runs, seq, words, capsys):
    assert main(["explain", seq, str(runs / "plain")]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert "the nearest attempts are the rows" in said


# ---- verify


def test_a_recorded_run_verifies(runs, plain, capsys):
    answer = _json(capsys, "verify", str(runs / "plain"))
    assert (answer["ok"], answer["rows"], answer["row"]) == (True, len(plain.rows), 0)


def test_a_forged_row_is_exit_code_1_and_named(runs, plain, tmp_path, capsys):
    seq, order = next(plain.of(ev.OrderRequested))
    run_dir = tmp_path / "forged"
    shutil.copytree(runs / "plain", run_dir)
    _forge(run_dir, seq, msgspec.structs.replace(order, qty=order.qty + 1000))
    assert _json(capsys, "verify", str(run_dir), code=1)["row"] == seq
    assert main(["verify", str(run_dir), "--lang", "en"]) == 1
    assert f"row {seq} differs" in capsys.readouterr().out


def _forge(run_dir: Path, seq: int, row: ev.Row) -> None:
    """Change one row and compute the hash chain anew, as somebody who wants to deceive would."""
    path = run_dir / "journal.db"
    records, previous = list(read_chain(path)), GENESIS
    with sqlite3.connect(path) as db:
        for record in records:
            body = ev.encode(row) if record.seq == seq else record.body
            previous = link(previous, record.seq, record.ts_ns, record.kind, body)
            db.execute(
                "UPDATE rows SET body = ?, hash = ? WHERE seq = ?", (body.decode(), previous, record.seq)
            )
    db.close()


# ---- report


def test_a_run_that_goes_on_cannot_be_judged(runs, capsys):
    entry = Registry().register("engine", "plain")
    assert main(["report", str(runs / "plain")]) == 2
    Registry().unregister(entry)
    said = capsys.readouterr()
    assert "the run is still going on" in said.err
    assert VERDICTS.search(said.out + said.err) is None


def test_a_report_is_written_and_its_verdict_is_the_exit_code(runs, tmp_path, capsys):
    shutil.copytree(runs / "plain", tmp_path / "plain")
    code = main(["report", str(tmp_path / "plain"), "--json"])
    answer = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert code == {"PASS": 0, "FAIL": 1, "INCONCLUSIVE": 4}[answer["verdict"]]
    assert answer["run_id"] == "plain"
    assert all(Path(path).is_file() for path in answer["reports"])
    assert _json(capsys, "status", str(tmp_path / "plain"))["verdict"] == answer["verdict"]
