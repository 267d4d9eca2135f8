"""The whole ledger on a real server: counted, flushed, read back, balanced."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import pytest

from realtime_core.errors import ConfigurationError
from realtime_core.ledger import HopBalance, Item, Ledger, balance, key_of, keys_of, read, wait_balanced
from realtime_core.ledger import store as store_module

if TYPE_CHECKING:
    from redis import Redis

AT = 1_700_000_000.25
HOP = "pipeline>dark"


def names_of(items: tuple[Item, ...]) -> dict[str | None, int]:
    return {item.id: item.times for item in items}


def only(redis: Redis, name: str, hop: str = HOP) -> HopBalance:
    (found,) = [one for one in balance(read(redis, name)) if one.hop == hop]
    return found


@pytest.fixture
def sender(redis_client: Redis, redis_name: str) -> Ledger:
    return Ledger(redis_client, redis_name, "sender#1")


@pytest.fixture
def receiver(redis_client: Redis, redis_name: str) -> Ledger:
    return Ledger(redis_client, redis_name, "receiver#1")


def test_what_arrived_balances_and_a_closed_account_is_not_open(
    redis_client: Redis, redis_name: str, sender: Ledger, receiver: Ledger
) -> None:
    ids = [f"user:1 e-{number}" for number in range(3000)]
    for start in range(0, 3000, 256):
        sender.sent(HOP, ids[start : start + 256], AT + start / 100)
        receiver.received(HOP, keys_of(ids[start : start + 256]), [AT + start / 100] * len(ids[start : start + 256]))
    sender.close()
    receiver.flush()
    found = only(redis_client, redis_name)
    assert found.balanced
    assert (found.sent, found.received, found.explained) == (3000, 3000, {})
    assert [text.split()[0] for text in found.open_owners] == ["receiver#1"]


@pytest.mark.parametrize("size", [200, 100_000])
def test_losses_and_duplicates_are_named_in_quiet_and_in_busy_windows(
    redis_client: Redis, redis_name: str, sender: Ledger, receiver: Ledger, size: int
) -> None:
    ids = [f"user:1 e-{number}" for number in range(size)]
    lost, doubled, tripled = ids[10:17], ids[100:103], ids[150]
    sender.sent(HOP, ids, AT)
    sender.name(ids[:200])
    receiver.received(HOP, [one for one in ids if one not in lost] + doubled + [tripled] * 2, AT)
    sender.close()
    receiver.close()
    found = only(redis_client, redis_name)
    assert names_of(found.missing) == dict.fromkeys(lost, 1)
    assert names_of(found.extra) == dict.fromkeys(doubled, 1) | {tripled: 2}
    assert (found.undecoded, found.open_owners) == (0, ())
    assert (found.sent, found.received) == (size, size - 2)


def test_events_times_subscribers_balance_against_single_readings(
    redis_client: Redis, redis_name: str, sender: Ledger, receiver: Ledger
) -> None:
    sender.sent(HOP, ["big", "small", "none"], AT, [100_000, 3, 0])
    for _ in range(3):
        receiver.received(HOP, ["small"], AT)
    receiver.received(HOP, ["big"], AT, 99_998)
    sender.flush()
    receiver.flush()
    found = only(redis_client, redis_name)
    assert found.missing == (Item(id=None, key=key_of("big"), times=2),)
    assert found.extra == ()


def test_more_differences_than_a_table_names_are_admitted(
    redis_client: Redis, redis_name: str, sender: Ledger, receiver: Ledger
) -> None:
    ids = [f"e-{number}" for number in range(4000)]
    sender.sent(HOP, ids, AT)
    receiver.received(HOP, ids[:1000], AT)
    sender.name(ids)
    sender.flush()
    receiver.flush()
    found = only(redis_client, redis_name)
    assert not found.balanced
    assert 0 < found.undecoded <= 3000
    assert set(names_of(found.missing)) <= set(ids[1000:])


def test_one_bad_window_does_not_hide_the_names_of_another(
    redis_client: Redis, redis_name: str, sender: Ledger, receiver: Ledger
) -> None:
    busy = [f"busy-{number}" for number in range(4000)]
    calm = [f"calm-{number}" for number in range(2000)]
    sender.sent(HOP, busy, AT)
    sender.sent(HOP, calm, AT + 60)
    receiver.received(HOP, calm[1:], AT + 60)
    sender.name(["calm-0"])
    sender.flush()
    receiver.flush()
    found = only(redis_client, redis_name)
    assert found.undecoded > 0
    assert "calm-0" in names_of(found.missing)


def test_what_left_for_a_reason_is_explained_and_unknown_is_no_reason(
    redis_client: Redis, redis_name: str, sender: Ledger
) -> None:
    sender.sent(HOP, ["a", "b"], AT)
    sender.explained(HOP, ["a", "b"], AT, "refused")
    sender.flush()
    assert only(redis_client, redis_name).balanced
    assert only(redis_client, redis_name).explained == {"refused": 2}
    sender.sent(HOP, ["c"], AT)
    sender.explained(HOP, ["c"], AT, "unknown")
    sender.flush()
    found = only(redis_client, redis_name)
    assert (found.missing, found.extra, found.undecoded, found.balanced) == ((), (), 0, False)


def test_flushing_twice_changes_nothing(redis_client: Redis, redis_name: str, sender: Ledger) -> None:
    sender.sent(HOP, [f"e-{number}" for number in range(700)], AT)
    pipe = redis_client.pipeline(transaction=True)
    sender.flush(pipe)
    commands = list(pipe.command_stack)
    pipe.execute()
    for args, options in commands:
        redis_client.execute_command(*args, **options)
    sender.flush()
    sender.close()
    assert only(redis_client, redis_name).sent == 700
    receiver = Ledger(redis_client, redis_name, "receiver#1")
    receiver.received(HOP, [f"e-{number}" for number in range(700)], AT)
    receiver.close()
    assert only(redis_client, redis_name).balanced


def test_a_flush_arrives_with_the_transaction_it_was_put_into_or_not_at_all(
    redis_client: Redis, redis_name: str, sender: Ledger
) -> None:
    sender.sent(HOP, ["a"], AT)
    with redis_client.pipeline(transaction=True) as pipe:
        pipe.set(f"{redis_name}:settled", 1)
        sender.flush(pipe)
        assert balance(read(redis_client, redis_name)) == []
        pipe.reset()  # the transaction is given up
    assert balance(read(redis_client, redis_name)) == []
    sender.sent(HOP, ["b"], AT + 60)
    with redis_client.pipeline(transaction=True) as pipe:
        sender.flush(pipe)
        pipe.execute()
    assert only(redis_client, redis_name).sent == 2


def test_a_lost_transaction_with_a_table_in_it_comes_whole_with_the_next(
    redis_client: Redis, redis_name: str, sender: Ledger, receiver: Ledger
) -> None:
    ids = [f"e-{number}" for number in range(2001)]
    sender.sent(HOP, ids[:2000], AT)
    lost = redis_client.pipeline(transaction=True)
    sender.flush(lost)
    lost.reset()
    sender.sent(HOP, ids[2000:], AT)
    with redis_client.pipeline(transaction=True) as pipe:
        sender.flush(pipe)
        pipe.execute()
    receiver.received(HOP, ids, AT)
    receiver.flush()
    assert only(redis_client, redis_name).balanced


def test_transactions_that_arrive_in_the_other_order_lose_nothing(
    redis_client: Redis, redis_name: str, sender: Ledger, receiver: Ledger
) -> None:
    ids = [f"e-{number}" for number in range(1800)]
    pipes = []
    for part in (ids[:600], ids[600:1200], ids[1200:1201], ids[1201:]):
        sender.sent(HOP, part, AT)
        pipes.append(redis_client.pipeline(transaction=True))
        sender.flush(pipes[-1])
    for pipe in (pipes[3], pipes[1], pipes[0], pipes[2]):
        pipe.execute()
    receiver.received(HOP, ids, AT)
    receiver.flush()
    found = only(redis_client, redis_name)
    assert (found.sent, found.balanced) == (1800, True)


def test_a_restart_is_a_new_owner_and_the_dead_one_is_listed_with_its_age(redis_client: Redis, redis_name: str) -> None:
    first = Ledger(redis_client, redis_name, "push#1")
    first.received(HOP, ["a"], AT)
    first.flush()
    second = Ledger(redis_client, redis_name, "push#2")
    second.received(HOP, ["b"], AT)
    second.close()
    elsewhere = Ledger(redis_client, redis_name, "other#1")
    elsewhere.sent("other>hop", ["x"], AT)
    elsewhere.flush()
    found = only(redis_client, redis_name)
    assert found.received == 2
    (text,) = found.open_owners
    assert text.startswith("push#1 (last entry 0.")


def test_counting_after_closing_opens_the_account_again(redis_client: Redis, redis_name: str, sender: Ledger) -> None:
    sender.sent(HOP, ["a"], AT)
    sender.close()
    assert only(redis_client, redis_name).open_owners == ()
    sender.sent(HOP, ["b"], AT)
    sender.flush()
    assert len(only(redis_client, redis_name).open_owners) == 1


def test_since_and_until_choose_windows_by_the_events_time(
    redis_client: Redis, redis_name: str, sender: Ledger
) -> None:
    sender.sent(HOP, ["old", "middle", "new"], [1000.0, 1007.0, 1012.0])
    sender.flush()

    def sent(since: float | None, until: float | None) -> int:
        return sum(one.sent for one in balance(read(redis_client, redis_name, since=since, until=until)))

    assert (sent(None, None), sent(1006.0, None), sent(None, 1010.0), sent(1005.0, 1010.0)) == (3, 2, 2, 1)


def test_windows_owners_and_names_expire(redis_client: Redis, redis_name: str) -> None:
    ledger = Ledger(redis_client, redis_name, "short#1", window_s=1.0, keep_s=60.0)
    ledger.sent(HOP, ["a"], AT)
    ledger.name(["a"])
    ledger.close()
    keys = list(redis_client.scan_iter(match=f"led1:{{{redis_name}}}:*"))
    assert len(keys) == 6
    assert all(0 < redis_client.pttl(key) <= 60_000 for key in keys)


def test_names_are_capped_and_what_falls_out_is_counted(
    redis_client: Redis, redis_name: str, sender: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "MAX_NAMES", 2500)
    ids = [f"e-{number}" for number in range(4000)]
    for start in range(0, 4000, 400):
        sender.sent(HOP, ids[start : start + 1], AT)
        sender.name(ids[start : start + 400])
        sender.flush()
    state = read(redis_client, redis_name)
    assert state.names_dropped == 1600
    found = names_of(balance(state)[0].missing)
    assert set(found) == {None, *(f"e-{number}" for number in range(1600, 4000, 400))}


def test_an_id_that_is_not_unicode_is_counted_and_named_like_any_other(
    redis_client: Redis, redis_name: str, sender: Ledger
) -> None:
    sender.sent(HOP, ["\ud800 é", "plain"], AT)
    sender.name(["\ud800 é"])
    sender.flush()
    assert names_of(only(redis_client, redis_name).missing) == {"\ud800 é": 1, None: 1}


def test_counting_from_threads_while_another_flushes_loses_nothing(
    redis_client: Redis, redis_name: str, sender: Ledger, receiver: Ledger
) -> None:
    ids = [[f"t{thread} e-{number}" for number in range(3000)] for thread in range(3)]

    def count(own: list[str]) -> None:
        for start in range(0, len(own), 7):
            sender.sent(HOP, own[start : start + 7], AT)

    threads = [threading.Thread(target=count, args=(own,)) for own in ids]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        sender.flush()
        with redis_client.pipeline(transaction=True) as pipe:
            sender.flush(pipe)
            pipe.execute()
    for thread in threads:
        thread.join(5)
    sender.flush()
    receiver.received(HOP, [one for own in ids for one in own], AT)
    receiver.flush()
    found = only(redis_client, redis_name)
    assert (found.sent, found.balanced) == (9000, True)


def test_a_forked_child_counts_for_itself_and_not_what_its_parent_had_counted(
    redis_client: Redis, redis_name: str, sender: Ledger
) -> None:
    sender.sent(HOP, ["parents"], AT)
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            with redis_client.__class__(connection_pool=redis_client.connection_pool) as own:
                sender._store._redis = own
                sender.sent(HOP, ["childs"], AT)
                sender.close()
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    sender.close()
    state = read(redis_client, redis_name)
    assert {owner.name for owner in state.owners} == {"sender#1", f"sender#1+{pid}"}
    assert balance(state)[0].sent == 2


def test_waiting_ends_when_the_last_hop_balances_and_not_before_it_is_there(
    redis_client: Redis, redis_name: str, sender: Ledger, receiver: Ledger
) -> None:
    sender.sent(HOP, ["a"], AT)
    sender.flush()

    def late() -> None:
        receiver.received(HOP, ["a"], AT)
        receiver.flush()
        receiver.sent("late>hop", ["b"], AT)
        receiver.received("late>hop", ["b"], AT)
        receiver.close()

    timer = threading.Timer(0.2, late)
    timer.start()
    found = wait_balanced(redis_client, redis_name, timeout_s=10, hops=[HOP, "late>hop"])
    timer.join()
    assert [(one.hop, one.sent, one.received, one.balanced) for one in found] == [
        ("late>hop", 1, 1, True),
        (HOP, 1, 1, True),
    ]


def test_waiting_has_a_limit_and_gives_the_last_reading_with_names(
    redis_client: Redis, redis_name: str, sender: Ledger
) -> None:
    assert wait_balanced(redis_client, redis_name, timeout_s=0) == []
    sender.sent(HOP, ["a"], AT)
    sender.name(["a"])
    sender.flush()
    (found,) = wait_balanced(redis_client, redis_name, timeout_s=0.1)
    assert names_of(found.missing) == {"a": 1}


def test_bad_arguments_are_refused_with_a_remedy(redis_client: Redis, redis_name: str, sender: Ledger) -> None:
    with pytest.raises(ConfigurationError, match="list of ids"):
        sender.sent(HOP, "abc", AT)
    with pytest.raises(ConfigurationError, match="name of a side"):
        sender.explained(HOP, ["a"], AT, "sent")
    with pytest.raises(ConfigurationError, match="braces"):
        Ledger(redis_client, "a{b}", "o#1")
    with pytest.raises(ConfigurationError, match="window_s=0"):
        Ledger(redis_client, redis_name, "o#1", window_s=0)
    with pytest.raises(ConfigurationError, match="owner ''"):
        Ledger(redis_client, redis_name, "")


def test_a_client_that_decodes_is_told_apart(redis_client: Redis, redis_name: str) -> None:
    options = {**redis_client.connection_pool.connection_kwargs, "decode_responses": True}
    pool = redis_client.connection_pool.__class__(
        connection_class=redis_client.connection_pool.connection_class, **options
    )
    with redis_client.__class__(connection_pool=pool) as decoding, pytest.raises(ConfigurationError, match="decode"):
        read(decoding, redis_name)
    pool.disconnect()
