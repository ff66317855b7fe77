"""What people are told of a run, in both languages, and what they are never told: an address, a refusal."""

from __future__ import annotations

import re
import time
from pathlib import Path

import msgspec
import pytest

from flowguardian.execution import events as ev
from flowguardian.journal import ops_events as o
from flowguardian.notify.outbox import Kind, Message
from flowguardian.notify.plan import Plan, Redactor
from flowguardian.notify.report import read_report
from flowguardian.notify.telling import NOTIFIER, Teller
from flowguardian.notify.texts import TEXTS
from tests.unit.journal_builder import Story
from tests.unit.run_files import T0

URL = "tgram://123456:AAbbCCddEEff/987654321/"
VERDICTS = re.compile(r"\b(PASS|FAIL|INCONCLUSIVE)\b")


def teller(language: str = "en", **changes: object) -> Teller:
    plan = msgspec.structs.replace(Plan("run-1", language, (URL,)), **changes)  # type: ignore[arg-type]
    return Teller("run-1", plan, Redactor(plan.urls))


def of_ops(row: o.OpsRow, **changes: object) -> Message | None:
    return teller(**changes).of_ops(3, row)  # type: ignore[arg-type]


def incident(severity: str = "ERROR", source: str = "engine", what: str = "order 7 lost") -> o.Incident:
    return o.Incident(T0, o.Severity(severity), source, what, f"it said {URL} and AAbbCCddEEff")


@pytest.mark.parametrize("language", ["en", "ko"])
def test_a_run_tells_its_start_and_its_named_checkpoints_and_none_of_its_refusals(language: str) -> None:
    story, told = Story(), teller(language)
    found = {}
    for seq, row in enumerate(story.rows, 1):
        message = told.of_row(seq, row)
        if message is not None:
            found[seq] = (type(row), message)
    assert {kind for kind, _ in found.values()} <= {ev.RunStarted, ev.CheckpointTaken, ev.TradingStateChanged}
    named = [row for row in story.rows if isinstance(row, ev.CheckpointTaken)]
    assert told.of_row(1, msgspec.structs.replace(named[0], name="E15")) is None, "evidence, not news"
    checkpoints = [message for kind, message in found.values() if kind is ev.CheckpointTaken]
    assert len(checkpoints) == len(named) > 2
    last = checkpoints[-1]
    assert named[-1].name in last.title and "Budget Cap Applied" in last.body
    assert f"{named[-1].equity / 1e8:,.2f} USDT" in last.body
    for _, message in found.values():
        assert " UTC (" in message.body and " KST)" in message.body, "both times"
        assert not VERDICTS.search(message.title + message.body), "no verdict before the end"
    assert not [m for m in (teller(checkpoints=False).of_row(1, row) for row in named) if m]


def test_a_refusal_is_never_a_message() -> None:
    row = ev.EntryRefused(T0, "BTCUSDT", "scalping", 1, T0, ev.Reason.SPREAD, 1.0, 2.0, "spread_falls", 0, ())
    assert teller().of_row(5, row) is None


@pytest.mark.parametrize("language", ["en", "ko"])
def test_starvation_names_the_guard_and_what_releases_it(language: str) -> None:
    row = ev.GuardStarvation(T0, ev.Reason.SYMBOL_COOLDOWN, T0 - 3600 * 10**9, 12, 12, "time")
    message = teller(language).of_row(9, row)
    assert message is not None and message.kind is Kind.STARVATION and message.urgent
    assert "symbol_cooldown" in message.body and "12" in message.body
    assert ("KST" in message.body) and ("심볼" in message.body or language == "en")


def test_an_incident_is_told_with_its_source_and_without_the_address_in_it() -> None:
    message = of_ops(incident())
    assert message is not None and message.kind is Kind.INCIDENT and message.urgent
    assert "ERROR in engine" in message.title and "order 7 lost" in message.body
    assert "AAbbCC" not in message.body and "987654321" not in message.body


