"""What each move promises, one job or one batch at a time."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from redis import ResponseError

from realtime_core.errors import ConfigurationError, QueueFull
from realtime_core.queue import MAX_BODY_BYTES, Cancel, Finish, GiveBack, Job, Queue, Stall
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from redis import Redis

    from realtime_core.stack import Valkey

    MakeQueue = Callable[..., Queue]


def jobs(*ids: str) -> list[Job]:
    return [Job(id=id_, body=f"body of {id_}".encode()) for id_ in ids]


def everything(redis: Redis, name: str) -> dict[bytes, bytes]:
    return {key: redis.dump(key) for key in redis.keys(f"*{name}*")}


def test_a_job_is_put_claimed_and_finished(queue: Queue) -> None:
    assert queue.put([Job(id="a", body=b"9.0", key="thread:1")]) == [True]
    (claim,) = queue.claim("w", 10)
    assert (claim.id, claim.body, claim.key, claim.attempt) == ("a", b"9.0", "thread:1", 1)
    assert queue.settle([Finish(claim)]).done == 1
    counts = queue.counts()
    assert (counts.held, counts.put_total, counts.claimed_total, counts.finished_total) == (0, 1, 1, 1)


def test_bodies_come_back_byte_for_byte(queue: Queue) -> None:
    bodies = [b"", b" ", b"a b", b"\n\0\xff", b'{"v":1}', bytes(range(256)) * 64]
    queue.put([Job(id=f"b{i}", body=body, key="k" if i % 2 else None) for i, body in enumerate(bodies)])
    claims = queue.claim("w", 100)
    assert {claim.id: claim.body for claim in claims} == {f"b{i}": body for i, body in enumerate(bodies)}
    assert {claim.id: claim.key for claim in claims} == {f"b{i}": "k" if i % 2 else None for i in range(6)}


def test_jobs_come_in_the_order_they_were_put_and_urgent_ones_first(queue: Queue) -> None:
    queue.put(jobs("a", "b", "c"))
    queue.put([Job(id="p", body=b"", urgent=True), Job(id="q", body=b"", urgent=True), Job(id="d", body=b"")])
    assert [queue.claim("w", 1)[0].id for _ in range(6)] == ["p", "q", "a", "b", "c", "d"]


def test_an_empty_claim_waits_about_its_limit(queue: Queue) -> None:
    started = time.monotonic()
    assert queue.claim("w", 1, wait_s=0.5) == []
    assert time.monotonic() - started >= 0.5
    assert queue.claim("w", 1) == []


@pytest.mark.parametrize("waits", [[2.0], [1.0, 1.0]], ids=["at once", "in two"])
def test_a_waiting_claim_makes_two_calls_a_second(queue: Queue, redis_client: Redis, waits: list[float]) -> None:
    def calls() -> int:
        stats = redis_client.info("commandstats")
        return sum(stats.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in ("evalsha", "blpop"))

    queue.claim("w", 1)  # the server knows the script from here on
    before = calls()
    for wait_s in waits:
        assert queue.claim("w", 1, wait_s=wait_s) == []
    assert calls() - before <= 4


def test_a_claim_whose_wait_is_over_has_what_came_due_before_that(queue: Queue) -> None:
    queue.put([Job(id="due", body=b"", delay_s=0.2)])
    assert [claim.id for claim in queue.claim("w", 1, wait_s=0.5)] == ["due"]


def test_a_wait_that_is_ended_claims_nothing_more_and_one_that_goes_on_does(queue: Queue) -> None:
    def ended(block: Callable[[], object]) -> bool:
        queue.put(jobs("a"))
        return False

    def kept(block: Callable[[], object]) -> bool:
        queue.put(jobs("b"))
        block()
        return True

    assert queue.claim("w", 10, wait_s=20, waiting=ended) == []
    assert queue.counts().available == 1
    assert [claim.id for claim in queue.claim("w", 10)] == ["a"]
    assert [claim.id for claim in queue.claim("w", 10, wait_s=20, waiting=kept)] == ["b"]


@pytest.mark.parametrize("waiting", [1, 4])
def test_a_put_wakes_as_many_waiting_claims_as_it_has_work_for(valkey: Valkey, redis_name: str, waiting: int) -> None:
    with valkey.client(socket_timeout=60.0) as redis:
        _wake(Queue(redis, redis_name), waiting)


def _wake(queue: Queue, waiting: int) -> None:
    got: list[str] = []
    # They never look for themselves: only a wake-up can bring them back in time.
    queue._longest_block_s = 20.0

    def work(name: str) -> None:
        got.extend(claim.id for claim in queue.claim(name, 1, wait_s=20.0))

    threads = [threading.Thread(target=work, args=(f"w{n}",), daemon=True) for n in range(waiting)]
    for thread in threads:
        thread.start()
    wait_until(lambda: queue._redis.info("clients")["blocked_clients"] >= waiting)
    queue.put(jobs(*(f"j{n}" for n in range(waiting))))
    wait_until(lambda: len(got) == waiting, timeout_s=10)
    for thread in threads:
        thread.join(10)
    assert sorted(got) == [f"j{n}" for n in range(waiting)]


def test_a_stalled_job_is_listed_once_though_the_server_may_name_it_twice_while_it_resizes(
    queue: Queue, redis_client: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue.put(jobs(*(f"j{n}" for n in range(10))))
    queue.settle([Stall(claim, "x") for claim in queue.claim("w", 10)])
    scan = redis_client.hscan_iter

    def twice(*args: Any, **settings: Any) -> Iterator[Any]:
        for entry in scan(*args, **settings):
            yield from (entry, entry)

    monkeypatch.setattr(redis_client, "hscan_iter", twice)
    assert sorted(job.id for job in queue.stalled()) == sorted(f"j{n}" for n in range(10))
    assert len({job.id for job in queue.stalled(limit=7)}) == len(queue.stalled(limit=7)) == 7


def test_an_urgent_job_cannot_be_delayed_and_is_told_so() -> None:
    with pytest.raises(ConfigurationError, match=r"job a: urgent, and delay_s=5.*put it urgent when it is time"):
        Job(id="a", body=b"", urgent=True, delay_s=5)


def test_a_cancelled_urgent_job_without_a_key_joins_the_end_of_the_line(queue: Queue) -> None:
    queue.put([Job(id="u", body=b"", urgent=True), *jobs("a", "b")])
    (urgent,) = queue.claim("w", 1)
    assert urgent.id == "u"
    queue.settle([Cancel(urgent, "not now", delay_s=0)])
    assert [claim.id for claim in queue.claim("w", 10)] == ["a", "b", "u"]


def test_cancel_counts_the_attempt_and_the_job_comes_back(queue: Queue) -> None:
    queue.put(jobs("a"))
    for attempt in (1, 2, 3):
        (claim,) = queue.claim("w", 1, wait_s=5)
        assert (claim.id, claim.attempt) == ("a", attempt)
        queue.settle([Cancel(claim, "not now")])
    assert queue.counts().cancelled_total == 3
    assert queue.retract(["a"]) == ["a"]


def test_a_cancelled_job_backs_off_between_base_and_twice_base_and_comes_no_earlier(make_queue: MakeQueue) -> None:
    queue = make_queue(backoff_s=0.2)
    queue.put(jobs(*(f"j{n}" for n in range(50))))
    before_ms = _redis_ms(queue)
    queue.settle([Cancel(claim, "x") for claim in queue.claim("w", 50)])
    after_ms = _redis_ms(queue)
    due = [at for _, at in queue._redis.zrange(queue._keys["delayed"], 0, -1, withscores=True)]
    assert len(due) == 50
    assert before_ms + 200 <= min(due)
    assert max(due) <= after_ms + 400
    assert len(set(due)) > 10, "no jitter: they would all come back together"
    got = []
    while len(got) < 50:
        got += queue.claim("w", 50, wait_s=5)
        assert _redis_ms(queue) >= min(due)
    assert {claim.attempt for claim in got} == {2}


def test_an_explicit_delay_is_kept(queue: Queue) -> None:
    queue.put([Job(id="later", body=b"", delay_s=0.3), *jobs("now")])
    before_ms = _redis_ms(queue)
    (now,) = queue.claim("w", 10)
    assert now.id == "now"
    assert queue.counts().delayed == 1
    (later,) = queue.claim("w", 10, wait_s=5)
    assert later.id == "later"
    assert _redis_ms(queue) >= before_ms + 299
    queue.settle([Finish(now), Cancel(later, "later still", delay_s=60)])
    assert queue.counts().delayed == 1


def test_a_stalled_job_stays_away_until_it_is_retried_and_keeps_its_history(queue: Queue) -> None:
    queue.put(jobs("a"))
    (claim,) = queue.claim("worker:7", 1)
    queue.settle([Stall(claim, "parse: no such field ✗")])
    assert queue.claim("w", 1) == []
    (stalled,) = queue.stalled()
    assert (stalled.id, stalled.attempts, stalled.worker) == ("a", 1, "worker:7")
    assert stalled.reason == "parse: no such field ✗"
    assert stalled.at == pytest.approx(_redis_ms(queue) / 1000, abs=60)
    assert queue.retry(["a", "a", "unknown"]) == ["a"]
    (again,) = queue.claim("w", 1)
    assert (again.id, again.attempt) == ("a", 2)
    assert queue.stalled() == []


def test_retry_touches_only_stalled_jobs(queue: Queue) -> None:
    queue.put([*jobs("claimed", "waiting"), Job(id="delayed", body=b"", delay_s=60)])
    queue.claim("w", 1)
    assert queue.retry(["claimed", "waiting", "delayed", "unknown"]) == []
    assert queue.counts().available == 1


def test_after_the_last_attempt_a_job_is_stalled_with_reason_and_worker(make_queue: MakeQueue) -> None:
    queue = make_queue(max_attempts=2, backoff_s=0.0)
    queue.put(jobs("a"))
    for _ in range(2):
        (claim,) = queue.claim("w1", 1, wait_s=5)
        queue.settle([Cancel(claim, "status_500")])
    assert queue.claim("w", 1) == []
    (stalled,) = queue.stalled()
    assert (stalled.id, stalled.attempts, stalled.worker, stalled.reason) == ("a", 2, "w1", "status_500")
    assert queue.retry(["a"]) == ["a"]
    (claim,) = queue.claim("w2", 1)
    assert claim.attempt == 3
    queue.settle([Finish(claim)])


def test_an_expired_lease_is_reaped_and_the_job_claimed_again_with_a_new_token(make_queue: MakeQueue) -> None:
    queue = make_queue(lease_s=0.05)
    queue.put(jobs("a", "b"))
    first = queue.claim("w1", 2)
    wait_until(lambda: queue.reap() == 2)
    again = queue.claim("w2", 2)
    assert [(claim.id, claim.attempt) for claim in again] == [("a", 2), ("b", 2)]
    assert all(new.token > old.token for new, old in zip(again, first, strict=True))
    assert queue.counts().expired_total == 2


def test_a_waiting_claim_reaps_by_itself(make_queue: MakeQueue) -> None:
    queue = make_queue(lease_s=0.2)
    queue.put(jobs("a"))
    queue.claim("dead", 1)
    (claim,) = queue.claim("w2", 1, wait_s=10)
    assert (claim.id, claim.attempt) == ("a", 2)


def test_a_stale_token_is_refused_and_counted_and_changes_nothing(make_queue: MakeQueue) -> None:
    slow = make_queue(lease_s=0.05)
    slow.put(jobs("a", "b"))
    stale_a, stale_b = slow.claim("slow", 2)
    wait_until(lambda: slow.reap() == 2)
    queue = make_queue()
    (a, _b) = queue.claim("quick", 2)
    settled = queue.settle([Finish(stale_a), Stall(stale_b, "x"), Finish(stale_a)])
    assert (settled.done, settled.stale) == (0, ("a", "a", "b"))
    assert queue.renew([stale_a]) == ("a",)
    assert queue.stamp([stale_a], [["c"]]) == [[]]
    assert queue.settle([Finish(a), Finish(a)]).stale == ("a",)
    counts = queue.counts()
    assert (counts.claimed, counts.finished_total, counts.stalled, counts.stale_total) == (1, 1, 0, 5)


def test_a_renewed_lease_does_not_end(make_queue: MakeQueue) -> None:
    queue = make_queue(lease_s=0.4)
    queue.put(jobs("kept", "left"))
    kept, left = queue.claim("w", 2)
    patient = make_queue(lease_s=60)
    assert patient.renew([kept]) == ()
    wait_until(lambda: queue.reap() == 1)
    assert queue.settle([Finish(kept), Finish(left)]).stale == ("left",)


def test_where_a_job_has_one_attempt_each_is_claimed_alone(make_queue: MakeQueue) -> None:
    queue = make_queue(max_attempts=1)
    queue.put(
        [
            Job(id="a", body=b"1"),
            Job(id="b", body=b"2"),
            Job(id="c", body=b"3", key="k"),
            Job(id="d", body=b"4", key="k"),
        ]
    )
    claims = [queue.claim("w", limit=10) for _ in range(2)]
    assert [len(one) for one in claims] == [1, 1]
    queue.settle([Finish(claim) for one in claims for claim in one])
    assert sum(len(queue.claim("w", limit=10)) for _ in range(2)) == 2


def test_the_last_attempt_is_made_alone_so_that_poison_takes_no_neighbour(make_queue: MakeQueue) -> None:
    queue = make_queue(max_attempts=3, lease_s=0.05, backoff_s=0.0)
    names = [f"j{n}" for n in range(20)]
    queue.put(jobs(*names))
    finished: list[str] = []
    deaths = 0

    def work() -> bool:
        nonlocal deaths
        claims = queue.claim("w", 256)
        if any(claim.id == "j7" for claim in claims):
            deaths += 1  # the process dies here: nothing of this batch is settled
            wait_until(lambda: queue.reap() == len(claims))
        else:
            queue.settle([Finish(claim) for claim in claims])
            finished.extend(claim.id for claim in claims)
        return queue.counts().held == 1 and queue.counts().stalled == 1

    wait_until(work, timeout_s=20)
    assert deaths == 3
    assert sorted(finished) == sorted(set(names) - {"j7"})
    (poison,) = queue.stalled()
    assert (poison.id, poison.attempts, poison.reason) == ("j7", 3, "lease ended")


def test_a_stalled_job_tells_what_ended_its_last_eight_attempts_those_before_a_retry_too(make_queue: MakeQueue) -> None:
    queue = make_queue(max_attempts=3, backoff_s=0.0)
    queue.put(jobs("a", "b"))
    began = _redis_ms(queue) / 1000
    for reason in ("first\nreason", "second ✗", "third"):
        a, b = [claim for _ in range(2) for claim in queue.claim("w1", 1, wait_s=5)]
        queue.settle([Cancel(claim, reason) for claim in (a, b)])
    (of_a, of_b) = sorted(queue.stalled(), key=lambda job: job.id)
    for one in (of_a, of_b):
        assert [(line.attempt, line.worker, line.reason) for line in one.history] == [
            (1, "w1", "first reason"),
            (2, "w1", "second ✗"),
            (3, "w1", "third"),
        ]
        assert all(began - 1 <= line.at <= one.at for line in one.history)
    for attempt in range(4, 11):
        queue.retry(["a"])
        (claim,) = queue.claim("w2", 1)
        queue.settle([Stall(claim, f"no {attempt}: " + "x" * 400)])
    (of_a, _) = sorted(queue.stalled(), key=lambda job: job.id)
    assert [line.attempt for line in of_a.history] == list(range(3, 11))
    assert {len(line.reason) for line in of_a.history[1:]} == {200}
    queue.retry(["a", "b"])
    again = queue.claim("w2", 1)
    queue.settle([GiveBack(claim) for claim in again])
    queue.retract(["b"])
    queue.settle([Finish(claim) for claim in queue.claim("w2", 1)])
    assert queue.counts().held == 0
    assert queue.audit().clean, "nothing is left of either"


def test_a_lease_that_ended_is_in_the_history(make_queue: MakeQueue) -> None:
    queue = make_queue(lease_s=0.05, max_attempts=2)
    queue.put(jobs("a"))
    for _ in range(2):
        assert len(queue.claim("w3", 1)) == 1
        wait_until(lambda: queue.reap() == 1)
    (stalled,) = queue.stalled()
    assert [(line.attempt, line.worker, line.reason) for line in stalled.history] == [
        (1, "w3", "lease ended"),
        (2, "w3", "lease ended"),
    ]


def test_the_same_id_within_the_window_is_one_job(queue: Queue) -> None:
    assert queue.put(jobs("x", "y", "x")) == [True, True, False]
    assert queue.put(jobs("x")) == [False]
    queue.settle([Finish(claim) for claim in queue.claim("w", 10)])
    assert queue.put(jobs("x", "z")) == [False, True]
    counts = queue.counts()
    assert (counts.put_total, counts.duplicate_total) == (3, 3)


def test_an_id_that_is_still_in_the_queue_is_never_taken_twice(make_queue: MakeQueue) -> None:
    queue = make_queue(idempotent_s=0.0)
    queue.put(jobs("x"))
    assert queue.put(jobs("x")) == [False]
    queue.settle([Finish(claim) for claim in queue.claim("w", 10)])
    assert queue.put(jobs("x")) == [True]


def test_an_id_is_forgotten_after_its_window(make_queue: MakeQueue) -> None:
    queue = make_queue(idempotent_s=0.2)
    queue.put(jobs("x"))
    started = _redis_ms(queue)
    queue.retract(["x"])
    wait_until(lambda: queue.put(jobs("x")) == [True])
    assert _redis_ms(queue) - started >= 200 - 1


def test_an_id_is_remembered_over_the_turn_of_the_windows(make_queue: MakeQueue) -> None:
    queue = make_queue()

    def turn(mark: str) -> None:
        past_ms = _redis_ms(queue) - 900_000
        queue._redis.hset(queue._keys["counts"], "recent_since", past_ms)
        queue.put(jobs(mark))

    queue.put(jobs("x"))
    queue.settle([Finish(claim) for claim in queue.claim("w", 10)])
    turn("y")
    assert queue.put(jobs("x")) == [False]
    turn("z")
    assert queue.put(jobs("x")) == [True]


def test_remembered_ids_are_bounded_and_what_is_forgotten_early_is_counted(make_queue: MakeQueue) -> None:
    queue = make_queue(max_length=10)
    for n in range(40):
        queue.put(jobs(f"j{n}"))
        queue.settle([Finish(claim) for claim in queue.claim("w", 10)])
    redis, keys = queue._redis, queue._keys
    assert redis.scard(keys["recent"]) + redis.scard(keys["older"]) <= 10
    assert queue.counts().forgotten_total == 40 - redis.scard(keys["recent"]) - redis.scard(keys["older"])
    assert queue.put(jobs("j39", "j35")) == [False, False]


def test_more_ids_are_remembered_than_the_queue_holds_jobs_where_that_is_said(make_queue: MakeQueue) -> None:
    queue = make_queue(max_length=10, max_remembered=100)
    for n in range(50):
        assert queue.put(jobs(f"j{n}")) == [True]
        queue.settle([Finish(claim) for claim in queue.claim("w", 10)])
    assert queue.beside(queue._redis).put(jobs(*(f"j{n}" for n in range(50)))) == [False] * 50
    assert queue.counts().forgotten_total == 0
    with pytest.raises(ConfigurationError, match="max_remembered=0, the limits are 1"):
        make_queue(max_remembered=0)


def test_a_put_that_does_not_fit_writes_nothing(make_queue: MakeQueue, redis_client: Redis, redis_name: str) -> None:
    queue = make_queue(max_length=3)
    queue.put(jobs("a", "b"))
    before = everything(redis_client, redis_name)
    with pytest.raises(QueueFull, match=r"holds 2 jobs and 2 more do not fit, max_length is 3"):
        queue.put(jobs("c", "d"))
    assert everything(redis_client, redis_name) == before
    assert queue.put(jobs("a", "c")) == [False, True]


@pytest.mark.parametrize(
    "wrong",
    [
        {"id": ""},
        {"id": "a b"},
        {"id": "é"},
        {"id": "a\n"},
        {"id": "a" * 129},
        {"id": None},
        {"body": None},
        {"body": "text"},
        {"body": b"x" * (MAX_BODY_BYTES + 1)},
        {"key": "a b"},
        {"delay_s": -1},
        {"delay_s": float("nan")},
        {"delay_s": 1e9},
        {"urgent": True, "delay_s": 0.001},
    ],
)
def test_a_job_out_of_its_limits_cannot_even_be_made(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError):
        Job(**{"id": "a", "body": b"", **wrong})  # type: ignore[arg-type]


def test_the_largest_body_and_the_longest_id_are_taken(queue: Queue) -> None:
    queue.put([Job(id="x" * 128, body=b"x" * MAX_BODY_BYTES)])
    (claim,) = queue.claim("w", 1)
    assert len(claim.body) == MAX_BODY_BYTES


def test_a_mixed_batch_of_500_is_settled_in_one_call(make_queue: MakeQueue, redis_client: Redis) -> None:
    queue = make_queue(backoff_s=60.0)
    queue.put(jobs(*(f"j{n}" for n in range(500))))
    claims = queue.claim("w", 500)
    verdicts = [Finish(claim) for claim in claims]
    verdicts[10] = Cancel(claims[10], "x")
    verdicts[20] = Cancel(claims[20], "x")
    verdicts[30] = Stall(claims[30], "y")
    calls = redis_client.info("commandstats")["cmdstat_evalsha"]["calls"]
    assert queue.settle(verdicts).done == 500
    assert redis_client.info("commandstats")["cmdstat_evalsha"]["calls"] - calls == 1
    counts = queue.counts()
    assert (counts.finished_total, counts.delayed, counts.stalled, counts.claimed) == (497, 2, 1, 0)


def test_the_largest_batch_passes_through_every_move(queue: Queue) -> None:
    ids = [f"j{n}" for n in range(10_000)]
    assert all(queue.put(jobs(*ids)))
    claims = queue.claim("w", 10_000)
    assert [claim.id for claim in claims] == ids
    assert queue.renew(claims) == ()
    assert [events[0].rpartition("-")[2] for events in queue.stamp(claims, [["c"]] * 10_000)][-1] == "10000"
    queue.settle([Stall(claim, "x") for claim in claims])
    assert len(queue.retry(ids)) == 10_000
    assert queue.settle([Finish(claim) for claim in queue.claim("w", 10_000)]).done == 10_000
    with pytest.raises(ConfigurationError, match="10,001"):
        queue.put(jobs(*(f"k{n}" for n in range(10_001))))


def test_retract_finds_a_job_in_every_state_and_makes_its_claim_stale(queue: Queue) -> None:
    queue.put([*jobs("claimed", "stalled", "waiting"), Job(id="delayed", body=b"", delay_s=60)])
    claimed, stalled = queue.claim("w", 2)
    queue.settle([Stall(stalled, "x")])
    assert queue.retract(["claimed", "stalled", "waiting", "delayed", "unknown"]) == [
        "claimed",
        "stalled",
        "waiting",
        "delayed",
    ]
    assert queue.settle([Finish(claimed)]).stale == ("claimed",)
    assert (queue.counts().held, queue.counts().retracted_total) == (0, 4)


def test_what_is_put_beside_a_settlement_happens_with_it(queue: Queue, redis_client: Redis, redis_name: str) -> None:
    queue.put(jobs("a", "b"))
    a, b = queue.claim("w", 2)
    settled = queue.settle([Finish(a)], also=lambda pipe: pipe.set(f"also{redis_name}", 1))
    assert (settled.done, redis_client.get(f"also{redis_name}")) == (1, b"1")

    def fails(pipe: object) -> None:
        raise RuntimeError("before anything was sent")

    with pytest.raises(RuntimeError):
        queue.settle([Finish(b)], also=fails)
    with pytest.raises(ResponseError, match="wrong number"):
        queue.settle([Finish(b)], also=lambda pipe: pipe.execute_command("SET"))
    assert queue.counts().claimed == 1


def test_a_name_or_number_out_of_its_limits_is_refused(queue: Queue, redis_client: Redis) -> None:
    for name in ("", "a b", "a}b", "x" * 65):
        with pytest.raises(ConfigurationError):
            Queue(redis_client, name)
    for setting in ({"lease_s": 0}, {"max_attempts": 0}, {"max_length": 0}, {"backoff_s": -1}, {"idempotent_s": -1}):
        with pytest.raises(ConfigurationError):
            Queue(redis_client, "a", **setting)  # type: ignore[arg-type]
    for worker, limit, wait_s in (("a b", 1, 0), ("w", 0, 0), ("w", 10_001, 0), ("w", 1, -1), ("w", 1, 1e9)):
        with pytest.raises(ConfigurationError):
            queue.claim(worker, limit, wait_s)


def test_a_client_that_decodes_replies_is_refused(valkey: Valkey) -> None:
    with valkey.client(decode_responses=True) as client, pytest.raises(ConfigurationError, match="decode_responses"):
        Queue(client, "a")


def test_every_key_carries_the_version_and_one_hash_tag(queue: Queue, redis_client: Redis, redis_name: str) -> None:
    queue.put([*jobs("a", "b", "c"), Job(id="d", body=b"", delay_s=60)])
    a, b = queue.claim("w", 2)
    queue.stamp([a], [["c:1"]])
    queue.settle([Stall(b, "x")])
    keys = redis_client.keys(f"*{redis_name}*")
    assert len(keys) >= 10
    assert all(f":{{{redis_name}}}:".encode() in key for key in keys)
    assert {key for key in keys if not key.startswith(b"rtq2:")} == {f"rtq1:{{{redis_name}}}:jobs".encode()}


def _redis_ms(queue: Queue) -> int:
    seconds, microseconds = queue._redis.time()
    return seconds * 1000 + microseconds // 1000
