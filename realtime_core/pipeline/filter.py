"""The filtering mixin: which messages anybody is to hear of. What is filtered is finished, and counted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson

from realtime_core.errors import ConfigurationError
from realtime_core.pipeline.fields import found, path_of
from realtime_core.pipeline.pipeline import Pipeline

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from realtime_core.pipeline.message import Message

OF_A_MESSAGE: Final = ("kind", "model", "key", "channel")


class Filter(Pipeline):
    """Lets through what matches every rule of ``only`` and none of ``never``; and what ``wanted`` agrees to.

    A rule is a field and the values it may have, as text: ``only = {"kind": ["post_save"]}``, or the setting
    ``only=kind:post_save,data.public:true``, alternatives apart by ``|``. Fields: kind, model, key,
    channel (any of them), ``data.…``.
    """

    only: Mapping[str, Collection[str]] = {}
    never: Mapping[str, Collection[str]] = {}

    def __init__(self, **given: Any) -> None:
        """Read the rules.

        Raises:
            ConfigurationError: a rule that is none.
        """
        super().__init__(**given)
        self._only = _rules(dict(self.only) | _read("only", self.setting("only")))
        self._never = _rules(dict(self.never) | _read("never", self.setting("never")))

    def wanted(self, message: Message) -> bool:
        """What a subclass decides by itself."""
        del message
        return True

    def compute(self, message: Message) -> Message | None:
        """The message, or None: nobody is to hear of it."""
        if not all(_matches(message, *rule) for rule in self._only):
            return None
        if any(_matches(message, *rule) for rule in self._never) or not self.wanted(message):
            return None
        return super().compute(message)


def _matches(message: Message, field: str | tuple[str, ...], values: Collection[str]) -> bool:
    return any(_text(value) in values for value in _values(message, field))


def _values(message: Message, field: str | tuple[str, ...]) -> Collection[Any]:
    if isinstance(field, tuple):
        return list(found(message.data, field))
    return message.channels if field == "channel" else (getattr(message, field),)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _read(what: str, text: str | None) -> dict[str, list[str]]:
    rules: dict[str, list[str]] = {}
    for part in filter(None, (text or "").split(",")):
        field, colon, values = part.strip().partition(":")
        if not colon or not values:
            raise ConfigurationError(f"{what} {part!r:.200}: write FIELD:VALUE|VALUE, as in kind:post_save")
        rules[field] = values.split("|")
    return rules


def _rules(rules: Mapping[str, Collection[str]]) -> list[tuple[str | tuple[str, ...], frozenset[str]]]:
    return [
        (field if field in OF_A_MESSAGE else path_of("filter", field), frozenset(values))
        for field, values in rules.items()
    ]
