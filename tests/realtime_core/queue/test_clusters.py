"""A queue reached by some of a cluster's nodes: its own is found, and followed over a failover and a move of its slot."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from redis.crc import key_slot
from redis.exceptions import RedisError

from realtime_core.free_ports import free_port
from realtime_core.ledger import read
from realtime_core.queue import Finish, Job, Listener, Queue, Renewal
from realtime_core.redis_cluster import SlotMoved
from realtime_core.redis_url import connect
from tests.support.clusters import SLOTS, address, started
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from redis import Redis

    from realtime_core.stack import Stack, Valkey

DARKTIME = (sys.executable, "-P", "-c", "from darktime.console.main import darktime; darktime()")
NODES = 3


@pytest.fixture
def nodes(stack: Stack) -> list[Valkey]:
    return started(stack, NODES)


@pytest.fixture
def client(nodes: list[Valkey]) -> Iterator[Callable[..., Redis]]:
    """A client of a name, told one node."""
    made: list[Redis] = []

    def make(name: str, node: int = 0) -> Redis:
        made.append(connect(url_of(nodes[node : node + 1]), answer_s=5.0, connect_s=1.0, name=name))
        return made[-1]

    yield make
    for one in made:
        one.close()


def url_of(nodes: Sequence[Valkey]) -> str:
    return "redis+cluster://" + ",".join(f"{host}:{port}" for host, port in map(address, nodes))


def home_of(name: str) -> int:
    """Which node holds it at first."""
    return key_slot(name.encode()) * NODES // SLOTS


def again(call: Callable[[], object]) -> None:
    """Until Redis answers, as every caller does."""

    def answered() -> bool:
        with suppress(RedisError):
            call()
            return True
        return False

    wait_until(answered, timeout_s=20, what="an answer")


def test_any_node_leads_to_the_one_that_holds_the_queue_and_all_that_a_queue_does_is_done_there(
    nodes: list[Valkey], client: Callable[..., Redis]
) -> None:
    homes = set()
    for number, name in enumerate(("one", "two", "three", "four", "five", "six")):
        queue = Queue(client(name, number % NODES), name, lease_s=1.0)
        listener = Listener(queue)
        queue.put([Job(id="a", body=b"x", key="k"), Job(id="b", body=b"")])
        claims = queue.claim("w", 2)
        renewal = Renewal(queue)

        def until(queue: Queue = queue) -> float:
            return queue.peek("claimed")[0].until or 0.0

        before = until()
        with renewal.holding(claims):
            wait_until(lambda until=until, before=before: until() > before, timeout_s=10)
        renewal.close()
        assert renewal.failures == 0, renewal.last_error
        assert queue.settle([Finish(claims[0], b"result"), Finish(claims[1])]).done == 2
        assert queue.result("a") == b"result"
        assert [notice.move for notice in listener.notices(5.0)][:1] == ["published"]
        listener.close()
        assert queue.audit().clean
        homes.add(home_of(name))
        with nodes[home_of(name)].client() as there:
            assert there.exists(f"rtq2:{{{name}}}:counts")
    assert len(homes) > 1, "they did not all land on one node"


def test_a_queue_whose_slot_is_moved_is_found_at_its_new_node_and_idle_connections_to_the_old_one_go(
    nodes: list[Valkey], client: Callable[..., Redis]
) -> None:
    queue = Queue(client("orders"), "orders")
    queue.put([Job(id=f"j{n}", body=b"", key="k") for n in range(5)])
    pool = queue.redis.connection_pool
    idle = [pool.get_connection() for _ in range(3)]
    for one in idle:
        pool.release(one)
    old = home_of("orders")
    new = (old + 1) % NODES
    move(nodes, "orders", old, new)
    # A node that says so has done nothing: what it was told is done at the other, once.
    queue.put([Job(id="told", body=b"")])
    with queue.redis.pipeline(transaction=True) as pipe:
        pipe.incr("rtq2:{orders}:beside")
        assert pipe.execute() == [1]
    idle = [pool.get_connection() for _ in range(3)]
    assert {(one.host, one.port) for one in idle} == {address(nodes[new])}, "one was told, and all connect anew"
    for one in idle:
        pool.release(one)
    queue.put([Job(id="later", body=b"")])
    assert queue.counts().available == 7
    with nodes[new].client() as there:
        assert there.exists("rtq2:{orders}:counts")


def move(nodes: Sequence[Valkey], name: str, old: int, new: int) -> None:
    """A slot and all that is in it, as ``valkey-cli --cluster reshard`` does."""
    slot = key_slot(name.encode())
    clients = [node.client() for node in nodes]
    ids = [one.execute_command("CLUSTER", "MYID").decode() for one in clients]
    clients[new].execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[old])
    clients[old].execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[new])
    keys = clients[old].execute_command("CLUSTER", "GETKEYSINSLOT", slot, 1000)
    clients[old].execute_command("MIGRATE", *address(nodes[new]), "", 0, 5000, "KEYS", *keys)
    for number in (new, old, *(n for n in range(len(nodes)) if n not in {old, new})):
        clients[number].execute_command("CLUSTER", "SETSLOT", slot, "NODE", ids[new])
    for one in clients:
        one.close()


def test_connections_in_use_that_each_learn_of_one_move_are_no_more_moves(
    nodes: list[Valkey], client: Callable[..., Redis]
) -> None:
    pool = client("orders").connection_pool
    busy = [pool.get_connection() for _ in range(3)]
    old = home_of("orders")
    move(nodes, "orders", old, (old + 1) % NODES)
    for one in busy:
        one.send_command("GET", "rtq2:{orders}:beside")
        with pytest.raises(SlotMoved):
            one.read_response()
    assert pool.connection_kwargs["owner"].moves == 1


def test_a_transaction_that_meets_a_moved_slot_is_done_once_at_its_new_node(
    nodes: list[Valkey], client: Callable[..., Redis]
) -> None:
    redis = client("orders")
    redis.set("rtq2:{orders}:beside", 1)
    old = home_of("orders")
    move(nodes, "orders", old, (old + 1) % NODES)
    with redis.pipeline(transaction=True) as pipe:
        pipe.incr("rtq2:{orders}:beside").incr("rtq2:{orders}:beside")
        assert pipe.execute() == [2, 3]


def test_a_put_that_waits_for_replicas_goes_to_the_new_primary_after_a_failover_that_was_asked_for(
    nodes: list[Valkey], client: Callable[..., Redis], stack: Stack
) -> None:
    replica = joined(stack, nodes, home_of("orders"))
    queue = Queue(client("orders"), "orders")
    queue.put([Job(id="a", body=b"")], wait_replicas=1)
    with replica.client() as spare, nodes[home_of("orders")].client() as former:
        spare.execute_command("CLUSTER", "FAILOVER")
        wait_until(lambda: spare.info("replication")["role"] == "master", timeout_s=10)
        wait_until(lambda: former.info("replication")["role"] == "slave", timeout_s=10)
        wait_until(lambda: spare.info("replication")["connected_slaves"] == 1, timeout_s=10)
    queue.put([Job(id="b", body=b"")], wait_replicas=1)
    assert queue.counts().available == 2


def joined(stack: Stack, nodes: Sequence[Valkey], home: int) -> Valkey:
    """Another node, a replica of that one."""
    bus = free_port()
    options = ["--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf", "--cluster-port", str(bus)]
    options += ["--repl-diskless-sync-delay", "0"]
    replica = stack.valkey(name="replica", listen=("127.0.0.1", free_port()), options=options)
    with replica.client() as spare, nodes[home].client() as primary:
        primary.execute_command("CLUSTER", "MEET", *address(replica), bus)
        id_ = primary.execute_command("CLUSTER", "MYID").decode()
        wait_until(lambda: str(spare.execute_command("CLUSTER", "NODES")).count("master") > NODES, timeout_s=10)
        spare.execute_command("CLUSTER", "REPLICATE", id_)
        wait_until(lambda: spare.info("replication").get("master_link_status") == "up", timeout_s=20)
    return replica


def test_while_its_slot_is_in_migration_a_queue_is_away_and_nothing_is_half_done(
    nodes: list[Valkey], client: Callable[..., Redis]
) -> None:
    queue = Queue(client("orders"), "orders")
    queue.put([Job(id="a", body=b"")])
    old = home_of("orders")
    new, slot = (old + 1) % NODES, key_slot(b"orders")
    with nodes[old].client() as from_, nodes[new].client() as to:
        ids = [one.execute_command("CLUSTER", "MYID").decode() for one in (from_, to)]
        to.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[0])
        from_.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[1])
        from_.execute_command("MIGRATE", *address(nodes[new]), "", 0, 5000, "KEYS", "rtq2:{orders}:counts")
        for _ in range(3):
            with pytest.raises(RedisError):
                queue.put([Job(id="b", body=b"")])
    # It is finished by whoever moves it.
    move(nodes, "orders", old, new)
    again(queue.counts)
    assert [seen.id for seen in queue.peek()] == ["a"]
    assert queue.audit().clean


def test_a_pipeline_goes_on_at_the_replica_that_takes_over_and_commands_find_it(
    nodes: list[Valkey], client: Callable[..., Redis], stack: Stack
) -> None:
    home = home_of("orders")
    others = [node for number, node in enumerate(nodes) if number != home]
    with joined(stack, nodes, home).client() as spare, nodes[home].client() as primary:
        queue, file = Queue(client("orders", others_index(home)), "orders"), stack.folder / "events"
        words = ["--redis", url_of(others), "--queue", "orders", "--ledger-name", "orders", "--set", f"file={file}"]
        worker = stack.start(
            "run", [*DARKTIME, "pipeline", "run", "JSONParser+FilePublisher", *words], ready="working on queue"
        )
        queue.put([job(n) for n in range(10)], wait_replicas=1)
        wait_until(lambda: queue.counts().finished_total == 10, timeout_s=20)
        primary.wait(1, 5_000)
        nodes[home].kill()
        spare.execute_command("CLUSTER", "FAILOVER", "TAKEOVER")
        again(lambda: queue.put([job(n) for n in range(10, 20)]))
        wait_until(lambda: spare.exists("rtq2:{orders}:counts") and queue.counts().held == 0, timeout_s=20)
        assert worker.alive()
        assert worker.stop(15) == 0
        assert {json.loads(line)["job"] for line in file.read_text().splitlines()} == {f"j{n}" for n in range(20)}
        (jobs,) = (hop for name, hop in read(spare, "orders").hops.items() if name == "queue>pipeline")
        assert jobs.received >= 20
    told = subprocess.run(
        [*DARKTIME, "queue", "audit", "--redis", url_of(others), "--queue", "orders", "--json"],
        capture_output=True,
        check=True,
        timeout=20,
    )
    assert json.loads(told.stdout)["audit"]["clean"]


def others_index(home: int) -> int:
    return (home + 1) % NODES


def job(number: int) -> Job:
    body = {"v": 1, "job": f"j{number}", "channels": ["c"], "kind": "post_save", "model": "a.B", "key": 1, "at": 1.5}
    return Job(id=f"j{number}", body=json.dumps(body | {"data": {}}).encode())


def test_a_server_that_is_in_no_cluster_and_nodes_that_are_away_are_said(stack: Stack) -> None:
    alone = stack.valkey(listen=("127.0.0.1", free_port()))
    host, port = address(alone)
    with connect(f"redis+cluster://{host}:{port}", answer_s=1.0, connect_s=1.0, name="orders") as redis:
        with pytest.raises(
            RedisError, match=rf"orders.s slot .* is not found: {host}:{port}: .*cluster support disabled"
        ):
            Queue(redis, "orders").counts()
        alone.kill()
        wait_until(lambda: not alone.alive())
        with pytest.raises(RedisError, match=rf"is not found: .*{port}.*(refused|reset)"):
            Queue(redis, "orders").counts()


def test_a_ledger_of_another_name_is_refused_before_anything_is_claimed(nodes: list[Valkey]) -> None:
    words = ["--redis", url_of(nodes), "--queue", "orders", "--ledger-name", "books", "--box", "b=http://127.0.0.1:1"]
    told = subprocess.run(
        [*DARKTIME, "pipeline", "run", *words], capture_output=True, text=True, timeout=20, check=False
    )
    assert told.returncode == 2, told
    assert (
        "--ledger-name books: in a cluster queue and ledger are at one node if they have one name: call it orders"
        in (told.stderr)
    )


def test_an_audit_by_a_ledger_of_another_name_is_refused_too(nodes: list[Valkey]) -> None:
    words = ["queue", "audit", "--redis", url_of(nodes), "--queue", "orders", "--ledger-name", "books"]
    told = subprocess.run([*DARKTIME, *words], capture_output=True, text=True, timeout=20, check=False)
    assert told.returncode == 2, told
    assert "--ledger-name books: in a cluster" in told.stderr
