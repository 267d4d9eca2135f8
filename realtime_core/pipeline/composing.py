"""Pipelines composed without writing a class: mixins by name, in the order in which a class would name them."""

from __future__ import annotations

import importlib
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from realtime_core.errors import ConfigurationError
from realtime_core.pipeline.acknowledge import Acknowledge
from realtime_core.pipeline.anonymize import Anonymize
from realtime_core.pipeline.encrypt import Encrypt
from realtime_core.pipeline.enrich import Enrich
from realtime_core.pipeline.file_publisher import FilePublisher
from realtime_core.pipeline.filter import Filter
from realtime_core.pipeline.http_publisher import HTTPPublisher
from realtime_core.pipeline.json_parser import JSONParser
from realtime_core.pipeline.pipeline import Pipeline

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

OURS: Final[dict[str, type[Pipeline]]] = {
    kind.__name__: kind
    for kind in (JSONParser, Acknowledge, Filter, Enrich, Anonymize, Encrypt, HTTPPublisher, FilePublisher)
}
MAX_MIXINS: Final = 20
KNOWN_KEYS: Final = ("name", "mixins", "settings")


def mixin(name: str) -> type[Pipeline]:
    """One of ours by its name, or any by ``MODULE:CLASS``.

    Raises:
        ConfigurationError: it cannot be imported, or is no pipeline.
    """
    if ":" not in name:
        if name not in OURS:
            raise ConfigurationError(
                f"mixin {name!r:.200} is not known: there are {', '.join(OURS)}; or write MODULE:CLASS"
            )
        return OURS[name]
    module_name, _, class_name = name.partition(":")
    try:
        found = getattr(importlib.import_module(module_name), class_name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigurationError(
            f"pipeline {name}: {error}: name a class that can be imported, MODULE:CLASS"
        ) from error
    if not isinstance(found, type) or not issubclass(found, Pipeline):
        raise ConfigurationError(f"pipeline {name} is no Pipeline: inherit from realtime_core.pipeline.Pipeline")
    return found


def composed(
    mixins: Sequence[str], *, name: str = "Composed", settings: Mapping[str, str] | None = None
) -> type[Pipeline]:
    """A class made of mixins; the first sees a message first. ``settings`` hold unless others are given.

    Raises:
        ConfigurationError: none, too many, one twice, or an order that no class can have.
    """
    if not 1 <= len(mixins) <= MAX_MIXINS or len(set(mixins)) < len(mixins):
        raise ConfigurationError(f"mixins {', '.join(mixins) or 'none':.200}: 1 to {MAX_MIXINS} are needed, each once")
    bases = [mixin(one) for one in mixins]
    if bases[-1] is not Pipeline:
        bases.append(Pipeline)
    try:
        return type(name, tuple(bases), {"preset": MappingProxyType(dict(settings or {})), "__module__": __name__})
    except TypeError as error:
        raise ConfigurationError(f"mixins {', '.join(mixins):.200} cannot stand in this order: {error}") from error


def described(description: Mapping[str, Any]) -> type[Pipeline]:
    """A class from ``{"name": …, "mixins": […], "settings": {…}}``, as a settings file or a dict says it.

    Raises:
        ConfigurationError: an unknown key, or a value of another kind.
    """
    for key in description:
        if key not in KNOWN_KEYS:
            raise ConfigurationError(f"pipeline: unknown key {key!r:.80}: there are {', '.join(KNOWN_KEYS)}")
    mixins, settings = description.get("mixins"), description.get("settings", {})
    if not isinstance(mixins, list | tuple) or not all(isinstance(one, str) for one in mixins):
        raise ConfigurationError(f"pipeline: mixins {mixins!r:.80}: a list of names is needed")
    if not isinstance(settings, dict) or not all(isinstance(value, str) for value in settings.values()):
        raise ConfigurationError(f"pipeline: settings {settings!r:.80}: texts by name are needed")
    return composed(mixins, name=str(description.get("name", "Composed")), settings=settings)
