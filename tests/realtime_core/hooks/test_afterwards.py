"""What is written after a put: soon, once for many, and by whoever is there to write it."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from realtime_core.hooks.afterwards import Afterwards
from realtime_core.hooks.event import Captured, event_job, new_job_id
from realtime_core.hooks.producer import Producer
from realtime_core.hooks.trace import Trace, subject
from realtime_core.ledger import Ledger, balance, read
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from redis import Redis

    from realtime_core.queue import Queue

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

    def write() -> None:
        written.append(len(told))

    afterwards = Afterwards(write, 0.2)
    for number in range(100):
        told.append(number)
        afterwards.ask()
    assert written == [1], "the asks after the first were made within its 0.2 s"
    wait_until(lambda: written[-1] == 100, what="the rest is written")
    assert len(written) == 2


def test_now_returns_when_what_another_thread_is_writing_is_written_too() -> None:
    goes_on, begun, ends = threading.Event(), threading.Event(), []

    def write() -> None:
        begun.set()
        assert goes_on.wait(10)
        ends.append("end")

    afterwards = Afterwards(write, LONG_S)
    other = threading.Thread(target=afterwards.ask)
    other.start()
    assert begun.wait(10)
    second = threading.Thread(target=afterwards.now)
    second.start()
    second.join(0.2)
    assert second.is_alive()
    goes_on.set()
    second.join(10)
    other.join(10)
    assert ends == ["end", "end"]


ENDS = """
import sys
from pathlib import Path
from realtime_core.hooks.afterwards import Afterwards
told = []
afterwards = Afterwards(lambda: Path(sys.argv[1]).write_text("".join(told)), 0.5)
for letter in "abc":
    told.append(letter)
    afterwards.ask()
"""
FORKS = """
import os, sys
from pathlib import Path
from realtime_core.hooks.afterwards import Afterwards
afterwards = Afterwards(lambda: Path(sys.argv[1] + str(os.getpid() == parent)).write_text("written"), 0.5)
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


def test_a_process_that_ends_writes_what_waits(tmp_path: Path) -> None:
    run(ENDS, str(tmp_path / "told"))
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


@pytest.mark.parametrize("broken", ["ledger", "trace"])
def test_what_fails_afterwards_is_logged_made_up_for_by_the_next_and_no_hindrance_to_the_other(
    redis_client: Redis, redis_name: str, queue: Queue, broken: str, *, caplog: pytest.LogCaptureFixture
) -> None:
    ledger, trace = Ledger(redis_client, redis_name, "hooks"), Trace(redis_client, redis_name)
    bad = {"ledger": "owners", "trace": "put"}[broken]
    base = {"ledger": f"led1:{{{redis_name}}}:", "trace": f"rth1:{{{redis_name}}}:"}[broken]
    redis_client.set(base + bad, "of another type")
    producer = Producer(queue, ledger=ledger, trace=trace)
    producer.put([event(1)])
    assert queue.counts().available == 1
    if broken == "ledger":
        assert "the ledger was not written" in caplog.text
        assert trace.last_put(["site.Comment 1"]) != [None]
        redis_client.delete(base + bad)
        producer.put([event(2)])
        producer.flush()
        assert [hop.sent for hop in balance(read(redis_client, redis_name))] == [2, 2]
    else:
        assert "1 event(s) were put and are not in the trace, 1 come with the next" in caplog.text
        assert [hop.sent for hop in balance(read(redis_client, redis_name))] == [1, 1]
        redis_client.delete(base + bad)
        producer.put([event(2)])
        producer.flush()
        assert None not in trace.last_put(["site.Comment 1", "site.Comment 2"])
