"""A whole run under faults: nothing lost, nothing finished early, and the counters of every stage add up whenever one looks."""

from __future__ import annotations

import threading
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

import pytest
from prometheus_client.parser import text_string_to_metric_families

from realtime_core.queue import Job, Listener
from realtime_core.stack import ready_line
from tests.realtime_core.pipeline.conftest import body
from tests.support.pauses import Pauses
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from realtime_core.queue import Queue
    from realtime_core.stack import Service
    from tests.realtime_core.pipeline.sink import Sink

UNPARSABLE = 10
STAGES = ("parse", "compute", "stamp", "publish", "settle")
DRAIN_S = 3.0
GRACE_S = DRAIN_S + 4.0


class Sampler(threading.Thread):
    """Scrapes a worker again and again, and keeps what did not add up."""

    def __init__(self, address: str) -> None:
        super().__init__(daemon=True)
        self._address = address
        self._ended = threading.Event()
        self.samples = 0
        self.seen_in_flight = 0
        self.wrong: list[str] = []
        self.start()

    def run(self) -> None:
        while not self._ended.wait(0.02):
            try:
                with urllib.request.urlopen(f"http://{self._address}/metrics", timeout=5) as reply:
                    self._check(reply.read().decode())
            except (OSError, urllib.error.URLError):
                return  # it has ended

    def end(self) -> None:
        self._ended.set()
        self.join(6)

    def _check(self, text: str) -> None:
        entered, left, inside = (dict.fromkeys(STAGES, 0) for _ in range(3))
        where = {
            "realtime_pipeline_entered_total": entered,
            "realtime_pipeline_messages_total": left,
            "realtime_pipeline_in_flight": inside,
        }
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.name in where:
                    where[sample.name][sample.labels["stage"]] += int(sample.value)
        self.samples += 1
        self.seen_in_flight = max(self.seen_in_flight, *inside.values())
        for stage in STAGES:
            if entered[stage] != left[stage] + inside[stage]:
                self.wrong.append(f"{stage}: {entered[stage]} in, {left[stage]} out, {inside[stage]} in flight")


class Notes(threading.Thread):
    """When each job was finished, by Redis' clock."""

    def __init__(self, queue: Queue) -> None:
        super().__init__(daemon=True)
        self.listener = Listener(queue)
        self.finished: dict[str, float] = {}
        self._ended = False
        self.start()

    def run(self) -> None:
        while not self._ended:
            for notice in self.listener.notices(0.2):
                if notice.move == "finished":
                    self.finished[notice.id] = notice.at

    def end(self) -> None:
        self._ended = True
        self.join(5)
        self.listener.close()


