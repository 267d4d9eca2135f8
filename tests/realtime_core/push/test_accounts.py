"""What the ledger learns: exactly what came in and went out, whoever leaves, whatever happens to Redis."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.exceptions import ConnectionError as RedisConnectionError

from realtime_core.ledger import HopBalance, Ledger, balance, read, wait_balanced
from realtime_core.push.__main__ import LEDGER_TIMEOUT_S
from realtime_core.push.accounts import DROPPED, PIECE, Accounts
from realtime_core.push.wire_format import Event
from tests.realtime_core.push.client import Reader, browser_events, dial, metric, publish
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from redis import Redis

    from realtime_core.stack import Push, Stack, Valkey

IN, OUT = "pipeline>production", "production>visitors"
AT = 1_700_000_000.25


@pytest.fixture
def counting(start: Callable[..., Push], valkey: Valkey, redis_name: str) -> Callable[..., Push]:
    """Start a server that counts."""

    def start_counting(*options: str, url: str = valkey.url) -> Push:
        return start(*options, ledger=url, ledger_name=redis_name, hop_in=IN, hop_out=OUT, owner="push#1")

    return start_counting


@pytest.fixture
def other_side(redis_client: Redis, redis_name: str) -> Iterator[Ledger]:
    """What publisher and visitors count."""
    ledger = Ledger(redis_client, redis_name, "test#1")
    yield ledger
    ledger.close()


def by_hop(found: Sequence[HopBalance]) -> dict[str, HopBalance]:
    return {one.hop: one for one in found}


def publish_counted(push: Push, other_side: Ledger, channel: str, event_id: str, body: str = "x") -> None:
    other_side.sent(IN, [f"{channel} {event_id}"], AT)
    publish(push, channel, body, Event_Id=event_id, Event_At=str(AT))


def read_counted(other_side: Ledger, channel: str, reader: Reader) -> None:
    other_side.received(
        OUT, [f"{channel} {one.id}" for one in browser_events(reader.stream) if one.data != "nameless"], AT
    )


def test_every_event_in_and_out_is_counted_and_balances_after_the_end(
    counting: Callable[..., Push], other_side: Ledger, redis_client: Redis, redis_name: str
) -> None:
    push = counting("--store", "100")
    readers = [Reader(push, "ch") for _ in range(3)]
    publish_counted(push, other_side, "ch", "1-1")
    publish_counted(push, other_side, "ch", "1-2")
    publish_counted(push, other_side, "ch", "1-2")  # doubled: counted twice, fanned out twice
    publish_counted(push, other_side, "empty", "1-1")  # nobody reads it
    publish(push, "ch", "nameless")
    readers.append(Reader(push, "ch", wait=False, Last_Event_ID="1-1"))  # what is replayed counts as well
    readers[-1].until(b"nameless\n\n")
    assert push.service.stop() == 0
    for reader in readers:
        reader.to_end()
        read_counted(other_side, "ch", reader)
        reader.close()
    other_side.close()
    found = by_hop(wait_balanced(redis_client, redis_name, timeout_s=5))
    assert (found[IN].sent, found[IN].received, found[IN].balanced) == (4, 4, True)
    assert (found[OUT].sent, found[OUT].received, found[OUT].balanced) == (11, 11, True)
    assert found[IN].open_owners == found[OUT].open_owners == ()


def test_counts_are_in_redis_soon_and_a_killed_server_stays_open(
    counting: Callable[..., Push], other_side: Ledger, redis_client: Redis, redis_name: str
) -> None:
    push = counting()
    publish_counted(push, other_side, "ch", "1-1")
    other_side.close()
    (found,) = wait_balanced(redis_client, redis_name, timeout_s=5)
    assert (found.sent, found.received) == (1, 1)
    os.kill(push.service.pid, signal.SIGKILL)
    push.service.stop()
    (found,) = balance(read(redis_client, redis_name))
    assert len(found.open_owners) == 1
    assert "push#1" in found.open_owners[0]


def test_what_a_dropped_reader_was_not_sent_is_explained_to_the_event(
    counting: Callable[..., Push], other_side: Ledger, redis_client: Redis, redis_name: str
) -> None:
    """The slow reader is read to its end afterwards: what it got and what is explained is what was counted as sent."""
    push = counting("--outbox-bytes", "300000")
    with Reader(push, "ch", receive_buffer=4096) as slow:
        number = 0
        while metric(push, "dropped_subscribers_total", reason="slow") == 0:
            number += 1
            publish_counted(push, other_side, "ch", f"1-{number}", "z" * 30_000)
        assert push.service.stop() == 0
        with pytest.raises(Exception, match=r"reset|closed|incomplete|peer"):
            slow.to_end()
        read_counted(other_side, "ch", slow)
    other_side.close()
    found = by_hop(wait_balanced(redis_client, redis_name, timeout_s=5))
    assert found[OUT].explained == {DROPPED: found[OUT].sent - found[OUT].received}
    assert found[OUT].explained[DROPPED] >= 5
    assert found[OUT].balanced, found[OUT]


def test_what_is_left_for_a_stuck_reader_at_the_end_is_explained(
    counting: Callable[..., Push], other_side: Ledger, redis_client: Redis, redis_name: str
) -> None:
    push = counting("--outbox-bytes", "10000000")
    with Reader(push, "ch", receive_buffer=4096) as stuck, Reader(push, "ch") as good:
        number = 0
        while metric(push, "outbox_bytes") < 100_000:
            number += 1
            publish_counted(push, other_side, "ch", f"1-{number}", "z" * 30_000)
            good.until(b"z\n\n")
        assert push.service.stop() == 0
        good.to_end()
        with pytest.raises(Exception, match=r"reset|closed|incomplete|peer"):
            stuck.to_end()
        read_counted(other_side, "ch", stuck)
        read_counted(other_side, "ch", good)
    other_side.close()
    found = by_hop(wait_balanced(redis_client, redis_name, timeout_s=5))
    assert found[OUT].sent == 2 * number
    assert found[OUT].explained[DROPPED] >= 3
    assert found[OUT].balanced, found[OUT]


def test_a_redis_that_hangs_delays_nobody_and_loses_no_count(
    counting: Callable[..., Push], stack: Stack, redis_name: str
) -> None:
    own = stack.valkey(name="own")
    push = counting(url=own.url)
    pid = own.client().info("server")["process_id"]
    with Reader(push, "ch") as reader, dial(push) as sock:
        publish(push, "ch", "x", Event_Id="1-0", Event_At=str(AT))
        number = slow = failures = 0
        os.kill(pid, signal.SIGSTOP)
        try:
            while failures < 4:
                number += 1
                before = time.monotonic()
                sock.sendall(
                    b"POST /pub?id=ch HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n"
                    b"Event-Id: 1-%d\r\nEvent-At: %b\r\n\r\nx" % (number, str(AT).encode())
                )
                assert sock.recv(4096).startswith(b"HTTP/1.1 200")
                slow += time.monotonic() - before > LEDGER_TIMEOUT_S / 2
                if number % 50 == 0:
                    failures = int(metric(push, "ledger_failed_flushes_total"))
        finally:
            os.kill(pid, signal.SIGCONT)
        reader.until(b"id: 1-%d\ndata: x\n\n" % number)
        assert slow < 2  # had the loop waited for Redis, each failure would have held a publish up
        assert push.service.stop() == 0
    with own.client() as redis:
        found = by_hop(balance(read(redis, redis_name)))
    assert found[IN].received == found[OUT].sent == number + 1
    assert found[OUT].open_owners == ()


def test_the_end_does_not_wait_for_a_redis_that_is_gone(counting: Callable[..., Push], stack: Stack) -> None:
    own = stack.valkey(name="own")
    push = counting(url=own.url)
    publish(push, "ch", "x", Event_Id="1-0", Event_At=str(AT))
    own.stop()
    publish(push, "ch", "x", Event_Id="1-1", Event_At=str(AT))
    assert push.service.stop(4.0) == 0  # 2 s is the promise, on a machine that is not busy
    assert "this account stays open" in push.service.tail()


class Book:
    """A ledger in a test's hands."""

    def __init__(self) -> None:
        self.counts: dict[tuple[str, str, str], int] = {}
        self.sizes: list[int] = []
        self.go = threading.Event()
        self.go.set()
        self.failing = False
        self.closed = False

    def _count(self, side: str, hop: str, ids: Sequence[str], times: Sequence[int]) -> None:
        self.sizes.append(len(ids))
        for one, many in zip(ids, times, strict=True):
            self.counts[side, hop, one] = self.counts.get((side, hop, one), 0) + many

    def sent(self, hop: str, ids: Sequence[str], at: object, times: Sequence[int]) -> None:
        self._count("sent", hop, ids, times)

    def received(self, hop: str, ids: Sequence[str], at: object, times: Sequence[int]) -> None:
        self._count("received", hop, ids, times)

    def explained(self, hop: str, ids: Sequence[str], at: object, reason: str, times: Sequence[int]) -> None:
        self._count(reason, hop, ids, times)

    def name(self, ids: Sequence[str]) -> None:
        pass

    def flush(self) -> None:
        self.go.wait(10)
        if self.failing:
            raise RedisConnectionError("gone")

    def close(self) -> None:
        self.flush()
        self.closed = True


