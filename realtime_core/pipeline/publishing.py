"""The publishing stage: a batch's events to all targets at once, and where a mixin breaks over them, job by job."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final

from realtime_core.pipeline.acknowledge import turns, watching
from realtime_core.pipeline.batch import FAULTS, reason
from realtime_core.publish.outcome import UNSEEN, Outcome, failed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gevent.event import Event as Flag

    from realtime_core.pipeline.accounts import Accounts
    from realtime_core.pipeline.batch import Batch, Item
    from realtime_core.pipeline.metrics import Stage
    from realtime_core.pipeline.pipeline import Pipeline
    from realtime_core.publish import Event

log = logging.getLogger(__name__)
CANARY: Final = "canary"


class Unpublished(Exception):  # noqa: N818 - it says what is known of the events, whosever fault it was
    """A mixin broke while it published: nobody knows which of the events were taken."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(type(error).__name__)
        self.error = error


class Publishing:
    """One hand's. ``touch`` is called where the work goes on."""

    def __init__(self, pipeline: Pipeline, accounts: Accounts, draining: Flag, touch: Callable[[], None]) -> None:
        self._pipeline = pipeline
        self._accounts = accounts
        self._draining = draining
        self._touch = touch

    def publish(self, batch: Batch, items: Sequence[Item], stage: Stage, *, until: float) -> None:
        """Publish together what the canary can listen for; where a mixin breaks over that, each alone: it breaks over some.

        Those have failed; what was taken at first is published twice. After ``until`` (monotonic) none is tried any more.
        """
        for turn in turns(items, self._pipeline.canary):
            try:
                self._publish(batch, turn, stage)
            except Unpublished as error:
                if len(turn) > 1:
                    log.warning("publishing %d jobs broke: each is published alone", len(turn), exc_info=error.error)
                self._one_by_one(batch, turn, stage, error, until)

    def _one_by_one(self, batch: Batch, items: Sequence[Item], stage: Stage, error: Unpublished, until: float) -> None:
        for item in batch.each(items):
            if len(items) > 1 and time.monotonic() < until:
                try:
                    self._publish(batch, [item], stage)
                except Unpublished as alone:
                    error = alone
                else:
                    continue
            stage.leave("error")
            if item.verdict is None:  # level none: it has left the queue
                batch.fail(item, reason("publish", error.error, named=True, private=self._pipeline.private))

    def _publish(self, batch: Batch, items: Sequence[Item], stage: Stage) -> None:
        """Publish, and judge what came of it.

        Raises:
            Unpublished: a mixin broke, or did not say of each event what became of it.
        """
        with watching(items, self._pipeline.canary, self._touch) as watched:
            self._publish_watched(batch, items, stage, watched)

    def _publish_watched(self, batch: Batch, items: Sequence[Item], stage: Stage, watched: Sequence[Event]) -> None:
        events = [event for item in items for event in item.events]
        fleet = self._pipeline.fleet
        offered = fleet.offered if fleet is not None else 0
        self._accounts.offered(self._pipeline.best_effort, events)
        try:
            outcomes = complete(self._pipeline.publish(events), len(events))
        except BaseException as error:
            if fleet is not None and fleet.offered == offered:  # it broke before they came so far
                self._accounts.withheld(fleet.best_effort, events)
            if isinstance(error, FAULTS):
                raise Unpublished(error) from error
            raise
        boxes = self._pipeline.required
        self._accounts.answered(events, {box: of_box for box, of_box in outcomes.items() if box in boxes})
        if watched:
            self._touch()
            outcomes = outcomes | {CANARY: self._delivered(events, watched, outcomes)}
        failures = batch.judge(items, outcomes, again_at_once=self._draining.is_set())
        stage.leave("error", failures)
        stage.leave("done", len(items) - failures)

    def _delivered(
        self, events: Sequence[Event], watched: Sequence[Event], outcomes: dict[str, list[Outcome]]
    ) -> list[Outcome]:
        """An outcome for every event: whether the canary saw it, where that was asked for and a box took it."""
        canary = self._pipeline.canary
        names = {event.name for event in watched}
        taken = [
            event
            for place, event in enumerate(events)
            if event.name in names and all(of_target[place].accepted for of_target in outcomes.values())
        ]
        seen = canary.seen(taken) if canary is not None else [False] * len(taken)
        unseen = {event.name for event, there in zip(taken, seen, strict=True) if not there}
        return [failed(UNSEEN) if event.name in unseen else Outcome(accepted=True) for event in events]


def complete(outcomes: object, events: int) -> dict[str, list[Outcome]]:
    """What a mixin says became of the events, if it says so of each.

    Raises:
        TypeError: it does not.
    """
    if not isinstance(outcomes, dict):
        raise TypeError(f"publish returned {outcomes!r:.80}: outcomes by target are needed")
    for target, of_target in outcomes.items():
        if len(of_target) != events or not all(issubclass(kind, Outcome) for kind in set(map(type, of_target))):
            raise TypeError(f"publish returned {of_target!r:.80} for {target}: one Outcome an event is needed")
    return outcomes
