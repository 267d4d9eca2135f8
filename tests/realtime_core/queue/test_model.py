"""The queue against a model of it: plain lists and dictionaries that say what each move must do, and what a claim may take."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from realtime_core.queue import Cancel, Claim, Finish, GiveBack, Job, Queue, Stall, Verdict

if TYPE_CHECKING:
    import random

    from redis import Redis

MOST_ATTEMPTS = 3
KEYS = (None, None, "k", "l", "k1")


@dataclass(eq=False)
class Known:
    """What the model knows of a job."""

    id: str
    key: str | None
    place: tuple[int, int]
    state: str = "line"
    attempts: int = 0
    token: int = 0
    again: bool = False  # delayed because an attempt failed


class Model(RuleBasedStateMachine):
    """``plain`` is the line of jobs without a key. Those with one have a place, and that is all their order."""

    redis: Redis

    def __init__(self) -> None:
        super().__init__()
        self.name = f"model{secrets.token_hex(6)}"
        self.queue = Queue(self.redis, self.name, max_attempts=MOST_ATTEMPTS, idempotent_s=0.0)
        self.jobs: dict[str, Known] = {}
        self.plain: list[Known] = []
        self.claims: list[Claim] = []
        self.puts = 0
        self.totals = {
            "put": 0,
            "finished": 0,
            "retracted": 0,
            "stalled": 0,
            "expired": 0,
            "cancelled": 0,
            "given_back": 0,
            "retried": 0,
        }

    # What the model says

    def of(self, key: str, *states: str) -> list[Known]:
        found = [job for job in self.jobs.values() if job.key == key and job.state in states]
        return sorted(found, key=lambda job: job.place)

    def may_go(self, key: str) -> list[Known]:
        """The jobs of a key that may be given out together, in order."""
        if self.of(key, "claimed"):
            return []
        waiting = []
        for job in self.of(key, "line", "delayed"):
            if job.state == "delayed" and job.again:
                break
            if job.state == "line":
                waiting.append(job)
        return waiting

    def back(self, job: Known, *, head: bool = False) -> None:
        job.state, job.again = "line", False
        if job.key is None:
            self.plain.insert(0 if head else len(self.plain), job)

    # Moves

    @rule(
        keys=st.lists(st.sampled_from(KEYS), min_size=1, max_size=6), how=st.sampled_from(["", "", "urgent", "delayed"])
    )
    def put(self, keys: list[str | None], how: str) -> None:
        batch, front = [], []
        for at, key in enumerate(keys):
            self.puts += 1
            job = Known(id=f"j{self.puts}", key=key, place=(1, self.puts))
            if how == "urgent":
                job.place = (0, -(self.puts - 2 * at + len(keys)))
                if key is None:
                    front.append(job)
            elif how == "delayed":
                job.state = "delayed"
            elif key is None:
                self.plain.append(job)
            batch.append(
                Job(id=job.id, body=job.id.encode(), key=key, urgent=how == "urgent", delay_s=60 * (how == "delayed"))
            )
            self.jobs[job.id] = job
        self.plain[:0] = front
        self.totals["put"] += len(keys)
        assert self.queue.put(batch) == [True] * len(keys)

    @rule(limit=st.integers(1, 8))
    def claim(self, limit: int) -> None:
        allowed = {key: self.may_go(key) for key in {job.key for job in self.jobs.values() if job.key}}
        claims = self.queue.claim("w", limit)
        assert len(claims) <= limit
        for key, jobs in allowed.items():
            mine = [claim.id for claim in claims if claim.key == key]
            assert mine == [job.id for job in jobs[: len(mine)]], "of a key the first go first"
        bare = [claim.id for claim in claims if claim.key is None]
        assert bare == [job.id for job in self.plain[: len(bare)]]
        left = len(self.plain) - len(bare) + sum(map(len, allowed.values())) - (len(claims) - len(bare))
        for claim in claims:
            job = self.jobs[claim.id]
            job.attempts += 1
            job.state, job.token = "claimed", claim.token
            assert (claim.attempt, claim.body) == (job.attempts, claim.id.encode())
        del self.plain[: len(bare)]
        last = [claim for claim in claims if claim.attempt >= MOST_ATTEMPTS]
        assert not last or len(claims) == 1, "a last attempt is alone"
        if len(claims) < limit and left:
            nearly = [job for job in self.jobs.values() if job.state == "line" and job.attempts + 1 >= MOST_ATTEMPTS]
            assert last or (claims and nearly), "only a last attempt leaves room in a batch"
        self.claims += claims

    @precondition(lambda self: self.claims)
    @rule()
    def all_fail(self) -> None:
        self.settle(["cancel"] * 8)

    @precondition(lambda self: self.claims)
    @rule(
        kinds=st.lists(st.sampled_from(["finish", "finish", "cancel", "stall", "back", "back"]), min_size=1, max_size=5)
    )
    def settle(self, kinds: list[str]) -> None:
        batch: list[Verdict] = []
        stale, head = [], []
        for kind, claim in zip(kinds, self.claims[-len(kinds) :], strict=False):
            said = {
                "finish": Finish(claim),
                "cancel": Cancel(claim, "x", 60),
                "stall": Stall(claim, "x"),
                "back": GiveBack(claim),
            }
            batch.append(said[kind])
        for verdict in batch:
            job = self.jobs.get(verdict.claim.id)
            if job is None or job.state != "claimed" or job.token != verdict.claim.token:
                stale.append(verdict.claim.id)
            elif isinstance(verdict, Finish):
                self.totals["finished"] += 1
                del self.jobs[job.id]
            elif isinstance(verdict, GiveBack):
                self.totals["given_back"] += 1
                job.attempts -= 1
                job.state, job.again = "line", False
                if job.key is None:
                    head.append(job)
            else:
                self.totals["cancelled"] += isinstance(verdict, Cancel)
                job.state = "delayed" if isinstance(verdict, Cancel) and job.attempts < MOST_ATTEMPTS else "stalled"
                job.again = job.state == "delayed"
                self.totals["stalled"] += job.state == "stalled"
        self.plain[:0] = head
        assert sorted(self.queue.settle(batch).stale) == sorted(stale)

    @rule(count=st.integers(1, 4))
    def leases_end(self, count: int) -> None:
        key = self.queue._keys["claimed"]
        members = self.redis.zrange(key, 0, count - 1)
        if members:
            self.redis.zadd(key, {id_: n + 1 for n, id_ in enumerate(members)})
        for id_ in reversed(members):
            job = self.jobs[id_.decode()]
            if job.attempts < MOST_ATTEMPTS:
                self.back(job, head=True)
            else:
                job.state = "stalled"
                self.totals["stalled"] += 1
        self.totals["expired"] += len(members)
        assert self.queue.reap() == len(members)

    @rule(count=st.integers(1, 4))
    def delays_end(self, count: int) -> None:
        key = self.queue._keys["delayed"]
        members = self.redis.zrange(key, 0, count - 1)
        if members:
            self.redis.zadd(key, {id_: n + 1 for n, id_ in enumerate(members)})
        for member in members:
            self.back(self.jobs[member.decode().split(" ")[-1]])
        assert self.queue.reap() == 0

    @rule(chance=st.randoms(use_true_random=False), times=st.integers(1, 3))
    def retract(self, chance: random.Random, times: int) -> None:
        some = chance.sample(sorted(self.jobs), min(times, len(self.jobs)))
        assert self.queue.retract(some) == some
        for id_ in some:
            job = self.jobs.pop(id_)
            if job in self.plain:
                self.plain.remove(job)
        self.totals["retracted"] += len(some)

    @rule()
    def retry(self) -> None:
        stalled = sorted(id_ for id_, job in self.jobs.items() if job.state == "stalled")
        assert self.queue.retry([*stalled, "unknown"]) == stalled
        for id_ in stalled:
            self.back(self.jobs[id_])
        self.totals["retried"] += len(stalled)

    @invariant()
    def books_balance(self) -> None:
        audit = self.queue.audit()
        assert audit.clean, audit
        states = [job.state for job in self.jobs.values()]
        counts = audit.counts
        shown = (counts.available, counts.delayed, counts.claimed, counts.stalled)
        assert shown == tuple(map(states.count, ("line", "delayed", "claimed", "stalled")))
        assert {name: getattr(counts, f"{name}_total") for name in self.totals} == self.totals
        keyed = {job.key for job in self.jobs.values() if job.key}
        assert counts.keys_in_turn == sum(bool(self.may_go(key)) for key in keyed)
        assert counts.keys_claimed == sum(bool(self.of(key, "claimed")) for key in keyed)
        assert counts.retrying == sum(bool(job.key and job.again) for job in self.jobs.values())

    def teardown(self) -> None:
        self.redis.unlink(*self.redis.keys(f"*{self.name}*"))


def test_it_does_what_its_model_does(redis_client: Redis) -> None:
    class Bound(Model):
        redis = redis_client

    run_state_machine_as_test(
        Bound,
        settings=settings(
            max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
