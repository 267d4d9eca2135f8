"""What is written after a put: soon, once for many, and by whoever is there to write it."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from realtime_core.hooks import books
from realtime_core.hooks.afterwards import Afterwards
from realtime_core.hooks.event import Captured, event_job, new_job_id
from realtime_core.hooks.producer import Producer
from realtime_core.hooks.trace import Trace, subject
from realtime_core.ledger import Ledger, balance, read
from realtime_core.queue import Queue
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from redis import Redis

    from realtime_core.stack import Valkey


LONG_S = 60.0


def event(number: int) -> Captured:
    told = {"kind": "post_save", "model": "site.Comment", "at": time.time()}
    job = event_job(job_id=new_job_id(), channels=["a"], key=number, fields={}, **told)
    return Captured(job=job, key=str(number), **told)


def test_what_is_asked_for_alone_has_been_written_when_the_ask_returns() -> None:
    by: list[threading.Thread] = []
    Afterwards(lambda: by.append(threading.current_thread()), LONG_S).ask()
    assert by == [threading.current_thread()]


def test_of_many_asks_only_the_first_waits_and_what_the_others_ask_for_is_written_together() -> None:
    told: list[int] = []
    written: list[int] = []
    afterwards = Afterwards(lambda: written.append(len(told)), 1.0)
    for number in range(100):
        told.append(number)
        afterwards.ask()
    assert written == [1], "the asks after the first were made within its second"
    wait_until(lambda: written[-1] == 100, what="the rest is written")
    assert len(written) == 2


class Slow:
    """A write that goes on until it is let; it counts those that are under way."""

    def __init__(self) -> None:
        self.goes_on = threading.Event()
        self.begun = 0
        self.ended = 0

    def __call__(self) -> None:
        self.begun += 1
        assert self.goes_on.wait(20)
        self.ended += 1


@pytest.fixture
def slow() -> Iterator[Slow]:
    one = Slow()
    yield one
    one.goes_on.set()


def after_puts() -> list[threading.Thread]:
    return [one for one in threading.enumerate() if one.name == "after-puts"]


def test_now_returns_when_what_another_thread_is_writing_is_written_too(slow: Slow) -> None:
    afterwards = Afterwards(slow, LONG_S)
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(afterwards.ask)
        wait_until(lambda: slow.begun == 1)
        second = threads.submit(afterwards.now)
        with pytest.raises(TimeoutError):
            second.result(0.2)
        assert slow.begun == 1, "one writes at a time"
        slow.goes_on.set()
        first.result(10)
        second.result(10)
    assert slow.ended == 2


def test_while_a_write_takes_long_asks_wait_for_none_and_one_thread_waits_for_all_of_them(slow: Slow) -> None:
    afterwards = Afterwards(slow, 0.001)
    with ThreadPoolExecutor(1) as threads:
        first = threads.submit(afterwards.ask)
        wait_until(lambda: slow.begun == 1)
        for _ in range(50):
            afterwards.ask()
            assert len(after_puts()) <= 1
            time.sleep(0.002)
        assert slow.begun == 1
        slow.goes_on.set()
        first.result(10)
        wait_until(lambda: not after_puts())
    assert slow.ended == 2


def test_who_asks_while_it_writes_waits_for_nothing() -> None:
    written: list[str] = []

    def write() -> None:
        written.append("write")
        if len(written) == 1:
            afterwards.ask()  # as a log handler that saves something does

    afterwards = Afterwards(write, 0.001)
    with ThreadPoolExecutor(1) as threads:
        threads.submit(afterwards.ask).result(10)
    wait_until(lambda: len(written) == 2)


def test_a_clock_that_was_turned_back_holds_nothing_up(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    afterwards = Afterwards(lambda: written.append("write"), 0.05)
    with monkeypatch.context() as ahead:
        ahead.setattr(time, "monotonic", lambda: 4e9)
        afterwards.ask()
    afterwards.ask()
    wait_until(lambda: len(written) == 2, what="the second, though the first was in the year 2096")


ENDS = """
import sys
from pathlib import Path
from realtime_core.hooks.afterwards import Afterwards
told = []
afterwards = Afterwards(lambda: Path(sys.argv[1]).write_text("".join(told)), 5.0)
def ask():
    for letter in sys.argv[2]:
        told.append(letter)
        afterwards.ask()
