"""The bounds that a report shows are those by which the table has decided."""

from __future__ import annotations

import random
from dataclasses import asdict
from functools import partial
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from darktime.split.compare.difference import CHANGED, FieldDifference, Found
from darktime.split.compare.field_bounds import field_bounds
from darktime.split.compare.field_table import FieldTable
from darktime.split.results import comparison_of, findings_of
from darktime.split.saved import fields_of, judge_again
from darktime.split.verdict import VerdictSettings
from tests.darktime.split.verdict.made import pairs


def table(raw: int, noise: int, total: int) -> FieldTable:
    made = FieldTable()
    differs = Found(differences=(FieldDifference(path="price", kind=CHANGED, one="a", other="b"),))
    for at in range(total):
        made.add("/p", str(at), raw=differs if at < raw else Found(), noise=differs if at < noise else Found())
    return made


@given(
    st.integers(1, 300).flatmap(lambda total: st.tuples(st.integers(0, total), st.integers(0, total), st.just(total)))
)
def test_a_field_is_reported_where_its_raw_bound_lies_above_its_noise_bound(counts: tuple[int, int, int]) -> None:
    made = table(*counts)
    for one in made.findings():
        shown = field_bounds(one, made.looked_at)
        assert 0 <= shown["raw_low"] <= one.raw / one.total <= 1
        assert one.noise / one.total <= shown["noise_high"] + 1e-6
        if abs(shown["raw_low"] - shown["noise_high"]) > 2e-6:  # they are rounded to six digits
            assert one.reported == (shown["raw_low"] > shown["noise_high"])


def test_results_have_the_bounds_of_every_field() -> None:
    made = table(40, 0, 100)
    saved: dict[str, Any] = made.to_dict()
    relay = {"fields": saved["fields"], "comparison": {"looked_at": saved["looked_at"]}}
    (field,) = comparison_of(relay)["fields"]
    assert (field["raw"], field["noise"], field["reported"]) == (40, 0, True)
    assert 0.05 < field["noise_high"] < field["raw_low"] < 0.4
    assert comparison_of({})["fields"] == []


def state_of(made: FieldTable) -> dict[str, Any]:
    saved = made.to_dict()
    return {"fields": saved["fields"], "comparison": {"looked_at": saved["looked_at"]}}


def test_of_400_runs_of_the_same_code_that_are_looked_at_often_at_most_one_in_twenty_is_no_go() -> None:
    """A ramp's plan asks at every half hold, at fields that are counted over the whole run: ten looks here."""
    rates = {f"f{number}": rate for number, rate in enumerate((0.02, 0.1, 0.5, 0.9))}
    made = {name: FieldDifference(path=name, kind=CHANGED, one=1, other=2) for name in rates}
    draw, alarms = random.Random(11), 0
    for _ in range(400):
        table = FieldTable()
        for look in range(1, 11):
            for _ in range(15):
                raw, noise = (
                    Found(differences=tuple(made[name] for name, rate in rates.items() if draw.random() < rate))
                    for _ in range(2)
                )
                table.add("/p", "r", raw=raw, noise=noise)
            if any(one.reported for one in findings_of(state_of(table), look)):
                alarms += 1
                break
    assert alarms <= 400 // 20


def reported_at(look: int, raw: int) -> bool:
    (one,) = findings_of(state_of(table(raw, 0, 300)), look)
    return one.reported


def test_a_later_look_takes_more_evidence() -> None:
    least = [next(raw for raw in range(1, 300) if reported_at(look, raw)) for look in (1, 3, 10)]
    assert least[0] < least[1] < least[2]


def test_a_saved_split_that_is_judged_at_another_look_has_its_fields_judged_at_it() -> None:
    raw = next(raw for raw in range(1, 300) if reported_at(1, raw))
    state = state_of(table(raw, 0, 300))
    fields = [{**asdict(one)} for one in fields_of(findings_of(state, 1))]
    judged = {"hops": [], "left": {}, "fields": fields, "incidents": [], "look": 1}
    results = {"ledger": [], **comparison_of(state, 1), "judged": judged}
    asked = partial(judge_again, results, pairs(), settings=VerdictSettings())
    assert [asked().outcome, asked(look=1).outcome] == ["NO-GO", "NO-GO"]
    assert asked(look=10).outcome != "NO-GO"
