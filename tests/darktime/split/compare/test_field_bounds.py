"""The bounds that a report shows are those by which the table has decided."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from darktime.split.compare.difference import CHANGED, FieldDifference, Found
from darktime.split.compare.field_bounds import field_bounds
from darktime.split.compare.field_table import FieldTable
from darktime.split.results import comparison_of


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