if sys.argv[3] == "last":
    import atexit
    atexit.register(ask)
else:
    ask()
"""
FORKS = """
import os, sys
from pathlib import Path
from realtime_core.hooks.afterwards import Afterwards
afterwards = Afterwards(lambda: Path(sys.argv[1] + str(os.getpid() == parent)).write_text("written"), 5.0)
parent = os.getpid()
afterwards.ask()
afterwards.ask()
Path(sys.argv[1] + "True").unlink()
child = os.fork()
if child:
    os.waitpid(child, 0)
else:
    afterwards.ask()
    os._exit(0)
"""


def run(source: str, *words: str) -> None:
    subprocess.run([sys.executable, "-c", source, *words], check=True, timeout=20)


@pytest.mark.parametrize("when", ["before it ends", "last"])
def test_a_process_that_ends_writes_what_waits(tmp_path: Path, when: str) -> None:
    run(ENDS, str(tmp_path / "told"), "abc", when)
    assert (tmp_path / "told").read_text() == "abc"


def test_a_forked_child_writes_its_own_though_the_thread_that_was_to_write_is_the_parents(tmp_path: Path) -> None:
    run(FORKS, str(tmp_path / "by-parent-"))
    assert (tmp_path / "by-parent-False").read_text() == "written", "the child"
    assert (tmp_path / "by-parent-True").read_text() == "written", "the parent, whose second ask was waiting"


class Flushes(Ledger):
    """Counts how often it was written."""

    written = 0

    def flush(self, *args: object) -> None:
        self.written += 1
        super().flush()


def test_puts_of_four_threads_are_all_accounted_and_traced_with_fewer_writes_than_puts(
    redis_client: Redis, redis_name: str, queue: Queue
) -> None:
    ledger = Flushes(redis_client, redis_name, "hooks")
    trace = Trace(redis_client, redis_name)
    producer = Producer(queue, ledger=ledger, trace=trace)
    events = [event(number) for number in range(400)]
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(producer.put, [events[first : first + 2] for first in range(0, 400, 2)]))

    def counted() -> tuple[int, int]:
        hops = {hop.hop: hop for hop in balance(read(redis_client, redis_name))}
        return hops["hooks>queue"].received, hops["queue>pipeline"].sent

    wait_until(lambda: counted() == (400, 400), what="every put is in the ledger")
    wait_until(
        lambda: None not in trace.last_put([subject(one.model, one.key) for one in events]),
        what="every object is traced",
    )
    (hop,) = [hop for hop in balance(read(redis_client, redis_name)) if hop.hop == "hooks>queue"]
    assert hop.balanced
    assert 1 <= ledger.written < 100, "200 puts"


def test_a_producer_that_is_closed_has_a_complete_account_until_it_puts_again_and_one_that_never_put_has_none(
    redis_client: Redis, redis_name: str, queue: Queue
) -> None:
    def stands() -> list[bool]:
        return [owner.closed is not None for owner in read(redis_client, redis_name).owners]

    producer = Producer(queue, ledger=Ledger(redis_client, redis_name, "hooks"))
    producer.close()
    assert stands() == []
    producer.put([event(1)])
    assert stands() == [False]
    producer.close()
    assert stands() == [True]
    producer.put([event(2)])
    producer.flush()
    assert stands() == [False]


@pytest.fixture
def trace(redis_client: Redis, redis_name: str) -> Trace:
    return Trace(redis_client, redis_name)


@pytest.fixture
def producer(redis_client: Redis, redis_name: str, queue: Queue, trace: Trace) -> Producer:
    return Producer(queue, ledger=Ledger(redis_client, redis_name, "hooks"), trace=trace)


def spoil(redis: Redis, key: str) -> None:
    redis.set(key, "of another type")


def test_a_ledger_that_redis_refuses_is_logged_made_up_for_and_keeps_no_event_from_the_trace(
    redis_client: Redis, redis_name: str, trace: Trace, producer: Producer, *, caplog: pytest.LogCaptureFixture
) -> None:
    spoil(redis_client, owners := f"led1:{{{redis_name}}}:owners")
    producer.put([event(1)])
    assert Queue(redis_client, redis_name).counts().available == 1
    assert "the ledger was not written" in caplog.text
    assert None not in trace.last_put(["site.Comment 1"])
    redis_client.delete(owners)
    producer.put([event(2)])
    producer.flush()
    assert [hop.sent for hop in balance(read(redis_client, redis_name))] == [2, 2]


def test_a_trace_that_redis_refuses_is_logged_and_what_is_noted_later_is_there(
    redis_client: Redis, redis_name: str, trace: Trace, producer: Producer, *, caplog: pytest.LogCaptureFixture
) -> None:
    spoil(redis_client, put := f"rth1:{{{redis_name}}}:put")
    producer.put([event(1)])
    assert "1 event(s) were put and are not in the trace" in caplog.text
    assert [hop.sent for hop in balance(read(redis_client, redis_name))] == [1, 1]
    redis_client.delete(put)
    producer.put([event(2)])
    producer.flush()
    assert None not in trace.last_put(["site.Comment 2"])


def test_a_request_that_is_broken_off_while_it_writes_costs_others_nothing(
    redis_client: Redis, redis_name: str, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    trace = Trace(redis_client, redis_name)
    producer = Producer(queue, trace=trace)

    def broken_off(_: object) -> None:
        raise SystemExit

    with monkeypatch.context() as first:
        first.setattr(trace, "note", broken_off)
        with pytest.raises(SystemExit):
            producer.put([event(1)])
    producer.flush()
    assert None not in trace.last_put(["site.Comment 1"])


class Gone(Queue):
    """A queue whose puts fail."""

    def put(self, *args: object, **kwargs: object) -> list[bool]:
        raise ConnectionError("gone")


def test_what_the_queue_did_not_take_is_in_the_account_with_the_next_write(
    redis_client: Redis, redis_name: str
) -> None:
    producer = Producer(Gone(redis_client, redis_name), ledger=Ledger(redis_client, redis_name, "hooks"))
    producer.put([event(1), event(2)])
    producer.flush()
    (hop,) = balance(read(redis_client, redis_name))
    assert (hop.hop, hop.sent, hop.received) == ("hooks>queue", 2, 0)


def test_a_log_handler_that_saves_while_a_count_fails_is_waited_for_by_nobody(
    redis_client: Redis, redis_name: str, *, caplog: pytest.LogCaptureFixture
) -> None:
    class Uncounted(Ledger):
        def sent(self, *_: object, **__: object) -> None:
            raise ValueError("not counted")

    producer = Producer(Gone(redis_client, redis_name), ledger=Uncounted(redis_client, redis_name, "hooks"))

    class Saves(logging.Handler):
        left = 3

        def emit(self, _: logging.LogRecord) -> None:
            if self.left:
                self.left -= 1
                producer.put([event(1)])

    logger = logging.getLogger("realtime_core.hooks.books")
    logger.addHandler(saves := Saves())
    try:
        with ThreadPoolExecutor(1) as threads:
            threads.submit(producer.put, [event(2)]).result(10)
    finally:
        logger.removeHandler(saves)
    assert (saves.left, producer.lost) == (0, 4)
    assert "not counted in the ledger" in caplog.text


FORKED = """
import os, sys
from redis import Redis
from realtime_core.hooks.event import Captured, event_job, new_job_id
from realtime_core.hooks.producer import Producer
from realtime_core.ledger import Ledger
from realtime_core.queue import Queue
def put(number):
    told = {"kind": "post_save", "model": "site.Comment", "at": 1.0}
    job = event_job(job_id=new_job_id(), channels=["a"], key=number, fields={}, **told)
    producer.put([Captured(job=job, key=str(number), **told)])
