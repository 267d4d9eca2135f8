"""A batch on its way through the stages: what each job has become, and the verdict on it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from gevent import Timeout

from realtime_core.pipeline.message import Unparsable, sound
from realtime_core.publish import check_channel
from realtime_core.publish.outcome import UNSEEN
from realtime_core.queue import Cancel, Finish, GiveBack, Stall
from realtime_core.queue.backoff import backoff_s

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from typing import TypeAlias

    from realtime_core.pipeline.acknowledge import Level
    from realtime_core.pipeline.message import Message
    from realtime_core.pipeline.metrics import Stage
    from realtime_core.pipeline.pipeline import Pipeline
    from realtime_core.publish import Event, Outcome
    from realtime_core.queue import Claim, Verdict

    Enter: TypeAlias = Callable[[str, int], AbstractContextManager[Stage]]

# What a mixin may raise at the cost of its job alone. A time-out of gevent is no Exception, and yet a fault of the job.
FAULTS: Final = (Exception, Timeout)
# Jobs that are put back together come due one after another, and so stay in their order.
APART_S: Final = 0.001
MAX_REASON: Final = 300


@dataclass(slots=True, eq=False)
class Item:
    """One job. Without a verdict it is still under way; ``lost`` means that it is somebody else's now.

    Attributes:
        fate: where it ended before it was published: ``unparsable``, ``filtered`` or ``error``.
        level: when it may leave the queue.
    """

    claim: Claim
    message: Message | None = None
    events: list[Event] = field(default_factory=list)
    fate: str | None = None
    level: Level = "published"
    verdict: Verdict | None = None
    lost: bool = False


class Batch:
    """The jobs of one claim, in order.

    Args:
        claims: what was claimed.
        max_attempts: the queue's; a job that fails at its last one is stalled.
        backoff_base_s: the queue's ``backoff_s``.
        chance: from 0 to 1, spreads the batches of several workers.
        go_on: called before every job of a stage that takes them one by one: the work goes on. It may wait.

    Attributes:
        at: the job that such a stage has in hand; None while it waits for its turn.
    """

    def __init__(
        self,
        claims: Sequence[Claim],
        *,
        max_attempts: int,
        backoff_base_s: float,
        chance: float,
        go_on: Callable[[], None] = lambda: None,
    ) -> None:
        self.items = [Item(claim) for claim in claims]
        self.at: Item | None = None
        self._settled: set[str] = set()
        self._go_on = go_on
        self._max_attempts = max_attempts
        self._backoff_base_s = backoff_base_s
        self._chance = chance
        self._cancelled = 0

    @property
    def under_way(self) -> list[Item]:
        """Jobs without a verdict that are ours."""
        return [item for item in self.items if item.verdict is None and not item.lost]

    def to_settle(self) -> list[Verdict]:
        """The verdicts that were not settled so far, without those on lost jobs."""
        return [
            item.verdict
            for item in self.items
            if item.verdict is not None and not item.lost and item.claim.id not in self._settled
        ]

    def settled(self, verdicts: Sequence[Verdict]) -> None:
        """These are through."""
        self._settled.update(verdict.claim.id for verdict in verdicts)

    def ending(self) -> list[tuple[Claim, Message | None]]:
        """Jobs that leave the queue for good with the next settlement."""
        return [
            (item.claim, item.message)
            for item in self.items
            if isinstance(item.verdict, Finish | Stall) and not item.lost and item.claim.id not in self._settled
        ]

    def parse(self, pipeline: Pipeline, enter: Enter) -> None:
        """Understand every job; one that cannot be is stalled, its neighbours go on."""
        with enter("parse", len(self.items)) as stage:
            for item in self.each(self.items):
                try:
                    item.message = sound(pipeline.parse(item.claim))
                except Unparsable as error:
                    stage.leave("error")
                    item.fate = "unparsable"
                    item.verdict = Stall(item.claim, reason("parse", error))
                except FAULTS as error:  # a job that breaks a mixin must not break its neighbours
                    stage.leave("error")
                    item.fate = "error"
                    self.fail(item, reason("parse", error, named=True, private=pipeline.private))
                else:
                    stage.leave("done")

    def compute(self, pipeline: Pipeline, enter: Enter, default: Level) -> None:
        """Change every message; one that nobody is to hear of is finished."""
        items = self.under_way
        with enter("compute", len(items)) as stage:
            for item in self.each(items):
                assert item.message is not None
                try:
                    changed = pipeline.compute(item.message)
                    item.level = pipeline.ack(item.message) or default
                    wanted = changed is not None and bool(sound(changed).channels)
                except FAULTS as error:  # as above
                    stage.leave("error")
                    item.fate = "error"
                    self.fail(item, reason("compute", error, named=True, private=pipeline.private))
                    continue
                if wanted:
                    item.message = changed
                    stage.leave("done")
                else:
                    stage.leave("filtered")
                    item.fate = "filtered"
                    item.verdict = Finish(item.claim)

    def refuse(self, enter: Enter) -> int:
        """Fail the jobs with a channel that no event can have; how many those are.

        Asked for once a stamp was refused: to look at every channel before would cost every job.
        """
        refused = []
        for item in self.under_way:
            assert item.message is not None
            try:
                for channel in item.message.channels:
                    check_channel(channel)
            except Exception as error:  # noqa: BLE001 - as above
                refused.append(item)
                self.fail(item, reason("stamp", error, named=True))
        with enter("stamp", len(refused)) as stage:
            stage.leave("error", len(refused))
        return len(refused)

    def stamp(self, items: Sequence[Item], ids: Sequence[list[str]], enter: Enter) -> None:
        """Make the events, with the ids the queue gave; it gives none for a job that is no longer ours."""
        with enter("stamp", len(items)) as stage:
            for item, of_job in zip(items, ids, strict=True):
                assert item.message is not None
                if not of_job:
                    stage.leave("stale")
                    item.lost = True
                    continue
                try:
                    item.events = item.message.events(of_job)
                except FAULTS as error:  # as above
                    stage.leave("error")
                    self.fail(item, reason("stamp", error, named=True))
                else:
                    stage.leave("done")

    def finish(self, items: Sequence[Item]) -> None:
        """These may leave the queue."""
        for item in items:
            item.verdict = Finish(item.claim)

    def judge(self, items: Sequence[Item], outcomes: Mapping[str, Sequence[Outcome]], *, again_at_once: bool) -> int:
        """Decide on the jobs whose events were published, in their order; how many have failed.

        All accepted: finished. What has a verdict already keeps it. Refused for good by any target: stalled. Else another
        attempt later.

        Args:
            items: the jobs.
            outcomes: by target, one for each event, in the jobs' order.
            again_at_once: the worker ends. What a target did not take was not waited for: the job is given back.
        """
        if all(outcome.accepted for of_target in outcomes.values() for outcome in of_target):  # as nearly always
            for item in items:
                item.verdict = item.verdict or Finish(item.claim)
            return 0
        failures = 0
        start = 0
        for item in items:
            end = start + len(item.events)
            worst = _worst({target: of_target[start:end] for target, of_target in outcomes.items()})
            start = end
            if worst is None:
                item.verdict = item.verdict or Finish(item.claim)
                continue
            failures += 1
            if item.verdict is not None:  # level none: it has left the queue
                continue
            target, outcome = worst
            why = reason("publish", f"{target}: {outcome}")
            if outcome.temporary and again_at_once and outcome.reason != UNSEEN:
                item.verdict = GiveBack(item.claim)
            elif outcome.temporary:
                self.fail(item, why, again_at_once=again_at_once)
            else:
                item.verdict = Stall(item.claim, why)
        return failures

    def fail(self, item: Item, why: str, *, again_at_once: bool = False) -> None:
        """Another attempt later; stalled if this was the last."""
        claim = item.claim
        if claim.attempt >= self._max_attempts:
            item.verdict = Stall(claim, why)
            return
        delay_s = 0.0 if again_at_once else backoff_s(claim.attempt, self._backoff_base_s, self._chance)
        item.verdict = Cancel(claim, why, delay_s=delay_s + self._cancelled * APART_S)
        self._cancelled += 1

    def give_back(self) -> None:
        """The worker ends: what has no verdict goes back to where it was."""
        for item in self.under_way:
            item.verdict = GiveBack(item.claim)

    def broken(self, why: str) -> None:
        """All without a verdict have failed, for one reason."""
        for item in self.under_way:
            self.fail(item, why)

    def hung(self, why: str) -> None:
        """The job that a stage had in hand has failed; the others are put back, to be claimed again at once.

        Not as if nobody had tried: it may be one of them that hangs whoever has it.
        """
        if self.at is not None and self.at in self.under_way:
            self.fail(self.at, why)
        for item in self.under_way:
            self.fail(item, why, again_at_once=True)

    def each(self, items: Sequence[Item]) -> Iterator[Item]:
        """One after another; whoever is ended between two of them has none in hand."""
        for item in items:
            self._go_on()
            self.at = item
            yield item
            self.at = None


def reason(stage: str, error: object, *, named: bool = False, private: bool = False) -> str:
    """Why a job failed, on one line that any server can keep: the stage, and the error's own words.

    ``private``: those may quote a value that nobody is to see, so that its name and its place stand for them.
    """
    try:
        words = f"{type(error).__name__}: {error}" if named else str(error)
    except Exception:  # noqa: BLE001 - it cannot even be told
        words = type(error).__name__
    if private:
        words = f"{type(error).__name__} at {_place(error)}; its words may be private"
    line = " ".join(f"{stage}: {words}".split())
    return line.encode("utf-8", "replace").decode()[:MAX_REASON]


def _place(error: object) -> str:
    """The module and line that raised it."""
    trace = error.__traceback__ if isinstance(error, BaseException) else None
    if trace is None:
        return "a place unknown"
    while trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_globals.get('__name__', '?')}:{trace.tb_lineno}"


def _worst(outcomes: Mapping[str, Sequence[Outcome]]) -> tuple[str, Outcome] | None:
    """The target and outcome that decide: one that is for good, else one that may pass; None if all were accepted."""
    found = None
    for target, of_target in outcomes.items():
        for outcome in of_target:
            if outcome.accepted:
                continue
            if not outcome.temporary:
                return target, outcome
            found = found or (target, outcome)
    return found
