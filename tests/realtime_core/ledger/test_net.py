"""A window's remains: exact entries and table must say the same, and what was packed must come back."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_core.errors import ConfigurationError
from realtime_core.ledger.hashing import KEY_MASK
from realtime_core.ledger.net import Entries, Net

BAGS = st.lists(st.tuples(st.integers(1, 40), st.integers(-3, 3)), max_size=60)


def net_of(bag: list[tuple[int, int]], *, folded: bool) -> Net:
    net = Net()
    net.keys, net.times = [key for key, _ in bag], [times for _, times in bag]
    if folded:
        net.fold()
    return net


@given(st.lists(st.tuples(BAGS, st.booleans()), max_size=5))
def test_entries_and_tables_come_to_the_same_in_any_mixture(parts: list[tuple[list[tuple[int, int]], bool]]) -> None:
    total, oracle = Net(), Counter[int]()
    for bag, folded in parts:
        part = net_of(bag, folded=folded)
        total.merge(part)
        for key, times in bag:
            oracle[key] += times
    assert total.decode().items == {key: times for key, times in oracle.items() if times}
    assert total.is_zero() == (not any(oracle.values()))


def test_merging_leaves_the_other_bag_as_it_was() -> None:
    other = net_of([(1, 1), (2, 2)], folded=True)
    total = Net()
    total.merge(other)
    total.merge(other)
    assert other.decode().items == {1: 1, 2: 2}
    assert total.decode().items == {1: 2, 2: 4}


def test_a_bag_without_a_table_names_any_number_of_differences() -> None:
    bag = [(key, 1) for key in range(1, 20_001)]
    assert net_of(bag, folded=False).decode().items == dict(bag)


def test_totals_beyond_one_entrys_limit_still_go_into_a_table() -> None:
    net = net_of([(7, 1)], folded=True)
    net.merge(net_of([(9, 1_000_000)] * 5, folded=False))
    assert net.decode().items == {7: 1, 9: 5_000_000}


@given(
    st.lists(st.tuples(st.integers(1, KEY_MASK), st.integers(-(2**60), 2**60)), max_size=30),
    st.integers(0, 2**63),
    st.dictionaries(st.text("abc_", min_size=1), st.integers(0, 2**40), max_size=3),
)
def test_entries_come_back_from_their_bytes(bag: list[tuple[int, int]], total: int, explained: dict[str, int]) -> None:
    entries = Entries(
        sent=total, received=total // 2, explained=explained, keys=[k for k, _ in bag], times=[t for _, t in bag]
    )
    assert Entries.from_bytes(entries.to_bytes()) == entries


@given(st.binary(max_size=100) | st.builds(lambda tail: b"\x01" + tail, st.binary(max_size=100)))
def test_bytes_that_are_no_entries_are_refused(packed: bytes) -> None:
    try:
        Entries.from_bytes(packed)
    except ConfigurationError:
        return


def test_entries_of_another_version_are_refused_by_name() -> None:
    with pytest.raises(ConfigurationError, match="knows 1"):
        Entries.from_bytes(b"\x02" + Entries(sent=0, received=0).to_bytes()[1:])
