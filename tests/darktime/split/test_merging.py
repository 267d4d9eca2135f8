"""What several relays tell, put together: every counter is the sum, in whatever order, and what holds of one holds of all."""

from __future__ import annotations

import json
from itertools import permutations
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from darktime.split.compare.difference import CHANGED, FieldDifference, Found
from darktime.split.compare.field_table import FieldTable
from darktime.split.log_format import LogLine, OtherLine
from darktime.split.merging import (
    MOST_CHANNELS,
    merge_channels,
    merge_comparisons,
    merge_populations,
    merge_recording,
    merge_states,
    merge_stream_pairs,
)
from darktime.split.population import Population
from darktime.split.relay import reasons
from darktime.split.relay.metrics import _COUNTERS, _GAUGES
from darktime.split.results import settled

if TYPE_CHECKING:
    from collections.abc import Callable

COUNT = st.integers(0, 10**9)
REASONS = st.dictionaries(st.sampled_from(reasons.ALL), COUNT)
ENDPOINTS = st.sampled_from(["/a", "/b", "other"])
GAUGES = ("queued", "in_flight", "lasting", "streams")
BREAKERS = st.sampled_from([None, reasons.DARK_REFUSED])


@st.composite
def states(draw: Any) -> dict[str, Any]:
    """One relay's state, in which every copy that came is somewhere."""
    left, compared, waiting = draw(REASONS), draw(COUNT), draw(COUNT)
    received = compared + waiting + sum(left.values())
    gauges = {name: draw(COUNT) for name in GAUGES}
    return {
        "v": 1,
        "pid": draw(st.integers(1, 99)),
        "offered": draw(COUNT),
        "received": received,
        "compared": compared,
        "recorded": 0,
        "recording": None,
        "reasons": left,
        "left": draw(st.dictionaries(ENDPOINTS, REASONS)),
        "mirror_reasons": draw(REASONS),
        "waiting": waiting,
        **gauges,
        "breaker": draw(BREAKERS),
        "instances": [
            {
                "dark": url,
                "answered": draw(COUNT),
                "failures": draw(REASONS),
                **gauges,
                "breaker": None,
                "last_error": "",
            }
            for url in ("http://a:1", "http://b:1")
        ],
        "channels": draw(st.dictionaries(st.sampled_from(["c1", "c2", "other"]), st.integers(1, 99))),
        "ledger_closed": draw(st.booleans()),
        "users": [f"{draw(COUNT):016x}"],
    }


def without_order(merged: dict[str, Any]) -> dict[str, Any]:
    return {**merged, "users": sorted(merged["users"]), "relays": sorted(merged["relays"], key=lambda one: one["name"])}


@settings(max_examples=25)
@given(parts=st.lists(states(), min_size=1, max_size=3))
def test_every_counter_is_the_sum_in_any_order_and_every_copy_is_still_somewhere(parts: list[dict[str, Any]]) -> None:
    named = {f"relay-{number}": part for number, part in enumerate(parts, 1)}
    merged = merge_states(named)
    for name in ("offered", "received", "compared", "waiting", *GAUGES):
        assert merged[name] == sum(part[name] for part in parts)
    for reason in reasons.ALL:
        assert merged["reasons"].get(reason, 0) == sum(part["reasons"].get(reason, 0) for part in parts)
    for endpoint in ("/a", "/b", "other"):
        told = merged["left"].get(endpoint, {})
        assert sum(told.values()) == sum(sum(part["left"].get(endpoint, {}).values()) for part in parts)
    assert merged["received"] == merged["compared"] + sum(merged["reasons"].values()) + merged["waiting"]
    assert sum(merged["channels"].values()) == sum(sum(part["channels"].values()) for part in parts)
    assert [one["answered"] for one in merged["instances"]] == [
        sum(part["instances"][at]["answered"] for part in parts) for at in (0, 1)
    ]
    assert merged["ledger_closed"] == all(part["ledger_closed"] for part in parts)
    assert merged["v"] == 1
    for order in list(permutations(named))[:6]:
        again = merge_states({name: named[name] for name in order})
        assert without_order(again) == without_order(merged)


