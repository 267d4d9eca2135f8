"""What a hook hands to the queue: ids that sort by time, and the one line of JSON that is a job's body."""

from __future__ import annotations

import secrets
import time
from base64 import b64encode
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import orjson

from realtime_core.errors import ConfigurationError
from realtime_core.queue.job import Job, check_identifier

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

BODY_VERSION: Final = 1
MAX_CHANNELS: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Captured:
    """One event on its way to the queue.

    Attributes:
        job: what is put.
        at: when it happened, seconds UTC.
        kind: ``post_save`` or ``post_delete``.
        model: ``app.Model``.
        key: the object's primary key, as text.
    """

    job: Job
    at: float
    kind: str
    model: str
    key: str


def new_job_id() -> str:
    """26 hexadecimal digits: microseconds since 1970 (UTC), then 48 random bits. They sort by time."""
    return f"{time.time_ns() // 1000:014x}{secrets.token_hex(6)}"


def event_job(
    *, job_id: str, channels: Sequence[str], kind: str, model: str, key: Any, at: float, fields: Mapping[str, Any]
) -> Job:
    """The job of one saved or deleted object.

    Args:
        job_id: unique, see :func:`new_job_id`.
        channels: where it is published, 1 to 64; one named twice counts once. The first is the job's key: events come in
            the order of their puts where their first channel is the same.
        kind: ``post_save`` or ``post_delete``.
        model: ``app.Model``.
        key: the object's primary key.
        at: when it happened, seconds UTC.
        fields: what is published of it.

    Raises:
        ConfigurationError: a channel, the fields or the size of the body are not within their limits.
    """
    distinct = list(dict.fromkeys(channels))
    if not 1 <= len(distinct) <= MAX_CHANNELS:
        raise ConfigurationError(f"{model} {key}: {len(distinct)} channels, the limits are 1 and {MAX_CHANNELS}")
    for channel in distinct:
        check_identifier(f"channel of {model} {key}", channel)
    body = {
        "v": BODY_VERSION,
        "job": job_id,
        "channels": distinct,
        "kind": kind,
        "model": model,
        "key": key,
        "at": at,
        "data": fields,
    }
    try:
        line = orjson.dumps(body, default=_text, option=orjson.OPT_NON_STR_KEYS)
    except TypeError as error:
        raise ConfigurationError(
            f"{model} {key} cannot be written as JSON: {error}; name the fields to publish"
        ) from error
    return Job(id=job_id, body=line, key=distinct[0])


def _text(value: Any) -> str:
    """Bytes in base64, as Django serializes them; decimals, files and whatever else JSON does not know as their text."""
    return b64encode(value).decode() if isinstance(value, bytes | bytearray | memoryview) else str(value)
