"""Two streams of one request: what was lost, doubled or turned round in what both could see, and nothing else."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from darktime.split.compare.stream_pair import WINDOW, EventNames, StreamCounts, StreamPair

NAMES = [f"1-{number}" for number in range(20)]


def compared(today: list[str], other: list[str], *, opened: float = 0.0, ended: float = 100.0) -> StreamCounts:
    """Both bring theirs in turns, ten events a second from second 5 on."""
    pair = StreamPair(opened)
    for at in range(max(len(today), len(other))):
        pair.today(today[at : at + 1], 5 + at / 10)
        pair.other(other[at : at + 1], 5 + at / 10)
    return pair.close(ended)


def test_the_same_events_in_the_same_order_are_no_finding() -> None:
    counts = compared(NAMES, NAMES)
    assert counts == StreamCounts(pairs=1, common=20)


@given(
    lost=st.sets(st.integers(1, 18), max_size=5), more=st.integers(0, 5), again=st.sets(st.integers(0, 19), max_size=5)
)
def test_each_loss_surplus_and_double_within_the_span_is_counted_once(
    lost: set[int], more: int, again: set[int]
) -> None:
    other: list[str] = []
    for number, name in enumerate(NAMES):
        other += [] if number in lost else [name, name] if number in again else [name]
        other += [f"new-{one}" for one in range(more)] if number == 10 else []
    counts = compared(NAMES, other)
    assert (counts.missing, counts.extra, counts.doubled) == (len(lost), more, len(again - lost))
    assert (counts.common, counts.outside, counts.doubled_today) == (20 - len(lost), 0, 0)
    assert counts.out_of_order == 0
    assert len(counts.examples) == min(3, len(lost) + more)


def test_events_that_changed_places_are_out_of_order() -> None:
    turned = [*NAMES[:5], NAMES[6], NAMES[5], *NAMES[7:]]
    assert compared(NAMES, turned).out_of_order == 1
    assert compared(turned, NAMES).out_of_order == 1


def test_a_stream_that_brings_nothing_misses_all_that_came_while_both_were_held() -> None:
    counts = compared(NAMES, [], opened=4.0, ended=6.55)
    # Of 20 events from second 5.0 to 6.9 those count that came from a second after 4.0 to a second before 6.55.
    assert (counts.missing, counts.outside) == (6, 14)
    assert compared([], NAMES).extra == 20


def test_what_only_one_could_have_seen_at_the_edges_is_nobodys() -> None:
    counts = compared(NAMES, NAMES[3:-3], opened=6.0, ended=6.5)
    assert (counts.missing, counts.extra, counts.common, counts.outside) == (0, 0, 14, 6)


def test_memory_is_a_window_and_what_falls_out_of_it_was_counted() -> None:
    pair = StreamPair(0.0)
    draw = random.Random(1)
    names = [f"1-{number}" for number in range(20 * WINDOW)]
    lost = {name for name in names[1:-1] if draw.random() < 0.01}
    for start in range(0, len(names), 100):
        part = names[start : start + 100]
        pair.today(part, 5.0 + start)
        pair.other([name for name in part if name not in lost], 5.0 + start)
    assert all(len(side.seen) <= WINDOW for side in pair._sides)
    counts = pair.close(1e9)
    assert (counts.missing, counts.extra, counts.common) == (len(lost), 0, len(names) - len(lost))


@pytest.mark.parametrize(
    ("events", "names"),
    [
        ([("1", "a"), ("2", "a")], ["1", "2"]),
        ([("1", "a"), ("1", "a")], ["1", "1"]),
        ([("1", "a"), ("2", "b"), ("1", "a")], ["1", "2", "1"]),
    ],
)
def test_an_event_is_known_by_its_id(events: list[tuple[str, str]], names: list[str]) -> None:
    naming = EventNames()
    assert [naming.name(event_id, "message", text) for event_id, text in events] == names


def test_events_without_an_id_of_their_own_are_known_by_what_they_say() -> None:
    naming, again = EventNames(), EventNames()
    said = [("", "a"), ("7", "b"), ("7", "c"), ("7", "d"), ("", "a")]
    names = [naming.name(event_id, "message", text) for event_id, text in said]
    assert names == [again.name(event_id, "message", text) for event_id, text in said]
    assert len(set(names)) == 4
    assert names[1] == "7"
    assert names[2].startswith("7#")


def test_counts_of_many_pairs_add_up() -> None:
    whole = StreamCounts()
    for _ in range(3):
        whole.add(compared(NAMES, NAMES[:-5] + NAMES[-4:]))
    assert (whole.pairs, whole.missing, whole.common) == (3, 3, 57)
    assert whole.to_dict()["examples"] == ["missing 1-15"] * 3


def test_while_both_go_on_what_was_not_brought_for_long_is_lost_and_what_may_be_late_is_not() -> None:
    pair = StreamPair(0.0)
    pair.today(NAMES, 5.0)
    pair.other([*NAMES[:5], *NAMES[6:15]], 5.0)
    soon, later = pair.so_far(6.0), pair.so_far(15.0)
    assert (soon.pairs, soon.common, soon.missing, soon.struck) == (1, 14, 1, {"missing": 1})  # one between others
    assert later.missing == 6
    pair.other(NAMES[15:], 16.0)
    assert (pair.so_far(20.0).missing, pair.close(20.0).missing) == (1, 1)


@given(asked=st.sets(st.integers(0, 19)), lost=st.sets(st.integers(1, 18), max_size=5))
def test_to_be_asked_on_the_way_changes_nothing(asked: set[int], lost: set[int]) -> None:
    other = [name for number, name in enumerate(NAMES) if number not in lost]
    pair = StreamPair(0.0)
    for at in range(len(NAMES)):
        pair.today(NAMES[at : at + 1], 5 + at / 10)
        pair.other(other[at : at + 1], 5 + at / 10)
        if at in asked:
            pair.so_far(5 + at / 10)
    assert pair.close(100.0) == compared(NAMES, other)
