"""The queue on the servers that people have: a cluster, TLS and users with few rights, replicas, restarts, broken connections."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from redis import ConnectionError as RedisConnectionError
from redis import Redis
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.exceptions import NoPermissionError, OutOfMemoryError, RedisError
from redis.retry import Retry

from realtime_core.errors import ConfigurationError, NotReplicated, QueueFull
from realtime_core.free_ports import free_port
from realtime_core.ledger import read
from realtime_core.queue import Cancel, Finish, GiveBack, Job, Listener, Queue, Renewal, Stall
from realtime_core.queue.scripts import MOVES, source
from tests.support.clusters import started
from tests.support.cutting import Cutter
from tests.support.engines import require_engine
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from realtime_core.queue import Claim
    from realtime_core.stack import Stack, Valkey

ONCE = Retry(NoBackoff(), 0)
DARKTIME = (sys.executable, "-P", "-c", "from darktime.console.main import darktime; darktime()")


def live_a_life(queue: Queue) -> None:
    """Every move, with and without keys; the books balance after it."""
    queue.put(
        [Job(id=f"j{n}", body=b"x", key=("k", None)[n % 2], urgent=n == 5, delay_s=60 * (n == 6)) for n in range(9)]
    )
    claims = queue.claim("w", 4)
    assert len(claims) == 4
    assert queue.renew(claims) == ()
    assert all(queue.stamp(claims, [["c"]] * 4))
    a, b, c, d = claims
    done = queue.settle([Finish(a, b"result"), Cancel(b, "x", delay_s=0), Stall(c, "y"), Finish(d)])
    assert (done.done, queue.result(a.id)) == (4, b"result")
    assert [job.reason for job in queue.stalled()] == ["y"]
    assert queue.retry([c.id]) == [c.id]
    queue.reap()
    again = queue.claim("w", 2)
    assert queue.settle([GiveBack(claim) for claim in again]).done == 2
    assert queue.counts().given_back_total == 2
    queue.settle([Finish(claim) for claim in queue.claim("w", 10)], also=lambda pipe: pipe.exists(queue._keys["jobs"]))
    queue.retract([f"j{n}" for n in range(9)])
    assert queue.claim("w", 1, wait_s=0.05) == []
    audit = queue.audit()
    assert audit.clean, audit
    assert (audit.counts.put_total, audit.counts.held) == (9, 0)


@pytest.fixture
def cluster(stack: Stack) -> list[Valkey]:
    """Three nodes that share the slots."""
    return started(stack)


def test_on_a_cluster_each_queue_lives_in_one_slot_and_does_all_it_does(cluster: list[Valkey]) -> None:
    ports = [int(node.url.rpartition(":")[2]) for node in cluster]
    with RedisCluster(startup_nodes=[ClusterNode("127.0.0.1", port) for port in ports]) as redis:
        where = set()
        for name in ("one", "two", "three", "four", "five", "six"):
            queue = Queue(redis, name)  # type: ignore[arg-type]
            live_a_life(queue)
            where.add(redis.get_node_from_key(queue._keys["jobs"]).port)
        assert len(where) > 1, "they did not all land on one node"
        with pytest.raises(ConfigurationError, match="connect="):
            Renewal(queue)
        _hear_and_renew(redis, ports)
        with pytest.raises(ConfigurationError, match="wait_replicas needs a client of the node"):
            queue.put([Job(id="a", body=b"")], wait_replicas=1)


def _hear_and_renew(redis: RedisCluster, ports: list[int]) -> None:
    """On each node: somebody listens, and a claim is kept from a thread with a client of its own."""

    def connect() -> Redis:
        return RedisCluster(startup_nodes=[ClusterNode("127.0.0.1", port) for port in ports])  # type: ignore[return-value]

    where = set()
    for name in ("one", "two", "three", "four", "five", "six"):
        queue = Queue(redis, f"heard-{name}", lease_s=1.0)  # type: ignore[arg-type]
        where.add(redis.get_node_from_key(queue._keys["jobs"]).port)
        listener = Listener(queue)
        queue.put([Job(id="a", body=b"")])
        (claim,) = queue.claim("w", 1)
        renewal = Renewal(queue, connect=connect)

        def until(queue: Queue = queue) -> float:
            return queue.peek("claimed")[0].until or 0.0

        before = until()
        with renewal.holding([claim]):
            wait_until(lambda until=until, before=before: until() > before, timeout_s=10)
        renewal.close()
        assert renewal.failures == 0, renewal.last_error
        assert queue.settle([Finish(claim)]).done == 1
        moves: list[str] = []
        while "finished" not in moves:
            notices = listener.notices(5.0)
            assert notices, moves
            moves += [notice.move for notice in notices]
        assert moves == ["published", "claimed", "finished"]
        assert (listener.lost, listener.blind) == (0, 0)
        listener.close()
    assert len(where) > 1, "they did not all land on one node"


def test_a_pipeline_and_the_queues_commands_work_at_the_node_of_a_cluster_that_holds_queue_and_ledger(
    cluster: list[Valkey], stack: Stack, tmp_path: Path
) -> None:
    """One name for both, and so one slot."""
    file = tmp_path / "events"
    ports = {int(node.url.rpartition(":")[2]): node.url for node in cluster}
    with RedisCluster(startup_nodes=[ClusterNode("127.0.0.1", port) for port in ports]) as redis:
        queue = Queue(redis, "comments")  # type: ignore[arg-type]
        url = ports[redis.get_node_from_key(queue._keys["jobs"]).port]
        at = {"redis": url, "queue": "comments", "ledger-name": "comments", "set": f"file={file}"}
        worker = stack.start(
            "worker",
            [
                *(sys.executable, "-m", "realtime_core.pipeline", "realtime_core.pipeline:JSONParser+FilePublisher"),
                *(word for name, value in at.items() for word in (f"--{name}", value)),
            ],
            ready="working on queue",
        )
        body = b'{"v":1,"job":"j%d","channels":["c"],"kind":"post_save","model":"a.B","key":1,"at":1.5,"data":{}}'
        queue.put([Job(id=f"j{number}", body=body % number, key="c") for number in range(20)])
        wait_until(lambda: queue.counts().finished_total == 20, timeout_s=15, what="twenty jobs done")
        assert worker.stop(10) == 0
    assert len(file.read_text().splitlines()) == 20
    with Redis.from_url(url) as node:
        (jobs,) = (hop for name, hop in read(node, "comments").hops.items() if name == "queue>pipeline")
        assert jobs.received == 20
    told = subprocess.run(
        [*DARKTIME, "queue", "audit", "--redis", url, "--queue", "comments", "--json"],
        capture_output=True,
        check=True,
        timeout=20,
    )
    assert json.loads(told.stdout)["audit"]["clean"]


def test_on_a_cluster_without_memory_a_queue_takes_nothing_and_drains(cluster: list[Valkey]) -> None:
    ports = [int(node.url.rpartition(":")[2]) for node in cluster]
    with RedisCluster(startup_nodes=[ClusterNode("127.0.0.1", port) for port in ports]) as redis:
        queue = Queue(redis, "full")  # type: ignore[arg-type]
        queue.put([Job(id=f"j{n}", body=b"x", key=("k", None)[n % 2]) for n in range(9)])
        for node in cluster:
            with node.client() as client:
                client.config_set("maxmemory", 1)
        claims = queue.claim("w", 10)
        assert all(queue.stamp(claims, [["c"]] * 9))
        assert queue.renew(claims) == ()
        with pytest.raises(OutOfMemoryError):
            queue.settle([Finish(claims[0])], also=lambda pipe: pipe.set("rtq2:{full}:beside", 1))
        queue.settle([GiveBack(claims[0]), *(Finish(claim) for claim in claims[1:])])
        assert (queue.counts().finished_total, queue.counts().available) == (8, 1)
        with pytest.raises(OutOfMemoryError):
            queue.put([Job(id="more", body=b"")])
        assert queue.audit().clean


@pytest.fixture
def secured(stack: Stack, tmp_path: Path) -> Iterator[tuple[Redis, dict[str, Any]]]:
    """Debian's Redis behind TLS: an administrator's client, and what a user's client needs."""
    binary = require_engine("redis-server")
    if shutil.which("openssl") is None:
        pytest.skip("needs the openssl program")
    cert, key, port = tmp_path / "cert.pem", tmp_path / "key.pem", free_port()
    words = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost "
        f"-addext subjectAltName=IP:127.0.0.1 -keyout {key} -out {cert}"
    )
    subprocess.run(words.split(), capture_output=True, check=True, timeout=20)
    options = ["--tls-port", str(port), "--tls-cert-file", str(cert), "--tls-key-file", str(key)]
    server = stack.valkey(
        binary=binary, options=[*options, "--tls-ca-cert-file", str(cert), "--tls-auth-clients", "no"]
    )
    with server.client() as admin:
        yield admin, {"host": "127.0.0.1", "port": port, "ssl": True, "ssl_ca_certs": str(cert)}