@pytest.mark.parametrize("count", [1_000, pytest.param(10_000, marks=pytest.mark.long)])
def test_of_all_jobs_none_is_lost_or_finished_before_its_2xx_and_every_stage_adds_up_at_every_look(
    run: Callable[..., Service], queue: Queue, sink: Sink, count: int
) -> None:
    good = [f"j{number}" for number in range(count - UNPARSABLE)]
    jobs = [Job(id=id_, body=body(id_), key=f"k{number % 50}") for number, id_ in enumerate(good)]
    bad = [Job(id=f"bad{number}", body=b'{"v":1,"kind":') for number in range(UNPARSABLE)]
    for place, job in enumerate(bad):
        jobs.insert((place + 1) * count // (UNPARSABLE + 2), job)
    for first in range(0, count, 1_000):
        assert all(queue.put(jobs[first : first + 1_000]))
    notes = Notes(queue)
    words = ["--box", f"push={sink.url}", "--metrics", "0", "--batch", "64", "--hands", "4", "--backoff", "0.1"]
    words += ["--attempts", "20", "--lease", "6", "--drain", str(DRAIN_S)]
    sink.status = 500
    worker = run("JSONParser+Anonymize+HTTPPublisher", *words)
    sampler = Sampler(ready_line(worker, "metrics on "))
    wait_until(lambda: sink.refused > 0, timeout_s=10)
    until = time.monotonic() + 2.0
    wait_until(lambda: time.monotonic() > until, timeout_s=5, what="two seconds of 500")
    assert not queue.counts().finished_total
    sink.status, sink.delay_s = 200, 0.2
    wait_until(lambda: queue.counts().finished_total > count // 4, timeout_s=20)
    told = time.monotonic()
    assert worker.stop(GRACE_S + 5) == 0
    assert time.monotonic() - told < GRACE_S
    sampler.end()
    counts = queue.counts()
    assert counts.claimed == 0, "what was not finished went back"
    assert counts.balanced
    assert counts.finished_total < len(good), "it was told in the middle of it"
    again = run("JSONParser+Anonymize+HTTPPublisher", *words, name="again")
    second = Sampler(ready_line(again, "metrics on "))
    wait_until(lambda: queue.counts().finished_total == len(good), timeout_s=60)
    wait_until(lambda: queue.counts().stalled == UNPARSABLE, timeout_s=5)
    second.end()
    wait_until(lambda: len(notes.finished) == len(good), timeout_s=5)
    notes.end()
    assert again.stop(GRACE_S) == 0

    assert queue.audit().clean
    assert {job.reason.partition(":")[0] for job in queue.stalled()} == {"parse"}
    assert sink.taken.keys() == set(good)
    assert notes.listener.lost == 0
    early = [id_ for id_, at in notes.finished.items() if at + 0.001 < min(sink.taken[id_])]
    assert early == []
    for one in (sampler, second):
        assert one.wrong == []
        assert one.samples > 5
    assert max(sampler.seen_in_flight, second.seen_in_flight) >= 64


@pytest.mark.long
def test_a_slow_box_is_met_with_more_hands_and_a_quick_one_with_few(
    run: Callable[..., Service], queue: Queue, sink: Sink
) -> None:
    sink.delay_s = 0.3
    worker = run(
        "JSONParser+HTTPPublisher", "--box", f"push={sink.url}", "--metrics", "0", "--batch", "10", "--hands", "5"
    )
    address = ready_line(worker, "metrics on ")

    def hands() -> float:
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=5) as reply:
            families = text_string_to_metric_families(reply.read().decode())
            return next(one.samples[0].value for one in families if one.name == "realtime_pipeline_hands")

    assert hands() == 1
    jobs = [Job(id=f"j{number}", body=body(f"j{number}"), key=f"k{number % 60}") for number in range(200)]
    assert all(queue.put(jobs))
    wait_until(lambda: hands() == 5, timeout_s=5)
    wait_until(lambda: queue.counts().finished_total == 200, timeout_s=10)
    assert hands() == 5, "never more than it may have"
    for key in range(60):
        numbers = [int(job[1:]) for job in sink.taken if int(job[1:]) % 60 == key]
        assert numbers == sorted(numbers), "each key in the order of its puts, whichever hand had it"


def test_when_a_failing_box_is_well_again_what_waited_and_what_comes_goes_at_full_speed(
    run: Callable[..., Service], put: Callable[..., list[str]], queue: Queue, sink: Sink
) -> None:
    """The short form: the longest pause, 2 s, and as much again for both; what the machine paused is its own."""
    sink.status = 500
    run("JSONParser+HTTPPublisher", "--box", f"push={sink.url}", "--lease", "60")
    put(100)
    wait_until(lambda: sink.refused > 0, timeout_s=10)
    until = time.monotonic() + 1.0
    wait_until(lambda: time.monotonic() > until, timeout_s=5)
    assert queue.counts().finished_total == 0
    with Pauses() as pauses:
        sink.status, began = 200, time.time()
        wait_until(lambda: queue.counts().finished_total == 100, timeout_s=15)
        put(100, first=100)
        wait_until(lambda: queue.counts().finished_total == 200, timeout_s=10)
        took_s, paused_s = time.time() - began, pauses.between(began, time.time())
    assert took_s <= 4.0 + paused_s
    assert all(len(times) == 1 for times in sink.taken.values()), "nothing is sent again that was taken"


@pytest.mark.long
def test_when_a_failing_box_is_well_again_the_worker_is_at_full_speed_within_its_longest_pause(
    run: Callable[..., Service], put: Callable[..., list[str]], queue: Queue, sink: Sink
) -> None:
    sink.status = 500
    run("JSONParser+HTTPPublisher", "--box", f"push={sink.url}", "--lease", "60")
    put(300)
    wait_until(lambda: sink.refused > 0, timeout_s=5)
    until = time.monotonic() + 1.5
    wait_until(lambda: time.monotonic() > until, timeout_s=5)
    asked, jobs = sink.asked, queue.counts()
    assert jobs.finished_total == 0
    assert asked < 300 * 12, "it was not hammered: pauses grow to two seconds"
    sink.status = 200
    wait_until(lambda: queue.counts().finished_total == 300, timeout_s=3.5)
    put(300, first=300)
    wait_until(lambda: queue.counts().finished_total == 600, timeout_s=1.5)