redis = Redis.from_url(sys.argv[1])
producer = Producer(Queue(redis, sys.argv[2]), ledger=Ledger(redis, sys.argv[2], "hooks"))
put(1)
put(2)  # which waits for its write
if os.fork():
    os.wait()
else:
    redis.connection_pool.disconnect()
    put(3)
    producer.close()
    os._exit(0)
"""


def test_a_forked_child_counts_what_it_put_and_not_what_its_parent_is_about_to_write(
    valkey: Valkey, redis_client: Redis, redis_name: str
) -> None:
    run(FORKED, valkey.url, redis_name)
    hops = {hop.hop: hop for hop in balance(read(redis_client, redis_name))}
    assert [(hop.sent, hop.received) for hop in hops.values()] == [(3, 3), (3, 0)]
    assert len(hops["queue>pipeline"].missing) == 3, "each once"


def test_objects_that_no_trace_takes_are_bounded_and_the_oldest_of_too_many_are_said(
    redis_client: Redis, redis_name: str, monkeypatch: pytest.MonkeyPatch, *, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(books, "MOST_NOTED", 3)
    trace = Trace(redis_client, redis_name)
    kept = books.Books(None, trace)
    for number in range(5):
        kept.taken([event(number)])
        kept.count()
    kept.write()
    assert "2 event(s) were put and are not in the trace: too many waited for it" in caplog.text
    assert [at is not None for at in trace.last_put([f"site.Comment {number}" for number in range(5)])] == [
        *[False] * 2,
        *[True] * 3,
    ]


def test_what_waits_for_its_write_is_counted_before_it_is_too_much(
    redis_client: Redis, redis_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(books, "GATHERED", 10)
    counted: list[int] = []

    class Told(Ledger):
        def received(self, hop: str, ids: Sequence[str], *_: object) -> None:
            counted.append(len(ids))

    kept = books.Books(Told(redis_client, redis_name, "hooks"), None)
    for number in range(25):
        kept.taken([event(number)])
    assert counted == [11, 11]


class Breaks(Ledger):
    """Counts what it was told; one call is broken off."""

    def __init__(self, redis: Redis, name: str, broken: BaseException) -> None:
        super().__init__(redis, name, "hooks")
        self.broken: BaseException | None = broken
        self.told = {"sent": 0, "received": 0}

    def sent(self, hop: str, ids: Sequence[str], *_: object) -> None:
        if self.broken is not None:
            broken, self.broken = self.broken, None
            raise broken
        self.told["sent"] += len(ids) if hop == books.HOP_IN else 0

    def received(self, hop: str, ids: Sequence[str], *_: object) -> None:
        self.told["received"] += len(ids)


@pytest.mark.parametrize("broken", [KeyboardInterrupt(), ValueError("one id is none")])
def test_a_count_that_is_broken_off_costs_some_and_not_all_that_wait(
    redis_client: Redis, redis_name: str, monkeypatch: pytest.MonkeyPatch, broken: BaseException
) -> None:
    monkeypatch.setattr(books, "AT_ONCE", 10)
    ledger = Breaks(redis_client, redis_name, broken)
    kept = books.Books(ledger, None)
    for number in range(100):
        kept.fired([event(number)])
        kept.taken([event(number)])
    with suppress(KeyboardInterrupt):
        kept.count()
    kept.count()
    assert ledger.told == {"sent": 90, "received": 100}


def test_puts_that_are_broken_off_before_the_queue_answers_are_counted_before_they_are_too_many(
    redis_client: Redis, redis_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(books, "GATHERED", 10)

    class TimesOut(Gone):
        def put(self, *_: object, **__: object) -> list[bool]:
            raise SystemExit  # as a time limit around the request does

    ledger = Breaks(redis_client, redis_name, ValueError())
    ledger.broken = None
    producer = Producer(TimesOut(redis_client, redis_name), ledger=ledger)
    for number in range(25):
        with pytest.raises(SystemExit):
            producer.put([event(number)])
    assert ledger.told["sent"] == 22


def test_a_log_handler_that_another_thread_is_in_and_that_saves_is_no_deadlock(
    redis_client: Redis, redis_name: str
) -> None:
    """The handler's own lock and the books': whoever logs holds the first, whoever counts the second."""

    class Uncounted(Ledger):
        def sent(self, *_: object, **__: object) -> None:
            raise ValueError("not counted")

    producer = Producer(Gone(redis_client, redis_name), ledger=Uncounted(redis_client, redis_name, "hooks"))
    within, go_on = threading.Event(), threading.Event()

    class Saves(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.msg == "first":
                within.set()
                go_on.wait(10)
                producer.put([event(1)])

    logger = logging.getLogger("realtime_core.hooks.books")
    logger.addHandler(saves := Saves())
    counts = threading.Thread(target=producer.put, args=([event(2)],), daemon=True)
    logs = threading.Thread(target=logger.error, args=("first",), daemon=True)
    try:
        logs.start()
        assert within.wait(10)
        counts.start()
        time.sleep(0.3)  # it is waiting for the handler now
        go_on.set()
        logs.join(10)
        counts.join(10)
        assert not logs.is_alive()
        assert not counts.is_alive()
    finally:
        logger.removeHandler(saves)
