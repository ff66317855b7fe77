"""`${NAME}` in a configuration: from the environment, or from a UTF-8 .env beside the file.

Rule: a name that is not set is an error, but for notifications, where it means off. Values are never shown.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from flowguardian.ops.config_errors import ConfigError, KeyPath, Problem
from flowguardian.ops.yaml_lines import Template, scalar

NAME = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_LINE = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=(.*)")
OPTIONAL = "notify"
"""The section in which an unset name means off."""


class Unset(NamedTuple):
    """A name without a value, and the key that wanted it."""

    name: str
    path: KeyPath


class Filled(NamedTuple):
    """The tree without templates, which names went where, and what stayed off."""

    data: Any
    names: dict[KeyPath, tuple[str, ...]]
    unset: tuple[Unset, ...]


class _Off:
    """Stands where a value will be left out."""


_OFF = _Off()


def read_env_file(path: Path) -> dict[str, str]:
    """NAME=VALUE per line, `#` comments, quotes optional; a missing file is an empty one."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return {}
    except UnicodeDecodeError as error:
        raise ConfigError(Problem(str(path), "", "this file is not UTF-8: save it as UTF-8")) from error
    except OSError as error:
        raise ConfigError(Problem(str(path), "", f"this file cannot be read: {error.strerror}")) from error
    values: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        found = _LINE.fullmatch(line)
        if found is None:
            raise ConfigError(Problem(f"{path}:{number}", "", "expected NAME=VALUE, or # before a comment"))
        values[found[1]] = _unquoted(found[2].strip())
    return values


def _unquoted(value: str) -> str:
    if len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'":
        return value[1:-1]
    return value.split(" #", 1)[0].rstrip()


def _malformed(text: str) -> list[str]:
    """What follows a `${` that no name and brace follow: nothing could ever be set for it."""
    return [part.split("}", 1)[0] for part in NAME.sub("", text).split("${")[1:]]


def fill(data: Any, values: Mapping[str, str]) -> Filled:
    """Fill every template from `values`; an empty value counts as not set."""
    names: dict[KeyPath, tuple[str, ...]] = {}
    unset: list[Unset] = []

    def walk(value: Any, path: KeyPath) -> Any:
        if isinstance(value, Template):
            wanted = tuple(dict.fromkeys(NAME.findall(value.text)))
            missing = [name for name in wanted if not values.get(name)] + _malformed(value.text)
            names[path] = wanted
            unset.extend(Unset(name, path) for name in missing)
            if missing:
                return _OFF
            text = NAME.sub(lambda found: values[found[1]], value.text)
            return scalar(text) if value.plain else text
        if isinstance(value, dict):
            items = {key: walk(inner, (*path, key)) for key, inner in value.items()}
            return {key: inner for key, inner in items.items() if inner is not _OFF}
        if isinstance(value, list):
            walked = [walk(inner, (*path, str(index))) for index, inner in enumerate(value)]
            return [inner for inner in walked if inner is not _OFF]
        return value

    return Filled(walk(data, ()), names, tuple(unset))
