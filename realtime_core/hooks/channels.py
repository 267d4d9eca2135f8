"""To which channels an object's events go: a function's answer, or templates filled from its attributes."""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from inspect import iscoroutinefunction
from typing import Any, TypeAlias

from realtime_core.errors import ConfigurationError

Channels: TypeAlias = Callable[[Any], Iterable[str] | None] | Iterable[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chooser:
    """Chooses the channels of an object. Two that are equal choose the same.

    Attributes:
        by: the function, or the templates.
        attributes: what the templates are filled from; None: nobody knows what the function looks at.
    """

    by: Callable[[Any], Iterable[str] | None] | tuple[str, ...]
    attributes: frozenset[str] | None

    def __call__(self, instance: Any) -> list[str]:
        """The object's channels; none: no event."""
        if isinstance(self.by, tuple):
            return [template.format_map(_Attributes(instance)) for template in self.by]
        answer = self.by(instance)
        if answer is None:
            return []
        # A text is one channel: each of its letters would be a channel too, and a valid one.
        return [answer] if isinstance(answer, str) else list(answer)


def channels_of(channels: Channels) -> Chooser:
    """What chooses by ``channels``.

    Raises:
        ConfigurationError: a template that is none, no template at all, or an ``async`` function.
    """
    if callable(channels):
        if iscoroutinefunction(channels):
            raise ConfigurationError(
                f"channels={channels.__qualname__} is async, and signals do not wait: write a plain function"
            )
        return Chooser(by=channels, attributes=None)
    templates = (channels,) if isinstance(channels, str) else tuple(channels)
    if not templates:
        raise ConfigurationError("channels has no template: write thread:{thread_id}, or leave the model unconnected")
    return Chooser(by=templates, attributes=frozenset(name for one in templates for name in _names(one)))


def _names(template: str) -> list[str]:
    """The attributes that a template is filled from."""
    try:
        fields = [field for _, field, _, _ in string.Formatter().parse(template) if field is not None]
    except (ValueError, TypeError) as error:
        raise ConfigurationError(f"channel template {template!r}: {error}; write thread:{{thread_id}}") from error
    names = [re.split(r"[.\[]", field, maxsplit=1)[0] for field in fields]
    for name in names:
        if not name.isidentifier():
            raise ConfigurationError(
                f"channel template {template!r}: {{{name}}} names no attribute; write thread:{{thread_id}}"
            )
    return names


class _Attributes(Mapping[str, Any]):
    """An object's attributes by name, for ``str.format_map``."""

    def __init__(self, instance: Any) -> None:
        self._instance = instance

    def __getitem__(self, name: str) -> Any:
        return getattr(self._instance, name)

    def __iter__(self) -> Iterator[str]:
        return iter(vars(self._instance))

    def __len__(self) -> int:
        return len(vars(self._instance))
