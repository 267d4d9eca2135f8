"""The pipeline's side of the ledger: what is counted, on which hop, and when."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final

from redis.exceptions import ResponseError

from realtime_core.ledger import keys_of
from realtime_core.pipeline.json_parser import at_of
from realtime_core.queue import SettledAlone

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from redis.client import Pipeline as Transaction

    from realtime_core.ledger import Ledger
    from realtime_core.pipeline.message import Message
    from realtime_core.pipeline.metrics import PipelineMetrics
    from realtime_core.publish import Event, Outcome
    from realtime_core.queue import Claim, Queue, Settled, Verdict

log = logging.getLogger(__name__)
JOBS_HOP: Final = "queue>pipeline"
# After a refusal, doubling: every try carries all that was counted since the first.
AGAIN_S: Final = 1.0
LONGEST_S: Final = 30.0


def box_hop(box: str) -> str:
    """The hop from the pipeline to a box."""
    return f"pipeline>{box}"


class Accounts:
    """Counts for one worker; without a ledger it does nothing. Counting never waits, only flushing does.

    Jobs that end are counted in the transaction that settles them, and so before it is known what becomes of that. What
    was not settled is taken back out of the account: another worker will settle it, and count it.

    Jobs come before their accounts: where Redis settles and refuses the ledger (it is out of memory, say), jobs are settled
    alone. What was counted is kept, and written once Redis takes it; a worker that dies before takes it along.
    """

    def __init__(self, ledger: Ledger | None, metrics: PipelineMetrics) -> None:
        self._ledger = ledger
        self._metrics = metrics
        self._alone = 0  # jobs settled since it was refused
        self._again_at: float | None = None  # None: it was not
        self._pause_s = AGAIN_S
        self._told: dict[str, float] = {}  # ids and times of those told as ended by a settlement that is not known yet
        self._told_by = 0  # number of the first flush that carried them; 0: none so far

    def offered(self, boxes: Sequence[str], events: Sequence[Event]) -> None:
        """Best-effort boxes are about to get these: sent, whatever becomes of them."""
        if self._ledger is None or not events:
            return
        names = [event.name for event in events]
        self._ledger.name(names)
        if boxes:
            keys, at = keys_of(names), [event.at for event in events]
            for box in boxes:
                self._ledger.sent(box_hop(box), keys, at)

    def withheld(self, boxes: Sequence[str], events: Sequence[Event]) -> None:
        """They did not get these, although it was said that they would: what was counted and this come to zero."""
        if self._ledger is None or not events:
            return
        for box in boxes:
            self._ledger.received(box_hop(box), [event.name for event in events], [event.at for event in events])

    def answered(self, events: Sequence[Event], outcomes: Mapping[str, Sequence[Outcome]]) -> None:
        """Required boxes have answered: only what they accepted was sent."""
        if self._ledger is None:
            return
        for box, of_box in outcomes.items():
            taken = [event for event, outcome in zip(events, of_box, strict=True) if outcome.accepted]
            if taken:
                self._ledger.sent(box_hop(box), [event.name for event in taken], [event.at for event in taken])

    def late(self, box: str, events: Sequence[Event], outcomes: Sequence[Outcome]) -> None:
        """A best-effort box has answered, or not: what it did not take is explained."""
        if self._ledger is None:
            return
        by_reason: dict[str, list[Event]] = {}
        for event, outcome in zip(events, outcomes, strict=True):
            if not outcome.accepted:
                by_reason.setdefault(str(outcome.reason), []).append(event)
        for reason, some in by_reason.items():
            self._ledger.explained(box_hop(box), [event.name for event in some], [event.at for event in some], reason)

    def ended(self, jobs: Sequence[tuple[Claim, Message | None]]) -> None:
        """These jobs leave the queue for good with the settlement that follows: finished or stalled.

        Raises redis-py's error if an earlier settlement is in doubt and Redis does not say what became of it; then
        nothing was counted.
        """
        if self._ledger is None:
            return
        self._decide()
        if jobs:
            now = time.time()
            self._told = {
                claim.id: message.at if message is not None else at_of(claim.body) or now for claim, message in jobs
            }
            self._ledger.received(JOBS_HOP, list(self._told), list(self._told.values()))

    def carried_out(self) -> bool:
        """Whether a try of this settlement was carried out although its answer was lost; asks Redis. If so it is known now."""
        if self._ledger is None or not self._told_by or self._ledger.arrived() < self._told_by:
            return False
        self._known(())
        return True

    def settle(self, queue: Queue, verdicts: Sequence[Verdict]) -> Settled:
        """Settle together with what was counted; alone where Redis does that and refuses this.

        Raises:
            RedisError: the settlement itself was refused, or there was no answer: it is in doubt then.
        """
        if self._ledger is None:
            return queue.settle(verdicts)
        settled = self._settle(queue, verdicts)
        self._known(settled.stale)
        return settled

    def flush(self) -> None:
        """Write what was counted; not for a while after it was refused."""
        if self._ledger is None or self._refused_lately():
            return
        self._decide()
        try:
            self._ledger.flush()
        except ResponseError as error:
            self._refuse(error)
        else:
            self._taken()

    def close(self) -> None:
        """Write what was counted, and mark the account as complete."""
        if self._ledger is not None:
            self._decide()
            self._ledger.close()

    def _settle(self, queue: Queue, verdicts: Sequence[Verdict]) -> Settled:
        refusal: Exception | None = None
        if not self._refused_lately():
            try:
                settled = queue.settle(verdicts, also=self._flush_into)
            except SettledAlone as alone:
                refusal, settled = alone, alone.settled
            except ResponseError as error:  # answered, and nothing was done: perhaps for the ledger's sake only
                refusal, settled = error, queue.settle(verdicts)
            else:
                self._taken()
                return settled
        else:
            settled = queue.settle(verdicts)
        if refusal is not None:
            self._refuse(refusal)
        self._alone += settled.done
        self._metrics.unaccounted.inc(settled.done)
        return settled

    def _decide(self) -> None:
        """Whoever settled these has ended without an answer: were they settled?"""
        if self._told and not self.carried_out():
            self._known(list(self._told))

    def _known(self, stale: Collection[str]) -> None:
        """What became of the settlement: all jobs ended but those with these ids."""
        told, self._told, self._told_by = self._told, {}, 0
        back = [id_ for id_ in stale if id_ in told]
        if back and self._ledger is not None:
            # Under way again, as if they had just been put: what was counted and this come to zero.
            self._ledger.sent(JOBS_HOP, back, [told[id_] for id_ in back])

    def _flush_into(self, transaction: Transaction) -> None:
        assert self._ledger is not None
        before = self._ledger.flushes
        self._ledger.flush(transaction)
        if self._told and not self._told_by and self._ledger.flushes > before:
            self._told_by = before + 1

    def _refused_lately(self) -> bool:
        return self._again_at is not None and time.monotonic() < self._again_at

    def _refuse(self, why: Exception) -> None:
        if self._again_at is None:
            log.error("the ledger is refused, jobs are settled without it until it is not: %s", why)
        self._metrics.redis_errors.inc()
        self._again_at = time.monotonic() + self._pause_s
        self._pause_s = min(2 * self._pause_s, LONGEST_S)

    def _taken(self) -> None:
        if self._again_at is not None:
            log.warning(
                "the ledger is written again, with what was counted for %d jobs settled without it", self._alone
            )
        self._alone, self._again_at, self._pause_s = 0, None, AGAIN_S
