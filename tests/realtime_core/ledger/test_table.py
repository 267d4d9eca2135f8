"""The invertible table, held against a plain Counter and plain big integers."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime_core.errors import ConfigurationError
from realtime_core.ledger import keys_of
from realtime_core.ledger.hashing import KEY_MASK, PRIME, check_of
from realtime_core.ledger.table import MAX_TIMES, Table, _pure, cells_of

KEYS = st.integers(1, KEY_MASK)
TIMES = st.integers(-MAX_TIMES, MAX_TIMES)
BAGS = st.lists(st.tuples(KEYS, TIMES), max_size=60)


def table_of(bag: list[tuple[int, int]], cells: int = 1024) -> Table:
    table = Table(cells)
    table.add([key for key, _ in bag], [times for _, times in bag])
    return table


def sums(bag: list[tuple[int, int]], cells: int) -> tuple[list[int], list[int], list[int]]:
    """The same three sums in plain integers of any size, reduced once at the end."""
    counts, keys, checks = [0] * cells, [0] * cells, [0] * cells
    for key, times in bag:
        for cell in cells_of(key, cells):
            counts[cell] += times
            keys[cell] += times * key
            checks[cell] += times * check_of(key)
    return counts, [one % PRIME for one in keys], [one % PRIME for one in checks]


def columns(table: Table) -> tuple[list[int], list[int], list[int]]:
    return table.counts.tolist(), table.keys.tolist(), table.checks.tolist()


def left_of(bag: list[tuple[int, int]]) -> dict[int, int]:
    counter: Counter[int] = Counter()
    for key, times in bag:
        counter[key] += times
    return {key: times for key, times in counter.items() if times}


@given(BAGS, st.sampled_from([16, 64, 1024]))
def test_sums_are_those_of_plain_integers(bag: list[tuple[int, int]], cells: int) -> None:
    assert columns(table_of(bag, cells)) == sums(bag, cells)


def test_the_largest_sums_one_pass_can_meet_do_not_overflow() -> None:
    # One key near 2^60 whose check is near 2^61, at the largest count, in more entries than one pass takes.
    key = next(key for key in range(KEY_MASK, 0, -1) if check_of(key) > PRIME - (PRIME >> 5))
    bag = [(key, MAX_TIMES)] * 20_000
    assert columns(table_of(bag, 16)) == sums(bag, 16)
    negative = [(key, -times) for key, times in bag]
    assert columns(table_of(negative, 16)) == sums(negative, 16)


@given(BAGS, BAGS)
def test_merging_and_subtracting_are_adding_and_taking_out(
    one: list[tuple[int, int]], other: list[tuple[int, int]]
) -> None:
    merged = table_of(one)
    merged.merge(table_of(other))
    assert columns(merged) == columns(table_of(one + other))
    merged.merge(table_of(one), -1)
    assert columns(merged) == columns(table_of(other))
    merged.merge(table_of(other), -1)
    assert merged.is_zero()


@given(BAGS)
def test_what_is_named_is_true_and_the_rest_is_admitted(bag: list[tuple[int, int]]) -> None:
    table = table_of(bag)
    before = columns(table)
    decoded = table.decode()
    wanted = left_of(bag)
    assert decoded.items.items() <= wanted.items()
    assert (decoded.undecoded == 0) == (decoded.items == wanted)
    assert columns(table) == before


@given(BAGS, st.sampled_from([16, 64, 1024]))
def test_bytes_hold_the_whole_table(bag: list[tuple[int, int]], cells: int) -> None:
    table = table_of(bag, cells)
    assert columns(Table.from_bytes(table.to_bytes())) == columns(table)


@given(st.binary(max_size=200) | st.builds(lambda tail: b"\x01\x00\x10\x00\x01\x00\x00\x00" + tail, st.binary()))
def test_bytes_that_are_no_table_are_refused_or_decode_to_an_end(packed: bytes) -> None:
    try:
        table = Table.from_bytes(packed)
    except ConfigurationError:
        return
    table.decode()


def test_another_version_is_refused_by_name() -> None:
    packed = Table().to_bytes()
    with pytest.raises(ConfigurationError, match=r"version 9.*knows 1"):
        Table.from_bytes(b"\x09" + packed[1:])


def test_seven_lost_three_doubled_and_one_tripled_of_100_000_are_named() -> None:
    keys = keys_of([f"channel:{number % 500} 1f-{number}" for number in range(100_000)]).tolist()
    draw = random.Random(11).sample(keys, 11)
    lost, doubled, tripled = draw[:7], draw[7:10], draw[10:]
    sent, received = Table(), Table()
    sent.add(keys, [1] * len(keys))
    gone = set(lost)
    arrived = [key for key in keys if key not in gone] + doubled + tripled * 2
    received.add(arrived, [1] * len(arrived))
    sent.merge(received, -1)
    decoded = sent.decode()
    wanted = dict.fromkeys(lost, 1) | dict.fromkeys(doubled, -1) | dict.fromkeys(tripled, -2)
    assert decoded.items == wanted
    assert decoded.undecoded == 0


def test_counts_of_100_000_subscribers_are_named_among_small_ones() -> None:
    bag = [(1_000_003 * number, times) for number, times in enumerate((100_000, -100_000, 1, -1, 200, -7, 65_536), 1)]
    decoded = table_of(bag).decode()
    assert decoded.items == dict(bag)
    assert decoded.undecoded == 0


def test_one_loss_and_one_duplicate_do_not_hide_each_other() -> None:
    table = table_of([(11, 1), (22, -1)])
    assert int(table.counts.sum()) == 0
    assert table.decode().items == {11: 1, 22: -1}


@pytest.mark.parametrize("seed", range(5))
def test_a_hundred_differences_are_all_named(seed: int) -> None:
    draw = random.Random(seed)
    bag = [(draw.randint(1, KEY_MASK), draw.choice((1, 1, 1, -1, -2, 200))) for _ in range(100)]
    decoded = table_of(bag).decode()
    assert decoded.items == dict(bag)
    assert decoded.undecoded == 0


@given(seed=st.integers(0, 2**32), differences=st.integers(900, 5000))
@settings(max_examples=10, deadline=None)
def test_too_many_differences_are_admitted_and_never_named_wrongly(seed: int, differences: int) -> None:
    draw = random.Random(seed)
    bag = [(draw.randint(1, KEY_MASK), draw.choice((1, -1, -2, 3))) for _ in range(differences)]
    decoded = table_of(bag).decode()
    assert 0 < decoded.undecoded <= sum(abs(times) for _, times in bag)
    assert decoded.items.items() <= dict(bag).items()


def test_a_difference_whose_counts_cancel_is_still_admitted() -> None:
    # So small a table that all four cells of two keys can coincide: the counts are zero, the sums are not.
    one = 5
    other = next(key for key in range(6, 100_000) if cells_of(key, 16) == cells_of(one, 16))
    decoded = table_of([(one, 1), (other, -1)], 16).decode()
    assert decoded.items == {}
    assert decoded.undecoded >= 1


def test_a_key_in_a_cell_that_is_not_its_own_is_no_name() -> None:
    table = Table()
    stranger = next(cell for cell in range(1024) if cell not in cells_of(5))
    table.counts[stranger], table.keys[stranger], table.checks[stranger] = 1, 5, check_of(5)
    decoded = table.decode()
    assert decoded.items == {}
    assert decoded.undecoded == 1
    assert _pure(stranger, 1, 5, check_of(5), 1024) is None
    assert _pure(cells_of(5)[0], 1, 5, check_of(5), 1024) == 5


def test_a_count_beyond_the_limit_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="1048576"):
        Table().add([1], [MAX_TIMES + 1])


@pytest.mark.parametrize("cells", [0, 8, 1000, 1 << 16])
def test_a_size_that_is_no_power_of_two_is_refused(cells: int) -> None:
    with pytest.raises(ConfigurationError, match=str(cells)):
        Table(cells)


def test_tables_of_two_sizes_are_not_summed() -> None:
    with pytest.raises(ConfigurationError, match="1024 and 16"):
        Table(1024).merge(Table(16))
