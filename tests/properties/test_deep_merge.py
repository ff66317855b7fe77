"""Merging trees of settings: nothing that is not named is lost."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flowguardian.ops.merging import canonical, deep_merge, leaves

KEYS = st.sampled_from(["a", "b", "c", "d"])
VALUES = st.one_of(st.integers(), st.booleans(), st.text(max_size=3), st.lists(st.integers(), max_size=3))
TREES = st.recursive(
    st.dictionaries(KEYS, VALUES, max_size=4),
    lambda inner: st.dictionaries(KEYS, st.one_of(VALUES, inner), max_size=4),
    max_leaves=20,
)
BLOCKS = st.sampled_from(["x", "y", "z"])
ALIKE = st.recursive(
    st.dictionaries(KEYS, VALUES, max_size=3),
    lambda inner: st.builds(
        lambda values, blocks: {**values, **blocks},
        st.dictionaries(KEYS, VALUES, max_size=2),
        st.dictionaries(BLOCKS, inner, max_size=2),
    ),
    max_leaves=8,
)
"""Trees in which a name is always a value or always a block, as in settings."""
CASES = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""The machine may be busy; how long a case takes says nothing here."""
Path = tuple[str, ...]


def at(tree: Any, path: Path) -> Any:
    for part in path:
        tree = tree[part]
    return tree


def named(tree: dict[str, Any], path: Path) -> bool:
    """Whether the upper tree says something about a path: a value there, or instead of a block above it."""
    for part in path:
        if not isinstance(tree, dict):
            return True
        if part not in tree:
            return False
        tree = tree[part]
    return True


@CASES
@given(TREES, TREES)
def test_every_value_of_the_upper_tree_is_in_the_result(base: dict[str, Any], upper: dict[str, Any]) -> None:
    merged = deep_merge(base, upper)
    for path, value in leaves(upper):
        if path and value != {}:
            assert at(merged, path) == value


@CASES
@given(TREES, TREES)
def test_what_the_upper_tree_does_not_name_stays(base: dict[str, Any], upper: dict[str, Any]) -> None:
    merged = deep_merge(base, upper)
    for path, value in leaves(base):
        if path and not named(upper, path):
            assert at(merged, path) == value


@CASES
@given(TREES, TREES)
def test_nothing_comes_from_nowhere(base: dict[str, Any], upper: dict[str, Any]) -> None:
    known = [*leaves(base), *leaves(upper)]
    for leaf in leaves(deep_merge(base, upper)):
        assert leaf in known


@CASES
@given(TREES)
def test_an_empty_tree_changes_nothing(tree: dict[str, Any]) -> None:
    assert deep_merge(tree, {}) == tree
    assert deep_merge({}, tree) == tree
    assert deep_merge(tree, tree) == tree


@CASES
@given(TREES)
def test_an_empty_block_does_not_make_a_block_vanish(tree: dict[str, Any]) -> None:
    blocks = {key: None for key, value in tree.items() if isinstance(value, dict)}
    assert deep_merge(tree, blocks) == tree
    assert deep_merge(tree, {key: {} for key in blocks}) == tree


@CASES
@given(ALIKE, ALIKE, ALIKE)
def test_layers_may_be_merged_in_any_grouping(
    one: dict[str, Any], two: dict[str, Any], three: dict[str, Any]
) -> None:
    assert deep_merge(deep_merge(one, two), three) == deep_merge(one, deep_merge(two, three))


@CASES
@given(TREES, TREES)
def test_merging_changes_neither_tree(base: dict[str, Any], upper: dict[str, Any]) -> None:
    before = copy.deepcopy((base, upper))
    merged = deep_merge(base, upper)
    for value in merged.values():
        if isinstance(value, dict):
            value["new"] = 1
    assert (base, upper) == before


@CASES
@given(TREES)
def test_the_canonical_form_does_not_depend_on_the_order_of_keys(tree: dict[str, Any]) -> None:
    turned = dict(reversed(tree.items()))
    assert canonical(turned) == canonical(tree)


def test_a_list_is_one_value() -> None:
    assert deep_merge({"a": [1, 2, 3]}, {"a": [4]}) == {"a": [4]}
