"""``NAME=VALUE`` words of a command line. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from realtime_core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable


def pairs(what: str, words: Iterable[str]) -> dict[str, str]:
    """``NAME=VALUE`` words as a mapping.

    Raises:
        ConfigurationError: no ``=``, or a name twice.
    """
    found: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise ConfigurationError(f"{what} {word!r}: write NAME=VALUE")
        if name in found:
            raise ConfigurationError(f"{what} {name} was given twice: give it once")
        found[name] = value
    return found
