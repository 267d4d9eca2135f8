"""Order by key: one consumer at a time, in the order of the puts, whatever becomes of the jobs."""

from __future__ import annotations

import random
import threading
from typing import TYPE_CHECKING

import pytest

from realtime_core.errors import ConfigurationError
from realtime_core.queue import Cancel, Claim, Finish, Job, Queue, Stall
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis import Redis

    from realtime_core.stack import Valkey

    MakeQueue = Callable[..., Queue]


def of_key(key: str | None, *ids: str, **more: object) -> list[Job]:
    return [Job(id=id_, body=id_.encode(), key=key, **more) for id_ in ids]  # type: ignore[arg-type]


def ids(claims: list[Claim]) -> list[str]:
    return [claim.id for claim in claims]


def finish(queue: Queue, claims: list[Claim]) -> None:
    assert queue.settle([Finish(claim) for claim in claims]).stale == ()


def make_due(queue: Queue) -> None:
    """Whatever is delayed is due now."""
    members = queue._redis.zrange(queue._keys["delayed"], 0, -1)
    queue._redis.zadd(queue._keys["delayed"], dict.fromkeys(members, 1))


def end_leases(queue: Queue) -> int:
    """Whoever had jobs is dead."""
    members = queue._redis.zrange(queue._keys["claimed"], 0, -1)
    queue._redis.zadd(queue._keys["claimed"], {id_: n + 1 for n, id_ in enumerate(members)})
    return queue.reap()


def test_a_key_belongs_to_one_consumer_who_may_take_a_whole_batch_of_it_in_order(queue: Queue) -> None:
    names = [f"a{n}" for n in range(40)]
    queue.put(of_key("k", *names))
    first = queue.claim("w1", 16)
    assert ids(first) == names[:16]
    assert queue.claim("w2", 16) == []
    finish(queue, first[:15])
    assert queue.claim("w2", 16) == [], "one of them is still in the first one's hands"
    finish(queue, first[15:])
    assert ids(queue.claim("w2", 100)) == names[16:]


def test_what_is_put_while_a_key_is_taken_waits_for_its_turn(queue: Queue) -> None:
    queue.put(of_key("k", "a"))
    claims = queue.claim("w", 10)
    queue.put(of_key("k", "b"))
    assert queue.claim("w", 10) == []
    assert (queue.counts().available, queue.counts().keys_claimed, queue.counts().keys_in_turn) == (1, 1, 0)
    finish(queue, claims)
    assert queue.counts().keys_in_turn == 1
    assert ids(queue.claim("w", 10)) == ["b"]


def test_jobs_of_other_keys_and_of_none_pass_a_key_that_is_held(queue: Queue) -> None:
    queue.put([*of_key("k", "a", "b"), *of_key("other", "c"), *of_key(None, "d", "e")])
    assert ids(queue.claim("w", 1)) == ["a"]
    assert sorted(ids(queue.claim("w", 10))) == ["c", "d", "e"]


def test_keys_that_begin_alike_are_different_keys(queue: Queue) -> None:
    queue.put([*of_key("t", "a"), *of_key("t:1", "b"), *of_key("t-", "c"), *of_key("t.", "d"), *of_key("tt", "e")])
    assert ids(queue.claim("w", 1)) == ["a"]
    assert sorted(ids(queue.claim("w", 10))) == ["b", "c", "d", "e"]


@pytest.mark.parametrize("end", ["finished", "stalled", "retracted"])
def test_a_retrying_job_holds_its_successors_until_it_has_left(queue: Queue, end: str) -> None:
    queue.put([*of_key("k", "a", "b"), *of_key("other", "x")])
    (a,) = queue.claim("w", 1)
    queue.settle([Cancel(a, "not now", delay_s=60)])
    assert queue.counts().retrying == 1
    assert ids(queue.claim("w", 10)) == ["x"]
    make_due(queue)
    if end == "retracted":
        queue.retract(["a"])
    else:
        (a,) = queue.claim("w", 1)
        assert (a.id, a.attempt) == ("a", 2)
        assert queue.claim("w", 10) == []
        queue.settle([Finish(a) if end == "finished" else Stall(a, "never")])
    assert ids(queue.claim("w", 10)) == ["b"]


