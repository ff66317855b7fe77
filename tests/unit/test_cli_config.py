"""`init` and `config show`: what is written loads, and what is shown is what a run would use."""

from __future__ import annotations

import json

from flowguardian.cli.app import main


def _shown(capsys, *arguments):
    assert main(["config", "show", "--json", *arguments]) == 0
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_a_written_configuration_is_shown_with_the_hash_of_the_defaults(tmp_path, capsys):
    path = tmp_path / "mine.yml"
    assert main(["init", str(path), "--json"]) == 0
    written = json.loads(capsys.readouterr().out)["written"]
    assert str(path) in written
    assert _shown(capsys, "--config", str(path))["config_hash"] == _shown(capsys)["config_hash"]


def test_a_file_that_exists_is_not_replaced_unasked(tmp_path, capsys):
    path = tmp_path / "mine.yml"
    path.write_text("risk: {max_positions: 2}\n", encoding="utf-8")
    assert main(["init", str(path)]) == 2
    assert "exists" in capsys.readouterr().err
    assert path.read_text(encoding="utf-8") == "risk: {max_positions: 2}\n"
    assert main(["init", str(path), "--force"]) == 0
    assert "max_positions" in path.read_text(encoding="utf-8")


def test_every_value_is_shown_with_its_origin(tmp_path, capsys):
    path = tmp_path / "mine.yml"
    path.write_text("risk:\n  max_positions: 2\n", encoding="utf-8")
    shown = _shown(capsys, "--config", str(path), "--set", "risk.per_trade=0.002")
    assert shown["effective"]["risk"]["max_positions"] == 2
    assert shown["origins"]["risk.max_positions"] == "file:2"
    assert shown["origins"]["risk.per_trade"] == "--set"
    assert shown["origins"]["account.equity"] == "default"


def test_limits_that_can_never_bind_are_named_with_the_tighter_one(capsys):
    shown = {row["limit"]: row for row in _shown(capsys)["shadowed"]}
    assert shown["portfolio.max_strategy_positions"] == {
        "limit": "portfolio.max_strategy_positions", "value": 5, "by": "risk.max_positions", "effective": 3,
    }  # fmt: skip
    assert main(["config", "show", "--lang", "en"]) == 0
    text = capsys.readouterr().out
    assert "Limits that can never bind" in text
    assert "position_sizing.max_position_notional (15,000) can never bind" in text


def test_an_unknown_key_is_exit_code_2_with_the_nearest_key(capsys):
    assert main(["config", "show", "--set", "risk.max_positons=3"]) == 2
    said = capsys.readouterr().err
    assert "--> --set risk.max_positons" in said
    assert "did you mean risk.max_positions?" in said
