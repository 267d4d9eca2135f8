"""JSON bodies: equal ones are read as equal, and every field is named, held against a reader and a walker of the standard's."""

from __future__ import annotations

import json
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from darktime.split.compare.differ import MOST_DIFFERENCES, MOST_NODES, differences
from darktime.split.compare.difference import CHANGED, EXTRA, LENGTH, MISSING, ORDER, TYPE, Found
from darktime.split.compare.field_path import MAX_PATH, step
from darktime.split.compare.json_body import MAX_DEPTH, NotJson, canonical, leaves, read_json

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.integers(-3, 3),
    st.sampled_from([-0.0, 0.0, 1.0, 1.5, 1e16, 2.0**53, 1e300, -1e-7]),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=4),
)
KEYS = st.one_of(st.sampled_from(["a", "b", "id", "at", "x y", "12", ""]), st.text(max_size=3))
VALUES = st.recursive(
    SCALARS, lambda part: st.one_of(st.lists(part, max_size=4), st.dictionaries(KEYS, part, max_size=4)), max_leaves=12
)


def same(one: Any, other: Any) -> bool:
    """The oracle: two values as the standard library reads them, compared by walking both."""
    if isinstance(one, bool) or isinstance(other, bool) or one is None or other is None:
        return one is other
    if isinstance(one, int | float) and isinstance(other, int | float):
        return one == other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(same(*pair) for pair in zip(one, other, strict=True))
    return type(one) is type(other) and one == other


def walked(value: Any, path: str = "") -> list[tuple[str, Any]]:
    """The oracle of the leaves."""
    if isinstance(value, dict) and value:
        return [
            leaf for key, part in value.items() for leaf in walked(part, f"{path}.{step(key)}" if path else step(key))
        ]
    if isinstance(value, list) and value:
        return [leaf for part in value for leaf in walked(part, path + "[]")]
    return [(path, value)]


def read(value: Any, **how: Any) -> Any:
    return read_json(json.dumps(value, **how).encode())


def kinds(one: Any, other: Any, **how: Any) -> set[tuple[str, str]]:
    return {(found.path, found.kind) for found in differences(read(one), read(other), **how).differences}


@given(VALUES, VALUES)
def test_two_bodies_have_no_difference_exactly_when_the_oracle_finds_none(one: Any, other: Any) -> None:
    for second in (one, other):
        found = differences(read(one), read(second, sort_keys=True, indent=2))
        assert bool(found.differences) is not same(one, second)
        assert not found.cut


@given(VALUES)
def test_the_leaves_are_those_of_a_plain_walk_and_differ_by_no_key_order(value: Any) -> None:
    assert [(path, canonical(leaf)) for path, leaf in leaves(read(value))] == [
        (path, canonical(read(leaf))) for path, leaf in walked(value)
    ]


@given(VALUES, VALUES)
def test_a_changed_leaf_is_named_by_its_path(one: Any, other: Any) -> None:
    body = {"before": 1, "list": [{"field": one}], "behind": 2}
    found = kinds(body, {**body, "list": [{"field": other}]})
    assert all(path.startswith("list[].field") for path, _ in found)
    assert bool(found) is not same(one, other)


@pytest.mark.parametrize(
    ("one", "other", "found"),
    [
        ({"a": 1}, {"a": 2}, {("a", CHANGED)}),
        ({"a": 1}, {"a": "1"}, {("a", TYPE)}),
        ({"a": 1}, {"a": True}, {("a", TYPE)}),
        ({"a": {"b": 1}}, {"a": None}, {("a", TYPE)}),
        ({"a": 1, "b": {"c": 2}}, {"a": 1}, {("b", MISSING)}),
        ({}, {"b": {"c": 2}}, {("b", EXTRA)}),
        ({"a": [1, 2, 3]}, {"a": [3, 2, 1]}, {("a[]", ORDER)}),
        ({"a": [1, 2, 3]}, {"a": [0, 1, 2, 3]}, {("a[]", LENGTH)}),
        ({"a": [1, 2]}, {"a": [2, 3, 4]}, {("a[]", LENGTH), ("a[]", CHANGED)}),
        ([[1, 2], [3]], [[1], [2, 3]], {("[][]", LENGTH)}),
        ([{"p": 1}, {}], [{}, {"p": 1}], {("[]", ORDER)}),
        (1, 2, {("(body)", CHANGED)}),
        ([], {}, {("(body)", TYPE)}),
        ({"u": {"17": 1, "18": 2}}, {"u": {"17": 1, "19": 2}}, {("u.{id}", MISSING), ("u.{id}", EXTRA)}),
        ({"a b": 1}, {"a b": 2}, {('"a b"', CHANGED)}),
    ],
    ids=lambda value: str(sorted(value) if isinstance(value, set) else value),
)
def test_each_kind_of_difference_is_told_from_the_others(one: Any, other: Any, found: set[tuple[str, str]]) -> None:
    assert kinds(one, other) == found