def event(name: str | None) -> Event:
    return Event(name, AT, None, b"x")


NOTES = st.tuples(st.sampled_from(["in", "out", "drop"]), st.sampled_from(["a 1", "a 2", None]), st.integers(0, 3))


@given(st.lists(NOTES))
def test_the_thread_carries_every_note_once(notes: list[tuple[str, str | None, int]]) -> None:
    book = Book()
    accounts = Accounts(book, IN, OUT)
    expected: dict[tuple[str, str, str], int] = {}
    accounts.start()
    for kind, name, times in notes:
        if kind == "in":
            accounts.received(event(name))
            key, many = ("received", IN, name), 1
        elif kind == "out":
            accounts.sent([event(name)], times)
            key, many = ("sent", OUT, name), times
        else:
            accounts.dropped([event(name)])
            key, many = (DROPPED, OUT, name), 1
        if name is not None and many:
            expected[key] = expected.get(key, 0) + many
    assert accounts.close(5)
    assert book.closed
    assert book.counts == expected
    assert accounts.lost == 0


def test_notes_beyond_the_bound_are_lost_and_counted() -> None:
    book = Book()
    book.go.clear()
    accounts = Accounts(book, IN, OUT, most_waiting=10)
    accounts.start()
    accounts.received(event("a 0"))
    wait_until(lambda: book.counts, what="the first note, and a flush that hangs")
    for number in range(1, 16):
        accounts.received(event(f"a {number}"))
    accounts.sent([event("a 16")], 7)
    assert accounts.lost == 5 + 7
    book.go.set()
    assert accounts.close(5)
    assert len(book.counts) == 11


