"""The way of copies: what the rows take off is what is missing from the next total, and nothing is explained away."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from darktime.report import way as ways
from darktime.report.way import NOT_EXPLAINED, steps, unexplained

COUNTS = st.dictionaries(st.sampled_from(["shed_sink", "dark_timeout", "relay_full", "log_lost"]), st.integers(0, 50))


def totals(results: dict[str, Any]) -> list[int]:
    return [step.count for step in steps(results) if step.look == "total"]


def adds_up(results: dict[str, Any]) -> None:
    """From each total to the next, the rows between take off exactly the difference."""
    level = None
    for step in steps(results):
        if step.look == "total":
            assert level is None or level == step.count
            level = step.count
        else:
            assert level is not None
            level -= step.count


def split_of(never: dict[str, int], left: dict[str, int], compared: int, *, lost: tuple[int, int], waiting: int) -> Any:
    received = compared + sum(left.values()) + waiting + lost[1]
    way = {
        "offered": received + sum(never.values()) + lost[0],
        "never_came": never,
        "received": received,
        "duplicates": 0,
        "reasons": left,
        "compared": compared,
        "recorded": 0,
        "open": waiting,
        "streams": 0,
        "instances": [],
    }
    return {"kind": "split", "way": way}


@given(COUNTS, COUNTS, st.integers(0, 900), st.tuples(st.integers(0, 9), st.integers(0, 9)), st.integers(0, 5))
def test_what_nobody_explains_is_what_was_lost_and_never_more_than_is_on_its_way_is_excused(
    never: dict[str, int], left: dict[str, int], compared: int, lost: tuple[int, int], waiting: int
) -> None:
    results = split_of(never, left, compared, lost=lost, waiting=waiting)
    adds_up(results)
    # What is on its way may be excused once at each hop, and not beyond.
    assert sum(lost) - waiting <= unexplained(steps(results)) <= sum(lost)
    if not waiting:
        assert unexplained(steps(results)) == sum(lost)


def test_streams_that_production_still_holds_came_before_it_was_told_and_are_no_surplus() -> None:
    results = split_of({}, {}, 90, lost=(0, 0), waiting=10)
    results["way"] |= {"offered": 93, "streams": 7}
    rows = {step.word: step for step in steps(results)}
    assert rows["production has not ended yet"].count == -7
    assert "7 of them streams" in rows["on their way when this was read"].note
    assert unexplained(steps(results)) == 0
    results["way"]["offered"] = 80  # more came than can be open
    assert unexplained(steps(results)) == 10


def test_many_reasons_are_bounded_and_their_sum_stands() -> None:
    left = {f"reason-{at:02}": at + 1 for at in range(60)}
    results = split_of({}, left, 1, lost=(0, 0), waiting=0)
    adds_up(results)
    rows = [step for step in steps(results) if step.look == "left"]
    assert len(rows) == ways.MOST_REASONS + 1
    assert sum(step.count for step in rows) == sum(left.values())
    assert rows[-1].word == "46 more reasons"


def test_every_kind_has_its_totals_and_its_rows_add_up(kin: str, plain: dict[str, Any]) -> None:
    adds_up(plain)
    assert (
        totals(plain)
        == {
            "split": [18064, 18038, 17211],
            "record": [561, 554, 342],
            "replay": [373, 342, 342, 342, 342],
            "relay": [1563, 842, 570],
        }[kin]
    )
    assert unexplained(steps(plain)) == (2 if kin == "split" else 0)
    assert [step.word for step in steps(plain)].count(NOT_EXPLAINED) == len(totals(plain)) - 1


def test_results_of_before_have_the_way_that_their_ledger_knows(split: dict[str, Any]) -> None:
    del split["way"]
    adds_up(split)
    assert totals(split) == [18064, 18038, 17211]
    assert [step.word for step in steps(split) if step.look == "left"][:2] == ["shed_sink", "client_abort"]


@pytest.mark.parametrize("many", [2, 64])
def test_each_of_several_dark_instances_has_its_account_on_the_page(split: dict[str, Any], many: int) -> None:
    from darktime.report import way_blocks

    one = split["way"]["instances"][0]
    drawn = way_blocks.instances([{**one, "dark": f"http://10.0.0.{at}:80"} for at in range(many)])
    assert drawn is not None
    assert all(f"<code>http://10.0.0.{at}:80</code>" in drawn for at in range(many))
    assert "11 dark_timeout" in drawn


def test_of_an_experiment_on_several_hosts_it_is_said_whose_copies_these_are(split: dict[str, Any]) -> None:
    from darktime.report import way_blocks

    told = way_blocks.hosts(split)
    assert told is not None
    assert "Only the copies of web-1:4711" in told
    assert "web-2:815" in told
    split["hosts"]["all"] = ["web-1:4711"]
    assert way_blocks.hosts(split) is None