def test_a_retrying_job_that_is_retracted_while_it_waits_lets_go(queue: Queue) -> None:
    queue.put(of_key("k", "a", "b"))
    (a,) = queue.claim("w", 1)
    queue.settle([Cancel(a, "x", delay_s=60)])
    assert queue.retract(["a"]) == ["a"]
    assert ids(queue.claim("w", 10)) == ["b"]


def test_a_held_key_has_no_turn_whatever_is_put_behind_it(queue: Queue) -> None:
    queue.put(of_key("k", "a", "b"))
    queue.settle([Cancel(claim, "x", delay_s=60) for claim in queue.claim("w", 1)])
    assert queue.counts().keys_in_turn == 0
    queue.put(of_key("k", "c"))
    queue.retract(["b"])
    assert queue.counts().keys_in_turn == 0


def test_a_claimed_job_that_is_retracted_lets_its_successors_go(queue: Queue) -> None:
    queue.put(of_key("k", *"abc"))
    queue.claim("w", 2)
    queue.retract(["a"])
    assert queue.claim("w", 10) == []
    queue.retract(["b"])
    assert ids(queue.claim("w", 10)) == ["c"]


def test_a_stalled_job_that_is_retried_has_its_turn_though_nobody_else_is_there(queue: Queue) -> None:
    queue.put(of_key("k", "a"))
    queue.settle([Stall(claim, "x") for claim in queue.claim("w", 1)])
    queue.retry(["a"])
    assert ids(queue.claim("w", 10)) == ["a"]


def test_a_job_that_failed_for_the_last_time_lets_its_successors_go(make_queue: MakeQueue) -> None:
    queue = make_queue(max_attempts=1)
    queue.put(of_key("k", "a", "b"))
    queue.settle([Cancel(claim, "x") for claim in queue.claim("w", 1)])
    assert ids(queue.claim("w", 10)) == ["b"]
    assert [(job.id, job.key) for job in queue.stalled()] == [("a", "k")]


def test_who_failed_in_the_middle_of_a_batch_comes_before_whatever_is_left(queue: Queue) -> None:
    queue.put(of_key("k", *"abcdef"))
    a, b, c, d = queue.claim("w", 4)
    queue.settle([Finish(a), Cancel(b, "x", delay_s=60), Finish(c), Cancel(d, "x", delay_s=120)])
    assert queue.claim("w", 10) == []
    first = b"k 1" + b"%015d" % 2 + b" b"
    queue._redis.zadd(queue._keys["delayed"], {first: 1})
    again = queue.claim("w", 10)
    assert ids(again) == ["b"], "d waits longer, and what is behind it waits for it"
    finish(queue, again)
    assert queue.claim("w", 10) == []
    make_due(queue)
    assert ids(queue.claim("w", 10)) == ["d", "e", "f"]


def test_a_dead_consumers_jobs_come_back_in_order_before_their_successors(queue: Queue) -> None:
    queue.put(of_key("k", *"abcde"))
    queue.put(of_key("other", "x"))
    a, *_ = queue.claim("dies", 3)
    finish(queue, [a])
    assert end_leases(queue) == 2
    claims = queue.claim("w", 10)
    assert ids(claims) == ["b", "c", "d", "e", "x"], "and their key goes before others"
    assert [claim.attempt for claim in claims] == [2, 2, 1, 1, 1]


def test_jobs_of_several_keys_that_are_taken_back_go_first_in_the_order_they_had(queue: Queue) -> None:
    queue.put([*of_key("a", "a1"), *of_key("b", "b1"), *of_key("a", "a2"), *of_key("c", "c1")])
    first = queue.claim("w", 3)
    assert ids(first) == ["a1", "a2", "b1"]
    assert end_leases(queue) == 3
    assert ids(queue.claim("w", 10)) == ["a1", "a2", "b1", "c1"]


