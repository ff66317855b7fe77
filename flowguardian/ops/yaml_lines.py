"""Reads YAML and keeps the line of every key.

Rule: a scalar means what it looks like: `true` and `false` are the only booleans, a number is an exact
decimal, everything else is text (`no`, `on`, `12:30`, dates too), as quotes make of anything.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any, NamedTuple

import yaml

from flowguardian.ops.config_errors import ConfigError, KeyPath, Problem

_INT = re.compile(r"[-+]?[0-9](?:_?[0-9])*")
_FLOAT = re.compile(r"[-+]?(?:[0-9](?:_?[0-9])*\.?|\.[0-9])[0-9]*(?:[eE][-+]?[0-9]{1,3})?")
_WORDS: dict[str, Any] = {"": None, "~": None, "null": None, "true": True, "false": False}
_NOT_FINITE = {sign + word for sign in ("", "+", "-") for word in (".nan", ".inf", "nan", "inf")}
_DEEPEST = 32
_LONGEST_INT = 40
"""Python does not read whole numbers of thousands of digits; long ones become decimals, refused later."""


class Template(NamedTuple):
    """A text with `${NAME}` in it; a plain one (not quoted) is read again after the name is filled in."""

    text: str
    plain: bool


class Document(NamedTuple):
    """The tree, and the line of every key and list item in it (first line = 1)."""

    data: dict[str, Any]
    lines: dict[KeyPath, int]


class _Texts(yaml.SafeLoader):
    """Leaves every scalar as its text."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012


def scalar(text: str) -> Any:
    """What an unquoted scalar means."""
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    if _INT.fullmatch(text) and len(text) <= _LONGEST_INT:
        return int(text)
    if _FLOAT.fullmatch(text) or text.lower() in _NOT_FINITE:
        return Decimal(text.replace("_", "").lower().replace(".inf", "inf").replace(".nan", "nan"))
    return text


def read(text: str, name: str) -> Document:
    """The mapping in a text; raises ConfigError with `name` and line for anything else."""
    node = _compose(text, name)
    lines: dict[KeyPath, int] = {}
    data = {} if node is None else _build(node, (), lines, name)
    if data is None:
        data = {}
    if not isinstance(data, dict):
        raise ConfigError(Problem(f"{name}:1", "", "expected keys and values, like `risk:`"))
    return Document(data, lines)


def read_value(text: str, name: str) -> Any:
    """One value, as it could stand behind a key."""
    node = _compose(text, name)
    return None if node is None else _build(node, (), {}, name)


def _compose(text: str, name: str) -> yaml.Node | None:
    try:
        return yaml.compose(text, Loader=_Texts)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        why = " ".join(part for part in (error.context, error.problem) if part)
        raise ConfigError(Problem(f"{name}:{line}", "", f"this is not YAML: {why}")) from error
    except yaml.YAMLError as error:
        raise ConfigError(Problem(name, "", f"this is not YAML: {error}")) from error
    except RecursionError as error:
        raise ConfigError(Problem(name, "", "this is nested too deeply to be a configuration")) from error


def _build(node: yaml.Node, path: KeyPath, lines: dict[KeyPath, int], name: str) -> Any:
    line = node.start_mark.line + 1
    if len(path) > _DEEPEST:
        raise ConfigError(
            Problem(f"{name}:{line}", ".".join(path[:4]), "this is nested too deeply to be a configuration")
        )
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, path, lines, name)
    if isinstance(node, yaml.SequenceNode):
        items = []
        for index, item in enumerate(node.value):
            lines[(*path, str(index))] = item.start_mark.line + 1
            items.append(_build(item, (*path, str(index)), lines, name))
        return items
    if not isinstance(node, yaml.ScalarNode) or node.tag != "tag:yaml.org,2002:str":
        raise ConfigError(
            Problem(f"{name}:{line}", ".".join(path), "expected a plain value", f"the tag {node.tag}")
        )
    text, plain = str(node.value), node.style is None
    if "${" in text:
        return Template(text, plain)
    return scalar(text) if plain else text


def _mapping(node: yaml.MappingNode, path: KeyPath, lines: dict[KeyPath, int], name: str) -> dict[str, Any]:
    built: dict[str, Any] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode) or not key_node.value:
            raise ConfigError(Problem(f"{name}:{line}", ".".join(path), "expected a name as key"))
        here = (*path, str(key_node.value))
        if key_node.value in built:
            first = lines[here]
            raise ConfigError(
                Problem(
                    f"{name}:{line}",
                    ".".join(here),
                    f"this key stands twice, first on line {first}: keep one",
                )
            )
        lines[here] = line
        built[key_node.value] = _build(value_node, here, lines, name)
    return built
