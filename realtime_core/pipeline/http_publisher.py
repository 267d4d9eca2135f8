"""The publishing mixin: events go to a fleet of push boxes over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from realtime_core.errors import ConfigurationError
from realtime_core.pipeline.pipeline import Pipeline

if TYPE_CHECKING:
    from collections.abc import Sequence

    from realtime_core.publish import Event, Fleet, Outcome
    from realtime_core.publish.lane import Late


class HTTPPublisher(Pipeline):
    """Answers for the fleet's required boxes; the others get the same events and are never waited for."""

    def __init__(self, **given: Any) -> None:
        """Take the fleet.

        Raises:
            ConfigurationError: there is none.
        """
        super().__init__(**given)
        if self.fleet is None:
            raise ConfigurationError(f"{type(self).__name__} has nowhere to publish to: name a box, NAME=URL")
        self._boxes: Fleet = self.fleet

    @property
    def required(self) -> tuple[str, ...]:
        """Boxes that are waited for."""
        return (*super().required, *self._boxes.required)

    @property
    def best_effort(self) -> tuple[str, ...]:
        """Boxes that are not waited for."""
        return (*super().best_effort, *self._boxes.best_effort)

    def publish(self, events: Sequence[Event]) -> dict[str, list[Outcome]]:
        """Give a batch to every box."""
        return super().publish(events) | self._boxes.publish(events)

    def ready(self) -> bool:
        """Whether every required box is there."""
        return super().ready() and self._boxes.ready()

    def listen(self, late: Late) -> None:
        """Tell what became of events at best-effort boxes."""
        super().listen(late)
        self._boxes.listen(late)

    def stop_waiting(self) -> None:
        """Wait for no box that is away."""
        super().stop_waiting()
        self._boxes.stop_waiting()

    def close(self, timeout_s: float) -> None:
        """Empty the lines before best-effort boxes, within ``timeout_s``, and end all connections."""
        super().close(timeout_s)
        self._boxes.close(timeout_s)