RIGHTS = (
    "~rtq?:{orders}:* resetchannels &rtq2:{orders}:* -@all +@read +@write +@transaction +eval +evalsha +script|load "
    "+time +publish +subscribe +unsubscribe +ping +info +hello +select"
)


def test_over_tls_a_user_with_rights_to_one_queue_does_all_with_it_and_nothing_with_others(
    secured: tuple[Redis, dict[str, Any]],
) -> None:
    admin, settings = secured
    admin.execute_command("ACL", "SETUSER", "orders", "on", ">secret", *RIGHTS.split())
    with Redis(**settings, username="orders", password="secret") as redis:
        queue = Queue(redis, "orders", lease_s=1.0)
        live_a_life(queue)
        listener = Listener(queue)
        queue.put([Job(id="last", body=b"")])
        (notice,) = listener.notices(5.0)
        assert notice.id == "last"
        listener.close()
        claims = queue.claim("w", 1)
        renewal = Renewal(queue)
        before = redis.zscore(queue._keys["claimed"], "last")
        assert before is not None
        with renewal.holding(claims):
            wait_until(lambda: redis.zscore(queue._keys["claimed"], "last") > before, timeout_s=5)
        renewal.close()
        assert renewal.failures == 0, renewal.last_error
        with pytest.raises(NoPermissionError):
            Queue(redis, "payments").put([Job(id="a", body=b"")])
    assert admin.keys("*payments*") == []
    with Redis(**settings, username="orders", password="wrong", retry=ONCE) as redis, pytest.raises(RedisError):
        Queue(redis, "orders").counts()


