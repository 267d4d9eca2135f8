"""The names of the pipeline's metrics; no other module spells one."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, Counter, Histogram

if TYPE_CHECKING:
    from collections.abc import Iterator

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
    """What went into each stage and how it came out. ``entered`` = all outcomes + what is in flight."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        registry = registry or CollectorRegistry()
        self._entered = Counter(
            "realtime_pipeline_entered", "Messages that entered a stage.", ["stage"], registry=registry
        )
        self._messages = Counter(
            "realtime_pipeline_messages", "Messages that left a stage.", ["stage", "outcome"], registry=registry
        )
        self.batch_seconds = Histogram(
            "realtime_pipeline_batch_seconds",
            "From a claim to its settlement.",
            buckets=_BATCH_SECONDS,
            registry=registry,
        )
        self.redis_errors = Counter(
            "realtime_pipeline_redis_errors", "Calls of Redis that failed and were repeated.", registry=registry
        )
        for stage in STAGES:
            self._entered.labels(stage)
            self._messages.labels(stage, "done")

    @contextmanager
    def stage(self, name: str, entered: int) -> Iterator[Stage]:
        """Count a batch into a stage and, however that ends, out of it."""
        stage = Stage(entered)
        self._entered.labels(name).inc(entered)
        try:
            yield stage
        finally:
            stage.leave("abandoned", entered - sum(stage.left.values()))
            for outcome, times in stage.left.items():
                self._messages.labels(name, outcome).inc(times)

    def entered(self, stage: str) -> int:
        """How many messages entered a stage so far."""
        return int(self._entered.labels(stage)._value.get())  # noqa: SLF001 - the client has no reader

    def left(self, stage: str) -> dict[str, int]:
        """How many messages left a stage so far, by outcome."""
        samples = next(iter(self._messages.collect())).samples
        return {
            sample.labels["outcome"]: int(sample.value)
            for sample in samples
            if sample.labels["stage"] == stage and sample.name.endswith("_total")
        }
