"""The pipeline's side of the ledger: what is counted, on which hop, and when."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from realtime_core.ledger import keys_of
from realtime_core.pipeline.json_parser import at_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from redis.client import Pipeline as Transaction

    from realtime_core.ledger import Ledger
    from realtime_core.pipeline.message import Message
    from realtime_core.publish import Event, Outcome
    from realtime_core.queue import Claim

JOBS_HOP: Final = "queue>pipeline"


def box_hop(box: str) -> str:
    """The hop from the pipeline to a box."""
    return f"pipeline>{box}"


class Accounts:
    """Counts for one worker; without a ledger it does nothing. Counting never waits, only flushing does."""

    def __init__(self, ledger: Ledger | None) -> None:
        self._ledger = ledger

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
        """These jobs leave the queue for good with the settlement that follows: finished or stalled."""
        if self._ledger is None or not jobs:
            return
        now = time.time()
        ids = [claim.id for claim, _ in jobs]
        at = [message.at if message is not None else at_of(claim.body) or now for claim, message in jobs]
        self._ledger.received(JOBS_HOP, ids, at)

    def flush(self, transaction: Transaction | None = None) -> None:
        """Write what was counted; into a transaction, with it or not at all."""
        if self._ledger is not None:
            self._ledger.flush(transaction)

    def close(self) -> None:
        """Write what was counted, and mark the account as complete."""
        if self._ledger is not None:
            self._ledger.close()
