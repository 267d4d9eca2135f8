"""The parsing mixin: a job's body is one line of JSON, format 1."""

from __future__ import annotations

import re
from math import isfinite
from typing import TYPE_CHECKING, Any, Final

import orjson

from realtime_core.errors import ConfigurationError
from realtime_core.pipeline.message import Message, Unparsable
from realtime_core.pipeline.pipeline import Pipeline
from realtime_core.publish import check_channel

if TYPE_CHECKING:
    from realtime_core.queue import Claim

FORMAT: Final = 1
KINDS: Final = ("post_save", "post_delete")
MAX_CHANNELS: Final = 64
_AT: Final = re.compile(rb'"at": ?(\d{1,12}(?:\.\d{1,9})?)[,}]')


class JSONParser(Pipeline):
    """Reads ``{"v":1,"job":…,"channels":[…],"kind":…,"model":…,"key":…,"at":…,"data":{…}}`` and nothing else."""

    def parse(self, claim: Claim) -> Message:
        """Understand a job, or say what is wrong with it.

        Raises:
            Unparsable: names the field and what was found there.
        """
        return parse(claim.body)


def parse(body: bytes) -> Message:
    """A job's body as a message.

    Raises:
        Unparsable: names the field and what was found there.
    """
    try:
        fields = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Unparsable(f"not JSON: {error}") from error
    if not isinstance(fields, dict):
        raise Unparsable(f"an object is needed, not {type(fields).__name__}")
    if fields.get("v") != FORMAT:
        raise Unparsable(f"format v={fields.get('v')!r:.40}: only {FORMAT} is understood here")
    kind = fields.get("kind")
    if kind not in KINDS:
        raise Unparsable(f"kind {kind!r:.40}: {' or '.join(KINDS)} is needed")
    at = fields.get("at")
    if isinstance(at, bool) or not isinstance(at, (int, float)) or not isfinite(at):
        raise Unparsable(f"at {at!r:.40}: seconds UTC are needed")
    key = fields.get("key")
    if isinstance(key, bool) or not isinstance(key, (str, int, type(None))):
        raise Unparsable(f"key {key!r:.40}: text, a whole number or null is needed")
    return Message(
        job=_typed(fields, "job", str),
        channels=_channels(fields),
        kind=kind,
        model=_typed(fields, "model", str),
        key=key,
        at=float(at),
        data=_typed(fields, "data", dict),
    )


def at_of(body: bytes) -> float | None:
    """The time that a body seems to name although it could not be parsed; None where it names none."""
    found = _AT.search(body)
    return float(found[1]) if found else None


def _typed(fields: dict[str, Any], name: str, kind: type) -> Any:
    value = fields.get(name)
    if not isinstance(value, kind):
        shown = type(value).__name__ if name == "data" else f"{value!r:.40}"  # what is in there may be private
        raise Unparsable(f"{name} {shown}: {kind.__name__} is needed")
    return value


def _channels(fields: dict[str, Any]) -> tuple[str, ...]:
    channels: list[Any] = _typed(fields, "channels", list)
    if len(channels) > MAX_CHANNELS:
        raise Unparsable(f"{len(channels)} channels, the limit is {MAX_CHANNELS}: split the job")
    for channel in channels:
        if not isinstance(channel, str):
            raise Unparsable(f"channel {channel!r:.40}: text is needed")
        try:
            check_channel(channel)
        except ConfigurationError as error:
            raise Unparsable(str(error)) from error
    return tuple(dict.fromkeys(channels))
