"""Whatever is done in whatever order: every job is in exactly one place, and the counters say so."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from realtime_core.errors import QueueFull
from realtime_core.queue import Cancel, Claim, Finish, GiveBack, Job, Queue, Stall
from realtime_core.queue.keys import older_jobs_key, queue_keys

if TYPE_CHECKING:
    from redis import Redis

IDS = [f"j{n}" for n in range(8)]
few = st.lists(st.sampled_from(IDS), min_size=1, max_size=5)
verdicts = st.lists(st.sampled_from(["finish", "cancel", "later", "stall", "back"]), min_size=1, max_size=4)
moves = st.one_of(
    st.tuples(st.just("put"), few, st.sampled_from([0.0, 60.0]), st.booleans()),
    st.tuples(st.just("claim"), st.integers(1, 5)),
    st.tuples(st.just("settle"), verdicts),
    st.tuples(st.just("expire"), st.integers(1, 3)),
    st.tuples(st.just("due")),
    st.tuples(st.just("stamp")),
    st.tuples(st.just("renew")),
    st.tuples(st.just("retry"), few),
    st.tuples(st.just("retract"), few),
)


class Walk:
    """A queue and every claim that was ever handed out, stale ones among them."""

    def __init__(self, queue: Queue) -> None:
        self.queue = queue
        self.claims: list[Claim] = []
        self.owners: dict[str, int] = {}  # id -> token, of the claims that are not stale
        self.stamped: dict[str, str] = {}
        self.finished = 0

    def put(self, ids: list[str], delay_s: float, urgent: bool) -> None:  # noqa: FBT001 - drawn by hypothesis
        try:
            urgent = urgent and not delay_s
            self.queue.put([Job(id=id_, body=id_.encode(), delay_s=delay_s, urgent=urgent) for id_ in ids])
        except QueueFull:
            assert self.queue.counts().held > 6 - len(set(ids))

    def claim(self, limit: int) -> None:
        claims = self.queue.claim("w", limit)
        assert all(claim.body == claim.id.encode() for claim in claims)
        assert not {claim.id for claim in claims} & set(self.owners)
        self.claims += claims
        self.owners.update((claim.id, claim.token) for claim in claims)

    def settle(self, kinds: list[str]) -> None:
        batch = []
        for kind, claim in zip(kinds, self.claims[::-1], strict=False):
            batch.append(
                Finish(claim)
                if kind == "finish"
                else Stall(claim, "s")
                if kind == "stall"
                else GiveBack(claim)
                if kind == "back"
                else Cancel(claim, "c", delay_s=0.0 if kind == "cancel" else 60.0)
            )
        stale = []
        for verdict in batch:
            claim = verdict.claim
            if self.owners.get(claim.id) != claim.token:
                stale.append(claim.id)
                continue
            del self.owners[claim.id]
            if isinstance(verdict, Finish):
                self.finished += 1
                self.stamped.pop(claim.id, None)
        settled = self.queue.settle(batch)
        assert (settled.done, sorted(settled.stale)) == (len(batch) - len(stale), sorted(stale))

    def expire(self, count: int) -> None:
        """The leases of the first few end now."""
        redis, key = self.queue._redis, self.queue._keys["claimed"]
        ids = redis.zrange(key, 0, count - 1)
        if ids:
            redis.zadd(key, dict.fromkeys(ids, 1))
        assert self.queue.reap() == len(ids)
        for id_ in ids:
            del self.owners[id_.decode()]

    def due(self) -> None:
        redis, key = self.queue._redis, self.queue._keys["delayed"]
        ids = redis.zrange(key, 0, -1)
        if ids:
            redis.zadd(key, dict.fromkeys(ids, 1))

    def stamp(self) -> None:
        """The same job has the same event id as long as it lives."""
        lines = self.queue.stamp(self.claims, [["t"]] * len(self.claims))
        for claim, line in zip(self.claims, lines, strict=True):
            assert bool(line) == (self.owners.get(claim.id) == claim.token)
            if line:
                assert self.stamped.setdefault(claim.id, line[0]) == line[0]

    def renew(self) -> None:
        stale = [claim.id for claim in self.claims if self.owners.get(claim.id) != claim.token]
        assert list(self.queue.renew(self.claims)) == stale

    def retry(self, ids: list[str]) -> None:
        self.queue.retry(ids)

    def retract(self, ids: list[str]) -> None:
        for id_ in self.queue.retract(ids):
            self.stamped.pop(id_, None)
            self.owners.pop(id_, None)


@settings(
    max_examples=200,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(script=st.lists(moves, min_size=5, max_size=30))
def test_the_books_balance_after_every_move_of_a_random_walk(redis_client: Redis, script: list[tuple]) -> None:
    name = f"walk{secrets.token_hex(6)}"
    walk = Walk(Queue(redis_client, name, max_length=6, max_attempts=3, idempotent_s=0.0))
    try:
        for move, *args in script:
            getattr(walk, move)(*args)
            audit = walk.queue.audit()
            assert audit.clean, (move, args, audit)
            assert (audit.counts.finished_total, audit.counts.claimed) == (walk.finished, len(walk.owners))
    finally:
        redis_client.delete(*queue_keys(name).values(), older_jobs_key(name))
