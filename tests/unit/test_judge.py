"""The judge against runs written by hand: what passes, and that every planted fault is found and named."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import msgspec
import pytest

from flowguardian.acceptance.judge import Replay, judge, summary_json
from flowguardian.acceptance.judgement import Judgement, Verdict
from flowguardian.execution import events as ev
from flowguardian.journal import ops_events as o
from flowguardian.market.records import Kind
from tests.unit.journal_builder import Story
from tests.unit.run_files import CONFIG, HOST, HOUR, MINUTE, ONE, SECOND, SYMBOL, T0, TICK

SAME = Replay(ok=True, rows=1, message="")
PACKAGE = Path(__file__).resolve().parents[2] / "flowguardian" / "acceptance"


def judged(story: Story, tmp_path: Path, replay: Replay | None = SAME) -> Judgement:
    return judge(story.write(tmp_path / "run"), replay)


def unmet(judgement: Judgement) -> set[str]:
    return {criterion.id for criterion in judgement.criteria if criterion.ok is not True}


def config(**acceptance: object) -> dict[str, Any]:
    return {**CONFIG, "acceptance": {**CONFIG["acceptance"], **acceptance}}


def test_a_clean_wall_clock_run_passes_as_acceptance(tmp_path: Path) -> None:
    found = judged(Story(), tmp_path)
    assert unmet(found) == set()
    assert (found.verdict, found.kind, found.causes) == (Verdict.PASS, "acceptance", ())
    assert found.wall_clock_hours == pytest.approx(40 / 60)
    assert found.market_hours == pytest.approx(40 / 60, abs=1e-6)
    counts = found.counts
    assert (counts.entries, counts.budget_caps, counts.portfolio_budget_blocks, counts.refusals) == (
        2,
        2,
        0,
        1,
    )
    assert counts.block_pct == 0.0
    assert counts.portfolio_check_block_pct == pytest.approx(100 / 3)
    assert (counts.errors, counts.abnormal_ends, counts.restarts) == (0, 0, 0)


def test_money_equals_what_the_story_added_up(tmp_path: Path) -> None:
    story = Story()
    money = judged(story, tmp_path).money
    assert (money.realised, money.fees, money.funding) == (story.realised, story.fees, 0)
    assert money.start + money.realised - money.fees + money.funding + money.unrealised == money.end


@pytest.mark.parametrize(
    "change", [{"market": {"speed": "max"}}, {"paper": {"duration_mode": "market_time"}}]
)
def test_a_run_that_was_not_set_to_real_time_is_only_a_rehearsal(
    tmp_path: Path, change: dict[str, Any]
) -> None:
    found = judged(Story(config={**CONFIG, **change}), tmp_path)
    assert (found.verdict, found.kind) == (Verdict.PASS, "rehearsal")
    assert "rehearsal" in found.why.en


FAULTS: list[tuple[str, type[ev.Row], int, dict[str, Any], str]] = [
    ("a fill one tick better", ev.OrderFilled, 0, {"price": 9_998_300_000_000 + TICK}, "prices"),
    ("a fee of nothing", ev.OrderFilled, 1, {"fee": 0}, "fees"),
    ("a fill that is larger than its order", ev.OrderFilled, 0, {"qty": ONE}, "orders"),
    ("a fill of an order that does not exist", ev.OrderFilled, 0, {"order_id": 99}, "orders"),
    ("a fill booked twice", ev.OrderFilled, 1, {"fill_id": 1}, "orders"),
    ("equity one unit off", ev.CheckpointTaken, 1, {"equity": 5_000_000_000_001}, "ledger_difference"),
    ("a counter one off", ev.CheckpointTaken, 2, {"entries": 3}, "counters"),
    ("a signal that saw another price", ev.Signal, 1, {"price": 100_001 * ONE}, "prices"),
    ("a mark that was never traded", ev.TimerFired, 0, {"marks": (ONE,)}, "prices"),
    ("an exit that saw another price", ev.ExitTriggered, 0, {"price": 100_001 * ONE}, "prices"),
    ("a cap that claims another budget", ev.BudgetCapped, 0, {"allocated": 13_000 * ONE}, "budget_limits"),
    ("a cap smaller than the order after it", ev.BudgetCapped, 0, {"cap": ONE}, "budget_limits"),
    ("a reservation beyond the budget", ev.OrderRequested, 0, {"reserved": 13_000 * ONE}, "budget_limits"),
    ("a refusal for another bar", ev.EntryRefused, 0, {"bar_ns": 1}, "outcomes"),
    ("an exit larger than its position", ev.OrderRequested, 1, {"qty": ONE}, "orders"),
    ("a position that the fills do not give", ev.PositionOpened, 0, {"qty": ONE}, "orders"),
    ("a close with invented profit", ev.PositionClosed, 0, {"realised": ONE}, "fees"),
    ("a reduction with invented profit", ev.PositionReduced, 0, {"realised": 10**12}, "fees"),
]


@pytest.mark.parametrize(
    ("kind", "nth", "fields", "criterion"), [f[1:] for f in FAULTS], ids=[f[0] for f in FAULTS]
)
def test_a_planted_fault_fails_and_its_row_is_named(
    tmp_path: Path, kind: type[ev.Row], nth: int, fields: dict[str, Any], criterion: str
) -> None:
    story = Story()
    seq = story.change(kind, nth, **fields)
    found = judged(story, tmp_path)
    assert found.verdict is Verdict.FAIL
    gate = found.criterion(criterion)
    assert gate is not None and gate.ok is False
    assert any(abs(e.seq - seq) <= 1 for e in gate.evidence), (seq, gate.evidence)
    assert criterion in {cause.criterion for cause in found.causes}


@pytest.mark.parametrize("column", ["a", "c"])
def test_a_quote_changed_by_one_tick_at_a_fill_is_found(tmp_path: Path, column: str) -> None:
    story = Story()
    fills = [row for row in story.rows if isinstance(row, ev.OrderFilled)]
    side = 1 if column == "c" else -1  # a buy takes the ask, a sell the bid
    fill = next(row for row in fills if row.side == side)
    at = (story.tape["ts_ns"] == fill.ts_ns) & (story.tape["kind"] == Kind.TOP)
    story.tape[column][at] += TICK
    gate = judged(story, tmp_path).criterion("prices")
    assert gate is not None and gate.ok is False
    assert any(f"fill {fill.fill_id} " in e.text for e in gate.evidence)


def test_a_trade_changed_at_a_checkpoint_is_found_in_the_books(tmp_path: Path) -> None:
    story = Story()
    at = (story.tape["ts_ns"] == T0 + 30 * MINUTE + 2) & (story.tape["kind"] == Kind.TRADE)
    story.tape["a"][at] += 1
    assert {"ledger_difference", "prices"} <= unmet(judged(story, tmp_path))


def test_a_signal_without_an_outcome_is_found(tmp_path: Path) -> None:
    story = Story()
    del story.rows[next(i for i, row in enumerate(story.rows) if isinstance(row, ev.EntryRefused))]
    assert "outcomes" in unmet(judged(story, tmp_path))


def test_a_fill_before_the_run_went_live_is_found(tmp_path: Path) -> None:
    story = Story()
    live = next(i for i, row in enumerate(story.rows) if isinstance(row, ev.WentLive))
    story.rows.append(story.rows.pop(live))
    found = judged(story, tmp_path)
    assert found.verdict is Verdict.FAIL
    assert {"orders", "outcomes"} <= unmet(found)


def test_a_violated_invariant_fails_and_is_named(tmp_path: Path) -> None:
    story = Story()
    story.rows.append(ev.InvariantViolated(T0 + 40 * MINUTE, "I06", "used 2 + reserved 1 > allocated 2"))
    found = judged(story, tmp_path)
    assert found.verdict is Verdict.FAIL
    assert any("I06" in cause.why.en and "I06" in cause.why.ko for cause in found.causes)


def test_guard_starvation_fails_and_names_the_guard(tmp_path: Path) -> None:
    story = Story()
    at = T0 + 40 * MINUTE
    story.rows.append(ev.GuardStarvation(at, ev.Reason.SPREAD, T0, 4, 4, "spread narrows"))
    found = judged(story, tmp_path)
    cause = next(cause for cause in found.causes if cause.criterion == "starvation")
    assert found.verdict is Verdict.FAIL
    assert "spread" in cause.why.ko


OPS_FAULTS = [
    ("errors", o.Incident(HOST, o.Severity.ERROR, "venue", "dead task", "Traceback")),
    ("errors", o.Incident(HOST, o.Severity.CRITICAL, "engine", "out of memory", "")),
    ("abnormal_ends", o.ProcessExited(HOST, "engine", 1, -9, "killed", True, False)),
]


@pytest.mark.parametrize(("criterion", "row"), OPS_FAULTS)
def test_an_incident_or_an_abnormal_end_fails(tmp_path: Path, criterion: str, row: o.OpsRow) -> None:
    story = Story()
    story.ops.insert(5, row)
    found = judged(story, tmp_path)
    assert (found.verdict, unmet(found)) == (Verdict.FAIL, {criterion})


def test_warnings_and_announced_ends_do_not_fail_but_the_pass_says_with_faults(tmp_path: Path) -> None:
    story = Story()
    story.ops[5:5] = [
        o.Incident(HOST, o.Severity.WARNING, "engine", "slow disk", ""),
        o.FaultAnnounced(HOST, "kill -9", "engine"),
        o.ProcessExited(HOST, "engine", 1, -9, "killed", True, True),
    ]
    found = judged(story, tmp_path)
    assert (found.verdict, found.with_faults) == (Verdict.PASS, True)
    assert "with faults" in found.why.en and "with faults" in found.why.ko


def two_segments(**limits: float | None) -> Story:
    """The ordinary run with a stop in its middle and nine hours until it goes on, on another boot."""
    story = Story(config=config(**limits))
    half = 20 * MINUTE
    samples = [row for row in story.ops if isinstance(row, o.HostSampled)]
    story.ops = [
        o.SegmentOpened(HOST, 1, "boot-a", 500 * HOUR, T0, 1, "first start"),
        o.SegmentClosed(HOST + half, 1, "boot-a", 500 * HOUR + half, T0 + half, "stopped"),
        o.SegmentOpened(HOST + 9 * HOUR, 2, "boot-b", HOUR, T0 + half, 2, "resumed"),
        *(
            msgspec.structs.replace(s, segment=2, mono_ns=HOUR + s.market_ns - T0 - half)
            for s in samples[20:]
        ),
        o.SegmentClosed(HOST + 10 * HOUR, 2, "boot-b", HOUR + half, T0 + 2 * half, "finished"),
        o.RunFinished(HOST + 10 * HOUR, "completed"),
    ]
    return story


def test_run_time_adds_up_over_boots_and_ignores_what_lies_between(tmp_path: Path) -> None:
    found = judged(two_segments(), tmp_path)
    assert found.wall_clock_hours == pytest.approx(40 / 60)
    assert found.counts.planned_stops == 1
    assert found.verdict is Verdict.PASS


@pytest.mark.parametrize(
    ("limits", "unmet", "observed"),
    [
        ({"max_planned_stops": 0}, "planned_stops", 1),
        ({"min_longest_segment_hours": 0.4}, "longest_segment", pytest.approx(1 / 3)),
    ],
)
def test_too_many_stops_or_too_short_segments_fail(
    tmp_path: Path, limits: dict[str, float], unmet: str, observed: float
) -> None:
    found = judged(two_segments(**limits), tmp_path)
    assert found.verdict is Verdict.FAIL
    (bad,) = [c for c in found.criteria if c.ok is not True]
    assert (bad.id, bad.observed) == (unmet, observed)


def test_a_configuration_older_than_a_criterion_was_not_promised_it(tmp_path: Path) -> None:
    found = judged(two_segments(max_planned_stops=None, min_longest_segment_hours=None), tmp_path)
    assert found.verdict is Verdict.PASS and found.criterion("longest_segment") is None


def test_the_programs_of_a_run_are_listed_once_each(tmp_path: Path) -> None:
    story = Story()
    first = o.BuildIdentified(HOST, "0.1.0", "abc (v1)", "3.11.7", "Linux")
    second = msgspec.structs.replace(first, commit="def (v1-dirty)")
    story.ops[:0] = [first, msgspec.structs.replace(first, ts_ns=HOST + 1), second]
    found = judged(story, tmp_path)
    assert [build.commit for build in found.builds] == ["abc (v1)", "def (v1-dirty)"]


def test_a_closing_row_of_another_boot_adds_no_time(tmp_path: Path) -> None:
    story = Story()
    closed = next(i for i, row in enumerate(story.ops) if isinstance(row, o.SegmentClosed))
    story.ops[closed] = msgspec.structs.replace(story.ops[closed], boot_id="boot-b", mono_ns=900 * HOUR)
    assert judged(story, tmp_path).wall_clock_hours == pytest.approx(39 / 60)


def test_hours_claimed_without_market_time_on_the_tape_do_not_agree(tmp_path: Path) -> None:
    story = Story(config=config(min_run_hours=1))
    story.ops[-3] = msgspec.structs.replace(story.ops[-3], mono_ns=story.ops[-3].mono_ns + HOUR)  # type: ignore[attr-defined]
    found = judged(story, tmp_path)
    assert found.wall_clock_hours == pytest.approx(1 + 40 / 60)
    assert unmet(found) == {"clock_agreement"}
    assert found.verdict is Verdict.FAIL


def test_a_host_that_slept_cannot_pass_and_its_sleep_does_not_count(tmp_path: Path) -> None:
    story = Story()
    story.ops.insert(-3, o.HostSlept(HOST + 20 * MINUTE, 120.0))
    found = judged(story, tmp_path)
    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.wall_clock_hours == pytest.approx(38 / 60)


def test_too_few_entries_fail_in_a_market_that_moves(tmp_path: Path) -> None:
    found = judged(Story(config=config(min_entries=100)), tmp_path)
    assert (found.verdict, unmet(found)) == (Verdict.FAIL, {"entries"})
    assert "symbol_cooldown 1" in found.causes[0].why.en


def test_too_few_entries_are_inconclusive_in_a_market_the_tape_calls_quiet(tmp_path: Path) -> None:
    found = judged(Story(config=config(min_entries=100, quiet_atr_pct=50)), tmp_path)
    assert (found.verdict, found.quiet) == (Verdict.INCONCLUSIVE, True)


def test_a_quiet_market_does_not_excuse_an_error(tmp_path: Path) -> None:
    story = Story(config=config(min_entries=100, quiet_atr_pct=50))
    story.ops.insert(3, o.Incident(HOST, o.Severity.ERROR, "engine", "boom", ""))
    assert judged(story, tmp_path).verdict is Verdict.FAIL


def test_a_run_that_was_interrupted_is_inconclusive(tmp_path: Path) -> None:
    story = Story(config=config(min_run_hours=12))
    story.ops[-1] = o.RunFinished(HOST, "interrupted")
    found = judged(story, tmp_path)
    assert (found.verdict, unmet(found)) == (Verdict.INCONCLUSIVE, {"run_hours"})


def test_a_run_that_was_never_decided_again_is_inconclusive_and_a_difference_fails(tmp_path: Path) -> None:
    run_dir = Story().write(tmp_path / "run")
    assert judge(run_dir).verdict is Verdict.INCONCLUSIVE
    found = judge(run_dir, Replay(ok=False, rows=9, message="row 9 differs"))
    assert found.verdict is Verdict.FAIL
    assert "row 9 differs" in found.causes[0].why.en


def test_a_block_share_at_its_limit_fails(tmp_path: Path) -> None:
    story = Story(config=config(max_budget_block_pct=50))
    for second in (1530, 1560):
        story.refuse(second, ev.Reason.PORTFOLIO_BUDGET)
    story.rows.sort(key=lambda row: row.ts_ns)
    found = judged(story, tmp_path)
    assert found.counts.block_pct == 50.0
    assert "budget_block_pct" in unmet(found)


def test_block_spam_has_limits(tmp_path: Path) -> None:
    story = Story(config=config(max_refusal_streak=2, max_refusals_per_hour_per_symbol=2))
    for second in (1530, 1560):
        story.refuse(second, ev.Reason.SPREAD)
    story.rows.sort(key=lambda row: row.ts_ns)
    found = judged(story, tmp_path)
    assert (found.counts.longest_refusal_streak, found.counts.max_refusals_per_hour_per_symbol) == (3, 3)
    assert {"refusal_streak", "refusals_per_hour"} <= unmet(found)


def test_an_entry_order_that_expired_unfilled_is_no_entry(tmp_path: Path) -> None:
    story = Story()
    fill = next(i for i, row in enumerate(story.rows) if isinstance(row, ev.OrderFilled))
    story.rows[fill : fill + 2] = [ev.OrderExpired(story.rows[fill].ts_ns, 1, SYMBOL, 0)]
    found = judged(story, tmp_path)
    assert (found.counts.entries, found.counts.entries_requested, found.counts.entries_unfilled) == (1, 2, 1)


def test_an_expiry_that_forgets_a_fill_is_found(tmp_path: Path) -> None:
    story = Story()
    request = next(row for row in story.rows if isinstance(row, ev.OrderRequested))
    position = next(i for i, row in enumerate(story.rows) if isinstance(row, ev.PositionOpened))
    story.change(ev.OrderRequested, 0, qty=request.qty + ONE // 1000)
    story.rows.insert(position + 1, ev.OrderExpired(request.ts_ns + SECOND, request.order_id, SYMBOL, 0))
    assert "orders" in unmet(judged(story, tmp_path))


def test_the_longest_time_without_an_entry_is_explained(tmp_path: Path) -> None:
    gap = judged(Story(), tmp_path).gap
    assert (gap.to_ns - gap.from_ns) // MINUTE == 19
    assert [(count.code, count.count) for count in gap.refused] == [("symbol_cooldown", 1)]
    assert (gap.signals, gap.release) == (1, "time")


def test_a_threshold_that_is_missing_from_the_configuration_is_not_met(tmp_path: Path) -> None:
    changed = config()
    del changed["acceptance"]["max_errors"]
    found = judged(Story(config=changed), tmp_path)
    gate = found.criterion("errors")
    assert gate is not None and gate.ok is None
    assert found.verdict is Verdict.FAIL


def test_the_summary_is_the_documented_object(tmp_path: Path) -> None:
    found = judged(Story(), tmp_path)
    summary = summary_json(found, Path("runs/x/report.html"))
    assert list(summary) == [
        "verdict", "kind", "feed", "run_id", "config_hash", "trading_hash", "code_hash", "journal_hash",
        "wall_clock_hours", "market_hours", "counts", "criteria", "causes", "report",
    ]  # fmt: skip
    assert summary["criteria"][0] == {  # type: ignore[index]
        "id": "run_hours", "threshold": 0.5, "observed": pytest.approx(2 / 3), "ok": True,
    }  # fmt: skip


def test_the_judge_shares_nothing_with_the_engine_but_the_row_decoder_and_the_scale() -> None:
    allowed = {"flowguardian.execution.events", "flowguardian.execution.money"}
    for path in PACKAGE.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module, *(f"{node.module}.{a.name}" for a in node.names)]
            for name in names:
                core = name.startswith(("flowguardian.guards", "flowguardian.execution."))
                inside = any(name == a or name.startswith(f"{a}.") for a in allowed)
                assert not core or inside, f"{path.name} imports {name}"