@settings(max_examples=15)
@given(parts=st.lists(states(), min_size=2, max_size=3))
def test_a_dead_relay_holds_nothing_and_what_it_counted_stays(parts: list[dict[str, Any]]) -> None:
    named = {f"relay-{number}": part for number, part in enumerate(parts, 1)}
    merged = merge_states(named, dead=["relay-1"])
    living = parts[1:]
    for name in GAUGES:
        assert merged[name] == sum(part[name] for part in living)
        assert merged["instances"][0][name] == sum(part[name] for part in living)
    assert merged["received"] == sum(part["received"] for part in parts)
    assert merged["waiting"] == sum(part["waiting"] for part in parts)
    assert [one["alive"] for one in merged["relays"]] == [False] + [True] * len(living)
    assert settled(merged) == all(settled(part) for part in living)


def test_a_figure_of_a_relays_state_that_is_not_known_here_is_merged_all_the_same() -> None:
    one, other = (
        {"new_counter": 2, "by": {"x": 1}, "said": None},
        {"new_counter": 3, "by": {"x": 1, "y": 5}, "said": "why"},
    )
    merged = merge_states({"relay-1": one, "relay-2": other})
    assert (merged["new_counter"], merged["by"], merged["said"]) == (5, {"x": 2, "y": 5}, "why")


def test_all_that_a_relay_counts_for_its_exporter_is_a_sum(own_relay: Callable) -> None:
    """The state of a real relay, doubled: nothing that people watch is left out, or taken from one alone."""
    state = json.loads(json.dumps(own_relay("127.0.0.1:9").state))
    known = {**state, **dict.fromkeys((*_COUNTERS, *_GAUGES), 21)}
    merged = merge_states({"relay-1": known, "relay-2": known})
    assert {name: merged[name] for name in (*_COUNTERS, *_GAUGES)} == dict.fromkeys((*_COUNTERS, *_GAUGES), 42)
    assert state.keys() - merged.keys() == {"pid", "loop"}
    assert [one["loop"] for one in merged["relays"]] == [state["loop"]] * 2


def test_one_that_has_not_written_yet_adds_nothing() -> None:
    merged = merge_states({"relay-1": {}, "relay-2": {"received": 3, "compared": 3, "v": 1}})
    assert (merged["received"], merged["compared"]) == (3, 3)
    assert merge_states({"relay-1": {}})["users"] == []


@settings(max_examples=25)
@given(st.lists(st.dictionaries(st.sampled_from(["a", "b", "other", ""]), st.integers(1, 9)), max_size=3))
def test_channels_keep_their_sum_whatever_their_order(parts: list[dict[str, int]]) -> None:
    merged = merge_channels(parts)
    assert sum(merged.values()) == sum(sum(part.values()) for part in parts)
    assert merged == merge_channels(parts[::-1])


def test_channels_stay_so_many() -> None:
    parts = [{f"{relay}-{number}": number + 1 for number in range(MOST_CHANNELS)} for relay in "ab"]
    merged = merge_channels(parts)
    assert len(merged) == MOST_CHANNELS + 1
    assert sum(merged.values()) == sum(sum(part.values()) for part in parts)
    assert "a-0" not in merged


LINES = st.one_of(
    st.builds(
        LogLine,
        id=st.just("0" * 32),
        at=st.just(1.0),
        status=st.sampled_from([200, 503]),
        took=st.floats(0, 9),
        seconds=st.floats(0, 9),
        part=st.sampled_from(["b001", "b002"]),
        census=st.booleans(),
    ),
    st.builds(
        OtherLine,
        part=st.sampled_from(["", "c900"]),
        census=st.booleans(),
        keyed=st.sampled_from(["valid", "unusable", "none"]),
        status=st.just(200),
        content_type=st.just("text/html"),
        took=st.floats(0, 9),
        seconds=st.floats(0, 9),
    ),
)


