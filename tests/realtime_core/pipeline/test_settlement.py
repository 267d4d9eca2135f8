"""What was settled is counted once, whatever becomes of Redis and its answers meanwhile."""

from __future__ import annotations

import os
import signal
import threading
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from redis.exceptions import ConnectionError as RedisConnectionError

from realtime_core.ledger import Ledger, balance, read
from realtime_core.pipeline.accounts import JOBS_HOP, Accounts
from realtime_core.pipeline.metrics import PipelineMetrics
from realtime_core.pipeline.settlement import Settlement
from realtime_core.queue import Finish, Job, Queue, Settled
from realtime_core.stack import ready_line
from tests.realtime_core.pipeline.conftest import DARKTIME, ROOT, body
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from redis import Redis

    from realtime_core.ledger import HopBalance
    from realtime_core.queue import Claim
    from realtime_core.stack import Stack
    from tests.realtime_core.pipeline.sink import Sink

AT = 1.5  # of every job's body


class Deaf:
    """A queue whose settlements' answers are lost, so many times: before they are carried out, or after."""

    def __init__(self, queue: Queue, times: int, *, carried_out: bool) -> None:
        self.settlements = 0
        self._queue = queue
        self._times = times
        self._carried_out = carried_out

    def settle(self, verdicts: Sequence[Any], *, also: Callable[[Any], None]) -> Settled:
        self.settlements += 1
        if self.settlements > self._times:
            return self._queue.settle(verdicts, also=also)
        if self._carried_out:
            self._queue.settle(verdicts, also=also)
        else:  # written into a transaction that never left
            with self._queue.redis.pipeline(transaction=True) as pipe:
                also(pipe)
        raise RedisConnectionError("the answer was lost")


@pytest.fixture
def claimed(redis_client: Redis, redis_name: str) -> list[Claim]:
    """Five claims of jobs that were put and counted."""
    queue, producer = Queue(redis_client, redis_name, lease_s=0.05), Ledger(redis_client, redis_name, "producer")
    ids = [f"j{number}" for number in range(5)]
    queue.put([Job(id=id_, body=body(id_)) for id_ in ids])
    producer.sent(JOBS_HOP, ids, AT)
    producer.close()
    return queue.claim("w", 5)


@pytest.fixture
def hop(redis_client: Redis, redis_name: str) -> Callable[[], HopBalance]:
    return lambda: next(one for one in balance(read(redis_client, redis_name)) if one.hop == JOBS_HOP)


def settlement(queue: Any, accounts: Accounts, claims: Sequence[Claim]) -> Settlement:
    return Settlement(queue, accounts, [Finish(claim) for claim in claims], [(claim, None) for claim in claims])


def test_jobs_that_were_somebody_else_s_when_they_were_settled_are_counted_by_that_one_alone(
    redis_client: Redis, redis_name: str, claimed: list[Claim], hop: Callable[[], HopBalance]
) -> None:
    queue = Queue(redis_client, redis_name)
    wait_until(lambda: queue.reap() or queue.counts().available == 5, what="the end of their leases")
    again = queue.claim("other", 3)
    late, other = (Accounts(Ledger(redis_client, redis_name, owner), PipelineMetrics()) for owner in ("late", "other"))
    assert settlement(queue, late, claimed).carry_out().done == 0
    assert settlement(queue, other, again).carry_out().done == 3
    late.close()
    other.close()
    assert hop().sent - hop().received == 2, "two are in the queue still"
    assert {item.id or item.key for item in hop().extra} == set()
    rest = queue.claim("other", 5)
    third = Accounts(Ledger(redis_client, redis_name, "third"), PipelineMetrics())
    settlement(queue, third, rest).carry_out()
    third.close()
    assert hop().balanced


