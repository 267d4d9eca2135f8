"""A server that lost its last writes (a replica took over, its file was cut short): no token and no event id is given twice."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from realtime_core.errors import NotReplicated
from realtime_core.free_ports import free_port
from realtime_core.hooks.books import HOP_OUT
from realtime_core.hooks.lost_puts import lost_puts
from realtime_core.ledger import Ledger
from realtime_core.queue import MAX_BATCH, Cancel, Claim, Finish, Job, Queue
from tests.support.cutting import Cutter
from tests.support.engines import require_engine
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis import Redis

    from realtime_core.stack import Stack, Valkey

LEASE_S = 60.0
AT = 1_700_000_000.0


def on(redis: Redis) -> Queue:
    return Queue(redis, "q", lease_s=LEASE_S, backoff_s=0.0)


def put(queue: Queue, *ids: str) -> None:
    queue.put([Job(id=id_, body=b"x") for id_ in ids])


def stamp(queue: Queue, claims: list[Claim]) -> list[str]:
    """The events of these in the channel ``t``; none for a claim that is stale."""
    return [event for events in queue.stamp(claims, [["t"]] * len(claims)) for event in events]


def epoch_of(event: str) -> int:
    return int(event.partition("-")[0])


def linked(copy: Redis) -> bool:
    return bool(copy.info("replication").get("master_link_status") == "up")


@dataclass
class Pair:
    """A server, its replica, and the wire between them."""

    first: Redis
    copy: Redis
    cutter: Cutter
    copy_port: int
    port: int

    def copied(self) -> None:
        """All that was written is on the replica."""
        assert self.first.wait(1, 10_000) == 1

    def cut(self) -> None:
        """What is written from now on never gets to the replica."""
        self.cutter.close()
        self.cutter.cut_request_after(0)
        wait_until(lambda: not linked(self.copy), timeout_s=10)

    def promote(self, redis: Redis) -> None:
        redis.execute_command("REPLICAOF", "NO", "ONE")


@pytest.fixture(params=["embedded", pytest.param("redis-server", marks=pytest.mark.engine("redis-server"))])
def pair(stack: Stack, request: pytest.FixtureRequest) -> Iterator[Pair]:
    binary = None if request.param == "embedded" else require_engine(request.param)
    listen, copy_port = ("127.0.0.1", free_port()), free_port()
    soon = ["--repl-diskless-sync-delay", "0"]
    first = stack.valkey(name="first", listen=listen, binary=binary, options=soon)
    cutter = Cutter(listen)
    options = ["--replicaof", "127.0.0.1", str(cutter.port), *soon]
    second = stack.valkey(name="second", listen=("127.0.0.1", copy_port), binary=binary, options=options)
    with first.client() as redis, second.client() as copy:
        wait_until(lambda: linked(copy), timeout_s=15)
        yield Pair(redis, copy, cutter, copy_port, listen[1])
    cutter.close()


def test_a_claim_that_the_promoted_replica_never_heard_of_is_refused_there(pair: Pair) -> None:
    before, after = on(pair.first), on(pair.copy)
    put(before, "a", "b", "c")
    pair.copied()
    pair.cut()
    lost = before.claim("w1", 3)
    pair.promote(pair.copy)
    again = after.claim("w2", 3)
    assert [claim.id for claim in again] == [claim.id for claim in lost]
    assert again[0].token != lost[0].token
    assert set(after.renew(lost)) == {"a", "b", "c"}
    assert stamp(after, lost) == []
    assert after.settle([Finish(claim) for claim in lost]).stale == ("a", "b", "c")
    assert after.settle([Finish(claim) for claim in again]).done == 3
    assert after.audit().clean


def test_no_event_id_is_given_again_by_a_promoted_replica(pair: Pair) -> None:
    before, after = on(pair.first), on(pair.copy)
    put(before, "a", "b", "c", "d")
    known = stamp(before, before.claim("w1", 1))
    pair.copied()
    pair.cut()
    lost = stamp(before, before.claim("w1", 2))
    pair.promote(pair.copy)
    later = stamp(after, after.claim("w2", 4))
    assert (len(known), len(lost), len(later)) == (1, 2, 3)
    assert not {*known, *lost} & set(later)
    assert {epoch_of(event) > epoch_of(known[0]) for event in later} == {True}
    numbers = [int(event.partition("-")[2]) for event in later]
    assert numbers == [numbers[0], numbers[0] + 1, numbers[0] + 2], "consecutive in the new epoch"
    assert len({epoch_of(event) for event in later}) == 1


def test_an_event_stamped_by_a_claim_from_before_is_of_the_new_epoch_too(pair: Pair) -> None:
    """Whoever comes first after the failover may be a worker that only stamps what it had."""
    before, after = on(pair.first), on(pair.copy)
    put(before, "a", "b", "c")
    a, b, c = before.claim("w1", 3)
    (known,) = stamp(before, [a])
    pair.copied()
    pair.cut()
    (lost,) = stamp(before, [b])
    pair.promote(pair.copy)
    (later,) = stamp(after, [c])
    assert later not in {known, lost}
    assert epoch_of(later) > epoch_of(lost)


def test_what_the_replica_had_goes_on_there_under_its_old_token_and_its_old_event_id(pair: Pair) -> None:
    before, after = on(pair.first), on(pair.copy)
    put(before, "a", "b", "c")
    a, b = before.claim("w1", 2)
    known = stamp(before, [a, b])
    pair.copied()
    pair.cut()
    pair.promote(pair.copy)
    assert [claim.id for claim in after.claim("w2", 5)] == ["c"]
    assert after.renew([a, b]) == ()
    assert after.settle([Finish(a), Cancel(b, "x")]).done == 2
    (again,) = after.claim("w2", 1, wait_s=5)
    assert (again.id, stamp(after, [again])) == ("b", known[1:])
    assert after.audit().clean


def test_a_server_that_was_a_replica_for_a_while_is_not_taken_for_the_one_it_was(pair: Pair) -> None:
    """It lost its tail when it followed the promoted replica, on which nobody did anything; its process is the same."""
    before, after = on(pair.first), on(pair.first)
    put(before, "a", "b", "c")
    known = stamp(before, before.claim("w1", 1))
    pair.copied()
    pair.cut()
    lost = before.claim("w1", 1)
    lost_events = stamp(before, lost)
    pair.promote(pair.copy)
    pair.first.execute_command("REPLICAOF", "127.0.0.1", pair.copy_port)
    wait_until(lambda: linked(pair.first), timeout_s=15)
    pair.promote(pair.first)
    again = after.claim("w2", 1)
    assert [claim.id for claim in again] == ["b"]
    assert after.settle([Finish(lost[0])]).stale == ("b",)
    assert not {*known, *lost_events} & set(stamp(after, again))


def test_puts_that_were_acknowledged_and_lost_are_named_by_the_ledger(pair: Pair, redis_client: Redis) -> None:
    """The producer's account is elsewhere here; on the same server it would be written again with the next flush."""
    before, after = on(pair.first), on(pair.copy)
    producer, worker = Ledger(redis_client, "q", "producer"), Ledger(redis_client, "q", "worker")

    def taken(*ids: str) -> None:
        put(before, *ids)
        producer.sent(HOP_OUT, list(ids), AT)
        producer.name(list(ids))
        producer.flush()

    taken("a", "b", "c")
    pair.copied()
    pair.cut()
    taken("d", "e")
    assert lost_puts(before, redis_client, "q").ids == ()
    pair.promote(pair.copy)
    done = after.claim("w2", 1)
    after.settle([Finish(claim) for claim in done], also=lambda _: worker.received(HOP_OUT, ["a"], AT))
    worker.flush()
    found = lost_puts(after, redis_client, "q")
    assert after.audit().clean, "the structure is whole: it does not know of them"
    assert found.ids == ("d", "e")
    assert found.unnamed == 0
    assert len(found.open_producers) == 2
    with pytest.raises(NotReplicated):
        after.put([Job(id="f", body=b"x")], wait_replicas=1)