def test_leases_that_end_one_after_another_hold_the_key_to_the_last(make_queue: MakeQueue) -> None:
    queue = make_queue()
    queue.put(of_key("k", *"abc"))
    queue.claim("dies", 2)
    queue._redis.zadd(queue._keys["claimed"], {"a": 1})
    assert queue.reap() == 1
    assert queue.claim("w", 10) == [], "b may still be worked on"
    assert end_leases(queue) == 1
    assert ids(queue.claim("w", 10)) == ["a", "b", "c"]


def test_an_urgent_job_goes_first_of_its_key_and_its_key_first_of_all(queue: Queue) -> None:
    queue.put([*of_key("x", "x1"), *of_key("k", "a", "b")])
    queue.put([*of_key("k", "p", urgent=True), *of_key("k", "q", urgent=True)])
    queue.put(of_key("k", "o", urgent=True))
    assert ids(queue.claim("w", 10)) == ["o", "p", "q", "a", "b", "x1"]


def test_urgent_jobs_of_several_keys_put_together_go_in_the_order_of_their_put(queue: Queue) -> None:
    queue.put([*of_key("x", "x1"), *of_key("y", "y1")])
    queue.put([job for key in "abc" for job in of_key(key, f"{key}1", urgent=True)])
    queue.put([job for key in "de" for job in of_key(key, f"{key}1", urgent=True)])
    assert ids(queue.claim("w", 10)) == ["d1", "e1", "a1", "b1", "c1", "x1", "y1"]


def test_urgent_jobs_of_several_keys_go_in_the_order_of_their_put_where_another_waits_for_its_retry(
    queue: Queue,
) -> None:
    queue.put(of_key("x", "x1"))
    queue.settle([Cancel(claim, "x", delay_s=60) for claim in queue.claim("w", 1)])
    queue.put([job for key in "abc" for job in of_key(key, f"{key}1", urgent=True)])
    assert ids(queue.claim("w", 10)) == ["a1", "b1", "c1"]


def test_an_urgent_job_never_runs_beside_another_of_its_key(queue: Queue) -> None:
    queue.put([*of_key("k", "a", "b"), *of_key("x", "x1", "x2")])
    (a,) = queue.claim("w", 1)
    queue.put(of_key("k", "p", urgent=True))
    finish(queue, queue.claim("w", 1))
    assert ids(queue.claim("w2", 10)) == ["x2"]
    finish(queue, [a])
    assert ids(queue.claim("w2", 10)) == ["p", "b"]


def test_an_urgent_job_passes_one_that_waits_for_its_retry(queue: Queue) -> None:
    queue.put(of_key("k", "a", "b"))
    (a,) = queue.claim("w", 1)
    queue.settle([Cancel(a, "x", delay_s=60)])
    queue.put(of_key("k", "p", urgent=True))
    urgent = queue.claim("w", 10)
    assert ids(urgent) == ["p"]
    finish(queue, urgent)
    assert queue.claim("w", 10) == []
    make_due(queue)
    assert ids(queue.claim("w", 10)) == ["a", "b"]


def test_a_delayed_job_holds_nobody_and_takes_the_place_of_its_put(queue: Queue) -> None:
    queue.put([*of_key("k", "a", delay_s=60), *of_key("k", "b")])
    b = queue.claim("w", 10)
    assert ids(b) == ["b"]
    queue.put(of_key("k", "c"))
    make_due(queue)
    assert queue.claim("w", 10) == [], "it is due, and the key is taken"
    finish(queue, b)
    assert ids(queue.claim("w", 10)) == ["a", "c"]


def test_a_stalled_job_that_is_retried_takes_its_old_place(queue: Queue) -> None:
    queue.put(of_key("k", *"abcd"))
    a, b = queue.claim("w", 2)
    queue.settle([Stall(a, "x"), Finish(b)])
    queue.retry(["a"])
    assert ids(queue.claim("w", 10)) == ["a", "c", "d"]