@given(lines=st.lists(st.tuples(st.integers(0, 2), LINES), max_size=30))
def test_a_population_in_parts_is_the_population(lines: list[tuple[int, LogLine | OtherLine]]) -> None:
    whole, parts = Population(), [Population() for _ in range(3)]
    for relay, line in lines:
        whole.add(line)
        parts[relay].add(line)
    assert merge_populations(parts).to_dict() == whole.to_dict()


@given(which=st.lists(st.tuples(st.integers(0, 2), st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_fields_in_parts_are_counted_as_by_one_table(which: list[tuple[int, bool, bool]]) -> None:
    whole, tables = FieldTable(), [FieldTable() for _ in range(3)]
    for number, (relay, raw, noise) in enumerate(which):
        made = [
            Found(differences=(FieldDifference(path="a", kind=CHANGED, one=number, other=-1),) if differs else ())
            for differs in (raw, noise)
        ]
        for table in (whole, tables[relay]):
            table.add("/e", f"{number:032x}", raw=made[0], noise=made[1])
    parts = []
    for table in tables:
        saved = table.to_dict()
        fields = saved.pop("fields")
        rest = {
            "compared": sum(saved["totals"].values()),
            "chosen": 5,
            "left": {"full": 1},
            "share": 0.1,
            "secondary": "h:1",
        }
        parts.append({"fields": fields, "comparison": {**saved, **rest}})
    merged = merge_comparisons(parts)
    told = merged["comparison"]
    assert (told["compared"], told["chosen"], told["left"], told["share"]) == (len(which), 15, {"full": 3}, 0.1)
    assert told["totals"] == whole.totals
    expected = {(one.path, one.kind): (one.raw, one.noise, one.total) for one in whole.findings()}
    assert {
        (one["path"], one["kind"]): (one["raw"], one["noise"], one["total"]) for one in merged["fields"]
    } == expected
    assert merge_comparisons([{}, {"comparison": None}]) == {}


def test_pairs_of_streams_are_added_by_endpoint() -> None:
    def part(pairs: int) -> list[dict[str, Any]]:
        return [
            {"endpoint": "/ev", "noise": {"pairs": pairs}, "raw": {"pairs": pairs, "missing": 1, "examples": ["x"]}}
        ]

    (merged,) = merge_stream_pairs([part(2), part(3), []])
    assert (merged["noise"]["pairs"], merged["raw"]["pairs"], merged["raw"]["missing"]) == (5, 5, 2)


@pytest.mark.parametrize(
    ("stopped", "told"),
    [
        ((None, None), None),
        (("it has its 9 requests", None), None),
        (("it has its 9 requests", "it has its 9 requests"), "it has its 9 requests"),
        ((None, "it cannot be written (No space left on device)"), "it cannot be written (No space left on device)"),
    ],
    ids=["both write", "one has its part", "both have", "one cannot write"],
)
def test_a_recording_has_ended_when_all_have_their_part_or_one_cannot_write(
    stopped: tuple[str | None, ...], told: str | None
) -> None:
    parts = [{"requests": 3, "bytes": 10, "stopped": one} for one in stopped]
    assert merge_recording([*parts, None]) == {"requests": 6, "bytes": 20, "stopped": told}
    assert merge_recording([None]) is None


def test_of_a_functions_times_in_several_relays_the_longest_stands_and_its_counts_are_sums():
    one = {"function": "m:f", "called": 3, "failed": 1, "max_ms": 12.5, "p99_ms": 9.0, "first_error": None}
    other = {"function": "m:f", "called": 4, "failed": 0, "max_ms": 2.0, "p99_ms": None, "first_error": "ValueError"}
    merged = merge_states({"relay-1": {"transform": one}, "relay-2": {"transform": other}})
    assert merged["transform"] == {
        "function": "m:f", "called": 7, "failed": 1, "max_ms": 12.5, "p99_ms": 9.0, "first_error": "ValueError",
    }  # fmt: skip