def test_lost_puts_are_found_among_more_jobs_than_one_batch_may_have(redis_client: Redis, redis_name: str) -> None:
    """A queue that is behind has more jobs that nobody has settled than a look may ask for at once."""
    queue, producer = Queue(redis_client, redis_name), Ledger(redis_client, redis_name, "producer")
    ids = [f"j{number}" for number in range(MAX_BATCH + 500)]
    for first in range(0, len(ids), 500):  # a window each, so that every one is known by its name
        some = ids[first : first + 500]
        put(queue, *some)
        producer.sent(HOP_OUT, some, AT + 5 * first)
        producer.name(some)
        producer.flush()
    queue.retract([ids[7], ids[-1]])
    assert lost_puts(queue, redis_client, redis_name).ids == tuple(sorted((ids[7], ids[-1])))


def test_neither_the_first_replica_nor_its_leaving_changes_the_epoch(stack: Stack) -> None:
    listen = ("127.0.0.1", free_port())
    soon = ["--repl-diskless-sync-delay", "0"]
    first = stack.valkey(name="first", listen=listen, options=[*soon, "--repl-backlog-ttl", "1"])
    with first.client() as redis:
        queue = on(redis)
        put(queue, "a", "b", "c")
        alone = stamp(queue, queue.claim("w", 1))
        id_alone = redis.info("replication")["master_replid"]
        second = stack.valkey(name="second", options=["--replicaof", *map(str, listen), *soon])
        with second.client() as copy:
            wait_until(lambda: linked(copy), timeout_s=15)
        id_followed = redis.info("replication")["master_replid"]
        followed = stamp(queue, queue.claim("w", 1))
        second.service.stop()
        wait_until(lambda: redis.info("replication")["master_replid"] != id_followed, timeout_s=15)
        left = stamp(queue, queue.claim("w", 1))
        assert id_alone != id_followed, "the ids that the server is known by did change"
        epoch = epoch_of(alone[0])
        assert [*alone, *followed, *left] == [f"{epoch}-1", f"{epoch}-2", f"{epoch}-3"]


