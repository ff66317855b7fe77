"""The settings as JSON schema (for editors) and as a reference page (for people), both generated.

Rule: what they say comes from the fields of the settings; `python -m flowguardian.ops.settings_schema` writes
both into the current repository, and a test fails when they are out of date.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import core_schema

from flowguardian.ops.merging import plain
from flowguardian.ops.settings import Settings
from flowguardian.ops.settings_types import Block, block_of, expected, named_blocks, unit_of

SCHEMA_PATH = Path("configs/schema.json")
REFERENCE_PATH = Path("docs/reference/settings.md")


class _Numbers(GenerateJsonSchema):
    """Exact decimals are written as numbers in YAML, so the schema says number."""

    def decimal_schema(self, schema: core_schema.DecimalSchema) -> dict[str, Any]:
        names = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum"}
        bounds = {word: plain(schema[name]) for name, word in names.items() if name in schema}  # type: ignore[literal-required]
        return {"type": "number", **bounds}

    def encode_default(self, dft: Any) -> Any:
        return plain(dft) if isinstance(dft, (Decimal, tuple)) else super().encode_default(dft)


def json_schema() -> dict[str, Any]:
    """The schema editors complete and check by."""
    schema = Settings.model_json_schema(schema_generator=_Numbers)
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "FlowGuardian configuration"
    _tidy(schema)
    return schema


def _tidy(node: Any) -> None:
    """An empty block means its defaults; class names as titles tell an editor's user nothing."""
    if isinstance(node, dict):
        if isinstance(node.get("title"), str) and "$defs" not in node:
            del node["title"]
        if node.get("secret") is not None:
            del node["secret"]
        if node.get("unit") == "":
            del node["unit"]
        if node.get("type") == "object" and "properties" in node:
            node["type"] = ["object", "null"]
        for inner in node.values():
            _tidy(inner)
    elif isinstance(node, list):
        for inner in node:
            _tidy(inner)


def schema_text() -> str:
    """The schema as a file."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


_HEAD = """# Settings

Generated from `flowguardian/ops/settings.py`; do not edit.

A configuration is YAML. What it leaves out has the default below; `--set a.b=c` comes over the file. An
unknown key, a wrong type or an impossible value is refused with file, line and the nearest valid key, exit
code 2. `${NAME}` takes a value from the environment or from a UTF-8 `.env` beside the file; not set is an
error, but in `notify` it means off. Addresses of `notify` are never shown. `flowguardian config show` prints
every value with its origin, `flowguardian init` writes a commented file.

Ratios are shares of one (0.35 = 35 %), keys in % are percent, except where the description says otherwise.
"""


def reference_text() -> str:
    """The reference page: a table per section."""
    parts = [_HEAD]
    alone = [(name, field) for name, field in Settings.model_fields.items() if not _inner(field)]
    parts.append("## Top level\n\n" + _table(alone))
    for name, field in Settings.model_fields.items():
        if inner := _inner(field):
            parts += _sections(f"{name}.<name>" if named_blocks(field.annotation) else name, field, inner)
    parts.append(_strategies())
    return "\n".join(parts)


def _inner(field: FieldInfo) -> type[Block] | None:
    return block_of(field.annotation) or named_blocks(field.annotation)


def _sections(name: str, field: FieldInfo, block: type[Block]) -> Iterator[str]:
    fields = [(key, inner) for key, inner in block.model_fields.items() if _inner(inner) is None]
    table = f"\n{_table(fields)}" if fields else ""
    yield f"## `{name}`\n\n{field.description}\n{table}"
    for key, inner in block.model_fields.items():
        if below := _inner(inner):
            yield from _sections(f"{name}.{key}", inner, below)


def _table(fields: list[tuple[str, FieldInfo]]) -> str:
    rows = ["| key | default | unit | takes | what |", "|---|---|---|---|---|"]
    for key, field in fields:
        default = value_text(plain(field.get_default(call_default_factory=True)))
        cells = (f"`{key}`", f"`{default}`", unit_of(field), expected(field), str(field.description))
        rows.append(_row(cells))
    return "\n".join(rows) + "\n"


def _row(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _strategies() -> str:
    from flowguardian.strategies import STRATEGIES

    parts = ["## `strategies.<name>.params`\n"]
    for name, strategy in sorted(STRATEGIES.items()):
        rows = [f"### {name}\n", "| key | default | takes | what |", "|---|---|---|---|"]
        rows += [
            _row((f"`{key}`", f"`{value_text(plain(param.default))}`", param.expected, param.what))
            for key, param in strategy.params.items()
        ]
        parts.append("\n".join(rows) + "\n")
    return "\n".join(parts)


def value_text(value: Any) -> str:
    """A value as one line of YAML."""
    if isinstance(value, bool) or value is None:
        return json.dumps(value)
    if isinstance(value, (int, float)):
        return f"{Decimal(repr(value)):f}"
    if isinstance(value, list):
        return f"[{', '.join(value_text(item) for item in value)}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {value_text(item)}" for key, item in value.items()) + "}"
    # An empty text written as nothing would be null.
    return str(value) or '""'


def write(root: Path) -> None:
    """Write both files below the root of a repository."""
    for path, text in ((SCHEMA_PATH, schema_text()), (REFERENCE_PATH, reference_text())):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    write(Path.cwd())
