"""Rules of what is not compared: what they cover, and that nothing is read into one that is not there."""

from __future__ import annotations

from typing import Any

import pytest

from darktime.errors import UsageError
from darktime.split.compare.rules import Rules, read_rule, read_rules

BODY = {
    "posts": [{"at": 1, "by": {"at": 2, "n": 3}}, {"at": 4, "by": {"n": 5}}],
    "at": 6,
    "x y": 7,
    "t": {"17": {"at": 8}},
}


def kept(*rules: str, method: str = "GET", endpoint: str = "/thread/{id}") -> Any:
    return Rules(read_rules(rules)).about(method, endpoint).without_ignored(BODY)


@pytest.mark.parametrize(
    ("rule", "left"),
    [
        ("* at", {**BODY, "at": None}),
        ("/thread/{id} posts[].at", {**BODY, "posts": [{"by": {"at": 2, "n": 3}}, {"by": {"n": 5}}]}),
        ("GET /thread/{id} posts[].by", {**BODY, "posts": [{"at": 1}, {"at": 4}]}),
        ("GET /thr* posts[].*.at", {**BODY, "posts": [{"at": 1, "by": {"n": 3}}, {"at": 4, "by": {"n": 5}}]}),
        ("* **.at", {"posts": [{"by": {"n": 3}}, {"by": {"n": 5}}], "x y": 7, "t": {"17": {}}}),
        ('* "x y"', {**BODY, "x y": None}),
        ("* t.{id}.at", {**BODY, "t": {"17": {}}}),
        ("* posts[]", {**BODY, "posts": []}),
        ("* posts", {**BODY, "posts": None}),
        ("HEAD * at", BODY),
        ("/other at", BODY),
        ("/thread at", BODY),
        ("* (body)", BODY),
        ("* by.at", BODY),
    ],
)
def test_a_rule_leaves_out_its_field_and_nothing_else(rule: str, left: Any) -> None:
    assert kept(rule) == {key: value for key, value in left.items() if value is not None}


def test_rules_are_counted_so_that_one_that_never_matches_shows() -> None:
    rules = Rules(read_rules(["* at", "* nowhere", "* (status)"]))
    about = rules.about("GET", "/x")
    for _ in range(3):
        about.without_ignored(BODY)
    assert about.ignores("(status)")
    assert not about.ignores("(type)")
    assert rules.used == {"* at": 3, "* nowhere": 0, "* (status)": 1}


def test_a_list_is_unordered_by_the_path_of_its_elements() -> None:
    about = Rules((), read_rules(["* posts[]", '* **."a b"[]'])).about("GET", "/x")
    told = {path: about.is_unordered(path) for path in ("posts[]", "posts[].tags[]", 'c.{id}."a b"[]', '"a b"[]')}
    assert told == {"posts[]": True, "posts[].tags[]": False, 'c.{id}."a b"[]': True, '"a b"[]': True}


@pytest.mark.parametrize(
    "rule",
    [
        "", "at", "GET at", "* ", "POST /x at", "thread at", "* a..b", "* .a", "* a[0]", "* a b", "* **", "* a[].", '* "a',
        "/a*b c",         "* [a]", "get /x a", '* "\\q"', "* (head)",
    ],
)  # fmt: skip
def test_a_rule_that_cannot_be_read_is_refused_by_name(rule: str) -> None:
    with pytest.raises(UsageError) as refused:
        read_rule(rule)
    assert repr(rule) in str(refused.value)
    assert "posts[].at" in str(refused.value)


def test_there_may_not_be_any_number_of_rules() -> None:
    with pytest.raises(UsageError, match="201 rules"):
        read_rules(["* a"] * 201)