def test_a_put_that_waits_for_replicas_is_refused_where_there_are_too_few(queue: Queue) -> None:
    with pytest.raises(NotReplicated, match="1 replicas are to confirm and 0 are connected; nothing was written"):
        queue.put([Job(id="a", body=b"")], wait_replicas=1)
    assert queue.counts().put_total == 0
    with pytest.raises(ConfigurationError, match="wait_replicas"):
        queue.put([Job(id="a", body=b"")], wait_replicas=-1)


def test_a_put_that_waits_for_replicas_returns_when_they_have_it_and_says_when_they_do_not(stack: Stack) -> None:
    listen = ("127.0.0.1", free_port())
    first = stack.valkey(name="first", listen=listen, options=["--repl-diskless-sync-delay", "0"])
    second = stack.valkey(name="second", options=["--replicaof", *map(str, listen)])
    with first.client() as redis, second.client() as copy:
        wait_until(lambda: copy.info("replication")["master_link_status"] == "up", timeout_s=15)
        queue = Queue(redis, "q")
        assert queue.put([Job(id="a", body=b"x")], wait_replicas=1, replicas_timeout_s=10) == [True]
        assert copy.hget(queue._keys["jobs"], "a") == b" x"
        os.kill(second.pid, signal.SIGSTOP)
        try:
            with pytest.raises(
                NotReplicated, match=r"0 of 1 replicas confirmed within 0.1 s; the jobs are in the queue"
            ):
                queue.put([Job(id="b", body=b"x")], wait_replicas=1, replicas_timeout_s=0.1)
        finally:
            os.kill(second.pid, signal.SIGCONT)
        assert queue.put([Job(id="b", body=b"x")], wait_replicas=1, replicas_timeout_s=10) == [False]
        assert queue.audit().clean