def test_a_server_whose_file_lost_its_end_gives_no_token_and_no_event_id_again(stack: Stack) -> None:
    valkey: Valkey = stack.valkey(options=["--appendfsync", "always"])
    with valkey.client() as redis:
        queue = on(redis)
        put(queue, "a", "b", "c")
        known = stamp(queue, queue.claim("w1", 1))
        folder = stack.folder / "valkey-data" / "appendonlydir"
        shutil.copytree(folder, folder.with_name("as-it-was"))
        lost = queue.claim("w1", 1)
        lost_events = stamp(queue, lost)
        valkey.kill()
        shutil.rmtree(folder)
        folder.with_name("as-it-was").rename(folder)
        valkey.restart()
        again = queue.claim("w2", 1)
        assert [claim.id for claim in again] == [claim.id for claim in lost]
        assert queue.settle([Finish(lost[0])]).done == 0
        assert not {*known, *lost_events} & set(stamp(queue, again))
        assert queue.audit().clean


def test_a_queue_that_lost_everything_refuses_the_claims_of_before(redis_client: Redis, redis_name: str) -> None:
    queue = Queue(redis_client, redis_name)
    put(queue, "a")
    (lost,) = queue.claim("w1", 1)
    redis_client.delete(*queue._keys.values())
    put(queue, "a")
    (again,) = queue.claim("w2", 1)
    assert queue.settle([Finish(lost)]).done == 0
    assert queue.settle([Finish(again)]).done == 1


def test_what_the_version_before_stamped_stays_in_its_epoch_and_it_can_read_what_this_one_counts(
    queue: Queue, redis_client: Redis
) -> None:
    put(queue, "a", "b")
    a, b = queue.claim("w", 2)
    (one,) = stamp(queue, [a])
    counts = queue._keys["counts"]
    redis_client.hdel(counts, "life", "run")  # as that version leaves them
    (two,) = stamp(queue, [b])
    assert epoch_of(one) == epoch_of(two)
    assert queue.settle([Finish(a), Finish(b)]).done == 2
    values = redis_client.hgetall(counts)
    assert {b"life", b"run"} <= set(values)
    assert all(int(value) >= 0 for value in values.values()), "it reads all counts as numbers"
    assert int(values[b"token"]) < 10**14, "and writes tokens with 14 digits"
