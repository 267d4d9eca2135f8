"""To which channels an object's events go: a function's answer, or templates filled from its attributes."""

from __future__ import annotations

import string
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeAlias

from realtime_core.errors import ConfigurationError

Channels: TypeAlias = Callable[[Any], Iterable[str]] | Iterable[str]


def channels_of(channels: Channels) -> Callable[[Any], Iterable[str]]:
    """A function of an object.

    Raises:
        ConfigurationError: a template that is none.
    """
    return channels if callable(channels) else _templates(channels)


def _templates(channels: Iterable[str]) -> Callable[[Any], list[str]]:
    templates = [channels] if isinstance(channels, str) else list(channels)
    for template in templates:
        try:
            list(string.Formatter().parse(template))
        except ValueError as error:
            raise ConfigurationError(f"channel template {template!r}: {error}; write thread:{{thread_id}}") from error

    def fill(instance: Any) -> list[str]:
        return [template.format_map(_Attributes(instance)) for template in templates]

    return fill


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