@pytest.mark.parametrize("carried_out", [True, False], ids=["after", "before"])
@pytest.mark.parametrize("times", [1, 2])
def test_an_answer_that_was_lost_makes_no_job_count_twice_and_none_stale(
    redis_client: Redis,
    redis_name: str,
    claimed: list[Claim],
    hop: Callable[[], HopBalance],
    *,
    times: int,
    carried_out: bool,
) -> None:
    queue = Queue(redis_client, redis_name)
    queue.renew(claimed)
    deaf, accounts = (
        Deaf(queue, times, carried_out=carried_out),
        Accounts(Ledger(redis_client, redis_name, "worker"), PipelineMetrics()),
    )
    one = settlement(deaf, accounts, claimed)
    settled = None
    while settled is None:
        try:
            settled = one.carry_out()
        except RedisConnectionError:
            continue
    assert settled == Settled(done=5, stale=())
    assert deaf.settlements == (1 if carried_out else times + 1)
    assert queue.counts().finished_total == 5
    assert queue.counts().stale_total == 0
    accounts.close()
    assert hop().balanced
    assert hop().received == 5


@pytest.mark.parametrize("carried_out", [True, False], ids=["carried out", "not"])
@pytest.mark.parametrize("then", ["flush", "close", "another settlement"])
def test_a_settlement_that_nobody_heard_of_again_is_counted_if_it_was_carried_out(
    redis_client: Redis,
    redis_name: str,
    claimed: list[Claim],
    hop: Callable[[], HopBalance],
    *,
    then: str,
    carried_out: bool,
) -> None:
    queue = Queue(redis_client, redis_name)
    queue.renew(claimed)
    accounts = Accounts(Ledger(redis_client, redis_name, "worker"), PipelineMetrics())
    with pytest.raises(RedisConnectionError):
        settlement(Deaf(queue, 1, carried_out=carried_out), accounts, claimed[:3]).carry_out()
    if then == "another settlement":
        assert settlement(queue, accounts, claimed[3:]).carry_out().done == 2
    elif then == "flush":
        accounts.flush()
    if then == "close":
        accounts.close()
    ended = queue.counts().finished_total
    assert ended == (3 if carried_out else 0) + (2 if then == "another settlement" else 0)
    assert hop().sent - hop().received == 5 - ended
    assert len(hop().missing) == 5 - ended
    assert not hop().extra


def test_while_redis_is_away_a_batch_waits_and_is_published_and_counted_once(stack: Stack, sink: Sink) -> None:
    valkey = stack.valkey()
    with valkey.client() as redis:
        queue, producer = Queue(redis, "jobs"), Ledger(redis, "jobs", "producer")
        ids = [f"j{number}" for number in range(20)]
        sink.delay_s = 0.6  # long enough to stop Redis meanwhile
        argv = [*DARKTIME, "pipeline", "run", "JSONParser+HTTPPublisher", "--redis", valkey.url, "--queue", "jobs"]
        argv += ["--box", f"push={sink.url}", "--ledger-name", "jobs", "--metrics", "0"]
        argv += ["--progress-timeout", "4", "--lease", "12"]
        worker = stack.start("worker", argv, ready="working on queue", env={"PYTHONPATH": str(ROOT)})
        address = ready_line(worker, "metrics on ")
        queue.put([Job(id=id_, body=body(id_)) for id_ in ids])
        producer.sent(JOBS_HOP, ids, AT)
        producer.close()
        wait_until(lambda: of_stage(address, "publish")["in_flight"] == 20, timeout_s=5)
        os.kill(valkey.pid, signal.SIGSTOP)
        threading.Timer(7.0, os.kill, (valkey.pid, signal.SIGCONT)).start()
        wait_until(lambda: of_stage(address, "settle") == {"entered": 20, "done": 20, "in_flight": 0}, timeout_s=20)
        assert queue.counts().finished_total == 20
        assert worker.stop(10) == 0
        assert {job: len(times) for job, times in sink.taken.items()} == dict.fromkeys(ids, 1)
        assert "no progress" not in worker.log.read_text()
        hop = next(one for one in balance(read(redis, "jobs")) if one.hop == JOBS_HOP)
        assert hop.balanced
        assert (hop.sent, hop.received) == (20, 20)


def of_stage(address: str, stage: str) -> dict[str, int]:
    """What entered a stage, how it left, and what is in it."""
    found: dict[str, int] = {}
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=5) as reply:
        for family in text_string_to_metric_families(reply.read().decode()):
            for sample in family.samples:
                if sample.labels.get("stage") == stage and not sample.name.endswith("_created"):
                    name = sample.labels.get("outcome") or sample.name.removeprefix("realtime_pipeline_")
                    found[name.removesuffix("_total")] = int(sample.value)
    del found["hung"]
    return found
