"""Writes a first configuration: every key with its default and what it means, and the schema editors use.

Rule: the written file loads to exactly the defaults; it never replaces a file unless told to.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo

from flowguardian.ops.config_errors import ConfigError, Problem
from flowguardian.ops.loading import load
from flowguardian.ops.settings import Settings
from flowguardian.ops.settings_schema import schema_text, value_text
from flowguardian.ops.settings_types import Block, block_of, expected, named_blocks, unit_of
from flowguardian.ops.strategy_settings import HOLD, strategy_of

SCHEMA_NAME = "flowguardian.schema.json"
_WIDTH = 100

_HEAD = """# FlowGuardian configuration. Every key stands here with its default; what is left out has it too.
# `flowguardian config show --config THIS_FILE` prints the effective values and where each came from.
# ${NAME} takes a value from the environment, or from a file .env beside this one.
"""


def config_text(schema: str = SCHEMA_NAME) -> str:
    """The commented file; `schema` is the path of the JSON schema, as seen from the file."""
    tree = load(None, env={}).effective
    lines = [f"# yaml-language-server: $schema={schema}", *_HEAD.splitlines()]
    lines += _block(Settings, tree, 0)
    return "\n".join(lines) + "\n"


def write_config(path: Path, *, force: bool = False) -> tuple[Path, Path]:
    """Write the file and, beside it, its schema; raises ConfigError when one of them cannot be written."""
    schema = path.parent / SCHEMA_NAME
    if path.exists() and not force:
        raise ConfigError(
            Problem(str(path), "", "this file exists: choose another name, or replace it with --force")
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(config_text(), encoding="utf-8", newline="\n")
        schema.write_text(schema_text(), encoding="utf-8", newline="\n")
    except OSError as error:
        raise ConfigError(Problem(str(path), "", f"this file cannot be written: {error.strerror}")) from error
    return path, schema


def _block(block: type[Block], tree: Mapping[str, Any], depth: int) -> Iterator[str]:
    for name, field in block.model_fields.items():
        inner, named = block_of(field.annotation), named_blocks(field.annotation)
        if depth == 0:
            yield ""
        if inner is None and named is None:
            yield from _key(name, field, tree[name], depth)
            continue
        yield from _comment(str(field.description), depth)
        yield f"{'  ' * depth}{name}:"
        if inner is not None:
            yield from _block(inner, tree[name], depth + 1)
        elif named is not None:
            for key, below in tree[name].items():
                yield f"{'  ' * (depth + 1)}{key}:"
                yield from _strategy(key, named, below, depth + 2)


def _strategy(name: str, block: type[Block], tree: Mapping[str, Any], depth: int) -> Iterator[str]:
    strategy = strategy_of(name)
    for key, field in block.model_fields.items():
        if key != "params":
            yield from _key(key, field, tree[key], depth)
    yield from _comment("The strategy's own parameters.", depth)
    yield f"{'  ' * depth}params:"
    for key, param in strategy.params.items():
        if key != HOLD:
            yield from _line(key, tree["params"][key], f"{param.what} ({param.expected})", depth + 1)


def _key(name: str, field: FieldInfo, value: Any, depth: int) -> Iterator[str]:
    unit = unit_of(field)
    takes = expected(field)
    hint = f"{unit}; {takes}" if unit else takes
    yield from _line(name, value, f"{field.description} ({hint})", depth)


def _line(name: str, value: Any, text: str, depth: int) -> Iterator[str]:
    line = f"{'  ' * depth}{name}: {value_text(value)}"
    if len(line) + len(text) + 4 <= _WIDTH:
        yield f"{line}  # {text}"
    else:
        yield from _comment(text, depth)
        yield line


def _comment(text: str, depth: int) -> Iterator[str]:
    indent = "  " * depth + "# "
    yield from textwrap.wrap(text, _WIDTH, initial_indent=indent, subsequent_indent=indent)
