"""How often a verdict errs, counted over splits whose truth is known; a look at growing data is taken five times in each.

Users are clusters with a rate and a pace of their own, and few make most of the requests. At full size: ``long``.
"""

from __future__ import annotations

import pytest

from tests.darktime.split.verdict.truths import KINDS, RUNS, a_kind, alike, bootstrap, errors, latency

MOST = 0.05  # of the runs may end wrongly, false GOs and false NO-GOs each
FEW = 60


def told(record_property, name, seen):
    record_property(name, str(seen))
    return seen


@pytest.mark.parametrize(
    ("kind", "users"), [("as_production", 20), ("with_a_tail", 60), ("even", 150), ("bad_for_some", 400)]
)
def test_a_p95_at_its_margin_is_hardly_ever_a_go_nor_a_no_go(kind, users, record_property):
    seen = told(record_property, f"{kind}, {users} users, at the margin", latency("margin", kind, users=users))
    assert seen.go <= MOST * RUNS
    assert seen.no_go <= MOST * RUNS


def test_the_same_code_is_hardly_ever_slower(record_property):
    seen = told(record_property, "no harm", latency("no harm", "as_production", users=60))
    assert seen.no_go <= MOST * RUNS


def test_a_p95_at_half_its_margin_is_a_go_in_most_runs_and_at_twice_a_no_go(record_property):
    half = told(record_property, "half", latency("half", "with_a_tail", users=1000, runs=FEW))
    twice = told(record_property, "twice", latency("twice", "with_a_tail", users=1000, runs=FEW))
    assert half.go > FEW / 2
    assert twice.no_go > FEW / 2
    assert (half.no_go, twice.go) == (0, 0)


@pytest.mark.parametrize(
    "kind", [pytest.param(alike(0.05), id="each-has-a-rate"), pytest.param(a_kind(0.1), id="a-tenth-fails-at-all")]
)
def test_errors_at_their_margin_are_hardly_ever_a_go_nor_a_no_go(kind, record_property):
    seen = told(record_property, "at the margin", errors(0.01, kind, users=1500, margin=0.01))
    assert seen.go <= MOST * RUNS
    assert seen.no_go <= MOST * RUNS


def test_without_harm_errors_are_hardly_ever_a_no_go(record_property):
    seen = told(record_property, "no harm", errors(0.0, alike(0.05), base=0.01, users=1500, margin=0.01))
    assert seen.no_go <= MOST * RUNS


def test_errors_at_half_their_margin_are_a_go_in_most_runs_and_at_twice_a_no_go(record_property):
    half = told(record_property, "half", errors(0.005, alike(0.05), users=2000, margin=0.01, runs=FEW))
    twice = told(record_property, "twice", errors(0.02, alike(0.05), users=2000, margin=0.01, runs=FEW))
    assert half.go > FEW / 2
    assert twice.no_go > FEW / 2
    assert (half.no_go, twice.go) == (0, 0)


@pytest.mark.long
@pytest.mark.parametrize("users", [20, 60, 200, 1000])
@pytest.mark.parametrize("kind", KINDS)
def test_at_full_size_a_p95_without_harm_and_at_its_margin_errs_in_less_than_5_percent(kind, users, record_property):
    margin = told(record_property, f"{kind}, {users} users, margin", latency("margin", kind, users=users, runs=1000))
    none = told(record_property, f"{kind}, {users} users, no harm", latency("no harm", kind, users=users, runs=1000))
    assert max(margin.go, margin.no_go, none.no_go) <= MOST * 1000


@pytest.mark.long
@pytest.mark.parametrize("kind", ["as_production", "with_a_tail", "the_same"])
def test_at_full_size_a_p95_at_half_and_twice_its_margin_is_told_in_most_runs(kind, record_property):
    half = told(record_property, f"{kind}, half", latency("half", kind, users=2500))
    twice = told(record_property, f"{kind}, twice", latency("twice", kind, users=2500))
    assert half.go > RUNS / 2
    assert twice.no_go > RUNS / 2
    assert (half.no_go, twice.go) == (0, 0)


@pytest.mark.long
def test_at_full_size_errors_at_half_and_twice_a_margin_of_a_thousandth_are_told_in_most_runs(record_property):
    half = told(record_property, "half", errors(0.0005, alike(0.05), users=20_000, margin=0.001))
    twice = told(record_property, "twice", errors(0.002, alike(0.05), users=20_000, margin=0.001))
    assert half.go > RUNS / 2
    assert twice.no_go > RUNS / 2


@pytest.mark.long
@pytest.mark.parametrize("base", [0.0, 0.002])
@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(alike(0.01), id="alike-0.01"),
        pytest.param(alike(0.05), id="alike-0.05"),
        pytest.param(a_kind(0.1), id="a-tenth-fails-at-all"),
        pytest.param(a_kind(0.01), id="a-hundredth-fails-at-all"),
        pytest.param(a_kind(0.004), id="a-few-fail-mostly"),
    ],
)
def test_at_full_size_errors_at_a_margin_of_a_thousandth_err_in_less_than_5_percent(kind, base, record_property):
    margin = told(record_property, "margin", errors(0.001, kind, base=base, users=20_000, margin=0.001))
    none = told(record_property, "no harm", errors(0.0, kind, base=base, users=20_000, margin=0.001))
    half = told(record_property, "half", errors(0.0005, kind, base=base, users=20_000, margin=0.001))
    twice = told(record_property, "twice", errors(0.002, kind, base=base, users=20_000, margin=0.001))
    assert max(margin.go, margin.no_go, none.no_go, half.no_go, twice.go) <= MOST * RUNS


@pytest.mark.long
def test_a_bootstrap_of_few_users_would_have_called_go_too_often(record_property):
    """Why there is none: the finding that docs/adr/0023 rests on."""
    seen = told(record_property, "bootstrap", latency("margin", "with_a_tail", users=60, runs=200, judge_by=bootstrap))
    assert seen.go > 2 * MOST * 200