def test_a_put_that_does_not_fit_is_no_put_that_replicas_did_not_confirm(stack: Stack) -> None:
    listen = ("127.0.0.1", free_port())
    first = stack.valkey(name="first", listen=listen, options=["--repl-diskless-sync-delay", "0"])
    second = stack.valkey(name="second", options=["--replicaof", *map(str, listen)])
    with first.client() as redis, second.client() as copy:
        wait_until(lambda: copy.info("replication")["master_link_status"] == "up", timeout_s=15)
        queue = Queue(redis, "q", max_length=1)
        os.kill(second.pid, signal.SIGSTOP)
        try:
            with pytest.raises(NotReplicated, match="the jobs are in the queue"):
                queue.put([Job(id="a", body=b"x")], wait_replicas=1, replicas_timeout_s=0.1)
            with pytest.raises(QueueFull, match="holds 1 jobs and 1 more do not fit, max_length is 1"):
                queue.put([Job(id="b", body=b"x")], wait_replicas=1, replicas_timeout_s=0.1)
        finally:
            os.kill(second.pid, signal.SIGCONT)
        assert queue.counts().put_total == 1


def test_a_killed_server_has_all_that_was_on_its_disk_and_the_order_of_keys(stack: Stack) -> None:
    valkey = stack.valkey(options=["--appendfsync", "always"])
    with valkey.client(retry=ONCE) as redis:
        queue = Queue(redis, "q")
        queue.put([Job(id=f"j{n}", body=b"x", key="k") for n in range(20)])
        first, second, third = queue.claim("w", 3)
        queue.settle([Finish(first), Cancel(second, "x", delay_s=60)])
        valkey.kill()
        valkey.restart()
        assert queue.audit().clean
        assert queue.settle([Finish(third)]).done == 1
        assert queue.claim("w", 10) == [], "j1 holds them"
        redis.zadd(queue._keys["delayed"], dict.fromkeys(redis.zrange(queue._keys["delayed"], 0, -1), 1))
        assert [claim.id for claim in queue.claim("w", 30)] == ["j1", *(f"j{n}" for n in range(3, 20))]


@pytest.fixture
def cutter(stack: Stack) -> Iterator[tuple[Cutter, Redis]]:
    listen = ("127.0.0.1", free_port())
    stack.valkey(listen=listen)
    cutter = Cutter(listen)
    with Redis(port=cutter.port, retry=ONCE, socket_timeout=5) as redis:
        yield cutter, redis
    cutter.close()


