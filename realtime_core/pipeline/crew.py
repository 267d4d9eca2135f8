"""The crew: as many hands as the work needs, within bounds, and a watchdog over them."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final

import gevent
from gevent.event import Event as Flag

from realtime_core.pipeline.hand import Abandoned, Hand, Hung, pause_s

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from realtime_core.pipeline.hand import Shop
    from realtime_core.pipeline.pipeline import Pipeline
    from realtime_core.queue import Claim

log = logging.getLogger(__name__)
# While batches end sooner, and there is no backlog, one hand is enough: jobs gather into larger batches meanwhile.
PATIENCE_S: Final = 0.02
# Batches that begin while others are in hand begin so long after one another: what is claimed at once costs least a job.
GATHER_S: Final = 0.005
# Where the process computes all the time, or waits for a core to do so, a third batch at the same time would make each
# slower and none earlier; the jobs gather into larger batches instead, which cost less each.
ENOUGH_WHEN_COMPUTING: Final = 2
COMPUTING: Final = 0.9
SPAN_S: Final = 0.05
IDLE_S: Final = 10.0
LOOK_S: Final = 0.1
CLOSE_S: Final = 0.5
# A pipeline whose making computes for longer is made while nothing is in hand, or not at all: it stops the whole process.
MAKE_S: Final = 1.0
KILLED_S: Final = 2.0


def wanted_s() -> float:
    """Seconds for which this thread computed, or wanted to and waited for a core.

    Linux tells it in ``/proc/thread-self/schedstat`` (nanoseconds run, nanoseconds waited); elsewhere it is the CPU alone.
    """
    try:
        with open("/proc/thread-self/schedstat", "rb") as file:  # noqa: PTH123 - twenty times a second
            ran, waited = file.read().split()[:2]
        return (int(ran) + int(waited)) / 1e9
    except (OSError, ValueError):
        return time.thread_time()


class Load:
    """Whether this thread computes, or wants to, all the time; over spans of a twentieth of a second.

    On a machine whose cores are all taken a busy process has but a part of one: its CPU alone would say that it has time.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, wanted: Callable[[], float] = wanted_s) -> None:
        self._clock, self._wanted = clock, wanted
        self._from = clock(), wanted()
        self._share = 0.0

    @property
    def computing(self) -> bool:
        """Whether it did in the last whole span."""
        at = self._clock()
        since, before = self._from
        if at - since >= SPAN_S:
            wanted = self._wanted()
            self._share = (wanted - before) / (at - since)
            self._from = at, wanted
        return self._share > COMPUTING


def gathering_s(began: Sequence[float]) -> float:
    """How long another batch has to wait where some are in hand, from when they began on the monotonic clock."""
    return max(min(began) + PATIENCE_S, max(began) + GATHER_S) - time.monotonic()


