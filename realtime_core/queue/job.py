"""What goes into the queue and what a worker gets from it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from realtime_core.errors import ConfigurationError
from realtime_core.quick_values import quickly_made

MAX_BODY_BYTES: Final = 1_048_576
MAX_DELAY_S: Final = 30 * 86_400.0
IDENTIFIER: Final = re.compile(r"[A-Za-z0-9_.:-]{1,128}")


def check_identifier(what: str, value: object) -> None:
    """Refuse ids, keys, workers and channels that a script or a URL could not carry.

    Raises:
        ConfigurationError: it does not match ``[A-Za-z0-9_.:-]{1,128}``.
    """
    if not (isinstance(value, str) and IDENTIFIER.fullmatch(value)):
        raise ConfigurationError(f"{what} {value!r:.200}: use 1 to 128 of A-Z a-z 0-9 _ . : -")


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Work to be done at least once. Refused when it is made, so that a put never has to stop half-way.

    Attributes:
        id: unique; the same id within the queue's window is the same job.
        body: what the worker needs, 1 MiB at most.
        key: what the job is about. Jobs of one key are given out in the order of their puts, to one consumer at a time.
        urgent: goes to the head of the line; with a key, to the head of its key's line, and the key to the head of the keys. Not
            with a delay. Another attempt of a job with a key is as urgent as the first; without a key one that was cancelled or
            retried joins the end of the line, like all others.
        delay_s: seconds until it joins the line, 30 days at most: at its end; with a key, at the place of its put.

    Raises:
        ConfigurationError: one of these is not within its limits.
    """

    id: str
    body: bytes
    key: str | None = None
    urgent: bool = False
    delay_s: float = 0.0

    def __post_init__(self) -> None:
        check_identifier("job id", self.id)
        if not isinstance(self.body, bytes):
            raise ConfigurationError(f"job {self.id}: its body is {type(self.body).__name__}, encode it to bytes")
        if len(self.body) > MAX_BODY_BYTES:
            raise ConfigurationError(
                f"job {self.id}: a body of {len(self.body):,} bytes, the limit is {MAX_BODY_BYTES:,}: "
                "store it elsewhere and put a reference"
            )
        if self.key is not None:
            check_identifier("job key", self.key)
        if not 0 <= self.delay_s <= MAX_DELAY_S:
            raise ConfigurationError(f"job {self.id}: delay_s={self.delay_s}, the limits are 0 and {MAX_DELAY_S:.0f}")
        if self.urgent and self.delay_s:
            raise ConfigurationError(
                f"job {self.id}: urgent, and delay_s={self.delay_s}: urgent is before all that wait at its put, and a delay would "
                "lose that: leave one of the two out, or put it urgent when it is time"
            )

    def record(self) -> bytes:
        """The job as it is sent: its key, a space, its body. Stored, a key has the number of its put before it: ``SEQ:``."""
        return b"%b %b" % ((self.key or "").encode(), self.body)


@quickly_made
@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A job in a worker's hands.

    Attributes:
        token: tells this claim from an earlier or later one of the same job.
        attempt: 1 at the first claim.
        lease_until: when the job is taken back unless it is settled or renewed; seconds UTC by Redis' clock.
    """

    id: str
    body: bytes
    token: int
    attempt: int
    key: str | None
    lease_until: float


def split_record(record: bytes) -> tuple[str | None, bytes]:
    """The key and the body of a stored job."""
    place, _, body = record.partition(b" ")
    return place.partition(b":")[2].decode() if place else None, body
