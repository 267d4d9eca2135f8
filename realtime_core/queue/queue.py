"""The queue: every move of a job is one script, one round trip a batch, timed by Redis' own clock."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Final

from redis.exceptions import ResponseError

from realtime_core.errors import ConfigurationError, QueueFull
from realtime_core.queue.backoff import backoff_s
from realtime_core.queue.job import MAX_DELAY_S, check_identifier
from realtime_core.queue.keys import result_key
from realtime_core.queue.memory import understood
from realtime_core.queue.replication import put_on_replicas
from realtime_core.queue.replies import read_audit, read_claims, read_counts, read_seen, read_stalled, words
from realtime_core.queue.results import SHORTEST_BLOCK_S, wait_for_result
from realtime_core.queue.scripts import Scripts
from realtime_core.queue.verdict import Cancel, Finish, GiveBack, Settled, SettledAlone, Stall, check_result

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from redis import Redis
    from redis.client import Pipeline

    from realtime_core.queue.job import Claim, Job
    from realtime_core.queue.state import Audit, Counts, SeenJob, StalledJob
    from realtime_core.queue.verdict import Verdict

MAX_BATCH: Final = 10_000
MAX_WAIT_S: Final = 3_600.0
MAX_REASON: Final = 500
REAP_AT_ONCE: Final = 1_000
PEEKED: Final = ("available", "delayed", "claimed")
# A waiting claim looks for itself this often: a wake-up token that a dying worker took along costs others no more.
LOOK_EVERY_S: Final = 1.0


class Queue:
    """Jobs of one name. Holds no state of its own, so that threads may share it as they may share the client.

    At least once: a job that was put is claimed again and again until somebody finishes it, stalls it or retracts it.
    Where no reply came (the server died, the network broke) redis-py's own error is raised, and the move may or may not
    have happened; every move may be repeated. A settlement that is repeated finds its claims stale.
    """

    def __init__(
        self,
        redis: Redis,
        name: str,
        *,
        lease_s: float = 30.0,
        max_attempts: int = 5,
        max_length: int = 1_000_000,
        idempotent_s: float = 600.0,
        max_remembered: int | None = None,
        backoff_s: float = 1.0,
        result_s: float = 60.0,
        max_results: int = 10_000,
        channel_s: float = 7 * 86_400.0,
    ) -> None:
        """Describe the queue; nothing is sent.

        Args:
            redis: replies as bytes. A waiting claim blocks for half its ``socket_timeout`` at most.
            name: ``[A-Za-z0-9_.-]{1,64}``; keys are ``rtq2:{name}:…``.
            lease_s: how long a claim lasts unless it is renewed.
            max_attempts: claims a job may have; when the last one fails, the job is stalled.
            max_length: jobs the queue may hold, in whatever state.
            idempotent_s: how long an id is remembered at least, twice that at most, while ``max_remembered`` is enough for it.
            max_remembered: ids that are remembered at most, as many as ``max_length`` without it. Half of them are the last
                ones for certain: ``idempotent_s`` holds up to max_remembered / 2 / idempotent_s puts a second (a million and
                600 s: 833), above that the window is shorter, and ``forgotten_total`` says how many ids it cost.
            backoff_s: what the wait before another attempt begins with.
            result_s: how long a result is kept.
            max_results: results kept at a time; what does not fit is counted as undelivered.
            channel_s: how long a channel's number is kept after its last event at least; twice that at most. A channel that
                was silent for longer begins at 1 again, in another epoch. About 100 bytes a channel.

        Raises:
            ConfigurationError: a setting is out of its limits.
        """
        _check_range("lease_s", lease_s, 0.01, 86_400.0)
        _check_range("max_attempts", max_attempts, 1, 1_000)
        _check_range("max_length", max_length, 1, 100_000_000)
        _check_range("idempotent_s", idempotent_s, 0.0, 7 * 86_400.0)
        remembered = max_length if max_remembered is None else max_remembered
        _check_range("max_remembered", remembered, 1, 100_000_000)
        _check_range("backoff_s", backoff_s, 0.0, 300.0)
        _check_range("result_s", result_s, 0.001, 86_400.0)
        _check_range("max_results", max_results, 0, 1_000_000)
        _check_range("channel_s", channel_s, 0.001, 366 * 86_400.0)
        if redis.get_encoder().decode_responses:
            raise ConfigurationError("the client decodes replies, and bodies are bytes: leave decode_responses off")
        self.name = name
        self.lease_s = lease_s
        self.max_attempts = max_attempts
        self.max_length = max_length
        self.idempotent_s = idempotent_s
        self.max_remembered = remembered
        self.backoff_s = backoff_s
        self.result_s = result_s
        self.max_results = max_results
        self.channel_s = channel_s
        self._redis = redis
        self._scripts = Scripts(redis, name)
        self._keys = self._scripts.keys
        socket_timeout_s = redis.get_connection_kwargs().get("socket_timeout")
        self._longest_block_s = min(LOOK_EVERY_S, socket_timeout_s / 2 if socket_timeout_s else LOOK_EVERY_S)

    @property
    def redis(self) -> Redis:
        """The client it was made with."""
        return self._redis

    def beside(self, redis: Redis) -> Queue:
        """The same queue through another client."""
        return Queue(
            redis,
            self.name,
            lease_s=self.lease_s,
            max_attempts=self.max_attempts,
            max_length=self.max_length,
            idempotent_s=self.idempotent_s,
            max_remembered=self.max_remembered,
            backoff_s=self.backoff_s,
            result_s=self.result_s,
            max_results=self.max_results,
            channel_s=self.channel_s,
        )

    def put(self, jobs: Sequence[Job], *, wait_replicas: int = 0, replicas_timeout_s: float = 1.0) -> list[bool]:
        """Take jobs in, all or none; False for each whose id was put within the window, or is still in the queue.

        Args:
            jobs: in their order.
            wait_replicas: how many replicas must have them before it returns.
            replicas_timeout_s: how long it waits for those.

        Raises:
            QueueFull: they do not all fit; none was written.
            NotReplicated: fewer replicas have them; the message says whether they are in the queue.
            ConfigurationError: more than 10,000 jobs, or a number out of its limits.
        """
        if not jobs:
            return []
        _check_batch(jobs)
        ids = " ".join([job.id for job in jobs])
        waits = [-1 if job.urgent else _ms(job.delay_s) for job in jobs]
        keys = [job.key or "/" for job in jobs]
        _check_range("wait_replicas", wait_replicas, 0, 100)
        _check_range("replicas_timeout_s", replicas_timeout_s, 0.001, 60.0)
        args: list[str | bytes | float] = [
            self.max_length,
            _ms(self.idempotent_s),
            (self.max_remembered + 1) // 2,
            ids,
            " ".join(map(str, waits)) if any(waits) else "",
            "" if keys.count("/") == len(keys) else " ".join(keys),
            *[job.record() for job in jobs],
        ]
        if wait_replicas:
            reply = put_on_replicas(
                self._redis,
                self.name,
                lambda pipe: self._scripts.queue_into(pipe, "put", args),
                replicas=wait_replicas,
                timeout_s=replicas_timeout_s,
            )
        else:
            reply = self._scripts.call("put", *args)
        if isinstance(reply, int):
            raise QueueFull(
                f"queue {self.name} holds {reply:,} jobs and {len(jobs):,} more do not fit, max_length is "
                f"{self.max_length:,}: add workers, look at the stalled jobs, or raise it"
            )
        return [taken == ord("1") for taken in reply]

    def claim(
        self,
        worker: str,
        limit: int,
        wait_s: float = 0.0,
        *,
        waiting: Callable[[Callable[[], object]], bool] | None = None,
    ) -> list[Claim]:
        """Take up to ``limit`` jobs for ``lease_s``; wait up to ``wait_s`` for the first of them.

        Leases of others that have ended are reaped on the way. A job's last attempt is given out alone.

        Args:
            worker: what the queue calls who claims.
            limit: most jobs.
            wait_s: 0 looks once. What comes due in the last instant is left for the next claim.
            waiting: for who must be able to end the wait. It is given a call that waits for a wake-up, for a second at most, and
                makes it; that takes no job, and may be broken off. False: nothing more is claimed.

        Raises:
            ConfigurationError: a worker's name that is no identifier, or a number out of its limits.
        """
        check_identifier("worker", worker)
        _check_range("limit", limit, 1, MAX_BATCH)
        _check_range("wait_s", wait_s, 0.0, MAX_WAIT_S)
        deadline = time.monotonic() + wait_s
        while True:
            claims, quiet_s = self._take(worker, limit)
            if quiet_s <= 0:
                self.reap()
                if not claims:
                    claims, quiet_s = self._take(worker, limit)
            left_s = deadline - time.monotonic()
            if claims or left_s <= 0:
                return claims
            block_s = max(SHORTEST_BLOCK_S, min(left_s, quiet_s, self._longest_block_s))
            woken = self._wait(block_s, waiting)
            # Where nothing came in the last part of the wait, looking once more would find what this look has found.
            if woken is None or (not woken and left_s <= block_s < quiet_s):
                return []

    def renew(self, claims: Sequence[Claim]) -> tuple[str, ...]:
        """Begin the leases anew; the ids that are no longer ours.

        Raises:
            ConfigurationError: more than 10,000 claims.
        """
        if not claims:
            return ()
        _check_batch(claims)
        return words(self._scripts.call("renew", _ms(self.lease_s), _held(claims))[0])

    def settle(self, verdicts: Sequence[Verdict], *, also: Callable[[Pipeline], None] | None = None) -> Settled:
        """End claims, a mixed batch at once. A verdict on a claim that is no longer ours is counted, and does nothing.

        Args:
            verdicts: one a claim.
            also: puts more commands into the same transaction: all are carried out with the settlement, or none.
                A server without memory refuses them together, where without ``also`` it would settle.

        Raises:
            ConfigurationError: more than 10,000 verdicts, or a result that is too long; nothing is settled.
            SettledAlone: Redis settled, and then found that it could not carry out a command of ``also``.
        """
        if not verdicts and also is None:
            return Settled(done=0, stale=())
        _check_batch(verdicts)
        finished: list[Claim] = []
        failures: list[str | float] = []
        results: dict[str, bytes] = {}
        for verdict in verdicts:
            if isinstance(verdict, Finish):
                finished.append(verdict.claim)
                if verdict.result is not None:
                    check_result(verdict.claim.id, verdict.result)
                    results[verdict.claim.id] = verdict.result
            else:
                failures += self._failure(verdict)
        left: list[str | bytes | float] = [" ".join(results), _ms(self.result_s), self.max_results, *results.values()]
        args = (self.max_attempts, _held(finished), *left, *failures)
        keys = [self._keys["results"], *(result_key(self.name, id_) for id_ in results)] if results else []
        refused = None
        if also is None:
            reply = self._scripts.call("settle", *args, more_keys=keys)
        else:
            reply, refused = self._settle_together(args, keys, also)
        stale = words(reply)
        settled = Settled(done=len(verdicts) - len(stale), stale=stale)
        if refused is not None:
            raise SettledAlone(
                f"queue {self.name}: {settled.done:,} jobs were settled, and not all that was to happen with it: {refused}",
                settled=settled,
            ) from refused
        return settled

    def result(self, id_: str, wait_s: float = 0.0) -> bytes | None:
        """What a job's ``Finish`` left for who waits; None where it did not come within ``wait_s``, left none, or is over.

        Any number may wait, and ask again while it is kept.

        Raises:
            ConfigurationError: an id that is none, or a wait out of its limits.
        """
        check_identifier("job id", id_)
        _check_range("wait_s", wait_s, 0.0, MAX_WAIT_S)
        return wait_for_result(self._redis, result_key(self.name, id_), wait_s, self._longest_block_s)

    def stamp(self, claims: Sequence[Claim], channels: Sequence[Sequence[str]]) -> list[list[str]]:
        """The event ids of each job, ``EPOCH-NUMBER`` for each of its channels; another attempt gets the same.

        Numbers are consecutive in a channel and epoch. For a claim that is no longer ours there are none: publish nothing of it.

        Raises:
            ConfigurationError: a channel that is no identifier, or more than 10,000 claims.
        """
        if not claims:
            return []
        _check_batch(claims)
        lines = []
        for claim, names in zip(claims, channels, strict=True):
            for name in names:
                check_identifier("channel", name)
            lines.append(" ".join([claim.id, str(claim.token), *names]))
        reply = self._scripts.call("stamp", *lines, _ms(self.channel_s)).decode()
        return [line.split() for line in reply.split("\n")]

    def reap(self) -> int:
        """Take back jobs whose lease has ended, 1,000 at most; how many. After its last attempt a job is stalled."""
        return int(self._scripts.call("reap", self.max_attempts, REAP_AT_ONCE))

    def retry(self, ids: Sequence[str]) -> list[str]:
        """Give stalled jobs one more attempt each; the ids that were stalled."""
        return self._by_id("retry", ids)

    def retract(self, ids: Sequence[str]) -> list[str]:
        """Take jobs out, in whatever state they are; the ids that were in the queue."""
        return self._by_id("retract", ids)

    def peek(self, state: str = "available", limit: int = 20) -> list[SeenJob]:
        """Look at up to ``limit`` jobs, ``available``, ``delayed`` or ``claimed``, in their order; nothing is changed.

        Raises:
            ConfigurationError: another state, or more than 10,000.
        """
        if state not in PEEKED:
            raise ConfigurationError(f"state {state!r}: there are {', '.join(PEEKED)}; stalled() has the others")
        _check_range("limit", limit, 1, MAX_BATCH)
        return [read_seen(line) for line in self._scripts.call("peek", state, limit)]

    def holds(self, ids: Sequence[str]) -> list[bool]:
        """Whether each of them is in the queue, in whatever state; any number, 10,000 in a round trip."""
        found: list[bool] = []
        for first in range(0, len(ids), MAX_BATCH):
            with self._redis.pipeline(transaction=False) as pipe:
                for id_ in ids[first : first + MAX_BATCH]:
                    pipe.hexists(self._keys["jobs"], id_)
                found += [bool(there) for there in pipe.execute()]
        return found

    def counts(self) -> Counts:
        """Jobs by state and all totals, at one instant."""
        return read_counts(self._scripts.call("audit", 0))

    def audit(self, limit: int = 100_000) -> Audit:
        """Check that every job is in exactly one state; of more than ``limit`` jobs only the numbers are checked.

        Redis answers nobody else meanwhile: about a second for a million jobs.
        """
        return read_audit(self._scripts.call("audit", limit))

    def stalled(self, limit: int = 100) -> list[StalledJob]:
        """Up to ``limit`` of the jobs that were set aside, in no order."""
        found: dict[bytes, bytes] = {}  # a scan may give an entry twice
        for id_, line in self._redis.hscan_iter(self._keys["stalled"], count=limit):
            if len(found) >= limit:
                break
            found[id_] = line
        histories: list[Any] = self._redis.hmget(self._keys["history"], list(found)) if found else []
        return [read_stalled(id_, line, told) for (id_, line), told in zip(found.items(), histories, strict=True)]

    def _wait(self, block_s: float, waiting: Callable[[Callable[[], object]], bool] | None) -> bool | None:
        """Whether there was a wake-up; None where the wait was ended."""
        token = None

        def block() -> None:
            nonlocal token
            token = self._redis.blpop([self._keys["wake"]], timeout=block_s)

        if waiting is None:
            block()
        elif not waiting(block):
            return None
        return token is not None

    def _take(self, worker: str, limit: int) -> tuple[list[Claim], float]:
        """Claims, and the seconds until a delayed job is due or a lease ends; 0 or less when one has ended."""
        reply = self._scripts.call("claim", limit, _ms(self.lease_s), worker, self.max_attempts)
        now_ms, soonest_ms = reply[:2]
        return read_claims(reply, self.lease_s), (soonest_ms - now_ms) / 1000 if soonest_ms else MAX_WAIT_S

    def _failure(self, verdict: Cancel | Stall | GiveBack) -> list[str | float]:
        claim = verdict.claim
        if isinstance(verdict, GiveBack):
            return ["back", claim.id, claim.token, 0, ""]
        reason = verdict.reason[:MAX_REASON]
        if isinstance(verdict, Stall):
            return ["stall", claim.id, claim.token, 0, reason]
        delay_s = verdict.delay_s
        if delay_s is None:
            delay_s = backoff_s(claim.attempt, self.backoff_s, random.random())
        _check_range("delay_s", delay_s, 0.0, MAX_DELAY_S)
        return ["cancel", claim.id, claim.token, _ms(delay_s), reason]

    def _settle_together(
        self, args: Sequence[str | bytes | float], keys: Sequence[str], also: Callable[[Pipeline], None]
    ) -> tuple[bytes, Exception | None]:
        """The settlement's reply, and what the first command that was not carried out beside it was refused with."""
        with self._redis.pipeline(transaction=True) as pipe:
            self._scripts.queue_into(pipe, "settle", args, keys, together=True)
            also(pipe)
            try:
                replies = pipe.execute(raise_on_error=False)
            except ResponseError as error:
                raise understood(error) from error
        settled, *beside = replies
        if isinstance(settled, Exception):
            raise understood(settled) if isinstance(settled, ResponseError) else settled
        return settled, next((reply for reply in beside if isinstance(reply, Exception)), None)

    def _by_id(self, move: str, ids: Sequence[str]) -> list[str]:
        if not ids:
            return []
        _check_batch(ids)
        return [id_.decode() for id_ in self._scripts.call(move, *ids)]


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def _held(claims: Sequence[Claim]) -> str:
    return " ".join([f"{claim.id} {claim.token}" for claim in claims])


def _check_batch(batch: Sequence[Any]) -> None:
    if len(batch) > MAX_BATCH:
        raise ConfigurationError(f"a batch of {len(batch):,}, the limit is {MAX_BATCH:,}: make several of it")


def _check_range(what: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:
        raise ConfigurationError(f"{what}={value}, the limits are {least:,} and {most:,}")
