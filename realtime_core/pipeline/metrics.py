"""The names of the pipeline's metrics; no other module spells one."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

STAGES: Final = ("parse", "compute", "stamp", "publish", "settle")
# Half a millisecond to half a minute: a batch that waits for a box that is away takes as long as the box.
_BATCH_SECONDS: Final = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)


class Stage:
    """One stage's work on one batch: how its messages left it. What is not said in the end was abandoned."""

    def __init__(self, entered: int) -> None:
        self.entered = entered
        self.left: dict[str, int] = {}

    def leave(self, outcome: str, times: int = 1) -> None:
        """So many messages left with this outcome: ``done``, ``filtered``, ``error`` or ``stale``."""
        if times:
            self.left[outcome] = self.left.get(outcome, 0) + times


class PipelineMetrics:
    """What went into each stage, how it came out, and what is in it: ``entered`` = all outcomes + ``in_flight``, at any time.

    The three move together, with nothing between that another greenlet or a scrape could see.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        registry = registry or CollectorRegistry()
        self._entered = Counter(
            "realtime_pipeline_entered", "Messages that entered a stage.", ["stage"], registry=registry
        )
        self._messages = Counter(
            "realtime_pipeline_messages", "Messages that left a stage.", ["stage", "outcome"], registry=registry
        )
        self._in_flight = Gauge(
            "realtime_pipeline_in_flight", "Messages that are in a stage now.", ["stage"], registry=registry
        )
        self.hands = Gauge("realtime_pipeline_hands", "Hands that take batches, busy or not.", registry=registry)
        self.busy = Gauge("realtime_pipeline_hands_busy", "Hands that have a batch.", registry=registry)
        self.hung = Counter(
            "realtime_pipeline_hung",
            "Batches that were taken back because a stage showed no progress.",
            ["stage"],
            registry=registry,
        )
        self._figures = Gauge("realtime_pipeline_mixin", "Counts of the mixins' own.", ["figure"], registry=registry)
        self.batch_seconds = Histogram(
            "realtime_pipeline_batch_seconds",
            "From a claim to its settlement.",
            buckets=_BATCH_SECONDS,
            registry=registry,
        )
        self.redis_errors = Counter(
            "realtime_pipeline_redis_errors", "Calls of Redis that failed and were repeated.", registry=registry
        )
        self.unaccounted = Counter(
            "realtime_pipeline_unaccounted",
            "Jobs settled while Redis refused the ledger; their counts are kept, and written once it does not.",
            registry=registry,
        )
        for stage in STAGES:
            self._entered.labels(stage)
            self._messages.labels(stage, "done")
            self._in_flight.labels(stage)
            self.hung.labels(stage)

    @contextmanager
    def stage(self, name: str, entered: int) -> Iterator[Stage]:
        """Count a batch into a stage and, however that ends, out of it."""
        stage = Stage(entered)
        self._entered.labels(name).inc(entered)
        self._in_flight.labels(name).inc(entered)
        try:
            yield stage
        finally:
            stage.leave("abandoned", entered - sum(stage.left.values()))
            for outcome, times in stage.left.items():
                self._messages.labels(name, outcome).inc(times)
            self._in_flight.labels(name).dec(sum(stage.left.values()))

    def mixins(self, figures: Mapping[str, int]) -> None:
        """Show what the mixins counted by themselves."""
        for name, number in figures.items():
            self._figures.labels(name).set(number)

    def entered(self, stage: str) -> int:
        """How many messages entered a stage so far."""
        return int(self._entered.labels(stage)._value.get())  # noqa: SLF001 - the client has no reader

    def in_flight(self, stage: str) -> int:
        """How many messages are in a stage now."""
        return int(self._in_flight.labels(stage)._value.get())  # noqa: SLF001 - the client has no reader

    def left(self, stage: str) -> dict[str, int]:
        """How many messages left a stage so far, by outcome."""
        samples = next(iter(self._messages.collect())).samples
        return {
            sample.labels["outcome"]: int(sample.value)
            for sample in samples
            if sample.labels["stage"] == stage and sample.name.endswith("_total")
        }
