"""What is generated from the settings is current, complete and usable."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from flowguardian.ops.config_errors import ConfigError, known_keys
from flowguardian.ops.init_config import SCHEMA_NAME, config_text, write_config
from flowguardian.ops.loading import load
from flowguardian.ops.settings import Settings
from flowguardian.ops.settings_schema import (
    REFERENCE_PATH,
    SCHEMA_PATH,
    json_schema,
    reference_text,
    schema_text,
)
from flowguardian.ops.settings_types import Block, block_of, named_blocks

ROOT = Path(__file__).resolve().parents[2]
REMEDY = "run `python -m flowguardian.ops.settings_schema` in the repository"


def test_the_schema_file_is_current() -> None:
    assert (ROOT / SCHEMA_PATH).read_text(encoding="utf-8") == schema_text(), REMEDY


def test_the_reference_page_is_current() -> None:
    assert (ROOT / REFERENCE_PATH).read_text(encoding="utf-8") == reference_text(), REMEDY


def test_every_field_has_a_description() -> None:
    def check(block: type[Block]) -> None:
        for name, field in block.model_fields.items():
            assert field.description and field.description[-1] in ".;", f"{block.__name__}.{name}"
            inner = block_of(field.annotation) or named_blocks(field.annotation)
            if inner is not None:
                check(inner)

    check(Settings)


def test_the_written_configuration_loads_to_exactly_the_defaults(tmp_path: Path) -> None:
    path, schema = write_config(tmp_path / "new" / "mine.yml")
    assert load(path, env={}).effective == load(None, env={}).effective
    assert (
        path.read_text(encoding="utf-8").splitlines()[0] == f"# yaml-language-server: $schema={SCHEMA_NAME}"
    )
    assert json.loads(schema.read_text(encoding="utf-8")) == json_schema()


def test_the_written_configuration_names_every_key() -> None:
    names = {
        line.split(":")[0].strip() for line in config_text().splitlines() if not line.lstrip().startswith("#")
    }
    wanted = {key.rpartition(".")[2] for key in known_keys({"strategies": {"scalping": {}}})}
    assert wanted <= names


def test_an_existing_configuration_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "mine.yml"
    path.write_text("mine", encoding="utf-8")
    with pytest.raises(ConfigError, match="this file exists"):
        write_config(path)
    assert path.read_text(encoding="utf-8") == "mine"
    write_config(path, force=True)
    assert load(path, env={}).settings.account.equity == 50_000


def test_the_schema_takes_numbers_and_refuses_unknown_keys() -> None:
    schema = json_schema()
    fees: Any = schema["$defs"]["Fees"]
    assert fees["additionalProperties"] is False
    assert fees["properties"]["taker"]["type"] == "number"
    assert fees["properties"]["taker"]["default"] == 0.0004
    assert set(schema["properties"]) == set(Settings.model_fields)
