"""The sentences of the checks in English and Korean, by key, from `locale/checks.*.toml`.

Rule: both languages hold the same keys with the same placeholders. Commands, paths, codes and keys of
settings stay as they are.
"""

from __future__ import annotations

import functools
import tomllib
from importlib.resources import files

from flowguardian.ops.words import Words


@functools.cache
def sentences(language: str, table: str = "text") -> dict[str, str]:
    """The catalogue of a language."""
    path = files("flowguardian.ops").joinpath("locale", f"checks.{language}.toml")
    found: dict[str, str] = tomllib.loads(path.read_text(encoding="utf-8"))[table]
    return found


def words(key: str, /, **values: object) -> Words:
    """A sentence in both languages, its values filled in; an unknown key is a defect and raises KeyError."""
    return Words(sentences("en")[key].format(**values), sentences("ko")[key].format(**values))


def is_sentence(key: str) -> bool:
    """Whether the catalogue has a key."""
    return key in sentences("en")


def item_text(item: str, language: str) -> str:
    """An item for people: in Korean with its English name behind it."""
    if language != "ko":
        return item
    labels = sentences("ko", "item")
    # `container NAME` and `server NAME` share the label of their kind.
    label = labels.get(item) or labels.get(item.partition(" ")[0], "")
    return f"{label} ({item})" if label else item
