"""When a job may leave the queue: before it is published, when the push boxes took it, or when a subscriber saw it."""

from __future__ import annotations

from contextlib import contextmanager
from math import inf
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from realtime_core.errors import ConfigurationError
from realtime_core.pipeline.pipeline import Pipeline

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from realtime_core.pipeline.batch import Item
    from realtime_core.pipeline.message import Message
    from realtime_core.publish import Canary, Event

Level: TypeAlias = Literal["none", "published", "delivered"]
Ack: TypeAlias = Level | None
LEVELS: Final[tuple[Level, ...]] = ("none", "published", "delivered")


def level_of(what: str, text: str) -> Level:
    """One of the levels.

    Raises:
        ConfigurationError: there is no such level.
    """
    if text not in LEVELS:
        raise ConfigurationError(f"{what} {text!r:.40}: use {', '.join(LEVELS)}")
    return text


def turns(items: Sequence[Item], canary: Canary | None) -> Iterator[list[Item]]:
    """A batch in parts, in order, so that the canary can listen to all channels of a part that somebody has to have seen."""
    most = inf if canary is None else canary.channels
    turn: list[Item] = []
    listened: set[str] = set()
    for item in items:
        channels = {event.channel for event in item.events} if item.level == "delivered" else set()
        if turn and channels and len(listened | channels) > most:
            yield turn
            turn, listened = [], set()
        turn.append(item)
        listened |= channels
    if turn:
        yield turn


@contextmanager
def watching(items: Sequence[Item], canary: Canary | None, touch: Callable[[], None]) -> Iterator[list[Event]]:
    """The events that somebody has to have seen before their jobs may leave; meanwhile the canary listens for them."""
    watched = [event for item in items if item.level == "delivered" for event in item.events]
    if not watched or canary is None:
        yield watched
        return
    try:
        canary.expect(watched, touch)
        yield watched
    finally:
        canary.forget(watched)


class Acknowledge(Pipeline):
    """Levels by model: ``ack_by_model``, or the setting ``ack_by_model=site.Vote:none,shop.Order:delivered``."""

    ack_by_model: dict[str, str] = {}  # noqa: RUF012 - a subclass replaces it, nobody changes it

    def __init__(self, **given: Any) -> None:
        """Read the levels.

        Raises:
            ConfigurationError: no such level, or ``delivered`` without a canary.
        """
        super().__init__(**given)
        wanted = dict(self.ack_by_model)
        for part in filter(None, (self.setting("ack_by_model") or "").split(",")):
            model, colon, level = part.strip().rpartition(":")
            if not colon or not model:
                raise ConfigurationError(f"ack_by_model {part!r:.80}: write MODEL:LEVEL, as in site.Vote:none")
            wanted[model] = level
        self._ack = {model: level_of(f"ack_by_model {model}", level) for model, level in wanted.items()}
        if "delivered" in self._ack.values() and self.canary is None:
            raise ConfigurationError(
                "ack delivered: there is no subscriber to ask: name where they listen with --canary"
            )

    def ack(self, message: Message) -> Ack:
        """The level of the message's model; None where it has none of its own."""
        return self._ack.get(message.model) or super().ack(message)
