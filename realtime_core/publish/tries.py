"""One box behind its breaker: tries, counts, and for a required box waits a while for it to come back."""

from __future__ import annotations

import logging
import random
import time
from collections import Counter
from typing import TYPE_CHECKING, Final

from realtime_core.publish.breaker import Breaker
from realtime_core.publish.outcome import BREAKER_OPEN, RESET, failed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gevent.event import Event as Flag

    from realtime_core.publish.box import Box
    from realtime_core.publish.events import Event
    from realtime_core.publish.metrics import PublishMetrics
    from realtime_core.publish.outcome import Outcome

log = logging.getLogger(__name__)
FIRST_PAUSE_S: Final = 0.02
LONGEST_PAUSE_S: Final = 1.0


class Tries:
    """A box, its breaker and its counters. For one greenlet at a time, as the box is."""

    def __init__(self, box: Box, metrics: PublishMetrics, breaker: Breaker | None = None) -> None:
        self.box = box
        self.breaker = breaker or Breaker()
        self._metrics = metrics
        # Prometheus needs the 0: a counter that appears with its first error shows no growth.
        metrics.published.labels(box.name, "accepted")
        metrics.breaker_open.labels(box.name)

    def once(self, events: Sequence[Event]) -> list[Outcome]:
        """One attempt, unless the breaker is open."""
        if not self.breaker.allow(time.monotonic()):
            outcomes = [failed(BREAKER_OPEN)] * len(events)
        else:
            try:
                outcomes = self.box.publish(events)
            except Exception:  # a fault of ours must not end the greenlet that all later events go through
                log.exception("publishing %d events at %s", len(events), self.box.name)
                self.box.close()
                outcomes = [failed(RESET)] * len(events)
            self._note(not _down(outcomes), outcomes, answered=any(one.status is not None for one in outcomes))
        self.count(outcomes)
        return outcomes

    def patiently(self, events: Sequence[Event], hold_s: float, stop: Flag) -> list[Outcome]:
        """Attempts until the box has answered for every event, for ``hold_s`` at most or until ``stop``.

        Only what it did not answer for is sent again, in the same order. An event that alone makes a box fail is not
        waited for: whoever called decides about it.
        """
        deadline = time.monotonic() + hold_s
        pause_s = FIRST_PAUSE_S
        outcomes = self.once(events)
        while _down(outcomes) or _unanswered(outcomes):
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
            wait_s = max(pause_s * random.uniform(0.5, 1.0), self.breaker.wait_s(time.monotonic()))
            if time.monotonic() + wait_s > deadline or stop.wait(wait_s):
                break
            left = [place for place, outcome in enumerate(outcomes) if outcome.temporary]
            again = self.once([events[place] for place in left])
            for place, outcome in zip(left, again, strict=True):
                outcomes[place] = outcome
            if not _down(again):
                pause_s = FIRST_PAUSE_S
        return outcomes

    def ready(self) -> bool:
        """Whether the box is taken to be well; one that was left alone long enough is asked, on a channel of nobody's."""
        if self.breaker.closed:
            return True
        if not self.breaker.allow(time.monotonic()):
            return False
        # One that answers publishes with errors may be full, and read well enough: what it is asked must be a publish too,
        # or jobs would be claimed again and again, and each time an attempt of theirs be lost.
        publishing = self.breaker.answered
        well = self.box.probe(publishing=publishing)
        self._note(well, (), answered=publishing)
        return well

    def count(self, outcomes: Sequence[Outcome]) -> None:
        """Count what became of events at this box."""
        for outcome, times in Counter([one.reason or "accepted" for one in outcomes]).items():
            self._metrics.published.labels(self.box.name, outcome).inc(times)

    def _note(self, well: bool, outcomes: Sequence[Outcome], *, answered: bool) -> None:  # noqa: FBT001 - what is noted
        before = self.breaker.closed
        if well:
            self.breaker.success()
        else:
            self.breaker.failure(time.monotonic(), answered=answered)
        if before != self.breaker.closed:
            self._metrics.breaker_open.labels(self.box.name).set(before)
            why = (
                "answers again" if not before else f"is left alone for a while: {outcomes[0] if outcomes else 'silent'}"
            )
            log.warning("box %s at %s %s", self.box.name, self.box.url, why)


def _down(outcomes: Sequence[Outcome]) -> bool:
    """Whether the box took nothing and answered nothing but errors of its own."""
    return bool(outcomes) and all(outcome.temporary for outcome in outcomes)


def _unanswered(outcomes: Sequence[Outcome]) -> bool:
    return any(outcome.temporary and outcome.status is None for outcome in outcomes)
