"""The base of all pipelines: every stage does nothing until a mixin overrides it and calls ``super()``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from realtime_core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from realtime_core.pipeline.acknowledge import Ack
    from realtime_core.pipeline.message import Message
    from realtime_core.publish import Canary, Event, Fleet, Outcome
    from realtime_core.publish.lane import Late
    from realtime_core.queue import Claim


class Pipeline:
    """Parse, compute, publish. A pipeline is a class made of mixins, each of which inherits from this one.

    Stages are called from one greenlet, one message at a time; ``publish`` gets a whole batch's events. A worker makes an
    instance for each of its hands.

    Attributes:
        preset: settings that hold unless they are given.
        fleet: the boxes to publish to, where there are any.
        canary: sees what subscribers see, where there is one.
    """

    preset: Mapping[str, str] = {}

    def __init__(
        self, *, settings: Mapping[str, str] | None = None, fleet: Fleet | None = None, canary: Canary | None = None
    ) -> None:
        self.fleet = fleet
        self.canary = canary
        self._settings = {**self.preset, **(settings or {})}
        self._asked: set[str] = set()

    def setting(self, name: str) -> str | None:
        """One of the settings given to the pipeline as text; None where it was not given."""
        self._asked.add(name)
        return self._settings.get(name)

    def check(self) -> None:
        """Refuse settings that no mixin asked for; called once all have been set up.

        Raises:
            ConfigurationError: names the first, and those there are.
        """
        for name in self._settings:
            if name not in self._asked:
                known = ", ".join(sorted(self._asked)) or "none"
                raise ConfigurationError(
                    f"{type(self).__name__} has no setting {name!r}: leave it out; its settings are: {known}"
                )

    @property
    def private(self) -> bool:
        """Whether fields are named that nobody is to see: then what an exception says stays out of a job's reason."""
        return False

    @property
    def required(self) -> tuple[str, ...]:
        """Names of the boxes that a job waits for and that keep a ledger's account of what they took in."""
        return ()

    @property
    def best_effort(self) -> tuple[str, ...]:
        """Names of the boxes that get events and are not answered for."""
        return ()

    def parse(self, claim: Claim) -> Message:
        """Understand a job.

        Raises:
            Unparsable: no attempt ever will.
            ConfigurationError: no mixin parses.
        """
        raise ConfigurationError(
            f"{type(self).__name__} cannot parse job {claim.id}: give it a mixin that does, such as JSONParser"
        )

    def compute(self, message: Message) -> Message | None:
        """Change a message, or None: nobody is to hear of it."""
        return message

    def publish(self, events: Sequence[Event]) -> dict[str, list[Outcome]]:
        """Publish a batch; an outcome for each event, at each target that a job waits for, by the target's name."""
        del events
        return {}

    def ack(self, message: Message) -> Ack:
        """When a job may leave the queue; what a mixin says goes before what the worker was told (None)."""
        del message
        return None

    def figures(self) -> dict[str, int]:
        """Counts of the mixins' own, for metrics: a name, and a number that only grows."""
        return {}

    def ready(self) -> bool:
        """Whether what is published to is there: while it is not, no job is claimed."""
        return True

    def listen(self, late: Late) -> None:
        """Tell ``late`` what became of events at those that are not answered for."""

    def stop_waiting(self) -> None:
        """The worker is to end: wait for nothing that is away."""

    def close(self, timeout_s: float) -> None:
        """The worker ends: give up what is held, within ``timeout_s``."""