def test_keys_take_turns_and_share_with_jobs_that_have_none(queue: Queue) -> None:
    queue.put([*of_key("hot", *(f"h{n}" for n in range(20))), *of_key("cold", "c1"), *of_key(None, "n1", "n2", "n3")])
    order: list[str] = []
    for _ in range(8):
        claims = queue.claim("w", 4)
        order += ids(claims)
        finish(queue, claims)
    assert order[:4] == ["h0", "h1", "n1", "n2"], "half each"
    assert order[4:7] == ["c1", "h2", "h3"], "the hot key has joined the end of the line"
    assert [id_ for id_ in order if id_[0] == "h"] == [f"h{n}" for n in range(20)]


def test_the_smallest_batches_take_from_both_lines_in_turn(queue: Queue) -> None:
    queue.put([*of_key("k", *(f"k{n}" for n in range(9))), *of_key(None, *(f"n{n}" for n in range(9)))])
    order = []
    for _ in range(6):
        claims = queue.claim("w", 1)
        order += ids(claims)
        finish(queue, claims)
    assert sorted(id_[0] for id_ in order) == ["k", "k", "k", "n", "n", "n"]


def test_a_last_attempt_is_alone_also_among_jobs_of_its_key(make_queue: MakeQueue) -> None:
    queue = make_queue(max_attempts=2)
    queue.put([*of_key("k", *"abcd"), *of_key("x", "x1")])
    a, b = queue.claim("w", 2)
    queue.put(of_key(None, "n1"))
    queue.settle([Finish(a), Cancel(b, "x", delay_s=0)])
    given = []
    for _ in range(4):
        claims = queue.claim("w", 10)
        given.append(ids(claims))
        finish(queue, claims)
    assert ["b"] in given
    together = [id_ for batch in given for id_ in batch]
    assert together.index("b") < together.index("c") < together.index("d")
    assert sorted(together) == ["b", "c", "d", "n1", "x1"]


def test_a_key_that_is_free_again_wakes_who_waits(valkey: Valkey, redis_name: str) -> None:
    with valkey.client(socket_timeout=60.0) as redis:
        queue = Queue(redis, redis_name)
        queue._longest_block_s = 20.0  # only a wake-up brings it back in time
        queue.put(of_key("k", "a", "b"))
        first = queue.claim("w1", 1)
        redis.delete(queue._keys["wake"])
        got: list[Claim] = []
        waiting = threading.Thread(target=lambda: got.extend(queue.claim("w2", 1, wait_s=20.0)), daemon=True)
        waiting.start()
        wait_until(lambda: redis.info("clients")["blocked_clients"] >= 1)
        finish(queue, first)
        waiting.join(10)
        assert ids(got) == ["b"]


def test_what_waits_behind_a_retry_costs_a_claim_nothing(queue: Queue, redis_client: Redis) -> None:
    """The work of claims and puts, in the server's own time, with few and with 100,000 jobs behind one that waits."""

    def microseconds() -> int:
        return int(redis_client.info("commandstats")["cmdstat_evalsha"]["usec"])

    def work() -> int:
        lowest = 10**9
        for n in range(30):
            before = microseconds()
            queue.put(of_key("held", f"h{queue.counts().put_total}"))
            assert queue.claim("w", 256) == [], n
            lowest = min(lowest, microseconds() - before)
        return lowest

    queue.put(of_key("held", "first", "second"))
    (first,) = queue.claim("w", 1)
    queue.settle([Cancel(first, "x", delay_s=3600)])
    few = work()
    for start in range(0, 100_000, 10_000):
        queue.put(of_key("held", *(f"s{start + n}" for n in range(10_000))))
    assert queue.counts().available > 100_000
    assert work() < 10 * few


