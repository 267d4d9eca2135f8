"""What a queue holds and has done, as it stood at one instant."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Jobs by state now, and what ever happened. The totals move in the same script as the jobs.

    Attributes:
        given_back_total: claims that ended without an attempt being charged.
        stale_total: verdicts, renewals of claims that were no longer the caller's.
        forgotten_total: ids that were forgotten before their window was over, because too many were put in it.
        result_total: results that were kept. undelivered_total: results that were not, because too many were kept already.
        channels: channels that have a counter.
        available: in line, whether or not their key holds them back.
        keys_in_turn: keys whose next job may be claimed now. keys_claimed: keys that are in a consumer's hands.
        retrying: of the delayed jobs, those with a key: they hold back what was put after them.
    """

    available: int
    delayed: int
    claimed: int
    stalled: int
    put_total: int
    finished_total: int
    retracted_total: int
    claimed_total: int
    cancelled_total: int
    given_back_total: int
    expired_total: int
    stalled_total: int
    retried_total: int
    duplicate_total: int
    stale_total: int
    forgotten_total: int
    result_total: int
    undelivered_total: int
    channels: int
    keys_in_turn: int
    keys_claimed: int
    retrying: int

    @property
    def held(self) -> int:
        """Jobs in the queue, in whatever state."""
        return self.available + self.delayed + self.claimed + self.stalled

    @property
    def balanced(self) -> bool:
        """Whether every job ever put is in a state, finished or retracted."""
        return self.put_total == self.held + self.finished_total + self.retracted_total


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """The counts, and the ids that break them.

    Attributes:
        complete: the ids were looked at; not so in a queue that holds more than the audit's limit.
        lost: jobs in no state. phantom: states without a job. double: jobs in more than one state.
        left_behind: entries about jobs that are gone, and claims without an owner.
        stuck: jobs that are next of their key and wait for nobody, but are not given out.
        crossed: keys that are given out though they may not be, or whose count of claims is wrong.
    """

    counts: Counts
    complete: bool
    lost: tuple[str, ...]
    phantom: tuple[str, ...]
    double: tuple[str, ...]
    left_behind: tuple[str, ...]
    stuck: tuple[str, ...]
    crossed: tuple[str, ...]

    @property
    def clean(self) -> bool:
        """Everything was looked at and nothing is wrong."""
        wrong = self.lost or self.phantom or self.double or self.left_behind or self.stuck or self.crossed
        return self.complete and self.counts.balanced and not wrong


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """What ended an attempt that did not succeed. ``at``: seconds UTC; ``reason``: its first 200 bytes."""

    at: float
    attempt: int
    worker: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StalledJob:
    """A job set aside.

    Attributes:
        at: seconds UTC.
        worker: who had it last.
        key: the job's.
        reason: why it is here.
        history: what ended its attempts, the last eight, the earliest first; those before it was retried too.
    """

    id: str
    at: float
    attempts: int
    worker: str
    key: str | None
    reason: str
    history: tuple[Failure, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenJob:
    """A job as it stood when it was looked at.

    Attributes:
        state: ``available``, ``held`` (in line, behind an earlier job of its key), ``delayed`` or ``claimed``.
        until: when it is due, or when its lease ends; seconds UTC.
        worker: who has it.
        attempts: that it has had, the one under way included.
        body_bytes: about; its key is counted with it.
    """

    id: str
    key: str | None
    state: str
    until: float | None
    worker: str | None
    attempts: int
    body_bytes: int
