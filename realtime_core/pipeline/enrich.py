"""The enriching mixin: looks up by a field what the job does not carry, within a time limit, through a bounded cache."""

from __future__ import annotations

import importlib
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, ClassVar, Final

import gevent
import orjson

from realtime_core.errors import ConfigurationError
from realtime_core.pipeline.fields import found, path_of, put_in
from realtime_core.pipeline.pipeline import Pipeline

if TYPE_CHECKING:
    from collections.abc import Callable

    from realtime_core.pipeline.message import Message

FAIL, LEAVE = "fail", "leave"
MAX_CACHE: Final = 1_000_000


class LookupLate(Exception):  # noqa: N818 - the job's reason names it
    """A look-up took longer than it may."""


class Cache:
    """Values by key, each for ``ttl_s``, ``limit`` at a time; what was not asked for longest goes first. Pure."""

    def __init__(self, limit: int, ttl_s: float) -> None:
        self._limit = limit
        self._ttl_s = ttl_s
        self._kept: OrderedDict[bytes, tuple[float, Any]] = OrderedDict()
        self.evicted = 0

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: bytes, now: float) -> tuple[bool, Any]:
        """Whether it is there, and the value."""
        until, value = self._kept.get(key, (now, None))
        if now >= until:
            self._kept.pop(key, None)
            return False, None
        self._kept.move_to_end(key)
        return True, value

    def put(self, key: bytes, value: Any, now: float) -> None:
        """Keep a value; with no room at all nothing is kept."""
        if not self._limit:
            return
        self._kept[key] = (now + self._ttl_s, value)
        self._kept.move_to_end(key)
        while len(self._kept) > self._limit:
            self._kept.popitem(last=False)
            self.evicted += 1


class Enrich(Pipeline):
    """Puts what ``look_up(value of enrich_by)`` returns (JSON types) into the field ``enrich_into``.

    A subclass overrides ``look_up`` or the setting ``enrich=MODULE:FUNCTION`` names it; ``enrich_by=data.author_id``,
    ``enrich_into=data.author``. A message without the field goes on as it is. ``enrich_timeout`` seconds (0.5) is what a
    look-up may take; that holds for what waits (sockets that gevent has patched), not for what computes. One that fails makes
    the job fail, for another attempt, or with ``enrich_missing=leave`` the message goes on without. ``enrich_cache`` values
    (10,000) are kept for ``enrich_ttl`` seconds (60), a cache for each hand of a worker; failures are not kept.
    """

    enrich_by: ClassVar[str] = ""
    enrich_into: ClassVar[str] = ""

    def __init__(self, **given: Any) -> None:
        """Read the settings.

        Raises:
            ConfigurationError: a field or function that is none, or a number out of its limits.
        """
        super().__init__(**given)
        by, into = self.setting("enrich_by") or self.enrich_by, self.setting("enrich_into") or self.enrich_into
        if not by or not into:
            raise ConfigurationError(
                "enrich: name two fields, as in enrich_by=data.author_id and enrich_into=data.author"
            )
        self._enrich_by, self._enrich_into = path_of("enrich_by", by), path_of("enrich_into", into)
        self._enrich_timeout_s = self._number("enrich_timeout", 0.5, least=0.001, most=60.0)
        self._enrich_missing = self.setting("enrich_missing") or FAIL
        if self._enrich_missing not in (FAIL, LEAVE):
            raise ConfigurationError(f"enrich_missing={self._enrich_missing!r:.40}: use {FAIL} or {LEAVE}")
        limit, ttl_s = self._number("enrich_cache", 10_000, least=0, most=MAX_CACHE), self._number("enrich_ttl", 60.0)
        self.enrich_cache = Cache(int(limit), ttl_s)
        self._enriched = {"enrich_hits": 0, "enrich_lookups": 0, "enrich_failures": 0, "enrich_late": 0}
        self._look_up: Callable[[Any], Any] = self.look_up
        named = self.setting("enrich")
        if named:
            self._look_up = function_of("enrich", named)

    def look_up(self, value: Any) -> Any:
        """What belongs to a value of the field.

        Raises:
            ConfigurationError: no subclass and no setting says how.
        """
        raise ConfigurationError(
            f"{type(self).__name__} has no look_up({value!r:.40}): name one with enrich=MODULE:FUNCTION"
        )

    def compute(self, message: Message) -> Message | None:
        """The message with what was found."""
        value = next(found(message.data, self._enrich_by), None)
        if value is not None:
            there, looked_up = self._find(value)
            if there:
                message = message.with_data(put_in(message.data, self._enrich_into, looked_up))
        return super().compute(message)

    def figures(self) -> dict[str, int]:
        """Hits, look-ups, those that failed or came late, values that fell out of the cache."""
        return super().figures() | self._enriched | {"enrich_evicted": self.enrich_cache.evicted}

    def _find(self, value: Any) -> tuple[bool, Any]:
        key = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
        there, kept = self.enrich_cache.get(key, time.monotonic())
        if there:
            self._enriched["enrich_hits"] += 1
            return True, kept
        self._enriched["enrich_lookups"] += 1
        late = LookupLate(f"enrich: no answer about {value!r:.40} within {self._enrich_timeout_s:g} s")
        try:
            with gevent.Timeout(self._enrich_timeout_s, late):
                looked_up = self._look_up(value)
        except Exception as error:
            self._enriched["enrich_late" if error is late else "enrich_failures"] += 1
            if self._enrich_missing == LEAVE:
                return False, None
            raise
        self.enrich_cache.put(key, looked_up, time.monotonic())
        return True, looked_up

    def _number(self, name: str, default: float, *, least: float = 0.0, most: float = 86_400.0) -> float:
        text = self.setting(name)
        try:
            number = default if text is None else float(text)
        except ValueError as error:
            raise ConfigurationError(f"{name}={text!r:.40}: a number is needed") from error
        if not least <= number <= most:
            raise ConfigurationError(f"{name}={number}, the limits are {least:g} and {most:,g}")
        return number


def function_of(what: str, reference: str) -> Callable[[Any], Any]:
    """The function that ``MODULE:FUNCTION`` names.

    Raises:
        ConfigurationError: it cannot be imported, or is no function.
    """
    module_name, _, name = reference.partition(":")
    try:
        made = getattr(importlib.import_module(module_name), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigurationError(f"{what} {reference}: {error}: write MODULE:FUNCTION") from error
    if not callable(made):
        raise ConfigurationError(f"{what} {reference} cannot be called: write MODULE:FUNCTION")
    function: Callable[[Any], Any] = made
    return function
