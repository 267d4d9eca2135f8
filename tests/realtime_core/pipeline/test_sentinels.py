"""A primary that dies behind sentinels: queue, renewal and pipeline go on with the one that they name next."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from redis.exceptions import RedisError

from realtime_core.free_ports import free_port
from realtime_core.queue import Finish, Job, Queue, Renewal
from realtime_core.redis_url import connect
from realtime_core.stack.valkey import valkey_binary
from tests.realtime_core.pipeline.conftest import DARKTIME, ODD, ROOT, body, lines_of
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis import Redis

    from realtime_core.stack import Stack, Valkey

SENTINELS = 3
LEASE_S = 3.0
CONFIGURATION = """\
port {port}
bind 127.0.0.1
dir {folder}
sentinel monitor orders 127.0.0.1 {primary} 2
sentinel down-after-milliseconds orders 500
sentinel failover-timeout orders 4000
"""


@dataclass(frozen=True, kw_only=True)
class Watched:
    """A primary with a replica, under three sentinels."""

    url: str
    primary: Valkey
    client: Redis


@pytest.fixture
def watched(stack: Stack) -> Iterator[Watched]:
    primary_port, replica_port = free_port(), free_port()
    primary = stack.valkey(name="primary", listen=("127.0.0.1", primary_port))
    options = ["--replicaof", f"127.0.0.1 {primary_port}", "--repl-diskless-sync-delay", "0"]
    replica = stack.valkey(name="replica", listen=("127.0.0.1", replica_port), options=options)
    with replica.client() as client:
        wait_until(lambda: client.info("replication")["master_link_status"] == "up", timeout_s=10)
    ports = []
    for number in range(SENTINELS):
        ports.append(free_port())
        folder = stack.folder / f"sentinel{number}"
        folder.mkdir()
        file = folder / "sentinel.conf"
        file.write_text(CONFIGURATION.format(port=ports[-1], folder=folder, primary=primary_port))
        stack.start(f"sentinel{number}", [str(valkey_binary()), str(file), "--sentinel"], ready=lambda: True)
    url = f"redis+sentinel://{','.join(f'127.0.0.1:{port}' for port in ports)}/orders"
    with connect(url, answer_s=2.0, connect_s=0.5, name="orders") as redis:

        def agreed() -> bool:
            with suppress(RedisError):
                told = [one.sentinel_master("orders") for one in redis.connection_pool.sentinel_manager.sentinels]
                return all((one["num-slaves"], one["num-other-sentinels"]) == (1, SENTINELS - 1) for one in told)
            return False

        wait_until(agreed, timeout_s=10, what="sentinels that know each other and the replica")
        yield Watched(url=url, primary=primary, client=redis)


def put_after_the_failover(queue: Queue, ids: range) -> None:
    def done() -> bool:
        with suppress(RedisError):
            return bool(queue.put([Job(id=f"j{n}", body=body(f"j{n}")) for n in ids]))
        return False

    wait_until(done, timeout_s=20, what="a put after the failover")


@pytest.mark.long
def test_claims_are_kept_and_settled_over_a_failover(watched: Watched) -> None:
    queue = Queue(watched.client, "orders", lease_s=LEASE_S)
    queue.put([Job(id=f"c{n}", body=b"", key=f"k{n % 3}") for n in range(10)], wait_replicas=1)
    claims = queue.claim("w", 10)
    watched.client.wait(1, 1_000)
    renewal = Renewal(queue)
    renewal.hold(claims)
    watched.primary.kill()
    put_after_the_failover(queue, range(2))
    outlived = time.monotonic() + LEASE_S
    wait_until(lambda: time.monotonic() > outlived, timeout_s=LEASE_S + 2, what="a lease's time with the new primary")
    queue.reap()
    assert renewal.lost == 0
    renewal.close()
    done = queue.settle([Finish(claim) for claim in claims])
    assert (done.done, queue.counts().available) == (10, 2)
    assert queue.audit().clean


def test_a_pipeline_goes_on_over_a_failover_and_keeps_what_it_computes_on(
    watched: Watched, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    queue, runs = Queue(watched.client, "orders"), stack.folder / "runs"
    words = [f"{ODD}:Odd", "--redis", watched.url, "--queue", "orders", "--lease", str(LEASE_S)]
    words += ["--set", f"runs={runs}", "--set", f"file={stack.folder / 'events'}"]
    worker = stack.start("run", [*DARKTIME, "pipeline", "run", *words], ready="working on queue")
    # The process computes for longer than a lease: only the thread, with connections of its own, can keep it meanwhile.
    queue.put([Job(id="long", body=body("long", burn_s=2.5 * LEASE_S))], wait_replicas=1)
    wait_until(lambda: lines_of(runs) != [], timeout_s=10)
    watched.client.wait(1, 1_000)
    watched.primary.kill()
    put_after_the_failover(queue, range(20))
    wait_until(lambda: queue.counts().held == 0, timeout_s=20)
    assert sorted((id_, attempt) for id_, attempt, _ in lines_of(runs)) == sorted(
        [("long", "1"), *((f"j{n}", "1") for n in range(20))]
    )
    assert worker.alive()
    assert queue.audit().clean
