"""An account: which windows a flush has to carry, whatever became of the flushes before it."""

from __future__ import annotations

from typing import Any

import pytest

from realtime_core.errors import ConfigurationError
from realtime_core.ledger import account as account_module
from realtime_core.ledger.account import RECEIVED, SENT, Account
from realtime_core.ledger.net import FOLD_AT, Entries


@pytest.fixture
def account() -> Account:
    return Account(window_s=5.0)


def entries_of(account: Account) -> dict[tuple[int, int], Entries]:
    return {(one.index, one.part): Entries.from_bytes(one.entries) for one in account.collect()[1]}


def test_counts_go_into_the_window_of_the_events_own_time(account: Account) -> None:
    account.count(SENT, "a>b", [1, 2, 3], [4.9, 5.0, 12.0], 1)
    account.count(RECEIVED, "a>b", [3, 1], [12.0, 4.9], [1, 2])
    found = entries_of(account)
    assert {index: (one.sent, one.received) for (index, _), one in found.items()} == {0: (1, 2), 1: (1, 0), 2: (1, 1)}


def test_a_flush_that_was_lost_comes_again_with_the_next(account: Account) -> None:
    account.count(SENT, "a>b", [1], 0.0, 1)
    account.collect()
    account.count(SENT, "a>b", [2], 100.0, 1)
    assert {index for index, _ in entries_of(account)} == {0, 20}


def test_a_flush_that_arrived_is_not_written_again(account: Account) -> None:
    account.count(SENT, "a>b", [1], 0.0, 1)
    number, _ = account.collect()
    account.settle(number)
    assert not account.waiting()
    account.count(SENT, "a>b", [2], 100.0, 1)
    assert {index for index, _ in entries_of(account)} == {20}


def test_what_is_counted_while_a_flush_is_under_way_is_not_taken_for_written(account: Account) -> None:
    account.count(SENT, "a>b", [1], 0.0, 1)
    number, _ = account.collect()
    account.count(SENT, "a>b", [2], 0.0, 1)
    account.settle(number)
    assert entries_of(account)[0, 0].sent == 2


def test_a_table_is_carried_until_it_is_known_to_have_arrived(account: Account) -> None:
    account.count(SENT, "a>b", list(range(1, FOLD_AT + 2)), 0.0, 1)
    first, (lost,) = account.collect()
    assert lost.table is not None
    assert account.table_in_doubt()
    account.count(SENT, "a>b", [9], 0.0, 1)
    second, (again,) = account.collect()
    assert again.table == lost.table
    account.settle(second)
    account.count(SENT, "a>b", [10], 0.0, 1)
    _, (later,) = account.collect()
    assert later.table is None
    assert first < second


def test_a_redis_that_lost_what_it_had_gets_everything_again(account: Account) -> None:
    for at in (0.0, 10.0, 20.0):
        account.count(SENT, "a>b", list(range(1, FOLD_AT + 2)), at, 1)
        number, _ = account.collect()
        account.settle(number)
    account.settle(0)
    _, carried = account.collect()
    assert [one.index for one in carried] == [0, 2, 4]
    assert all(one.table is not None for one in carried)


def test_memory_is_bounded_and_a_late_count_does_not_overwrite_a_window_that_was_let_go(account: Account) -> None:
    for number in range(account_module.SETTLED_WINDOWS + 10):
        account.count(SENT, "a>b", [1], number * 5.0, 1)
        account.settle(account.collect()[0])
    assert len(account._windows) <= account_module.SETTLED_WINDOWS
    account.count(RECEIVED, "a>b", [1], 0.0, 1)
    ((index, part), late) = next(iter(entries_of(account).items()))
    assert (index, late.sent, late.received) == (0, 0, 1)
    assert part > 0


def test_what_must_be_forgotten_without_redis_is_counted(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(account_module, "SETTLED_WINDOWS", 4)
    monkeypatch.setattr(account_module, "UNWRITTEN_WINDOWS", 8)
    for number in range(10):
        account.count(SENT, "a>b", [1], number * 5.0, 3)
    assert account.dropped == 6
    assert len(account.collect()[1]) == 8


@pytest.mark.parametrize(
    ("hop", "at", "times", "says"),
    [
        ("a>b", 0.0, -1, "times=-1"),
        ("a>b", 0.0, 1_000_001, "1000000"),
        ("a>b", 0.0, [1], "2 ids and 1 times"),
        ("a>b", 0.0, [1, -1], "from -1"),
        ("a>b", [0.0], 1, "2 ids and 1 event times"),
        ("a>b", float("nan"), 1, "at=nan"),
        ("a>b", [0.0, float("inf")], 1, "at=inf"),
        ("a b", 0.0, 1, "'a b'"),
        ("", 0.0, 1, "hop ''"),
    ],
)
def test_a_bad_count_is_refused_whole_with_its_value(
    account: Account, hop: str, at: Any, times: Any, says: str
) -> None:
    with pytest.raises(ConfigurationError, match=says):
        account.count(SENT, hop, [1, 2], at, times)
    assert not account.waiting()


def test_a_reason_is_a_word(account: Account) -> None:
    with pytest.raises(ConfigurationError, match="No such"):
        account.count("No such", "a>b", [1], 0.0, 1)
    assert not account.waiting()


def test_an_event_to_nobody_counts_nothing(account: Account) -> None:
    account.count(SENT, "a>b", [1], 0.0, 0)
    assert not account.waiting()
