"""Trees of settings: merging, flattening, a canonical form to hash.

Rule: a merge never loses what the upper tree does not name; a list is one value and replaces the other.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from pydantic import BaseModel

from flowguardian.ops.config_errors import KeyPath
from flowguardian.ops.settings_types import is_secret

HIDDEN = "***"
"""Stands for a secret wherever a configuration is shown, stored or hashed."""


def deep_merge(base: Mapping[str, Any], upper: Mapping[str, Any]) -> dict[str, Any]:
    """`upper` over `base`, block by block; an empty block (null) in `upper` leaves that of `base` alone."""
    merged = {key: _copy(value) for key, value in base.items()}
    for key, value in upper.items():
        below = merged.get(key)
        if isinstance(below, dict) and isinstance(value, Mapping):
            merged[key] = deep_merge(below, value)
        elif not (isinstance(below, dict) and value is None):
            merged[key] = _copy(value)
    return merged


def _copy(value: Any) -> Any:
    return {key: _copy(inner) for key, inner in value.items()} if isinstance(value, Mapping) else value


def leaves(tree: Any, path: KeyPath = ()) -> Iterator[tuple[KeyPath, Any]]:
    """Every value that is not a block with keys in it; a list is one value."""
    if isinstance(tree, Mapping) and (tree or not path):
        for key, value in tree.items():
            yield from leaves(value, (*path, str(key)))
    else:
        yield path, tree


def plain(value: Any) -> Any:
    """A settings tree as JSON types, secrets hidden; equal settings give equal trees."""
    if isinstance(value, BaseModel):
        return {
            name: HIDDEN if is_secret(field) and getattr(value, name) else plain(getattr(value, name))
            for name, field in type(value).model_fields.items()
        }
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    if isinstance(value, (Decimal, float)) and not isinstance(value, bool):
        # Settings have at most 15 digits, so the float prints exactly the digits it came from.
        return int(value) if value == int(value) else float(value)
    return value


def canonical(tree: Mapping[str, Any]) -> bytes:
    """One text for equal trees: sorted keys, no spaces, UTF-8."""
    return json.dumps(
        tree, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode()


def digest(tree: Mapping[str, Any]) -> str:
    """sha256 of the canonical form."""
    return hashlib.sha256(canonical(tree)).hexdigest()