def test_notes_are_carried_a_piece_at_a_time_so_that_the_loop_gets_its_turn_between_two() -> None:
    book = Book()
    accounts = Accounts(book, IN, OUT)
    for number in range(10 * PIECE):
        accounts.received(event(f"a {number}"))
    accounts.start()
    wait_until(lambda: len(book.counts) == 10 * PIECE, what="all of them")
    assert max(book.sizes) <= PIECE
    assert accounts.close(5)


def test_a_piece_that_is_together_is_carried_before_the_next_flush_is_due(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("realtime_core.push.accounts.EVERY_S", 3600.0)
    book = Book()
    accounts = Accounts(book, IN, OUT)
    accounts.start()
    for number in range(PIECE):
        accounts.received(event(f"a {number}"))
    wait_until(lambda: len(book.counts) == PIECE, what="the piece")
    assert accounts.close(5)


def test_an_account_that_cannot_be_closed_is_said_to_stay_open(caplog: pytest.LogCaptureFixture) -> None:
    book = Book()
    book.failing = True
    accounts = Accounts(book, IN, OUT)
    accounts.start()
    assert not accounts.close(5)
    assert accounts.failed_flushes == 2
    assert "this account stays open" in caplog.text


def test_without_a_ledger_nothing_is_noted() -> None:
    accounts = Accounts(None)
    accounts.start()
    accounts.received(event("a 1"))
    assert not accounts.counting
    assert accounts.close(0)


def test_a_server_that_counts_has_loaded_what_that_takes_before_it_listens(counting: Callable[..., Push]) -> None:
    """Numpy's import stops it for a tenth of a second: no subscriber may wait for that."""
    push = counting()
    assert "numpy" in Path(f"/proc/{push.service.pid}/maps").read_text()
