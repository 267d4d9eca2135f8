"""A pipeline's stages without publishing: what ``check`` shows of sample jobs, and what another pipeline is compared by."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any, Final

from realtime_core.pipeline.batch import FAULTS
from realtime_core.pipeline.file_publisher import FilePublisher
from realtime_core.pipeline.message import Unparsable, sound
from realtime_core.publish import Box, Canary, Fleet
from realtime_core.queue import Claim

if TYPE_CHECKING:
    from collections.abc import Mapping

    from realtime_core.pipeline.message import Message
    from realtime_core.pipeline.pipeline import Pipeline

NOWHERE: Final = "http://127.0.0.1:9"
PUBLISHED: Final = "published"


def dry(kind: type[Pipeline], settings: Mapping[str, str]) -> Pipeline:
    """An instance that has somewhere to publish to and never will.

    Raises:
        ConfigurationError: it cannot be made with these settings, or does not know one of them.
    """
    given = dict(settings)
    if issubclass(kind, FilePublisher):
        given["file"] = os.devnull
    fleet = Fleet([Box("nowhere", NOWHERE)])
    pipeline = kind(settings=given, fleet=fleet, canary=Canary(NOWHERE))
    pipeline.check()
    return pipeline


def claim_of(id_: str, body: bytes, *, key: str | None = None) -> Claim:
    """A job as if it had been claimed."""
    return Claim(id=id_, body=body, token=1, attempt=1, key=key, lease_until=time.time() + 60)


def told(message: Message) -> dict[str, Any]:
    """What would be published of a message, apart from ids."""
    return {
        "channels": list(message.channels),
        "kind": message.kind,
        "model": message.model,
        "key": message.key,
        "at": message.at,
        "data": message.data,
    }


def through(pipeline: Pipeline, claim: Claim) -> tuple[str, Message | None, str]:
    """A job through parse and compute: its fate, the message, and why."""
    try:
        message = sound(pipeline.parse(claim))
    except Unparsable as error:
        return "unparsable", None, str(error)
    except FAULTS as error:  # mixins are other people's
        return "error", None, f"{type(error).__name__}: {error}"
    try:
        changed = pipeline.compute(message)
        if changed is None or not sound(changed).channels:
            return "filtered", message, ""
    except FAULTS as error:  # as above
        return "error", message, f"{type(error).__name__}: {error}"
    return PUBLISHED, changed, ""
