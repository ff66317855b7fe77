"""`notify test` and `notify status`: what arrived is said by channel, and no address is ever printed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flowguardian.cli import app, output
from flowguardian.notify.outbox import FILE_NAME, Kind, Limits, Message, Outbox, State
from flowguardian.notify.plan import Plan, keep
from flowguardian.ops.registry import STATE_DIRECTORY
from tests.e2e.receivers import TOKEN, receiver


@pytest.fixture(autouse=True)
def _surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(STATE_DIRECTORY, str(tmp_path / "state"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("LC_ALL", "C")


def test_a_test_message_goes_to_every_channel_and_the_one_that_fails_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "my.yml"
    config.write_text("notify:\n  urls: ['${GOOD}', '${BAD}']\nrun:\n  language: ko\n", encoding="utf-8")
    with receiver() as good, receiver(status=403) as bad:
        monkeypatch.setenv("GOOD", good.url)
        monkeypatch.setenv("BAD", bad.url)
        assert app.main(["notify", "test", "--config", str(config)]) == output.EXIT_FAIL
        said = capsys.readouterr()
        assert app.main(["notify", "test", "--config", str(config), "--json"]) == output.EXIT_FAIL
        answer = json.loads(capsys.readouterr().out)
        assert [got.title for got in good.got] == ["FlowGuardian: 시험 메시지"] * 2
        assert "KST" in good.got[0].text
    assert "1 json: 보냄" in said.out and "2 json: 보내지 못함" in said.out
    assert answer["1 json"] == {"sent": True, "why": ""} and not answer["2 json"]["sent"]
    assert TOKEN not in said.out + said.err + repr(answer)


def test_without_a_channel_there_is_nothing_to_test(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "my.yml"
    config.write_text("notify:\n  urls: ['${NOT_SET}']\n", encoding="utf-8")
    assert app.main(["notify", "test", "--config", str(config)]) == output.EXIT_USAGE
    assert "no channel to test" in capsys.readouterr().err


def test_an_address_nobody_understands_is_said_without_showing_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    urls = f"notify.urls=['nosuchservice://{TOKEN}/x']"
    assert app.main(["notify", "test", "--set", urls]) == output.EXIT_FAIL
    said = capsys.readouterr()
    assert "does not understand" in said.out and TOKEN not in said.out + said.err


def test_the_status_of_a_run_counts_by_channel(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_dir = tmp_path / "run-1"
    run_dir.mkdir()
    (run_dir / "run.json").write_text("{}", encoding="utf-8")
    assert app.main(["notify", "status", str(run_dir)]) == 0
    assert "nothing was to be told" in capsys.readouterr().out
    box = Outbox(run_dir / FILE_NAME, ["1 json"], Limits(10, 600.0, 300.0))
    box.take([Message(str(n), Kind.INCIDENT, n, "t", "b") for n in range(12)])
    for state, why in ((State.SENT, ""), (State.FAILED, "error=429")):
        due = box.due("1 json", 5)
        assert due is not None
        box.sending(due, 5)
        box.settle(due, state, why=why)
    box.close()
    keep(Plan(str(run_dir), "en", (f"json://{TOKEN}/",)))
    assert app.main(["notify", "status", str(run_dir)]) == 0
    said = capsys.readouterr().out
    assert "messages are on" in said and TOKEN not in said
    assert "1 json: 1 sent, 8 waiting, 1 given up, 2 dropped" in said and "last trouble: error=429" in said
    assert app.main(["notify", "status", str(run_dir), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["channels"][0]["waiting"] == 8
