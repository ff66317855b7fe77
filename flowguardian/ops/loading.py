"""The one way into the settings: defaults, file, `--set`, in this order, each over the one before.

Rule: whatever is wrong is a ConfigError that says where; whatever is loaded is complete, and says where each
value came from.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from flowguardian.ops.config_errors import ConfigError, KeyPath, Problem, problems_of
from flowguardian.ops.environment import OPTIONAL, Unset, fill, read_env_file
from flowguardian.ops.limits import Shadow, describe, shadowed_limits
from flowguardian.ops.merging import HIDDEN, canonical, deep_merge, digest, leaves, plain
from flowguardian.ops.settings import TRADING, Settings
from flowguardian.ops.strategy_settings import resolve_strategies
from flowguardian.ops.yaml_lines import read, read_value

__all__ = ["HIDDEN", "ConfigError", "Loaded", "Problem", "canonical", "deep_merge", "load", "settings_from"]

DEFAULT, SET = "default", "--set"
ENV_FILE = ".env"
SENDER, EXTRA = "apprise", "'flowguardian[notify]'"
"""The library that sends messages, and the extra that brings it."""


@dataclass(frozen=True)
class Loaded:
    """Settings, and what a report says about them. `effective` is complete and in JSON types."""

    settings: Settings
    path: Path | None
    effective: dict[str, Any]
    origins: dict[str, str]
    """Per dotted key: "default", "file:LINE", "--set" or "env NAME"."""
    config_hash: str
    trading_hash: str
    shadows: tuple[Shadow, ...]
    warnings: tuple[str, ...]


def load(path: Path | None, overrides: Sequence[str] = (), env: Mapping[str, str] | None = None) -> Loaded:
    """Load a configuration (without a path: the defaults); raises ConfigError with all that is wrong."""
    layers = _Layers(path)
    for override in overrides:
        layers.set(override)
    layers.fill(os.environ if env is None else env)
    settings = layers.validate(layers.data)
    resolved, wrong = resolve_strategies(settings)
    if wrong:
        raise ConfigError(*(problem._replace(where=layers.where(key)) for key, problem in wrong))
    settings = layers.validate(deep_merge(layers.data, resolved))
    effective = plain(settings)
    shadows = shadowed_limits(settings)
    return Loaded(
        settings=settings,
        path=path,
        effective=effective,
        origins={".".join(key): layers.origin(key) for key, _ in leaves(effective)},
        config_hash=digest(effective),
        trading_hash=trading_hash(settings, effective),
        shadows=shadows,
        warnings=(*layers.warnings(), *(describe(shadow) for shadow in shadows)),
    )


def settings_from(effective: Mapping[str, Any] | bytes | str) -> Settings:
    """The settings of a recorded run, from the effective configuration (or its JSON) in its first row.

    Notifications stay off and stores are without address: their addresses are never recorded.
    """
    tree = effective if isinstance(effective, Mapping) else json.loads(effective)
    return Settings.model_validate(_known({key: value for key, value in tree.items() if key != OPTIONAL}))


def _known(tree: Mapping[str, Any]) -> dict[str, Any]:
    """A recorded tree without the values that were hidden when it was written."""
    return {
        key: _known(value) if isinstance(value, Mapping) else value
        for key, value in tree.items()
        if value != HIDDEN
    }


def trading_hash(settings: Settings, effective: Mapping[str, Any]) -> str:
    """The hash of what decides trades alone; a strategy from a file counts with its text."""
    parts = {key: effective[key] for key in TRADING}
    parts["strategies"] = {name: effective["strategies"][name] for name in settings.active}
    files = {
        name: hashlib.sha256(Path(name).read_bytes()).hexdigest()
        for name in settings.active
        if name.endswith(".py")
    }
    return digest({**parts, "strategy_files": files})


class _Layers:
    """The merged tree while it grows, and where each of its values stands."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._lines: dict[KeyPath, int] = {}
        self._sets: dict[KeyPath, str] = {}
        self._names: dict[KeyPath, tuple[str, ...]] = {}
        self._off: tuple[Unset, ...] = ()
        self.data: dict[str, Any] = {}
        if path is not None:
            self.data, self._lines = read(_read_text(path), str(path))

    def set(self, override: str) -> None:
        """Lay `a.b=value` over the tree."""
        where = f"--set {override.partition('=')[0]}"
        name, equals, text = override.partition("=")
        keys = tuple(part.strip() for part in name.split("."))
        if not equals or not all(keys):
            raise ConfigError(
                Problem(f"--set {override}", "", "expected KEY=VALUE, like risk.max_positions=3")
            )
        value = read_value(text, where)
        tree: Any = value
        for key in reversed(keys):
            tree = {key: tree}
        self.data = deep_merge(self.data, tree)
        for below, _ in leaves(value, keys):
            self._sets[below] = where

    def fill(self, env: Mapping[str, str]) -> None:
        """Put the environment's values into the tree; the environment wins over the .env file."""
        beside = {} if self._path is None else read_env_file(self._path.parent / ENV_FILE)
        filled = fill(self.data, {**beside, **{name: value for name, value in env.items() if value}})
        self.data, self._names = filled.data, filled.names
        needed = [unset for unset in filled.unset if unset.path[0] != OPTIONAL]
        self._off = tuple(unset for unset in filled.unset if unset.path[0] == OPTIONAL)
        if needed:
            raise ConfigError(*(self._unset(unset) for unset in needed))

    def _unset(self, unset: Unset) -> Problem:
        what = f"${{{unset.name}}} is not set: {self._remedy(unset.name)}"
        return Problem(self.where(unset.path), ".".join(unset.path), what)

    def _remedy(self, name: str) -> str:
        beside = "" if self._path is None else f", or write {name}=... into {self._path.parent / ENV_FILE}"
        return f"set {name} in the environment{beside}"

    def validate(self, data: Mapping[str, Any]) -> Settings:
        """The settings of a tree."""
        try:
            return Settings.model_validate(data)
        except ValidationError as error:
            raise ConfigError(*problems_of(error, self.where, data, set(self._names))) from error

    def where(self, key: KeyPath) -> str:
        """The place a message names: the option or line of the key, or of the block it should be in."""
        for length in range(len(key), 0, -1):
            if (named := self._sets.get(key[:length])) is not None:
                return named
            if (line := self._lines.get(key[:length])) is not None:
                return f"{self._path}:{line}"
        return "defaults" if self._path is None else str(self._path)

    def origin(self, key: KeyPath) -> str:
        """Where a value came from."""
        names = dict.fromkeys(
            name for path in self._names if path[: len(key)] == key for name in self._names[path]
        )
        if names:
            return f"env {', '.join(names)}"
        for length in range(len(key), 0, -1):
            if key[:length] in self._sets:
                return SET
        if (line := self._lines.get(key)) is not None and self._given(key):
            return f"file:{line}"
        return DEFAULT

    def _given(self, key: KeyPath) -> bool:
        """Whether the tree really holds a value there; an empty block (null) gives none."""
        value: Any = self.data
        for part in key:
            if not isinstance(value, Mapping) or part not in value:
                return False
            value = value[part]
        return True

    def warnings(self) -> Iterator[str]:
        """One line when notifications are off for want of a name or of the library."""
        if self._off:
            names = ", ".join(dict.fromkeys(f"${{{unset.name}}}" for unset in self._off))
            first = self._off[0]
            where, key = self.where(first.path), ".".join(first.path)
            yield f"{where}: {key}: off, {names} is not set: {self._remedy(first.name)}"
        elif (self.data.get(OPTIONAL) or {}).get("urls") and find_spec(SENDER) is None:
            where = self.where((OPTIONAL, "urls"))
            yield f"{where}: {OPTIONAL}.urls: off, {SENDER} is not installed: pip install {EXTRA}"


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        why = "there is no such file: check the path, or make one with `flowguardian init`"
        raise ConfigError(Problem(str(path), "", why)) from error
    except UnicodeDecodeError as error:
        raise ConfigError(Problem(str(path), "", "this file is not UTF-8: save it as UTF-8")) from error
    except OSError as error:
        raise ConfigError(Problem(str(path), "", f"this file cannot be read: {error.strerror}")) from error