def test_a_connection_that_is_cut_in_the_middle_of_a_call_leaves_no_half_written_job(
    cutter: tuple[Cutter, Redis],
) -> None:
    """Each move is cut once in its request, which then did not happen, and once in its reply, where it did; and is repeated."""
    proxy, redis = cutter
    queue = Queue(redis, "q")
    batch = [Job(id=f"j{n}", body=b"x" * 5000, key=f"k{n % 3}") for n in range(30)]
    for move in MOVES:
        redis.script_load(source(move)[0])  # so that no answer is "unknown script"
    queue.put([Job(id="warm", body=b"")])
    queue.settle([Finish(claim) for claim in queue.claim("w", 1)])

    proxy.cut_request_after(50_000)
    with pytest.raises(RedisConnectionError):
        queue.put(batch)
    assert queue.counts().put_total == 1
    proxy.cut_reply()
    with pytest.raises(RedisConnectionError):
        queue.put(batch)
    assert queue.put(batch) == [False] * 30

    proxy.cut_reply()
    with pytest.raises(RedisConnectionError):
        queue.claim("w", 20)
    assert queue.counts().claimed == 20, "these come back when their lease ends"
    redis.zadd(queue._keys["claimed"], dict.fromkeys(redis.zrange(queue._keys["claimed"], 0, -1), 1))
    assert queue.reap() == 20
    claims = queue.claim("w", 30)
    assert len(claims) == 30

    _renew_and_stamp_are_cut(proxy, redis, queue, claims)

    proxy.cut_request_after(200)
    with pytest.raises(RedisConnectionError):
        queue.settle([Finish(claim) for claim in claims[:15]])
    assert queue.counts().finished_total == 1
    proxy.cut_reply()
    with pytest.raises(RedisConnectionError):
        queue.settle([Finish(claim) for claim in claims])
    assert queue.settle([Finish(claim) for claim in claims]).done == 0
    assert queue.counts().finished_total == 31
    assert queue.audit().clean
    assert proxy.cuts == 5 + 4

    _moves_by_id_and_reap_are_cut(proxy, redis, queue)
    assert queue.audit().clean
    assert proxy.cuts == 5 + 4 + 6


def _renew_and_stamp_are_cut(proxy: Cutter, redis: Redis, queue: Queue, claims: Sequence[Claim]) -> None:
    def leases() -> list[float]:
        return [score for _, score in redis.zrange(queue._keys["claimed"], 0, -1, withscores=True)]

    names = [[f"c{n % 3}"] for n in range(30)]
    for id_, score in redis.zrange(queue._keys["claimed"], 0, -1, withscores=True):
        redis.zadd(queue._keys["claimed"], {id_: score - 5_000})  # as if they had begun five seconds ago
    before = leases()
    proxy.cut_request_after(200)
    with pytest.raises(RedisConnectionError):
        queue.renew(claims)
    assert leases() == before
    proxy.cut_reply()
    with pytest.raises(RedisConnectionError):
        queue.renew(claims)
    assert min(leases()) > max(before), "renewed, though nobody was told"
    assert queue.renew(claims) == ()

    proxy.cut_request_after(200)
    with pytest.raises(RedisConnectionError):
        queue.stamp(claims, names)
    assert queue.counts().channels == 0
    proxy.cut_reply()
    with pytest.raises(RedisConnectionError):
        queue.stamp(claims, names)
    assert queue.counts().channels == 3
    numbers = [int(of_job[0].partition("-")[2]) for of_job in queue.stamp(claims, names)]
    assert sorted(numbers) == sorted([*range(1, 11)] * 3), "no number is used up by a try that was cut"


def _moves_by_id_and_reap_are_cut(proxy: Cutter, redis: Redis, queue: Queue) -> None:
    ids = [f"m{n}" for n in range(30)]
    queue.put([Job(id=id_, body=b"x", key=f"k{n % 3}") for n, id_ in enumerate(ids)])
    queue.settle([Stall(claim, "x") for claim in queue.claim("w", 30)])
    for move, done in (
        (queue.retry, lambda: queue.counts().retried_total),
        (queue.retract, lambda: queue.counts().retracted_total),
    ):
        proxy.cut_request_after(200)
        with pytest.raises(RedisConnectionError):
            move(ids)
        assert done() == 0
        proxy.cut_reply()
        with pytest.raises(RedisConnectionError):
            move(ids)
        assert done() == 30
        assert move(ids) == []
    queue.put([Job(id="r", body=b"x")])
    (claim,) = queue.claim("w", 1)
    expired = queue.counts().expired_total
    redis.zadd(queue._keys["claimed"], {claim.id: 1})
    proxy.cut_request_after(100)
    with pytest.raises(RedisConnectionError):
        queue.reap()
    assert queue.counts().expired_total == expired
    proxy.cut_reply()
    with pytest.raises(RedisConnectionError):
        queue.reap()
    assert queue.counts().expired_total == expired + 1
    assert queue.reap() == 0
    queue.settle([Finish(claim) for claim in queue.claim("w", 1)])