def test_elements_with_an_id_are_compared_by_it_whatever_stands_before_them_and_changes_in_all() -> None:
    posts = [{"id": number, "text": f"t{number}", "token": f"a{number}"} for number in range(9)]
    fresh = [{**post, "token": f"b{post['id']}"} for post in posts]
    assert kinds({"posts": posts}, {"posts": [{"id": 99, "text": "", "token": ""}, *fresh]}) == {
        ("posts[]", LENGTH),
        ("posts[].token", CHANGED),
    }
    assert kinds({"posts": posts}, {"posts": fresh[::-1]}) == {("posts[]", ORDER), ("posts[].token", CHANGED)}
    assert kinds({"posts": posts}, {"posts": [*posts[:-1], {**posts[-1], "id": 77}]}) == {("posts[].id", CHANGED)}


def test_of_a_list_whose_order_does_not_count_only_the_elements_are_compared_and_each_as_a_whole() -> None:
    one = {"tags": [{"n": 1, "p": 5}, {"n": 2, "p": 6}]}
    free = {"unordered": lambda path: path == "tags[]"}
    assert kinds(one, {"tags": one["tags"][::-1]}, **free) == set()
    assert kinds(one, {"tags": [{"n": 2, "p": 5}, {"n": 1, "p": 6}]}, **free) == {("tags[].p", CHANGED)}
    assert kinds(one, {"tags": one["tags"][:1]}, **free) == {("tags[]", LENGTH)}


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"\xff", b"NaN", b'"\\ud800"', b"[" * 300 + b"]" * 300, b"[" * 100_000], ids=range(7)
)
def test_what_is_no_json_is_called_so(raw: bytes) -> None:
    with pytest.raises(NotJson):
        read_json(raw)


def nested(depth: int, end: Any) -> Any:
    value = end
    for _ in range(depth):
        value = {"d": value}
    return value


def test_a_body_that_is_too_deep_too_wide_or_differs_everywhere_stays_within_its_bounds() -> None:
    deep = differences(nested(200, 1), nested(200, 2))
    assert [one.path.count("d") for one in deep.differences] == [MAX_DEPTH]
    assert differences(nested(200, 1), nested(200, 1)) == Found()
    assert differences(nested(200, 1), nested(200, True)).differences
    wide = differences({f"k{one}": 1 for one in range(MOST_NODES)}, {f"k{one}": 1 for one in range(MOST_NODES)})
    assert wide.cut
    names = ["".join(pair) for pair in product("abcdefghijklmnopqrstuvwxyz", repeat=2)]
    everywhere = differences(dict.fromkeys(names, 1), dict.fromkeys(names, 2))
    assert everywhere.cut
    assert len(everywhere.differences) == MOST_DIFFERENCES
    assert len(leaves(list(range(100)), most=7)) == 7


def test_names_of_fields_are_bounded_however_long_and_deep_they_are() -> None:
    body: Any = 1
    for _ in range(15):
        body = {"\u00e9" * 50: [body]}
    ((path, leaf),) = leaves(body)
    assert (len(path) <= MAX_PATH, path[-1], leaf) == (True, "…", 1)
    (found,) = differences(body, json.loads(json.dumps(body).replace("1]", "2]"))).differences
    assert found.path == path
    assert step("x" * 65) == step("6f1c9a52e0b4417f") == step("2026") == "{id}"
