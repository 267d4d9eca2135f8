"""Sides that lie apart: of one more lies above a time than may, of the other less."""

from __future__ import annotations

import numpy as np
import pytest

from darktime.split.verdict.apart import Above, apart
from darktime.split.verdict.clusters import Levels
from darktime.split.verdict.slower import Times, lean

AT = Levels(low=0.01, high=0.05)
RARE = 0.05


def above(hits: list[int], *, stretches: int | None = 5, users: int | None = None) -> Above:
    """200 pairs in the order of time, those of ``hits`` above; of so many users, in turn."""
    values, number = np.zeros(200), np.arange(200)
    values[hits] = 1.0
    owner = number % (users or 200)
    return Above.of(
        values,
        time=0.5,
        owner=owner,
        counts=np.bincount(owner).astype(float),
        stretch=None if stretches is None else number * stretches // 200,
    )


NONE, ALL, HALF = above([]), above(list(range(200))), above(list(range(0, 200, 2)))
A_SPELL = above(list(range(40)))
AS_MANY = above(list(range(0, 200, 5)))


@pytest.mark.parametrize(
    ("production", "dark", "told"),
    [
        (NONE, ALL, 1),
        (NONE, HALF, 1),
        (ALL, NONE, -1),
        (HALF, NONE, -1),
        (NONE, NONE, 0),
        (ALL, ALL, 0),
        (HALF, ALL, 0),
    ],
)
def test_it_is_told_where_one_side_is_beyond_that_time_and_the_other_is_not(
    production: Above, dark: Above, told: int
) -> None:
    assert apart([(production, dark)], RARE, AT) == told


def test_what_lies_in_one_stretch_of_time_is_no_evidence_and_as_much_in_all_of_them_is() -> None:
    assert apart([(NONE, AS_MANY)], RARE, AT) == 1
    assert apart([(NONE, A_SPELL)], RARE, AT) == apart([(A_SPELL, NONE)], RARE, AT) == 0
    timeless = above(list(range(40)), stretches=None)
    assert apart([(NONE, timeless)], RARE, AT) == 1


def test_few_users_tell_nothing_of_others_however_often_they_asked() -> None:
    few = above([], stretches=None, users=10), above(list(range(200)), stretches=None, users=10)
    assert apart([few], RARE, AT) == 0
    assert apart([few], RARE, AT, times=20.0) == 1, "as many of the same kind do"


def test_either_direction_errs_with_a_level_of_its_own() -> None:
    barely = above(list(range(0, 200, 8)))
    levels = [Levels(low=low, high=high) for low, high in ((0.2, 1e-9), (1e-9, 0.2))]
    assert [apart([(NONE, barely)], RARE, one) for one in levels] == [1, 0]
    assert [apart([(barely, NONE)], RARE, one) for one in levels] == [0, -1]


@pytest.mark.parametrize(("by", "spell_s", "told"), [(4.0, 0.5, 1), (1.0, 0.5, 0), (0.2, 0.2, -1)])
def test_a_bad_moment_that_takes_the_percentiles_far_away_hides_nothing_that_holds_at_all_other_times(
    by: float, spell_s: float, told: int
) -> None:
    """The slowest tenth of both sides is one moment of two seconds; the slower side's, and no time in the middle tells."""
    number, draw = np.arange(200), np.random.default_rng(5)
    spell = spell_s * ((number >= 100) & (number < 120))
    production, dark = (factor * (0.1 + draw.exponential(0.001, 200)) for factor in (1.0, by))
    times = Times.of(production + spell * (by < 1), dark + spell * (by >= 1), number, at=number / 100)
    assert lean(times, ratio=1.1, slack_s=0.005).sign(AT) == told
