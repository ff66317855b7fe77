"""What is wrong with a configuration, said so that it can be put right.

Rule: every problem names its place, its key, what was expected and what was found; no secret is ever shown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, NamedTuple

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from flowguardian.ops.settings import Settings
from flowguardian.ops.settings_types import Block, block_of, expected, is_secret, named_blocks

KeyPath = tuple[str, ...]

_OUR_WORDS = ("source", "start", "speed", "order", "precision", "contradiction", "server")
"""Kinds of error whose message was written in this project and already says what was expected."""


class Problem(NamedTuple):
    """One thing to put right; `where` is file:line, an option, or the defaults."""

    where: str
    key: str
    expected: str
    found: str = ""
    nearest: str = ""

    def __str__(self) -> str:
        parts = [f"{self.where}: {self.key}: " if self.key else f"{self.where}: ", self.expected]
        if self.found:
            parts.append(f"; found {self.found}")
        if self.nearest:
            parts.append(f"; did you mean {self.nearest}?")
        return "".join(parts)


class ConfigError(Exception):
    """The configuration cannot be used; `problems` holds all that was found."""

    def __init__(self, *problems: Problem) -> None:
        self.problems = problems
        super().__init__("\n".join(str(problem) for problem in problems))


class Names(NamedTuple):
    """What a key path leads to in the schema: the valid names there, or the field of a value."""

    path: KeyPath
    known: tuple[str, ...]
    field: FieldInfo | None


def follow(location: Sequence[str | int]) -> Names:
    """Walk the schema along a location; stops at the first unknown name, or at a value (and its index)."""
    here: type[Block] | None = Settings
    field: FieldInfo | None = None
    path: KeyPath = ()
    parts = iter(location)
    for part in parts:
        if here is None:
            # Below a value only an index or a name says where; the rest is how pydantic tried to read it.
            deeper = isinstance(part, int) or (field is not None and _is_named(field))
            return Names((*path, str(part)) if deeper else path, (), field)
        if part not in here.model_fields:
            return Names((*path, str(part)), tuple(here.model_fields), None)
        field = here.model_fields[str(part)]
        path = (*path, str(part))
        here = block_of(field.annotation)
        inner = named_blocks(field.annotation)
        if inner is not None:
            name = next(parts, None)
            if name is None:
                return Names(path, (), field)
            path, here = (*path, str(name)), inner
    return Names(path, (), field)


def _is_named(field: FieldInfo) -> bool:
    return str(field.annotation).startswith("dict[")


def problems_of(
    error: ValidationError, where: Callable[[KeyPath], str], data: Mapping[str, Any], hidden: set[KeyPath]
) -> Iterator[Problem]:
    """The problems of a refused tree, one per key."""
    seen: set[KeyPath] = set()
    for detail in error.errors(include_url=False):
        context = detail.get("ctx", {})
        location = tuple(str(context["key"]).split(".")) if "key" in context else detail["loc"]
        names = follow(location)
        if names.path in seen:
            continue
        seen.add(names.path)
        key = ".".join(names.path)
        found = "***" if _is_hidden(names, hidden) else _found(data, names.path)
        if detail["type"] == "extra_forbidden":
            known = f"unknown key, expected one of {', '.join(names.known)}"
            yield Problem(where(names.path), key, known, found, nearest_key(names, data))
        elif detail["type"] in _OUR_WORDS:
            yield Problem(where(names.path), key, detail["msg"], found)
        else:
            wanted = expected(names.field) if names.field is not None else detail["msg"].lower()
            yield Problem(where(names.path), key, f"expected {wanted}", found)


def _is_hidden(names: Names, hidden: set[KeyPath]) -> bool:
    secret = names.field is not None and is_secret(names.field)
    return secret or any(names.path[: len(path)] == path for path in hidden)


def _found(data: Mapping[str, Any], path: KeyPath) -> str:
    value: Any = data
    for part in path:
        if isinstance(value, Mapping) and part in value:
            value = value[part]
        elif isinstance(value, list) and part.isdecimal() and int(part) < len(value):
            value = value[int(part)]
        else:
            return ""
    return shown(value)


def shown(value: object) -> str:
    """A value as the reader of a message knows it."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return "a block"
    if isinstance(value, (list, tuple)):
        return f"a list of {len(value)}"
    text = f"the text {value!r}" if isinstance(value, str) else str(value)
    return text if len(text) <= 80 else text[:77] + "..."


def nearest_key(names: Names, data: Mapping[str, Any]) -> str:
    """The valid key most like an unknown one: in the same block first, then by its last name anywhere."""
    *parent, last = names.path
    everywhere = sorted(known_keys(data))
    moved = [key for key in everywhere if key.rpartition(".")[2] == last]
    same = get_close_matches(last.lower(), names.known, 1, 0.85 if moved else 0.6)
    if same:
        return ".".join([*parent, same[0]])
    if moved:
        return moved[0]
    lasts = {key.rpartition(".")[2]: key for key in everywhere}
    near = get_close_matches(last.lower(), list(lasts), 1, 0.7)
    return lasts[near[0]] if near else ""


def known_keys(data: Mapping[str, Any]) -> Iterator[str]:
    """Every key of the schema; in blocks by name, for the names that `data` has."""
    yield from _keys(Settings, "", data)
    for name in _mapping(data.get("strategies")):
        for param in _params(str(name)):
            yield f"strategies.{name}.params.{param}"


def _keys(block: type[Block], prefix: str, data: Mapping[str, Any]) -> Iterator[str]:
    for name, field in block.model_fields.items():
        below = _mapping(data.get(name))
        yield prefix + name
        inner, named = block_of(field.annotation), named_blocks(field.annotation)
        if inner is not None:
            yield from _keys(inner, f"{prefix}{name}.", below)
        elif named is not None:
            for key in below:
                yield from _keys(named, f"{prefix}{name}.{key}.", _mapping(below[key]))


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _params(strategy: str) -> tuple[str, ...]:
    # Strategies bring numba with them, which only a message that needs their names should wait for.
    from flowguardian.strategies import STRATEGIES

    found = STRATEGIES.get(strategy)
    return tuple(found.params) if found is not None else ()