class Crew:
    """Hands of one worker; made when they are needed, ended when they had nothing to do for a while."""

    def __init__(
        self, make: Callable[[], Pipeline], shop: Shop, *, most: int, progress_timeout_s: float | None
    ) -> None:
        self._make = make
        self._shop = shop
        self._most = most
        self._progress_timeout_s = progress_timeout_s
        self._freed = Flag()
        self._load = Load()
        self._failures = 0
        self._idle_since: dict[Hand, float] = {}
        self._figures: dict[str, int] = {}
        self._figures_broken = False
        self._hiring: gevent.Greenlet | None = None
        self.hands: list[Hand] = []
        computing_since = time.thread_time()
        self._hire()
        self._limit(time.thread_time() - computing_since)
        self._watching = gevent.spawn(self._watch) if progress_timeout_s is not None else None

    @property
    def busy(self) -> list[Hand]:
        """Hands that have a batch."""
        return [hand for hand in self.hands if hand.busy]

    def next(self, *, backlog: bool) -> Hand | None:
        """A hand for the next batch; None where none was free for a tenth of a second, or the worker is to end."""
        busy = self.busy
        free = next((hand for hand in self.hands if not hand.busy), None)
        wait_s = 0.0 if backlog or not busy else gathering_s([hand.started for hand in busy])
        enough = self._load.computing and len(busy) >= ENOUGH_WHEN_COMPUTING
        if wait_s <= 0 and not enough:
            if free is not None:
                return free
            if len(self.hands) < self._most and (self._hiring is None or self._hiring.dead):
                # Beside the work: a mixin's constructor may wait, and those that are there go on meanwhile.
                self._hiring = gevent.spawn(self._hire_another)
        self._freed.clear()
        self._freed.wait(wait_s if wait_s > 0 else LOOK_S)
        return None

    def give(self, hand: Hand, claims: Sequence[Claim]) -> None:
        """Let a hand work on a batch."""
        self._idle_since.pop(hand, None)
        hand.greenlet = gevent.spawn(self._work, hand, claims)
        hand.started = hand.marked = time.monotonic()
        self._shop.metrics.busy.set(len(self.busy))

    def keep(self) -> None:
        """Let go of hands that had nothing to do for a while, and show what mixins counted."""
        now = time.monotonic()
        for hand in self.hands[:]:
            since = self._idle_since.get(hand)
            if len(self.hands) > 1 and not hand.busy and since is not None and now - since > IDLE_S:
                self._dismiss(hand)
        figures = dict(self._figures)
        for hand in self.hands:
            self._add(figures, hand)
        self._shop.metrics.mixins(figures)

    def stop_waiting(self) -> None:
        """Wait for no box that is away."""
        for hand in self.hands:
            hand.pipeline.stop_waiting()

    def end(self, within_s: float) -> None:
        """Let batches end ``within_s``; give back the rest; close everything."""
        if self._hiring is not None:
            self._hiring.kill(timeout=KILLED_S)
        # What was claimed last is given back first, so that what was claimed before it comes to stand before it.
        latest_first = sorted(self.busy, key=lambda hand: hand.started, reverse=True)
        greenlets = [hand.greenlet for hand in latest_first]
        gevent.joinall(greenlets, timeout=within_s)
        gevent.killall(greenlets, timeout=KILLED_S)
        if self._watching is not None:
            self._watching.kill()
        self.keep()
        for hand in self.hands[:]:
            self._dismiss(hand)

    def _work(self, hand: Hand, claims: Sequence[Claim]) -> None:
        try:
            hand.handle(claims)
        except Abandoned as why:
            log.warning("a batch was abandoned: %s", why)
        except Exception:  # what was not given back comes back when its lease ends
            self._failures += 1
            log.exception("a batch failed by a fault of ours")
            self._shop.draining.wait(pause_s(self._failures))
        else:
            self._failures = 0
        finally:
            self._idle_since[hand] = time.monotonic()
            self._freed.set()
            self._shop.metrics.busy.set(sum(other is not hand for other in self.busy))

    def _hire(self) -> Hand:
        hand = Hand(self._make(), self._shop)
        self.hands.append(hand)
        self._shop.metrics.hands.set(len(self.hands))
        return hand

    def _hire_another(self) -> None:
        try:
            self._hire()
            self._failures = 0
        except Exception:
            self._failures += 1
            log.exception("no other hand could be made")
            self._shop.draining.wait(pause_s(self._failures))
        finally:
            self._freed.set()

    def _limit(self, made_s: float) -> None:
        """One hand is enough where making another would stop the process, and all that is in hand, for too long."""
        limit_s = MAKE_S if self._progress_timeout_s is None else min(MAKE_S, self._progress_timeout_s / 4)
        if made_s > limit_s and self._most > 1:
            self._most = 1
            log.warning(
                "making the pipeline computes for %.2f s, the limit beside batches in hand is %g s: "
                "there will be one hand only; do what takes long once, where its module is imported",
                *(made_s, limit_s),
            )

    def _dismiss(self, hand: Hand) -> None:
        self.hands.remove(hand)
        self._idle_since.pop(hand, None)
        self._shop.metrics.hands.set(len(self.hands))
        self._add(self._figures, hand)
        try:
            hand.pipeline.close(CLOSE_S)
        except Exception:  # whatever a mixin does there, the others are closed too
            log.exception("a pipeline was not closed")

    def _watch(self) -> None:
        """Report a batch that shows no progress, end its greenlet, and put another hand in its place."""
        assert self._progress_timeout_s is not None
        pause_s = min(self._progress_timeout_s / 4, 1.0)
        while True:
            asleep_at = time.monotonic()
            gevent.sleep(pause_s)
            now = time.monotonic()
            for hand in self.busy:
                # What overslept us kept all others from going on: one hand's computing is not the standing still of another.
                hand.excuse(now - asleep_at - pause_s)
            for hand in [hand for hand in self.busy if hand.marked < now - self._progress_timeout_s]:
                try:
                    self._replace(hand)
                except Exception:  # whatever it is, the others are to be watched still
                    log.exception("a hand that hangs was not replaced")

    def _replace(self, hand: Hand) -> None:
        log.error(
            "stage %s of a batch of %d jobs shows no progress for %g s: it is ended, its jobs come back",
            *(hand.stage, hand.jobs, self._progress_timeout_s),
        )
        self._shop.metrics.hung.labels(hand.stage).inc()
        assert hand.greenlet is not None
        hand.greenlet.kill(Hung, block=True, timeout=KILLED_S)
        if hand in self.hands:
            self._dismiss(hand)  # the next batch gets a new one
        self._freed.set()

    def _add(self, figures: dict[str, int], hand: Hand) -> None:
        """Add what a hand's mixins counted; a fault there is said once, and costs the figures alone."""
        try:
            counted = {name: int(number) for name, number in hand.pipeline.figures().items()}
        except Exception:
            if not self._figures_broken:
                log.exception("figures() of %s failed: they are left out, here and later", type(hand.pipeline).__name__)
            self._figures_broken = True
            return
        for name, number in counted.items():
            figures[name] = figures.get(name, 0) + number