def test_equal_incidents_share_a_group_and_different_ones_do_not() -> None:
    first, same, other = (of_ops(incident(what=what)) for what in ("order 7 lost", "order 8 lost", "socket"))
    assert first and same and other
    assert first.group == same.group != other.group


def test_incidents_below_the_wanted_severity_and_those_of_the_notifier_itself_are_not_told() -> None:
    assert of_ops(incident("WARNING")) is not None
    assert of_ops(incident("WARNING"), incidents="ERROR") is None
    assert of_ops(incident("CRITICAL"), incidents="ERROR") is not None
    assert of_ops(incident("ERROR", source=NOTIFIER)) is None, "or every failure to send would be sent"


def test_ends_restarts_and_sleep_are_told_and_what_was_expected_is_not() -> None:
    crashed = of_ops(o.ProcessExited(T0, "engine", 7, -9, "crashed", True, False))
    announced = of_ops(o.ProcessExited(T0, "engine", 7, -9, "crashed", True, True))
    assert crashed and crashed.kind is Kind.INCIDENT and crashed.urgent and "-9" in crashed.body
    assert announced and not announced.urgent and "announced" in announced.body
    assert of_ops(o.ProcessExited(T0, "engine", 7, 0, "finished", False, False)) is None
    assert of_ops(o.SegmentOpened(T0, 1, "b", 1, T0, 7, "first start")) is None
    assert of_ops(o.SegmentOpened(T0, 2, "b", 1, T0, 7, "slept")) is None, "the sleep itself is told"
    restart = of_ops(o.SegmentOpened(T0, 2, "b", 1, T0, 8, "restarted"))
    slept = of_ops(o.HostSlept(T0, 41.4))
    assert restart and restart.kind is Kind.RESTART
    assert slept and slept.kind is Kind.SLEEP and "41 s" in slept.body


@pytest.mark.parametrize(
    ("reason", "part"),
    [("completed", "being judged"), ("interrupted", "can go on"), ("failed_to_restart", "by itself")],
)
def test_the_end_says_whether_the_run_goes_on(reason: str, part: str) -> None:
    message = of_ops(o.RunFinished(T0, reason))
    assert message is not None and message.kind is Kind.END
    assert reason in message.title and part in message.body and not VERDICTS.search(message.body)


@pytest.mark.parametrize(("language", "why"), [("en", "too few entries"), ("ko", "진입이 적습니다")])
def test_a_verdict_has_five_figures_and_its_first_reason(tmp_path: Path, language: str, why: str) -> None:
    report = {
        "verdict": "FAIL", "kind": "rehearsal", "journal_hash": "ab", "wall_clock_hours": 12.004,
        "why": {"ko": "-", "en": "-"}, "more": 1,
        "counts": {"entries": 42, "budget_caps": 111, "block_pct": 31.12, "errors": 103, "signals": 9},
        "causes": [
            {"criterion": "entries", "why": {"ko": "진입이 적습니다", "en": "too few entries"}},
            {"criterion": "errors", "why": {"ko": "두번째", "en": "second"}},
        ],
    }  # fmt: skip
    (tmp_path / "report.json").write_bytes(msgspec.json.encode(report))
    assert read_report(tmp_path, "another journal") is None
    found = read_report(tmp_path, "ab")
    assert found is not None
    message = teller(language).verdict(found, time.time_ns())
    assert message.title.startswith("FAIL (") and "rehearsal" in message.title
    for figure in ("12.00", "42", "111", "31.1 %", "103", why):
        assert figure in message.body, figure
    assert "second" not in message.body and "두번째" not in message.body


def test_a_report_that_is_being_written_is_no_report(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text('{"verdict": "PA', encoding="utf-8")
    assert read_report(tmp_path, "ab") is None


def test_both_languages_take_the_same_values() -> None:
    for key, (english, korean) in TEXTS.items():
        assert set(re.findall(r"\{(\w+)\}", english)) == set(re.findall(r"\{(\w+)\}", korean)), key
