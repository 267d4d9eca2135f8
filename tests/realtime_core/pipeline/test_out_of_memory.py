"""Redis is out of memory: jobs leave the queue all the same; what only the ledger was refused is counted and made up for."""

from __future__ import annotations

import time
import urllib.request
from typing import TYPE_CHECKING

import pytest
from prometheus_client.parser import text_string_to_metric_families

from realtime_core.ledger import Ledger, balance, read
from realtime_core.pipeline.accounts import Accounts
from realtime_core.pipeline.metrics import PipelineMetrics
from realtime_core.queue import Finish, Job, Queue
from realtime_core.stack import ready_line
from tests.realtime_core.pipeline.conftest import DARKTIME, ROOT, body
from tests.support.engines import require_engine
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from redis import Redis

    from realtime_core.stack import Service, Stack, Valkey
    from tests.realtime_core.pipeline.sink import Sink

NAME = "orders"


@pytest.fixture(params=["valkey", "redis-server"])
def small(stack: Stack, request: pytest.FixtureRequest) -> Valkey:
    given = {} if request.param == "valkey" else {"binary": require_engine(request.param)}
    return stack.valkey(**given)


def figures(worker: Service) -> dict[str, float]:
    with urllib.request.urlopen(f"http://{ready_line(worker, 'metrics on ')}/metrics", timeout=5) as reply:
        families = text_string_to_metric_families(reply.read().decode())
        return {sample.name: sample.value for family in families for sample in family.samples if not sample.labels}


def test_jobs_are_published_and_settled_and_the_ledger_is_made_up_for(
    stack: Stack, small: Valkey, sink: Sink, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.chdir(stack.folder)
    ids = [f"j{n}" for n in range(300)]
    with small.client() as redis:
        queue = Queue(redis, NAME, lease_s=2.0)
        at = time.time()
        producer = Ledger(redis, NAME, "producer")
        queue.put([Job(id=id_, body=body(id_).replace(b"1.5", repr(at).encode()), key=f"k{id_}") for id_ in ids])
        producer.sent("queue>pipeline", ids, [at] * len(ids))
        producer.close()
        redis.config_set("maxmemory", 1)
        argv = [*DARKTIME, "pipeline", "run", "JSONParser+HTTPPublisher", "--redis", small.url, "--queue", NAME]
        argv += ["--ledger-name", NAME, "--box", f"push={sink.url}", "--lease", "2", "--metrics", "0", "--batch", "50"]
        worker = stack.start("worker", argv, ready="working on queue")
        wait_until(lambda: queue.counts().finished_total == 300, timeout_s=10, what="a drained queue")
        counts = queue.counts()
        assert (counts.held, counts.expired_total, counts.claimed_total, counts.stale_total) == (0, 0, 300, 0)
        assert {len(times) for times in sink.taken.values()} == {1}
        wait_until(lambda: figures(worker)["realtime_pipeline_unaccounted_total"] == 300, timeout_s=5)

        def jobs_hop() -> tuple[int, int, bool]:
            hop = next(one for one in balance(read(redis, NAME)) if one.hop == "queue>pipeline")
            return hop.sent, hop.received, hop.balanced

        assert jobs_hop() == (300, 0, False)
        redis.config_set("maxmemory", 0)
        wait_until(lambda: jobs_hop() == (300, 300, True), timeout_s=15, what="the ledger made up for")
        queue.put([Job(id="later", body=body("later"))])
        wait_until(lambda: queue.counts().finished_total == 301, timeout_s=5)
        assert figures(worker)["realtime_pipeline_unaccounted_total"] == 300, "together again"
        assert worker.stop(10.0) == 0
        assert queue.audit().clean


def test_what_only_the_ledger_is_refused_holds_up_no_job_whatever_the_reason(
    queue: Queue, redis_client: Redis, redis_name: str
) -> None:
    metrics = PipelineMetrics()
    accounts = Accounts(Ledger(redis_client, redis_name, "worker"), metrics)
    owners = f"led1:{{{redis_name}}}:owners"
    redis_client.set(owners, "no sorted set")
    queue.put([Job(id=f"j{n}", body=body(f"j{n}")) for n in range(4)])

    def settle(count: int) -> None:
        claims = queue.claim("w", count)
        accounts.ended([(claim, None) for claim in claims])
        assert accounts.settle(queue, [Finish(claim) for claim in claims]).done == count

    def unaccounted() -> float:
        return float(metrics.unaccounted._value.get())

    settle(1)
    settle(1)
    assert (queue.counts().finished_total, unaccounted()) == (2, 2)
    accounts.flush()
    redis_client.delete(owners)

    def received() -> int:
        accounts.flush()
        return sum(hop.received for hop in balance(read(redis_client, redis_name)))

    wait_until(lambda: received() == 2, timeout_s=10)
    settle(2)
    assert (received(), unaccounted()) == (4, 2)