def test_many_are_retracted_from_the_depth_of_a_line_and_the_rest_keeps_its_order(queue: Queue) -> None:
    names = [f"n{n}" for n in range(5000)]
    queue.put([*of_key(None, *names), *of_key("k", *(f"k{n}" for n in range(100)))])
    gone = set(random.Random(7).sample(names, 1500)) | {f"k{n}" for n in range(0, 100, 3)}
    assert len(queue.retract(sorted(gone))) == len(gone)
    left = ids(queue.claim("w", 10_000))
    assert [id_ for id_ in left if id_[0] == "n"] == [id_ for id_ in names if id_ not in gone]
    assert [id_ for id_ in left if id_[0] == "k"] == [f"k{n}" for n in range(100) if n % 3]


class Competition:
    """What several consumers see of each other: in whose hands each key is, and what was finished of it."""

    def __init__(self, valkey: Valkey, name: str) -> None:
        self.valkey = valkey
        self.name = name
        self.held: dict[str, str] = {}
        self.finished: dict[str, list[int]] = {}
        self.wrong: list[str] = []
        self.lock = threading.Lock()

    def consume(self, worker: str, chance: random.Random) -> None:
        with self.valkey.client() as redis:
            queue = Queue(redis, self.name, backoff_s=0.0, max_attempts=1000)
            while queue.counts().held:
                claims = queue.claim(worker, chance.choice([1, 3, 16]), wait_s=0.05)
                with self.lock:
                    self.take(worker, {claim.key for claim in claims if claim.key})
                verdicts = self.judge(claims, chance)
                with self.lock:
                    self.note(verdicts)
                queue.settle(verdicts)

    def judge(self, claims: list[Claim], chance: random.Random) -> list[Finish | Cancel]:
        """Who keeps order strictly gives back what is behind a failure."""
        verdicts: list[Finish | Cancel] = []
        failed: set[str | None] = set()
        for claim in claims:
            if claim.key in failed or chance.random() < 0.05:
                failed.add(claim.key)
                verdicts.append(Cancel(claim, "x", delay_s=chance.choice([0.0, 0.002])))
            else:
                verdicts.append(Finish(claim))
        return verdicts

    def take(self, worker: str, keys: set[str]) -> None:
        self.wrong += [key for key in keys if self.held.setdefault(key, worker) != worker]

    def note(self, verdicts: list[Finish | Cancel]) -> None:
        for verdict in verdicts:
            claim = verdict.claim
            self.held.pop(claim.key or "", None)
            if claim.key and isinstance(verdict, Finish):
                self.finished.setdefault(claim.key, []).append(int(claim.id[1:]))


def test_consumers_in_competition_keep_every_keys_order(valkey: Valkey, redis_name: str) -> None:
    total = 1500
    drawn = random.Random(3)
    seen = Competition(valkey, redis_name)
    with valkey.client() as redis:
        queue = Queue(redis, redis_name)
        queue.put([Job(id=f"j{n}", body=b"", key=f"k{drawn.randrange(12)}" if n % 7 else None) for n in range(total)])
        threads = [
            threading.Thread(target=seen.consume, args=(f"w{n}", random.Random(n)), daemon=True) for n in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(25)
        assert seen.wrong == []
        assert queue.counts().finished_total == total
        assert all(order == sorted(order) for order in seen.finished.values())
        assert sum(map(len, seen.finished.values())) == total - len(range(0, total, 7))
        assert queue.audit().clean


def test_a_queue_that_holds_jobs_of_the_older_format_is_refused(redis_client: Redis, redis_name: str) -> None:
    redis_client.hset(f"rtq1:{{{redis_name}}}:jobs", "a", b" body")
    with pytest.raises(ConfigurationError, match=r"holds 1 jobs in the format before rtq2"):
        Queue(redis_client, redis_name).put(of_key(None, "b"))
    assert redis_client.keys(f"rtq2:*{redis_name}*") == []


def test_who_speaks_the_older_format_is_refused_once_this_one_was_used(queue: Queue, redis_client: Redis) -> None:
    queue.put(of_key(None, "a"))
    with pytest.raises(Exception, match="WRONGTYPE"):
        redis_client.hset(f"rtq1:{{{queue.name}}}:jobs", "b", b" body")
