"""The verdict, held against data whose truth is known because it was made so."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from darktime.blast.wilson import wilson
from darktime.split.compare import Pair, Side, compare, endpoint_of
from darktime.split.verdict import judge


def pairs(
    count: int = 8000, users: int = 800, *, slower: float = 1.0, errors: float = 0.0, other: float = 0.0, seed: int = 1
) -> list[Pair]:
    draw = random.Random(seed)
    paces = [draw.lognormvariate(0, 0.3) for _ in range(users)]
    made = []
    for number in range(count):
        user = number % users
        base = 0.02 * paces[user] * draw.lognormvariate(0, 0.2)
        status = 500 if draw.random() < errors else 404 if draw.random() < other else 200
        dark = Side(
            status=status, content_type="text/html", length=1, seconds=base * slower * draw.lognormvariate(0, 0.05)
        )
        production = Side(status=200, content_type="text/html", length=1, seconds=base)
        made.append(Pair(id=str(number), endpoint="/p", user=str(user), at=0.0, production=production, dark=dark))
    return made


def hop(**changes: object) -> SimpleNamespace:
    values = {"hop": "relay>compared", "explained": {}, "missing": (), "extra": (), "undecoded": 0}
    return SimpleNamespace(**{**values, **changes})


def test_the_same_code_on_both_sides_is_a_go() -> None:
    verdict = judge(pairs(), [hop(explained={"log_lost": 3})])
    assert (verdict.outcome, verdict.exit_code, verdict.needs) == ("GO", 0, None)
    assert "8,000 pairs of 800 users" in verdict.reasons[0]


def test_a_dark_side_that_is_half_as_slow_again_is_a_no_go_that_names_the_endpoint() -> None:
    verdict = judge(pairs(slower=1.6), [])
    assert (verdict.outcome, verdict.exit_code) == ("NO-GO", 3)
    assert "/p: p95" in verdict.reasons[0]


def test_a_difference_within_the_clocks_own_resolution_is_no_slowness() -> None:
    quick = [
        Pair(
            id=pair.id, endpoint="/p", user=pair.user, at=0.0,
            production=Side(status=200, content_type="", length=0, seconds=0.0),
            dark=Side(status=200, content_type="", length=0, seconds=0.002),
        )
        for pair in pairs()
    ]  # fmt: skip
    assert judge(quick, []).outcome == "GO"


@pytest.mark.parametrize(
    ("change", "words"), [({"errors": 0.02}, "failed on the dark side only"), ({"other": 0.02}, "answers differ")]
)
def test_errors_and_differences_beyond_their_margin_are_a_no_go(change: dict[str, float], words: str) -> None:
    verdict = judge(pairs(**change), [])
    assert verdict.outcome == "NO-GO"
    assert words in verdict.reasons[0]


def test_a_dark_side_that_does_not_answer_at_all_is_a_no_go() -> None:
    assert judge([], [hop(explained={"dark_refused": 300})]).outcome == "NO-GO"
    assert judge([], [hop(explained={"relay_full": 300})]).outcome == "WAIT"


def test_what_the_ledger_cannot_explain_is_a_no_go_that_names_ten_ids() -> None:
    missing = tuple(SimpleNamespace(id=f"id-{number}", key=number, times=1) for number in range(12))
    verdict = judge(pairs(), [hop(hop="mirror>relay", missing=missing)])
    assert verdict.outcome == "NO-GO"
    assert verdict.reasons[0].startswith("mirror>relay: 12 went missing with no reason: id-0, id-1")
    assert verdict.reasons[0].endswith("id-9 and 2 more")
    assert judge(pairs(), [hop(extra=(SimpleNamespace(id=None, key=255, times=1),))]).reasons[0].endswith("#ff")
    assert judge(pairs(), [hop(undecoded=7)]).outcome == "NO-GO"
    assert judge(pairs(), [hop(explained={"unknown": 1})]).outcome == "NO-GO"


def test_too_few_pairs_users_or_cases_of_an_endpoint_are_a_wait_that_says_how_many_more() -> None:
    verdict = judge(pairs(50, users=5), [])
    assert (verdict.outcome, verdict.exit_code) == ("WAIT", 5)
    assert verdict.needs is not None
    assert "150 more pairs (50 of 200)" in verdict.needs
    assert "15 more users" in verdict.needs
    assert judge([], []).outcome == "WAIT"


def test_one_busy_user_who_is_slow_is_no_evidence_against_all() -> None:
    many = pairs(4000, users=200)
    slow = [
        Pair(
            id=f"s{number}", endpoint="/p", user="busy", at=0.0,
            production=Side(status=200, content_type="text/html", length=1, seconds=0.02),
            dark=Side(status=200, content_type="text/html", length=1, seconds=0.5),
        )
        for number in range(260)
    ]  # fmt: skip
    assert judge([*many, *slow], []).outcome != "NO-GO"


def test_the_same_data_always_gets_the_same_verdict() -> None:
    assert judge(pairs(400), []) == judge(pairs(400), [])


@given(st.integers(0, 1000), st.integers(1, 1000))
def test_a_shares_bounds_hold_it(hits: int, count: int) -> None:
    hits = min(hits, count)
    low, high = wilson(hits, count, 0.95)
    assert 0 <= low <= hits / count + 1e-9
    assert hits / count - 1e-9 <= high <= 1


@pytest.mark.parametrize(
    ("target", "endpoint"),
    [
        ("/", "/"), ("/ev/thread:12", "/ev/{id}"), ("/ev/thread:1/user:u2?x=1", "/ev/{id}/{id}"),
        ("/channels-stats?id=thread:1", "/channels-stats"), ("/api/v2/items/17", "/api/v2/items/{id}"), ("/a/b/", "/a/b/"),
        ("/%41/ü", "/{id}/{id}"), ("/a" * 9, "/a/a/a/a/a/a/a/a/…"),
    ],
)  # fmt: skip
def test_a_path_becomes_its_template(target: str, endpoint: str) -> None:
    assert endpoint_of(target) == endpoint


@pytest.mark.parametrize(
    ("production", "dark", "found"),
    [
        ((200, "a/b"), (200, "a/b"), []), ((200, "a/b"), (304, ""), []), ((200, "a/b"), (404, "a/b"), ["status"]),
        ((200, "a/b"), (200, "a/c"), ["content_type"]),
    ],
)  # fmt: skip
def test_status_and_type_are_compared_and_a_cached_answer_is_the_same(production: Any, dark: Any, found: Any) -> None:
    sides = [Side(status=status, content_type=kind, length=0, seconds=0.0) for status, kind in (production, dark)]
    pair = Pair(id="a", endpoint="/", user="u", at=0.0, production=sides[0], dark=sides[1])
    assert [one.what for one in compare(pair)] == found
    assert Pair.from_record(pair.record()) == pair
