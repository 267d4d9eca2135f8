"""A message: what a job says was saved or deleted, and which channels are to hear of it. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import isfinite
from typing import Any, TypeAlias

from realtime_core.errors import RealtimeError
from realtime_core.publish import Event, event_of
from realtime_core.quick_values import quickly_made

Key: TypeAlias = str | int | None


class Unparsable(RealtimeError):  # noqa: N818 - a finding about a job, not a fault
    """A job's body that no attempt will ever understand; the job is stalled."""


@quickly_made
@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A job that has been understood.

    Attributes:
        job: its id.
        channels: who is to hear of it, each once.
        kind: ``post_save`` or ``post_delete``.
        model: ``app.Model``.
        key: the primary key.
        at: when it was saved, seconds UTC.
        data: its fields; JSON types.
    """

    job: str
    channels: tuple[str, ...]
    kind: str
    model: str
    key: Key
    at: float
    data: dict[str, Any]

    def with_data(self, data: dict[str, Any]) -> Message:
        """The same message with other fields: what ``dataclasses.replace`` makes, at a fifth of its cost."""
        if type(self) is not Message:  # a mixin's own kind, which may have more to it
            return replace(self, data=data)
        return Message(
            job=self.job,
            channels=self.channels,
            kind=self.kind,
            model=self.model,
            key=self.key,
            at=self.at,
            data=data,
        )

    def events(self, ids: list[str]) -> list[Event]:
        """One event a channel, with the ids in the channels' order.

        Raises:
            TypeError: ``data`` holds what JSON cannot say.
        """
        fields = {
            "job": self.job,
            "kind": self.kind,
            "model": self.model,
            "key": self.key,
            "at": self.at,
            "data": self.data,
        }
        return event_of(list(zip(self.channels, ids, strict=True)), self.at, fields)


def sound(made: object) -> Message:
    """What a mixin made of a job, if it is a message that can be gone on with.

    Raises:
        TypeError: it is something else, its channels are one text, or its time is no number.
    """
    # Every job passes here twice: what is nearly always so is asked first.
    if type(made) is Message and type(made.channels) is tuple and type(made.at) is float and isfinite(made.at):
        return made
    if not isinstance(made, Message):
        raise TypeError(f"{made!r:.80} was made of it: a Message is needed")
    channels: object = made.channels  # whatever the annotations say
    if isinstance(channels, str):
        raise TypeError(f"channels={channels!r:.80}: a tuple of them is needed")
    try:
        finite = isfinite(made.at)
    except TypeError:
        finite = False
    if not finite:
        raise TypeError(f"at={made.at!r:.80}: seconds UTC are needed")
    return made
